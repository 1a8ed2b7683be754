/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Verbs devices: registration, and what the mapping layer computes once so that its
 * inline calls need no more than a comparison. Called by drivers.
 */
#include <stdlib.h>

#include "dma/soft.h"
#include "ib_core.h"

static bool ledger_wanted(const struct ib_dma_config *config)
{
	const char *env = getenv("SOFTHCA_LEDGER");

	if (env && env[0] && !env[1]) {
		if (env[0] == '1')
			return true;
		if (env[0] == '0')
			return false;
	}
	if (env && *env)
		hca_log(HCA_LOG_WARN, "SOFTHCA_LEDGER=%s is neither 0 nor 1; ignored", env);
	return config && config->ledger;
}

static void report_to_stderr(void *ctx, const struct hca_misuse_report *r)
{
	char line[512];

	(void)ctx;
	ib_dma_report_str(r, line, sizeof(line));
	hca_log(HCA_LOG_WARN, "%s", line);
}

static int start_ledger(struct ib_device *dev, const struct ib_dma_config *config)
{
	struct hca_ledger_attr attr = { .device = dev->name, .report = report_to_stderr };
	int err;

	if (config) {
		attr.history = config->history;
		if (config->report) {
			attr.report = config->report;
			attr.ctx = config->ctx;
		}
	}
	err = hca_ledger_create(&attr, &dev->ledger);
	if (err)
		return err;
	dev->mem->ledger = dev->ledger;
	dev->guard = ib_machine(dev)->guard;
	if (dev->guard)
		ib_guard_add(dev);
	return 0;
}

static u64 close_device(struct ib_device *dev)
{
	struct hca_ledger *ledger = dev->ledger;

	ib_core_close(dev);
	if (!ledger)
		return 0;
	if (dev->guard) {
		ib_guard_poll(dev);
		ib_guard_del(dev);
	}
	dev->mem->ledger = NULL;
	dev->ledger = NULL;
	return hca_ledger_destroy(ledger);
}

int ib_register_device(struct ib_device *dev, const char *name, struct device *dma_device,
		       const struct ib_dma_config *config)
{
	const struct machine_map *map;
	int err;

	if (!dev || !name || !dma_device)
		return hca_refuse(-EINVAL, "device not registered: device, name or dma_device is NULL");
	if (!dev->mem || !dev->mem->ops)
		return hca_refuse(-EINVAL, "%s not registered: the driver brings no memory accessor (mem)", name);
	if (dev->style != IB_DMA_BY_OPS && !dev->dma_ops)
		return hca_refuse(-EINVAL, "%s not registered: its addresses are virtual ones, so it needs dma_ops",
				  name);
	err = ib_fill_ops(dev);
	if (err)
		return err;
	hca_snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->dma_device = dma_device;
	map = &dma_device->machine->map;
	dev->virt = map->virt;
	dev->pages = (uintptr_t)map->pages;
	dev->single_base = 0;
	dev->single_bytes = 0;
	dev->ops_bytes = 0;
	dev->sg_inline = 0;
	dev->sg_no_walk = false;
	dev->fill_sg = config && config->fill_sg;
	err = ib_core_open(dev);
	if (err)
		return err;
	if (ledger_wanted(config)) {
		err = start_ledger(dev, config);
		if (err) {
			ib_core_close(dev);
			return err;
		}
	}
	if (dev->style == IB_DMA_BY_OPS && dev->dma_ops && !dev->ledger)
		dev->ops_bytes = (uintptr_t)map->low_bytes;
	if (!dev->dma_ops && !dev->ledger) {
		dev->single_bytes = (uintptr_t)platform_linear(dma_device, &dev->single_base);
	} else if (dev->style != IB_DMA_BY_OPS) {
		dev->sg_inline = (uintptr_t)(map->low_bytes >> (PAGE_SHIFT - STRUCT_PAGE_SHIFT));
		if (!dev->ledger) {
			dev->single_base = map->virt;
			dev->single_bytes = (uintptr_t)map->low_bytes;
			dev->sg_no_walk = !dev->fill_sg &&
					  (dev->style == IB_DMA_VIRT || map->all_bytes == map->low_bytes);
		}
	}
	ib_cma_device_added(dev);
	err = ib_device_added(dev);
	if (err) {
		ib_cma_device_removed(dev);
		close_device(dev);
	}
	return err;
}

u64 ib_unregister_device(struct ib_device *dev)
{
	ib_device_removed(dev);
	ib_cma_device_removed(dev);
	ib_cq_pool_free(dev);
	return close_device(dev);
}

int ib_dma_get_totals(struct ib_device *dev, struct ib_dma_totals *t)
{
	struct hca_ledger_totals lt;
	int i;

	if (!dev->ledger)
		return hca_refuse(-ENOENT, "%s: no totals: it keeps no ledger (ib_dma_config.ledger, SOFTHCA_LEDGER=1)",
				  dev->name);
	if (dev->guard)
		ib_guard_poll(dev);
	hca_ledger_totals(dev->ledger, &lt);
	t->made = lt.made;
	t->live = lt.live;
	t->live_bytes = lt.live_bytes;
	for (i = 0; i < HCA_MISUSE_KINDS; i++)
		t->misuse[i] = lt.misuse[i];
	return 0;
}

static void no_sync(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir)
{
	(void)dev;
	(void)addr;
	(void)size;
	(void)dir;
}

static void *low_alloc_coherent(struct ib_device *dev, size_t size, dma_addr_t *handle, gfp_t gfp)
{
	unsigned int order = page_order(size);
	struct page *page;
	dma_addr_t addr;

	page = machine_alloc_pages(ib_machine(dev), (gfp & ~__GFP_HIGHMEM) | __GFP_ZERO, order);
	if (!page)
		return NULL;
	addr = dev->dma_ops->map_single(dev, page_address(page), size, DMA_BIDIRECTIONAL, 0);
	if (hca_dma_errno(addr)) {
		__free_pages(page, order);
		return NULL;
	}
	*handle = addr;
	return page_address(page);
}

static void low_free_coherent(struct ib_device *dev, size_t size, void *cpu_addr, dma_addr_t handle)
{
	struct machine *m = ib_machine(dev);
	u64 off = machine_ptr_offset(m, cpu_addr);
	int err = -ENOENT;

	/* Memory of elsewhere, or another one's address: refused as a platform does, and nothing is unmapped either. */
	if (off != NO_MEMORY_HERE && !(off & (PAGE_SIZE - 1)) &&
	    (dev->style == IB_DMA_BY_OPS || handle == hca_addr_from_ptr(cpu_addr))) {
		dev->dma_ops->unmap_single(dev, handle, size, DMA_BIDIRECTIONAL, 0);
		err = page_free_block(page_from_offset(m, off), page_order(size));
	}
	if (err)
		hca_log(HCA_LOG_ERR, "%s: free of coherent memory refused: address 0x%llx, size %llu", dev->name,
			(unsigned long long)hca_dma_u64(handle), (unsigned long long)size);
}

int ib_fill_ops(struct ib_device *dev)
{
	struct ib_dma_ops *ops = &dev->filled;

	if (!dev->dma_ops)
		return 0;
	if (dev->dma_ops != ops)
		*ops = *dev->dma_ops;
	if (!ops->map_single || !ops->unmap_single || !ops->map_page || !ops->unmap_page || !ops->map_sg ||
	    !ops->unmap_sg || !ops->sg_dma_address || !ops->sg_dma_len)
		return hca_refuse(-EINVAL,
				  "device not registered: its dma_ops lack map_ or unmap_ of single, page or sg, "
				  "sg_dma_address or sg_dma_len");
	if (!ops->alloc_coherent != !ops->free_coherent)
		return hca_refuse(-EINVAL,
				  "device not registered: its dma_ops have one of alloc_coherent and free_coherent");
	if (!ops->sync_single_for_cpu)
		ops->sync_single_for_cpu = no_sync;
	if (!ops->sync_single_for_device)
		ops->sync_single_for_device = no_sync;
	if (!ops->alloc_coherent) {
		ops->alloc_coherent = low_alloc_coherent;
		ops->free_coherent = low_free_coherent;
	}
	if (!ops->max_seg_size)
		ops->max_seg_size = ~0u;
	dev->dma_ops = ops;
	return 0;
}
