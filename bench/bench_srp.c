/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "srp": a file that lies in the page cache, read and written as a SCSI disk over
 * SRP, initiator and target in this process, beside pread and pwrite of the same file
 * by as many threads. What tools see of it through nbdkit is in bench_srp_nbd.c.
 */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_dma.h"
#include "bench_srp.h"
#include "srp/lun.h"
#include "srp/srp.h"

#define PORT 5555
#define DEPTH 32u
#define SMALL 4096u
#define LARGE (1u << 20)
#define LARGE_ORDER 8u
#define MIB ((u64)1 << 20)
/* Bytes of the files: for what runs in this process, and for tools, whose start must not count. */
#define IN_PROCESS (64 * MIB)
#define IN_TOOLS (256 * MIB)

enum { READ_16 = 0x88, WRITE_16 = 0x8a };

/* --- a file with an SRP disk on it --- */

static int file_open(struct bench_file *f, u64 bytes)
{
	const char *dir = getenv("TMPDIR");
	u32 *block = malloc(LARGE);
	u64 at, x = 1;
	u32 i;

	memset(f, 0, sizeof(*f));
	f->bytes = bytes;
	snprintf(f->path, sizeof(f->path), "%s/softhca-bench-XXXXXX", dir && *dir ? dir : "/tmp");
	f->fd = mkstemp(f->path);
	if (f->fd < 0 || !block) {
		free(block);
		return bench_fail("no scratch file '%s'; set TMPDIR to a folder with room for %u MiB", f->path,
				  (u32)(bytes >> 20));
	}
	for (at = 0; at < f->bytes; at += LARGE) {
		for (i = 0; i < LARGE / sizeof(*block); i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			block[i] = (u32)(x >> 32);
		}
		if (pwrite(f->fd, block, LARGE, (off_t)at) != LARGE) {
			free(block);
			return bench_fail("scratch file '%s' can't be written", f->path);
		}
	}
	free(block);
	return 0;
}

static void file_close(struct bench_file *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	unlink(f->path);
}

/* A request that is under way, again and again. */
struct job {
	struct srp_request rq;
	struct run *run;
	struct page *page;
	struct scatterlist sg;
	u64 at;
};

/* One thread's work: on an initiator's channel, or, for the floor, on the file. */
struct run {
	struct rig *rig;
	struct bench_file *file;
	struct srp_channel *channel;
	struct job *jobs;
	u32 n_jobs;
	u32 len;
	u8 op;
	bool random;
	s64 left, flying; /* atomic: completions may come in any thread */
	sem_t done;
	u64 at; /* the floor's */
	char *buf; /* the floor's, as much as all the jobs have */
	u32 turn;
};

struct rig {
	struct bed target, initiator; /* the second on the first one's machine */
	struct lun lun;
	struct scsi_device scsi;
	struct srp_target *t;
	struct srp_initiator *ini;
};

struct rig_def {
	struct bed_def bed;
	enum srp_memory memory;
	u32 channels;
};

static int rig_open(struct rig *r, const struct rig_def *def, const struct bench_file *f)
{
	const struct device_attr da = { .name = "initiator" };
	char name[SRP_CM_NAME];
	struct ib_dma_config config = { .ledger = false };
	struct srp_target_attr ta = { .scsi = &r->scsi, .name = name };
	struct srp_initiator_attr ia = {
		.name = name, .channels = def->channels, .memory = def->memory, .depth = DEPTH, .max_sg = 8
	};
	char why[200];
	int err;

	memset(r, 0, sizeof(*r));
	if (bed_open(&r->target, &def->bed))
		return -1;
	if (device_create(r->target.m, &da, &r->initiator.dev) ||
	    def->bed.create(r->initiator.dev, "initiator", &config, &r->initiator.ib))
		return bench_fail("no second adapter");
	if (lun_file_open(&r->lun, f->path, 512, false, why, sizeof(why)))
		return bench_fail("%s", why);
	scsi_device_init(&r->scsi, &r->lun);
	ta.device = r->target.ib;
	ia.device = r->initiator.ib;
	err = srp_name(ta.device, PORT, name);
	if (!err)
		err = srp_target_create(&ta, &r->t);
	if (err)
		return bench_fail("no SRP target: %s", strerror(-err));
	err = srp_initiator_connect(&ia, &r->ini);
	return err ? bench_fail("no login: %s", strerror(-err)) : 0;
}

static void rig_close(struct rig *r, const struct rig_def *def)
{
	if (r->ini)
		srp_initiator_destroy(r->ini);
	if (r->t)
		srp_target_destroy(r->t);
	if (r->lun.ops)
		lun_close(&r->lun);
	if (r->initiator.ib)
		def->bed.destroy(r->initiator.ib);
	if (r->initiator.dev)
		device_destroy(r->initiator.dev);
	bed_close(&r->target);
}

/* --- requests --- */

static u64 next_at(const struct run *r, u64 *at)
{
	if (r->random) {
		*at = *at * 6364136223846793005u + 1442695040888963407u;
		return (*at >> 33) % (r->file->bytes / r->len) * r->len;
	}
	*at = (*at + r->len) % r->file->bytes;
	return *at;
}

static void put(u8 *to, u32 bytes, u64 v)
{
	while (bytes--) {
		to[bytes] = (u8)v;
		v >>= 8;
	}
}

static void job_go(struct job *j)
{
	struct run *r = j->run;

	put(j->rq.cdb + 2, 8, next_at(r, &j->at) / 512);
	srp_submit(r->channel, &j->rq);
}

static void job_done(struct srp_request *rq)
{
	struct job *j = rq->ctx;
	struct run *r = j->run;

	if (rq->error || rq->status || rq->moved != rq->len)
		bench_fail("a request failed: error %d, status %u", rq->error, rq->status);
	if (__atomic_fetch_sub(&r->left, 1, __ATOMIC_RELAXED) > 0)
		job_go(j);
	else if (!__atomic_sub_fetch(&r->flying, 1, __ATOMIC_ACQ_REL))
		sem_post(&r->done);
}

BENCH_LOOP static void requests(void *ctx, u64 n)
{
	struct run *r = ctx;
	u32 i, first = n < r->n_jobs ? (u32)n : r->n_jobs;

	if (!n)
		return;
	r->flying = first;
	r->left = (s64)(n - first);
	for (i = 0; i < first; i++)
		job_go(&r->jobs[i]);
	while (sem_wait(&r->done))
		;
}

BENCH_LOOP static void preads(void *ctx, u64 n)
{
	struct run *r = ctx;

	while (n--) {
		char *to = r->buf + (u64)(r->turn++ % r->n_jobs) * r->len;

		if (pread(r->file->fd, to, r->len, (off_t)next_at(r, &r->at)) != (ssize_t)r->len)
			bench_fail("pread failed");
		bench_use(to);
	}
}

BENCH_LOOP static void pwrites(void *ctx, u64 n)
{
	struct run *r = ctx;

	while (n--) {
		const char *from = r->buf + (u64)(r->turn++ % r->n_jobs) * r->len;

		if (pwrite(r->file->fd, from, r->len, (off_t)next_at(r, &r->at)) != (ssize_t)r->len)
			bench_fail("pwrite failed");
	}
}

struct run_def {
	u8 op;
	u32 len;
	u32 depth;
	bool random;
};

static int run_open(struct run *r, struct rig *rig, struct bench_file *f, u32 channel, const struct run_def *def)
{
	u32 i, order = def->len == SMALL ? 0 : LARGE_ORDER;

	memset(r, 0, sizeof(*r));
	*r = (struct run){
		.rig = rig, .file = f, .len = def->len, .op = def->op, .random = def->random, .at = channel
	};
	r->n_jobs = def->depth;
	sem_init(&r->done, 0, 0);
	r->buf = aligned_alloc(SMALL, (size_t)def->depth * def->len);
	if (!r->buf)
		return bench_fail("no memory");
	memset(r->buf, 1, (size_t)def->depth * def->len);
	if (!rig)
		return 0;
	r->channel = srp_initiator_channel(rig->ini, channel);
	r->jobs = calloc(def->depth, sizeof(*r->jobs));
	if (!r->jobs)
		return bench_fail("no memory");
	for (i = 0; i < def->depth; i++) {
		struct job *j = &r->jobs[i];

		j->run = r;
		j->at = (u64)channel * def->depth + i;
		j->page = machine_alloc_pages(rig->target.m, GFP_KERNEL, order);
		if (!j->page)
			return bench_fail("no pages");
		memset(page_address(j->page), 1, def->len);
		sg_init_table(&j->sg, 1);
		sg_set_page(&j->sg, j->page, def->len, 0);
		j->rq = (struct srp_request){ .cdb = { def->op },
					      .cdb_len = 16,
					      .dir = def->op == READ_16 ? DMA_FROM_DEVICE : DMA_TO_DEVICE,
					      .sgl = &j->sg,
					      .nents = 1,
					      .len = def->len,
					      .done = job_done,
					      .ctx = j };
		put(j->rq.cdb + 10, 4, def->len / 512);
	}
	return 0;
}

static void run_close(struct run *r)
{
	u32 i;

	for (i = 0; r->jobs && i < r->n_jobs; i++)
		if (r->jobs[i].page)
			__free_pages(r->jobs[i].page, r->len == SMALL ? 0 : LARGE_ORDER);
	free(r->jobs);
	free(r->buf);
	if (r->len)
		sem_destroy(&r->done);
}

/* --- the figures --- */

/* Large requests go through a few buffers, as they do in programs, and one buffer wouldn't stay in the cache. */
static const struct run_def small = { .op = READ_16, .len = SMALL, .depth = DEPTH, .random = true };
static const struct run_def reads = { .op = READ_16, .len = LARGE, .depth = 4 };
static const struct run_def writes = { .op = WRITE_16, .len = LARGE, .depth = 4 };

static const struct rig_def soft = {
	.bed = { .machine = { .name = "soft",
			      .platform = MACHINE_DIRECT,
			      .low_bytes = 64 * MIB,
			      .file_bytes = 128 * MIB },
		 .create = ipath_tagging,
		 .destroy = ipath_destroy },
	.memory = SRP_MEMORY_ALL,
	.channels = 2,
};
static const struct rig_def bus = {
	.bed = { .machine = { .name = "bus",
			      .platform = MACHINE_IOMMU,
			      .low_bytes = 64 * MIB,
			      .file_bytes = 128 * MIB },
		 .create = dmahca_create,
		 .destroy = dmahca_destroy },
	.memory = SRP_MEMORY_FAST,
	.channels = 2,
};

enum { SMALL_SOFT, SMALL_BUS, READ_SOFT, READ_BUS, WRITE_SOFT, WRITE_BUS, SMALL_TWO, RUNS };

/* By themselves: one more would have taken the cache that these two want. */
static int beside(const char *name, const struct bench_loop *floor, struct run *r, const struct bench_goal *goals)
{
	const struct bench_loop loops[] = { *floor, { .run = requests, .ctx = r } };
	struct bench_times t;

	if (bench_measure(loops, (int)HCA_ARRAY_SIZE(loops), &t))
		return -1;
	bench_row(name, "ns", t.ns[1], t.ns[0], t.ratio[1], goals);
	return 0;
}

static int one_thread(struct run *r, struct run *floor)
{
	const struct bench_loop small_floor = { .run = preads, .ctx = &floor[0] };
	const struct bench_loop read_floor = { .run = preads, .ctx = &floor[1] };
	const struct bench_loop write_floor = { .run = pwrites, .ctx = &floor[2] };
	const struct bench_goal *half = BENCH_GOALS({ RATIO_AT_MOST, 1.5 });
	const struct bench_goal *most = BENCH_GOALS({ RATIO_AT_MOST, 1.1 });
	const struct bench_goal *by_bus = BENCH_GOALS({ RATIO_AT_MOST, 1.4 });

	bench_title("SRP, a file in the page cache, one thread");
	if (beside("random reads of 4 KiB, depth 32 / pread", &small_floor, &r[SMALL_SOFT], half) ||
	    beside("sequential reads of 1 MiB / pread", &read_floor, &r[READ_SOFT], most) ||
	    beside("sequential writes of 1 MiB / pwrite", &write_floor, &r[WRITE_SOFT], most))
		return -1;
	bench_title("the same, dmahca, IOMMU, fast registration");
	if (beside("random reads of 4 KiB, depth 32 / pread", &small_floor, &r[SMALL_BUS], BENCH_NO_GOAL) ||
	    beside("sequential reads of 1 MiB / pread", &read_floor, &r[READ_BUS], by_bus) ||
	    beside("sequential writes of 1 MiB / pwrite", &write_floor, &r[WRITE_BUS], by_bus))
		return -1;
	return 0;
}

static int two_threads(struct run *r, struct run *floor)
{
	struct bench_pair pairs[] = {
		{ .first = { .run = preads, .ctx = &floor[0] }, .second = { .run = preads, .ctx = &floor[3] } },
		{ .first = { .run = requests, .ctx = &r[SMALL_SOFT] },
		  .second = { .run = requests, .ctx = &r[SMALL_TWO] } },
	};

	if (bench_measure_pairs(pairs, (int)HCA_ARRAY_SIZE(pairs)))
		return -1;
	bench_title("SRP, two threads, two channels, times one");
	bench_row("random reads of 4 KiB, depth 32 / pread", "x", pairs[1].scale, pairs[0].scale,
		  pairs[1].scale / pairs[0].scale, BENCH_NO_GOAL);
	return 0;
}

static int in_process(struct bench_file *f)
{
	static struct rig s, b;
	static struct run r[RUNS], floor[4];
	int err = -1;
	u32 i;

	if (rig_open(&s, &soft, f) || rig_open(&b, &bus, f))
		goto out;
	if (run_open(&r[SMALL_SOFT], &s, f, 0, &small) || run_open(&r[SMALL_TWO], &s, f, 1, &small) ||
	    run_open(&r[READ_SOFT], &s, f, 0, &reads) || run_open(&r[WRITE_SOFT], &s, f, 0, &writes) ||
	    run_open(&r[SMALL_BUS], &b, f, 0, &small) || run_open(&r[READ_BUS], &b, f, 0, &reads) ||
	    run_open(&r[WRITE_BUS], &b, f, 0, &writes))
		goto out;
	if (run_open(&floor[0], NULL, f, 0, &small) || run_open(&floor[1], NULL, f, 0, &reads) ||
	    run_open(&floor[2], NULL, f, 0, &writes) || run_open(&floor[3], NULL, f, 1, &small))
		goto out;
	/* What is read often is mapped by the target: a state that is reached once, not what is measured. */
	requests(&r[READ_SOFT], 4 * IN_PROCESS / LARGE);
	requests(&r[READ_BUS], 4 * IN_PROCESS / LARGE);
	err = one_thread(r, floor) || two_threads(r, floor) ? -1 : 0;
out:
	for (i = 0; i < RUNS; i++)
		run_close(&r[i]);
	for (i = 0; i < HCA_ARRAY_SIZE(floor); i++)
		run_close(&floor[i]);
	rig_close(&s, &soft);
	rig_close(&b, &bus);
	return err;
}

static int run(void)
{
	struct bench_file f, from = { .fd = -1 };
	int err = file_open(&f, IN_PROCESS);

	if (!err)
		err = in_process(&f);
	file_close(&f);
	if (err)
		return -1;
	err = file_open(&f, IN_TOOLS);
	if (!err)
		err = file_open(&from, IN_TOOLS);
	if (!err)
		err = bench_srp_nbd(&f, from.path);
	file_close(&f);
	file_close(&from);
	return err;
}

const struct bench_part bench_srp = {
	.name = "srp",
	.about = "a SCSI disk over SRP beside the file that it is",
	.run = run,
};
