/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys and threads inside: tables of 65,536, growth that fails, generations, damaged
 * keys, bounds, rights, and readers that are inside while what they use is taken away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "hca/key.h"
#include "hca/mr.h"
#include "no_leaks.h"

#define MANY 65536u
#define SEEDS 400u

static struct hca_keys keys;
static struct hca_pd pd = { .number = 1 }, other_pd = { .number = 2 };

static void publish(struct hca_key_entry *e, u32 key, u64 iova, u64 length, u32 access)
{
	e->pd = pd.number;
	hca_key_cover(e, iova, length);
	e->access = access;
	e->qpn = HCA_KEY_ANY_QP;
	hca_key_publish(e, key);
}

static u32 new_key(struct hca_key_entry **e)
{
	u32 key;

	assert_int_equal(hca_key_alloc(&keys, &key, e), 0);
	return key;
}

static void end_key(struct hca_key_entry *e, u32 key)
{
	if (hca_load(&e->key))
		assert_true(hca_key_retract(e, key));
	hca_key_free(&keys, key);
}

/* --- the table --- */

static void there_can_be_many(void **state)
{
	struct hca_key_entry **e = calloc(MANY, sizeof(*e));
	u32 *key = calloc(MANY, sizeof(*key));
	u8 *seen = calloc(MANY + 1024, 1);
	u32 i, none;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, MANY), 0);
	for (i = 0; i < MANY; i++) {
		key[i] = new_key(&e[i]);
		assert_in_range(key[i] >> 8, 1, MANY + 1023);
		assert_int_equal(seen[key[i] >> 8]++, 0);
		assert_null(hca_key_find(&keys, key[i]));
		publish(e[i], key[i], i, 1, 0);
	}
	assert_int_equal(keys.used, MANY);
	assert_int_equal(hca_key_alloc(&keys, &none, &e[0]), -ENOSPC);
	for (i = 0; i < MANY; i++) {
		const struct hca_key_entry *found = hca_key_find(&keys, key[i]);

		assert_non_null(found);
		assert_int_equal(found->iova, i);
		assert_null(hca_key_find(&keys, hca_key_next(key[i])));
		assert_int_equal((uintptr_t)found % HCA_CACHE_LINE, 0);
	}
	for (i = 0; i < MANY; i++)
		end_key(e[i], key[i]);
	for (i = 0; i < MANY; i++)
		assert_null(hca_key_find(&keys, key[i]));
	assert_int_equal(keys.used, 0);
	hca_keys_fini(&keys);
	free(seen);
	free(key);
	free(e);
}

static void limits_hold(void **state)
{
	static const u32 limit[] = { 1, 2, 510, 511, 512, 513, 1023, 1024 };
	struct hca_key_entry *e[1024], *none;
	u32 key[1024];
	u32 i, k, x;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 0), -EINVAL);
	assert_int_equal(hca_keys_init(&keys, 1u << HCA_KEY_INDEX_BITS), -EINVAL);
	assert_int_equal(hca_keys_init(&keys, ~0u), -EINVAL);
	for (k = 0; k < HCA_ARRAY_SIZE(limit); k++) {
		assert_int_equal(hca_keys_init(&keys, limit[k]), 0);
		for (i = 0; i < limit[k]; i++)
			key[i] = new_key(&e[i]);
		assert_int_equal(hca_key_alloc(&keys, &x, &none), -ENOSPC);
		hca_key_free(&keys, key[0]);
		key[0] = new_key(&e[0]);
		assert_int_equal(hca_key_alloc(&keys, &x, &none), -ENOSPC);
		for (i = 0; i < limit[k]; i++)
			hca_key_free(&keys, key[i]);
		hca_keys_fini(&keys);
	}
	assert_int_equal(hca_keys_init(&keys, (1u << HCA_KEY_INDEX_BITS) - 1), 0);
	hca_keys_fini(&keys);
}

static void growth_may_fail(void **state)
{
	static struct hca_key_entry *e[1600];
	static u32 key[1600];

	(void)state;
	TEST_FAIL_LOOP(l)
	{
		u32 n = 0, i, fails = 0;
		int err = hca_keys_init(&keys, 1600);

		if (err) {
			assert_int_equal(err, -ENOMEM);
			continue;
		}
		while (n < 1600) {
			err = hca_key_alloc(&keys, &key[n], &e[n]);
			if (err) {
				assert_int_equal(err, -ENOMEM);
				assert_int_equal(fails++, 0); /* the next try grows */
				continue;
			}
			publish(e[n], key[n], n, 1, 0);
			n++;
		}
		for (i = 0; i < n; i++)
			assert_int_equal(hca_key_find(&keys, key[i])->iova, i);
		for (i = 0; i < n; i++)
			end_key(e[i], key[i]);
		hca_keys_fini(&keys);
	}
}

static void forget_a_key(void *arg)
{
	hca_keys_fini(arg);
}

static void free_valid(void *arg)
{
	hca_key_free(&keys, *(u32 *)arg);
}

static void wrong_ends_are_told(void **state)
{
	struct hca_key_entry *e;
	u32 key;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 10), 0);
	key = new_key(&e);
	publish(e, key, 0, 1, 0);
	assert_true(test_expect_bug(free_valid, &key));
	assert_int_equal(test_expect_warn(forget_a_key, &keys), 1);
}

/* --- generations --- */

static void stale_keys_find_nothing(void **state)
{
	static u32 old[3000];
	u32 i, k, same = 0;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 1), 0);
	for (i = 0; i < HCA_ARRAY_SIZE(old); i++) {
		struct hca_key_entry *e;

		old[i] = new_key(&e);
		publish(e, old[i], 0, 4096, 0);
		assert_ptr_equal(hca_key_find(&keys, old[i]), e);
		for (k = 0; k < i; k++)
			assert_null(hca_key_find(&keys, old[k]));
		same += i && old[i] >> 8 == old[i - 1] >> 8;
		end_key(e, old[i]);
	}
	assert_int_equal(same, 0);
	hca_keys_fini(&keys);
}

static void a_full_table_gives_other_generations(void **state)
{
	static struct hca_key_entry *e[511];
	static u32 key[511];
	u32 last, first, i;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 511), 0);
	for (i = 0; i < 511; i++)
		key[i] = new_key(&e[i]);
	first = last = key[100];
	for (i = 0; i < 255; i++) { /* the one index that there is */
		hca_key_free(&keys, key[100]);
		key[100] = new_key(&e[100]);
		assert_int_equal(key[100] >> 8, first >> 8);
		assert_true(key[100] != last && key[100] != first);
		last = key[100];
	}
	for (i = 0; i < 511; i++)
		hca_key_free(&keys, key[i]);
	hca_keys_fini(&keys);
}

static void chosen_generations_are_remembered(void **state)
{
	static struct hca_key_entry *e[511];
	static u32 key[511];
	u32 low, i;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 511), 0);
	for (i = 0; i < 511; i++)
		key[i] = new_key(&e[i]);
	for (low = 0; low < 256; low++) {
		u32 mine = (key[7] & ~0xffu) | low;

		publish(e[7], mine, 0, 1, 0);
		assert_true(hca_key_retract(e[7], mine));
		hca_key_free(&keys, mine);
		key[7] = new_key(&e[7]);
		assert_int_equal(key[7], hca_key_next(mine));
	}
	for (i = 0; i < 511; i++)
		hca_key_free(&keys, key[i]);
	hca_keys_fini(&keys);
}

static void tables_begin_apart(void **state)
{
	u32 i, first = 0, others = 0;

	(void)state;
	for (i = 0; i < 20; i++) {
		struct hca_key_entry *e;
		u32 key;

		assert_int_equal(hca_keys_init(&keys, 1), 0);
		key = new_key(&e);
		first = i ? first : key;
		others += key != first;
		hca_key_free(&keys, key);
		hca_keys_fini(&keys);
	}
	assert_true(others > 10);
}

static void next_stays_with_its_index(void **state)
{
	u32 low;

	(void)state;
	for (low = 0; low < 256; low++) {
		assert_int_equal(hca_key_next(0x12345600u | low), 0x12345600u | ((low + 1) & 0xff));
		assert_int_not_equal(hca_key_next(0x100u | low), 0);
	}
}

/* --- look-ups and checks --- */

static void damaged_keys_find_nothing(void **state)
{
	struct hca_key_entry *e;
	u32 key, bit;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 1000), 0);
	assert_null(hca_key_find(&keys, 0)); /* before there is a chunk */
	assert_null(hca_key_find(&keys, 1));
	assert_null(hca_key_find(&keys, ~0u));
	key = new_key(&e);
	publish(e, key, 0, 4096, HCA_ACCESS_LOCAL_WRITE);
	for (bit = 0; bit < 32; bit++)
		assert_null(hca_key_find(&keys, key ^ 1u << bit));
	for (bit = 0; bit < 256; bit++)
		assert_null(hca_key_find(&keys, bit));
	assert_null(hca_key_find(&keys, HCA_KEY_CHUNK << 8));
	assert_null(hca_key_find(&keys, (HCA_KEY_CHUNK << 8) - 1));
	assert_null(hca_key_find(&keys, ~0u));
	assert_null(hca_key_check(&keys, 0, pd.number, HCA_KEY_ANY_QP, 0, 0, 0));
	end_key(e, key);
	hca_keys_fini(&keys);
}

static void bounds_dont_wrap(void **state)
{
	static const u64 top = ~0ull;
	static const struct {
		u64 iova, length, addr, len;
		bool ok;
	} t[] = {
		{ 0x1000, 0x1000, 0x1000, 0x1000, true },
		{ 0x1000, 0x1000, 0x1fff, 1, true },
		{ 0x1000, 0x1000, 0x1fff, 2, false },
		{ 0x1000, 0x1000, 0x0fff, 1, false },
		{ 0x1000, 0x1000, 0x0fff, 0x1000, false },
		{ 0x1000, 0x1000, 0x1000, 0x1001, false },
		{ 0x1000, 0x1000, 0x2000, 1, false },
		{ 0x1000, 0x1000, 0x2000, 0, true },
		{ 0x1000, 0x1000, 0x2001, 0, false },
		{ 0x1000, 0x1000, 0x0fff, 0, false },
		{ 0x1000, 0x1000, 0x1000, top, false },
		{ 0x1000, 0x1000, 0x1001, top, false },
		{ 0x1000, 0x1000, 0x0fff, top, false },
		{ 0x1000, 0x1000, 0x1800, top - 0x7ff, false }, /* the sum is the beginning */
		{ 0x1000, 0x1000, top, 0x1001, false },
		{ 0x1000, 0x1000, top, 2, false },
		{ top - 0xfff, 0x1000, top - 0xfff, 0x1000, true }, /* up to the last byte there is */
		{ top - 0xfff, 0x1000, top, 1, true },
		{ top - 0xfff, 0x1000, top, 2, false },
		{ top - 0xfff, 0x1000, 0, 0, true },
		{ top - 0xfff, 0x1000, 0, 1, false },
		{ top - 0xfff, 0x1000, top - 0x1000, 1, false },
		{ 0, top, 0, top, true }, /* all memory */
		{ 0, top, top - 1, 1, true },
		{ 0, top, top - 1, 2, false },
		{ 0, top, top, 1, false },
		{ 0, top, 1, top, false },
		{ 0, 1, 0, 1, true },
		{ 0, 1, 1, 1, false },
		{ 0, 1, 0, 2, false },
	};
	struct hca_key_entry *e;
	u32 i, key;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 1), 0);
	for (i = 0; i < HCA_ARRAY_SIZE(t); i++) {
		key = new_key(&e);
		publish(e, key, t[i].iova, t[i].length, 0);
		if (!hca_key_check(&keys, key, pd.number, HCA_KEY_ANY_QP, t[i].addr, t[i].len, 0) == t[i].ok)
			fail_msg("row %u", i);
		end_key(e, key);
	}
	hca_keys_fini(&keys);
}

/* Numbers that sums and differences of meet the edges. */
static u64 edge(void)
{
	static const u64 near[] = { 0, 0x1000, 1ull << 31, 1ull << 32, 1ull << 63, ~0ull - 0xfff };

	return near[hca_random_u32() % HCA_ARRAY_SIZE(near)] + hca_random_u32() % 5 - 2;
}

/* Byte by byte: each of them has its place in the range, which begins at iova and doesn't come round. */
static void bounds_are_each_bytes(void **state)
{
	struct hca_key_entry *e;
	u32 key, i, k, met = 0;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 1), 0);
	assert_int_equal(hca_key_alloc(&keys, &key, &e), 0);
	for (i = 0; i < 200000; i++) {
		u64 iova = edge(), length = edge(), addr = iova + (hca_random_u32() % 2 ? edge() : 0);
		u32 len = hca_random_u32() % 6;
		bool ok = addr - iova <= length;

		for (k = 0; k < len; k++)
			ok = ok && addr - iova + k < length && addr - iova + k >= k;
		publish(e, key, iova, length, HCA_ACCESS_LOCAL_WRITE);
		assert_int_equal(ok, hca_key_check(&keys, key, pd.number, HCA_KEY_ANY_QP, addr, len, 0) != NULL);
		assert_int_equal(hca_key_length(e), length);
		met += ok;
		assert_true(hca_key_retract(e, key));
	}
	assert_in_range(met, 20000, 180000);
	hca_key_free(&keys, key);
	hca_keys_fini(&keys);
}

static void rights_are_asked_for(void **state)
{
	struct hca_key_entry *e;
	u32 has, need, key;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 1), 0);
	for (has = 0; has < 32; has++) {
		key = new_key(&e);
		publish(e, key, 0, 16, has);
		for (need = 0; need < 32; need++) {
			bool ok = !(need & ~has);

			assert_int_equal(hca_key_check(&keys, key, pd.number, HCA_KEY_ANY_QP, 0, 16, need) == e, ok);
			assert_int_equal(hca_key_check(&keys, key, pd.number, 0x77, 0, 16, need) == e, ok);
			assert_null(hca_key_check(&keys, key, other_pd.number, HCA_KEY_ANY_QP, 0, 16, need));
			assert_null(hca_key_check(&keys, key, 0, HCA_KEY_ANY_QP, 0, 16, need));
		}
		end_key(e, key);
	}
	hca_keys_fini(&keys);
}

static void windows_are_remote_alone(void **state)
{
	static const u32 mine = 0x21, another = 0x22;
	struct hca_key_entry *e;
	u32 has, need, key, type;

	(void)state;
	assert_int_equal(hca_keys_init(&keys, 1), 0);
	for (type = 1; type <= 2; type++) {
		for (has = 0; has < 16; has += 2) {
			key = new_key(&e);
			publish(e, key, 0, 16, has | HCA_KEY_MW);
			e->qpn = type == 2 ? mine : HCA_KEY_ANY_QP;
			e->offset = 0x5000;
			assert_int_equal(hca_key_offset(e, 3), 0x5003);
			for (need = 0; need < 16; need++) {
				bool ok = need && !(need & ~has);

				assert_int_equal(hca_key_check(&keys, key, pd.number, mine, 0, 16, need) == e, ok);
				ok = ok && type == 1;
				assert_int_equal(hca_key_check(&keys, key, pd.number, another, 0, 16, need) == e, ok);
				assert_int_equal(hca_key_check(&keys, key, pd.number, HCA_KEY_ANY_QP, 0, 16, need) == e,
						 ok);
				assert_null(hca_key_check(&keys, key, other_pd.number, mine, 0, 16, need));
			}
			end_key(e, key);
		}
	}
	hca_keys_fini(&keys);
}

/* --- inside, by seed --- */

#define ALIVE 0x600dda7au
#define GONE 0xdeadbeefu
#define ROUNDS 12u

static struct hca_quiesce quiesce;
static u32 memory[2];
static u32 current_key, ended, wrong, hits;

static void use_the_key(void *arg)
{
	u32 key = hca_load(&current_key);
	const struct hca_key_entry *e;
	struct hca_quiesce_mark mark;
	const struct hca_mr *r;
	u64 len = sizeof(u32);
	u32 i;

	(void)arg;
	hca_quiesce_enter(&quiesce, &mark);
	e = hca_key_check(&keys, key, pd.number, HCA_KEY_ANY_QP, 0x1000, len, HCA_ACCESS_REMOTE_READ);
	r = e ? hca_load_acquire(&e->mr) : NULL; /* NULL: whoever ends it waits for us by now */
	if (r) {
		const u32 *at = (const u32 *)(uintptr_t)hca_dma_u64(hca_mr_run(r, 0x1000 - e->iova, &len));

		for (i = 0; i < 4; i++) { /* bytes move: a while passes */
			wrong += *at != ALIVE || r->state == HCA_MR_INVALID;
			hca_pause();
		}
		hits++;
	}
	hca_quiesce_leave(&mark);
}

static void keep_using(void *arg)
{
	while (!hca_load(&ended))
		use_the_key(arg);
}

static void make_and_end(void *arg)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR,
		.access = HCA_ACCESS_REMOTE_READ,
		.iova = 0x1000,
		.length = sizeof(u32),
	};
	struct hca_mr *r;
	u32 i, n;

	for (i = 0; i < ROUNDS; i++) {
		u32 *at = &memory[i & 1];

		*at = ALIVE;
		attr.base = (uintptr_t)at;
		if (hca_mr_create(&pd, &attr, &r)) {
			wrong += 1000;
			break;
		}
		hca_store(&current_key, r->key);
		for (n = hca_random_u32() % 8; n; n--)
			hca_pause();
		if (hca_mr_destroy(r))
			wrong += 1000;
		*at = GONE;
	}
	if (arg)
		hca_store(&ended, 1u);
}

static void begin_world(void)
{
	hca_quiesce_init(&quiesce);
	assert_int_equal(hca_keys_init(&keys, 4), 0);
	pd = (struct hca_pd){ .keys = &keys, .quiesce = &quiesce, .number = 1 };
	current_key = ended = wrong = 0;
}

static void end_world(void)
{
	assert_int_equal(wrong, 0);
	assert_int_equal(pd.users, 0);
	hca_keys_fini(&keys);
}

static void nothing_is_touched_after_the_end(void **state)
{
	void (*const fns[])(void *) = { keep_using, make_and_end, keep_using };
	void *const args[] = { NULL, &ended, NULL };
	u64 seed, trace, again;

	(void)state;
	hits = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		begin_world();
		assert_int_equal(test_run_threads(seed, 3, fns, args, &trace), 0);
		end_world();
	}
	assert_true(hits > SEEDS); /* readers were inside, most of the time */
	test_os_reset(1);
	begin_world();
	assert_int_equal(test_run_threads(SEEDS, 3, fns, args, &trace), 0);
	end_world();
	test_os_reset(1);
	begin_world();
	assert_int_equal(test_run_threads(SEEDS, 3, fns, args, &again), 0);
	end_world();
	assert_int_equal(trace, again);
}

static void wait_too(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < ROUNDS; i++)
		hca_quiesce_wait(&quiesce);
}

/* Two that wait turn the phases at once. */
static void two_may_wait(void **state)
{
	void (*const fns[])(void *) = { keep_using, make_and_end, wait_too, keep_using };
	void *const args[] = { NULL, &ended, NULL, NULL };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		begin_world();
		assert_int_equal(test_run_threads(seed, 4, fns, args, NULL), 0);
		end_world();
	}
}

/* Somebody is inside at every moment, but nobody stays: who waits comes through. */
static void always_inside(void *arg)
{
	struct hca_quiesce_mark mark[2];
	u32 i;

	(void)arg;
	hca_quiesce_enter(&quiesce, &mark[0]);
	for (i = 0; !hca_load(&ended); i ^= 1) {
		hca_quiesce_enter(&quiesce, &mark[i ^ 1]);
		hca_quiesce_leave(&mark[i]);
	}
	hca_quiesce_leave(&mark[i]);
}

static void wait_often(void *arg)
{
	wait_too(arg);
	hca_store(&ended, 1u);
}

static void waits_end_however_busy(void **state)
{
	void (*const fns[])(void *) = { always_inside, wait_often, always_inside };
	void *const args[] = { NULL, NULL, NULL };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS / 10; seed++) {
		hca_quiesce_init(&quiesce);
		ended = 0;
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		assert_in_range(test_steps(), 1, 100000);
	}
}

/* A thread beyond those who were ever inside is waited for as well, however late it was seen. */
static u32 published;

static void enter_once(void *arg)
{
	struct hca_quiesce_mark mark;

	hca_quiesce_enter(&quiesce, &mark);
	if (hca_load(&published)) {
		hca_pause();
		wrong += *(u32 *)arg != ALIVE;
		hca_pause();
		wrong += *(u32 *)arg != ALIVE;
	}
	hca_quiesce_leave(&mark);
}

static void take_away(void *arg)
{
	hca_store(&published, 0u);
	hca_quiesce_wait(&quiesce);
	*(u32 *)arg = GONE;
}

static void the_first_entry_counts(void **state)
{
	void (*const fns[])(void *) = { take_away, enter_once, enter_once, enter_once };
	void *const args[] = { memory, memory, memory, memory };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 10 * SEEDS; seed++) {
		hca_quiesce_init(&quiesce);
		memory[0] = ALIVE;
		published = 1;
		wrong = 0;
		assert_int_equal(test_run_threads(seed, 4, fns, args, NULL), 0);
		assert_int_equal(wrong, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(there_can_be_many),
		T(limits_hold),
		T(growth_may_fail),
		T(stale_keys_find_nothing),
		T(a_full_table_gives_other_generations),
		T(chosen_generations_are_remembered),
		T(tables_begin_apart),
		T(next_stays_with_its_index),
		T(damaged_keys_find_nothing),
		T(bounds_dont_wrap),
		T(bounds_are_each_bytes),
		T(rights_are_asked_for),
		T(windows_are_remote_alone),
		T(wrong_ends_are_told),
		T(nothing_is_touched_after_the_end),
		T(two_may_wait),
		T(waits_end_however_busy),
		T(the_first_entry_counts),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
