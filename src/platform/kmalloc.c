/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kmalloc(): small pieces of a machine's pages. A page holds objects of one size, a
 * power of two from 16 bytes to 2 KiB; larger ones have pages of their own. What is known of a page's objects is kept
 * apart from it, so that objects are aligned and a stray write doesn't reach it. A page
 * without objects goes back at once: what a machine still has at its end was not freed.
 *
 * Called by programs, and by machine_destroy() for its report.
 */
#include "platform.h"
#include "softhca/machine_kmalloc.h"

#ifdef HCA_ASAN
#include <sanitizer/asan_interface.h>
#define poison(at, bytes) __asan_poison_memory_region(at, bytes)
#define unpoison(at, bytes) __asan_unpoison_memory_region(at, bytes)
#else
#define poison(at, bytes) ((void)(at), (void)(bytes))
#define unpoison(at, bytes) ((void)(at), (void)(bytes))
#endif

#define MIN_SHIFT 4u
#define MAX_SHIFT 11u
#define CLASSES (MAX_SHIFT - MIN_SHIFT + 1)
#define BUCKETS 256u
#define MAX_TOLD 16u /* lines of a report */

/* An object: how many bytes were asked for, 0: it is free; and where. */
struct object {
	hca_site_t site;
	size_t size;
};

/*
 * struct slab - a page of objects, or the pages of one
 * @next: of the same bucket
 * @others, @back: of the same size with room
 * @shift: log2 of the size; 0: one object has all pages
 */
struct slab {
	struct slab *next;
	struct slab *others;
	struct slab **back;
	struct page *page;
	unsigned int order;
	unsigned int shift;
	u32 count;
	u32 used;
	u32 hint; /* where the search begins */
	struct object object[];
};

/* A machine's; all under its heap_lock. */
struct kmalloc_heap {
	struct slab *bucket[BUCKETS];
	struct slab *room[CLASSES];
	u64 live;
};

static struct slab **bucket_of(struct kmalloc_heap *h, const struct page *page)
{
	return &h->bucket[page_index(page) % BUCKETS];
}

static unsigned int shift_of(size_t size)
{
	unsigned int shift = MIN_SHIFT;

	while ((size_t)1 << shift < size)
		shift++;
	return shift;
}

static u8 *object_at(const struct slab *s, u32 i)
{
	return (u8 *)page_address(s->page) + ((size_t)i << s->shift);
}

static size_t slab_bytes(const struct slab *s)
{
	return PAGE_SIZE << s->order;
}

/* Among those with room, or not any more. */
static void link_room(struct kmalloc_heap *h, struct slab *s)
{
	struct slab **head = &h->room[s->shift - MIN_SHIFT];

	s->others = *head;
	s->back = head;
	if (s->others)
		s->others->back = &s->others;
	*head = s;
}

static void unlink_room(struct slab *s)
{
	*s->back = s->others;
	if (s->others)
		s->others->back = s->back;
	s->back = NULL;
}

static struct slab *make_slab(struct machine *m, size_t size, gfp_t gfp)
{
	bool large = size > (size_t)1 << MAX_SHIFT;
	unsigned int shift = large ? 0 : shift_of(size);
	u32 count = large ? 1 : (u32)(PAGE_SIZE >> shift);
	struct slab *s;

	s = hca_alloc(sizeof(*s) + count * sizeof(s->object[0]), gfp & GFP_KERNEL ? HCA_MAY_SLEEP : 0);
	if (!s)
		return NULL;
	s->order = large ? page_order(size) : 0;
	s->shift = shift;
	s->count = count;
	s->page = s->order > MACHINE_MAX_ORDER ? NULL :
						 machine_alloc_pages(m, gfp & ~(__GFP_HIGHMEM | __GFP_ZERO), s->order);
	if (!s->page) {
		hca_free(s);
		return NULL;
	}
	poison(page_address(s->page), slab_bytes(s));
	return s;
}

static void free_slab(struct slab *s)
{
	unpoison(page_address(s->page), slab_bytes(s));
	__free_pages(s->page, s->order);
	hca_free(s);
}

static void enter_slab(struct machine *m, struct slab *s)
{
	struct slab **at = bucket_of(m->heap, s->page);

	hca_spin_assert(&m->heap_lock);
	s->next = *at;
	*at = s;
	if (s->shift)
		link_room(m->heap, s);
}

static void leave_slab(struct machine *m, struct slab *s)
{
	struct slab **at = bucket_of(m->heap, s->page);

	hca_spin_assert(&m->heap_lock);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (s->back)
		unlink_room(s);
}

/* An object of a slab with room. */
static void *take_object(struct machine *m, struct slab *s, size_t size, hca_site_t site)
{
	u32 i = s->hint;

	hca_spin_assert(&m->heap_lock);
	while (s->object[i].size)
		i = i + 1 < s->count ? i + 1 : 0;
	s->object[i] = (struct object){ .site = site, .size = size };
	s->hint = i + 1 < s->count ? i + 1 : 0;
	if (++s->used == s->count && s->back)
		unlink_room(s);
	m->heap->live++;
	return object_at(s, i);
}

/* The heap is made with the first allocation. */
static bool have_heap(struct machine *m)
{
	struct kmalloc_heap *h;

	if (hca_load_acquire(&m->heap))
		return true;
	h = hca_alloc(sizeof(*h), 0);
	if (h && hca_cmpxchg(&m->heap, NULL, h))
		hca_free(h);
	return hca_load_acquire(&m->heap) != NULL;
}

void *softhca_kmalloc(size_t size, gfp_t gfp, hca_site_t site)
{
	struct machine *m = machine_current();
	struct slab *s = NULL, *fresh = NULL;
	bool small = size <= (size_t)1 << MAX_SHIFT;
	hca_irqflags_t flags;
	void *at;

	if (!size)
		return ZERO_SIZE_PTR;
	if (!m || !have_heap(m))
		return NULL;
	hca_spin_lock(&m->heap_lock, flags);
	if (small)
		s = m->heap->room[shift_of(size) - MIN_SHIFT];
	if (!s) {
		hca_spin_unlock(&m->heap_lock, flags);
		fresh = make_slab(m, size, gfp);
		if (!fresh)
			return NULL;
		hca_spin_lock(&m->heap_lock, flags);
		enter_slab(m, fresh);
		s = fresh;
	}
	at = take_object(m, s, size, site);
	hca_spin_unlock(&m->heap_lock, flags);
	unpoison(at, size);
	if (gfp & __GFP_ZERO)
		hca_memset(at, 0, size);
	return at;
}

/* The slab of an object that lives, and its number there; NULL if @ptr is none. */
static struct slab *find(struct machine *m, const void *ptr, u32 *i)
{
	struct page *page = virt_to_page(ptr);
	uintptr_t off;
	struct slab *s;

	hca_spin_assert(&m->heap_lock);
	for (s = *bucket_of(m->heap, page); s && s->page != page; s = s->next)
		;
	if (!s)
		return NULL;
	off = (uintptr_t)ptr - (uintptr_t)page_address(page);
	*i = s->shift ? (u32)(off >> s->shift) : 0;
	if (off != (s->shift ? (uintptr_t)*i << s->shift : 0) || !s->object[*i].size)
		return NULL;
	return s;
}

/* The machine whose heap may have @ptr; NULL: none. */
static struct machine *machine_of(const void *ptr)
{
	struct page *page = virt_to_page(ptr);
	struct machine *m = page ? map_machine(page->map) : NULL;

	return m && hca_load_acquire(&m->heap) ? m : NULL;
}

size_t softhca_ksize(const void *ptr)
{
	struct machine *m = ZERO_OR_NULL_PTR(ptr) ? NULL : machine_of(ptr);
	hca_irqflags_t flags;
	size_t size = 0;
	struct slab *s;
	u32 i;

	if (!m)
		return 0;
	hca_spin_lock(&m->heap_lock, flags);
	s = find(m, ptr, &i);
	if (s)
		size = s->object[i].size;
	hca_spin_unlock(&m->heap_lock, flags);
	return size;
}

void softhca_kfree(const void *ptr)
{
	struct slab *s = NULL, *empty = NULL;
	hca_irqflags_t flags;
	struct machine *m;
	u32 i;

	if (ZERO_OR_NULL_PTR(ptr))
		return;
	m = machine_of(ptr);
	if (m) {
		hca_spin_lock(&m->heap_lock, flags);
		s = find(m, ptr, &i);
		if (s) {
			poison((void *)(uintptr_t)ptr, s->object[i].size);
			s->object[i].size = 0;
			s->hint = i;
			m->heap->live--;
			if (s->used-- == s->count && s->shift)
				link_room(m->heap, s);
			if (!s->used) {
				leave_slab(m, s);
				empty = s;
			}
		}
		hca_spin_unlock(&m->heap_lock, flags);
	}
	if (!s)
		hca_log(HCA_LOG_ERR, "kfree() of %p refused: no kmalloc() has given it, or it was freed already", ptr);
	HCA_WARN_ON(!s);
	if (empty)
		free_slab(empty);
}

void *softhca_krealloc(const void *ptr, size_t size, gfp_t gfp, hca_site_t site)
{
	size_t had = softhca_ksize(ptr);
	void *to;

	if (!size) {
		softhca_kfree(ptr);
		return ZERO_SIZE_PTR;
	}
	to = softhca_kmalloc(size, gfp, site);
	if (!to)
		return NULL;
	if (ZERO_OR_NULL_PTR(ptr))
		return to;
	hca_memcpy(to, ptr, HCA_MIN(had, size));
	softhca_kfree(ptr);
	return to;
}

u64 softhca_kmalloc_live(struct machine *m)
{
	hca_irqflags_t flags;
	u64 live;

	if (!hca_load_acquire(&m->heap))
		return 0;
	hca_spin_lock(&m->heap_lock, flags);
	live = m->heap->live;
	hca_spin_unlock(&m->heap_lock, flags);
	return live;
}

/* --- a machine's end --- */

static u32 tell_slab(const struct machine *m, const struct slab *s, u32 told)
{
	u32 i;

	for (i = 0; i < s->count && told < MAX_TOLD; i++)
		if (s->object[i].size) {
			hca_log(HCA_LOG_ERR, "%s: %llu bytes of kmalloc() weren't freed; allocated at %s", m->name,
				(unsigned long long)s->object[i].size,
				s->object[i].site ? (const char *)s->object[i].site : "?");
			told++;
		}
	return told;
}

void kmalloc_report(struct machine *m)
{
	const struct slab *s;
	u32 b, told = 0;

	if (!softhca_kmalloc_live(m))
		return;
	for (b = 0; b < BUCKETS && told < MAX_TOLD; b++)
		for (s = m->heap->bucket[b]; s; s = s->next)
			told = tell_slab(m, s, told);
}

void kmalloc_fini(struct machine *m)
{
	hca_free(m->heap);
	m->heap = NULL;
}
