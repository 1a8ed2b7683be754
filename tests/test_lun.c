/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The medium in a file: what is refused at opening and what the user is told, whole
 * and short transfers, zeros and holes, and a file that is cut, removed or out of
 * room while it is served. Also on a full file system: /dev/full has no room ever.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scsi_fixture.h"

#define SIZE (256u << 10)

static char dir[64], path[128], why[512];
static u8 data[SIZE], back[SIZE];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%.40s/lun-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/disk", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void make_file(off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	size_t i;

	assert_true(fd >= 0);
	for (i = 0; i < SIZE; i++)
		data[i] = bed_byte(i);
	assert_int_equal(pwrite(fd, data, SIZE, 0), SIZE);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void open_file(u32 block, bool read_only)
{
	memset(&bed, 0, sizeof(bed));
	assert_int_equal(lun_file_open(&bed.lun, path, block, read_only, why, sizeof(why)), 0);
	scsi_device_init(&bed.dev, &bed.lun);
	scsi_nexus_init(&bed.nexus, &bed.dev);
	bed.nexus.power_on = 0;
}

/* It must fail so, name the file, and say what to do with these words. */
static void refused(const char *name, u32 block, bool read_only, int err, const char *words)
{
	struct lun lun;

	memset(why, 0, sizeof(why));
	assert_int_equal(lun_file_open(&lun, name, block, read_only, why, sizeof(why)), err);
	if (!strstr(why, words) || (block != 1000 && !strstr(why, name)))
		fail_msg("'%s' for %s", why, name);
}

static void refuses_what_is_no_medium(void **state)
{
	static const struct {
		off_t size;
		u32 block;
		const char *words;
	} rows[] = {
		{ 0, 512, "is empty; give it a size" },
		{ 511, 512, "less than one block of 512; make it larger" },
		{ 4095, 4096, "less than one block of 4096; make it larger" },
		{ 513, 512, "no multiple of the block size 512; make it so" },
		{ 4096 + 512, 4096, "no multiple of the block size 4096; make it so" },
		{ 8192, 1000, "a block size of 1000 can't be had; give 512 or 4096" },
	};
	char tiny[8];
	struct lun lun;
	u32 i;

	(void)state;
	refused(path, 512, false, -ENOENT, "does not exist; create it first");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make_file(rows[i].size);
		refused(path, rows[i].block, i & 1, -EINVAL, rows[i].words);
	}
	refused(dir, 512, false, -EISDIR, "is a directory; give a file");
	refused(dir, 512, true, -EISDIR, "is a directory; give a file");
	refused("/dev/null", 512, false, -ENOTBLK, "give one of these");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(path, 512, true, -ENOTBLK, "give one of these"); /* without waiting for a writer */
	refused(path, 512, false, -ENOTBLK, "give one of these");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("disk", path), 0);
	refused(path, 512, false, -ELOOP, "can't be opened");
	/* A sentence that doesn't fit is cut. */
	assert_int_equal(lun_file_open(&lun, "/dev/null", 512, false, tiny, sizeof(tiny)), -ENOTBLK);
	assert_string_equal(tiny, "/dev/nu");
	if (geteuid()) { /* whoever is root may write anything */
		unlink(path);
		make_file(8192);
		assert_int_equal(chmod(path, 0400), 0);
		refused(path, 512, false, -EACCES, "serve it read-only");
	}
	assert_int_equal(lun_ram_open(&lun, data, 513, 512, false), -EINVAL);
	assert_int_equal(lun_ram_open(&lun, data, 0, 512, false), -EINVAL);
	assert_int_equal(lun_ram_open(&lun, data, 1024, 1024, false), -EINVAL);
}

static void reads_and_writes(void **state)
{
	char serial[LUN_SERIAL_LEN];
	u32 i, syncs = 0;
	size_t done;

	(void)state;
	make_file(SIZE);
	for (i = 0; i < 2; i++) {
		open_file(i ? 512 : 4096, false);
		assert_int_equal(bed.lun.bytes, SIZE);
		if (i)
			assert_memory_equal(bed.lun.serial, serial, LUN_SERIAL_LEN); /* the same disk again */
		memcpy(serial, bed.lun.serial, LUN_SERIAL_LEN);
		bed_take();
		bed.faults.most = i ? 1000 : 0; /* each call does a part */
		assert_int_equal(lun_read(&bed.lun, back, SIZE, 0, &done), 0);
		assert_int_equal(done, SIZE);
		assert_memory_equal(back, data, SIZE);
		data[5000] ^= 0xff;
		data[9999] ^= 0xff;
		assert_int_equal(lun_write(&bed.lun, data + 5000, 5000, 5000, &done), 0);
		assert_int_equal(done, 5000);
		assert_int_equal(lun_sync(&bed.lun, &syncs), 0);
		assert_int_equal(lun_read(&bed.lun, back, SIZE, 0, NULL), 0);
		assert_memory_equal(back, data, SIZE);
		/* Outside there is nothing. */
		assert_int_equal(lun_read(&bed.lun, back, 2, SIZE - 1, &done), -EINVAL);
		assert_int_equal(lun_write(&bed.lun, back, 1, SIZE, &done), -EINVAL);
		assert_int_equal(lun_read(&bed.lun, back, 1, UINT64_MAX, NULL), -EINVAL);
		assert_int_equal(lun_zero(&bed.lun, SIZE, 1, true), -EINVAL);
		assert_int_equal(done, 0);
		lun_close(&bed.lun);
	}
}

static u64 allocated(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	return (u64)st.st_blocks * 512;
}

static void makes_zeros_and_holes(void **state)
{
	u64 before;
	u32 i;

	(void)state;
	for (i = 0; i < 4; i++) {
		make_file(SIZE);
		open_file(512, false);
		before = allocated();
		if (i >= 2) { /* a file system that can do neither */
			bed_take();
			bed.faults.zero_at = 1;
			bed.faults.err = -EOPNOTSUPP;
		}
		assert_int_equal(lun_zero(&bed.lun, 512, 200000, i & 1), 0);
		memset(data + 512, 0, 200000);
		assert_int_equal(lun_read(&bed.lun, back, SIZE, 0, NULL), 0);
		assert_memory_equal(back, data, SIZE);
		if (i != 1)
			assert_true(allocated() >= before);
		lun_close(&bed.lun);
	}
}

static void a_hole_gives_space_back(void **state)
{
	u64 before;
	int fd;

	(void)state;
	make_file(SIZE);
	open_file(4096, false);
	fd = open(path, O_RDWR);
	before = allocated();
	if (fallocate(fd, 3 /* PUNCH_HOLE, KEEP_SIZE */, 0, 4096)) {
		close(fd);
		lun_close(&bed.lun);
		skip(); /* this file system has none */
	}
	close(fd);
	assert_int_equal(lun_zero(&bed.lun, 0, SIZE / 2, true), 0);
	assert_true(allocated() + SIZE / 4 < before);
	lun_close(&bed.lun);
}

static void read_only_stays_as_it_is(void **state)
{
	u32 seen = 0;

	(void)state;
	make_file(SIZE);
	open_file(512, true);
	assert_int_equal(lun_write(&bed.lun, data, 512, 0, NULL), -EROFS);
	assert_int_equal(lun_zero(&bed.lun, 0, 512, true), -EROFS);
	assert_int_equal(lun_sync(&bed.lun, &seen), 0);
	/* Nor can the descriptor do it, should anybody ask it. */
	assert_int_equal(bed.lun.ops->pwrite(&bed.lun, data, 512, 0), -EBADF);
	lun_close(&bed.lun);
}

/* Cut while it is served: what is gone is an error, never zeros, and no write makes it long again. */
static void notices_that_it_was_cut(void **state)
{
	struct stat st;

	(void)state;
	make_file(SIZE);
	open_file(512, false);
	assert_int_equal(truncate(path, 10 * 512 + 100), 0);
	EXPECT_GOOD(bed_run(CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 10), back, SIZE));
	memset(back, 0x77, SIZE);
	EXPECT_SENSE(bed_run(CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 20), back, SIZE), SCSI_MEDIUM_ERROR, SCSI_ASC_READ_ERROR);
	assert_int_equal(bed_be(bed.sense + 3, 4), 10);
	assert_int_equal(back[11 * 512], 0x77);
	EXPECT_SENSE(bed_run(CDB(0x2f, 0, 0, 0, 0, 0, 0, 0, 20), NULL, 0), SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR);
	EXPECT_SENSE(bed_run(CDB(0x2a, 0, 0, 0, 0, 30, 0, 0, 1), data, SIZE), SCSI_MEDIUM_ERROR, SCSI_ASC_WRITE_ERROR);
	EXPECT_SENSE(bed_run(CDB(0x93, 9, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 1), data, 0), SCSI_MEDIUM_ERROR,
		     SCSI_ASC_WRITE_ERROR);
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_NOT_READY, SCSI_ASC_INTERVENTION);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 10 * 512 + 100);
	/* Given back its length, it is ready again. */
	assert_int_equal(truncate(path, SIZE), 0);
	EXPECT_GOOD(bed_run(CDB(0), NULL, 0));
	EXPECT_GOOD(bed_run(CDB(0x2a, 0, 0, 0, 0, 30, 0, 0, 1), data, SIZE));
	lun_close(&bed.lun);
}

/* Removed while it is served: nobody would find what is written, so it isn't. */
static void notices_that_it_was_removed(void **state)
{
	int fd;

	(void)state;
	make_file(SIZE);
	open_file(512, false);
	assert_int_equal(unlink(path), 0);
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_NOT_READY, SCSI_ASC_NO_MEDIUM);
	EXPECT_SENSE(bed_run(CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), data, 512), SCSI_NOT_READY, SCSI_ASC_NO_MEDIUM);
	EXPECT_SENSE(bed_run(CDB(0x35), NULL, 0), SCSI_NOT_READY, SCSI_ASC_NO_MEDIUM);
	EXPECT_GOOD(bed_run(CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), back, 512)); /* what is there can be saved */
	lun_close(&bed.lun);

	/* A file that never had a name isn't missed. */
	make_file(SIZE);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	open_file(512, false);
	EXPECT_GOOD(bed_run(CDB(0), NULL, 0));
	EXPECT_GOOD(bed_run(CDB(0x2a, 8, 0, 0, 0, 0, 0, 0, 1), data, 512));
	lun_close(&bed.lun);
	close(fd);
	snprintf(path, sizeof(path), "%s/disk", dir);
}

static void file_has_no_room(void **state)
{
	struct rlimit old, limit;
	int full;

	(void)state;
	make_file(SIZE);
	open_file(512, false);
	/* The system's own ENOSPC, by the device that is always full. */
	full = open("/dev/full", O_RDWR);
	assert_true(full >= 0);
	bed_take();
	assert_int_equal(dup2(full, bed.lun.fd), bed.lun.fd);
	bed.lun.regular = false;
	EXPECT_SENSE(bed_run(CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), data, 512), SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE);
	close(full);
	lun_close(&bed.lun);

	/* And the limit on a file's size, after a part was written. */
	open_file(512, false);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 8 * 512;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	EXPECT_SENSE(bed_run(CDB(0x2a, 0, 0, 0, 0, 4, 0, 0, 8), data, SIZE), SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE);
	assert_int_equal(bed_be(bed.sense + 3, 4), 8);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	EXPECT_GOOD(bed_run(CDB(0x2a, 0, 0, 0, 0, 4, 0, 0, 8), data, SIZE));
	lun_close(&bed.lun);
}

/* A device that can't punch holes says so in a way of its own; zeros are written then. */
static void zeros_are_written_where_holes_are_not(void **state)
{
	int zero = open("/dev/zero", O_RDWR);

	(void)state;
	assert_true(zero >= 0);
	assert_int_equal(fallocate(zero, 3, 0, 512), -1);
	assert_int_not_equal(errno, EOPNOTSUPP);
	make_file(SIZE);
	open_file(512, false);
	bed_take();
	assert_int_equal(dup2(zero, bed.lun.fd), bed.lun.fd);
	bed.lun.regular = false;
	assert_int_equal(lun_zero(&bed.lun, 0, SIZE, true), 0);
	assert_int_equal(bed.faults.writes, 4);
	close(zero);
	lun_close(&bed.lun);
}

/* The address of a six-byte command reaches into the byte where longer ones have FUA. */
static void far_blocks_are_not_forced(void **state)
{
	(void)state;
	make_file(SIZE);
	assert_int_equal(truncate(path, 0x80001ll * 512), 0);
	open_file(512, false);
	bed_take();
	EXPECT_GOOD(bed_run(CDB(0x0a, 0x08, 0, 0, 1), data, 512));
	EXPECT_GOOD(bed_run(CDB(0x08, 0x08, 0, 0, 1), back, 512));
	assert_memory_equal(back, data, 512);
	assert_int_equal(bed.faults.syncs, 0);
	lun_close(&bed.lun);
}

static void descriptor_is_gone(void **state)
{
	(void)state;
	make_file(SIZE);
	open_file(512, false);
	close(bed.lun.fd);
	EXPECT_SENSE(bed_run(CDB(0), NULL, 0), SCSI_NOT_READY, SCSI_ASC_INTERVENTION);
	EXPECT_SENSE(bed_run(CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), back, 512), SCSI_MEDIUM_ERROR, SCSI_ASC_READ_ERROR);
	EXPECT_SENSE(bed_run(CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1), back, 512), SCSI_DATA_PROTECT,
		     SCSI_ASC_WRITE_PROTECTED);
	bed.lun.fd = open("/dev/null", O_RDONLY); /* for lun_close() to close */
	lun_close(&bed.lun);
}

/* --- what needs no wait --- */

static ssize_t now_answer;
static u32 now_asked;

static ssize_t pread_now(struct lun *lun, void *buf, size_t len, u64 at)
{
	(void)lun;
	(void)at;
	now_asked++;
	if (now_answer > 0)
		memset(buf, 0x77, len < (size_t)now_answer ? len : (size_t)now_answer);
	return now_answer;
}

static void reads_at_once_or_not_at_all(void **state)
{
	struct lun_ops ops;

	(void)state;
	make_file(SIZE);
	open_file(512, false);
	/* whether the file system can tell what is in memory or not: the bytes are right if there are any */
	if (lun_read_now(&bed.lun, back, 4096, 512))
		assert_memory_equal(back, data + 512, 4096);
	ops = *bed.lun.ops;
	bed.lun.ops->close(&bed.lun);
	bed.lun.fd = -1;
	ops.pread_now = pread_now;
	bed.lun.ops = &ops;
	bed.lun.waits = false;
	now_answer = 4096;
	assert_true(lun_read_now(&bed.lun, back, 4096, 0));
	assert_false(lun_read_now(&bed.lun, back, 4097, 0)); /* a part of it */
	now_answer = -EAGAIN;
	assert_false(lun_read_now(&bed.lun, back, 4096, 0));
	assert_int_equal(now_asked, 3);
	now_answer = -EOPNOTSUPP;
	assert_false(lun_read_now(&bed.lun, back, 4096, 0));
	assert_false(lun_read_now(&bed.lun, back, 4096, 0)); /* and isn't asked again */
	assert_int_equal(now_asked, 4);
	bed.lun.waits = false;
	assert_false(lun_read_now(&bed.lun, back, 4096, SIZE - 4095));
	ops.pread_now = NULL;
	assert_false(lun_read_now(&bed.lun, back, 4096, 0));
	assert_int_equal(now_asked, 4);
	pthread_mutex_destroy(&bed.lun.sync_lock);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		TEST(refuses_what_is_no_medium),
		TEST(reads_and_writes),
		TEST(reads_at_once_or_not_at_all),
		TEST(makes_zeros_and_holes),
		TEST(a_hole_gives_space_back),
		TEST(read_only_stays_as_it_is),
		TEST(notices_that_it_was_cut),
		TEST(notices_that_it_was_removed),
		TEST(file_has_no_room),
		TEST(zeros_are_written_where_holes_are_not),
		TEST(far_blocks_are_not_forced),
		TEST(descriptor_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
