/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Completion queues: order, overflow, notification, resize, purge; and producers,
 * consumers and resizers at once, by seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "hca/cq.h"
#include "no_leaks.h"

#define SEEDS 500u

#define LIMIT (1u << 22)
#define SOURCES 8u

static struct hca_cq_ring cq;
static struct hca_cq_source source[SOURCES]; /* by queue pair number */

/* Queue pairs that never completed anything, as well. */
static int open_ring(u32 capacity)
{
	hca_memset(source, 0, sizeof(source));
	return hca_cq_ring_init(&cq, capacity, LIMIT);
}

static int resize(u32 capacity)
{
	return hca_cq_ring_resize(&cq, capacity, LIMIT);
}

static void purge(u32 qp_num)
{
	hca_cq_ring_purge(&cq, &source[qp_num]);
}

static enum hca_cq_added add(u64 wr_id, u32 qp_num)
{
	const struct hca_wc wc = { .wr_id = wr_id, .qp_num = qp_num, .byte_len = (u32)wr_id * 3 };

	return hca_cq_ring_add(&cq, &source[qp_num], &wc, false);
}

static void add_many(u64 from, u64 to, u32 qp_num)
{
	for (; from < to; from++)
		assert_int_equal(add(from, qp_num), HCA_CQ_QUIET);
}

static void expect(u64 from, u64 to)
{
	struct hca_wc wc;

	for (; from < to; from++) {
		assert_int_equal(hca_cq_ring_poll(&cq, &wc, 1), 1);
		assert_int_equal(wc.wr_id, from);
		assert_int_equal(wc.byte_len, from * 3);
	}
}

static void expect_empty(void)
{
	struct hca_wc wc;

	assert_int_equal(hca_cq_ring_poll(&cq, &wc, 1), 0);
}

/* --- order and room --- */

static void sizes(void **state)
{
	static const u32 good[] = { 1, 2, 3, 4, 5, 255, 256, 257, LIMIT }, none[] = { 0, LIMIT + 1, 1u << 31, ~0u };
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(none); i++)
		assert_int_equal(open_ring(none[i]), -EINVAL);
	for (i = 0; i < HCA_ARRAY_SIZE(good); i++) {
		assert_int_equal(open_ring(good[i]), 0);
		assert_int_equal(cq.capacity, good[i]);
		assert_int_equal(cq.size & (cq.size - 1), 0);
		assert_true(cq.size >= good[i]);
		hca_cq_ring_fini(&cq);
	}
}

static void memory_may_be_short(void **state)
{
	(void)state;
	TEST_FAIL_LOOP(l)
	{
		int err = open_ring(4);

		if (err) {
			assert_int_equal(err, -ENOMEM);
			continue;
		}
		add_many(0, 3, 1);
		err = resize(100);
		assert_true(!err || err == -ENOMEM);
		assert_int_equal(cq.capacity, err ? 4 : 100);
		expect(0, 3);
		hca_cq_ring_fini(&cq);
	}
}

/* For each capacity, at each place of the ring, and across the end of the counters. */
static void order_and_overflow(void **state)
{
	u32 capacity, start, i;
	struct hca_wc wc[8];

	(void)state;
	for (capacity = 1; capacity <= 9; capacity++) {
		for (start = 0; start < 40; start++) {
			assert_int_equal(open_ring(capacity), 0);
			cq.head = cq.tail = start - 20;
			expect_empty();
			add_many(0, capacity, 1);
			for (i = 0; i < 30; i++) { /* full all the time */
				expect(i, i + 1);
				add_many(capacity + i, capacity + i + 1, 1);
			}
			assert_int_equal(hca_cq_ring_poll(&cq, wc, 0), 0);
			assert_int_equal(hca_cq_ring_poll(&cq, wc, -1), 0);
			assert_int_equal(add(99, 1), HCA_CQ_OVERFLOW);
			assert_int_equal(add(99, 1), HCA_CQ_LOST);
			expect(30, 31);
			assert_int_equal(add(99, 1), HCA_CQ_LOST); /* room doesn't help any more */
			expect(31, 30 + capacity);
			assert_int_equal(hca_cq_ring_poll(&cq, wc, 8), -EIO);
			assert_int_equal(hca_cq_ring_poll(&cq, wc, 0), 0);
			hca_cq_ring_fini(&cq);
		}
	}
}

static void several_at_once(void **state)
{
	struct hca_wc wc[20];
	int i;

	(void)state;
	assert_int_equal(open_ring(12), 0);
	add_many(0, 12, 1);
	assert_int_equal(hca_cq_ring_poll(&cq, wc, 5), 5);
	add_many(12, 17, 1);
	assert_int_equal(hca_cq_ring_poll(&cq, wc + 5, 15), 12);
	for (i = 0; i < 17; i++)
		assert_int_equal(wc[i].wr_id, i);
	expect_empty();
	hca_cq_ring_fini(&cq);
}

/* --- notification --- */

static enum hca_cq_added add_kind(bool solicited, enum hca_wc_status status)
{
	const struct hca_wc wc = { .status = status };

	return hca_cq_ring_add(&cq, &source[1], &wc, solicited);
}

static void events_are_asked_for(void **state)
{
	u32 arm, solicited, fails;

	(void)state;
	for (arm = HCA_CQ_DISARMED; arm <= HCA_CQ_NEXT; arm++) {
		for (solicited = 0; solicited < 2; solicited++) {
			for (fails = 0; fails < 2; fails++) {
				enum hca_wc_status st = fails ? HCA_WC_LOC_PROT_ERR : HCA_WC_SUCCESS;
				bool tells = arm == HCA_CQ_NEXT || (arm == HCA_CQ_SOLICITED && (solicited || fails));

				assert_int_equal(open_ring(8), 0);
				assert_false(hca_cq_ring_notify(&cq, arm));
				assert_int_equal(add_kind(solicited, st), tells ? HCA_CQ_NOTIFY : HCA_CQ_QUIET);
				/* Once each time it is asked for. */
				if (tells)
					assert_int_equal(add_kind(true, HCA_WC_FATAL_ERR), HCA_CQ_QUIET);
				hca_cq_ring_fini(&cq);
			}
		}
	}
}

static void requests_add_up(void **state)
{
	(void)state;
	assert_int_equal(open_ring(8), 0);
	assert_false(hca_cq_ring_notify(&cq, HCA_CQ_NEXT));
	assert_false(hca_cq_ring_notify(&cq, HCA_CQ_SOLICITED)); /* doesn't weaken the first */
	assert_int_equal(add_kind(false, HCA_WC_SUCCESS), HCA_CQ_NOTIFY);
	assert_true(hca_cq_ring_notify(&cq, HCA_CQ_SOLICITED));
	assert_true(hca_cq_ring_notify(&cq, HCA_CQ_NEXT));
	assert_int_equal(add_kind(false, HCA_WC_SUCCESS), HCA_CQ_NOTIFY);
	assert_true(hca_cq_ring_notify(&cq, HCA_CQ_SOLICITED));
	assert_int_equal(add_kind(false, HCA_WC_SUCCESS), HCA_CQ_QUIET);
	assert_int_equal(add_kind(true, HCA_WC_SUCCESS), HCA_CQ_NOTIFY);
	hca_cq_ring_fini(&cq);
}

static void missed_events_are_told(void **state)
{
	(void)state;
	assert_int_equal(open_ring(8), 0);
	add_many(0, 2, 1);
	assert_true(hca_cq_ring_notify(&cq, HCA_CQ_NEXT));
	expect(0, 1);
	assert_true(hca_cq_ring_notify(&cq, HCA_CQ_NEXT));
	expect(1, 2);
	assert_false(hca_cq_ring_notify(&cq, HCA_CQ_NEXT));
	assert_int_equal(resize(20), 0);
	assert_int_equal(add(2, 1), HCA_CQ_NOTIFY); /* the request stays */
	hca_cq_ring_fini(&cq);
}

/* --- resize and purge --- */

static void resize_keeps_all(void **state)
{
	u32 from, to, filled, start;

	(void)state;
	for (from = 1; from <= 9; from++) {
		for (to = 1; to <= 17; to++) {
			for (filled = 0; filled <= from; filled++) {
				for (start = 0; start < 10; start++) {
					assert_int_equal(open_ring(from), 0);
					cq.head = cq.tail = start - 5;
					add_many(0, filled, 1);
					if (filled > to) {
						assert_int_equal(resize(to), -EINVAL);
						expect(0, filled);
						hca_cq_ring_fini(&cq);
						continue;
					}
					assert_int_equal(resize(to), 0);
					add_many(filled, to, 1);
					expect(0, to / 2);
					add_many(to, to + to / 2, 1);
					expect(to / 2, to + to / 2);
					expect_empty();
					add_many(0, to, 1);
					assert_int_equal(add(99, 1), HCA_CQ_OVERFLOW);
					hca_cq_ring_fini(&cq);
				}
			}
		}
	}
}

static void bad_resize(void **state)
{
	struct hca_wc wc;

	(void)state;
	assert_int_equal(open_ring(2), 0);
	assert_int_equal(resize(0), -EINVAL);
	assert_int_equal(resize(LIMIT + 1), -EINVAL);
	add_many(0, 2, 1);
	assert_int_equal(add(2, 1), HCA_CQ_OVERFLOW);
	assert_int_equal(resize(8), 0);
	assert_int_equal(add(3, 1), HCA_CQ_LOST); /* what is in error stays so */
	expect(0, 2);
	assert_int_equal(hca_cq_ring_poll(&cq, &wc, 1), -EIO);
	hca_cq_ring_fini(&cq);
}

/* Every pattern of two queue pairs in a ring of 8, at each place of it. */
static void purge_takes_one_queue_pairs(void **state)
{
	u32 pattern, start, i, n, left;
	struct hca_wc wc[8];

	(void)state;
	for (pattern = 0; pattern < 256; pattern++) {
		for (start = 0; start < 8; start++) {
			assert_int_equal(open_ring(8), 0);
			cq.head = cq.tail = start - 4;
			n = start + 1;
			for (i = 0, left = 0; i < n; i++) {
				add_many(i, i + 1, pattern >> i & 1 ? 5 : 6);
				left += pattern >> i & 1;
			}
			purge(7);
			assert_int_equal(cq.tail - cq.head, n);
			purge(6);
			assert_int_equal(hca_cq_ring_poll(&cq, wc, 8), left);
			for (i = 0, left = 0; i < n; i++)
				if (pattern >> i & 1)
					assert_int_equal(wc[left++].wr_id, i);
			add_many(0, 8, 1); /* all room is back */
			expect(0, 8);
			hca_cq_ring_fini(&cq);
		}
	}
}

/* --- purge: chains of one source's completions --- */

/* How many entries a purge of this source would come to. */
static u32 chain_length(u32 qp_num)
{
	const struct hca_cq_source *s = &source[qp_num];
	u32 i = s->last, n = 0;
	bool more = s->any;

	while (more && i - cq.head < cq.tail - cq.head) {
		const struct hca_cqe *e = &cq.ring[i & (cq.size - 1)];

		if (e->from != s)
			break;
		n++;
#ifdef MORE_TESTS /* an entry may name the place that another one had before it was moved */
		more = step_back(&cq, s, &i);
#else
		more = e->chained && (int)(e->before - i) < 0; /* a stale place is a later one: none left by then */
		i = e->before;
#endif
	}
	return n;
}

/* All others are in memory that nobody may touch meanwhile. */
static void a_purge_costs_its_own_alone(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE), others = 8 * page;
	const u32 n = 4 * (u32)(page / sizeof(struct hca_cqe)) + (u32)(others / sizeof(struct hca_cqe));
	uintptr_t from, to;
	u32 i, own = 0;

	(void)state;
	assert_int_equal(open_ring(n), 0);
	from = ((uintptr_t)cq.ring + page + sizeof(struct hca_cqe)) & ~(page - 1);
	to = from + others;
	for (i = 0; i < n; i++) {
		uintptr_t begin = (uintptr_t)&cq.ring[i], end = begin + sizeof(struct hca_cqe);
		bool is_own = i && i % 3 == 0 && (end <= from || begin >= to);

		add_many(i, i + 1, is_own ? 2 : 1);
		own += is_own;
	}
	assert_in_range(own, 20, n - 20);
	assert_int_equal(chain_length(2), own);
	assert_int_equal(mprotect((void *)from, others, PROT_NONE), 0);
	purge(2);
	purge(2);
	purge(3); /* that has none */
	assert_int_equal(mprotect((void *)from, others, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(cq.purged, own);
	assert_int_equal(chain_length(2), 0);
	assert_int_equal(chain_length(1), n - own);
	hca_cq_ring_fini(&cq);
}

/* What was polled costs no purge anything, and isn't taken for what is there. */
static void a_purge_ends_at_what_was_polled(void **state)
{
	u32 i;

	(void)state;
	assert_int_equal(open_ring(8), 0);
	for (i = 0; i < 100; i++) {
		add_many(2 * i, 2 * i + 1, 1);
		add_many(2 * i + 1, 2 * i + 2, 2);
		assert_int_equal(chain_length(1), 1);
		if (i % 2) {
			expect(2 * i, 2 * i + 1);
			purge(1);
			assert_int_equal(cq.purged, 0);
			expect(2 * i + 1, 2 * i + 2);
		} else {
			purge(1);
			expect(2 * i + 1, 2 * i + 2);
		}
		expect_empty();
	}
	hca_cq_ring_fini(&cq);
}

/* Room that only purged entries take up is given to new ones. */
static void purged_entries_make_room(void **state)
{
	u32 capacity, start;

	(void)state;
	for (capacity = 2; capacity <= 9; capacity++) {
		for (start = 0; start < 20; start++) {
			assert_int_equal(open_ring(capacity), 0);
			cq.head = cq.tail = start - 10;
			add_many(0, 1, 1);
			add_many(50, 50 + capacity - 1, 2);
			purge(2);
			assert_int_equal(cq.purged, capacity - 1);
			add_many(1, capacity, 1 + 2 * (start & 1));
			assert_int_equal(cq.purged, 0);
			assert_int_equal(chain_length(1), start & 1 ? 1 : capacity);
			assert_int_equal(add(99, 1), HCA_CQ_OVERFLOW);
			if (start & 1) { /* their chains are whole */
				purge(3);
				expect(0, 1);
			} else {
				expect(0, capacity);
			}
			assert_false(hca_cq_ring_waiting(&cq));
			hca_cq_ring_fini(&cq);
		}
	}
}

static void resize_drops_what_was_purged(void **state)
{
	u32 i;

	(void)state;
	assert_int_equal(open_ring(9), 0);
	cq.head = cq.tail = ~0u - 3;
	for (i = 0; i < 9; i++)
		add_many(i, i + 1, 1 + i % 3);
	purge(2);
	assert_int_equal(cq.purged, 3);
	assert_int_equal(resize(5), -EINVAL); /* six are left */
	assert_int_equal(cq.purged, 3);
	assert_int_equal(resize(6), 0);
	assert_int_equal(cq.purged, 0);
	assert_int_equal(chain_length(1), 3);
	assert_int_equal(chain_length(3), 3);
	purge(1);
	assert_int_equal(resize(3), 0);
	expect(2, 3);
	expect(5, 6);
	expect(8, 9);
	expect_empty();
	hca_cq_ring_fini(&cq);
}

static void an_empty_queue_looks_empty(void **state)
{
	(void)state;
	assert_int_equal(open_ring(8), 0);
	add_many(0, 1, 1);
	add_many(1, 3, 2);
	add_many(3, 4, 1);
	add_many(4, 5, 2);
	purge(2);
	expect(0, 1);
	assert_true(hca_cq_ring_waiting(&cq));
	expect(3, 4);
	assert_false(hca_cq_ring_waiting(&cq)); /* the last one was purged */
	assert_int_equal(cq.purged, 0);
	hca_cq_ring_fini(&cq);
}

/* A queue pair was silent until the counters came round: the place of its last completion is another's now. */
static void a_stale_place_is_nobodys(void **state)
{
	u32 again;

	(void)state;
	for (again = 0; again < 2; again++) {
		assert_int_equal(open_ring(8), 0);
		add_many(0, 3, 1);
		add_many(3, 4, 2);
		expect(0, 4);
		cq.head = cq.tail = 1; /* 2^32 - 3 completions later */
		add_many(10, 15, 1);
		if (again)
			add_many(15, 16, 2); /* isn't chained to what is there */
		purge(2);
		assert_int_equal(chain_length(1), 5);
		expect(10, 15);
		expect_empty();
		hca_cq_ring_fini(&cq);
	}
}

/* The same by a list that is kept as simply as can be. */
#define MODEL 32u
#define TURNS 400u

static struct {
	u64 wr_id;
	u32 qp_num;
} model[MODEL];
static u32 model_n;

static void model_remove(u32 at)
{
	model_n--;
	for (; at < model_n; at++)
		model[at] = model[at + 1];
}

static void random_add(u32 chance)
{
	static u64 id;
	u32 qp_num = chance % (SOURCES - 1);

	if (model_n == cq.capacity)
		return;
	assert_int_equal(add(++id, qp_num), HCA_CQ_QUIET);
	model[model_n].wr_id = id;
	model[model_n++].qp_num = qp_num;
}

static void random_purge(u32 qp_num)
{
	u32 i, own = 0;

	for (i = 0; i < model_n; i++)
		own += model[i].qp_num == qp_num;
	assert_int_equal(chain_length(qp_num), own);
	purge(qp_num);
	for (i = 0; i < model_n;)
		if (model[i].qp_num == qp_num)
			model_remove(i);
		else
			i++;
}

static void random_poll(u32 n)
{
	struct hca_wc wc[MODEL];
	int i, got = hca_cq_ring_poll(&cq, wc, (int)n);

	assert_int_equal(got, HCA_MIN(n, model_n));
	for (i = 0; i < got; i++) {
		assert_int_equal(wc[i].wr_id, model[0].wr_id);
		assert_int_equal(wc[i].qp_num, model[0].qp_num);
		model_remove(0);
	}
}

static void as_a_list_has_it(void **state)
{
	u32 seed, turn;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		test_os_reset(seed);
		assert_int_equal(open_ring(1 + hca_random_u32() % 12), 0);
		cq.head = cq.tail = 0u - hca_random_u32() % 300;
		model_n = 0;
		for (turn = 0; turn < TURNS; turn++) {
			u32 chance = hca_random_u32(), what = chance % 16;
			u32 capacity = 1 + chance / 16 % MODEL;

			if (what < 9)
				random_add(chance / 16);
			else if (what < 12)
				random_poll(chance / 16 % 5);
			else if (what < 15)
				random_purge(chance / 16 % SOURCES);
			else
				assert_int_equal(resize(capacity), model_n <= capacity ? 0 : -EINVAL);
			assert_int_equal(hca_cq_ring_waiting(&cq), model_n != 0);
			assert_int_equal(hca_cq_ring_notify(&cq, HCA_CQ_DISARMED), model_n != 0);
			assert_in_range(cq.tail - cq.head, model_n, cq.capacity + cq.capacity / 2);
		}
		random_poll(MODEL);
		hca_cq_ring_fini(&cq);
	}
}

/* --- at once, by seed --- */

#define COUNT 40u

static u32 polled, told, wrong, over;

static void produce(void *arg)
{
	u32 i, room = *(u32 *)arg;

	for (i = 0; i < COUNT; i++) {
		while (i - hca_load(&polled) >= room)
			hca_pause();
		switch (add(i, 1)) {
		case HCA_CQ_QUIET:
			break;
		case HCA_CQ_NOTIFY:
			hca_store(&told, 1u);
			break;
		default:
			hca_fetch_add(&wrong, 1);
		}
	}
}

/* A consumer by the book: poll, ask for an event when there is nothing, look again, wait. */
static void consume(void *arg)
{
	struct hca_wc wc[3];
	u32 next = 0;
	int n, i;

	(void)arg;
	while (next < COUNT) {
		n = hca_cq_ring_poll(&cq, wc, 1 + (int)(next % 3));
		for (i = 0; i < n; i++)
			wrong += wc[i].wr_id != next++;
		hca_store(&polled, next);
		if (n || hca_cq_ring_notify(&cq, HCA_CQ_NEXT))
			continue;
		while (!hca_load(&told))
			hca_pause(); /* for ever, if an event is lost */
		hca_store(&told, 0u);
	}
	hca_store(&over, 1u);
}

static void resize_often(void *arg)
{
	u32 capacity = 4;

	(void)arg;
	while (!hca_load(&over)) {
		capacity = 4 + (capacity * 5 + 3) % 9;
		if (resize(capacity))
			hca_fetch_add(&wrong, 1);
		purge(2);
	}
}

static void nothing_is_lost(void **state)
{
	void (*const fns[])(void *) = { produce, consume, resize_often };
	u32 room = 4;
	void *const args[] = { &room, NULL, NULL };
	u64 seed;
	u32 n;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		for (n = 2; n <= 3; n++) {
			assert_int_equal(open_ring(4), 0);
			polled = told = wrong = over = 0;
			assert_int_equal(test_run_threads(seed, n, fns, args, NULL), 0);
			assert_int_equal(wrong, 0);
			expect_empty();
			hca_cq_ring_fini(&cq);
		}
	}
}

/* A queue that was never empty is never found empty, whatever else is done to it. */
static void poll_one(void *arg)
{
	struct hca_wc wc;

	(void)arg;
	hca_fetch_add(&wrong, hca_cq_ring_poll(&cq, &wc, 1) != 1);
}

static void resize_once(void *arg)
{
	hca_fetch_add(&wrong, resize(*(u32 *)arg) != 0);
}

static void purge_once(void *arg)
{
	purge(*(u32 *)arg);
}

static void full_is_never_empty(void **state)
{
	void (*const fns[])(void *) = { poll_one, resize_once, purge_once };
	u32 capacity = 32, qp_num = 2;
	void *const args[] = { NULL, &capacity, &qp_num };
	u64 seed;
	u32 gone, n;

	(void)state;
	for (seed = 1; seed <= SEEDS / 10; seed++) {
		for (gone = 0; gone < 5; gone++) {
			for (n = 1; n < 5; n++) {
				assert_int_equal(open_ring(16), 0);
				add_many(0, gone, 1);
				expect(0, gone);
				add_many(0, n, 1);
				add_many(n, n + 2, qp_num);
				wrong = 0;
				assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
				assert_int_equal(wrong, 0);
				expect(1, n);
				expect_empty();
				hca_cq_ring_fini(&cq);
			}
		}
	}
}

/* Two add to one queue: each one's stay in their order, and one event is told for one request. */
#define EACH 20u

static u32 events;

static void add_own(void *arg)
{
	u32 i;

	for (i = 0; i < EACH; i++)
		hca_fetch_add(&events, add(i, *(u32 *)arg) == HCA_CQ_NOTIFY);
}

static void producers_meet(void **state)
{
	void (*const fns[])(void *) = { add_own, add_own };
	u32 qp[2] = { 0, 1 }, next[2], i;
	void *const args[] = { &qp[0], &qp[1] };
	struct hca_wc wc;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		assert_int_equal(open_ring(2 * EACH), 0);
		assert_false(hca_cq_ring_notify(&cq, HCA_CQ_NEXT));
		next[0] = next[1] = events = 0;
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_int_equal(events, 1);
		for (i = 0; i < 2 * EACH; i++) {
			assert_int_equal(hca_cq_ring_poll(&cq, &wc, 1), 1);
			assert_in_range(wc.qp_num, 0, 1);
			assert_int_equal(wc.wr_id, next[wc.qp_num]++);
		}
		hca_cq_ring_fini(&cq);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(sizes),
		T(memory_may_be_short),
		T(order_and_overflow),
		T(several_at_once),
		T(events_are_asked_for),
		T(requests_add_up),
		T(missed_events_are_told),
		T(resize_keeps_all),
		T(bad_resize),
		T(purge_takes_one_queue_pairs),
		T(a_purge_costs_its_own_alone),
		T(a_purge_ends_at_what_was_polled),
		T(purged_entries_make_room),
		T(resize_drops_what_was_purged),
		T(an_empty_queue_looks_empty),
		T(a_stale_place_is_nobodys),
		T(as_a_list_has_it),
		T(nothing_is_lost),
		T(full_is_never_empty),
		T(producers_meet),
#ifdef MORE_TESTS
		MORE_TESTS,
#endif
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
