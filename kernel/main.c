/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The module: its wire, and the making and ending of adapters. Loaded and without an
 * adapter it has nothing but its code and the wire's few kilobytes: no thread, no
 * timer, no hook in anything.
 */
#include "glue.h"

#include "kernel/memory.h"
#include "wire/loop.h"

#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/slab.h>

static struct hca_loop loop;
static struct hca_eq events;

struct hca_wire *softhca_wire(void)
{
	return &loop.wire;
}
EXPORT_SYMBOL_GPL(softhca_wire);

struct hca_eq *softhca_events(void)
{
	return &events;
}
EXPORT_SYMBOL_GPL(softhca_events);

/* A device that no bus is behind: what it takes for the DMA API to map for it. */
static int make_device(struct softhca *s)
{
	struct platform_device *pdev = platform_device_alloc("softhca", PLATFORM_DEVID_AUTO);
	int err;

	if (!pdev)
		return -ENOMEM;
	platform_set_drvdata(pdev, s);
	set_dma_ops(&pdev->dev, &softhca_map_ops);
	err = platform_device_add(pdev);
	if (err) {
		platform_device_put(pdev);
		return err;
	}
	err = dma_coerce_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err) {
		platform_device_unregister(pdev);
		return err;
	}
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	s->pdev = pdev;
	s->dev = &pdev->dev;
	return 0;
}

int softhca_create(const struct softhca_attr *attr, struct softhca **out)
{
	const struct hca_attr size = { .max_qp = attr->max_qp, .max_keys = attr->max_keys, .roce = attr->roce };
	struct softhca *s;
	int err;

	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s) {
		err = -ENOMEM;
		goto put_module;
	}
	hca_soft_init(&s->soft, &softhca_soft_ops, s, attr->highmem);
	err = make_device(s);
	if (err)
		goto free;
	err = hca_open(&s->hca, &loop.wire, &events, &s->soft.mem, &size);
	if (err)
		goto unregister;
	softhca_ledger_init(s);
	*out = s;
	return 0;
unregister:
	platform_device_unregister(s->pdev);
free:
	kfree(s);
put_module:
	module_put(THIS_MODULE);
	return err;
}
EXPORT_SYMBOL_GPL(softhca_create);

int softhca_destroy(struct softhca *s)
{
	int err = hca_close(&s->hca);

	if (err)
		return err;
	softhca_ledger_fini(s);
	platform_device_unregister(s->pdev);
	kfree(s);
	module_put(THIS_MODULE);
	return 0;
}
EXPORT_SYMBOL_GPL(softhca_destroy);

EXPORT_SYMBOL_GPL(softhca_ledger_set);
EXPORT_SYMBOL_GPL(softhca_ledger_totals);

static int __init softhca_init(void)
{
	int err = hca_eq_init(&events);

	if (err)
		return err;
	hca_loop_init(&loop);
	softhca_debugfs_init();
	return 0;
}

static void __exit softhca_exit(void)
{
	softhca_debugfs_exit();
	hca_eq_fini(&events);
	hca_loop_fini(&loop);
	hca_memory_flush();
}

module_init(softhca_init);
module_exit(softhca_exit);

MODULE_DESCRIPTION("Software InfiniBand adapter");
MODULE_AUTHOR("The softhca authors");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("Dual BSD/GPL");
