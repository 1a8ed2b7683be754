/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Carries the image through one row; see row.h. The initiator fills lists with the
 * file's bytes and hands them to the mover, reads them back into fresh pages that held something else, and
 * a row passes only if nothing at all is wrong with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "row.h"

/* Requests have the sizes of disk requests: whole blocks, and no more than this. */
#define REQUEST_MAX (512u << 10)

/* What fresh pages hold before the read: not zeros, which images are full of. */
#define POISON 0xdb

struct run {
	const struct job *job;
	struct row *row;
	struct bed bed;
	struct mover *mv;
	struct shapes shapes;
	struct sha256_ctx in;
	struct sha256_ctx out;
	u64 moved; /* both ways */
	u8 *buf; /* REQUEST_MAX */
	int copy; /* descriptor, or -1 */
};

static u32 request_size(struct shapes *s, u64 left)
{
	u32 blocks = shapes_upto(s, 2) == 1 ? shapes_upto(s, 16) : shapes_upto(s, REQUEST_MAX / MOVER_BLOCK);

	return blocks * MOVER_BLOCK < left ? blocks * MOVER_BLOCK : (u32)left;
}

/* The last block of a file may have an end of its own; what comes behind it on the disk is zeros. */
static u32 whole_blocks(u32 len)
{
	return (len + MOVER_BLOCK - 1) & ~(MOVER_BLOCK - 1);
}

/* Requests that are under way together, each with its list; @len: without what fills the last block up. */
struct batch {
	struct mover_io io[MOVER_BATCH];
	struct shape_list list[MOVER_BATCH];
	u32 len[MOVER_BATCH];
	u32 n;
};

static void batch_free(struct batch *b)
{
	while (b->n)
		shape_list_free(&b->list[--b->n]);
}

/* One request more, whose list is filled with what is in r->buf. */
static int batch_add(struct run *r, struct batch *b, u64 at, u32 len)
{
	struct shape_list *list = &b->list[b->n];
	u32 all = whole_blocks(len);
	int err = shape_list_make(&r->shapes, r->bed.machine, all, list);

	if (err)
		return why_set(&r->row->why, err, "no memory for the initiator's list");
	b->io[b->n] = (struct mover_io){ .at = at, .sgt = &list->table.sgt, .len = all };
	b->len[b->n++] = len;
	if (sg_copy_from_buffer(list->table.sgt.sgl, list->table.sgt.orig_nents, r->buf, all) != all)
		return why_set(&r->row->why, -EIO, "the initiator's list of %u bytes can't be filled", all);
	return 0;
}

static int write_add(struct run *r, struct batch *b, u64 at, u32 len)
{
	int err = image_read(r->job->image, at, r->buf, len, &r->row->why);

	if (err)
		return err;
	memset(r->buf + len, 0, whole_blocks(len) - len);
	sha256_update(&r->in, len, r->buf);
	return batch_add(r, b, at, len);
}

static int write_batch(struct run *r, struct batch *b)
{
	return r->job->mover->write(r->mv, b->io, b->n, &r->row->why);
}

static int read_add(struct run *r, struct batch *b, u64 at, u32 len)
{
	memset(r->buf, POISON, whole_blocks(len));
	return batch_add(r, b, at, len);
}

static int take_back(struct run *r, const struct mover_io *io, u32 len)
{
	struct why *why = &r->row->why;

	if (sg_copy_to_buffer(io->sgt->sgl, io->sgt->orig_nents, r->buf, io->len) != io->len)
		return why_set(why, -EIO, "the initiator's list of %u bytes can't be looked at", io->len);
	sha256_update(&r->out, len, r->buf);
	r->row->bytes += len;
	return r->copy < 0 ? 0 : copy_write_at(r->copy, io->at, r->buf, len, why);
}

static int read_batch(struct run *r, struct batch *b)
{
	int err = r->job->mover->read(r->mv, b->io, b->n, &r->row->why);
	u32 i;

	for (i = 0; i < b->n && !err; i++)
		err = take_back(r, &b->io[i], b->len[i]);
	return err;
}

static int each_batch(struct run *r, int (*add)(struct run *r, struct batch *b, u64 at, u32 len),
		      int (*go)(struct run *r, struct batch *b))
{
	u64 bytes = r->job->image->bytes;
	u64 at = 0;
	int err = 0;

	while (at < bytes && !err) {
		struct batch b = { .n = 0 };
		u32 n = shapes_upto(&r->shapes, MOVER_BATCH);

		while (b.n < n && at < bytes && !err) {
			u32 len = request_size(&r->shapes, bytes - at);

			err = add(r, &b, at, len);
			at += len;
			r->moved += len;
		}
		if (!err)
			err = go(r, &b);
		batch_free(&b);
		if (!err && r->job->progress)
			r->job->progress(r->job->ctx, r->moved / 2);
	}
	return err;
}

static int carry(struct run *r)
{
	int err = each_batch(r, write_add, write_batch);

	if (!err)
		err = r->job->mover->flush(r->mv, &r->row->why);
	return err ? err : each_batch(r, read_add, read_batch);
}

static void hex_digest(struct sha256_ctx *ctx, char *out)
{
	static const char digit[] = "0123456789abcdef";
	u8 sum[SHA256_DIGEST_SIZE];
	int i;

	sha256_digest(ctx, sizeof(sum), sum);
	for (i = 0; i < SHA256_DIGEST_SIZE; i++) {
		*out++ = digit[sum[i] >> 4];
		*out++ = digit[sum[i] & 15];
	}
	*out = 0;
}

static void compare(struct run *r)
{
	const struct image *img = r->job->image;
	struct row *row = r->row;
	int status;

	hex_digest(&r->in, row->sha256_in);
	hex_digest(&r->out, row->sha256_out);
	if (strcmp(row->sha256_in, row->sha256_out) != 0)
		why_set(&row->why, 0, "what came back isn't what was sent: SHA-256 %.16s... instead of %.16s...",
			row->sha256_out, row->sha256_in);
	if (r->copy < 0)
		return;
	status = image_fsck(img, r->copy);
	if (status != img->fsck_status)
		why_set(&row->why, 0, "e2fsck -fn says %d of what came back, %d of the image", status,
			img->fsck_status);
}

bool row_run(const struct job *job, struct row *row)
{
	const struct mover_attr attr = { .bytes = job->image->bytes, .seed = ~job->seed, .memory = job->memory };
	const struct bed_attr bed = { .machine = row->machine, .initiator = row->initiator, .target = row->target };
	struct run r = { .job = job, .row = row, .copy = -1 };
	int err;

	r.shapes.state = job->seed;
	sha256_init(&r.in);
	sha256_init(&r.out);
	r.buf = malloc(REQUEST_MAX);
	err = r.buf ? 0 : why_set(&row->why, -ENOMEM, "no memory");
	if (!err && job->image->fsck[0]) {
		r.copy = scratch_create(job->image->bytes, &row->why);
		err = r.copy < 0 ? r.copy : 0;
	}
	if (!err)
		err = bed_open(&r.bed, &bed, &row->why);
	if (!err)
		err = job->mover->open(&r.bed, &attr, &r.mv, &row->why);
	if (!err) {
		err = carry(&r);
		row->seconds = (double)job->mover->close(r.mv) / 1e9;
	}
	bed_close(&r.bed, &row->account, &row->why);
	if (!err)
		compare(&r);
	if (r.copy >= 0)
		close(r.copy);
	free(r.buf);
	return !row->why.text[0];
}
