/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory that both processes map, and what becomes of it: what programs do to their own mappings changes nothing, not a byte changes when a
 * deregistration has returned, and nothing is held for whoever has ended.
 */
#include "alias_fixture.h"

#include <pthread.h>

#define ASKED_US 30000u /* after so long a dead peer is noticed */

/* --- what programs do to their mappings --- */

/* Ours goes: what stands there afterwards isn't touched, and the peer's memory still is. */
static void our_mapping_goes(void **state)
{
	u8 *at = ram;

	(void)state;
	give_key();
	assert_true(gets_plain(WRITE));
	assert_int_equal(mappings(), 2);
	assert_true(mmap(at, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	memset(own, 0x77, 8);
	assert_int_equal(times(WRITE, 0, 10), 10);
	assert_int_equal(at[0], 0);
	assert_int_equal(pread(ram_fd, own + 8, 8, 0), 8);
	assert_memory_equal(own, own + 8, 8);
}

/* The peer's goes: its region is of the memory that was there, as an adapter's is. */
static void its_mapping_goes(void **state)
{
	(void)state;
	give_key();
	assert_true(gets_plain(WRITE));
	child_maps(0, RAM, 0, 0, -1);
	memset(own, 0x66, 8);
	assert_int_equal(times(WRITE, 0, 10), 10);
	assert_memory_equal(ram, own, 8);
	child_maps(0, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memset(own, 0x55, 8);
	assert_int_equal(times(WRITE, 0, 10), 10);
	assert_memory_equal(ram, own, 8);
	/* A registration of now is of what is there now. */
	give_key();
	fill(own, 8, 1);
	assert_true(stays_other(WRITE));
	assert_true(child_has(0, 8, 1));
	assert_int_equal(ram[0], 0x55);
}

/* No signal: the message's way tells of it. When the file is longer again, so is the region. */
static void the_file_is_cut(void **state)
{
	u64 before;

	(void)state;
	catch_faults();
	give_key();
	assert_true(gets_plain(WRITE));
	assert_int_equal(ftruncate(ram_fd, 4096), 0);
	before = plain();
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 8192, own, 8));
	assert_false(carry_out(&us, CHILD, READ, A_KEY, 8192, own, 8));
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 65536));
	assert_false(carry_out(&us, CHILD, READ, A_KEY, 4000, own, 200));
	assert_int_equal(plain(), before);
	assert_int_equal((u32)us.head->uses[0].use, 0);
	assert_true(carry_out(&us, CHILD, READ, A_KEY, 4000, own, 96));
	assert_int_equal(ftruncate(ram_fd, RAM), 0);
	assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 8192, own, 8));
	assert_int_equal(plain(), before + 2);
}

/* Our own bytes aren't there. */
static void our_bytes_are_missing(void **state)
{
	u8 *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	catch_faults();
	give_key();
	assert_true(gets_plain(WRITE));
	munmap(hole + 4096, 4096);
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, hole + 4096, 8));
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, hole + 4000, 200));
	assert_false(carry_out(&us, CHILD, READ, A_KEY, 0, hole + 4096, 8));
	munmap(hole, 4096);
}

/* --- deregistration --- */

/* The same number, and the region is another one: ibv_rereg_mr() does that. */
static void the_key_stays_and_its_memory_changes(void **state)
{
	struct hca_wire_key k = key_of(A_KEY);

	(void)state;
	give_key();
	assert_true(gets_plain(WRITE));
	k.at = ram + 4096;
	k.length -= 4096;
	give(&k);
	memset(ram, 0, RAM);
	memset(own, 0x11, 8);
	assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 8));
	assert_int_equal(ram[0], 0);
	assert_int_equal(ram[4096], 0x11);
	assert_true(gets_plain(WRITE));
	assert_int_equal(ram[0], 0);
	assert_int_equal(mappings(), 2);
}

/* Whoever deregisters has bytes of its own again, also where the initiator needs no system call. */
static void *writes(void *arg)
{
	const u64 *off = arg;

	while (!hca_load_acquire(&both->stop)) {
		if (carry_out(&us, CHILD, WRITE, A_KEY, *off, own, 65536))
			hca_fetch_add(&both->done, 1);
		hca_fetch_add(&both->tries, 1);
	}
	return NULL;
}

static void a_key_goes_under_load(void **state)
{
	const struct told t = { .order = REVOKE, .len = 2 * 65536, .seed = 40, .key = A_KEY };
	static u64 offs[] = { 0, 65536 };
	pthread_t threads[2];
	u64 before;
	u32 i;

	(void)state;
	memset(own, 0x11, sizeof(own));
	before = plain();
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writes, &offs[i]), 0);
	for (i = 0; i < 200; i++)
		assert_int_equal(tell(&t), 0);
	hca_store_release(&both->stop, 1u);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(plain() > before);
}

/* Whoever ends a registration says so, and what isn't registered any more holds no memory. */
static void an_end_lets_go(void **state)
{
	struct hca_wire_key k = key_of(A_KEY);
	struct told t = { .order = DEREGISTER, .k = k };
	u32 bell;

	(void)state;
	assert_int_equal(us.head->aliases, 0);
	give(&k);
	assert_true(gets_plain(WRITE));
	assert_int_equal(us.head->aliases, 1);
	k.key += 0x100;
	give(&k);
	hca_store(&us.head->sleeping, 1u);
	bell = us.head->bell;
	assert_int_equal(us.head->ended, 0);
	tell(&t);
	assert_int_equal(us.head->ended, 1);
	assert_int_equal(us.head->bell, bell + 1);
	assert_int_equal(mappings(), 2);
	shm_direct_ended(&us.direct);
	assert_int_equal(mappings(), 1);
	assert_int_equal(us.head->aliases, 0);
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 8));
	/* Who has none isn't told. */
	hca_store(&us.head->ended, 0u);
	t.k = k;
	tell(&t);
	assert_int_equal(us.head->ended, 0);
	assert_int_equal(us.head->bell, bell + 1);
}

/* More regions than there are places for: each is found again when it is used again. */
static void many_keys(void **state)
{
	struct hca_wire_key k = key_of(A_KEY);
	u32 i, j;

	(void)state;
	k.length = 64;
	for (i = 0; i < 2 * SHM_ALIAS_KEYS; i++) {
		k.key = (i + 1) << 8;
		k.at = ram + 64 * i;
		give(&k);
	}
	for (i = 0; i < 2 * SHM_ALIAS_KEYS; i++) {
		fill(own, 64, i);
		for (j = 0; j < 130; j++)
			assert_true(carry_out(&us, CHILD, WRITE, (i + 1) << 8, 0, own, 64));
		assert_true(same(ram + 64 * i, 64, i));
	}
	assert_true(plain() >= SHM_ALIAS_KEYS);
	assert_int_equal(mappings(), 2);
	assert_int_equal(us.direct.aliases.n, 1);
}

/* --- the ends of processes --- */

static void the_target_dies(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++) {
		give_key();
		assert_true(gets_plain(WRITE));
		assert_int_equal(mappings(), 2);
		end_child(i < 2 ? SIGKILL : 0);
		if (i)
			shm_direct_forget(&us.direct, CHILD);
		else
			usleep(ASKED_US);
		memset(ram, 0x44, 8);
		memset(own, 0x33, 8);
		assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 8));
		assert_int_equal(ram[0], 0x44);
		assert_int_equal(mappings(), 1);
		start_child(); /* another one with its number */
	}
}

/* An initiator dies somewhere in its copies: nothing is written when the deregistration has returned. */
static void killed_within_a_copy(void **state)
{
	struct told t = { .order = MANY, .right = WRITE, .key = A_KEY, .len = 65536 };
	struct hca_wire_key k = key_of(A_KEY);
	u32 i, j;

	(void)state;
	k.at = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, RAM);
	assert_true(k.at != MAP_FAILED);
	end_child(0);
	start_child(); /* maps what we do */
	for (i = 0; i < 40; i++) {
		memset(both, 0, sizeof(*both));
		publish(&us, &k);
		order(&t);
		while (hca_load(&both->done) < 30 + i % 5)
			usleep(0);
		for (j = hca_random_u32() % 3000; j; j--)
			hca_load(&both->done);
		if (i % 2) {
			kill(child, SIGKILL);
			deregister(&us, A_KEY);
		} else {
			deregister(&us, A_KEY);
			kill(child, SIGKILL);
		}
		memset(k.at, 0xdd, 65536);
		usleep(0);
		for (j = 0; j < 65536; j++)
			assert_int_equal(((u8 *)k.at)[j], 0xdd);
		end_child(SIGKILL);
		start_child();
	}
	munmap(k.at, RAM);
}

/* A forked child has none of it, and takes away nothing that it has there. */
static void a_fork(void **state)
{
	u8 *at;
	int status;
	pid_t pid;

	(void)state;
	give_key();
	assert_true(gets_plain(WRITE));
	assert_non_null(us.direct.aliases.all);
	at = us.direct.aliases.all->at;
	pid = fork();
	if (!pid) {
		if (mappings() != 1)
			_exit(1);
		if (mmap(at, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) !=
		    at)
			_exit(2);
		at[0] = 9;
		shm_direct_fini(&us.direct, true);
		_exit(at[0] == 9 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(times(WRITE, 0, 10), 10);
}

/* Where other processes' memory is forbidden to us, what we map ourselves isn't. */
static void forbidden_by_the_system(void **state)
{
	const struct told t = { .order = FORBID, .seed = EPERM },
			  it = { .order = MANY, .right = WRITE, .key = A_KEY, .len = 8192 };
	struct hca_wire_key k = key_of(A_KEY);

	(void)state;
	k.at = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, RAM);
	assert_true(k.at != MAP_FAILED);
	end_child(0);
	start_child();
	publish(&us, &k);
	tell(&t);
	order(&it);
	while (hca_load(&both->done) < 100 && hca_load(&both->tries) < 100000)
		usleep(0);
	hca_store_release(&both->stop, 1u);
	answer();
	assert_true(hca_load(&both->done) >= 100);
	deregister(&us, A_KEY);
	munmap(k.at, RAM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_MEMFD(our_mapping_goes),
		ON_MEMFD(its_mapping_goes),
		ON_MEMFD(the_file_is_cut),
		ON_MEMFD(our_bytes_are_missing),
		ON_MEMFD(the_key_stays_and_its_memory_changes),
		ON_MEMFD(a_key_goes_under_load),
		ON_MEMFD(an_end_lets_go),
		ON_MEMFD(many_keys),
		ON_MEMFD(the_target_dies),
		ON_MEMFD(killed_within_a_copy),
		ON_MEMFD(a_fork),
		ON_MEMFD(forbidden_by_the_system),
	};

	return cmocka_run_group_tests_name("shm_alias_life", tests, NULL, NULL);
}
