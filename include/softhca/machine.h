/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The machine under the kernel-style verbs: pages, low and high memory, and the
 * platform that stands between a device and them.
 *
 * A machine owns an arena of pages. Low memory is mapped for good and has virtual
 * addresses; high memory is mapped nowhere until kmap_local_page(). Names and
 * meanings are Linux's where Linux has them; a call that in Linux has one machine
 * to talk about takes it as its first argument.
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
#define GFP_NOIO GFP_KERNEL /* here nothing is written back to make room */
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
 * struct machine_map - where a machine's memory is; constant while the machine lives
 * @virt: virtual address of the first byte of low memory
 * @low_bytes: bytes of low memory
 * @all_bytes: bytes of low and high memory; high memory follows low memory in physical addresses
 * @phys: physical address of the first byte
 * @pages: a struct page for each page, in order
 * @file_bytes: the last so many bytes of low memory are addresses for pieces of files (machine_map_file()), and no memory
 */
struct machine_map {
	uintptr_t virt;
	u64 low_bytes;
	u64 all_bytes;
	phys_addr_t phys;
	struct page *pages;
	u64 file_bytes;
};

/* sizeof(struct page) as a shift, so that going between pages and bytes is arithmetic alone. */
#define STRUCT_PAGE_SHIFT 5

/**
 * struct page - stands for one page of the arena; allocated ones only are handed out
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
	MACHINE_DIRECT, /* a bus address is the physical one plus a constant that isn't 0 */
	MACHINE_IOMMU, /* a bus address is what the device's I/O page table says */
	MACHINE_BOUNCE, /* as direct, but memory beyond a device's mask goes through a pool of copies */
};

/**
 * struct machine_attr - how a machine is made; 0 anywhere asks for the default
 * @name: for messages; copied
 * @low_bytes: low memory, a multiple of 2 MiB; at least 2 MiB; default 64 MiB
 * @high_bytes: high memory, a multiple of 2 MiB; default none
 * @phys: physical address of the first page, a multiple of 2 MiB; default: 1 GiB, on a bounce machine such that the bus
 *	addresses of the pool and of half of low memory lie below 4 GiB and the rest above
 * @platform: what stands between devices and memory
 * @iommu_lazy: unmapped I/O addresses are flushed from the IOTLB in batches, after 10 ms at the latest
 * @iommu_aperture: bytes of I/O addresses of each device, a multiple of 2 MiB; default 64 GiB
 * @bounce_bytes: the pool of a bounce machine, a multiple of 2 MiB taken from low memory; default 2 MiB or a sixteenth of it
 * @guard: low memory that a device owns is write-protected against the CPU where whole pages are concerned. Takes over
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
 * Memory that is never touched takes none of the host's. A forked child has a machine of its own with what the memory
 * held at the fork; fork() copies what was touched. Context: may sleep.
 * Return: 0 and the machine in @out; -EINVAL for sizes that don't fit the rules above; -ENOMEM; -EFBIG for more than the
 * process's limit of a file's size (ulimit -f) allows; -EMFILE, -ENFILE.
 */
int machine_create(const struct machine_attr *attr, struct machine **out);

/**
 * machine_destroy() - the machine with its memory
 * Return: 0; -EBUSY while it has devices, or pages that weren't freed (it logs how many), and then it stays.
 */
int machine_destroy(struct machine *m);

/** machine_map() - where the machine's memory is */
const struct machine_map *machine_map(const struct machine *m);

/** machine_name() - as given at creation */
const char *machine_name(const struct machine *m);

/** machine_free_pages() - how many pages can still be allocated, low and high together */
u64 machine_free_pages(struct machine *m);

/** machine_set_current() - the machine that alloc_pages() takes pages from; NULL: none. The first one made is it until told otherwise. */
void machine_set_current(struct machine *m);

/** machine_current() - see machine_set_current() */
struct machine *machine_current(void);

/**
 * machine_alloc_pages() - 2^@order pages that lie one after the other, aligned to their size
 * @gfp: GFP_* and __GFP_*
 * @order: 0 to MACHINE_MAX_ORDER
 *
 * Return: the first page, which __free_pages() takes with the same order; NULL if there is none.
 */
struct page *machine_alloc_pages(struct machine *m, gfp_t gfp, unsigned int order);

/** alloc_pages() - machine_alloc_pages() from the current machine */
struct page *alloc_pages(gfp_t gfp, unsigned int order);

/** __free_pages() - give pages back; NULL is allowed. A page that isn't the first of such an allocation is refused, loudly. */
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
 * @write: it may be written; else a write is kept from the file, and counts as failed
 * @page: set to the first of the pages that stand for it
 *
 * They are the page cache's own pages, where the file has such: nothing is copied, and the file's other users see the same
 * bytes. An access that the file has no bytes for, as it became shorter or can't be read, finds zeros, and
 * machine_file_failed() says so. Context: may sleep.
 * Return: 0; -EINVAL; -ENOSPC: no addresses are free; or -errno as mmap().
 */
int machine_map_file(struct machine *m, int fd, u64 at, u64 bytes, bool write, struct page **page);

/**
 * machine_file_failed() - was there an access since machine_map_file() that didn't find the file's bytes?
 * @page: the first page
 *
 * An access is noted before it goes on.
 */
bool machine_file_failed(const struct page *page);

/** machine_unmap_file() - no device has the pages mapped any more, and nobody uses them. @page: the first one */
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

/** virt_to_page() - the page of a low memory address of any machine; NULL if it is none */
struct page *virt_to_page(const void *addr);

/**
 * kmap_local_page() - make a page addressable for this thread
 *
 * A low memory page answers with its address. A high memory page is mapped until kunmap_local(); the last mapped
 * must be unmapped first, 16 at most at a time in a thread.
 * Return: address of the page's first byte; NULL if the host has no room (Linux's own can't fail).
 */
void *kmap_local_page(struct page *page);

/** kunmap_local() - end what kmap_local_page() began; any address in the page will do. Memory is gone at once: a later access faults. */
void kunmap_local(const void *addr);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
