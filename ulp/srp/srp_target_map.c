/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: parts of its medium's file that are memory of the machine (machine_map_file()), and mapped for the adapter
 * as long as they are that. A read's bytes are then copied once, from the page cache to the initiator. Called by
 * srp_target_data.c, from any number of channels.
 *
 * A read from a part must not wait for a disk: only pages are read that were in memory a moment ago. All else is read
 * from the file by system calls, which bring pages into memory, and tell an error as it is. So no hole of a file in memory
 * (tmpfs) is ever touched, and becomes no data by being read. To map a part takes as long as
 * to read some hundred KiB, so it is mapped when that much has been read.
 *
 * The file may become shorter at any time. A whole page that is gone is noticed by the machine. A piece of
 * a page that is gone reads as zeros without a word (mmap(2)); but then the last page of the medium is gone too,
 * so that one is looked at after each read. The last page itself is always read from the file.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "srp_target.h"

/* KiB that are read from a slice of the medium before it is mapped. */
#define EARNED_KIB 1024u
/* For so long a page that was in memory counts as being there, and for so long one that wasn't as not being there. */
#define FRESH_MS 1000u
#define ABSENT_MS 10u
/* Beyond so many slices (128 TiB) a medium gets no table of them. */
#define SLICES_MAX ((u64)1 << 26)

/* Some milliseconds late, and cheaper than a piece of 4 KiB. */
static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (u64)t.tv_sec * 1000u + (u64)t.tv_nsec / 1000000u;
}

static bool is_off(const struct tgt_map *map)
{
	return __atomic_load_n(&map->off, __ATOMIC_RELAXED);
}

/*
 * A fault kills a thread that blocks its signal. Threads of the library and of the target don't; an initiator's may, and it
 * may change its mind.
 */
static bool may_fault(u64 now)
{
	static __thread u64 asked;
	static __thread bool blocked;
	sigset_t set;

	if (now - asked > FRESH_MS) {
		asked = now;
		blocked = pthread_sigmask(SIG_BLOCK, NULL, &set) || sigismember(&set, SIGBUS) ||
			  sigismember(&set, SIGSEGV);
	}
	return !blocked;
}

/* Where the medium's last page begins. */
static u64 last_page(const struct tgt_map *map)
{
	return (map->lun->bytes - 1) & ~(u64)(PAGE_SIZE - 1);
}

/* --- fresh pages --- */

/* @n at least 1. Bits [@first, @first + @n) of the words that they lie in: @word is one of these. */
static u64 bits_in(u32 word, u32 first, u32 n)
{
	u32 from = word == first / 64 ? first % 64 : 0;
	u32 to = word == (first + n - 1) / 64 ? (first + n - 1) % 64 : 63;

	return ~0ull >> (63 - to) & ~0ull << from;
}

static bool all_fresh(const struct tgt_part *w, u32 first, u32 n)
{
	u32 i;

	for (i = first / 64; i <= (first + n - 1) / 64; i++)
		if (~w->fresh[i] & bits_in(i, first, n))
			return false;
	return true;
}

/* Asks the system. The caller holds the part, and no lock. */
static void look_again(struct tgt_map *map, struct tgt_part *w)
{
	u64 fresh[TGT_PART_PAGES / 64] = { 0 };
	u8 in_core[TGT_PART_PAGES];
	u32 i, n = w->bytes >> PAGE_SHIFT;

	if (mincore(w->cpu, w->bytes, in_core))
		n = 0;
	for (i = 0; i < n; i++)
		fresh[i / 64] |= (u64)(in_core[i] & 1) << i % 64;
	srp_lock(&map->lock);
	memcpy(w->fresh, fresh, sizeof(fresh));
	srp_unlock(&map->lock);
}

/* --- parts: mapped slices --- */

static void unmap(struct tgt_map *map, struct page *page, dma_addr_t dma, u32 bytes)
{
	ib_dma_unmap_page(map->dev, dma, bytes, DMA_TO_DEVICE);
	machine_unmap_file(page);
}

/* Out of the table, and its place is the caller's. The lock is held. */
static void take_out(struct tgt_map *map, struct tgt_part *w)
{
	map->slices[w->number] = (struct tgt_slice){ 0 };
}

/*
 * A place for one more part: a free one, or that of a part which no command uses and none has used since this came by
 * last. The lock is held. Return: NULL: all are used
 */
static struct tgt_part *find_place(struct tgt_map *map)
{
	struct tgt_part *w;
	u32 i;

	for (i = 0; i < 2 * map->n_parts; i++) {
		w = &map->parts[map->hand];
		map->hand = (map->hand + 1) % map->n_parts;
		if (!w->page || (!w->refs && (w->bad || !w->used)))
			return w;
		w->used = false;
	}
	return NULL;
}

/* Return: the part's page, or NULL: there is no room, or the file can't be mapped. */
static struct page *map_slice(struct tgt_map *map, u64 number, u32 bytes, dma_addr_t *dma)
{
	struct machine *m = map->dev->dma_device->machine;
	struct page *page;

	if (machine_map_file(m, map->fd, number * MACHINE_FILE_PIECE, bytes, false, &page))
		return NULL;
	*dma = ib_dma_map_page(map->dev, page, 0, bytes, DMA_TO_DEVICE);
	if (!ib_dma_mapping_error(map->dev, *dma))
		return page;
	machine_unmap_file(page);
	return NULL;
}

/* Of the last slice, without the last page. */
static u32 slice_bytes(const struct tgt_map *map, u64 number)
{
	u64 left = last_page(map) - number * MACHINE_FILE_PIECE;

	return left < MACHINE_FILE_PIECE ? (u32)left : (u32)MACHINE_FILE_PIECE;
}

/* By the thread that has set @mapping. */
static void make_part(struct tgt_map *map, u64 number)
{
	u32 bytes = slice_bytes(map, number);
	struct tgt_part *w, old = { .page = NULL };
	struct page *page;
	dma_addr_t dma;

	srp_lock(&map->lock);
	w = find_place(map);
	if (w && w->page) {
		old = *w;
		take_out(map, w);
		w->page = NULL;
	}
	srp_unlock(&map->lock);
	if (old.page)
		unmap(map, old.page, old.dma, old.bytes);
	page = w ? map_slice(map, number, bytes, &dma) : NULL;
	srp_lock(&map->lock);
	if (page) {
		/* The first that reads from it asks which pages are in memory. */
		*w = (struct tgt_part){ .number = number, .page = page, .bytes = bytes, .dma = dma, .used = true };
		w->cpu = page_address(page);
		map->slices[number].part = (u32)(w - map->parts) + 1;
	} else {
		map->slices[number].earned = 0;
	}
	map->mapping = false;
	srp_unlock(&map->lock);
}

struct tgt_part *tgt_map_get(struct tgt_map *map, u64 at, u32 *len)
{
	u32 from = (u32)(at % MACHINE_FILE_PIECE), first = from >> PAGE_SHIFT, n;
	u64 number = at / MACHINE_FILE_PIECE, now;
	struct tgt_part *w;
	bool found;

	if (is_off(map))
		return NULL;
	now = now_ms();
	if (!may_fault(now))
		return NULL;
	srp_lock(&map->lock);
	w = map->slices[number].part ? &map->parts[map->slices[number].part - 1] : NULL;
	if (!w || w->bad || from >= w->bytes) {
		srp_unlock(&map->lock);
		return NULL;
	}
	*len = SRP_MIN(*len, w->bytes - from);
	n = ((from + *len - 1) >> PAGE_SHIFT) - first + 1;
	w->refs++;
	w->used = true;
	if (now - w->checked > (all_fresh(w, first, n) ? FRESH_MS : ABSENT_MS)) {
		w->checked = now;
		srp_unlock(&map->lock);
		look_again(map, w);
		srp_lock(&map->lock);
	}
	found = all_fresh(w, first, n);
	w->refs -= !found;
	srp_unlock(&map->lock);
	return found ? w : NULL;
}

bool tgt_map_put(struct tgt_map *map, struct tgt_part *w)
{
	bool whole = may_fault(now_ms()), bad;

	/* What was read was read before these two looks. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (whole) {
		(void)*(const volatile u8 *)map->end_byte;
		whole = !machine_file_failed(map->end);
		if (!whole)
			__atomic_store_n(&map->off, true, __ATOMIC_RELAXED);
	}
	bad = machine_file_failed(w->page);
	srp_lock(&map->lock);
	w->bad = w->bad || bad;
	bad = w->bad;
	w->refs--;
	srp_unlock(&map->lock);
	return whole && !bad;
}

/* A range of one slice. */
static void seen_slice(struct tgt_map *map, u64 at, u32 len)
{
	u64 number = at / MACHINE_FILE_PIECE;
	struct tgt_slice *p = &map->slices[number];
	bool make = false;

	srp_lock(&map->lock);
	if (!p->part && slice_bytes(map, number)) {
		p->earned += (len + 1023) / 1024;
		make = p->earned >= EARNED_KIB && !map->mapping;
		map->mapping |= make;
	}
	srp_unlock(&map->lock);
	if (make)
		make_part(map, number);
}

void tgt_map_seen(struct tgt_map *map, u64 at, u32 len)
{
	u32 part;

	for (; len && !is_off(map); at += part, len -= part) {
		part = (u32)SRP_MIN((u64)len, MACHINE_FILE_PIECE - at % MACHINE_FILE_PIECE);
		seen_slice(map, at, part);
	}
}

/* --- life --- */

/* The last page stays mapped, and is brought into memory here, where waiting is no harm. */
static bool map_end(struct tgt_map *map)
{
	struct machine *m = map->dev->dma_device->machine;

	if (machine_map_file(m, map->fd, last_page(map), PAGE_SIZE, false, &map->end))
		return false;
	map->end_byte = page_address(map->end);
	(void)*(const volatile u8 *)map->end_byte;
	return !machine_file_failed(map->end);
}

int tgt_map_make(struct tgt_map *map, struct lun *lun, struct ib_device *dev)
{
	u64 pieces = machine_map(dev->dma_device->machine)->file_bytes / MACHINE_FILE_PIECE;

	map->lun = lun;
	map->dev = dev;
	map->fd = lun_backing(lun);
	map->n_slices = (lun->bytes + MACHINE_FILE_PIECE - 1) / MACHINE_FILE_PIECE;
	map->n_parts = (u32)SRP_MIN(pieces ? pieces - 1 : 0, map->n_slices);
	map->off = true;
	if (map->fd < 0 || !map->n_parts || map->n_slices > SLICES_MAX || !map_end(map))
		return 0;
	map->slices = srp_alloc((size_t)map->n_slices, sizeof(*map->slices));
	map->parts = srp_alloc(map->n_parts, sizeof(*map->parts));
	if (!map->slices || !map->parts) {
		tgt_map_drop(map);
		return -ENOMEM;
	}
	map->off = false;
	return 0;
}

void tgt_map_drop(struct tgt_map *map)
{
	struct tgt_part *w;
	u32 i;

	for (i = 0; map->parts && i < map->n_parts; i++) {
		w = &map->parts[i];
		if (w->page)
			unmap(map, w->page, w->dma, w->bytes);
	}
	machine_unmap_file(map->end);
	map->end = NULL;
	srp_free(map->parts);
	srp_free(map->slices);
	map->parts = NULL;
	map->slices = NULL;
}
