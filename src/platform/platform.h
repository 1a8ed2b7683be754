/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The inside of a machine: what its files and the drivers of src/ib share.
 *
 * A byte of memory is identified by its offset in the arena: low memory first, then high
 * memory. A platform maps such ranges to bus addresses, and finds the memory behind
 * a bus address when a device uses it.
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include "arena.h"
#include "dma/check.h"
#include "dma/mem.h"
#include "os.h"
#include "softhca/dma-mapping.h"

#define NO_MEMORY_HERE (~0ull)
#define FAULT_RECORDS 256u
#define HUGE_SIZE (2ull << 20)
#define KMAP_SLOTS 512u

/**
 * struct platform_ops - the implementation of dma_map_*(); const, every entry set
 * @init, @fini: the platform's state of a machine
 * @attach, @detach: the platform's state of a device, dev->platform
 * @map: bus address of @size bytes at arena offset @off, or hca_dma_error(); arguments were checked
 * @unmap: end a mapping by its address; 0, or -ENOENT if there is none (as far as the platform can know). The
 *	mapping ends whole, as it was made: @size and @dir are what the caller claims.
 * @map_one, @unmap_one: the same for a mapping that is one call of a user's: they count it (platform_counts()), and log
 *	a refusal; platform_map_counted() and platform_unmap_counted(), or a short way for what is usual
 * @map_list: as dma_map_sg_attrs(); every entry was checked
 * @unmap_list: the mapping that begins at the first mapped field of @sgl; 0 or -ENOENT
 * @sync: bytes change owner; -ENOENT if the platform knows that there is no such mapping
 * @alloc, @free: coherent memory as dma_alloc_coherent(); -ENOENT for what isn't such memory
 * @open, @close: an access of the device: as struct hca_mem_ops. Records a fault if it refuses.
 * @origin: arena offset of the memory that the mapping at a bus address stands for, *@len cut to what follows in one
 *	piece; NO_MEMORY_HERE if nothing is mapped there. No fault is recorded.
 * @flush: finish deferred work
 * @stats: add the platform's own figures
 * @max_mapping: bytes
 */
struct platform_ops {
	const char *name;
	int (*init)(struct machine *m, const struct machine_attr *attr);
	void (*fini)(struct machine *m);
	int (*attach)(struct device *dev);
	void (*detach)(struct device *dev);
	hca_dma_addr_t (*map)(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs);
	int (*unmap)(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs);
	hca_dma_addr_t (*map_one)(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs);
	int (*unmap_one)(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs);
	int (*map_list)(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs);
	int (*unmap_list)(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs);
	int (*sync)(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, bool for_cpu);
	int (*alloc)(struct device *dev, u64 size, gfp_t gfp, void **cpu, hca_dma_addr_t *handle);
	int (*free)(struct device *dev, u64 size, void *cpu, hca_dma_addr_t handle);
	int (*open)(struct device *dev, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w);
	void (*close)(struct device *dev, struct hca_mem_view *w);
	u64 (*origin)(struct device *dev, hca_dma_addr_t addr, u64 *len);
	void (*flush)(struct device *dev);
	void (*stats)(struct device *dev, struct device_stats *st);
	u64 (*max_mapping)(struct device *dev);
};

extern const struct platform_ops platform_direct;
extern const struct platform_ops platform_iommu;
extern const struct platform_ops platform_bounce;

/* How many blocks of each order are free, and the first of each; the page allocator's. */
struct page_zone {
	u64 first; /* page index */
	u64 pages;
	u64 free;
	u32 head[MACHINE_MAX_ORDER + 1];
};

/*
 * Low memory is divided where its bus addresses pass a power of two: a device whose mask is DMA_BIT_MASK(n) reaches a
 * zone wholly or not at all. Zones ascend; the last is high memory, which may be empty.
 */
#define ZONES_MAX 32u

/*
 * struct machine - @map comes first, so that a page leads to its machine.
 *
 * Lock order: none of these is taken with another held.
 */
struct machine {
	struct machine_map map;
	char name[32];
	const struct platform_ops *ops;
	struct hca_dma_space space; /* of map, for the argument check */
	u8 *bus_view; /* all of the arena, for devices: without protection */
	int arena;
	bool lazy; /* iommu */
	u64 aperture; /* iommu */
	u64 bus_base; /* direct, bounce: the bus address of arena offset 0 */
	u64 reserved; /* bounce: the pool; bytes at the start of low memory that the page allocator doesn't own */
	bool guard;
	u64 ram_low; /* bytes of low memory with memory; the rest is for files */
	void *platform; /* the platform's own */

	struct hca_spinlock pages_lock; /* zones, and in struct page all but map and guards */
	struct page_zone zone[ZONES_MAX];
	u32 high_zone; /* constant: how many zones low memory has, and so the number of the high one */

	struct hca_spinlock kmap_lock; /* kmap_used */
	u8 *kmap_window;
	u64 *kmap_used; /* a bit a slot */
	u32 kmap_next; /* where the search begins: a slot just given back rests, so that its old address faults */

	struct hca_spinlock guard_lock; /* struct page's guards, and the protection that follows from them */
	void *guard_hits; /* guard.c's own, atomic; NULL without guard */

	struct hca_spinlock file_lock; /* which of the pieces are used */
	struct file_piece *files; /* of MACHINE_FILE_PIECE each; NULL without file_bytes */
	u32 file_next; /* where the search begins */

	struct hca_spinlock heap_lock; /* what is in heap */
	struct kmalloc_heap *heap; /* atomic; NULL before the first kmalloc() */

	struct hca_spinlock fault_lock; /* faults, fault_serial */
	struct bus_fault *faults;
	u64 fault_serial;

	u32 devices; /* atomic */
};

static inline struct machine *map_machine(const struct machine_map *map)
{
	return hca_container_of(map, struct machine, map);
}

/** machine_ptr_offset() - arena offset of a virtual address; NO_MEMORY_HERE, or any offset not in low memory, if it is none */
static inline u64 machine_ptr_offset(const struct machine *m, const void *ptr)
{
	uintptr_t off = (uintptr_t)ptr - m->map.virt;

	return off < m->map.low_bytes ? off : NO_MEMORY_HERE;
}

/**
 * machine_page_offset() - arena offset of a byte of a page, or of the pages that follow it
 *
 * Return: NO_MEMORY_HERE, or any offset of @all_bytes or more, for a page of elsewhere, for an offset past the arena,
 * and for one that leads out of low memory.
 */
static inline u64 machine_page_offset(const struct machine *m, const struct page *page, u64 offset)
{
	uintptr_t at = (uintptr_t)page - (uintptr_t)m->map.pages;
	u64 off = (u64)at << (PAGE_SHIFT - STRUCT_PAGE_SHIFT);

	if (hca_unlikely(at >= m->map.all_bytes >> (PAGE_SHIFT - STRUCT_PAGE_SHIFT) ||
			 at & ((1u << STRUCT_PAGE_SHIFT) - 1)))
		return NO_MEMORY_HERE;
	if (hca_unlikely(offset >= PAGE_SIZE) &&
	    (offset >= m->map.all_bytes || (off < m->map.low_bytes && off + offset >= m->map.low_bytes)))
		return NO_MEMORY_HERE;
	return off + offset;
}

/** machine_offset_virt() - virtual address of an arena offset, NULL in high memory */
static inline void *machine_offset_virt(const struct machine *m, u64 off)
{
	return off < m->map.low_bytes ? (void *)(m->map.virt + (uintptr_t)off) : NULL;
}

/** machine_bus_ptr() - where a device finds an arena offset */
static inline void *machine_bus_ptr(const struct machine *m, u64 off)
{
	return m->bus_view + (size_t)off;
}

/* --- machine.c --- */
enum machine_part { MACHINE_LOW, MACHINE_PAGES, MACHINE_BUS_VIEW, MACHINE_KMAP };

/** machine_at() - the machine that has something at an address, and what; NULL if none has. The caller keeps the machine alive. */
struct machine *machine_at(const void *ptr, enum machine_part *part);

/* --- page.c --- */
int page_init(struct machine *m);
void page_fini(struct machine *m);

/**
 * page_alloc_below() - as machine_alloc_pages(), of low memory at bus addresses up to @most, for buses that are linear
 *
 * Where @most lies inside a zone, and nothing is free below it, the pages may be beyond: the caller looks.
 */
struct page *page_alloc_below(struct machine *m, gfp_t gfp, unsigned int order, u64 most);

/** page_free_block() - as __free_pages(), quietly. Return: 0; -EINVAL for what isn't the first page of an allocation of that order. */
int page_free_block(struct page *page, unsigned int order);

/* --- kmalloc.c --- */

/** kmalloc_report() - log what wasn't freed, a line each for the first sixteen */
void kmalloc_report(struct machine *m);
void kmalloc_fini(struct machine *m);

/** page_order() - the smallest order that holds @size bytes; more than MACHINE_MAX_ORDER if none does */
unsigned int page_order(u64 size);

/** page_from_offset() - the page that has the byte at an arena offset; NULL beyond the end */
struct page *page_from_offset(const struct machine *m, u64 off);

/* --- kmap.c --- */
int kmap_init(struct machine *m);
void kmap_fini(struct machine *m);

/** kmap_offset() - as kmap_local_page() of the page that has the byte at @off, but always the adapter's own view: no guard applies. NULL: no room. */
void *kmap_offset(struct machine *m, u64 off);

/* --- guard.c --- */

/**
 * enum guard_how - what happened to a range that a device may own
 * @GUARD_MAP: one more mapping of it: each page's count goes up, and the CPU may not write it
 * @GUARD_UNMAP: one less: the count goes down, though not below 0; at 0 the CPU may write
 * @GUARD_TO_CPU: sync for the CPU: the count becomes 0 whatever it was
 * @GUARD_TO_DEVICE: sync for the device: the count becomes 1 if it was 0
 *
 * So however unbalanced a caller's syncs are, no page without a mapping keeps a guard.
 */
enum guard_how { GUARD_MAP, GUARD_UNMAP, GUARD_TO_CPU, GUARD_TO_DEVICE };

/** guard_range() - the whole pages of low memory inside the range, see enum guard_how */
void guard_range(struct machine *m, u64 off, u64 len, enum guard_how how);

/** guard_init(), guard_fini() - take over SIGSEGV with the first guarding machine, give it back with the last */
int guard_init(struct machine *m);
void guard_fini(struct machine *m);

/**
 * guard_take_hits() - the CPU writes that were caught and not yet reported
 * @hit: called with the arena offset written and the code address that wrote
 */
void guard_take_hits(struct machine *m, void (*hit)(void *ctx, u64 off, const void *code), void *ctx);

/* --- file.c --- */
int file_init(struct machine *m);
void file_fini(struct machine *m);

/** file_pieces() - how many are mapped */
u32 file_pieces(struct machine *m);

/* --- fault.c --- */
int fault_init(struct machine *m);
void fault_fini(struct machine *m);

/** fault_record() - a device's access was refused. Return: -EFAULT */
int fault_record(struct device *dev, hca_dma_addr_t addr, enum hca_mem_op access, enum fault_reason reason);

/* --- device.c: helpers of the platforms --- */

/** list_map_each() - map_list for platforms that map each entry by itself: all or nothing */
int list_map_each(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs);
int list_unmap_each(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs);

/** sg_entry_offset() - arena offset of an entry's first byte, as machine_page_offset() */
static inline u64 sg_entry_offset(const struct machine *m, const struct scatterlist *sg)
{
	return machine_page_offset(m, sg_page(sg), sg->offset);
}

/* The mapped fields are written here and read by sg_dma_address() and sg_dma_len(). */
static inline void sg_set_mapped(struct scatterlist *sg, hca_dma_addr_t addr, unsigned int len)
{
#if defined(SOFTHCA_SG_LAYOUT_CLASSIC)
	sg->iova = addr;
	sg->iova_length = len;
#else
	sg->dma_address = addr;
#ifdef SOFTHCA_SG_LAYOUT_SPLIT
	sg->dma_length = len;
#else
	(void)len;
#endif
#endif
}

/* Can a mapped entry stand for several? Not where it has no length of its own. */
#ifdef SOFTHCA_SG_LAYOUT_JOINED
#define SG_CAN_MERGE false
#else
#define SG_CAN_MERGE true
#endif

/*
 * Counted by the slot, each on a line of its own, with plain loads and stores: a mapping must not cost two threads
 * a fight over a line. Threads that share a slot may lose a count.
 */
struct device_counts {
	u64 maps;
	u64 unmaps;
	u64 refused;
} HCA_ALIGNED(HCA_CACHE_LINE);

/* struct bus_device - what every struct device is the beginning of */
struct bus_device {
	struct device dev;
	u32 logged; /* atomic; device.c's own */
	struct device_counts counts[HCA_SLOTS];
};

static inline struct device_counts *platform_counts(struct device *dev, unsigned int slot)
{
	return &hca_container_of(dev, struct bus_device, dev)->counts[slot];
}

static inline void platform_count(u64 *n)
{
	hca_store(n, hca_load(n) + 1);
}

/** platform_map_counted(), platform_unmap_counted() - by ops->map and ops->unmap, with counter and log */
hca_dma_addr_t platform_map_counted(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs);
int platform_unmap_counted(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs);

/* --- device.c: the bodies behind dma_map_*(), by arena offset and with the errno kept --- */
hca_dma_addr_t platform_map(struct device *dev, u64 off, u64 size, int dir, unsigned long attrs);
int platform_unmap(struct device *dev, hca_dma_addr_t addr, u64 size, int dir, unsigned long attrs);

/** platform_linear() - bytes at the start of low memory whose bus addresses are *@base and up, and need no mapping; 0: none */
u64 platform_linear(const struct device *dev, u64 *base);

int platform_map_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs);
int platform_unmap_list(struct device *dev, struct scatterlist *sgl, int nents, int dir, unsigned long attrs);

/**
 * platform_refuse_map() - say what hca_dma_check() has against a range
 * @device: its name; @site: of the call, or NULL
 *
 * Return: what hca_dma_check() returns, an error
 */
int platform_refuse_map(const struct machine *m, const char *device, u64 off, u64 size, int dir,
			hca_site_t site) HCA_COLD;

/**
 * list_check() - walk a list that is to be mapped
 * @max_seg: longest entry allowed; 0: any
 * @low_only: refuse high memory with -EOPNOTSUPP
 * @bad: index of the entry that failed, or NULL
 *
 * Return: 0; -EINVAL (entries missing, zero or overlong ones, bad direction), -EFAULT (a page of elsewhere, beyond the arena).
 */
int list_check(const struct machine *m, struct scatterlist *sgl, int nents, int dir, u64 max_seg, bool low_only,
	       int *bad);

#endif
