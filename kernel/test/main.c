/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca_test.ko: loading it runs its suites and tells their verdicts in the kernel's
 * log. Unloading it ends what hold= left standing.
 */
#include "suites.h"

#include <linux/module.h>

static char *suites;
module_param(suites, charp, 0444);
MODULE_PARM_DESC(suites, "names of suites, separated by commas; all without it");

static char *iommu = "";
module_param(iommu, charp, 0444);
MODULE_PARM_DESC(iommu, "strict, lazy, pass or off: what the machine was booted with");

static bool hold;
module_param(hold, bool, 0444);
MODULE_PARM_DESC(hold, "run nothing, and keep an adapter until the module is unloaded");

enum iommu test_iommu;

static struct fixture held;

static const struct ktest_suite *const all[] = {
	&suite_mapping, &suite_loop,  &suite_ledger, &suite_alloc,  &suite_bus,
	&suite_matrix,	&suite_stale, &suite_stress, &suite_timing, NULL,
};

static int __init softhca_test_init(void)
{
	if (!strcmp(iommu, "strict"))
		test_iommu = IOMMU_STRICT;
	else if (!strcmp(iommu, "lazy"))
		test_iommu = IOMMU_LAZY;
	else if (!strcmp(iommu, "pass"))
		test_iommu = IOMMU_PASS;
	if (hold)
		return fixture_open(&held, false);
	ktest_run(all, suites);
	return 0;
}

static void __exit softhca_test_exit(void)
{
	if (hold)
		fixture_close(&held);
}

module_init(softhca_test_init);
module_exit(softhca_test_exit);

MODULE_DESCRIPTION("Tests of the software InfiniBand adapter");
MODULE_LICENSE("Dual BSD/GPL");
