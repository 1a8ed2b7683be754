/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dmahca: the adapter that does DMA. It has no mapping of its own, so the platform's
 * is used, and it reaches memory over its bus alone: an address that isn't mapped
 * there is a fault, recorded by the machine.
 */
#include "ib_private.h"

struct dmahca {
	struct ib_device ib;
	struct hca_mem mem;
};

static struct device *mem_bus(struct hca_mem *mem)
{
	return hca_container_of(mem, struct dmahca, mem)->ib.dma_device;
}

static int bus_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	struct device *dev = mem_bus(mem);

	return dev->machine->ops->open(dev, addr, len, access, w);
}

static void bus_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	struct device *dev = mem_bus(mem);

	dev->machine->ops->close(dev, w);
}

static const struct hca_mem_ops bus_ops = {
	.open = bus_open,
	.close = bus_close,
};

int dmahca_create(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		  struct ib_device **out)
{
	struct dmahca *hca;
	int err;

	if (!dma_device || !out)
		return hca_refuse(-EINVAL, "dmahca not made: dma_device or out is NULL");
	hca = ib_alloc_device(sizeof(*hca));
	if (!hca)
		return -ENOMEM;
	hca->mem.ops = &bus_ops;
	hca->ib.mem = &hca->mem;
	err = ib_register_device(&hca->ib, name, dma_device, config);
	if (err) {
		hca_free(hca);
		return err;
	}
	*out = &hca->ib;
	return 0;
}

u64 dmahca_destroy(struct ib_device *dev)
{
	u64 leaked;

	if (!dev)
		return 0;
	leaked = ib_unregister_device(dev);
	hca_free(hca_container_of(dev, struct dmahca, ib));
	return leaked;
}
