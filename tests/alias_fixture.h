/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two nodes made by hand whose processes map the same memory at the same place, with copies whose faults are caught, and what
 * tells whether bytes went by plain loads and stores.
 */
#ifndef ALIAS_FIXTURE_H
#define ALIAS_FIXTURE_H

#include "shm_node.h"

#include "dma/mem.h"
#include "wire/shm/alias.h"
#include "wire/shm/maps.h"
#include "wire/shm/shm.h"

#define WRITE HCA_ACCESS_REMOTE_WRITE
#define READ HCA_ACCESS_REMOTE_READ
#define A_KEY 0x0ab01u
#define ENOUGH 600u /* uses: more than one look */

static u8 own[RAM];
static u32 a_key = A_KEY; /* the one that is used */

/* --- copies whose faults are caught --- */

static _Thread_local sigjmp_buf *volatile way_out;

static inline void on_fault(int sig)
{
	sigjmp_buf *out = way_out;

	if (!out) {
		signal(sig, SIG_DFL);
		return;
	}
	siglongjmp(*out, 1);
}

/* The last that was written. */
static void *last_to;
static size_t last_bytes;

static inline int put(void *to, const void *from, size_t n)
{
	sigjmp_buf out;

	hca_store(&last_to, to);
	hca_store(&last_bytes, n);
	if (sigsetjmp(out, 1)) {
		way_out = NULL;
		return -EFAULT;
	}
	way_out = &out;
	hca_mem_put_bytes(to, from, n);
	way_out = NULL;
	return 0;
}

static inline int cmp_swap(u64 *at, u64 compare, u64 swap, u64 *old)
{
	sigjmp_buf out;

	if (sigsetjmp(out, 1)) {
		way_out = NULL;
		return -EFAULT;
	}
	way_out = &out;
	*old = hca_cmpxchg(at, compare, swap);
	way_out = NULL;
	return 0;
}

static inline int fetch_add(u64 *at, u64 add, u64 *old)
{
	sigjmp_buf out;

	if (sigsetjmp(out, 1)) {
		way_out = NULL;
		return -EFAULT;
	}
	way_out = &out;
	*old = hca_fetch_add(at, add);
	way_out = NULL;
	return 0;
}

static const struct hca_shm_memory caught = { .put = put, .cmp_swap = cmp_swap, .fetch_add = fetch_add };

/* In each test that wants it: the test library has handlers of its own for each. */
static inline void catch_faults(void)
{
	const struct sigaction sa = { .sa_handler = on_fault };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

/* --- nodes on memory of a file --- */

static inline int open_on(int fd)
{
	memory = &caught;
	a_key = A_KEY;
	ram_fd = fd;
	return open_nodes(NULL);
}

static inline int open_memfd(void **state)
{
	int fd = memfd_create("alias", MFD_CLOEXEC);

	(void)state;
	return fd < 0 || ftruncate(fd, 2 * RAM) || open_on(fd);
}

static inline int close_all(void **state)
{
	close(ram_fd);
	ram_fd = -1;
	return close_nodes(state);
}

static inline u64 give(const struct hca_wire_key *k)
{
	const struct told t = { .order = KEY, .k = *k };

	return tell(&t);
}

static inline void give_key(void)
{
	struct hca_wire_key k = key_of(A_KEY);

	give(&k);
}

/* The peer's, from now on. @flags 0: nothing is there. */
static inline void child_maps(u64 off, u32 len, int prot, int flags, int fd)
{
	struct told t = { .order = MAP, .off = off, .len = len, .seed = (u32)fd };

	t.right = (u32)prot;
	t.key = (u32)flags;
	assert_int_equal(tell(&t), 0);
}

static inline bool child_has(u64 off, u32 len, u32 seed)
{
	const struct told t = { .order = SAME, .off = off, .len = len, .seed = seed };

	return tell(&t);
}

/* Pieces that were moved by plain loads and stores. */
static inline u64 plain(void)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < HCA_FABRIC_MARKS; i++)
		n += hca_load(&us.head->uses[i].plain);
	return n;
}

static inline u32 times(u32 right, u64 off, u32 n)
{
	u64 before = plain();
	u32 i;

	for (i = 0; i < n; i++)
		assert_true(carry_out(&us, CHILD, right, a_key, off, own, 8));
	return (u32)(plain() - before);
}

/* Is the key's memory known as ours when it was used for a while? From then on each use is plain. */
static inline bool gets_plain(u32 right)
{
	times(right, 0, ENOUGH);
	return times(right, 0, 10) == 10;
}

static inline bool stays_other(u32 right)
{
	return times(right, 0, ENOUGH) == 0;
}

static inline bool count_mappings(void *ctx, const struct shm_mapping *m)
{
	u32 *n = ctx;
	struct stat st;

	if (!fstat(ram_fd, &st) && m->ino == st.st_ino && m->shared)
		++*n;
	return false;
}

/* How many mappings of the file this process has. */
static inline u32 mappings(void)
{
	u32 n = 0;

	assert_int_equal(shm_maps_each(0, count_mappings, &n), 0);
	return n;
}

#define ON_MEMFD(t) cmocka_unit_test_setup_teardown(t, open_memfd, close_all)

#endif
