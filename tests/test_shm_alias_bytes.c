/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is written to, read from and done to memory that both processes map: every byte, in the order that a program may see. */
#include "alias_fixture.h"

#include <pthread.h>

#include "hca/wr.h"

/* --- bytes --- */

static void every_size(void **state)
{
	static const u32 sizes[] = {
		1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 4095, 4096, 4097, 12345, 65535, 65536
	};
	u64 before;
	u32 i, off;

	(void)state;
	give_key();
	assert_true(gets_plain(WRITE));
	before = plain();
	for (i = 0; i < HCA_ARRAY_SIZE(sizes); i++) {
		for (off = 0; off < 17; off++) {
			u32 len = sizes[i], seed = i * 31 + off;

			fill(ram, len + 64, ~seed);
			fill(own, len, seed);
			assert_true(carry_out(&us, CHILD, WRITE, A_KEY, off, own, len));
			assert_true(child_has(off, len, seed));
			assert_true(same(ram, off, ~seed));
			memset(own, 0, sizeof(own));
			assert_true(carry_out(&us, CHILD, READ, A_KEY, off, own + 3, len));
			assert_true(same(own + 3, len, seed));
			assert_int_equal(own[2], 0);
			assert_int_equal(own[3 + len], 0);
		}
	}
	assert_int_equal(plain() - before, 2 * 17 * HCA_ARRAY_SIZE(sizes));
}

/* The word that the end lies in is written by itself. */
static void the_last_call(void **state)
{
	static const struct {
		u32 off;
		u32 len;
		u32 last;
	} of[] = {
		{ 0, 4096, 8 }, { 3, 4096, 3 }, { 4, 4096, 4 }, { 0, 8, 8 }, { 8, 16, 8 }, { 4, 4, 4 }, { 5, 8, 5 }
	};
	u32 i;

	(void)state;
	give_key();
	assert_true(gets_plain(WRITE));
	for (i = 0; i < HCA_ARRAY_SIZE(of); i++) {
		assert_true(carry_out(&us, CHILD, WRITE, A_KEY, of[i].off, own, of[i].len));
		assert_int_equal(last_bytes, of[i].last);
		assert_ptr_equal(last_to, us.direct.aliases.all->at + of[i].off + of[i].len - of[i].last);
	}
}

static void several_runs(void **state)
{
	struct piece p = piece_of(US, CHILD, WRITE, A_KEY, 100, own, 0);
	u64 before;
	u32 i, len = 0;

	(void)state;
	give_key();
	assert_true(gets_plain(WRITE));
	before = plain();
	for (i = 0; i < HCA_PLACES; i++) {
		u32 n = 1 + 700 * i;

		p.place[i] = (struct hca_place){ .at = own + 8192 * i, .len = n };
		len += n;
	}
	p.places = HCA_PLACES;
	p.c.msg.len = p.c.msg.piece = len;
	fill(own + RAM / 2, len, 9);
	for (i = 0, len = 0; i < HCA_PLACES; len += (u32)p.place[i].len, i++)
		memcpy(p.place[i].at, own + RAM / 2 + len, p.place[i].len);
	assert_true(shm_direct_do(&us.direct, &p.c));
	assert_true(child_has(100, len, 9));
	memset(own, 0, RAM / 2);
	p.c.right = READ;
	assert_true(shm_direct_do(&us.direct, &p.c));
	for (i = 0, len = 0; i < HCA_PLACES; len += (u32)p.place[i].len, i++)
		assert_memory_equal(p.place[i].at, own + RAM / 2 + len, p.place[i].len);
	assert_int_equal(plain() - before, 2);
}

#define WORDS 512u

static u64 count_of(u64 word)
{
	return word << 8 >> 8;
}

/* What a program sees that waits for the last word: it is whole, and all others are there. */
static void *watches(void *arg)
{
	const u64 *word = (const u64 *)ram;
	u32 i;

	while (!hca_load_acquire(&both->stop)) {
		u64 last = hca_load_acquire(&word[WORDS - 1]);

		if (sizeof(void *) == 8 && (u8)last != last >> 56) /* elsewhere two stores */
			return arg;
		for (i = 0; i < WORDS; i++)
			if (count_of(hca_load(&word[i])) < count_of(last))
				return arg;
		hca_fetch_add(&both->tries, 1);
	}
	return NULL;
}

static void the_last_word_comes_last(void **state)
{
	u64 *word = (u64 *)own;
	pthread_t thread;
	void *wrong;
	u64 n;
	u32 i;

	(void)state;
	give_key();
	memset(own, 0, WORDS * 8);
	assert_true(gets_plain(WRITE));
	assert_int_equal(pthread_create(&thread, NULL, watches, own), 0);
	for (n = 1; n < 20000 || hca_load(&both->tries) < 1000; n++) {
		for (i = 0; i < WORDS; i++)
			word[i] = n | n << 56;
		assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, WORDS * 8));
	}
	hca_store_release(&both->stop, 1u);
	pthread_join(thread, &wrong);
	assert_null(wrong);
	assert_true(plain() >= n - 1);
}

/* --- atomics --- */

/* Return: what was answered; -1: it is left to a message. */
static int atomic(u32 opcode, u64 off, u64 compare_add, u64 swap, void *result)
{
	struct piece p = piece_of(US, CHILD, HCA_ACCESS_REMOTE_ATOMIC, a_key, off, result, 8);
	enum hca_answer answer;

	p.c.msg.opcode = (u8)opcode;
	p.c.msg.compare_add = compare_add;
	p.c.msg.swap = swap;
	return shm_direct_atomic(&us.direct, &p.c, &answer) ? (int)answer : -1;
}

static void atomics(void **state)
{
	struct piece p = piece_of(US, CHILD, HCA_ACCESS_REMOTE_ATOMIC, A_KEY, 8, own, 3);
	u64 *word = (u64 *)(void *)(ram + 8), old = 0;
	enum hca_answer answer;

	(void)state;
	give_key();
	*word = 5;
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 8, 1, 0, &old), -1); /* nobody knows yet */
	assert_int_equal(*word, 5);
	assert_true(gets_plain(WRITE));
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 8, 7, 0, &old), HCA_ANSWER_ACK);
	assert_true(old == 5 && *word == 12);
	assert_int_equal(atomic(HCA_WR_ATOMIC_CMP_AND_SWP, 8, 11, 99, &old), HCA_ANSWER_ACK);
	assert_true(old == 12 && *word == 12);
	assert_int_equal(atomic(HCA_WR_ATOMIC_CMP_AND_SWP, 8, 12, 99, &old), HCA_ANSWER_ACK);
	assert_true(old == 12 && *word == 99);
	/* The result goes where the list says. */
	p.places = 2;
	p.place[1] = (struct hca_place){ .at = own + 100, .len = 5 };
	p.c.msg.len = p.c.msg.piece = 8;
	p.c.msg.opcode = HCA_WR_ATOMIC_FETCH_AND_ADD;
	memset(own, 0xff, 200);
	*word = 0x0807060504030201;
	assert_true(shm_direct_atomic(&us.direct, &p.c, &answer));
	assert_int_equal(answer, HCA_ANSWER_ACK);
	assert_memory_equal(own, "\1\2\3\xff", 4);
	assert_memory_equal(own + 100, "\4\5\6\7\10\xff", 6);
}

static void atomics_that_are_left(void **state)
{
	u8 *hole = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct hca_wire_key k = key_of(A_KEY);
	u64 *word = (u64 *)(void *)(ram + 8), old;
	struct told t = { .order = QUEUE_PAIR, .qp = qp_of(CHILD, US) };

	(void)state;
	catch_faults();
	give_key();
	assert_true(gets_plain(WRITE));
	*word = 5;
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 12, 1, 0, &old), -1);
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, RAM, 1, 0, &old), -1);
	t.qp.rd_limit = 0;
	tell(&t);
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 8, 1, 0, &old), -1);
	t.qp.rd_limit = 1;
	t.qp.access = WRITE | READ;
	tell(&t);
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 8, 1, 0, &old), -1);
	t.qp.access |= HCA_ACCESS_REMOTE_ATOMIC;
	tell(&t);
	assert_int_equal(*word, 5);
	/* What was done isn't done again. */
	munmap(hole, 4096);
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 8, 1, 0, hole), HCA_ANSWER_LOC_PROT);
	assert_int_equal(*word, 6);
	assert_int_equal(ftruncate(ram_fd, 4096), 0);
#ifndef HCA_TSAN /* its atomics hold a lock of its own when they fault */
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 8192, 1, 0, &old), -1);
	assert_int_equal(atomic(HCA_WR_ATOMIC_CMP_AND_SWP, 8192, 1, 0, &old), -1);
#endif
	assert_int_equal(ftruncate(ram_fd, RAM), 0);
	/* Its key, or its mapping, doesn't allow it. */
	k.access = READ | WRITE;
	give(&k);
	assert_true(gets_plain(WRITE));
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 8, 1, 0, &old), -1);
	k.access |= HCA_ACCESS_REMOTE_ATOMIC;
	child_maps(0, RAM, PROT_READ, MAP_SHARED, ram_fd);
	give(&k);
	assert_true(gets_plain(READ));
	assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 8, 1, 0, &old), -1);
	assert_int_equal(*word, 6);
}

/* The target counts as well, and no count is lost. */
static void atomics_of_both(void **state)
{
	const struct told t = { .order = COUNT, .off = 64, .len = 20000, .seed = 1 };
	u64 *word = (u64 *)(void *)(ram + 64), old;
	u32 i;

	(void)state;
	give_key();
	assert_true(gets_plain(WRITE));
	*word = 0;
	order(&t);
	hca_store_release(&both->tries, 1u);
	for (i = 0; i < 20000; i++)
		assert_int_equal(atomic(HCA_WR_ATOMIC_FETCH_AND_ADD, 64, 1ull << 32, 0, &old), HCA_ANSWER_ACK);
	answer();
	assert_true(*word == (20000ull << 32 | 20000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_MEMFD(every_size),	   ON_MEMFD(the_last_call),
		ON_MEMFD(several_runs),	   ON_MEMFD(the_last_word_comes_last),
		ON_MEMFD(atomics),	   ON_MEMFD(atomics_that_are_left),
		ON_MEMFD(atomics_of_both),
	};

	return cmocka_run_group_tests_name("shm_alias_bytes", tests, NULL, NULL);
}
