/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The page allocator: buddies of 2^order pages in zones: high memory, and low memory
 * divided by what devices reach. Called by everybody who wants a page; the machine's
 * platform among them. As in Linux, who doesn't care gets the memory that the fewest
 * devices reach, so that the rest is there for those that reach no other.
 *
 * A struct page is written when its page is first handed out or begins a block,
 * never before, so that a large machine costs no memory until it's used. What is
 * given back is judged by the block that the allocator knows, never by the
 * caller's word: a wrong free changes nothing.
 */
#include "platform.h"

#define NO_PAGE (~0u)

/* From this order on zeroing is left to the host, which takes the memory back and gives it out again when touched. */
#define DISCARD_ORDER 9u

/* What struct page says of a block's first page. Every other page is PAGE_PLAIN. */
enum { PAGE_PLAIN, PAGE_FREE, PAGE_USED };

static u64 first_pfn(const struct machine *m)
{
	return m->map.phys >> PAGE_SHIFT;
}

static void link_block(struct machine *m, u32 zone, u32 at, unsigned int order)
{
	struct page_zone *z = &m->zone[zone];
	struct page *page = &m->map.pages[at];

	page->state = PAGE_FREE;
	page->order = (u8)order;
	page->zone = (u8)zone;
	page->prev = NO_PAGE;
	page->next = z->head[order];
	if (page->next != NO_PAGE)
		m->map.pages[page->next].prev = at;
	z->head[order] = at;
}

static void unlink_block(struct machine *m, u32 at)
{
	struct page *page = &m->map.pages[at];
	struct page_zone *z = &m->zone[page->zone];

	if (page->prev != NO_PAGE)
		m->map.pages[page->prev].next = page->next;
	else
		z->head[page->order] = page->next;
	if (page->next != NO_PAGE)
		m->map.pages[page->next].prev = page->prev;
	page->state = PAGE_PLAIN;
}

/* The largest blocks that fit, the highest first, so that the lowest is the first to be handed out. */
static void zone_init(struct machine *m, u32 zone, u64 first, u64 end)
{
	struct page_zone *z = &m->zone[zone];
	u64 pfn0 = first_pfn(m);
	unsigned int order;

	z->first = first;
	z->pages = end - first;
	z->free = z->pages;
	for (order = 0; order <= MACHINE_MAX_ORDER; order++)
		z->head[order] = NO_PAGE;
	while (end > first) {
		order = MACHINE_MAX_ORDER;
		while ((end + pfn0) & ((1ull << order) - 1) || end - first < 1ull << order)
			order--;
		end -= 1ull << order;
		link_block(m, zone, (u32)end, order);
	}
}

/* The bus address of a page's first byte, on a linear bus. */
static u64 page_bus(const struct machine *m, u64 at)
{
	return m->bus_base + (at << PAGE_SHIFT);
}

/* The page, after @at, at which a zone that begins there ends. */
static u64 zone_end(const struct machine *m, u64 at, u64 low)
{
	u64 bus = page_bus(m, at), power;

	if (m->ops == &platform_iommu) /* its devices reach all that is mapped */
		return low;
	power = 1ull << (63 - __builtin_clzll(bus));
	return HCA_MIN(low, at + ((2 * power - bus) >> PAGE_SHIFT));
}

int page_init(struct machine *m)
{
	u64 all = m->map.all_bytes >> PAGE_SHIFT;
	u64 low = m->ram_low >> PAGE_SHIFT;
	u64 at, end;

	_Static_assert(sizeof(struct page) == 1 << STRUCT_PAGE_SHIFT, "page_index() shifts by this");
	m->map.pages = hca_alloc((size_t)(all << STRUCT_PAGE_SHIFT), HCA_MAY_SLEEP);
	if (!m->map.pages)
		return -ENOMEM;
	m->high_zone = 0;
	for (at = m->reserved >> PAGE_SHIFT; at < low; at = end) {
		end = zone_end(m, at, low);
		/* Addresses end at 2^53, and none is below 256 MiB. */
		HCA_ASSERT(m->high_zone < ZONES_MAX - 1);
		zone_init(m, m->high_zone++, at, end);
	}
	zone_init(m, m->high_zone, m->map.low_bytes >> PAGE_SHIFT, all);
	return 0;
}

void page_fini(struct machine *m)
{
	hca_free(m->map.pages);
}

unsigned int page_order(u64 size)
{
	unsigned int order = 0;

	while (order <= MACHINE_MAX_ORDER && size > (u64)PAGE_SIZE << order)
		order++;
	return order;
}

/* Two threads may name a page for the first time at once; the second must see the first one's write. */
static struct page *name_page(const struct machine *m, u64 at)
{
	struct page *page = &m->map.pages[at];

	if (hca_unlikely(!hca_load_acquire(&page->map)))
		hca_cmpxchg(&page->map, NULL, &m->map);
	return page;
}

static u32 take_block(struct machine *m, u32 zone, unsigned int order)
{
	struct page_zone *z = &m->zone[zone];
	unsigned int o = order;
	u32 at;

	hca_spin_assert(&m->pages_lock);
	while (o <= MACHINE_MAX_ORDER && z->head[o] == NO_PAGE)
		o++;
	if (o > MACHINE_MAX_ORDER)
		return NO_PAGE;
	at = z->head[o];
	unlink_block(m, at);
	while (o > order) {
		o--;
		link_block(m, zone, at + (1u << o), o);
	}
	m->map.pages[at].state = PAGE_USED;
	m->map.pages[at].order = (u8)order;
	z->free -= 1ull << order;
	return at;
}

static void zero_block(struct machine *m, u32 at, unsigned int order)
{
	u64 off = (u64)at << PAGE_SHIFT;
	u64 bytes = (u64)PAGE_SIZE << order;

	if (order >= DISCARD_ORDER && !hca_arena_discard(m->arena, off, bytes))
		return;
	hca_memset(machine_bus_ptr(m, off), 0, (size_t)bytes);
}

/* The pages of a block that was just taken, or NULL for none. */
static struct page *hand_out(struct machine *m, u32 at, gfp_t gfp, unsigned int order)
{
	u32 i;

	if (at == NO_PAGE)
		return NULL;
	for (i = 0; i < 1u << order; i++)
		name_page(m, (u64)at + i);
	/* The last owner may have left it to a device; the new owner has not. */
	if (m->guard)
		guard_range(m, (u64)at << PAGE_SHIFT, (u64)PAGE_SIZE << order, GUARD_TO_CPU);
	if (gfp & __GFP_ZERO)
		zero_block(m, at, order);
	return &m->map.pages[at];
}

static HCA_COLD struct page *no_pages(const struct machine *m, unsigned int order)
{
	if (!m)
		(void)hca_refuse(-EINVAL, "no pages: there is no machine; machine_create() makes one");
	else if (order > MACHINE_MAX_ORDER)
		(void)hca_refuse(-EINVAL, "%s: no pages: order %u, must be from 0 to %u", m->name, order,
				 MACHINE_MAX_ORDER);
	else
		(void)hca_refuse(-ENOMEM, "%s: no pages: no %u in one piece are free (machine_attr.low_bytes)", m->name,
				 1u << order);
	return NULL;
}

struct page *machine_alloc_pages(struct machine *m, gfp_t gfp, unsigned int order)
{
	u32 at = NO_PAGE, zone;
	hca_irqflags_t flags;

	if (!m || order > MACHINE_MAX_ORDER)
		return no_pages(m, order);
	hca_spin_lock(&m->pages_lock, flags);
	if (gfp & __GFP_HIGHMEM)
		at = take_block(m, m->high_zone, order);
	for (zone = m->high_zone; zone-- && at == NO_PAGE;)
		at = take_block(m, zone, order);
	hca_spin_unlock(&m->pages_lock, flags);
	return hca_likely(at != NO_PAGE) ? hand_out(m, at, gfp, order) : no_pages(m, order);
}

struct page *page_alloc_below(struct machine *m, gfp_t gfp, unsigned int order, u64 most)
{
	u32 at = NO_PAGE, zone, partly = ZONES_MAX;
	const struct page_zone *z;
	hca_irqflags_t flags;

	if (order > MACHINE_MAX_ORDER)
		return NULL;
	hca_spin_lock(&m->pages_lock, flags);
	for (zone = m->high_zone; zone-- && at == NO_PAGE;) {
		z = &m->zone[zone];
		if (page_bus(m, z->first + z->pages) - 1 <= most)
			at = take_block(m, zone, order);
		else if (page_bus(m, z->first) <= most)
			partly = zone;
	}
	if (at == NO_PAGE && partly != ZONES_MAX)
		at = take_block(m, partly, order);
	hca_spin_unlock(&m->pages_lock, flags);
	return hand_out(m, at, gfp, order);
}

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	return machine_alloc_pages(machine_current(), gfp, order);
}

/* The free block of the same order that makes a larger one with the block at @at; NO_PAGE if there is none. */
static u32 free_buddy(const struct machine *m, const struct page_zone *z, u32 at, unsigned int order)
{
	u64 pfn0 = first_pfn(m);
	u64 buddy = ((at + pfn0) ^ (1ull << order)) - pfn0;

	if (order == MACHINE_MAX_ORDER || buddy - z->first >= z->pages)
		return NO_PAGE;
	if (m->map.pages[buddy].state != PAGE_FREE || m->map.pages[buddy].order != order)
		return NO_PAGE;
	return (u32)buddy;
}

static void give_block(struct machine *m, u32 at, unsigned int order)
{
	u32 zone = m->map.pages[at].zone;
	u32 buddy;

	hca_spin_assert(&m->pages_lock);
	m->zone[zone].free += 1ull << order;
	m->map.pages[at].state = PAGE_PLAIN;
	while ((buddy = free_buddy(m, &m->zone[zone], at, order)) != NO_PAGE) {
		unlink_block(m, buddy);
		at = HCA_MIN(at, buddy);
		order++;
	}
	link_block(m, zone, at, order);
}

int page_free_block(struct page *page, unsigned int order)
{
	enum machine_part part;
	struct machine *m = machine_at(page, &part);
	hca_irqflags_t flags;
	int err = -EINVAL;

	if (!m || part != MACHINE_PAGES || machine_page_offset(m, page, 0) == NO_MEMORY_HERE)
		return -EINVAL; /* the caller says why */
	hca_spin_lock(&m->pages_lock, flags);
	if (page->state == PAGE_USED && page->order == order) {
		give_block(m, (u32)(page - m->map.pages), order);
		err = 0;
	}
	hca_spin_unlock(&m->pages_lock, flags);
	return err;
}

void __free_pages(struct page *page, unsigned int order)
{
	int not_an_allocation;

	if (!page)
		return;
	not_an_allocation = page_free_block(page, order);
	HCA_WARN_ON(not_an_allocation);
}

u64 machine_free_pages(struct machine *m)
{
	hca_irqflags_t flags;
	u64 n = 0;
	u32 zone;

	hca_spin_lock(&m->pages_lock, flags);
	for (zone = 0; zone <= m->high_zone; zone++)
		n += m->zone[zone].free;
	hca_spin_unlock(&m->pages_lock, flags);
	return n;
}

struct page *page_from_offset(const struct machine *m, u64 off)
{
	return off < m->map.all_bytes ? name_page(m, off >> PAGE_SHIFT) : NULL;
}

struct page *machine_pfn_to_page(struct machine *m, u64 pfn)
{
	u64 at = pfn - first_pfn(m);

	return at < m->map.all_bytes >> PAGE_SHIFT ? name_page(m, at) : NULL;
}

struct page *virt_to_page(const void *addr)
{
	enum machine_part part;
	struct machine *m = machine_at(addr, &part);

	if (!m || part != MACHINE_LOW)
		return NULL;
	return page_from_offset(m, machine_ptr_offset(m, addr));
}
