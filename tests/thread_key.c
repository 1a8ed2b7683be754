/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real threads, for the thread sanitizer and the clock: readers use keys as fast as
 * they can while MRs are made and destroyed, registered and made void. What a
 * MR stood for is poisoned as soon as its end has returned.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hca/cq.h"
#include "hca/mr.h"

#define READERS 3
#define REGIONS 8u
#define ROUNDS 4000u
#define HITS 20000u /* and until readers have been inside so often */
#define PAGE 4096u
#define IOVA 0x10000u
#define GOOD 0x5a
#define POISON 0xee

static struct hca_quiesce quiesce;
static struct hca_keys keys;
static struct hca_pd pd;
static u32 published[2 * REGIONS]; /* keys, some of them stale */
static u32 stop, wrong, hits, stopped;

static void use(u32 key)
{
	struct hca_quiesce_mark mark;
	const struct hca_key_entry *e;
	const struct hca_mr *r;
	u64 off, len;

	hca_quiesce_enter(&quiesce, &mark);
	e = hca_key_check(&keys, key, pd.number, HCA_KEY_ANY_QP, IOVA, PAGE, HCA_ACCESS_REMOTE_READ);
	r = e ? hca_load_acquire(&e->mr) : NULL;
	for (off = 0; r && off < PAGE; off += len) {
		const u8 *at;

		len = 256;
		at = (const u8 *)(uintptr_t)hca_dma_u64(hca_mr_run(r, off, &len));
		if (at[0] != GOOD || at[len - 1] != GOOD)
			hca_fetch_add(&wrong, 1);
	}
	if (r)
		hca_fetch_add(&hits, 1);
	hca_quiesce_leave(&mark);
}

static void *read_all(void *arg)
{
	u32 i;

	for (i = 0; !hca_load(&stop); i++) {
		use(hca_load(&published[i % HCA_ARRAY_SIZE(published)]));
		if (i % HCA_ARRAY_SIZE(published) == 0)
			sched_yield(); /* or it is mostly inside that we lose the CPU, and all wait for our return */
	}
	return arg;
}

static u8 *new_memory(void)
{
	u8 *mem = aligned_alloc(PAGE, PAGE);

	if (!mem)
		abort();
	memset(mem, GOOD, PAGE);
	return mem;
}

/* Plain stores: in a race with any reader that is late. */
static void poison(u8 *mem)
{
	memset(mem, POISON, PAGE);
	free(mem);
}

static bool go_on(u32 round)
{
	return round < ROUNDS || hca_load(&hits) < HITS;
}

static void end_region(struct hca_mr *r)
{
	int err;

	while ((err = hca_mr_destroy(r)) == -EBUSY)
		sched_yield();
	if (err)
		hca_fetch_add(&wrong, 1000);
}

static void *make_and_destroy(void *arg)
{
	struct hca_mr *r[REGIONS] = { NULL };
	u8 *mem[REGIONS] = { NULL };
	u32 i, n;

	for (i = 0; go_on(i); i++) {
		struct hca_mr_attr a = { .kind = HCA_MR_LINEAR,
					 .access = HCA_ACCESS_REMOTE_READ | HCA_ACCESS_MW_BIND,
					 .iova = IOVA,
					 .length = PAGE };

		n = i % REGIONS;
		if (r[n]) {
			end_region(r[n]);
			poison(mem[n]);
		}
		mem[n] = new_memory();
		a.base = (uintptr_t)mem[n];
		if (hca_mr_create(&pd, &a, &r[n]))
			abort();
		hca_store(&published[n], r[n]->key);
	}
	for (n = 0; n < REGIONS; n++) {
		end_region(r[n]);
		poison(mem[n]);
	}
	return arg;
}

/* A peer or a work request makes the key void, by its number alone. */
static void void_by_key(u32 key, bool remote)
{
	struct hca_quiesce_mark mark;
	struct hca_mr *r;
	int err;

	hca_quiesce_enter(&quiesce, &mark);
	err = hca_mr_invalidate_begin_key(&keys, pd.number, key, remote, &r);
	hca_quiesce_leave(&mark);
	if (!err && r)
		hca_mr_invalidate_finish(r);
}

static void *void_at_random(void *arg)
{
	u32 i;

	for (i = 0; !hca_load(&stop); i++) {
		void_by_key(hca_load(&published[REGIONS + i % REGIONS]), i & 1);
		/* And a key that nobody has, of an index where memory regions come and go. */
		void_by_key(hca_key_next(hca_load(&published[i % REGIONS])), false);
		sched_yield();
	}
	return arg;
}

/* A memory window needs its memory region from inside, whatever is done to that meanwhile. */
static void *bind_at_random(void *arg)
{
	struct hca_quiesce_mark mark;
	struct hca_mr *r;
	u64 offset;
	u32 i;
	int err;

	for (i = 0; !hca_load(&stop); i++) {
		hca_quiesce_enter(&quiesce, &mark);
		err = hca_mr_bind(&keys, pd.number, hca_load(&published[i % REGIONS]), IOVA, 1, HCA_ACCESS_REMOTE_READ,
				  &r, &offset);
		hca_quiesce_leave(&mark);
		if (!err)
			hca_mr_unbind(r);
		if (i % 64 == 0)
			sched_yield();
	}
	return arg;
}

static void *register_and_void(void *arg)
{
	struct hca_mr_attr a = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	struct hca_mr *r[REGIONS];
	u8 *mem;
	u32 i, n;

	for (n = 0; n < REGIONS; n++)
		if (hca_mr_create(&pd, &a, &r[n]))
			abort();
	for (i = 0; go_on(i); i++) {
		struct hca_mr_pages p = {
			.access = HCA_ACCESS_REMOTE_READ, .iova = IOVA, .length = PAGE, .page_shift = 12, .npages = 1
		};
		u64 page;

		n = i % REGIONS;
		mem = new_memory();
		page = (uintptr_t)mem;
		p.pages = &page;
		p.key = hca_key_next(hca_load(&published[REGIONS + n]));
		if (!published[REGIONS + n])
			p.key = r[n]->key;
		while (hca_mr_register(r[n], &p))
			sched_yield(); /* the other one is about to make it void */
		hca_store(&published[REGIONS + n], p.key);
		if (i % 3 == 0) { /* and now and then in the end itself */
			if (hca_mr_destroy(r[n]) || hca_mr_create(&pd, &a, &r[n]))
				abort();
			hca_store(&published[REGIONS + n], r[n]->key);
		} else {
			void_by_key(p.key, true);
			/* Whoever made it void: it is over when the MR can be registered again. */
			for (;;) {
				hca_irqflags_t flags;
				bool over;

				hca_spin_lock(&r[n]->lock, flags);
				over = r[n]->state == HCA_MR_INVALID;
				hca_spin_unlock(&r[n]->lock, flags);
				if (over)
					break;
				sched_yield();
			}
		}
		poison(mem);
	}
	for (n = 0; n < REGIONS; n++)
		if (hca_mr_destroy(r[n]))
			hca_fetch_add(&wrong, 1000);
	return arg;
}

static void nothing_is_touched_after_the_end(void **state)
{
	pthread_t reader[READERS], other[4];
	u32 i;

	(void)state;
	hca_quiesce_init(&quiesce);
	pd = (struct hca_pd){ .keys = &keys, .quiesce = &quiesce, .number = 1 };
	assert_int_equal(hca_keys_init(&keys, 64), 0);
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&reader[i], NULL, read_all, NULL), 0);
	assert_int_equal(pthread_create(&other[0], NULL, make_and_destroy, NULL), 0);
	assert_int_equal(pthread_create(&other[1], NULL, register_and_void, NULL), 0);
	assert_int_equal(pthread_create(&other[2], NULL, void_at_random, NULL), 0);
	assert_int_equal(pthread_create(&other[3], NULL, bind_at_random, NULL), 0);
	pthread_join(other[0], NULL);
	pthread_join(other[1], NULL);
	hca_store(&stop, 1u);
	pthread_join(other[2], NULL);
	pthread_join(other[3], NULL);
	for (i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	assert_int_equal(wrong, 0);
	assert_true(hits >= HITS);
	assert_int_equal(keys.used, 0);
	assert_int_equal(pd.users, 0);
	hca_keys_fini(&keys);
}

/* --- a completion queue between threads --- */

#define COMPLETIONS 100000u
#define ROOM 64u
#define LIMIT 1024u

static struct hca_cq_ring cq;
static struct hca_cq_source source, idle;
static u32 polled;

static void *produce(void *arg)
{
	u32 i;

	for (i = 0; i < COMPLETIONS; i++) {
		const struct hca_wc wc = { .wr_id = i, .byte_len = ~i };

		while (i - hca_load(&polled) >= ROOM)
			sched_yield();
		if (hca_cq_ring_add(&cq, &source, &wc, false) != HCA_CQ_QUIET)
			hca_fetch_add(&wrong, 1);
	}
	return arg;
}

static void *resize(void *arg)
{
	u32 i;

	for (i = 0; !hca_load(&stopped); i++) {
		if (hca_cq_ring_resize(&cq, ROOM + i % 100, LIMIT))
			hca_fetch_add(&wrong, 1);
		hca_cq_ring_purge(&cq, &idle);
		sched_yield();
	}
	return arg;
}

static void completions_keep_their_order(void **state)
{
	pthread_t producer, resizer;
	struct hca_wc wc[16];
	u32 next = 0;
	int n, i;

	(void)state;
	assert_int_equal(hca_cq_ring_init(&cq, ROOM, LIMIT), 0);
	assert_int_equal(pthread_create(&producer, NULL, produce, NULL), 0);
	assert_int_equal(pthread_create(&resizer, NULL, resize, NULL), 0);
	while (next < COMPLETIONS) {
		n = hca_cq_ring_poll(&cq, wc, 16);
		for (i = 0; i < n; i++, next++)
			if (wc[i].wr_id != next || wc[i].byte_len != ~next)
				hca_fetch_add(&wrong, 1);
		hca_store(&polled, next);
		if (!n)
			sched_yield();
	}
	hca_store(&stopped, 1u);
	pthread_join(producer, NULL);
	pthread_join(resizer, NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(hca_cq_ring_poll(&cq, wc, 1), 0);
	hca_cq_ring_fini(&cq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_touched_after_the_end),
		cmocka_unit_test(completions_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
