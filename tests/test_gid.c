/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The GID table of a port: adding, removing, looking up, and all of these at once, by
 * seed. Which addresses are whose is IBTA vol. 1, 4.1.1, and RFC 4291.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hca/gid.h"
#include "no_leaks.h"

#define SEEDS 400u

static struct hca_gids table;
static struct hca_quiesce quiesce;

/* A unicast address, link-local as an adapter's own one is. */
static struct hca_gid gid_of(u8 n)
{
	struct hca_gid gid = { .raw = { 0xfe, 0x80, [8] = n, [15] = n } };

	return gid;
}

static void open_table(void)
{
	hca_gids_init(&table);
	hca_quiesce_init(&quiesce);
}

static int add(u8 n, u32 *index)
{
	const struct hca_gid gid = gid_of(n);

	return hca_gid_add(&table, &gid, index);
}

static int drop(u8 n)
{
	const struct hca_gid gid = gid_of(n);

	return hca_gid_remove(&table, &quiesce, &gid);
}

static bool is_ours(u8 n)
{
	return hca_gid_is_ours(&table, gid_of(n).raw);
}

static void an_empty_table_has_none(void **state)
{
	static const u8 zeros[16];
	u32 i;

	(void)state;
	open_table();
	for (i = 0; i < 2 * HCA_GIDS; i++)
		assert_null(hca_gid_at(&table, i));
	assert_null(hca_gid_at(&table, ~0u));
	assert_false(is_ours(1));
	assert_false(hca_gid_is_ours(&table, zeros)); /* what a free entry holds is nobody's address */
	assert_int_equal(drop(1), -EINVAL);
}

static void entries_have_an_index(void **state)
{
	u32 index, i;

	(void)state;
	open_table();
	for (i = 0; i < HCA_GIDS; i++) {
		const struct hca_gid gid = gid_of((u8)(i + 1));

		index = ~0u;
		assert_int_equal(add((u8)(i + 1), &index), 0);
		assert_int_equal(index, i);
		assert_true(hca_gid_equal(hca_gid_at(&table, i), &gid));
		assert_true(is_ours((u8)(i + 1)));
		assert_false(is_ours((u8)(i + 2)));
	}
	index = 77;
	assert_int_equal(add(100, &index), -ENOSPC);
	assert_int_equal(index, 77);
	for (i = 0; i < HCA_GIDS; i++) { /* once more: where it was, also in a full table */
		assert_int_equal(add((u8)(i + 1), &index), 0);
		assert_int_equal(index, i);
	}
	assert_null(hca_gid_at(&table, HCA_GIDS));
}

static void one_bit_makes_another_address(void **state)
{
	struct hca_gid gid = gid_of(3);
	u32 index, bit;

	(void)state;
	open_table();
	assert_int_equal(hca_gid_add(&table, &gid, &index), 0);
	for (bit = 0; bit < 128; bit++) {
		gid.raw[bit / 8] ^= 1u << bit % 8;
		assert_false(hca_gid_is_ours(&table, gid.raw));
		assert_int_equal(hca_gid_remove(&table, &quiesce, &gid), -EINVAL);
		gid.raw[bit / 8] ^= 1u << bit % 8;
	}
	assert_true(hca_gid_is_ours(&table, gid.raw));
}

static void removed_entries_are_free(void **state)
{
	u32 index, i;

	(void)state;
	open_table();
	for (i = 1; i <= HCA_GIDS; i++)
		assert_int_equal(add((u8)i, &index), 0);
	assert_int_equal(drop(5), 0);
	assert_int_equal(drop(5), -EINVAL);
	assert_false(is_ours(5));
	assert_null(hca_gid_at(&table, 4));
	assert_non_null(hca_gid_at(&table, 3)); /* the others keep their numbers */
	assert_non_null(hca_gid_at(&table, 5));
	assert_int_equal(add(99, &index), 0);
	assert_int_equal(index, 4);
	assert_int_equal(add(5, &index), -ENOSPC);
	for (i = 1; i <= HCA_GIDS; i++)
		assert_int_equal(drop((u8)i), i == 5 ? -EINVAL : 0);
	assert_int_equal(drop(99), 0);
	assert_false(hca_gid_is_ours(&table, (const u8[16]){ 0 }));
}

static void groups_are_no_ports(void **state)
{
	static const struct {
		struct hca_gid gid;
		bool group, port;
	} t[] = {
		{ { .raw = { 0 } }, false, false },
		{ { .raw = { [15] = 1 } }, false, true },
		{ { .raw = { 0xff, 0x12, 0x40, 0x1b, [15] = 1 } }, true, false }, /* RFC 4391: IP over InfiniBand */
		{ { .raw = { 0xff } }, true, false },
		{ { .raw = { 0xfe, 0xff, 0xff } }, false, true },
		{ { .raw = { [10] = 0xff, 0xff, 224, 0, 0, 1 } }, true, false }, /* 224.0.0.0/4 (RFC 5771) */
		{ { .raw = { [10] = 0xff, 0xff, 239, 255, 255, 255 } }, true, false },
		{ { .raw = { [10] = 0xff, 0xff, 223, 255, 255, 255 } }, false, true },
		{ { .raw = { [10] = 0xff, 0xff, 240, 0, 0, 1 } }, false, true },
		{ { .raw = { [10] = 0xff, 0xff, 10, 0, 0, 1 } }, false, true },
		{ { .raw = { [9] = 1, 0xff, 0xff, 224, 0, 0, 1 } }, false, true }, /* not mapped IPv4 */
		{ { .raw = { [10] = 0xff, 0xfe, 224, 0, 0, 1 } }, false, true },
	};
	u32 i, index;

	(void)state;
	open_table();
	for (i = 0; i < HCA_ARRAY_SIZE(t); i++) {
		index = 77;
		assert_int_equal(hca_gid_is_group(&t[i].gid), t[i].group);
		assert_int_equal(hca_gid_add(&table, &t[i].gid, &index), t[i].port ? 0 : -EINVAL);
		assert_int_equal(hca_gid_is_ours(&table, t[i].gid.raw), t[i].port);
		assert_int_equal(index == 77, !t[i].port);
	}
}

/* --- at once --- */

static u32 wrong, looks, ended;

/* From inside an entry stays what it is, until we leave. */
static void look_up(void *arg)
{
	struct hca_quiesce_mark mark;
	const struct hca_gid *at;
	struct hca_gid was;
	u32 i, k;

	(void)arg;
	for (i = 0; hca_load(&ended) < 2; i++) {
		hca_quiesce_enter(&quiesce, &mark);
		at = hca_gid_at(&table, i % 3);
		if (at) {
			was = *at;
			for (k = 0; k < 3; k++) {
				hca_pause();
				wrong += !hca_gid_equal(at, &was);
			}
			looks++;
		}
		wrong += !hca_gid_is_ours(&table, gid_of(200).raw); /* that never goes */
		wrong += hca_gid_is_ours(&table, gid_of(201).raw);
		hca_quiesce_leave(&mark);
	}
}

static void add_and_remove(void *arg)
{
	u8 n = *(const u8 *)arg;
	u32 i, index;

	for (i = 0; i < 8; i++, n ^= 64) {
		if (add(n, &index) || index >= HCA_GIDS)
			hca_fetch_add(&wrong, 1);
		if (!is_ours(n))
			hca_fetch_add(&wrong, 1);
		if (drop(n))
			hca_fetch_add(&wrong, 1);
		if (is_ours(n))
			hca_fetch_add(&wrong, 1);
	}
	hca_fetch_add(&ended, 1);
}

static void entries_stay_while_they_are_looked_at(void **state)
{
	void (*const fns[])(void *) = { look_up, add_and_remove, add_and_remove, look_up };
	u8 first = 1, second = 2;
	void *const args[] = { NULL, &first, &second, NULL };
	u32 index, i;
	u64 seed;

	(void)state;
	looks = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_table();
		assert_int_equal(add(200, &index), 0);
		wrong = ended = 0;
		assert_int_equal(test_run_threads(seed, 4, fns, args, NULL), 0);
		assert_int_equal(wrong, 0);
		for (i = 1; i < HCA_GIDS; i++)
			assert_null(hca_gid_at(&table, i));
	}
	assert_true(looks > SEEDS);
}

/* Two remove the same address: one has done it. */
static u32 removed;

static void remove_it(void *arg)
{
	(void)arg;
	if (!drop(7))
		hca_fetch_add(&removed, 1);
}

static void one_removes(void **state)
{
	void (*const fns[])(void *) = { remove_it, remove_it, remove_it };
	void *const args[] = { NULL, NULL, NULL };
	u32 index;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_table();
		removed = 0;
		assert_int_equal(add(7, &index), 0);
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		assert_int_equal(removed, 1);
		assert_int_equal(add(8, &index), 0);
		assert_int_equal(index, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_empty_table_has_none),
		T(entries_have_an_index),
		T(one_bit_makes_another_address),
		T(removed_entries_are_free),
		T(groups_are_no_ports),
		T(entries_stay_while_they_are_looked_at),
		T(one_removes),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
