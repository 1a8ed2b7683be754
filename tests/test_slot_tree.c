/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bounce pool's slots against a plain map of them: a search finds the first run that there is, and nothing else; and
 * what it costs doesn't depend on how full the pool is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/slot_tree.h"
#include "test_os.h"

#define MAX_SLOTS 4096u
#define LONGEST 129u

static struct slot_tree t;
static u8 used[MAX_SLOTS];
static u32 slots;

static void open_(u32 n)
{
	memset(&t, 0xa5, sizeof(t)); /* slot_tree_init() takes it as it is */
	memset(used, 0, sizeof(used));
	slots = n;
	assert_int_equal(slot_tree_init(&t, n), 0);
}

static void close_(void)
{
	slot_tree_fini(&t);
	assert_int_equal(test_leaks(), 0);
}

static bool is_free(u32 at, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (at + i >= slots || used[at + i])
			return false;
	return true;
}

static u32 find(u32 from, u32 n, bool odd)
{
	u32 at;

	for (at = from; at < slots; at++)
		if ((at & 1) == odd && is_free(at, n))
			return at;
	return SLOT_NONE;
}

static u32 find_block(u32 from, u32 order)
{
	u32 at, n = 1u << order;

	for (at = (from + n - 1) / n * n; at < slots; at += n)
		if (is_free(at, n))
			return at;
	return SLOT_NONE;
}

static void mark(u32 at, u32 n, bool use)
{
	slot_tree_mark(&t, at, n, use);
	memset(used + at, use, n);
}

static void look_everywhere(unsigned int *seed)
{
	u32 from, n, order;

	for (n = 1; n <= LONGEST; n += 1 + (u32)rand_r(seed) % 9) {
		from = (u32)rand_r(seed) % slots;
		assert_int_equal(slot_tree_find(&t, from, n, false), find(from, n, false));
		assert_int_equal(slot_tree_find(&t, from, n, true), find(from, n, true));
		assert_int_equal(slot_tree_find(&t, 0, n, n & 1), find(0, n, n & 1));
	}
	for (order = 0; order <= 8; order++) {
		from = (u32)rand_r(seed) % slots;
		assert_int_equal(slot_tree_find_block(&t, from, order), find_block(from, order));
		assert_int_equal(slot_tree_find_block(&t, 0, order), find_block(0, order));
	}
}

/* Long runs of one kind of call fill the pool, or empty it; the other ones leave holes. */
static void random_against_a_map(void **state)
{
	static const u32 sizes[] = { 64, 128, 192, 1024, 1088, MAX_SLOTS };
	static u32 first[MAX_SLOTS], len[MAX_SLOTS];
	u32 k, i, n, live, at, pick;
	unsigned int seed = 1;

	(void)state;
	for (k = 0; k < HCA_ARRAY_SIZE(sizes); k++) {
		open_(sizes[k]);
		live = 0;
		for (i = 0; i < 1500; i++) {
			if ((u32)rand_r(&seed) % 10 < (i / 300 % 2 ? 3u : 7u)) {
				n = 1 + (u32)rand_r(&seed) % (rand_r(&seed) % 8 ? 4 : LONGEST);
				at = slot_tree_find(&t, (u32)rand_r(&seed) % slots, n, rand_r(&seed) & 1);
				if (at == SLOT_NONE)
					continue;
				mark(at, n, true);
				first[live] = at;
				len[live++] = n;
			} else if (live) {
				pick = (u32)rand_r(&seed) % live--;
				mark(first[pick], len[pick], false);
				first[pick] = first[live];
				len[pick] = len[live];
			}
			if (i % 10 == 0)
				look_everywhere(&seed);
		}
		while (live--)
			mark(first[live], len[live], false);
		look_everywhere(&seed);
		assert_int_equal(slot_tree_find(&t, 0, slots, false), 0);
		assert_int_equal(slot_tree_find(&t, 0, slots + 1, false), SLOT_NONE);
		assert_int_equal(slot_tree_find(&t, slots, 1, false), SLOT_NONE);
		close_();
	}
}

/*
 * 64 MiB in holes of one slot, two, or seven, with room for eight at the very end, or nowhere: as many nodes as there
 * are levels, up and down.
 */
static void a_full_pool_costs_no_more(void **state)
{
	const u32 all = 32768, levels = 9; /* 512 words */
	u32 hole, i, end;
	u64 looks;

	(void)state;
	for (hole = 1; hole < 8; hole += hole < 2 ? 1 : 5) {
		for (end = 0; end < 2; end++) {
			assert_int_equal(slot_tree_init(&t, all), 0);
			for (i = hole; i < all - 8; i += hole + 1)
				slot_tree_mark(&t, i, 1, true);
			if (!end && !slot_tree_used(&t, all - 1))
				slot_tree_mark(&t, all - 1, 1, true);
			for (i = all - 8; i < all; i++)
				if (slot_tree_used(&t, i) != !end)
					slot_tree_mark(&t, i, 1, !end);
			if (!slot_tree_used(&t, all - 9))
				slot_tree_mark(&t, all - 9, 1, true);
			slot_tree_find_block(&t, 0, 8); /* what changed before is no longer put off */
			looks = t.looks;
			assert_int_equal(slot_tree_find(&t, 0, 8, false), end ? all - 8 : SLOT_NONE);
			assert_int_equal(slot_tree_find(&t, 1234, 8, false), end ? all - 8 : SLOT_NONE);
			assert_int_equal(slot_tree_find_block(&t, 0, 3), end ? all - 8 : SLOT_NONE);
			assert_true(t.looks - looks <= 3 * (2 * levels + 1));
			looks = t.looks;
			/* A change is a path, too, of the change itself or of a later one; several in a word are one. */
			for (i = 0; i < 1000; i++) {
				slot_tree_mark(&t, i * (hole + 1) + hole, 1, false);
				slot_tree_mark(&t, i * (hole + 1) + hole, 1, true);
			}
			slot_tree_find_block(&t, 0, 8);
			assert_true(t.looks - looks <= levels * (1000 * (hole + 1) / 64 + 2));
			slot_tree_fini(&t);
		}
	}
	assert_int_equal(test_leaks(), 0);
}

static void init_may_fail(void **state)
{
	(void)state;
	TEST_FAIL_LOOP(loop)
	{
		if (!slot_tree_init(&t, 64))
			slot_tree_fini(&t);
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(random_against_a_map, fresh),
		cmocka_unit_test_setup(a_full_pool_costs_no_more, fresh),
		cmocka_unit_test_setup(init_may_fail, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
