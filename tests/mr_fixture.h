/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory regions with nothing around them: a table of keys, two domains, and who is inside. */
#ifndef MR_FIXTURE_H
#define MR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hca/mr.h"
#include "test_os.h"

#define LW HCA_ACCESS_LOCAL_WRITE
#define RW HCA_ACCESS_REMOTE_WRITE
#define RR HCA_ACCESS_REMOTE_READ
#define RA HCA_ACCESS_REMOTE_ATOMIC
#define MW HCA_ACCESS_MW_BIND
#define ZB HCA_ACCESS_ZERO_BASED

static struct hca_quiesce quiesce;
static struct hca_keys keys;
static struct hca_pd pd, other_pd;

static inline int begin_world(void **state)
{
	(void)state;
	test_os_reset(1);
	hca_quiesce_init(&quiesce);
	pd = (struct hca_pd){ .keys = &keys, .quiesce = &quiesce, .number = 1 };
	other_pd = pd;
	other_pd.number = 2;
	return hca_keys_init(&keys, 100);
}

static inline int end_world(void **state)
{
	(void)state;
	if (keys.used || pd.users || other_pd.users)
		return -1;
	hca_keys_fini(&keys);
	if (test_live()) {
		test_leaks();
		return -1;
	}
	return 0;
}

static inline struct hca_mr *make(const struct hca_mr_attr *attr)
{
	struct hca_mr *r = NULL;

	assert_int_equal(hca_mr_create(&pd, attr, &r), 0);
	return r;
}

static inline struct hca_mr *make_fast(u32 max_pages)
{
	return make(&(struct hca_mr_attr){ .kind = HCA_MR_PAGES, .max_pages = max_pages, .invalid = true });
}

static inline const struct hca_key_entry *check(u32 key, u64 addr, u64 len, u32 access)
{
	return hca_key_check(&keys, key, pd.number, HCA_KEY_ANY_QP, addr, len, access);
}

/* Where a covered address leads, and how far it is one piece. */
static inline u64 leads_to(u32 key, u64 addr, u64 *len)
{
	const struct hca_key_entry *e = check(key, addr, *len, 0);

	assert_non_null(e);
	return hca_dma_u64(hca_mr_run(e->mr, hca_key_offset(e, addr), len));
}

static inline void end(struct hca_mr *r)
{
	u32 key = r->key;

	assert_int_equal(hca_mr_destroy(r), 0);
	assert_null(hca_key_find(&keys, key));
}

#define W(f) cmocka_unit_test_setup_teardown(f, begin_world, end_world)

#endif
