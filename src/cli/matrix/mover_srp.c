/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The mover of the main job: a SCSI disk over SRP. The target serves a scratch file on
 * its adapter, in a thread of the library's; the initiator, on the other one, writes
 * and reads it with the caller's lists, several at once.
 */
#include "mover.h"

#include "image.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "srp/lun.h"
#include "srp/srp.h"

/* Pieces that the target moves data in: a bounce machine's pool has to hold some. */
#define CHUNK (64u << 10)
/* Descriptors of one request: a list of this many pieces, none of which goes on where the last ended. */
#define PORT 5555
#define MAX_SG 2048u

struct mover {
	struct shapes shapes;
	char name[SRP_CM_NAME]; /* the target's address and port */
	u64 bytes; /* of the scratch file */
	struct lun lun;
	struct scsi_device disk;
	struct srp_target *target;
	struct srp_initiator *initiator;
	u64 busy_ns;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	u32 under_way; /* requests; under the lock */
};

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* --- the disk --- */

/* The medium has a descriptor of its own; the file is gone when that is closed, or the process ends. */
static int make_disk(struct mover *mv, u64 bytes, struct why *why)
{
	char path[32], text[200];
	int fd = scratch_create(bytes, why), err;

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = lun_file_open(&mv->lun, path, MOVER_BLOCK, false, text, sizeof(text));
	close(fd);
	if (err)
		return why_set(why, err, "the scratch file: %s", text);
	mv->bytes = bytes;
	scsi_device_init(&mv->disk, &mv->lun);
	return 0;
}

/* --- the connection --- */

static int meet(struct mover *mv, const struct bed *bed, const struct mover_attr *attr, struct why *why)
{
	const struct srp_target_attr ta = { .device = bed->target.ib,
					    .scsi = &mv->disk,
					    .name = mv->name,
					    .poll = IB_POLL_WORKQUEUE,
					    .depth = 8,
					    .max_channels = 2,
					    .chunk = CHUNK };
	const struct srp_initiator_attr ia = {
		.device = bed->initiator.ib, .name = mv->name, .depth = 8, .memory = attr->memory, .max_sg = MAX_SG
	};
	int err = srp_name(bed->target.ib, PORT, mv->name);

	if (!err)
		err = srp_target_create(&ta, &mv->target);
	if (err)
		return why_set(why, err, "no SRP target on the %s adapter: %s", adapter_name(bed->target.kind),
			       strerror(-err));
	err = srp_initiator_connect(&ia, &mv->initiator);
	if (!err)
		return 0;
	srp_target_destroy(mv->target);
	return why_set(why, err, "the SRP initiator on the %s adapter can't log in: %s",
		       adapter_name(bed->initiator.kind), strerror(-err));
}

static void free_mover(struct mover *mv)
{
	pthread_cond_destroy(&mv->idle);
	pthread_mutex_destroy(&mv->lock);
	free(mv);
}

static int srp_open(const struct bed *bed, const struct mover_attr *attr, struct mover **out, struct why *why)
{
	u64 bytes = (attr->bytes + MOVER_BLOCK - 1) & ~(u64)(MOVER_BLOCK - 1);
	struct mover *mv = calloc(1, sizeof(*mv));
	int err;

	if (!mv)
		return why_set(why, -ENOMEM, "no memory");
	mv->shapes.state = attr->seed;
	pthread_mutex_init(&mv->lock, NULL);
	pthread_cond_init(&mv->idle, NULL);
	err = make_disk(mv, bytes, why);
	if (err)
		goto free_mv;
	err = meet(mv, bed, attr, why);
	if (err)
		goto close_lun;
	*out = mv;
	return 0;
close_lun:
	lun_close(&mv->lun);
free_mv:
	free_mover(mv);
	return err;
}

static u64 srp_close(struct mover *mv)
{
	u64 busy = mv->busy_ns;

	srp_initiator_destroy(mv->initiator);
	srp_target_destroy(mv->target);
	lun_close(&mv->lun);
	free_mover(mv);
	return busy;
}

/* --- commands --- */

static void put(u8 *to, u32 bytes, u64 v)
{
	while (bytes--) {
		to[bytes] = (u8)v;
		v >>= 8;
	}
}

/* READ and WRITE in one of their three forms. */
static void fill_cdb(struct mover *mv, struct srp_request *rq, u64 lba, u32 blocks, bool write)
{
	switch (shapes_upto(&mv->shapes, 3)) {
	case 1:
		rq->cdb[0] = write ? 0x2a : 0x28;
		put(rq->cdb + 2, 4, lba);
		put(rq->cdb + 7, 2, blocks);
		rq->cdb_len = 10;
		break;
	case 2:
		rq->cdb[0] = write ? 0xaa : 0xa8;
		put(rq->cdb + 2, 4, lba);
		put(rq->cdb + 6, 4, blocks);
		rq->cdb_len = 12;
		break;
	default:
		rq->cdb[0] = write ? 0x8a : 0x88;
		put(rq->cdb + 2, 8, lba);
		put(rq->cdb + 10, 4, blocks);
		rq->cdb_len = 16;
		break;
	}
}

/* DATA PROTECT, space allocation failed (SPC-4 annex F): the scratch file can't grow. */
static bool is_full(const struct srp_request *rq)
{
	return rq->sense_len >= 14 && (rq->sense[2] & 15) == 7 && rq->sense[12] == 0x27 && rq->sense[13] == 7;
}

static int judge(const struct mover *mv, const struct srp_request *rq, const char *what, u64 at, struct why *why)
{
	if (rq->error)
		return why_set(why, rq->error, "%s of %u bytes at %llu: %s", what, rq->len, (unsigned long long)at,
			       strerror(-rq->error));
	if (rq->status && is_full(rq))
		return scratch_full(mv->bytes, -ENOSPC, why);
	if (rq->status)
		return why_set(why, -EREMOTEIO,
			       "%s of %u bytes at %llu: SCSI status 0x%02x, sense key 0x%x, code 0x%02x/0x%02x", what,
			       rq->len, (unsigned long long)at, rq->status, rq->sense[2] & 15u, rq->sense[12],
			       rq->sense[13]);
	if (rq->moved != rq->len)
		return why_set(why, -EIO, "%s of %u bytes at %llu moved %u", what, rq->len, (unsigned long long)at,
			       rq->moved);
	return 0;
}

static void on_done(struct srp_request *rq)
{
	struct mover *mv = rq->ctx;

	pthread_mutex_lock(&mv->lock);
	if (!--mv->under_way)
		pthread_cond_signal(&mv->idle);
	pthread_mutex_unlock(&mv->lock);
}

/* All of them at once; back when the last is done. */
static void submit(struct mover *mv, struct srp_request *rq, u32 n)
{
	u32 i;

	pthread_mutex_lock(&mv->lock);
	mv->under_way = n;
	pthread_mutex_unlock(&mv->lock);
	for (i = 0; i < n; i++) {
		rq[i].done = on_done;
		rq[i].ctx = mv;
		srp_submit(srp_initiator_channel(mv->initiator, 0), &rq[i]);
	}
	pthread_mutex_lock(&mv->lock);
	while (mv->under_way)
		pthread_cond_wait(&mv->idle, &mv->lock);
	pthread_mutex_unlock(&mv->lock);
}

static int move(struct mover *mv, const struct mover_io *io, u32 n, bool write, struct why *why)
{
	struct srp_request rq[MOVER_BATCH];
	u64 began;
	int err = 0;
	u32 i;

	memset(rq, 0, sizeof(rq));
	for (i = 0; i < n; i++) {
		rq[i].dir = write ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
		rq[i].sgl = io[i].sgt->sgl;
		rq[i].nents = io[i].sgt->orig_nents;
		rq[i].len = io[i].len;
		fill_cdb(mv, &rq[i], io[i].at / MOVER_BLOCK, io[i].len / MOVER_BLOCK, write);
	}
	began = now_ns();
	submit(mv, rq, n);
	/* What a bounce pool had no room for has it now that the others are done. */
	for (i = 0; i < n; i++)
		if (rq[i].error == -ENOMEM || rq[i].error == -ENOSPC)
			submit(mv, &rq[i], 1);
	mv->busy_ns += now_ns() - began;
	for (i = 0; i < n && !err; i++)
		err = judge(mv, &rq[i], write ? "WRITE" : "READ", io[i].at, why);
	return err;
}

static int srp_write(struct mover *mv, const struct mover_io *io, u32 n, struct why *why)
{
	return move(mv, io, n, true, why);
}

static int srp_read(struct mover *mv, const struct mover_io *io, u32 n, struct why *why)
{
	return move(mv, io, n, false, why);
}

static int srp_flush(struct mover *mv, struct why *why)
{
	struct srp_request rq = { .cdb = { 0x35 }, .cdb_len = 10, .dir = DMA_NONE };
	u64 began = now_ns();

	submit(mv, &rq, 1);
	mv->busy_ns += now_ns() - began;
	return judge(mv, &rq, "SYNCHRONIZE CACHE", 0, why);
}

const struct mover_ops mover_srp = {
	.name = "srp",
	.open = srp_open,
	.write = srp_write,
	.read = srp_read,
	.flush = srp_flush,
	.close = srp_close,
};
