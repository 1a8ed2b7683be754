/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Devices on a machine's bus, and dma_map_*(): arguments are checked here, once and
 * for all platforms, then the machine's platform does its part. Called by upper
 * layers through ib_dma_*() or directly, in any context but for creation,
 * destruction and coherent memory.
 *
 * Nothing of a caller's that is refused may reach a platform.
 */
#include "platform.h"

#define DEFAULT_MAX_SEG (2u << 30)
#define DEFAULT_BOUNDARY DMA_BIT_MASK(32)
#define BOUNCE_MASK DMA_BIT_MASK(32)

enum { LOGGED_UNMAP = 1, LOGGED_SYNC = 2, LOGGED_FREE = 4 };

static struct bus_device *to_bus(struct device *dev)
{
	return hca_container_of(dev, struct bus_device, dev);
}

static inline struct device_counts *counts_here(struct device *dev)
{
	return platform_counts(dev, hca_slot());
}

/* Once a device, so that a broken driver doesn't fill the log. */
static bool first_time(struct device *dev, u32 what)
{
	return !(hca_load(&to_bus(dev)->logged) & what) && !(hca_fetch_or(&to_bus(dev)->logged, what) & what);
}

static int refuse(struct device *dev, u32 kind, const char *what, hca_dma_addr_t addr, u64 size, int dir, int err)
{
	/* What is wrong with it in its form; else the platform knows no such mapping. */
	const char *why = hca_dma_errno(addr)	  ? ": the address is the error of a map that failed" :
			  !hca_dma_dir_valid(dir) ? ": no such direction" :
			  err == -EINVAL	  ? ": no bytes" :
			  err == -ENOENT	  ? ": there is no such mapping" :
						    "";

	if (kind == LOGGED_UNMAP)
		platform_count(&counts_here(dev)->refused);
	if (first_time(dev, kind))
		hca_log(HCA_LOG_ERR,
			"%s: %s refused: address 0x%llx, size %llu, direction %d (%d)%s; further ones aren't logged",
			dev->name, what, (unsigned long long)hca_dma_u64(addr), (unsigned long long)size, dir, err,
			why);
	return err;
}

/* What hca_dma_check() has against a range, in words. @subject: "dev0: map at file.c:1" */
static int explain(const struct machine *m, const char *subject, u64 off, u64 size, int dir)
{
	const struct hca_dma_space *sp = &m->space;
	int err = hca_dma_check(sp, off, size, dir);

	if (!hca_dma_dir_valid(dir))
		return hca_refuse(
			err, "%s refused: direction %d, must be DMA_TO_DEVICE, DMA_FROM_DEVICE or DMA_BIDIRECTIONAL",
			subject, dir);
	if (!size)
		return hca_refuse(err, "%s refused: no bytes", subject);
	if (off >= sp->all)
		return hca_refuse(
			err,
			"%s refused: not memory of machine %s. Only its memory can be mapped, so no stack, no malloc(), "
			"no variables: take it from alloc_pages(), dma_alloc_coherent(), or kmalloc() of softhca/kernel.h",
			subject, m->name);
	if (err == -EFAULT)
		return hca_refuse(err, "%s refused: %llu bytes go beyond the end of the memory of machine %s", subject,
				  (unsigned long long)size, m->name);
	return hca_refuse(err, "%s refused: %llu bytes begin in low memory and end in high memory", subject,
			  (unsigned long long)size);
}

int platform_refuse_map(const struct machine *m, const char *device, u64 off, u64 size, int dir, hca_site_t site)
{
	char subject[160];

	hca_snprintf(subject, sizeof(subject), site ? "%s: map at " HCA_SITE : "%s: map", device, hca_site(site));
	return explain(m, subject, off, size, dir);
}

/* Apart, so that an unmap which is right keeps nothing for it. */
static __attribute__((noinline)) int refuse_unmap(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, int err)
{
	return refuse(dev, LOGGED_UNMAP, "unmap", addr, size, dir, err);
}

static int fill_device(struct device *dev, const struct device_attr *a)
{
	const struct machine *m = dev->machine;

	dev->dma_mask = a->dma_mask;
	if (!dev->dma_mask)
		dev->dma_mask = m->ops == &platform_bounce ? BOUNCE_MASK : ~(u64)0;
	dev->max_seg_size = a->max_seg_size ? a->max_seg_size : DEFAULT_MAX_SEG;
	dev->seg_boundary_mask = a->seg_boundary_mask ? a->seg_boundary_mask : DEFAULT_BOUNDARY;
	hca_snprintf(dev->name, sizeof(dev->name), "%s", a->name ? a->name : "device");
	/* A device that can't take one page in one piece can be given nothing. */
	if (dev->dma_mask >= PAGE_SIZE - 1 && dev->max_seg_size >= PAGE_SIZE &&
	    dev->seg_boundary_mask >= PAGE_SIZE - 1 && !(dev->seg_boundary_mask & (dev->seg_boundary_mask + 1)))
		return 0;
	return hca_refuse(
		-EINVAL,
		"%s: bus device not made: dma_mask 0x%llx, max_seg_size %u, seg_boundary_mask 0x%llx: each must take a "
		"page, and a boundary is a power of two",
		dev->name, (unsigned long long)dev->dma_mask, dev->max_seg_size,
		(unsigned long long)dev->seg_boundary_mask);
}

int device_create(struct machine *m, const struct device_attr *attr, struct device **out)
{
	struct bus_device *bus;
	int err;

	if (!m || !attr || !out)
		return hca_refuse(-EINVAL, "bus device not made: machine, attributes or out is NULL");
	bus = hca_alloc(sizeof(*bus), HCA_MAY_SLEEP);
	if (!bus)
		return -ENOMEM;
	bus->dev.machine = m;
	err = fill_device(&bus->dev, attr);
	if (err)
		goto free_device;
	err = m->ops->attach(&bus->dev);
	if (err)
		goto free_device;
	hca_fetch_add(&m->devices, 1);
	*out = &bus->dev;
	return 0;
free_device:
	hca_free(bus);
	return err;
}

void device_destroy(struct device *dev)
{
	struct machine *m;

	if (!dev)
		return;
	m = dev->machine;
	m->ops->detach(dev);
	hca_free(to_bus(dev));
	hca_fetch_add(&m->devices, (u32)-1);
}

/* --- one range --- */

u64 platform_linear(const struct device *dev, u64 *base)
{
	const struct machine *m = dev->machine;

	*base = m->bus_base;
	if (m->ops != &platform_direct || dev->dma_mask < m->bus_base)
		return 0;
	return HCA_MIN(m->map.low_bytes, dev->dma_mask - m->bus_base + 1);
}

/* Is a range one that hca_dma_check() has nothing against? */
static inline bool fits(const struct hca_dma_space *sp, u64 off, u64 size, int dir)
{
	u64 end = off < sp->low ? sp->low : sp->all;

	return hca_likely(off < sp->all && size - 1 < end - off && (unsigned int)dir < HCA_DMA_NONE);
}

hca_dma_addr_t platform_map(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs)
{
	const struct machine *m = dev->machine;

	if (!fits(&m->space, off, size, dir))
		return hca_dma_error(platform_refuse_map(m, dev->name, off, size, dir, NULL));
	return m->ops->map_one(dev, off, size, dir, attrs);
}

hca_dma_addr_t platform_map_counted(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs)
{
	hca_dma_addr_t addr = dev->machine->ops->map(dev, off, size, dir, attrs);

	if (hca_likely(!hca_dma_errno(addr)))
		platform_count(&counts_here(dev)->maps);
	return addr;
}

int platform_unmap(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs)
{
	if (hca_unlikely(!size || (unsigned int)dir >= HCA_DMA_NONE || hca_dma_errno(addr)))
		return refuse_unmap(dev, addr, size, dir, -EINVAL);
	return dev->machine->ops->unmap_one(dev, addr, size, dir, attrs);
}

int platform_unmap_counted(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs)
{
	int err = dev->machine->ops->unmap(dev, addr, size, dir, attrs);

	if (hca_unlikely(err))
		return refuse_unmap(dev, addr, size, dir, err);
	platform_count(&counts_here(dev)->unmaps);
	return 0;
}

dma_addr_t dma_map_page_attrs(struct device *dev, struct page *page, size_t offset, size_t size,
			      enum dma_data_direction dir, unsigned long attrs)
{
	if (!dev)
		return hca_dma_error(hca_refuse(-EINVAL, "map_page refused: no device"));
	return platform_map(dev, machine_page_offset(dev->machine, page, offset), size, (int)dir, attrs);
}

dma_addr_t dma_map_single_attrs(struct device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				unsigned long attrs)
{
	if (!dev)
		return hca_dma_error(hca_refuse(-EINVAL, "map_single refused: no device"));
	return platform_map(dev, machine_ptr_offset(dev->machine, ptr), size, (int)dir, attrs);
}

void dma_unmap_page_attrs(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			  unsigned long attrs)
{
	if (dev)
		platform_unmap(dev, addr, size, (int)dir, attrs);
}

void dma_unmap_single_attrs(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			    unsigned long attrs)
{
	if (dev)
		platform_unmap(dev, addr, size, (int)dir, attrs);
}

static void sync_range(struct device *dev, dma_addr_t addr, u64 size, int dir, bool for_cpu)
{
	int err = -EINVAL;

	if (size && hca_dma_dir_valid(dir) && !hca_dma_errno(addr))
		err = dev->machine->ops->sync(dev, addr, size, dir, for_cpu);
	if (hca_unlikely(err))
		refuse(dev, LOGGED_SYNC, for_cpu ? "sync for the CPU" : "sync for the device", addr, size, dir, err);
}

void dma_sync_single_for_cpu(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir)
{
	if (dev)
		sync_range(dev, addr, size, (int)dir, true);
}

void dma_sync_single_for_device(struct device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir)
{
	if (dev)
		sync_range(dev, addr, size, (int)dir, false);
}

/* --- lists --- */

/* What list_check() has against a list: @sg is its entry @i. */
static HCA_COLD int refuse_entry(const struct machine *m, struct scatterlist *sg, int i, int nents, int dir,
				 u64 max_seg, int err)
{
	char subject[96];

	if (nents <= 0 || !hca_dma_dir_valid(dir) || (!sg && !i))
		return hca_refuse(err, "%s: list refused: %d entries at %p, direction %d", m->name, nents, (void *)sg,
				  dir);
	if (err == -EOPNOTSUPP)
		return hca_refuse(err, "%s: list refused: entry %d of %d is high memory, which this device doesn't map",
				  m->name, i, nents);
	if (!sg)
		return hca_refuse(err, "%s: list refused: it ends before entry %d of %d", m->name, i, nents);
	hca_snprintf(subject, sizeof(subject), "%s: list with entry %d of %d", m->name, i, nents);
	if (hca_dma_check(&m->space, sg_entry_offset(m, sg), sg->length, dir))
		return explain(m, subject, sg_entry_offset(m, sg), sg->length, dir);
	return hca_refuse(err, "%s refused: %u bytes, max_seg_size is %llu", subject, sg->length,
			  (unsigned long long)max_seg);
}

int list_check(const struct machine *m, struct scatterlist *sgl, int nents, int dir, u64 max_seg, bool low_only,
	       int *bad)
{
	struct scatterlist *sg = sgl;
	int err = 0;
	int i = 0;
	u64 off;

	if (!sgl || nents <= 0 || !hca_dma_dir_valid(dir))
		err = -EINVAL;
	for (; !err && i < nents; i++, sg = sg_next(sg)) {
		err = -EINVAL;
		if (!sg)
			break;
		off = sg_entry_offset(m, sg);
		err = hca_dma_check(&m->space, off, sg->length, dir);
		if (!err && max_seg && sg->length > max_seg)
			err = -EINVAL;
		if (!err && low_only && off >= m->space.low)
			err = -EOPNOTSUPP;
		if (err)
			break;
	}
	if (hca_likely(!err))
		return 0;
	if (bad)
		*bad = i;
	return refuse_entry(m, sg, i, nents, dir, max_seg, err);
}

static void unmap_first(struct device *dev, struct scatterlist *sgl, int n, int dir)
{
	struct scatterlist *sg;
	int i;

	/* The device never saw these bytes, so none of them need to come back. */
	for_each_sg(sgl, sg, n, i)
		dev->machine->ops->unmap(dev, sg_dma_address(sg), sg->length, dir, DMA_ATTR_SKIP_CPU_SYNC);
}

/* A device that can't carry past a boundary must not be given a piece that lies across one. */
static bool crosses(const struct device *dev, hca_dma_addr_t addr, u64 len)
{
	return (hca_dma_u64(addr) & dev->seg_boundary_mask) > dev->seg_boundary_mask - (len - 1) ||
	       len - 1 > dev->seg_boundary_mask;
}

static __attribute__((noinline)) HCA_COLD int refuse_crossing(const struct device *dev, int i)
{
	return hca_refuse(-EIO, "%s: list refused: entry %d lies across a boundary of 0x%llx bytes", dev->name, i,
			  (unsigned long long)dev->seg_boundary_mask + 1);
}

int list_map_each(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs)
{
	const struct machine *m = dev->machine;
	struct scatterlist *sg;
	hca_dma_addr_t addr;
	int err, i;

	for_each_sg(sgl, sg, nents, i) {
		addr = m->ops->map(dev, sg_entry_offset(m, sg), sg->length, dir, attrs);
		err = hca_dma_errno(addr);
		if (!err && crosses(dev, addr, sg->length)) {
			m->ops->unmap(dev, addr, sg->length, dir, DMA_ATTR_SKIP_CPU_SYNC);
			err = -EIO; /* refuse_crossing() says why */
		}
		if (err) {
			if (!hca_dma_errno(addr))
				(void)refuse_crossing(dev, i);
			unmap_first(dev, sgl, i, dir);
			return err;
		}
		sg_set_mapped(sg, addr, sg->length);
	}
	return nents;
}

/* Every entry is tried: one that is no longer mapped must not keep the others. */
int list_unmap_each(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs)
{
	struct scatterlist *sg = sgl;
	int err = 0;
	int i;

	for (i = 0; i < nents && sg; i++, sg = sg_next(sg)) {
		int e = dev->machine->ops->unmap(dev, sg_dma_address(sg), sg_dma_len(sg), dir, attrs);

		err = err ? err : e;
	}
	return err;
}

int platform_map_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs)
{
	const struct machine *m = dev->machine;
	int n = list_check(m, sgl, nents, dir, dev->max_seg_size, false, NULL);

	if (hca_unlikely(n))
		return n;
	n = m->ops->map_list(dev, sgl, nents, dir, attrs);
	if (hca_likely(n > 0))
		platform_count(&counts_here(dev)->maps);
	return n;
}

int platform_unmap_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs)
{
	hca_dma_addr_t addr = sgl ? sg_dma_address(sgl) : hca_dma_addr(0);
	int err = -EINVAL;

	if (hca_likely(sgl && nents > 0 && hca_dma_dir_valid(dir)))
		err = dev->machine->ops->unmap_list(dev, sgl, nents, dir, attrs);
	if (hca_unlikely(err))
		return refuse(dev, LOGGED_UNMAP, "unmap of a list", addr, (u64)(s64)nents, dir, err);
	platform_count(&counts_here(dev)->unmaps);
	return 0;
}

int dma_map_sg_attrs(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		     unsigned long attrs)
{
	int n = dev ? platform_map_list(dev, sgl, nents, (int)dir, attrs) : 0;

	return HCA_MAX(n, 0);
}

int dma_map_sgtable(struct device *dev, struct sg_table *sgt, enum dma_data_direction dir, unsigned long attrs)
{
	int n;

	if (!dev || !sgt)
		return hca_refuse(-EINVAL, "map_sgtable refused: device or table is NULL");
	n = platform_map_list(dev, sgt->sgl, (int)sgt->orig_nents, (int)dir, attrs);
	if (n < 0)
		return n;
	sgt->nents = (unsigned int)n;
	return 0;
}

void dma_unmap_sg_attrs(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			unsigned long attrs)
{
	if (dev)
		platform_unmap_list(dev, sgl, nents, (int)dir, attrs);
}

/* Behind the last entry that the device sees stands one without a length, where entries were merged. */
static void sync_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, bool for_cpu)
{
	struct scatterlist *sg = sgl;
	int i;

	if (!sgl || nents <= 0)
		refuse(dev, LOGGED_SYNC, "sync of a list", hca_dma_addr(0), (u64)(s64)nents, dir, -EINVAL);
	for (i = 0; i < nents && sg && sg_dma_len(sg); i++, sg = sg_next(sg))
		sync_range(dev, sg_dma_address(sg), sg_dma_len(sg), dir, for_cpu);
}

void dma_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir)
{
	if (dev)
		sync_list(dev, sgl, nents, (int)dir, true);
}

void dma_sync_sg_for_device(struct device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir)
{
	if (dev)
		sync_list(dev, sgl, nents, (int)dir, false);
}

/* --- the rest --- */

void *dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *handle, gfp_t gfp)
{
	hca_dma_addr_t addr;
	void *cpu;
	int err;

	if (!dev || !handle || !size) {
		(void)hca_refuse(-EINVAL, "coherent memory refused: device, handle or size is 0");
		return NULL;
	}
	err = dev->machine->ops->alloc(dev, size, gfp, &cpu, &addr);
	if (err) {
		(void)hca_refuse(err, "%s: no coherent memory of %llu bytes: %s", dev->name, (unsigned long long)size,
				 err == -EIO ? "the device reaches none" : "no memory, or no addresses, are free");
		return NULL;
	}
	*handle = addr;
	return cpu;
}

void dma_free_coherent(struct device *dev, size_t size, void *cpu_addr, dma_addr_t handle)
{
	int err = -EINVAL;

	if (!dev || !cpu_addr)
		return;
	if (size)
		err = dev->machine->ops->free(dev, size, cpu_addr, handle);
	if (err)
		refuse(dev, LOGGED_FREE, "free of coherent memory", handle, size, HCA_DMA_BIDIRECTIONAL, err);
}

size_t dma_max_mapping_size(struct device *dev)
{
	u64 most = dev->machine->ops->max_mapping(dev);

	return (size_t)HCA_MIN(most, (u64)(size_t)-1);
}

void device_get_stats(struct device *dev, struct device_stats *st)
{
	struct bus_device *bus = to_bus(dev);
	u32 i;

	hca_memset(st, 0, sizeof(*st));
	for (i = 0; i < HCA_SLOTS; i++) {
		st->maps += hca_load(&bus->counts[i].maps);
		st->unmaps += hca_load(&bus->counts[i].unmaps);
		st->refused_unmaps += hca_load(&bus->counts[i].refused);
	}
	dev->machine->ops->stats(dev, st);
}

void device_flush(struct device *dev)
{
	dev->machine->ops->flush(dev);
}
