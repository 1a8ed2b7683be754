/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The I/O address allocator against a plain map of pages: nothing is handed out twice or outside the aperture, alignment
 * and boundaries hold, everything comes back, and nothing is refused that a drained allocator has room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "platform/iova.h"
#include "test_os.h"

#define BASE 0x10000000ull
#define MAX_CHUNKS 200u
#define LIVE 3000

struct range {
	u64 page;
	u64 pages;
};

static struct {
	struct iova v;
	u64 base;
	u64 boundary;
	u32 chunks;
	u8 taken[MAX_CHUNKS * IOVA_CHUNK];
	struct range live[LIVE];
	u32 n;
	u64 used;
} t;

static void open_at(u64 base, u32 chunks, u64 boundary)
{
	memset(&t, 0, sizeof(t));
	memset(&t.v, 0xa5, sizeof(t.v)); /* iova_init() takes it as it is */
	t.base = base;
	t.boundary = boundary;
	t.chunks = chunks;
	assert_int_equal(iova_init(&t.v, base, chunks, boundary), 0);
}

static void open_(u32 chunks)
{
	open_at(BASE, chunks, 0);
}

static void close_(void)
{
	iova_fini(&t.v);
	assert_int_equal(test_leaks(), 0);
}

/* What a range of so many pages takes, and where that begins. */
static u64 block(u64 page, u64 pages)
{
	u64 size = 1;

	if (pages > IOVA_SMALL)
		return (page % IOVA_WORD + pages + IOVA_WORD - 1) / IOVA_WORD * IOVA_WORD;
	while (size < pages)
		size *= 2;
	return size;
}

static u64 block_start(u64 page, u64 pages)
{
	return pages > IOVA_SMALL ? page - page % IOVA_WORD : page;
}

static bool keeps_boundary(u64 page, u64 pages)
{
	if (!t.boundary)
		return true;
	return pages > t.boundary ? page % t.boundary == 0 : page / t.boundary == (page + pages - 1) / t.boundary;
}

static bool take(u32 slot, u64 pages, bool bounded, u32 lead)
{
	u64 page = iova_alloc(&t.v, slot, pages, bounded, lead), i, size;

	if (page == IOVA_NONE)
		return false;
	size = block(page, pages);
	assert_true(page >= t.base && page + pages <= t.base + (u64)t.chunks * IOVA_CHUNK);
	if (pages <= IOVA_SMALL)
		assert_int_equal(page % size, 0);
	else if (lead)
		assert_int_equal(page % IOVA_CHUNK, lead);
	else
		assert_int_equal(page % IOVA_WORD, 0);
	if (bounded)
		assert_true(keeps_boundary(page, pages));
	for (i = 0; i < size; i++)
		assert_int_equal(t.taken[block_start(page, pages) - t.base + i]++, 0);
	t.used += size;
	assert_true(iova_used(&t.v) == t.used);
	t.live[t.n].page = page;
	t.live[t.n++].pages = pages;
	return true;
}

static void forget(u32 k)
{
	u64 i, size = block(t.live[k].page, t.live[k].pages);

	for (i = 0; i < size; i++)
		assert_int_equal(t.taken[block_start(t.live[k].page, t.live[k].pages) - t.base + i]--, 1);
	t.used -= size;
	t.live[k] = t.live[--t.n];
}

static void give(u32 slot, u32 k)
{
	iova_free(&t.v, slot, t.live[k].page, t.live[k].pages);
	forget(k);
	assert_true(iova_used(&t.v) == t.used);
}

/* Several at once, as a flush does. */
static void give_many(u32 slot, u32 n)
{
	struct iova_range r[64];
	u32 i, k;

	for (i = 0; i < n; i++) {
		k = hca_random_u32() % t.n;
		r[i].page = iova_relative(&t.v, t.live[k].page);
		r[i].pages = (u32)t.live[k].pages;
		forget(k);
	}
	iova_free_many(&t.v, slot, r, n);
	assert_true(iova_used(&t.v) == t.used);
}

/* Does the model have a place for so many pages? Tries each, one after the other. */
static bool model_has_room(u64 pages, bool bounded)
{
	u64 size = block(0, pages), step = pages > IOVA_SMALL ? IOVA_WORD : size, at, i;

	for (at = 0; at + size <= (u64)t.chunks * IOVA_CHUNK; at += step) {
		if (bounded && !keeps_boundary(t.base + at, pages))
			continue;
		for (i = 0; i < size && !t.taken[at + i]; i++)
			;
		if (i == size)
			return true;
	}
	return false;
}

static u64 random_pages(void)
{
	static const u32 bits[] = { 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12 };

	return 1 + hca_random_u32() % (1u << bits[hca_random_u32() % HCA_ARRAY_SIZE(bits)]);
}

/* What is refused has no place in the model; what has one there is never refused, once the magazines are empty. */
static void take_or_know_why(u32 slot, u64 pages, bool bounded)
{
	bool room;

	if (take(slot, pages, bounded, 0))
		return;
	iova_drain(&t.v);
	room = model_has_room(pages, bounded);
	assert_int_equal(take(slot, pages, bounded, 0), room);
}

static void random_use(u32 steps, u32 slots)
{
	u32 i, slot;
	u64 pages;

	for (i = 0; i < steps; i++) {
		slot = hca_random_u32() % slots * 7 % HCA_SLOTS;
		/* It swells and shrinks. */
		if (t.n < LIVE && (!t.n || hca_random_u32() % 100 < (i / 2000 % 2 ? 35 : 65))) {
			pages = random_pages();
			if (pages <= IOVA_SMALL || hca_random_u32() % 4 ||
			    !take(slot, pages, false, hca_random_u32() % 512))
				take_or_know_why(slot, pages, hca_random_u32() % 2);
		} else if (t.n >= 64 && hca_random_u32() % 16 == 0) {
			give_many(slot, 64);
		} else {
			give(slot, hca_random_u32() % t.n);
		}
	}
}

static void all_back(void)
{
	while (t.n)
		give(0, 0);
	iova_drain(&t.v);
	/* Everything is one run again. */
	assert_true(take(0, (u64)t.chunks * IOVA_CHUNK, false, 0));
	give(3, 0);
	close_();
}

static void keeps_to_the_model(void **state)
{
	static const u32 chunks[] = { 1, 2, 7, 64, 65, MAX_CHUNKS };
	u32 slots;
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(chunks); i++) {
		for (slots = 1; slots <= 5; slots += 4) {
			open_(chunks[i]);
			random_use(12000, slots);
			all_back();
		}
	}
}

/* Apertures that begin anywhere, with boundaries of every size. */
static void keeps_boundaries_as_the_model_does(void **state)
{
	u64 base, boundary;
	u32 i, chunks;

	(void)state;
	for (i = 0; i < 60; i++) {
		base = (1 + hca_random_u32() % 5000) * (u64)IOVA_CHUNK;
		chunks = 1 + hca_random_u32() % 40;
		boundary = 1ull << hca_random_u32() % 20;
		open_at(base, chunks, boundary);
		random_use(2500, 1 + i % 3);
		all_back();
	}
}

/* Long ranges between small ones that stay: so many holes that none fits what is looked for, or only the last. */
static void fragmented_apertures(void **state)
{
	u32 round, i;

	(void)state;
	for (round = 0; round < 20; round++) {
		open_at(BASE, 3 + hca_random_u32() % 60, 0);
		while (t.n < LIVE && take(0, 1u << hca_random_u32() % 9, false, 0))
			;
		iova_drain(&t.v);
		/* Every other one goes, or whole stretches do. */
		for (i = t.n; i--;)
			if (round % 2 ? hca_random_u32() % 2 : t.live[i].page / 777 % 2)
				give(0, i);
		iova_drain(&t.v);
		for (i = 0; i < 100 && t.n < LIVE; i++)
			take_or_know_why(0, random_pages(), false);
		all_back();
	}
}

/*
 * A search visits a path through the tree, whatever holes there are: 64 GiB of addresses with 15,000 holes that are all
 * too small but one.
 */
static void many_holes_cost_no_more_than_none(void **state)
{
	const u32 chunks = (u32)((64ull << 30) >> 21), holes = 15000;
	static u64 page[32768];
	u64 looks, most = 0, at;
	struct iova v;
	u32 i;

	(void)state;
	assert_int_equal(iova_init(&v, BASE, chunks, 1u << 20), 0);
	for (i = 0; i < chunks; i++) {
		page[i] = iova_alloc(&v, 0, IOVA_CHUNK, true, 0);
		assert_true(page[i] != IOVA_NONE);
	}
	for (i = 0; i < holes; i++)
		iova_free(&v, 0, page[2 * i], IOVA_CHUNK);
	iova_free(&v, 0, page[2 * 7000 + 1], IOVA_CHUNK);
	for (i = 0; i < 100; i++) {
		looks = v.tree.looks;
		at = iova_alloc(&v, 0, 2 * IOVA_CHUNK + (i % 2 ? 0 : 64), i % 4 < 2, 0);
		most = HCA_MAX(most, v.tree.looks - looks);
		if (at == IOVA_NONE)
			continue;
		looks = v.tree.looks;
		iova_free(&v, 0, at, 2 * IOVA_CHUNK + (i % 2 ? 0 : 64));
		most = HCA_MAX(most, v.tree.looks - looks);
	}
	/* 15 levels; a search looks at both children, and setting the nodes again at up to two of each level. */
	assert_true(most <= 15 * 4 + 8);
	looks = v.tree.looks;
	assert_true(iova_alloc(&v, 0, 4 * IOVA_CHUNK, false, 0) == IOVA_NONE);
	assert_true(v.tree.looks - looks <= 2 * 15);
	iova_fini(&v);
}

/* Small ranges of each size don't keep a chunk each for themselves: a long one fits while there is room. */
static void sizes_share_chunks(void **state)
{
	u32 i;

	(void)state;
	open_(4);
	for (i = 0; i < IOVA_ORDERS; i++)
		assert_true(take(0, 1u << i, false, 0));
	assert_true(take(0, 257, false, 0));
	all_back();
	open_(4);
	for (i = 0; i < 4; i++)
		assert_true(take(0, 1u << i, false, 0));
	assert_true(take(0, 3 * IOVA_CHUNK, false, 0));
	all_back();
}

static void every_page_can_be_had(void **state)
{
	u32 i, order;
	u64 page;

	(void)state;
	for (order = 0; order < IOVA_ORDERS; order++) {
		open_(3);
		for (i = 0; i < 3 * IOVA_CHUNK >> order; i++)
			assert_true(take(i % 2, 1u << order, false, 0) ||
				    (iova_drain(&t.v), take(i % 2, 1u << order, false, 0)));
		iova_drain(&t.v);
		assert_false(take(0, 1, false, 0));
		/* Two neighbours make room for one of twice the size, but only if it is aligned. */
		if (order < IOVA_ORDERS - 1) {
			for (i = 0; t.live[i].page % (2u << order); i++)
				;
			page = t.live[i].page;
			give(0, i);
			iova_drain(&t.v);
			assert_false(take(0, 2u << order, false, 0));
			for (i = 0; t.live[i].page != page + (1u << order); i++)
				;
			give(1, i);
			iova_drain(&t.v);
			assert_true(take(0, 2u << order, false, 0));
		}
		while (t.n)
			give(2, t.n - 1);
		close_();
	}
}

static void boundaries_of_runs(void **state)
{
	(void)state;
	open_at(BASE, 40, 8 * 512);
	assert_true(take(0, 8 * 512, true, 0));
	assert_true(take(0, 6 * 512, true, 0));
	assert_true(take(0, 3 * 512, true, 0)); /* not beside the 6: that would cross */
	assert_int_equal(t.live[2].page / (8 * 512), t.live[1].page / (8 * 512) - 1);
	assert_true(take(0, 9 * 512, true, 0)); /* longer than the boundary: begins at a multiple of it */
	assert_false(take(0, 17 * 512, true, 0));
	assert_false(take(0, 1ull << 40, false, 0));
	assert_true(take(0, 600, false, 400));
	assert_int_equal(t.live[4].page % 512, 400);
	all_back();
}

/* What isn't out can't come back; the allocator says so and stays whole. */
static void give_wrong(void *arg)
{
	struct iova_range *r = arg;

	iova_free_many(&t.v, 0, r, 1);
	iova_drain(&t.v);
}

static void wrong_frees_are_seen(void **state)
{
	struct iova_range wrong[] = { { 5, 1 }, { 512, 600 }, { 4096, 300 }, { 64, 64 }, { 1408, 300 } };
	size_t i;

	(void)state;
	open_(3);
	for (i = 0; i < HCA_ARRAY_SIZE(wrong); i++)
		assert_true(test_expect_warn(give_wrong, &wrong[i]) > 0);
	assert_true(iova_alloc(&t.v, 0, 3 * 512, false, 0) == BASE);
	close_();
}

static void init_may_fail(void **state)
{
	(void)state;
	TEST_FAIL_LOOP(loop)
	{
		if (!iova_init(&t.v, BASE, 10, 0))
			iova_fini(&t.v);
	}
}

static int fresh(void **state)
{
	(void)state;
	test_os_reset(7);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(keeps_to_the_model, fresh),
		cmocka_unit_test_setup(every_page_can_be_had, fresh),
		cmocka_unit_test_setup(keeps_boundaries_as_the_model_does, fresh),
		cmocka_unit_test_setup(fragmented_apertures, fresh),
		cmocka_unit_test_setup(many_holes_cost_no_more_than_none, fresh),
		cmocka_unit_test_setup(sizes_share_chunks, fresh),
		cmocka_unit_test_setup(boundaries_of_runs, fresh),
		cmocka_unit_test_setup(wrong_frees_are_seen, fresh),
		cmocka_unit_test_setup(init_may_fail, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
