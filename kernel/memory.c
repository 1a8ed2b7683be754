/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The machine's memory, for the software adapter's accessor: what is mapped for good
 * is touched where it is, a page of high memory is mapped for as long as a window is
 * open. An address that is neither is refused, whatever its source.
 */
#include "glue.h"

#include <linux/highmem.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pgtable.h>

/*
 * Memory of a device's own, in ZONE_DEVICE. The direct map hasn't got it if no CPU may touch it (a graphics card's, private)
 * and maps registers and such of PCI devices for peers: no software adapter can reach the first, and the second are for
 * those who say that they know the difference. The rest (persistent memory, DAX) is memory like any other.
 */
static bool device_memory_usable(const struct page *page)
{
#ifdef HCA_HAVE_PAGE_PGMAP
	enum memory_type type = page_pgmap(page)->type;
#else
	enum memory_type type = page->pgmap->type;
#endif

	return type != MEMORY_DEVICE_PRIVATE && type != MEMORY_DEVICE_PCI_P2PDMA;
}

/*
 * A section of memory has its struct pages although parts of it are no memory, or not for devices: those pages are
 * reserved. The page of zeros is, too, and is read by many.
 */
bool softhca_usable(unsigned long pfn)
{
	struct page *page;

	if (!pfn_valid(pfn))
		return false;
	page = pfn_to_page(pfn);
	if (unlikely(is_zone_device_page(page)))
		return device_memory_usable(page);
	return likely(!PageReserved(page)) || is_zero_pfn(pfn);
}

static void *cpu_virt(void *ctx, u64 addr, u64 len)
{
	unsigned long first = (unsigned long)addr, last = (unsigned long)(addr + len - 1);
	unsigned long pfn, end;

	if (unlikely(addr != first || !len || len > ULONG_MAX || last < first || !virt_addr_valid((void *)first) ||
		     !virt_addr_valid((void *)last)))
		return NULL;
	/* Between low memory and vmalloc's is nothing, but it would be high memory's pages if it were something. */
	if (IS_ENABLED(CONFIG_HIGHMEM) && unlikely(last >= (unsigned long)high_memory))
		return NULL;
	end = PHYS_PFN(__pa(last));
	for (pfn = PHYS_PFN(__pa(first)); pfn <= end; pfn++)
		if (unlikely(!softhca_usable(pfn)))
			return NULL;
	return (void *)first;
}

static void *cpu_kmap(void *ctx, u64 pfn, int *err)
{
	*err = -EFAULT;
	if (pfn != (unsigned long)pfn || !softhca_usable((unsigned long)pfn))
		return NULL;
	return kmap_local_page(pfn_to_page((unsigned long)pfn));
}

static void cpu_kunmap(void *ctx, void *at)
{
	kunmap_local(at);
}

const struct hca_soft_ops softhca_soft_ops = {
	.virt = cpu_virt,
	.kmap = cpu_kmap,
	.kunmap = cpu_kunmap,
};
