/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The disk behind the plugin; see disk.h. */
#include "disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "srp/lun.h"

/* A client's request is moved in pieces of this size, each through memory of the machine. */
#define PIECE (1u << 20)
#define PIECE_ORDER 8u
#define SLOTS 16u
/* Pieces that the target moves data in: each channel keeps one, in low memory. */
#define CHUNK (256u << 10)
/* The device server's longest WRITE SAME and UNMAP. */
#define LONGEST (1u << 30)
/* How long a lost target is looked for before the next attempt. */
#define RECONNECT_MS 200u
/* Times the memory of a matrix's machine. */
#define MEMORY_TIMES 4u

/*
 * Memory of the machine for one piece, and a channel. Each request that is under way has one: so it is done in
 * its own thread, and waits for no other's.
 */
struct slot {
	struct slot *next;
	struct srp_channel *channel;
	struct page *page;
	struct scatterlist sg;
};

struct disk {
	struct disk_attr attr;
	struct lun lun;
	struct scsi_device scsi;
	struct bed bed;
	struct srp_target *target;
	struct srp_initiator *initiator;
	struct slot slot[SLOTS];
	pthread_rwlock_t blocks; /* held to write by who changes a part of a block, to read by who writes whole ones */
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t freed;
	struct slot *free;
};

/* --- life --- */

int disk_create(const struct disk_attr *attr, struct disk **out, struct why *why)
{
	struct disk *d = calloc(1, sizeof(*d));
	char text[200];
	int err;

	if (!d)
		return why_set(why, -ENOMEM, "no memory");
	d->attr = *attr;
	err = lun_file_open(&d->lun, attr->path, attr->block_size, attr->read_only, text, sizeof(text));
	if (err) {
		free(d);
		return why_set(why, err, "%s", text);
	}
	scsi_device_init(&d->scsi, &d->lun);
	pthread_rwlock_init(&d->blocks, NULL);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->freed, NULL);
	*out = d;
	return 0;
}

static int make_slots(struct disk *d, struct why *why)
{
	/* High memory is mapped page by page for each copy: only where low memory is too little, and the target needs some too. */
	bool low = machine_map(d->bed.machine)->low_bytes >= (u64)4 * SLOTS * PIECE;
	u32 i;

	for (i = 0; i < SLOTS; i++) {
		struct slot *s = &d->slot[i];

		s->page = machine_alloc_pages(d->bed.machine, low ? GFP_KERNEL : GFP_HIGHUSER, PIECE_ORDER);
		if (!s->page)
			return why_set(why, -ENOMEM, "the machine has no memory for %u pieces of %u bytes", SLOTS,
				       PIECE);
		s->next = d->free;
		d->free = s;
	}
	return 0;
}

static int meet(struct disk *d, struct why *why)
{
	const struct srp_target_attr ta = {
		.device = d->bed.target.ib,
		.scsi = &d->scsi,
		.name = "nbd",
		.depth = 4,
		.buffers = 1,
		.chunk = CHUNK,
		.max_channels = 2 * DISK_MAX_CHANNELS,
	};
	const struct srp_initiator_attr ia = {
		.device = d->bed.initiator.ib,
		.name = "nbd",
		.channels = d->attr.channels,
		.memory = d->attr.memory,
		.max_sg = 4,
		.reconnect_ms = RECONNECT_MS,
	};
	int err = srp_target_create(&ta, &d->target);
	u32 i;

	if (err)
		return why_set(why, err, "no SRP target: %s", strerror(-err));
	err = srp_initiator_connect(&ia, &d->initiator);
	if (err) {
		d->initiator = NULL;
		return why_set(why, err, "the SRP initiator can't log in: %s", strerror(-err));
	}
	for (i = 0; i < SLOTS; i++)
		d->slot[i].channel = srp_initiator_channel(d->initiator, i);
	return 0;
}

int disk_start(struct disk *d, struct why *why)
{
	const struct bed_attr ba = {
		.machine = d->attr.machine,
		.initiator = d->attr.initiator,
		.target = d->attr.target,
		.memory_times = MEMORY_TIMES,
		.no_ledger = !d->attr.ledger,
	};
	int err = bed_open(&d->bed, &ba, why);

	if (!err)
		err = make_slots(d, why);
	return err ? err : meet(d, why);
}

void disk_close(struct disk *d, struct why *why)
{
	struct bed_account account;
	u32 i;

	if (d->initiator)
		srp_initiator_destroy(d->initiator);
	if (d->target)
		srp_target_destroy(d->target);
	for (i = 0; i < SLOTS; i++)
		if (d->slot[i].page)
			__free_pages(d->slot[i].page, PIECE_ORDER);
	bed_close(&d->bed, &account, why);
	lun_close(&d->lun);
	pthread_cond_destroy(&d->freed);
	pthread_mutex_destroy(&d->lock);
	pthread_rwlock_destroy(&d->blocks);
	free(d);
}

/* --- memory of the machine --- */

static struct slot *take_slot(struct disk *d)
{
	struct slot *s;

	pthread_mutex_lock(&d->lock);
	while (!d->free)
		pthread_cond_wait(&d->freed, &d->lock);
	s = d->free;
	d->free = s->next;
	pthread_mutex_unlock(&d->lock);
	return s;
}

static void put_slot(struct disk *d, struct slot *s)
{
	pthread_mutex_lock(&d->lock);
	s->next = d->free;
	d->free = s;
	pthread_cond_signal(&d->freed);
	pthread_mutex_unlock(&d->lock);
}

static void set_list(struct slot *s, u32 len)
{
	sg_init_table(&s->sg, 1);
	sg_set_page(&s->sg, s->page, len, 0);
}

/* @at, @len: a part of the slot's list */
static void copy_in(struct slot *s, const void *buf, u32 len, u32 at)
{
	if (!PageHighMem(s->page))
		memcpy((u8 *)page_address(s->page) + at, buf, len);
	else
		sg_pcopy_from_buffer(&s->sg, 1, buf, len, at);
}

static void copy_out(struct slot *s, void *buf, u32 len, u32 at)
{
	if (!PageHighMem(s->page))
		memcpy(buf, (u8 *)page_address(s->page) + at, len);
	else
		sg_pcopy_to_buffer(&s->sg, 1, buf, len, at);
}

/* --- commands --- */

enum { READ_16 = 0x88, WRITE_16 = 0x8a, SYNC_10 = 0x35, UNMAP = 0x42, WRITE_SAME_16 = 0x93, SERVICE_IN = 0x9e };

static void put(u8 *to, u32 bytes, u64 v)
{
	while (bytes--) {
		to[bytes] = (u8)v;
		v >>= 8;
	}
}

static u64 get(const u8 *from, u32 bytes)
{
	u64 v = 0;

	while (bytes--)
		v = v << 8 | *from++;
	return v;
}

/* A sense key and code as an errno. */
static int of_sense(const struct srp_request *rq)
{
	bool descriptor = (rq->sense[0] & 0x7e) == 0x72;
	u8 key = descriptor ? rq->sense[1] & 15 : rq->sense[2] & 15;
	u8 code = descriptor ? rq->sense[2] : rq->sense[12];
	u8 more = descriptor ? rq->sense[3] : rq->sense[13];

	if (!rq->sense_len)
		return EIO;
	if (key == 7) /* DATA PROTECT */
		return code == 0x27 && more == 7 ? ENOSPC : EROFS;
	if (key == 5) /* ILLEGAL REQUEST */
		return code == 0x21 ? ENOSPC : EINVAL;
	return EIO;
}

static int execute(struct slot *s, struct srp_request *rq)
{
	int err = srp_execute(s->channel, rq);

	if (err == -EREMOTEIO)
		return of_sense(rq);
	if (!err && rq->moved != rq->len)
		return EIO;
	return err == -ENOMEM ? ENOMEM : err ? EIO : 0;
}

static int move(struct disk *d, struct slot *s, u8 op, u32 len, u64 at, bool fua)
{
	struct srp_request rq = {
		.cdb = { op, fua ? 8 : 0 },
		.cdb_len = 16,
		.dir = op == READ_16 ? DMA_FROM_DEVICE : DMA_TO_DEVICE,
		.sgl = &s->sg,
		.nents = 1,
		.len = len,
	};

	put(rq.cdb + 2, 8, at / d->lun.block_size);
	put(rq.cdb + 10, 4, len / d->lun.block_size);
	set_list(s, len);
	return execute(s, &rq);
}

int disk_size(struct disk *d, u64 *bytes)
{
	struct slot *s = take_slot(d);
	struct srp_request rq = {
		.cdb = { SERVICE_IN, 0x10, [13] = 32 },
		.cdb_len = 16,
		.dir = DMA_FROM_DEVICE,
		.sgl = &s->sg,
		.nents = 1,
		.len = 32,
	};
	u8 reply[32];
	int err;

	set_list(s, sizeof(reply));
	err = execute(s, &rq);
	copy_out(s, reply, sizeof(reply), 0);
	put_slot(d, s);
	if (!err)
		*bytes = (get(reply, 8) + 1) * get(reply + 8, 4);
	return err;
}

/* The whole blocks that a piece of a request lies in. */
struct span {
	u64 first;
	u32 skip; /* bytes of them before the piece */
	u32 all;
	u32 len; /* of the piece */
};

static struct span next_span(const struct disk *d, u64 at, u32 len)
{
	u32 mask = d->lun.block_size - 1;
	struct span s = { .first = at & ~(u64)mask, .skip = (u32)at & mask };

	s.len = len < PIECE - s.skip ? len : PIECE - s.skip;
	s.all = (s.skip + s.len + mask) & ~mask;
	return s;
}

int disk_read(struct disk *d, void *buf, u32 len, u64 at)
{
	struct slot *s = take_slot(d);
	u8 *to = buf;
	int err = 0;

	while (len && !err) {
		struct span sp = next_span(d, at, len);

		err = move(d, s, READ_16, sp.all, sp.first, false);
		if (!err)
			copy_out(s, to, sp.len, sp.skip);
		to += sp.len;
		at += sp.len;
		len -= sp.len;
	}
	put_slot(d, s);
	return err;
}

/* What is around the piece in its first and last block is read first; nobody writes meanwhile. */
static int write_part(struct disk *d, struct slot *s, const struct span *sp, const u8 *from, bool fua)
{
	int err;

	pthread_rwlock_wrlock(&d->blocks);
	err = move(d, s, READ_16, sp->all, sp->first, false);
	if (!err) {
		copy_in(s, from, sp->len, sp->skip);
		err = move(d, s, WRITE_16, sp->all, sp->first, fua);
	}
	pthread_rwlock_unlock(&d->blocks);
	return err;
}

static int write_whole(struct disk *d, struct slot *s, const struct span *sp, const u8 *from, bool fua)
{
	int err;

	set_list(s, sp->all);
	copy_in(s, from, sp->len, 0);
	pthread_rwlock_rdlock(&d->blocks);
	err = move(d, s, WRITE_16, sp->all, sp->first, fua);
	pthread_rwlock_unlock(&d->blocks);
	return err;
}

int disk_write(struct disk *d, const void *buf, u32 len, u64 at, bool fua)
{
	struct slot *s = take_slot(d);
	const u8 *from = buf;
	int err = 0;

	while (len && !err) {
		struct span sp = next_span(d, at, len);

		err = sp.all == sp.len ? write_whole(d, s, &sp, from, fua) : write_part(d, s, &sp, from, fua);
		from += sp.len;
		at += sp.len;
		len -= sp.len;
	}
	put_slot(d, s);
	return err;
}

int disk_flush(struct disk *d)
{
	struct srp_request rq = { .cdb = { SYNC_10 }, .cdb_len = 10, .dir = DMA_NONE };
	struct slot *s = take_slot(d);
	int err = execute(s, &rq);

	put_slot(d, s);
	return err;
}

/* Only whole blocks can be given back; the rest stays as it is, which a trim may. */
int disk_trim(struct disk *d, u32 len, u64 at)
{
	u32 size = d->lun.block_size;
	u64 first = (at + size - 1) / size, end = (at + len) / size;
	struct slot *s = take_slot(d);
	int err = 0;

	while (first < end && !err) {
		u64 blocks = end - first < LONGEST / size ? end - first : LONGEST / size;
		struct srp_request rq = { .cdb = { UNMAP, [8] = 24 },
					  .cdb_len = 10,
					  .dir = DMA_TO_DEVICE,
					  .sgl = &s->sg,
					  .nents = 1,
					  .len = 24 };
		u8 list[24] = { 0, 22, 0, 16 };

		put(list + 8, 8, first);
		put(list + 16, 4, blocks);
		set_list(s, sizeof(list));
		copy_in(s, list, sizeof(list), 0);
		err = execute(s, &rq);
		first += blocks;
	}
	put_slot(d, s);
	return err;
}

int disk_zero(struct disk *d, u32 len, u64 at, bool may_trim)
{
	u32 size = d->lun.block_size;
	u64 first = at / size, blocks = len / size;
	struct slot *s;
	int err = 0;

	if (at % size || len % size)
		return EOPNOTSUPP;
	s = take_slot(d);
	while (blocks && !err) {
		u64 n = blocks < LONGEST / size ? blocks : LONGEST / size;
		struct srp_request rq = { .cdb = { WRITE_SAME_16, may_trim ? 9 : 1 }, .cdb_len = 16, .dir = DMA_NONE };

		put(rq.cdb + 2, 8, first);
		put(rq.cdb + 10, 4, n);
		pthread_rwlock_rdlock(&d->blocks);
		err = execute(s, &rq);
		pthread_rwlock_unlock(&d->blocks);
		first += n;
		blocks -= n;
	}
	put_slot(d, s);
	return err;
}
