/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The disk behind the nbdkit plugin, without nbdkit: what one user's slow or failed requests do to another
 * user's, and lengths that a platform can't map in one entry. The medium is a file whose calls wait at a gate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../src/cli/nbd/disk.c"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MIB ((u64)1 << 20)
#define BYTES (32 * MIB)
#define SLOW (24 * MIB) /* from here on, when the gate is shut */

static struct {
	struct lun_ops ops;
	const struct lun_ops *real;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool shut, sync_shut;
	u32 inside;
	u32 sync_fails; /* so often */
} gate;

static void pass(const bool *shut, bool slow)
{
	pthread_mutex_lock(&gate.lock);
	gate.inside += slow;
	pthread_cond_broadcast(&gate.cond);
	while (*shut && slow)
		pthread_cond_wait(&gate.cond, &gate.lock);
	gate.inside -= slow;
	pthread_mutex_unlock(&gate.lock);
}

static ssize_t gate_pread(struct lun *lun, void *buf, size_t len, u64 at)
{
	pass(&gate.shut, at >= SLOW);
	return gate.real->pread(lun, buf, len, at);
}

static ssize_t gate_pwrite(struct lun *lun, const void *buf, size_t len, u64 at)
{
	pass(&gate.shut, at >= SLOW);
	return gate.real->pwrite(lun, buf, len, at);
}

static int gate_sync(struct lun *lun)
{
	(void)lun;
	pass(&gate.sync_shut, true);
	if (!gate.sync_fails)
		return 0;
	gate.sync_fails--;
	return -EIO;
}

static void gate_open(bool shut, bool sync_shut)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = shut;
	gate.sync_shut = sync_shut;
	pthread_cond_broadcast(&gate.cond);
	pthread_mutex_unlock(&gate.lock);
}

static void gate_wait_for(u32 n)
{
	pthread_mutex_lock(&gate.lock);
	while (gate.inside < n)
		pthread_cond_wait(&gate.cond, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

static struct disk *start(struct disk_attr *attr)
{
	char path[] = "/tmp/softhca-test-XXXXXX";
	struct why why = { { 0 } };
	struct disk *d;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)BYTES), 0);
	close(fd);
	attr->path = path;
	attr->channels = attr->channels ? attr->channels : 4;
	attr->block_size = 512;
	attr->ledger = true;
	assert_int_equal(disk_create(attr, &d, &why), 0);
	/* The file stays what it was; only its name has gone. */
	d->lun.named = false;
	unlink(path);
	memset(&gate, 0, sizeof(gate));
	pthread_mutex_init(&gate.lock, NULL);
	pthread_cond_init(&gate.cond, NULL);
	gate.real = d->lun.ops;
	gate.ops = *d->lun.ops;
	gate.ops.pread = gate_pread;
	gate.ops.pread_now = NULL;
	gate.ops.pwrite = gate_pwrite;
	gate.ops.sync = gate_sync;
	d->lun.ops = &gate.ops;
	assert_int_equal(disk_start(d, &why), 0);
	assert_string_equal(why.text, "");
	return d;
}

static void stop(struct disk *d)
{
	struct why why = { { 0 } };

	gate_open(false, false);
	disk_close(d, &why);
	assert_string_equal(why.text, "");
}

/* --- a thread for what waits --- */

enum { READ, WRITE, FLUSH };

struct task {
	pthread_t thread;
	struct disk_user *u;
	int what;
	u64 at;
	u32 len;
	int err;
};

static void *run_task(void *arg)
{
	struct task *t = arg;
	u8 *buf = calloc(1, t->len + 1);

	t->err = t->what == FLUSH ? disk_flush(t->u) :
		 t->what == READ  ? disk_read(t->u, buf, t->len, t->at) :
				    disk_write(t->u, buf, t->len, t->at, false);
	free(buf);
	return NULL;
}

static void begin(struct task *t, struct disk_user *u, int what, u64 at, u32 len)
{
	*t = (struct task){ .u = u, .what = what, .at = at, .len = len };
	assert_int_equal(pthread_create(&t->thread, NULL, run_task, t), 0);
}

static int end(struct task *t)
{
	pthread_join(t->thread, NULL);
	return t->err;
}

/* --- lengths --- */

static void lengths(struct disk_attr attr)
{
	static const u32 lens[] = { 512,
				    65536,
				    256u << 10,
				    (256u << 10) + 512,
				    (256u << 10) + 700,
				    (1u << 20) - 1,
				    (1u << 20) + 512,
				    3u << 20,
				    (4u << 20) + 100 };
	struct disk *d = start(&attr);
	struct disk_user *u = disk_join(d);
	u8 *out = malloc(8 * MIB), *in = malloc(8 * MIB);
	u32 i, k;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (k = 0; k < lens[i]; k++)
			out[k] = (u8)(k * 7 + (k >> 9) + i);
		assert_int_equal(disk_write(u, out, lens[i], i * 100, false), 0);
		memset(in, 0, lens[i]);
		assert_int_equal(disk_read(u, in, lens[i], i * 100), 0);
		assert_memory_equal(in, out, lens[i]);
	}
	free(out);
	free(in);
	disk_leave(u);
	stop(d);
}

/* A platform's limit of one mapping is below what one request asks for. */
static void test_lengths(void **state)
{
	int machine;
	u32 memory;

	(void)state;
	for (machine = 0; machine < MACHINE_KINDS; machine++)
		for (memory = SRP_MEMORY_FAST; memory <= SRP_MEMORY_ALL; memory++)
			lengths((struct disk_attr){ .machine = machine,
						    .initiator = ADAPTER_DMA,
						    .target = machine % 2 ? ADAPTER_DMA : ADAPTER_SOFT,
						    .memory = (enum srp_memory)memory });
}

/* More at once than a bounce machine's pool has room for: who finds none waits for who has some. */
static void test_short_pool(void **state)
{
	struct disk_attr attr = { .machine = 3, .initiator = ADAPTER_DMA, .channels = 16 };
	struct disk *d;
	struct disk_user *u[3];
	struct task t[48];
	u32 i;

	(void)state;
	d = start(&attr);
	for (i = 0; i < 3; i++)
		u[i] = disk_join(d);
	for (i = 0; i < 48; i++)
		begin(&t[i], u[i % 3], i % 2 ? WRITE : READ, i % 16 * MIB, 2u << 20);
	for (i = 0; i < 48; i++)
		assert_int_equal(end(&t[i]), 0);
	for (i = 0; i < 3; i++)
		disk_leave(u[i]);
	stop(d);
}

/* --- slow --- */

static u32 waiting(struct disk *d)
{
	u32 n;

	pthread_mutex_lock(&d->blocks.lock);
	n = d->blocks.waiting;
	pthread_mutex_unlock(&d->blocks.lock);
	return n;
}

/* A write that is no whole block, while whole blocks are being written elsewhere, and don't get done. */
static void test_unaligned(void **state)
{
	struct disk_attr attr = { .machine = 0 };
	struct disk *d = start(&attr);
	struct disk_user *a = disk_join(d), *b = disk_join(d);
	struct task whole, part, later;
	u8 byte[100] = { 1 };

	(void)state;
	gate_open(true, false);
	begin(&whole, a, WRITE, SLOW, 65536);
	gate_wait_for(1);
	assert_int_equal(disk_write(b, byte, 100, 7, false), 0);
	/* one that meets it waits, and so does a whole one behind that; others go on */
	begin(&part, b, WRITE, SLOW + 65000, 100);
	while (!waiting(d))
		usleep(1000);
	begin(&later, a, WRITE, SLOW + 65024, 512);
	assert_int_equal(disk_write(b, byte, 100, 7, false), 0);
	assert_int_equal(disk_write(b, byte, 100, SLOW - 700, false), 0);
	gate_open(false, false);
	assert_int_equal(end(&whole), 0);
	assert_int_equal(end(&part), 0);
	assert_int_equal(end(&later), 0);
	disk_leave(a);
	disk_leave(b);
	stop(d);
}

/* One user has as many slow requests as there is memory for: another's go on. */
static void test_crowd(void **state)
{
	struct disk_attr attr = { .machine = 1, .initiator = ADAPTER_DMA, .channels = 32 };
	struct disk *d;
	struct disk_user *a, *b;
	struct task slow[SLOTS + 5];
	u8 buf[4096];
	u32 i;

	(void)state;
	d = start(&attr);
	a = disk_join(d);
	b = disk_join(d);
	gate_open(true, false);
	for (i = 0; i < SLOTS + 5; i++)
		begin(&slow[i], a, i % 2 ? WRITE : READ, SLOW + i * 8192, 4096);
	gate_wait_for(SLOTS + 1); /* all slots, and its own */
	for (i = 0; i < 100; i++)
		assert_int_equal(disk_read(b, buf, sizeof(buf), i * 4096), 0);
	gate_open(false, false);
	for (i = 0; i < SLOTS + 5; i++)
		assert_int_equal(end(&slow[i]), 0);
	disk_leave(a);
	disk_leave(b);
	stop(d);
}

#define MANY 100

struct many {
	struct disk_user *u;
	pthread_barrier_t *slow_now;
	int err;
};

static void *read_twice(void *arg)
{
	struct many *m = arg;
	u8 buf[4096];

	m->err = disk_read(m->u, buf, sizeof(buf), 0);
	pthread_barrier_wait(m->slow_now);
	pthread_barrier_wait(m->slow_now);
	if (!m->err)
		m->err = disk_read(m->u, buf, sizeof(buf), 4096);
	return NULL;
}

/* More threads than an engine has places for, and all of them have been in it; some reads are slow. */
static void test_many_threads(void **state)
{
	struct disk_attr attr = { .machine = 0, .channels = 16 };
	struct disk *d = start(&attr);
	struct disk_user *a = disk_join(d), *b = disk_join(d);
	pthread_barrier_t barrier;
	struct many m[MANY];
	struct task slow[4];
	pthread_t thread[MANY];
	u32 i;

	(void)state;
	pthread_barrier_init(&barrier, NULL, MANY + 1);
	for (i = 0; i < MANY; i++) {
		m[i] = (struct many){ .u = b, .slow_now = &barrier };
		assert_int_equal(pthread_create(&thread[i], NULL, read_twice, &m[i]), 0);
	}
	pthread_barrier_wait(&barrier);
	gate_open(true, false);
	for (i = 0; i < 4; i++)
		begin(&slow[i], a, READ, SLOW + i * 4096, 4096);
	gate_wait_for(4);
	pthread_barrier_wait(&barrier);
	for (i = 0; i < MANY; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(m[i].err, 0);
	}
	gate_open(false, false);
	for (i = 0; i < 4; i++)
		assert_int_equal(end(&slow[i]), 0);
	pthread_barrier_destroy(&barrier);
	disk_leave(a);
	disk_leave(b);
	stop(d);
}

/* A sync that takes many times longer than a command may, where that is set, is slow and no failure. */
static void test_slow_sync(void **state)
{
	struct disk_attr attr = { .machine = 0 };
	struct srp_initiator_stats st;
	struct disk *d = start(&attr);
	struct disk_user *a = disk_join(d), *b = disk_join(d);
	struct task flush;
	u8 buf[4096];
	u32 i;

	(void)state;
	assert_int_equal(disk_write(a, buf, sizeof(buf), 0, false), 0);
	gate_open(false, true);
	begin(&flush, a, FLUSH, 0, 0);
	gate_wait_for(1);
	for (i = 0; i < 100; i++)
		assert_int_equal(disk_read(b, buf, sizeof(buf), i * 4096), 0);
	gate_open(false, false);
	assert_int_equal(end(&flush), 0);
	disk_leave(a);
	disk_leave(b);
	srp_initiator_get_stats(d->initiator, &st);
	assert_int_equal(st.timeouts, 0);
	assert_int_equal(st.reconnects, 0);
	stop(d);
}

/* With a timeout, that command alone fails: the connection stays, and others hear nothing of it. */
static void test_timeout(void **state)
{
	struct disk_attr attr = { .machine = 0, .timeout_ms = 50 };
	struct srp_initiator_stats st;
	struct disk *d = start(&attr);
	struct disk_user *a = disk_join(d), *b = disk_join(d);
	struct task flush;
	u8 buf[4096];

	(void)state;
	gate_open(false, true);
	begin(&flush, a, FLUSH, 0, 0);
	gate_wait_for(1);
	assert_int_equal(end(&flush), EIO);
	assert_int_equal(disk_read(b, buf, sizeof(buf), 0), 0);
	srp_initiator_get_stats(d->initiator, &st);
	assert_int_equal(st.timeouts, 1);
	assert_int_equal(st.reconnects, 0);
	assert_int_equal(st.state, SRP_STATE_LIVE);
	disk_leave(a);
	disk_leave(b);
	stop(d);
}

/* A write can't be aborted while the medium has it: it fails when that lets go of it, and again it alone. */
static void test_timeout_of_write(void **state)
{
	struct disk_attr attr = { .machine = 0, .timeout_ms = 50 };
	struct srp_initiator_stats st;
	struct disk *d = start(&attr);
	struct disk_user *a = disk_join(d), *b = disk_join(d);
	struct task slow;
	u8 buf[4096];

	(void)state;
	gate_open(true, false);
	begin(&slow, a, WRITE, SLOW, 4096);
	do {
		assert_int_equal(disk_read(b, buf, sizeof(buf), 0), 0);
		usleep(1000);
		srp_initiator_get_stats(d->initiator, &st);
	} while (!st.aborts);
	assert_int_equal(disk_read(b, buf, sizeof(buf), 0), 0);
	gate_open(false, false);
	assert_int_equal(end(&slow), EIO);
	srp_initiator_get_stats(d->initiator, &st);
	assert_int_equal(st.lun_resets, 0);
	assert_int_equal(st.reconnects, 0);
	assert_int_equal(st.state, SRP_STATE_LIVE);
	disk_leave(a);
	disk_leave(b);
	stop(d);
}

/* --- errors --- */

/* A writeback that failed was everybody's. A connection that comes after it has lost nothing. */
static void test_lost_writeback(void **state)
{
	struct disk_attr attr = { .machine = 0 };
	struct disk *d = start(&attr);
	struct disk_user *u[3] = { disk_join(d), disk_join(d), disk_join(d) }, *late;
	u8 buf[4096] = { 0 };
	u32 i, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 3; i++) {
			assert_int_equal(disk_write(u[i], buf, sizeof(buf), i * 4096, false), 0);
			assert_int_equal(disk_flush(u[i]), 0);
		}
		gate.sync_fails = 1;
		for (i = 0; i < 3; i++)
			assert_int_equal(disk_flush(u[i]), EIO);
		late = disk_join(d);
		assert_int_equal(disk_flush(late), 0);
		disk_leave(late);
	}
	/* a write with FUA hears of its own, and the others of it when they flush */
	gate.sync_fails = 1;
	assert_int_equal(disk_write(u[0], buf, sizeof(buf), 0, true), EIO);
	assert_int_equal(disk_flush(u[1]), EIO);
	assert_int_equal(disk_flush(u[2]), EIO);
	assert_int_equal(disk_flush(u[1]), 0);
	for (i = 0; i < 3; i++)
		disk_leave(u[i]);
	stop(d);
}

/* --- the file itself --- */

/* What was read often comes from the page cache; the file is cut, and written anew. Requests need not be whole blocks. */
static void cut(struct disk_attr attr)
{
	u8 *have = malloc(2 * MIB), *want = malloc(2 * MIB);
	struct disk *d = start(&attr);
	struct disk_user *u = disk_join(d);
	struct srp_target_stats st;
	u32 i;

	for (i = 0; i < 2 * MIB; i++)
		want[i] = (u8)(1 + i % 251);
	assert_int_equal(disk_write(u, want, 2 * MIB, MIB + 100, false), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(disk_read(u, have, 2 * MIB, MIB + 100), 0);
	assert_memory_equal(have, want, 2 * MIB);
	srp_target_get_stats(d->target, &st);
	/* Where addresses are short, the disk may find no room for its file, and does without. */
	if (sizeof(void *) > 4)
		assert_int_equal(st.bytes_mapped > 0, strcmp(machine_kinds[attr.machine], "bounce") != 0);
	assert_int_equal(ftruncate(d->lun.fd, (off_t)(2 * MIB + 100)), 0);
	assert_int_equal(disk_read(u, have, 2 * MIB, MIB + 100), EIO);
	assert_int_equal(disk_read(u, have, 512, 2 * MIB), EIO);
	assert_int_equal(disk_read(u, have, MIB - 100, MIB + 100), 0);
	assert_memory_equal(have, want, MIB - 100);
	assert_int_equal(disk_write(u, want, 1000, 0, false), EIO);
	assert_int_equal(ftruncate(d->lun.fd, (off_t)BYTES), 0);
	assert_int_equal(disk_write(u, want, 2 * MIB, MIB + 100, true), 0);
	assert_int_equal(disk_read(u, have, 2 * MIB, MIB + 100), 0);
	assert_memory_equal(have, want, 2 * MIB);
	disk_leave(u);
	stop(d);
	free(have);
	free(want);
}

static void test_cut(void **state)
{
	struct disk_attr attr = { 0 };

	(void)state;
	for (attr.machine = 0; machine_kinds[attr.machine]; attr.machine++) {
		attr.initiator = attr.target = ADAPTER_SOFT;
		attr.memory = SRP_MEMORY_ALL;
		cut(attr);
		attr.initiator = attr.target = ADAPTER_DMA;
		attr.memory = SRP_MEMORY_FAST;
		cut(attr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),	       cmocka_unit_test(test_short_pool),
		cmocka_unit_test(test_unaligned),      cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_many_threads),   cmocka_unit_test(test_slow_sync),
		cmocka_unit_test(test_timeout),	       cmocka_unit_test(test_timeout_of_write),
		cmocka_unit_test(test_lost_writeback), cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
