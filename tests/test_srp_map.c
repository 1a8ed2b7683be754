/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A target that reads from the page cache itself: every pair of adapters gets the bytes that
 * pread(2) gets, and the errors. The file becomes shorter under it, also by part of a page and while it
 * is read; it is larger than what can be mapped of it; it is served twice; the process forks.
 */
#include "srp_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FILE_BYTES (7 * MIB + 3 * 4096 + 512)
#define LARGE (1u << 20)

enum { READ_10 = 0x28, WRITE_10 = 0x2a };

static char path[64];
static int fd;

struct map_bed {
	struct srp_bed bed;
	struct srp_target *t;
	struct srp_initiator *ini;
	struct page *page; /* LARGE bytes of the initiator's */
	u8 *mem;
};

/* --- the file --- */

/* What block @b has, unless somebody wrote it; never zeros. */
static void pattern(u8 *to, u64 at, u64 bytes)
{
	u64 i;

	for (i = 0; i < bytes; i++)
		to[i] = (u8)(1 + ((at + i) / BLOCK * 7 + (at + i) % 251) % 255);
}

static u8 content[FILE_BYTES]; /* of the file, at first */

static void file_fill(void)
{
	if (!content[0])
		pattern(content, 0, FILE_BYTES);
	assert_int_equal(pwrite(fd, content, FILE_BYTES, 0), FILE_BYTES);
}

static const char *folder = "/tmp";
static bool sparse;

static void file_make(void)
{
	snprintf(path, sizeof(path), "%s/softhca-map-XXXXXX", folder);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	if (sparse)
		assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
	else
		file_fill();
}

static void file_drop(void)
{
	close(fd);
	unlink(path);
}

/* --- the bed --- */

static void with_file(struct srp_bed *b)
{
	char why[200];

	lun_close(&b->lun);
	assert_int_equal(lun_file_open(&b->lun, path, BLOCK, false, why, sizeof(why)), 0);
	scsi_device_init(&b->scsi, &b->lun);
}

static void map_open(struct map_bed *m, enum machine_platform platform, int pair, enum srp_memory memory,
		     u64 file_bytes)
{
	const struct machine_attr attr = {
		.platform = platform, .low_bytes = 64 * MIB, .high_bytes = 2 * MIB, .file_bytes = file_bytes
	};
	const struct srp_initiator_attr ia = { .name = DISK, .memory = memory, .channels = 4, .max_sg = 600 };
	struct srp_initiator_attr a = ia;

	memset(m, 0, sizeof(*m));
	file_make();
	bed_open_with(&m->bed, &attr, pair, true);
	with_file(&m->bed);
	m->t = bed_target(&m->bed, IB_POLL_SOFTIRQ);
	a.device = m->bed.dev[0];
	assert_int_equal(srp_initiator_connect(&a, &m->ini), 0);
	m->page = machine_alloc_pages(m->bed.machine, GFP_KERNEL, 8);
	assert_non_null(m->page);
	m->mem = page_address(m->page);
}

static void map_close(struct map_bed *m)
{
	srp_initiator_destroy(m->ini);
	srp_target_destroy(m->t);
	__free_pages(m->page, 8);
	bed_close(&m->bed);
	file_drop();
}

static u64 mapped(struct map_bed *m)
{
	struct srp_target_stats st;

	srp_target_get_stats(m->t, &st);
	return st.bytes_mapped;
}

/* Return: as srp_execute() */
static int transfer(struct srp_channel *ch, u8 op, struct page *page, u32 off, u64 block, u32 blocks,
		    struct srp_request *rq)
{
	struct scatterlist sg;

	sg_init_table(&sg, 1);
	sg_set_page(&sg, page, blocks * BLOCK, off);
	*rq = (struct srp_request){
		.cdb = { op, 0, (u8)(block >> 24), (u8)(block >> 16), (u8)(block >> 8), (u8)block, 0, (u8)(blocks >> 8),
			 (u8)blocks },
		.cdb_len = 10,
		.dir = op == READ_10 ? DMA_FROM_DEVICE : DMA_TO_DEVICE,
		.sgl = &sg,
		.nents = 1,
		.len = blocks * BLOCK,
	};
	return srp_execute(ch, rq);
}

static struct srp_channel *channel(struct map_bed *m, u32 i)
{
	return srp_initiator_channel(m->ini, i);
}

/* Key and code of fixed sense data (SPC-4 4.5.3). */
static u32 sense_of(const struct srp_request *rq)
{
	return rq->sense_len < 14 ? 0 : (u32)(rq->sense[2] & 15) << 16 | (u32)rq->sense[12] << 8 | rq->sense[13];
}

/* A read does what pread(2) does: all of the bytes, or MEDIUM ERROR, UNRECOVERED READ ERROR. */
static void read_like_pread(struct map_bed *m, u64 block, u32 blocks)
{
	static u8 want[LARGE];
	struct srp_request rq;
	ssize_t n = pread(fd, want, (size_t)blocks * BLOCK, (off_t)(block * BLOCK));
	int err;

	memset(m->mem, 0, (size_t)blocks * BLOCK);
	err = transfer(channel(m, 0), READ_10, m->page, 0, block, blocks, &rq);
	if (n == (ssize_t)(blocks * BLOCK)) {
		assert_int_equal(err, 0);
		assert_int_equal(rq.moved, blocks * BLOCK);
		assert_memory_equal(m->mem, want, (size_t)blocks * BLOCK);
	} else {
		assert_int_equal(err, -EREMOTEIO);
		assert_int_equal(sense_of(&rq), 0x031100);
	}
}

static void read_all(struct map_bed *m, u32 blocks)
{
	u64 block, end = FILE_BYTES / BLOCK;

	for (block = 0; block < end; block += blocks)
		read_like_pread(m, block, end - block < blocks ? (u32)(end - block) : blocks);
}

/* Until it is mapped. */
static void warm(struct map_bed *m)
{
	u64 before;

	read_all(m, 512);
	read_all(m, 512);
	before = mapped(m);
	read_all(m, 512);
	assert_true(mapped(m) > before);
}

static const struct {
	enum machine_platform platform;
	int pair;
	enum srp_memory memory;
} kinds[] = {
	{ MACHINE_DIRECT, 0, SRP_MEMORY_ALL },	{ MACHINE_IOMMU, 0, SRP_MEMORY_FAST },
	{ MACHINE_IOMMU, 1, SRP_MEMORY_FMR },	{ MACHINE_IOMMU, 2, SRP_MEMORY_FAST },
	{ MACHINE_IOMMU, 3, SRP_MEMORY_ALL },	{ MACHINE_IOMMU, 3, SRP_MEMORY_FAST },
	{ MACHINE_DIRECT, 3, SRP_MEMORY_FAST },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* --- tests --- */

static void once_from_the_page_cache(void **state)
{
	struct map_bed m;
	u64 before;
	u32 i, b;

	(void)state;
	for (i = 0; i < KINDS; i++) {
		map_open(&m, kinds[i].platform, kinds[i].pair, kinds[i].memory, 32 * MIB);
		warm(&m);
		/* All but what has to do with the last page. */
		before = mapped(&m);
		read_all(&m, 1024);
		assert_true(mapped(&m) - before >= 6 * MIB);
		/* Small ones, across pages and pieces. */
		before = mapped(&m);
		for (b = 0; b < 64; b++)
			read_like_pread(&m, 4096 - 32 + b, 1 + b % 9);
		assert_true(mapped(&m) > before);
		map_close(&m);
	}
}

/* Without addresses for files all goes the way of the file. */
static void a_machine_without_room(void **state)
{
	struct map_bed m;
	u32 i;

	(void)state;
	for (i = 0; i < 2; i++) {
		map_open(&m, MACHINE_DIRECT, 0, SRP_MEMORY_ALL, i * 2 * MIB);
		read_all(&m, 512);
		read_all(&m, 512);
		read_all(&m, 8);
		assert_true(mapped(&m) == 0);
		map_close(&m);
	}
}

/* A page that begins beyond the end is a SIGBUS; the rest of the page in which the file ends is zeros (mmap(2)). */
static void shorter(void **state)
{
	static const u64 ends[] = { 7 * MIB + 3 * 4096, 5 * MIB, 4 * MIB + 4096 + 512, MIB + 100, 512, 0 };
	struct map_bed m;
	u32 i, k;

	(void)state;
	for (k = 0; k < KINDS; k += 3) {
		for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
			map_open(&m, kinds[k].platform, kinds[k].pair, kinds[k].memory, 32 * MIB);
			warm(&m);
			assert_int_equal(ftruncate(fd, (off_t)ends[i]), 0);
			read_like_pread(&m, ends[i] / BLOCK / 8 * 8, i ? 8 : 1);
			read_like_pread(&m, ends[i] / BLOCK, 1);
			read_all(&m, 512);
			/* It has its bytes again. */
			file_fill();
			read_all(&m, 512);
			read_all(&m, 8);
			map_close(&m);
		}
	}
}

/* A hole that is punched, and what others write, is seen at once. */
static void changed_by_others(void **state)
{
	static const char word[] = "from outside";
	struct map_bed m;

	(void)state;
	map_open(&m, MACHINE_IOMMU, 3, SRP_MEMORY_FAST, 32 * MIB);
	warm(&m);
	assert_int_equal(pwrite(fd, word, sizeof(word), MIB + 1000), sizeof(word));
	read_all(&m, 512);
	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * MIB, MIB)) {
		read_all(&m, 512);
		read_all(&m, 8);
	}
	map_close(&m);
}

/* Any order of reads, writes, truncations and their opposites, beside the file itself. */
static void like_the_file(void **state)
{
	u64 seed = 11, end, block;
	struct srp_request rq;
	struct map_bed m;
	u32 i, k, blocks;
	int err;

	(void)state;
	for (k = 0; k < KINDS; k++) {
		map_open(&m, kinds[k].platform, kinds[k].pair, kinds[k].memory, (6 + k % 2 * 12) * MIB);
		warm(&m);
		for (i = 0, end = FILE_BYTES; i < 600; i++) {
			blocks = 1 + bed_random(&seed, bed_random(&seed, 2) ? 16 : LARGE / BLOCK);
			block = bed_random(&seed, (u32)(FILE_BYTES / BLOCK) - blocks + 1);
			switch (bed_random(&seed, 16)) {
			case 0:
				if (i < 300)
					break;
				end = bed_random(&seed, (u32)FILE_BYTES + 1);
				assert_int_equal(ftruncate(fd, (off_t)end), 0);
				break;
			case 1:
				end = FILE_BYTES;
				assert_int_equal(ftruncate(fd, (off_t)end), 0);
				break;
			case 2:
			case 3:
			case 4:
				pattern(m.mem, seed % 1000, (u64)blocks * BLOCK);
				err = transfer(channel(&m, 0), WRITE_10, m.page, 0, block, blocks, &rq);
				if (end == FILE_BYTES) {
					u8 *have = malloc((size_t)blocks * BLOCK);

					assert_int_equal(err, 0);
					assert_int_equal(pread(fd, have, (size_t)blocks * BLOCK,
							       (off_t)(block * BLOCK)),
							 blocks * BLOCK);
					assert_memory_equal(have, m.mem, (size_t)blocks * BLOCK);
					free(have);
				} else {
					assert_int_equal(err, -EREMOTEIO);
					assert_int_equal(sense_of(&rq), 0x030c00);
				}
				break;
			default:
				read_like_pread(&m, block, blocks);
			}
		}
		map_close(&m);
	}
}

/* A load from a hole of a file in tmpfs gives it memory, if there is any; pread(2) doesn't, and so may not a READ. */
static void holes_stay(void **state)
{
	struct stat st;
	struct map_bed m;
	u32 i;

	(void)state;
	folder = "/dev/shm";
	sparse = true;
	if (access(folder, W_OK))
		skip();
	map_open(&m, MACHINE_DIRECT, 0, SRP_MEMORY_ALL, 32 * MIB);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks <= 8); /* the last page, which is always looked at */
	for (i = 0; i < 4; i++)
		read_all(&m, 512);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks <= 8);
	/* Beside a hole that is filled. */
	pattern(m.mem, 2 * MIB, MIB);
	assert_int_equal(pwrite(fd, m.mem, MIB, 2 * MIB), MIB);
	for (i = 0; i < 4; i++)
		read_all(&m, 64);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks <= (s64)(MIB / 512) + 8);
	map_close(&m);
}

/* A file system without room (setrlimit(2) stands for it: EFBIG) is an error of the write, and none of reads. */
static void no_room_for_a_write(void **state)
{
	struct rlimit before, less;
	struct srp_request rq;
	struct map_bed m;
	void (*xfsz)(int);

	(void)state;
	map_open(&m, MACHINE_IOMMU, 3, SRP_MEMORY_FAST, 32 * MIB);
	warm(&m);
	xfsz = signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	less = before;
	less.rlim_cur = 2 * MIB;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
	memset(m.mem, 3, LARGE);
	assert_int_equal(transfer(channel(&m, 0), WRITE_10, m.page, 0, 3 * MIB / BLOCK, LARGE / BLOCK, &rq),
			 -EREMOTEIO);
	assert_int_equal(sense_of(&rq), 0x072707);
	read_all(&m, 512);
	/* Half of it fits. */
	memset(m.mem, 4, LARGE);
	assert_int_equal(transfer(channel(&m, 0), WRITE_10, m.page, 0, 2 * MIB / BLOCK - 1024, LARGE / BLOCK, &rq),
			 -EREMOTEIO);
	assert_int_equal(sense_of(&rq), 0x072707);
	read_all(&m, 512);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, xfsz);
	assert_int_equal(transfer(channel(&m, 0), WRITE_10, m.page, 0, 3 * MIB / BLOCK, LARGE / BLOCK, &rq), 0);
	read_all(&m, 8);
	map_close(&m);
}

static int teardown_folder(void **state)
{
	(void)state;
	folder = "/tmp";
	sparse = false;
	return 0;
}

/* --- threads --- */

struct reader {
	struct map_bed *m;
	struct page *page;
	u32 number, rounds;
	bool may_fail;
	u32 good, bad;
};

/* Reads are whole and right, or fail. */
static void *reads(void *arg)
{
	struct reader *r = arg;
	u64 seed = r->number + 5;
	u8 *mem = page_address(r->page);
	struct srp_request rq;
	u32 i, blocks;
	u64 block;

	for (i = 0; i < r->rounds; i++) {
		blocks = 1 + bed_random(&seed, bed_random(&seed, 3) ? 8 : LARGE / BLOCK);
		block = bed_random(&seed, (u32)(FILE_BYTES / BLOCK) - blocks + 1);
		memset(mem, 0, (size_t)blocks * BLOCK);
		if (transfer(channel(r->m, r->number % 4), READ_10, r->page, 0, block, blocks, &rq)) {
			assert_true(r->may_fail && sense_of(&rq) == 0x031100);
			r->bad++;
			continue;
		}
		assert_memory_equal(mem, content + block * BLOCK, (size_t)blocks * BLOCK);
		r->good++;
	}
	return NULL;
}

static void start_readers(struct map_bed *m, struct reader *r, pthread_t *t, u32 n, u32 rounds, bool may_fail)
{
	u32 i;

	for (i = 0; i < n; i++) {
		r[i] = (struct reader){ .m = m, .number = i, .rounds = rounds, .may_fail = may_fail };
		r[i].page = machine_alloc_pages(m->bed.machine, GFP_KERNEL, 8);
		assert_non_null(r[i].page);
		assert_int_equal(pthread_create(&t[i], NULL, reads, &r[i]), 0);
	}
}

static u32 end_readers(struct reader *r, pthread_t *t, u32 n)
{
	u32 i, good = 0;

	for (i = 0; i < n; i++) {
		pthread_join(t[i], NULL);
		__free_pages(r[i].page, 8);
		good += r[i].good;
	}
	return good;
}

/* Four slices of the file, two places: parts come and go while others are read from. */
static void more_than_there_is_room_for(void **state)
{
	struct reader r[4];
	struct map_bed m;
	pthread_t t[4];
	u32 k;

	(void)state;
	for (k = 0; k < KINDS; k += 3) {
		map_open(&m, kinds[k].platform, kinds[k].pair, kinds[k].memory, 6 * MIB);
		start_readers(&m, r, t, 4, 200, false);
		assert_int_equal(end_readers(r, t, 4), 800);
		assert_true(mapped(&m) > 0);
		map_close(&m);
	}
}

/* The file is cut while it is read. It never has zeros, so a read that came to some would show. */
static void cut_while_it_is_read(void **state)
{
	struct reader r[3];
	struct map_bed m;
	pthread_t t[3];
	u64 seed = 3;
	u32 i, k;

	(void)state;
	for (k = 0; k < KINDS; k += 3) {
		map_open(&m, kinds[k].platform, kinds[k].pair, kinds[k].memory, 32 * MIB);
		warm(&m);
		start_readers(&m, r, t, 3, 400, true);
		for (i = 0; i < 20; i++)
			sched_yield();
		assert_int_equal(ftruncate(fd, (off_t)(MIB + bed_random(&seed, 2000000))), 0);
		assert_true(end_readers(r, t, 3) > 0);
		read_all(&m, 100);
		map_close(&m);
	}
}

/* Two targets serve one file on one machine; one goes while the other is read from. */
static void served_twice(void **state)
{
	struct srp_target_attr ta = { .name = OTHER };
	struct srp_initiator_attr ia = { .name = OTHER, .max_sg = 8 };
	struct srp_initiator *ini;
	struct srp_request rq;
	struct srp_target *t;
	struct map_bed m;
	u32 i, round;

	(void)state;
	for (round = 0; round < 2; round++) {
		map_open(&m, MACHINE_IOMMU, 3, SRP_MEMORY_FAST, (8 + round * 24) * MIB);
		ta.device = m.bed.dev[1];
		ta.scsi = &m.bed.scsi;
		ia.device = m.bed.dev[0];
		assert_int_equal(srp_target_create(&ta, &t), 0);
		assert_int_equal(srp_initiator_connect(&ia, &ini), 0);
		for (i = 0; i < 60; i++) {
			assert_int_equal(transfer(srp_initiator_channel(ini, 0), READ_10, m.page, 0, i * 100, 500, &rq),
					 0);
			read_like_pread(&m, i * 100, 500);
		}
		srp_initiator_destroy(ini);
		srp_target_destroy(t);
		read_all(&m, 512);
		map_close(&m);
	}
}

/* A child may end, and look at what it has; the parent goes on. */
static void forks(void **state)
{
	struct map_bed m;
	int status;
	pid_t pid;

	(void)state;
	map_open(&m, MACHINE_DIRECT, 0, SRP_MEMORY_ALL, 32 * MIB);
	warm(&m);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(m.mem[0] ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	read_all(&m, 512);
	assert_int_equal(ftruncate(fd, MIB), 0);
	read_all(&m, 512);
	map_close(&m);
}

static void *read_with_faults_blocked(void *arg)
{
	struct map_bed *m = arg;
	sigset_t faults;

	sigemptyset(&faults);
	sigaddset(&faults, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &faults, NULL);
	read_all(m, 512);
	assert_int_equal(ftruncate(fd, MIB), 0);
	read_all(m, 512);
	read_all(m, 8);
	return NULL;
}

/* sigprocmask(2): a SIGBUS that is blocked kills. Such a thread touches no mapped part. */
static void a_thread_that_blocks_faults(void **state)
{
	struct map_bed m;
	pthread_t t;

	(void)state;
	map_open(&m, MACHINE_DIRECT, 0, SRP_MEMORY_ALL, 32 * MIB);
	warm(&m);
	assert_int_equal(pthread_create(&t, NULL, read_with_faults_blocked, &m), 0);
	pthread_join(t, NULL);
	map_close(&m);
}

/* Page after page is out of memory: such a read waits for the disk in a worker, and the bytes are the same. */
static void not_in_memory(void **state)
{
	struct map_bed m;
	u32 i;

	(void)state;
	map_open(&m, MACHINE_IOMMU, 3, SRP_MEMORY_FAST, 32 * MIB);
	for (i = 0; i < 4; i++) {
		warm(&m);
		assert_int_equal(fdatasync(fd), 0);
		assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
		read_all(&m, i % 2 ? 8 : 700);
	}
	map_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_from_the_page_cache),
		cmocka_unit_test(a_machine_without_room),
		cmocka_unit_test(shorter),
		cmocka_unit_test(changed_by_others),
		cmocka_unit_test(like_the_file),
		cmocka_unit_test(no_room_for_a_write),
		cmocka_unit_test_teardown(holes_stay, teardown_folder),
		cmocka_unit_test(more_than_there_is_room_for),
		cmocka_unit_test(cut_while_it_is_read),
		cmocka_unit_test(served_twice),
		cmocka_unit_test(forks),
		cmocka_unit_test(a_thread_that_blocks_faults),
		cmocka_unit_test(not_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
