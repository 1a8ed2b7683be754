/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real threads, for the thread sanitizer: connections that use one disk at once, each
 * in its own blocks and all of them in a few shared ones, while one of them resets the
 * unit and changes its modes; a sync that fails, of which each connection must hear
 * exactly once; and a number that all of them count up by COMPARE AND WRITE.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "srp/scsi.h"

#define THREADS 4u
#define ROUNDS 400u
#define BLOCKS 64u /* of each thread */
#define BLOCK 512u

static struct lun lun;
static struct scsi_device dev;
static u32 wrong, attentions;
static char name[256];

struct worker {
	struct scsi_nexus nexus;
	u32 number, told, synced;
	u8 buf[SCSI_BUF], data[BLOCKS * BLOCK];
};

static struct worker workers[THREADS];

static u8 run_once(struct worker *w, const u8 *cdb, u8 *data, u8 *sense)
{
	static const u8 unit[SCSI_LUN_LEN];
	struct scsi_cmd cmd;
	u32 len;

	scsi_begin(&cmd, &w->nexus, unit, cdb, 16, w->buf);
	if (cmd.phase == SCSI_DATA_IN)
		scsi_read(&cmd, 0, data, (size_t)cmd.expect);
	else if (cmd.phase == SCSI_DATA_OUT)
		scsi_write(&cmd, 0, data, (size_t)cmd.expect);
	return scsi_finish(&cmd, sense, &len);
}

/* As an initiator does: what had a unit attention is sent again. Return: sense key, or 0 */
static u8 run(struct worker *w, const u8 *cdb, u8 *data)
{
	u8 sense[SCSI_SENSE_MAX];

	while (run_once(w, cdb, data, sense) != SCSI_GOOD) {
		u8 key = sense[0] == 0x72 ? sense[1] : sense[2] & 15;

		if (key != SCSI_UNIT_ATTENTION)
			return key;
		__atomic_fetch_add(&attentions, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

static void upset(struct worker *w, u32 round)
{
	u8 list[24] = { 0, 0, 0, 0, 0x08, 0x12, round & 4 ? 4 : 0 };

	if (round % 50 == 49)
		scsi_device_reset(&dev);
	run(w, (const u8[16]){ 0x15, 0x10, 0, 0, sizeof(list) }, list);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	u8 lba = (u8)(w->number * BLOCKS);
	u32 round, i, bad = 0;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < sizeof(w->data); i++)
			w->data[i] = (u8)(i + i / BLOCK + round + w->number * 7);
		bad += run(w, (const u8[16]){ 0x2a, 0, 0, 0, 0, lba, 0, 0, BLOCKS }, w->data) != 0;
		bad += run(w, (const u8[16]){ 0x2f, 0x02, 0, 0, 0, lba, 0, 0, BLOCKS }, w->data) != 0;
		memset(w->data, 0, sizeof(w->data));
		bad += run(w, (const u8[16]){ 0x28, 0, 0, 0, 0, lba, 0, 0, BLOCKS }, w->data) != 0;
		for (i = 0; i < sizeof(w->data); i++)
			bad += w->data[i] != (u8)(i + i / BLOCK + round + w->number * 7);
		/* The blocks behind all threads' own are everybody's. */
		bad += run(w, (const u8[16]){ 0x2a, 8, 0, 0, 1, 0, 0, 0, 4 }, w->data) != 0;
		bad += run(w, (const u8[16]){ 0x93, 9, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 4 }, NULL) != 0;
		bad += run(w, (const u8[16]){ 0x28, 0, 0, 0, 1, 0, 0, 0, 4 }, w->data) != 0;
		if (!w->number)
			upset(w, round);
	}
	__atomic_fetch_add(&wrong, bad, __ATOMIC_RELAXED);
	return NULL;
}

static int open_disk(void **state)
{
	char why[512];
	u32 i;
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "%.200s/scsi-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (THREADS * BLOCKS + 8) * BLOCK))
		return -1;
	close(fd);
	if (lun_file_open(&lun, name, BLOCK, false, why, sizeof(why)))
		return -1;
	scsi_device_init(&dev, &lun);
	for (i = 0; i < THREADS; i++) {
		workers[i].number = i;
		workers[i].told = workers[i].synced = 0;
		scsi_nexus_init(&workers[i].nexus, &dev);
	}
	return 0;
}

static int close_disk(void **state)
{
	(void)state;
	lun_close(&lun);
	return unlink(name);
}

static void all_at_once(void *(*fn)(void *))
{
	pthread_t t[THREADS];
	u32 i;

	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fn, &workers[i]), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
}

static void connections_share_a_disk(void **state)
{
	(void)state;
	wrong = attentions = 0;
	all_at_once(work);
	assert_int_equal(wrong, 0);
	assert_true(attentions >= THREADS); /* power on; and resets and modes, as many as were met */
}

static int fail_one_sync(struct lun *l)
{
	static u32 calls;

	(void)l;
	return __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) == 100 ? -EIO : 0;
}

static void *sync_often(void *arg)
{
	struct worker *w = arg;
	u32 i;

	for (i = 0; i < ROUNDS; i++) {
		u8 key = run(w, (const u8[16]){ 0x35 }, NULL);

		w->told += key == SCSI_MEDIUM_ERROR;
		w->synced += !key;
	}
	return NULL;
}

static void each_hears_of_a_lost_write_once(void **state)
{
	const struct lun_ops *ops = lun.ops;
	struct lun_ops failing = *ops;
	u32 i;

	(void)state;
	failing.sync = fail_one_sync;
	lun.ops = &failing;
	all_at_once(sync_often);
	/* Whoever was done before it happened hears of it next time. */
	for (i = 0; i < THREADS; i++)
		workers[i].told += run(&workers[i], (const u8[16]){ 0x35 }, NULL) == SCSI_MEDIUM_ERROR;
	lun.ops = ops;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(workers[i].told, 1);
}

static const struct lun_ops *counted_ops;

/* Count a block's number up while others do the same. */
static void *count_up(void *arg)
{
	struct worker *w = arg;
	u8 sense[SCSI_SENSE_MAX];
	u32 n, i, done = 0;

	while (done < ROUNDS) {
		if (run(w, (const u8[16]){ 0x28, 0, 0, 0, 0, 9, 0, 0, 1 }, w->data))
			break;
		memcpy(w->data + BLOCK, w->data, BLOCK);
		memcpy(&n, w->data, sizeof(n));
		n++;
		for (i = 0; i < BLOCK; i += sizeof(n))
			memcpy(w->data + BLOCK + i, &n, sizeof(n));
		done += run_once(w, (const u8[16]){ [0] = 0x89, [9] = 9, [13] = 1 }, w->data, sense) == SCSI_GOOD;
		run(w, (const u8[16]){ 0x2a, 0, 0, 0, 0, 10, 0, 0, 1 }, w->data); /* its neighbour */
	}
	__atomic_fetch_add(&wrong, done != ROUNDS, __ATOMIC_RELAXED);
	return NULL;
}

/* What was read is old when it gets back to the caller, if it can be. */
static ssize_t read_and_yield(struct lun *l, void *buf, size_t len, u64 at)
{
	ssize_t n = counted_ops->pread(l, buf, len, at);
	u32 i;

	for (i = 0; i < THREADS; i++)
		sched_yield();
	return n;
}

/* SBC-3 5.2: from the comparison to the write nobody else writes. */
static void compare_and_write_is_one(void **state)
{
	struct lun_ops slow = *lun.ops;
	u32 n, i;

	(void)state;
	counted_ops = lun.ops;
	slow.pread = read_and_yield;
	slow.pread_now = NULL;
	lun.ops = &slow;
	wrong = 0;
	all_at_once(count_up);
	lun.ops = counted_ops;
	assert_int_equal(wrong, 0);
	assert_int_equal(run(&workers[0], (const u8[16]){ 0x28, 0, 0, 0, 0, 9, 0, 0, 1 }, workers[0].data), 0);
	for (i = 0; i < BLOCK; i += sizeof(n)) {
		memcpy(&n, workers[0].data + i, sizeof(n));
		assert_int_equal(n, THREADS * ROUNDS);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_disk, close_disk)
	const struct CMUnitTest tests[] = {
		TEST(connections_share_a_disk),
		TEST(each_hears_of_a_lost_write_once),
		TEST(compare_and_write_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
