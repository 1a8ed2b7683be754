/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Registering memory and taking it back; see mr.h. Called by the verbs of a face,
 * and for work requests and messages by the engine. A wait for the threads inside is made
 * with no lock held.
 *
 * The order in which an MR ends: its state says so, the key is void, the threads inside
 * leave, the index is given back, the memory goes with the last reference.
 */
#include "hca/mr.h"

#include "hca/why.h"

static int check_access(u32 access)
{
	access &= ~(u32)HCA_ACCESS_OPTIONAL;
	if (access & ~(u32)HCA_ACCESS_SUPPORTED)
		return hca_refuse(-EINVAL, "memory region: access 0x%x has bits that are no rights: 0x%x", access,
				  access & ~(u32)HCA_ACCESS_SUPPORTED);
	if (access & (HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_ATOMIC) && !(access & HCA_ACCESS_LOCAL_WRITE))
		return hca_refuse(
			-EINVAL, "memory region: access 0x%x has REMOTE_WRITE or REMOTE_ATOMIC, which need LOCAL_WRITE",
			access);
	return 0;
}

static bool range_valid(u64 start, u64 length)
{
	return length && start + (length - 1) >= start;
}

static void retract(struct hca_mr *r, u32 key)
{
	hca_spin_assert(&r->lock);
	hca_key_retract(r->entry, key);
	hca_share_retract(r->pd->keys->share, key);
}

static int check_range(const char *name, u64 start, u64 length)
{
	if (!length)
		return hca_refuse(-EINVAL, "memory region: no bytes");
	if (!range_valid(start, length))
		return hca_refuse(-EINVAL,
				  "memory region: %llu bytes from %s 0x%llx go beyond the end of the address space",
				  (unsigned long long)length, name, (unsigned long long)start);
	return 0;
}

static int check_attr(const struct hca_mr_attr *a)
{
	int err = check_access(a->access);

	if (err)
		return err;
	if (a->invalid != (a->kind == HCA_MR_PAGES))
		return hca_refuse(-EINVAL, "memory region: one of pages, and no other, is made invalid");
	switch (a->kind) {
	case HCA_MR_ALL:
		return 0;
	case HCA_MR_LINEAR:
		err = check_range("address", a->base, a->length);
		return err || a->access & HCA_ACCESS_ZERO_BASED ? err : check_range("iova", a->iova, a->length);
	case HCA_MR_PAGES:
		if (!a->max_pages || a->max_pages > HCA_MR_MAX_PAGES)
			return hca_refuse(-EINVAL, "memory region: room for %u pages, must be from 1 to %u",
					  a->max_pages, HCA_MR_MAX_PAGES);
		return 0;
	}
	return hca_refuse(-EINVAL, "memory region: no such kind: %d", (int)a->kind);
}

/* The key becomes valid. */
static void publish(struct hca_mr *r, u32 key, u32 access, u64 iova, u64 length)
{
	struct hca_key_entry *e = r->entry;

	hca_spin_assert(&r->lock);
	e->access = access & HCA_ACCESS_SUPPORTED;
	hca_key_cover(e, access & HCA_ACCESS_ZERO_BASED ? 0 : iova, length);
	e->offset = 0;
	e->pd = r->pd->number;
	e->qpn = HCA_KEY_ANY_QP;
	e->number = key >> 8;
	r->key = key;
	r->state = HCA_MR_VALID;
	hca_key_publish(e, key);
	hca_share_publish(r->pd->keys->share, e, key);
}

int hca_mr_create(struct hca_pd *pd, const struct hca_mr_attr *attr, struct hca_mr **out)
{
	hca_irqflags_t flags;
	struct hca_mr *r;
	int err = check_attr(attr);

	if (err)
		return err;
	r = hca_alloc(sizeof(*r), HCA_MAY_SLEEP);
	if (!r)
		return -ENOMEM;
	r->pd = pd;
	r->quiesce = pd->quiesce;
	r->kind = attr->kind;
	r->refs = 1;
	hca_spin_init(&r->lock);
	if (attr->kind == HCA_MR_PAGES) {
		r->max_pages = attr->max_pages;
		r->pages = hca_alloc((size_t)attr->max_pages * sizeof(*r->pages), HCA_MAY_SLEEP);
		r->spare = hca_alloc((size_t)attr->max_pages * sizeof(*r->spare), HCA_MAY_SLEEP);
		if (!r->pages || !r->spare) {
			err = -ENOMEM;
			goto free_pages;
		}
	}
	err = hca_key_alloc(pd->keys, &r->key, &r->entry);
	if (err)
		goto free_pages;
	hca_share_room(pd->keys->share, r->key);
	hca_fetch_add(&pd->users, 1);
	hca_store_release(&r->entry->mr, r);
	hca_spin_lock(&r->lock, flags);
	/* Of all memory one byte is missing: a length of 2^64 has no number, and no memory is there. */
	if (attr->kind == HCA_MR_ALL) {
		publish(r, r->key, attr->access, 0, ~0ull);
	} else if (attr->kind == HCA_MR_LINEAR) {
		r->base = attr->base;
		publish(r, r->key, attr->access, attr->iova, attr->length);
	}
	hca_spin_unlock(&r->lock, flags);
	*out = r;
	return 0;

free_pages:
	hca_free(r->spare);
	hca_free(r->pages);
	hca_free(r);
	return err;
}

static void get(struct hca_mr *r)
{
	hca_fetch_add(&r->refs, 1);
}

static void put(struct hca_mr *r)
{
	if (hca_fetch_add(&r->refs, (u32)-1) != 1)
		return;
	hca_free(r->spare);
	hca_free(r->pages);
	hca_free(r);
}

int hca_mr_destroy(struct hca_mr *r)
{
	struct hca_pd *pd = r->pd;
	hca_irqflags_t flags;

	/* Under the lock an MW is either bound before, and we say no, or finds no valid key to be bound to. */
	hca_spin_lock(&r->lock, flags);
	HCA_ASSERT(r->state != HCA_MR_DEAD);
	if (r->windows) {
		u32 windows = r->windows;

		hca_spin_unlock(&r->lock, flags);
		return hca_refuse(-EBUSY,
				  "memory region with key 0x%x not deregistered: %u memory windows are bound to it",
				  r->key, windows);
	}
	if (r->state == HCA_MR_VALID)
		retract(r, r->key);
	r->state = HCA_MR_DEAD;
	hca_store(&r->entry->mr, NULL);
	hca_spin_unlock(&r->lock, flags);
	hca_quiesce_wait(r->quiesce);
	hca_key_free(pd->keys, r->key);
	put(r);
	hca_fetch_add(&pd->users, (u32)-1);
	return 0;
}

/* --- registering it anew --- */

static int begin_change(struct hca_mr *r)
{
	hca_irqflags_t flags;
	int err = 0;

	hca_spin_lock(&r->lock, flags);
	if (r->state != HCA_MR_VALID) {
		err = -EINVAL;
	} else if (r->windows) {
		err = -EBUSY;
	} else {
		retract(r, r->key);
		r->state = HCA_MR_BUSY;
		get(r);
	}
	hca_spin_unlock(&r->lock, flags);
	if (err)
		return hca_refuse(err, "memory region with key 0x%x not registered anew: %s", r->key,
				  err == -EBUSY ? "memory windows are bound to it" : "it isn't valid");
	return 0;
}

int hca_mr_change(struct hca_mr *r, struct hca_pd *pd, const struct hca_mr_attr *attr)
{
	hca_irqflags_t flags;
	int err = check_attr(attr);
	u32 key;

	if (err)
		return err;
	if (r->kind != HCA_MR_LINEAR || attr->kind != HCA_MR_LINEAR || pd->keys != r->pd->keys)
		return hca_refuse(-EINVAL,
				  "memory region with key 0x%x not registered anew: another kind, or another adapter's",
				  r->key);
	err = begin_change(r);
	if (err)
		return err;
	hca_quiesce_wait(r->quiesce);
	hca_spin_lock(&r->lock, flags);
	key = r->key;
	if (r->state == HCA_MR_BUSY) {
		hca_fetch_add(&pd->users, 1);
		hca_fetch_add(&r->pd->users, (u32)-1);
		r->pd = pd;
		r->base = attr->base;
		publish(r, r->key, attr->access, attr->iova, attr->length);
	} else {
		err = -EINVAL; /* destroyed: the entry isn't ours any more */
	}
	hca_spin_unlock(&r->lock, flags);
	put(r);
	return err ? hca_refuse(err, "memory region with key 0x%x not registered anew: it was deregistered meanwhile",
				key) :
		     0;
}

/* --- fast registration --- */

static bool begin(struct hca_mr *r)
{
	hca_irqflags_t flags;
	bool ok;

	hca_spin_lock(&r->lock, flags);
	ok = r->state == HCA_MR_INVALID;
	if (ok)
		r->state = HCA_MR_BUSY;
	hca_spin_unlock(&r->lock, flags);
	return ok;
}

/* No piece is empty or wraps, and together they have the bytes. */
static int check_pieces(const struct hca_mr_pages *p)
{
	u64 before = 0;
	u32 i;

	if (p->npages & 1)
		return hca_refuse(-EINVAL, "key 0x%x not registered: an odd number of words for pieces: %u", p->key,
				  p->npages);
	for (i = 0; i < p->npages; i += 2) {
		if (p->pages[i + 1] <= before || !range_valid(p->pages[i], p->pages[i + 1] - before))
			return hca_refuse(-EINVAL, "key 0x%x not registered: piece %u is empty, or goes beyond the end",
					  p->key, i / 2);
		before = p->pages[i + 1];
	}
	if (p->length > before)
		return hca_refuse(-EINVAL, "key 0x%x not registered: length %llu, but the pieces have %llu bytes",
				  p->key, (unsigned long long)p->length, (unsigned long long)before);
	return 0;
}

static int check_pages(const struct hca_mr *r, const struct hca_mr_pages *p)
{
	u64 mask, room;
	u32 i;

	if (check_access(p->access))
		return -EINVAL;
	if (!p->pages || !p->npages || p->npages > r->max_pages)
		return hca_refuse(
			-EINVAL,
			"key 0x%x not registered: %u pages, must be from 1 to %u; list them by ib_map_mr_sg() before",
			p->key, p->npages, r->max_pages);
	if (check_range("iova", p->access & HCA_ACCESS_ZERO_BASED ? 0 : p->iova, p->length))
		return -EINVAL;
	if (p->page_shift == HCA_MR_PIECES)
		return check_pieces(p);
	if (p->page_shift < HCA_MR_MIN_SHIFT || p->page_shift > HCA_MR_MAX_SHIFT)
		return hca_refuse(-EINVAL, "key 0x%x not registered: page shift %u, must be from %u to %u", p->key,
				  p->page_shift, HCA_MR_MIN_SHIFT, HCA_MR_MAX_SHIFT);
	mask = (1ull << p->page_shift) - 1;
	room = ((u64)p->npages << p->page_shift) - (p->pages[0] & mask);
	if (p->length > room)
		return hca_refuse(-EINVAL, "key 0x%x not registered: length %llu, but the pages have %llu bytes",
				  p->key, (unsigned long long)p->length, (unsigned long long)room);
	for (i = 1; i < p->npages; i++)
		if (p->pages[i] & mask)
			return hca_refuse(-EINVAL, "key 0x%x not registered: page %u at 0x%llx doesn't begin on a page",
					  p->key, i, (unsigned long long)p->pages[i]);
	return 0;
}

int hca_mr_register_captured(struct hca_mr *r, struct hca_mr_pages *p)
{
	int err = check_pages(r, p);
	hca_irqflags_t flags;
	u64 *before;

	if (err)
		return err;
	if (!p->pages) /* check_pages() has refused that, which a checker doesn't see */
		return hca_refuse(-EINVAL, "key 0x%x not registered: no pages", p->key);
	/* No thread is inside with one that is invalid: its last key was waited for. */
	if (!begin(r))
		return hca_refuse(-EINVAL,
				  "key 0x%x not registered: the memory region is valid already: invalidate it before",
				  p->key);
	before = r->pages;
	r->pages = (u64 *)p->pages;
	p->pages = before;
	r->page_shift = p->page_shift;
	r->npages = p->npages;
	r->offset = p->page_shift == HCA_MR_PIECES ? 0 : r->pages[0] & ((1ull << p->page_shift) - 1);
	r->pages[0] -= r->offset;
	hca_spin_lock(&r->lock, flags);
	if (r->state != HCA_MR_BUSY) {
		err = -EINVAL; /* destroyed: the entry isn't ours any more */
	} else if (p->key >> 8 != r->key >> 8) {
		err = -EINVAL;
		r->state = HCA_MR_INVALID;
	} else {
		publish(r, p->key, p->access, p->iova, p->length);
	}
	hca_spin_unlock(&r->lock, flags);
	if (err)
		return hca_refuse(
			err,
			"key 0x%x not registered: not a key of this memory region (0x%x, its low byte is free), or it was destroyed",
			p->key, r->key);
	return 0;
}

int hca_mr_capture(struct hca_mr *r, const struct hca_mr_pages *p, struct hca_mr_pages *out)
{
	u64 *pages;

	*out = *p;
	out->pages = NULL;
	get(r);
	/* What can't be is found when it is registered: that is where a queued one fails. */
	if (r->kind != HCA_MR_PAGES || !p->npages || p->npages > r->max_pages)
		return 0;
	pages = hca_load(&r->spare) ? hca_xchg(&r->spare, NULL) : NULL;
	if (!pages)
		pages = hca_alloc((size_t)r->max_pages * sizeof(*pages), 0);
	if (!pages) {
		put(r);
		return hca_refuse(-ENOMEM,
				  "memory region with key 0x%x not registered: no memory for a list of %u pages",
				  p->key, r->max_pages);
	}
	hca_memcpy(pages, p->pages, p->npages * sizeof(*pages));
	out->pages = pages;
	return 0;
}

void hca_mr_release(struct hca_mr *r, struct hca_mr_pages *p)
{
	if (p->pages)
		hca_free(hca_xchg(&r->spare, (u64 *)p->pages));
	put(r);
}

int hca_mr_register(struct hca_mr *r, const struct hca_mr_pages *p)
{
	struct hca_mr_pages own;
	int err = hca_mr_capture(r, p, &own);

	if (err)
		return err;
	err = hca_mr_register_captured(r, &own);
	hca_mr_release(r, &own);
	return err;
}

int hca_mr_begin_invalidate(struct hca_mr *r, u32 key)
{
	hca_irqflags_t flags;
	int err = 0;

	hca_spin_lock(&r->lock, flags);
	if (r->kind != HCA_MR_PAGES || r->state != HCA_MR_VALID || r->key != key) {
		err = -EINVAL;
	} else if (r->windows) {
		err = -EBUSY;
	} else {
		retract(r, key);
		r->state = HCA_MR_BUSY;
		get(r);
	}
	hca_spin_unlock(&r->lock, flags);
	return err;
}

/* The key that it had last, or would have next: it is free already. */
static bool free_already(struct hca_mr *r, u64 pd, u32 key)
{
	hca_irqflags_t flags;
	bool is;

	hca_spin_lock(&r->lock, flags);
	is = r->kind == HCA_MR_PAGES && r->state == HCA_MR_INVALID && r->key == key && r->pd->number == pd;
	hca_spin_unlock(&r->lock, flags);
	return is;
}

int hca_mr_invalidate_begin_key(const struct hca_keys *keys, u64 pd, u32 key, bool remote, struct hca_mr **out)
{
	const struct hca_key_entry *e = hca_key_index(keys, key);
	struct hca_mr *r;
	int err;

	*out = NULL;
	/* The memory region is still there: its destroyer waits for us. */
	r = e ? hca_load_acquire(&e->mr) : NULL;
	if (r && hca_load_acquire(&e->key) != key && !remote && free_already(r, pd, key))
		return 0;
	if (!r || hca_load_acquire(&e->key) != key)
		return hca_refuse(-EINVAL, "key 0x%x not invalidated: it isn't valid", key);
	if (e->pd != pd || e->access & HCA_KEY_MW)
		return hca_refuse(-EINVAL, "key 0x%x not invalidated: it is of another protection domain", key);
	if (remote && !(e->access & HCA_ACCESS_REMOTE))
		return hca_refuse(-EINVAL, "key 0x%x not invalidated by the peer: it is for local use alone", key);
	err = hca_mr_begin_invalidate(r, key);
	if (err)
		return hca_refuse(err, "key 0x%x not invalidated: %s", key,
				  err == -EBUSY		  ? "memory windows are bound to it" :
				  r->kind != HCA_MR_PAGES ? "its memory region isn't one for fast registration" :
							    "it was invalidated a moment ago");
	*out = r;
	return 0;
}

void hca_mr_end_invalidate(struct hca_mr *r)
{
	hca_irqflags_t flags;

	hca_spin_lock(&r->lock, flags);
	if (r->state == HCA_MR_BUSY)
		r->state = HCA_MR_INVALID;
	hca_spin_unlock(&r->lock, flags);
	put(r);
}

void hca_mr_invalidate_finish(struct hca_mr *r)
{
	hca_quiesce_wait(r->quiesce);
	hca_mr_end_invalidate(r);
}

int hca_mr_invalidate(struct hca_mr *r, u32 key)
{
	int err = hca_mr_begin_invalidate(r, key);

	if (!err)
		hca_mr_invalidate_finish(r);
	return err;
}

/* --- pieces --- */

hca_dma_addr_t hca_mr_piece(const struct hca_mr *r, u64 off, u64 *len)
{
	u32 low = 0, high = r->npages / 2 - 1;
	u64 begins;

	/* The first piece that ends behind the byte; the last one does. */
	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (r->pages[2 * mid + 1] > off)
			high = mid;
		else
			low = mid + 1;
	}
	begins = low ? r->pages[2 * low - 1] : 0;
	*len = HCA_MIN(*len, r->pages[2 * low + 1] - off);
	return hca_dma_addr(r->pages[2 * low] + (off - begins));
}

/* --- memory windows --- */

int hca_mr_bind(const struct hca_keys *keys, u64 pd, u32 key, u64 addr, u64 len, u32 access, struct hca_mr **out,
		u64 *offset)
{
	u32 need = HCA_ACCESS_MW_BIND;
	const struct hca_key_entry *e;
	char words[HCA_WHY_BYTES];
	struct hca_mr *r;
	hca_irqflags_t flags;
	bool ok;

	if (access & (HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_ATOMIC))
		need |= HCA_ACCESS_LOCAL_WRITE;
	e = hca_key_check(keys, key, pd, HCA_KEY_ANY_QP, addr, len, need);
	if (!e) {
		(void)hca_key_why(keys, key, pd, HCA_KEY_ANY_QP, addr, len, need, words);
		return hca_refuse(-EINVAL, "memory window not bound: %s", words);
	}
	r = hca_load_acquire(&e->mr);
	if (!r)
		return hca_refuse(-EINVAL, "memory window not bound: key 0x%x isn't valid any more", key);
	hca_spin_lock(&r->lock, flags);
	ok = r->state == HCA_MR_VALID && r->key == key;
	if (ok)
		r->windows++;
	hca_spin_unlock(&r->lock, flags);
	if (!ok)
		return hca_refuse(-EINVAL, "memory window not bound: key 0x%x isn't valid any more", key);
	*out = r;
	*offset = hca_key_offset(e, addr);
	return 0;
}

void hca_mr_unbind(struct hca_mr *r)
{
	hca_irqflags_t flags;

	hca_spin_lock(&r->lock, flags);
	HCA_ASSERT(r->windows);
	r->windows--;
	hca_spin_unlock(&r->lock, flags);
}
