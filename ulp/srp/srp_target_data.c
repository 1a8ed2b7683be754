/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: the data of a command, piece by piece through buffers of the
 * target's that stay mapped and, while one command is at it, in the cache; or, of a read,
 * from the page cache itself, where srp_target_map.c has that part of the medium mapped. A piece
 * goes on when the RDMA requests of the one before have completed; the last one of a
 * read leaves together with the response, unless it comes from a mapped part: only when it has left
 * is it known if the file still had the bytes.
 *
 * Runs in the channel's events, but for jobs, with_medium() and write_pieces(). Nothing waits: a command that needs a
 * buffer which isn't free is put into a queue.
 */
#include "srp_target.h"

static void step(struct tgt_cmd *c);
static void go_on(struct tgt_cmd *c);
static void move(struct tgt_cmd *c);
static void medium_done(struct tgt_event *ev);

/* --- areas --- */

/* Return: it has one; else it's in the queue. */
static bool area_get(struct tgt_cmd *c)
{
	struct tgt_channel *ch = c->ch;

	if (c->area)
		return true;
	c->area = ch->free_areas;
	if (c->area) {
		ch->free_areas = c->area->next;
		return true;
	}
	c->next = NULL;
	*ch->waiting_last = c;
	ch->waiting_last = &c->next;
	return false;
}

void tgt_area_give(struct tgt_channel *ch, struct tgt_area *a)
{
	struct tgt_cmd *w;

	if (!a)
		return;
	a->next = ch->free_areas;
	ch->free_areas = a;
	/* A command that goes on may end at once and come here again; one that was aborted takes none. */
	while (ch->free_areas && (w = ch->waiting) && !tgt_dead(ch)) {
		ch->waiting = w->next;
		if (!ch->waiting)
			ch->waiting_last = &ch->waiting;
		go_on(w);
	}
}

/* --- RDMA --- */

struct batch {
	struct ib_rdma_wr wr[TGT_MANY_WRS];
	struct ib_sge sge[TGT_MANY_WRS];
	u32 n;
};

static void add(struct tgt_cmd *c, struct batch *b, const struct srp_desc *d, u64 addr, u32 len)
{
	struct ib_rdma_wr *wr = &b->wr[b->n];

	b->sge[b->n] = (struct ib_sge){ .addr = addr, .length = len, .lkey = c->ch->pd->local_dma_lkey };
	wr->wr = (struct ib_send_wr){
		.wr_cqe = &c->cqe,
		.sg_list = &b->sge[b->n],
		.num_sge = 1,
		.opcode = c->in ? IB_WR_RDMA_WRITE : IB_WR_RDMA_READ,
	};
	wr->remote_addr = d->va;
	wr->rkey = d->key;
	if (b->n)
		b->wr[b->n - 1].wr.next = &wr->wr;
	b->n++;
}

/* Requests for what is left of the piece, as many as a command may have. */
static void fill(struct tgt_cmd *c, struct batch *b)
{
	u32 most = c->area ? TGT_MANY_WRS : TGT_FEW_WRS;

	b->n = 0;
	while (c->piece_done < c->piece_len && b->n < most && c->at < c->data.total) {
		struct srp_desc d = srp_desc_get(c->descs, c->at);
		u32 len = SRP_MIN(d.len - c->at_off, c->piece_len - c->piece_done);

		if (!len) {
			c->at++;
			c->at_off = 0;
			continue;
		}
		d.va += c->at_off;
		add(c, b, &d, hca_dma_u64(c->piece_dma) + c->piece_done, len);
		c->piece_done += len;
		c->at_off += len;
	}
}

static void moved(struct ib_cq *cq, struct ib_wc *wc);

/* Return: false: the channel ends, and @done isn't called for the last request. */
static bool post(struct tgt_cmd *c, struct batch *b, void (*done)(struct ib_cq *cq, struct ib_wc *wc))
{
	b->wr[b->n - 1].wr.send_flags |= IB_SEND_SIGNALED;
	c->cqe.done = done;
	if (!ib_post_send(c->ch->qp.qp, &b->wr[0].wr, NULL))
		return true;
	tgt_fail(c->ch);
	return false;
}

/* Data that fits into the request itself leaves nothing in flight. */
static void make_inline(struct tgt_cmd *c, struct batch *b)
{
	u32 i, at = 0;

	for (i = 0; i < b->n; i++) {
		b->sge[i].addr = (u64)(uintptr_t)(c->piece + at);
		b->wr[i].wr.send_flags |= IB_SEND_INLINE;
		at += b->sge[i].length;
	}
}

static void move(struct tgt_cmd *c)
{
	bool first = !c->piece_done;
	struct batch b;

	fill(c, &b);
	if (!b.n) {
		/* The table has fewer bytes than it said; it was checked, so this is for the day when that is forgotten. */
		tgt_refuse(c);
		return;
	}
	if (c->piece_done < c->piece_len || !c->in || c->part || c->piece_at + c->piece_len < c->scsi.expect) {
		post(c, &b, moved);
		return;
	}
	if (first && c->piece_len <= c->ch->qp.inline_max)
		make_inline(c, &b);
	tgt_respond(c, &b.wr[0], b.n);
}

/* --- the medium --- */

void tgt_finish(struct tgt_cmd *c)
{
	c->status = scsi_finish(&c->scsi, c->sense, &c->sense_len);
	c->finished = true;
}

static bool last_piece(const struct tgt_cmd *c)
{
	return c->piece_at + c->piece_len >= c->scsi.expect;
}

/* --- data from the initiator: fetched and written by one thread, so that they are in its cache --- */

static void begin_piece(struct tgt_cmd *c);
static void write_pieces(struct tgt_job *job);

/* The fetched bytes, or the channel's end. They were waited for by a worker; it has left, so another goes on. */
static void go_on_writing(struct tgt_event *ev)
{
	struct tgt_cmd *c = srp_container_of(ev, struct tgt_cmd, ev);

	if (c->lost)
		medium_done(ev);
	else
		tgt_job(c->ch, &c->job, write_pieces);
}

static void fetched(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_cmd *c = srp_container_of(wc->wr_cqe, struct tgt_cmd, cqe);

	(void)cq;
	if (wc->status) {
		c->lost = true;
		tgt_fail(c->ch);
	}
	if (__atomic_exchange_n(&c->meeting, TGT_MET_DATA, __ATOMIC_ACQ_REL) == TGT_MET_WORKER)
		tgt_event(c->ch, &c->ev, go_on_writing);
}

/*
 * What is left of the piece. On a wire that carries requests out in the thread that posts them, it is there when this returns.
 * Return: false: it isn't, and the command is no longer the caller's
 */
static bool fetch(struct tgt_cmd *c)
{
	struct batch b;

	while (c->piece_done < c->piece_len) {
		fill(c, &b);
		/* The table has fewer bytes than it said; it was checked, so this is for the day when that is forgotten. */
		if (!b.n)
			tgt_fail(c->ch);
		__atomic_store_n(&c->meeting, TGT_MET_NONE, __ATOMIC_RELAXED);
		if (!b.n || !post(c, &b, fetched)) {
			c->lost = true;
			return true;
		}
		if (__atomic_exchange_n(&c->meeting, TGT_MET_WORKER, __ATOMIC_ACQ_REL) != TGT_MET_DATA)
			return false;
		if (c->lost)
			return true;
	}
	return true;
}

/* In a worker. */
static void write_pieces(struct tgt_job *job)
{
	struct tgt_cmd *c = srp_container_of(job, struct tgt_cmd, job);

	c->failed = false;
	for (;;) {
		/* A function that marks the command from here on waits for it. A mark that was set before is seen here. */
		__atomic_store_n(&c->in_job, TGT_JOB_MOVES, __ATOMIC_SEQ_CST);
		if (tgt_aborted(c))
			break;
		if (!fetch(c))
			return;
		__atomic_store_n(&c->in_job, TGT_JOB_MEDIUM, __ATOMIC_SEQ_CST);
		if (c->lost || tgt_aborted(c))
			break;
		c->failed = !scsi_write(&c->scsi, c->piece_at, c->piece, c->piece_len);
		/* What it changes at its end, it changes before it can be too late to abort it. */
		if (c->failed || last_piece(c)) {
			tgt_finish(c);
			break;
		}
		c->piece_at += c->piece_len;
		begin_piece(c);
	}
	tgt_event(c->ch, &c->ev, medium_done);
}

/* In a worker. A command that was aborted leaves the medium alone. */
static void with_medium(struct tgt_job *job)
{
	struct tgt_cmd *c = srp_container_of(job, struct tgt_cmd, job);

	c->failed = false;
	if (!tgt_aborted(c)) {
		if (c->scsi.expect)
			c->failed = !scsi_read(&c->scsi, c->piece_at, c->piece, c->piece_len);
		if (c->failed || !c->scsi.expect || last_piece(c))
			tgt_finish(c);
	}
	tgt_event(c->ch, &c->ev, medium_done);
}

static void to_medium(struct tgt_cmd *c)
{
	bool writes = c->scsi.expect && c->scsi.phase == SCSI_DATA_OUT;

	__atomic_store_n(&c->in_job, writes ? TGT_JOB_MOVES : TGT_JOB_MEDIUM, __ATOMIC_SEQ_CST);
	tgt_job(c->ch, &c->job, writes ? write_pieces : with_medium);
}

/* By copy: what is read often is mapped. */
static void was_read(struct tgt_cmd *c)
{
	u64 where;

	if (scsi_read_where(&c->scsi, c->piece_at, c->piece_len, &where))
		tgt_map_seen(&c->ch->t->map, where, c->piece_len);
}

static void medium_done(struct tgt_event *ev)
{
	struct tgt_cmd *c = srp_container_of(ev, struct tgt_cmd, ev);

	/* A function that marks the command from here on waits for it. A mark that was set before is seen below. */
	__atomic_store_n(&c->in_job, TGT_NO_JOB, __ATOMIC_SEQ_CST);
	if (tgt_dead(c->ch)) {
		tgt_forget(c);
		return;
	}
	if (tgt_aborted(c)) {
		tgt_drop(c);
		return;
	}
	if (c->failed || !c->scsi.expect || c->scsi.phase == SCSI_DATA_OUT) {
		tgt_respond(c, NULL, 0);
		return;
	}
	was_read(c);
	move(c);
}

/* --- mapped parts of the medium --- */

void tgt_part_put(struct tgt_cmd *c)
{
	if (c->part)
		tgt_map_put(&c->ch->t->map, c->part);
	c->part = NULL;
}

/* The next piece is as much of the command's data as a mapped part has in memory. Return: false: none has it. */
static bool part_get(struct tgt_cmd *c)
{
	u32 left = (u32)(c->scsi.expect - c->piece_at);
	u64 where;

	if (c->by_copy || !scsi_read_where(&c->scsi, c->piece_at, left, &where))
		return false;
	c->part = tgt_map_get(&c->ch->t->map, where, &left);
	if (!c->part)
		return false;
	c->part_at = c->at;
	c->part_off = c->at_off;
	c->piece = c->part->cpu + where % MACHINE_FILE_PIECE;
	c->piece_dma = c->part->dma + (u64)(where % MACHINE_FILE_PIECE);
	c->piece_len = left;
	c->piece_done = 0;
	return true;
}

/* All of the piece has left. Return: false: it wasn't the file's, and is read from there now. */
static bool part_done(struct tgt_cmd *c)
{
	struct tgt_part *w = c->part;

	c->part = NULL;
	if (tgt_map_put(&c->ch->t->map, w)) {
		scsi_read_there(&c->scsi, c->piece_len);
		srp_count(&c->ch->n_mapped, c->piece_len);
		if (last_piece(c))
			tgt_finish(c);
		return true;
	}
	c->at = c->part_at;
	c->at_off = c->part_off;
	c->by_copy = true;
	go_on(c);
	return false;
}

/* --- pieces --- */

static void piece_moved(struct tgt_event *ev)
{
	struct tgt_cmd *c = srp_container_of(ev, struct tgt_cmd, ev);

	if (tgt_aborted(c)) {
		tgt_drop(c);
		return;
	}
	if (c->piece_done < c->piece_len) {
		move(c);
		return;
	}
	if (c->part && !part_done(c))
		return;
	c->piece_at += c->piece_len;
	if (c->piece_at < c->scsi.expect)
		go_on(c);
	else
		tgt_respond(c, NULL, 0);
}

static void moved(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_cmd *c = srp_container_of(wc->wr_cqe, struct tgt_cmd, cqe);

	(void)cq;
	if (wc->status)
		tgt_fail(c->ch);
	else
		tgt_event(c->ch, &c->ev, piece_moved);
}

/* What the page cache has needs no worker. */
static bool read_now(struct tgt_cmd *c)
{
	if (!scsi_read_now(&c->scsi, c->piece_at, c->piece, c->piece_len))
		return false;
	was_read(c);
	if (last_piece(c))
		tgt_finish(c);
	return true;
}

/* The next piece, by copy; there is one. */
static void begin_piece(struct tgt_cmd *c)
{
	u32 most = c->scsi.phase == SCSI_DATA_OUT ? SRP_MIN(c->ch->chunk, TGT_WRITE_CHUNK) : c->ch->chunk;
	u32 left = (u32)(c->scsi.expect - c->piece_at);

	c->piece_done = 0;
	if (c->scsi.phase == SCSI_REPLY) {
		c->piece = c->buf;
		c->piece_dma = c->buf_dma;
		c->piece_len = left;
	} else if (c->area) {
		c->piece = c->area->data.cpu;
		c->piece_dma = c->area->data.dma;
		c->piece_len = SRP_MIN(left, most);
	} else {
		c->piece = c->small;
		c->piece_dma = c->small_dma;
		c->piece_len = left;
	}
}

static void step(struct tgt_cmd *c)
{
	begin_piece(c);
	if (c->scsi.phase == SCSI_REPLY || (c->scsi.phase == SCSI_DATA_IN && read_now(c)))
		move(c);
	else
		to_medium(c);
}

/* --- tables --- */

static void table_fetched(struct tgt_event *ev)
{
	struct tgt_cmd *c = srp_container_of(ev, struct tgt_cmd, ev);

	c->in = c->scsi.phase != SCSI_DATA_OUT;
	if (tgt_aborted(c)) {
		tgt_drop(c);
		return;
	}
	c->descs = c->area->table.cpu;
	c->fetched = true;
	if (srp_table_check(c->descs, c->data.total, c->data.len))
		tgt_refuse(c);
	else
		go_on(c);
}

static void table_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_cmd *c = srp_container_of(wc->wr_cqe, struct tgt_cmd, cqe);

	(void)cq;
	if (wc->status)
		tgt_fail(c->ch);
	else
		tgt_event(c->ch, &c->ev, table_fetched);
}

static void fetch_table(struct tgt_cmd *c)
{
	struct batch b = { .n = 0 };

	c->in = false; /* this is read from the initiator, whatever its data is */
	add(c, &b, &c->data.table, hca_dma_u64(c->area->table.dma), c->data.table.len);
	srp_count(&c->ch->n_tables, 1);
	post(c, &b, table_done);
}

static void go_on(struct tgt_cmd *c)
{
	if (tgt_aborted(c)) {
		tgt_drop(c);
		return;
	}
	if (c->fetched && part_get(c)) {
		move(c);
		return;
	}
	if ((!c->fetched || (c->scsi.phase != SCSI_REPLY && c->scsi.expect - c->piece_at > TGT_SMALL)) && !area_get(c))
		return;
	if (c->fetched)
		step(c);
	else
		fetch_table(c);
}

void tgt_data_begin(struct tgt_cmd *c)
{
	c->piece_at = 0;
	if (c->scsi.status != SCSI_GOOD || (c->scsi.phase == SCSI_REPLY && !c->scsi.expect))
		tgt_respond(c, NULL, 0);
	else if (c->scsi.phase == SCSI_NO_DATA || !c->scsi.expect)
		to_medium(c);
	else
		go_on(c);
}

void tgt_data_sweep(struct tgt_channel *ch)
{
	bool dead = tgt_dead(ch);
	struct tgt_cmd **at, *c;
	u32 i;

	for (i = 0; i < ch->n_cmds; i++) {
		c = &ch->cmds[i];
		if (__atomic_load_n(&c->in_job, __ATOMIC_RELAXED) && (dead || tgt_aborted(c)) &&
		    tgt_job_cancel(ch, &c->job))
			medium_done(&c->ev);
	}
	if (dead)
		return;
	at = &ch->waiting;
	while ((c = *at)) {
		if (!tgt_aborted(c)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		tgt_drop(c);
	}
	ch->waiting_last = at;
}
