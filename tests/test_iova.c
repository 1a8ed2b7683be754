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
	u32 chunks;
	u8 taken[MAX_CHUNKS * IOVA_CHUNK];
	struct range live[LIVE];
	u32 n;
	u64 used;
} t;

static void open_(u32 chunks)
{
	memset(&t, 0, sizeof(t));
	t.chunks = chunks;
	assert_int_equal(iova_init(&t.v, BASE, chunks), 0);
}

static void close_(void)
{
	iova_fini(&t.v);
	assert_int_equal(test_leaks(), 0);
}

/* What a range of so many pages takes. */
static u64 block(u64 page, u64 pages)
{
	u64 size = 1;

	if (pages > IOVA_SMALL)
		return ((page - BASE) % IOVA_CHUNK + pages + IOVA_CHUNK - 1) / IOVA_CHUNK * IOVA_CHUNK;
	while (size < pages)
		size *= 2;
	return size;
}

static bool take(u32 slot, u64 pages, u64 boundary, u32 lead)
{
	u64 page = iova_alloc(&t.v, slot, pages, boundary, lead), i, size;

	if (page == IOVA_NONE)
		return false;
	size = block(page, pages);
	assert_true(page >= BASE && page + pages <= BASE + (u64)t.chunks * IOVA_CHUNK);
	if (pages <= IOVA_SMALL)
		assert_int_equal(page % size, 0);
	else
		assert_int_equal(page % IOVA_CHUNK, lead);
	if (boundary && pages > boundary)
		assert_int_equal(page % boundary, 0);
	else if (boundary)
		assert_true(page / boundary == (page + pages - 1) / boundary);
	for (i = 0; i < pages; i++)
		assert_int_equal(t.taken[page - BASE + i]++, 0);
	t.used += size;
	assert_true(iova_used(&t.v) == t.used);
	t.live[t.n].page = page;
	t.live[t.n++].pages = pages;
	return true;
}

static void forget(u32 k)
{
	u64 i;

	for (i = 0; i < t.live[k].pages; i++)
		assert_int_equal(t.taken[t.live[k].page - BASE + i]--, 1);
	t.used -= block(t.live[k].page, t.live[k].pages);
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

/* Is there an aligned hole of so many pages in the model? */
static bool model_has_room(u64 pages)
{
	u64 size = pages > IOVA_SMALL ? (pages + IOVA_CHUNK - 1) / IOVA_CHUNK * IOVA_CHUNK : 1, at, i;
	u64 step;

	while (pages <= IOVA_SMALL && size < pages)
		size *= 2;
	step = HCA_MIN(size, (u64)IOVA_CHUNK);
	for (at = 0; at + size <= (u64)t.chunks * IOVA_CHUNK; at += step) {
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

static void random_use(u32 steps, u32 slots)
{
	u64 pages, boundary;
	u32 i, slot, lead;

	for (i = 0; i < steps; i++) {
		slot = hca_random_u32() % slots * 7 % HCA_SLOTS;
		/* It swells and shrinks. */
		if (t.n < LIVE && (!t.n || hca_random_u32() % 100 < (i / 2000 % 2 ? 35 : 65))) {
			pages = random_pages();
			boundary = hca_random_u32() % 3 ? 0 : 1ull << hca_random_u32() % 20;
			lead = pages > IOVA_SMALL && !boundary && hca_random_u32() % 2 ? hca_random_u32() % 512 : 0;
			if (take(slot, pages, boundary, lead) || boundary || lead)
				continue;
			iova_drain(&t.v);
			if (take(slot, pages, 0, 0))
				continue;
			/* Blocks hold more than was asked for, which the model doesn't know. */
			if (pages == block(BASE, pages) && t.used == (u64)t.n)
				assert_false(model_has_room(pages));
		} else if (t.n >= 64 && hca_random_u32() % 16 == 0) {
			give_many(slot, 64);
		} else {
			give(slot, hca_random_u32() % t.n);
		}
	}
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
			while (t.n)
				give(0, 0);
			iova_drain(&t.v);
			/* Everything is one run again. */
			assert_true(take(0, (u64)chunks[i] * IOVA_CHUNK, 0, 0));
			give(3, 0);
			close_();
		}
	}
}

static void every_page_can_be_had(void **state)
{
	u32 i, order;
	u64 page;

	(void)state;
	for (order = 0; order < IOVA_ORDERS; order++) {
		open_(3);
		for (i = 0; i < 3 * IOVA_CHUNK >> order; i++)
			assert_true(take(i % 2, 1u << order, 0, 0) ||
				    (iova_drain(&t.v), take(i % 2, 1u << order, 0, 0)));
		iova_drain(&t.v);
		assert_false(take(0, 1, 0, 0));
		/* Two neighbours make room for one of twice the size, but only if it is aligned. */
		if (order < IOVA_ORDERS - 1) {
			for (i = 0; t.live[i].page % (2u << order); i++)
				;
			page = t.live[i].page;
			give(0, i);
			iova_drain(&t.v);
			assert_false(take(0, 2u << order, 0, 0));
			for (i = 0; t.live[i].page != page + (1u << order); i++)
				;
			give(1, i);
			iova_drain(&t.v);
			assert_true(take(0, 2u << order, 0, 0));
		}
		while (t.n)
			give(2, t.n - 1);
		close_();
	}
}

static void boundaries_of_runs(void **state)
{
	(void)state;
	open_(40);
	assert_true(take(0, 300, 0, 0)); /* chunk 0 */
	assert_true(take(0, 4 * 512, 4 * 512, 0)); /* begins at 4 */
	assert_int_equal(t.live[1].page, BASE + 4 * 512);
	assert_true(take(0, 3 * 512, 4 * 512, 0)); /* 1 to 3 */
	assert_int_equal(t.live[2].page, BASE + 1 * 512);
	assert_true(take(0, 6 * 512, 8 * 512, 0)); /* 8 to 13: not across 16 */
	assert_int_equal(t.live[3].page, BASE + 8 * 512);
	assert_true(take(0, 3 * 512, 16 * 512, 0)); /* not 14 to 16 */
	assert_int_equal(t.live[4].page, BASE + 16 * 512);
	assert_true(take(0, 9 * 512, 8 * 512, 0)); /* longer than the boundary: begins at a multiple of it */
	assert_int_equal(t.live[5].page, BASE + 24 * 512);
	assert_false(take(0, 17 * 512, 16 * 512, 0));
	assert_false(take(0, 1ull << 40, 0, 0));
	assert_true(take(0, 600, 0, 400)); /* chunks 14 and 15 */
	assert_int_equal(t.live[6].page, BASE + 14 * 512 + 400);
	assert_int_equal(iova_used(&t.v), (1 + 4 + 3 + 6 + 3 + 9 + 2) * 512);
	while (t.n)
		give(0, 0);
	assert_true(take(0, 40 * 512, 0, 0));
	give(0, 0);
	close_();
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
	struct iova_range wrong[] = { { 5, 1 }, { 512, 600 }, { 4096, 300 }, { 64, 64 } };
	size_t i;

	(void)state;
	open_(3);
	for (i = 0; i < HCA_ARRAY_SIZE(wrong); i++)
		assert_true(test_expect_warn(give_wrong, &wrong[i]) > 0);
	assert_true(iova_alloc(&t.v, 0, 3 * 512, 0, 0) == BASE);
	close_();
}

static void init_may_fail(void **state)
{
	(void)state;
	TEST_FAIL_LOOP(loop)
	{
		if (!iova_init(&t.v, BASE, 10))
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
		cmocka_unit_test_setup(keeps_to_the_model, fresh), cmocka_unit_test_setup(every_page_can_be_had, fresh),
		cmocka_unit_test_setup(boundaries_of_runs, fresh), cmocka_unit_test_setup(wrong_frees_are_seen, fresh),
		cmocka_unit_test_setup(init_may_fail, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
