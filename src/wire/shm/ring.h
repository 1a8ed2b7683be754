/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rings: files that two processes map, one of which writes entries that the other one
 * reads. This room's own; include/softhca/abi/fabric.h has the layout. What the other
 * side writes is checked: -EPROTO says that it can't be true.
 */
#ifndef HCA_SHM_RING_H
#define HCA_SHM_RING_H

#include "os.h"
#include "softhca/abi/fabric.h"

/**
 * struct shm_lane - a lane as one side has it; one thread at a time
 * @data: @size bytes, mapped twice, one behind the other
 * @pos: our own place: head of the writer, tail of the reader
 * @seen: the other side's, when it was looked at last
 */
struct shm_lane {
	struct hca_fabric_lane *shared;
	u8 *data;
	u32 size;
	u64 pos;
	u64 seen;
};

/** struct shm_ring - a mapped ring; @head NULL: there is none */
struct shm_ring {
	struct hca_fabric_ring *head;
	void *base;
	size_t mapped;
	struct shm_lane lane[HCA_FABRIC_LANES];
};

/*
 * The two ends map the head at two addresses: where both are in one process, the thread sanitizer doesn't see that the reader's load
 * comes after the writer's store. This says it.
 */
#ifdef HCA_TSAN
#define shm_lane_order() hca_mb()
#else
#define shm_lane_order() ((void)0)
#endif

/** shm_lane_bytes() - of an entry, as it stands in a lane */
static inline u32 shm_lane_bytes(u32 bytes)
{
	return (bytes + 7) & ~7u;
}

/** shm_lane_room() - where the writer may put @bytes. Return: 0; -EAGAIN: it is full; -EPROTO. */
static inline int shm_lane_room(struct shm_lane *l, u32 bytes, void **at)
{
	if (hca_unlikely(l->size - (l->pos - l->seen) < bytes)) {
		u64 tail = hca_load_acquire(&l->shared->tail);

		if (l->pos - tail > l->size || tail < l->seen)
			return -EPROTO;
		l->seen = tail;
		if (l->size - (l->pos - tail) < bytes)
			return -EAGAIN;
	}
	*at = l->data + (l->pos & (l->size - 1));
	return 0;
}

/** shm_lane_commit() - the reader may have what was put there */
static inline void shm_lane_commit(struct shm_lane *l, u32 bytes)
{
	l->pos += bytes;
	shm_lane_order();
	hca_store_release(&l->shared->head, l->pos);
}

/** shm_lane_want() - shm_lane_room() said that it is full: have the reader tell. Return: as shm_lane_room(), which is asked again */
static inline int shm_lane_want(struct shm_lane *l, u32 bytes, void **at)
{
	hca_store_release(&l->shared->wanted, 1u); /* what the caller wrote for the thread that is told comes first */
	hca_mb(); /* pairs with that of shm_lane_made_room() */
	return shm_lane_room(l, bytes, at);
}

/** shm_lane_half_empty() - is there so much room that it is worth telling, or is it of no use to wait? Of the writer. */
static inline bool shm_lane_half_empty(const struct shm_lane *l)
{
	u64 used = l->pos - hca_load_acquire(&l->shared->tail);

	return used <= l->size / 2 || used > l->size;
}

/** shm_lane_wait_half_empty() - the same; if not, have the reader tell */
static inline bool shm_lane_wait_half_empty(struct shm_lane *l)
{
	if (shm_lane_half_empty(l))
		return true;
	hca_store(&l->shared->wanted, 1u);
	hca_mb();
	return shm_lane_half_empty(l);
}

/** shm_lane_next() - the reader's next entry. Return: 1, and @bytes of it are at @at; 0: none; -EPROTO */
static inline int shm_lane_next(struct shm_lane *l, u32 *bytes, void **at)
{
	u64 left = l->seen - l->pos;

	if (!left) {
		left = hca_load_acquire(&l->shared->head) - l->pos;
		if (!left)
			return 0;
		if (left > l->size || left & 7)
			return -EPROTO;
		l->seen = l->pos + left;
		shm_lane_order();
	}
	*at = l->data + (l->pos & (l->size - 1));
	*bytes = hca_load((u32 *)*at);
	return *bytes < 8 || *bytes & 7 || *bytes > left ? -EPROTO : 1;
}

/** shm_lane_has() - is there an entry? Of the reader, and cheap. */
static inline bool shm_lane_has(const struct shm_lane *l)
{
	return hca_load_acquire(&l->shared->head) != l->pos;
}

/** shm_lane_done() - the writer may have the room of the entry again */
static inline void shm_lane_done(struct shm_lane *l, u32 bytes)
{
	l->pos += bytes;
	hca_store_release(&l->shared->tail, l->pos);
}

/** shm_lane_made_room() - after one or more of shm_lane_done(). Return: is the writer to be told? */
static inline bool shm_lane_made_room(struct shm_lane *l)
{
	hca_mb(); /* the tail is written before @wanted is looked at */
	if (!hca_load(&l->shared->wanted) || hca_load_acquire(&l->shared->head) - l->pos > l->size / 2)
		return false;
	hca_store(&l->shared->wanted, 0u);
	return true;
}

/**
 * shm_ring_create() - a file for a ring that this process writes
 * @name: in @dir; a file of that name is removed
 * @head: what its head says, but for magic and version
 *
 * Return: 0; -ENOSPC and other errors of the system, and no file is left.
 */
int shm_ring_create(int dir, const char *name, const struct hca_fabric_ring *head, struct shm_ring *ring);

/**
 * shm_ring_open() - a ring that another process writes
 *
 * The file's head is for the caller to compare. Return: 0; -EPROTO: it is no ring, or not yet; errors of the system.
 */
int shm_ring_open(int dir, const char *name, struct shm_ring *ring);

/** shm_ring_unmap() - of either side; the file stays */
void shm_ring_unmap(struct shm_ring *ring);

#endif
