/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The machine under the kernel-style verbs: pages, low and high memory, and the
 * platform between a device and memory.
 *
 * A machine owns an arena of pages. Low memory is always mapped and has virtual
 * addresses; high memory isn't mapped until kmap_local_page(). Names and
 * meanings are Linux's where Linux has them. Where a call needs a machine and Linux
 * has only one, the machine is the first argument.
 */
#ifndef SOFTHCA_MACHINE_H
#define SOFTHCA_MACHINE_H

#include "softhca/hca_types.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#ifndef PAGE_SHIFT
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#endif

typedef u64 phys_addr_t;
typedef unsigned int gfp_t;

#define GFP_ATOMIC 0x0u /* must not sleep */
#define GFP_KERNEL 0x1u /* may sleep */
#define GFP_NOIO GFP_KERNEL /* no allocation here causes I/O */
#define GFP_NOFS GFP_KERNEL
#define GFP_NOWAIT GFP_ATOMIC
#define __GFP_ZERO 0x2u
#define __GFP_HIGHMEM 0x4u /* high memory if there is any left, else low */
#define GFP_HIGHUSER (GFP_KERNEL | __GFP_HIGHMEM)

/* The largest order of one allocation: 1 GiB. */
#define MACHINE_MAX_ORDER 18

struct machine;
struct page;

/**
 * struct machine_map - the addresses of a machine's memory; constant while the machine exists
 * @virt: virtual address of the first byte of low memory
 * @low_bytes: bytes of low memory
 * @all_bytes: bytes of low and high memory; high memory follows low memory in physical addresses
 * @phys: physical address of the first byte
 * @pages: a struct page for each page, in order
 * @file_bytes: so many bytes at the end of low memory are addresses for pieces of files (machine_map_file()), without memory
 */
struct machine_map {
	uintptr_t virt;
	u64 low_bytes;
	u64 all_bytes;
	phys_addr_t phys;
	struct page *pages;
	u64 file_bytes;
};

/* sizeof(struct page) as a shift: converting between pages and bytes needs no division. */
#define STRUCT_PAGE_SHIFT 5

/**
 * struct page - one page of the arena
 * @map: its machine's map
 *
 * The rest is the page allocator's.
 */
struct page {
	const struct machine_map *map;
	u32 next;
	u32 prev;
	u32 guards;
	u8 order;
	u8 state;
	u8 zone;
} __attribute__((aligned(1 << STRUCT_PAGE_SHIFT)));

/** enum machine_platform - what dma_map_*() means on a machine */
enum machine_platform {
	MACHINE_DIRECT, /* a bus address is the physical address plus a constant that isn't 0 */
	MACHINE_IOMMU, /* a bus address is an address in the device's I/O page table */
	MACHINE_BOUNCE, /* as direct, but memory beyond a device's mask goes through a pool of copies */
};

/**
 * struct machine_attr - attributes of a machine; 0 in a field means the default
 * @name: for messages; copied
 * @low_bytes: low memory, a multiple of 2 MiB; at least 2 MiB; default 64 MiB
 * @high_bytes: high memory, a multiple of 2 MiB; default none
 * @phys: physical address of the first page, a multiple of 2 MiB; default: 1 GiB, on a bounce machine such that the bus
 *	addresses of the pool and of half of low memory lie below 4 GiB and the rest above
 * @platform: the platform between devices and memory
 * @iommu_lazy: unmapped I/O addresses are flushed from the IOTLB in batches, after 10 ms at the latest
 * @iommu_aperture: bytes of I/O addresses of each device, a multiple of 2 MiB; default 64 GiB
 * @bounce_bytes: the pool of a bounce machine, a multiple of 2 MiB taken from low memory; default a sixteenth of it, at least 2 MiB
 * @guard: whole pages of low memory that a device owns are write-protected against the CPU. Takes over
 *	SIGSEGV for the process while such a machine exists; needs a device with a ledger to report to.
 * @file_bytes: addresses for pieces of files at the end of low memory, a multiple of 2 MiB; default none. Takes over SIGBUS
 *	and SIGSEGV for the process while such a machine exists. Not on a bounce machine, whose copies wouldn't follow a file.
 */
struct machine_attr {
	const char *name;
	u64 low_bytes;
	u64 high_bytes;
	phys_addr_t phys;
	enum machine_platform platform;
	bool iommu_lazy;
	u64 iommu_aperture;
	u64 bounce_bytes;
	bool guard;
	u64 file_bytes;
};

/**
 * machine_create() - a machine
 *
 * Memory that is never touched takes no memory of the host. A forked child has a machine of its own with the contents
 * of memory at the fork; fork() copies touched memory. Context: may sleep.
 * Return: 0 and the machine in @out; -EINVAL for sizes that don't fit the rules above; -ENOMEM; -EFBIG for more than the
 * process's limit of a file's size (ulimit -f) allows; -EMFILE, -ENFILE.
 */
int machine_create(const struct machine_attr *attr, struct machine **out);

/**
 * machine_destroy() - the machine with its memory
 * Return: 0; -EBUSY while it has devices or allocated pages (it logs how many); then nothing changes.
 */
int machine_destroy(struct machine *m);

/** machine_map() - the addresses of the machine's memory */
const struct machine_map *machine_map(const struct machine *m);

/** machine_name() - as given at creation */
const char *machine_name(const struct machine *m);

/** machine_free_pages() - how many pages can still be allocated, low and high together */
u64 machine_free_pages(struct machine *m);

/** machine_set_current() - the machine that alloc_pages() takes pages from; NULL: none. Without a call it is the first machine made. */
void machine_set_current(struct machine *m);

/** machine_current() - see machine_set_current() */
struct machine *machine_current(void);

/**
 * machine_alloc_pages() - 2^@order consecutive pages, aligned to their size
 * @gfp: GFP_* and __GFP_*
 * @order: 0 to MACHINE_MAX_ORDER
 *
 * Return: the first page, for __free_pages() with the same order; NULL if there is none.
 */
struct page *machine_alloc_pages(struct machine *m, gfp_t gfp, unsigned int order);

/** alloc_pages() - machine_alloc_pages() from the current machine */
struct page *alloc_pages(gfp_t gfp, unsigned int order);

/** __free_pages() - free pages; NULL is allowed. A page that isn't the first of such an allocation is refused, with a message. */
void __free_pages(struct page *page, unsigned int order);

static inline struct page *alloc_page(gfp_t gfp)
{
	return alloc_pages(gfp, 0);
}

static inline void __free_page(struct page *page)
{
	__free_pages(page, 0);
}

/* The most bytes of one machine_map_file(), and the most that the addresses of one piece take. */
#define MACHINE_FILE_PIECE (2ull << 20)

/**
 * machine_map_file() - the pages of a file become low memory of a machine, for the CPU and for adapters
 * @fd: open for reading; with @write for both. It may be closed afterwards.
 * @at: byte of the file, a multiple of PAGE_SIZE
 * @bytes: a multiple of PAGE_SIZE, at most MACHINE_FILE_PIECE
 * @write: it may be written; else a write doesn't reach the file, and counts as failed
 * @page: set to the first of its pages
 *
 * They are the page cache's own pages, if the file has any: nothing is copied, and the file's other users see the same
 * bytes. If the file became shorter or can't be read, an access finds zeros, and
 * machine_file_failed() returns true. Context: may sleep.
 * Return: 0; -EINVAL; -ENOSPC: no addresses are free; or -errno as mmap().
 */
int machine_map_file(struct machine *m, int fd, u64 at, u64 bytes, bool write, struct page **page);

/**
 * machine_file_failed() - has an access since machine_map_file() failed to get the file's bytes?
 * @page: the first page
 *
 * A failed access is recorded before it continues.
 */
bool machine_file_failed(const struct page *page);

/** machine_unmap_file() - unmap the pages, which no device has mapped and no thread uses any more. @page: the first one */
void machine_unmap_file(struct page *page);

/** page_index() - the page's place in its machine */
static inline u64 page_index(const struct page *page)
{
	return ((uintptr_t)page - (uintptr_t)page->map->pages) >> STRUCT_PAGE_SHIFT;
}

/** page_to_phys() - physical address of the page's first byte */
static inline phys_addr_t page_to_phys(const struct page *page)
{
	return page->map->phys + (page_index(page) << PAGE_SHIFT);
}

static inline u64 page_to_pfn(const struct page *page)
{
	return page_to_phys(page) >> PAGE_SHIFT;
}

/** page_address() - virtual address of a low memory page; NULL for high memory */
static inline void *page_address(const struct page *page)
{
	u64 off = page_index(page) << PAGE_SHIFT;

	return off < page->map->low_bytes ? (void *)(page->map->virt + (uintptr_t)off) : NULL;
}

static inline bool PageHighMem(const struct page *page)
{
	return !page_address(page);
}

/** nth_page() - the page @n after @page in physical memory */
static inline struct page *nth_page(struct page *page, u64 n)
{
	return page + (ptrdiff_t)n;
}

/** pfn_to_page() - NULL if the machine has no such page */
struct page *machine_pfn_to_page(struct machine *m, u64 pfn);

/** virt_to_page() - the page of a low memory address of any machine; NULL for other addresses */
struct page *virt_to_page(const void *addr);

/**
 * kmap_local_page() - make a page addressable for this thread
 *
 * For a low memory page this returns its address. A high memory page is mapped until kunmap_local(); the last mapped
 * must be unmapped first, and a thread has at most 16 mapped at a time.
 * Return: address of the page's first byte; NULL if the host has no room (Linux's call can't fail).
 */
void *kmap_local_page(struct page *page);

/** kunmap_local() - unmap a page of kmap_local_page(), by any address in it. A later access faults. */
void kunmap_local(const void *addr);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
