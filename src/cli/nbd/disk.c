/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The disk behind the plugin; see disk.h. */
#include "disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ranges.h"
#include "srp/lun.h"

/* A client's request is moved in pieces of this size, each through memory of the machine. */
#define PIECE (1u << 20)
#define PIECE_ORDER 8u
#define SLOTS 16u
/* Slots of users beyond these; later users share the others alone. */
#define MOST_OWN 48u
/* Pieces that the target moves data in: each channel keeps one, in low memory. */
#define CHUNK (256u << 10)
/* The device server's longest WRITE SAME and UNMAP. */
#define LONGEST (1u << 30)
/*
 * A write that the medium has in hand can't be aborted before that lets go of it. The target is in this process, and will answer:
 * to give up waiting would cost all channels their connection.
 */
#define PORT 5555
#define ABORT_MS (1u << 30)
/* How long a lost target is looked for before the next attempt. */
#define RECONNECT_MS 200u
/* Times the memory of a matrix's machine. */
#define MEMORY_TIMES 4u

/* Addresses for pieces of the file, so that what is read often is copied once less. They are no memory, but a 32-bit process has few. */
#define FILE_BYTES (sizeof(void *) > 4 ? (u64)1 << 30 : 0)

/* Pieces are not made smaller than this where memory is short. */
#define LEAST_PIECE (64u << 10)

/* Memory of the machine for one piece. Each request that is under way has one, so it is done in its own thread. */
struct slot {
	struct slot *next;
	struct disk_user *owner; /* only its requests get it; NULL: anybody's */
	struct page *page;
	struct scatterlist *sg;
	u32 nents; /* of the list, as it is set */
};

struct disk {
	struct disk_attr attr;
	struct lun lun;
	struct scsi_device scsi;
	struct bed bed;
	struct srp_target *target;
	struct srp_initiator *initiator;
	struct slot slot[SLOTS];
	u32 max_entry; /* bytes of a list's entry */
	struct ranges blocks; /* a request that changes a part of a block holds it alone */
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t freed; /* a slot */
	pthread_cond_t moved; /* a command has ended well */
	struct disk_user *users;
	struct slot *free;
	u32 n_own;
	u32 busy[DISK_MAX_CHANNELS]; /* commands under way */
	u32 moving; /* of all channels together */
	u32 n_moved; /* how many ended well */
};

/* However many slow requests of others there are, a user's next one finds its own slot. */
struct disk_user {
	struct disk *d;
	struct disk_user *next; /* under the disk's lock */
	struct slot own;
	bool own_free; /* under the disk's lock */
	u32 sync_errors; /* of the medium, that it knows of; atomic */
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
	ranges_init(&d->blocks);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->freed, NULL);
	pthread_cond_init(&d->moved, NULL);
	*out = d;
	return 0;
}

static u32 entries(const struct disk *d)
{
	return (PIECE + d->max_entry - 1) / d->max_entry;
}

/* Return: false: there is no memory for it */
static bool make_slot(struct disk *d, struct slot *s)
{
	/* High memory is mapped page by page for each copy: only where low memory is too little, and the target needs some too. */
	const struct machine_map *map = machine_map(d->bed.machine);
	bool low = map->low_bytes - map->file_bytes >= (u64)4 * SLOTS * PIECE;

	s->sg = calloc(entries(d), sizeof(*s->sg));
	if (s->sg)
		s->page = machine_alloc_pages(d->bed.machine, low ? GFP_KERNEL : GFP_HIGHUSER, PIECE_ORDER);
	return s->page;
}

static void drop_slot(struct slot *s)
{
	if (s->page)
		__free_pages(s->page, PIECE_ORDER);
	free(s->sg);
}

static int make_slots(struct disk *d, struct why *why)
{
	size_t most = srp_max_entry(d->bed.initiator.ib);
	u32 i;

	d->max_entry = most < PIECE ? (u32)most & ~4095u : PIECE;
	for (i = 0; i < SLOTS; i++) {
		struct slot *s = &d->slot[i];

		if (!make_slot(d, s))
			return why_set(why, -ENOMEM, "the machine has no memory for %u pieces of %u bytes", SLOTS,
				       PIECE);
		s->next = d->free;
		d->free = s;
	}
	return 0;
}

static int meet(struct disk *d, struct why *why)
{
	char name[SRP_CM_NAME] = "";
	const struct srp_target_attr ta = {
		.device = d->bed.target.ib,
		.scsi = &d->scsi,
		.name = name,
		.depth = 8,
		.buffers = 1,
		.chunk = CHUNK,
		.max_channels = 2 * DISK_MAX_CHANNELS,
		.workers = SLOTS,
	};
	const struct srp_initiator_attr ia = {
		.device = d->bed.initiator.ib,
		.name = name,
		.channels = d->attr.channels,
		.memory = d->attr.memory,
		.max_sg = entries(d) + 3,
		.timeout_ms = d->attr.timeout_ms ? d->attr.timeout_ms : SRP_NO_TIMEOUT,
		.abort_ms = ABORT_MS,
		.reconnect_ms = RECONNECT_MS,
	};
	int err = srp_name(d->bed.target.ib, PORT, name);

	if (!err)
		err = srp_target_create(&ta, &d->target);
	if (err)
		return why_set(why, err, "no SRP target: %s", strerror(-err));
	err = srp_initiator_connect(&ia, &d->initiator);
	if (err) {
		d->initiator = NULL;
		return why_set(why, err, "the SRP initiator can't log in: %s", strerror(-err));
	}
	return 0;
}

int disk_start(struct disk *d, struct why *why)
{
	const struct bed_attr ba = {
		.machine = d->attr.machine,
		.initiator = d->attr.initiator,
		.target = d->attr.target,
		.memory_times = MEMORY_TIMES,
		.file_bytes = FILE_BYTES,
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
	struct disk_user *u;
	u32 i;

	while ((u = d->users)) {
		d->users = u->next;
		drop_slot(&u->own);
		free(u);
	}
	if (d->initiator)
		srp_initiator_destroy(d->initiator);
	if (d->target)
		srp_target_destroy(d->target);
	for (i = 0; i < SLOTS; i++)
		drop_slot(&d->slot[i]);
	bed_close(&d->bed, &account, why);
	lun_close(&d->lun);
	pthread_cond_destroy(&d->moved);
	pthread_cond_destroy(&d->freed);
	pthread_mutex_destroy(&d->lock);
	ranges_fini(&d->blocks);
	free(d);
}

struct disk_user *disk_join(struct disk *d)
{
	struct disk_user *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->d = d;
	u->own.owner = u;
	u->sync_errors = lun_sync_errors(&d->lun);
	pthread_mutex_lock(&d->lock);
	u->own_free = d->n_own < MOST_OWN && make_slot(d, &u->own);
	d->n_own += u->own_free;
	u->next = d->users;
	d->users = u;
	pthread_mutex_unlock(&d->lock);
	return u;
}

void disk_leave(struct disk_user *u)
{
	struct disk_user **at;

	pthread_mutex_lock(&u->d->lock);
	for (at = &u->d->users; *at != u; at = &(*at)->next)
		;
	*at = u->next;
	u->d->n_own -= u->own_free;
	drop_slot(&u->own);
	pthread_mutex_unlock(&u->d->lock);
	free(u);
}

/* --- memory of the machine --- */

static struct slot *take_slot(struct disk_user *u)
{
	struct disk *d = u->d;
	struct slot *s;

	pthread_mutex_lock(&d->lock);
	while (!d->free && !u->own_free)
		pthread_cond_wait(&d->freed, &d->lock);
	s = d->free;
	if (s) {
		d->free = s->next;
	} else {
		u->own_free = false;
		s = &u->own;
	}
	pthread_mutex_unlock(&d->lock);
	return s;
}

static void put_slot(struct disk *d, struct slot *s)
{
	pthread_mutex_lock(&d->lock);
	if (s->owner) {
		s->owner->own_free = true;
		pthread_cond_broadcast(&d->freed); /* one of them may take it, and any may wait */
	} else {
		s->next = d->free;
		d->free = s;
		pthread_cond_signal(&d->freed);
	}
	pthread_mutex_unlock(&d->lock);
}

/* The first @len bytes of the slot's memory, in entries that the adapter can map. */
static void set_list(const struct disk *d, struct slot *s, u32 len)
{
	u32 i, part, at = 0;

	s->nents = (len + d->max_entry - 1) / d->max_entry;
	sg_init_table(s->sg, s->nents);
	for (i = 0; i < s->nents; i++, at += part) {
		part = len - at < d->max_entry ? len - at : d->max_entry;
		sg_set_page(&s->sg[i], nth_page(s->page, at >> PAGE_SHIFT), part, 0);
	}
}

/* @at, @len: a part of the slot's list */
static void copy_in(struct slot *s, const void *buf, u32 len, u32 at)
{
	if (!PageHighMem(s->page))
		memcpy((u8 *)page_address(s->page) + at, buf, len);
	else
		sg_pcopy_from_buffer(s->sg, s->nents, buf, len, at);
}

static void copy_out(struct slot *s, void *buf, u32 len, u32 at)
{
	if (!PageHighMem(s->page))
		memcpy(buf, (u8 *)page_address(s->page) + at, len);
	else
		sg_pcopy_to_buffer(s->sg, s->nents, buf, len, at);
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

/* The channel that has the least to do: a slow command's is left alone as long as there are others. The lock is held. */
static u32 choose_channel(const struct disk *d)
{
	u32 i, best = 0;

	for (i = 1; i < d->attr.channels; i++)
		if (d->busy[i] < d->busy[best])
			best = i;
	return best;
}

static int execute_once(struct disk *d, struct srp_request *rq)
{
	u32 channel;
	int err;

	pthread_mutex_lock(&d->lock);
	channel = choose_channel(d);
	d->busy[channel]++;
	d->moving++;
	pthread_mutex_unlock(&d->lock);
	err = srp_execute(srp_initiator_channel(d->initiator, channel), rq);
	pthread_mutex_lock(&d->lock);
	d->busy[channel]--;
	d->moving--;
	if (err != -ENOMEM && err != -ENOSPC) {
		d->n_moved++;
		pthread_cond_broadcast(&d->moved);
	}
	pthread_mutex_unlock(&d->lock);
	return err;
}

/* Return: true: a command has ended since @n_moved, so memory may be free; false: no command is under way that could free any. */
static bool wait_for_memory(struct disk *d, u32 n_moved)
{
	bool any;

	pthread_mutex_lock(&d->lock);
	while (d->moving && d->n_moved == n_moved)
		pthread_cond_wait(&d->moved, &d->lock);
	any = d->n_moved != n_moved;
	pthread_mutex_unlock(&d->lock);
	return any;
}

static u32 moved(struct disk *d)
{
	u32 n;

	pthread_mutex_lock(&d->lock);
	n = d->n_moved;
	pthread_mutex_unlock(&d->lock);
	return n;
}

/* An errno of the initiator's as one that NBD has. */
static int of_error(int err)
{
	switch (err) {
	case -ENOMEM:
	case -ENOSPC: /* of I/O addresses or of a pool: no room on the disk is sense data */
		return ENOMEM;
	case -EINVAL:
	case -EMSGSIZE:
		return EINVAL;
	default:
		return EIO;
	}
}

/* Return: 0 or an errno; ENOMEM if what the list needs can't be had even alone. */
static int execute(struct disk *d, struct srp_request *rq)
{
	u32 n;
	int err;

	do {
		n = moved(d);
		err = execute_once(d, rq);
	} while ((err == -ENOMEM || err == -ENOSPC) && wait_for_memory(d, n));
	if (err == -EREMOTEIO)
		return of_sense(rq);
	if (err)
		return of_error(err);
	return rq->moved != rq->len || rq->residual || rq->other_residual ? EIO : 0;
}

static int move(struct disk *d, struct slot *s, u8 op, u32 len, u64 at, bool fua)
{
	struct srp_request rq = {
		.cdb = { op, fua ? 8 : 0 },
		.cdb_len = 16,
		.dir = op == READ_16 ? DMA_FROM_DEVICE : DMA_TO_DEVICE,
		.sgl = s->sg,
		.len = len,
	};

	put(rq.cdb + 2, 8, at / d->lun.block_size);
	put(rq.cdb + 10, 4, len / d->lun.block_size);
	set_list(d, s, len);
	rq.nents = s->nents;
	return execute(d, &rq);
}

int disk_size(struct disk_user *u, u64 *bytes)
{
	struct disk *d = u->d;
	struct slot *s = take_slot(u);
	struct srp_request rq = {
		.cdb = { SERVICE_IN, 0x10, [13] = 32 },
		.cdb_len = 16,
		.dir = DMA_FROM_DEVICE,
		.sgl = s->sg,
		.nents = 1,
		.len = 32,
	};
	u8 reply[32];
	int err;

	set_list(d, s, sizeof(reply));
	err = execute(d, &rq);
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

static struct span next_span(const struct disk *d, u64 at, u32 len, u32 piece)
{
	u32 mask = d->lun.block_size - 1;
	struct span s = { .first = at & ~(u64)mask, .skip = (u32)at & mask };

	s.len = len < piece - s.skip ? len : piece - s.skip;
	s.all = (s.skip + s.len + mask) & ~mask;
	return s;
}

/* After ENOMEM: is there a smaller piece to try? Entries that a machine's memory has no room for may fit one by one. */
static bool smaller(u32 *piece, int err)
{
	if (err != ENOMEM || *piece <= LEAST_PIECE)
		return false;
	*piece /= 2;
	return true;
}

int disk_read(struct disk_user *u, void *buf, u32 len, u64 at)
{
	struct disk *d = u->d;
	struct slot *s = take_slot(u);
	u32 piece = PIECE;
	u8 *to = buf;
	int err = 0;

	while (len && !err) {
		struct span sp = next_span(d, at, len, piece);

		err = move(d, s, READ_16, sp.all, sp.first, false);
		if (smaller(&piece, err)) {
			err = 0;
			continue;
		}
		if (!err)
			copy_out(s, to, sp.len, sp.skip);
		to += sp.len;
		at += sp.len;
		len -= sp.len;
	}
	put_slot(d, s);
	return err;
}

/* What is around the piece in its first and last block is read first; no other request writes there meanwhile. */
static int write_part(struct disk *d, struct slot *s, const struct span *sp, const u8 *from, bool fua)
{
	struct range r;
	int err;

	range_take(&d->blocks, &r, sp->first, sp->all, true);
	err = move(d, s, READ_16, sp->all, sp->first, false);
	if (!err) {
		copy_in(s, from, sp->len, sp->skip);
		err = move(d, s, WRITE_16, sp->all, sp->first, fua);
	}
	range_give(&d->blocks, &r);
	return err;
}

static int write_whole(struct disk *d, struct slot *s, const struct span *sp, const u8 *from, bool fua)
{
	struct range r;
	int err;

	set_list(d, s, sp->all);
	copy_in(s, from, sp->len, 0);
	range_take(&d->blocks, &r, sp->first, sp->all, false);
	err = move(d, s, WRITE_16, sp->all, sp->first, fua);
	range_give(&d->blocks, &r);
	return err;
}

int disk_write(struct disk_user *u, const void *buf, u32 len, u64 at, bool fua)
{
	struct disk *d = u->d;
	struct slot *s = take_slot(u);
	const u8 *from = buf;
	u32 piece = PIECE;
	int err = 0;

	while (len && !err) {
		struct span sp = next_span(d, at, len, piece);

		err = sp.all == sp.len ? write_whole(d, s, &sp, from, fua) : write_part(d, s, &sp, from, fua);
		if (smaller(&piece, err)) {
			err = 0;
			continue;
		}
		from += sp.len;
		at += sp.len;
		len -= sp.len;
	}
	put_slot(d, s);
	return err;
}

/*
 * The medium tells one sync alone of a writeback that failed, and the device server each initiator. The users are one
 * initiator: so each looks after its own sync how many have failed by then. All syncs of a medium come one after another.
 */
int disk_flush(struct disk_user *u)
{
	struct srp_request rq = { .cdb = { SYNC_10 }, .cdb_len = 10, .dir = DMA_NONE };
	struct disk *d = u->d;
	struct slot *s = take_slot(u);
	int err = execute(d, &rq);
	u32 errors = lun_sync_errors(&d->lun);

	if (__atomic_exchange_n(&u->sync_errors, errors, __ATOMIC_RELAXED) != errors && !err)
		err = EIO;
	put_slot(d, s);
	return err;
}

/* Only whole blocks can be given back; the rest stays as it is, which a trim may. */
int disk_trim(struct disk_user *u, u32 len, u64 at)
{
	struct disk *d = u->d;
	u32 size = d->lun.block_size;
	u64 first = (at + size - 1) / size, end = (at + len) / size;
	struct slot *s = take_slot(u);
	struct range r;
	int err = 0;

	while (first < end && !err) {
		u64 blocks = end - first < LONGEST / size ? end - first : LONGEST / size;
		struct srp_request rq = { .cdb = { UNMAP, [8] = 24 },
					  .cdb_len = 10,
					  .dir = DMA_TO_DEVICE,
					  .sgl = s->sg,
					  .nents = 1,
					  .len = 24 };
		u8 list[24] = { 0, 22, 0, 16 };

		put(list + 8, 8, first);
		put(list + 16, 4, blocks);
		set_list(d, s, sizeof(list));
		copy_in(s, list, sizeof(list), 0);
		range_take(&d->blocks, &r, first * size, blocks * size, false);
		err = execute(d, &rq);
		range_give(&d->blocks, &r);
		first += blocks;
	}
	put_slot(d, s);
	return err;
}

int disk_zero(struct disk_user *u, u32 len, u64 at, bool may_trim)
{
	struct disk *d = u->d;
	u32 size = d->lun.block_size;
	u64 first = at / size, blocks = len / size;
	struct range r;
	struct slot *s;
	int err = 0;

	if (at % size || len % size)
		return EOPNOTSUPP;
	s = take_slot(u);
	while (blocks && !err) {
		u64 n = blocks < LONGEST / size ? blocks : LONGEST / size;
		struct srp_request rq = { .cdb = { WRITE_SAME_16, may_trim ? 9 : 1 }, .cdb_len = 16, .dir = DMA_NONE };

		put(rq.cdb + 2, 8, first);
		put(rq.cdb + 10, 4, n);
		range_take(&d->blocks, &r, first * size, n * size, false);
		err = execute(d, &rq);
		range_give(&d->blocks, &r);
		first += n;
		blocks -= n;
	}
	put_slot(d, s);
	return err;
}
