/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: the data of a command, piece by piece through buffers of the
 * target's that stay mapped and, while one command is at it, in the cache. A piece
 * goes on when the RDMA requests of the one before have completed; the last one of a
 * read leaves together with the response.
 *
 * Runs in the channel's completion handler. Nothing waits: a command that needs a
 * buffer which isn't free is put into a queue.
 */
#include "srp_target.h"

static void step(struct tgt_cmd *c);
static void go_on(struct tgt_cmd *c);

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
	/* Who goes on may end at once and come here again; and one that was aborted takes none. */
	while (ch->free_areas && (w = ch->waiting) && __atomic_load_n(&ch->state, __ATOMIC_ACQUIRE) != TGT_DEAD) {
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

static void post(struct tgt_cmd *c, struct batch *b, void (*done)(struct ib_cq *cq, struct ib_wc *wc))
{
	b->wr[b->n - 1].wr.send_flags |= IB_SEND_SIGNALED;
	c->cqe.done = done;
	if (ib_post_send(c->ch->qp.qp, &b->wr[0].wr, NULL))
		tgt_fail(c->ch);
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
	if (c->piece_done < c->piece_len || !c->in || c->piece_at + c->piece_len < c->scsi.expect) {
		post(c, &b, moved);
		return;
	}
	if (first && c->piece_len <= c->ch->qp.inline_max)
		make_inline(c, &b);
	tgt_respond(c, &b.wr[0], b.n);
}

/* --- pieces --- */

static void moved(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_cmd *c = srp_container_of(wc->wr_cqe, struct tgt_cmd, cqe);

	(void)cq;
	if (wc->status) {
		tgt_fail(c->ch);
		return;
	}
	if (tgt_aborted(c)) {
		tgt_drop(c);
		return;
	}
	if (c->piece_done < c->piece_len) {
		move(c);
		return;
	}
	if (!c->in && !scsi_write(&c->scsi, c->piece_at, c->piece, c->piece_len)) {
		tgt_respond(c, NULL, 0);
		return;
	}
	c->piece_at += c->piece_len;
	if (c->piece_at < c->scsi.expect)
		step(c);
	else
		tgt_respond(c, NULL, 0);
}

/* The next piece; there is one. */
static void step(struct tgt_cmd *c)
{
	u32 left = (u32)(c->scsi.expect - c->piece_at);

	c->piece_done = 0;
	if (c->scsi.phase == SCSI_REPLY) {
		c->piece = c->buf;
		c->piece_dma = c->buf_dma;
		c->piece_len = left;
	} else if (c->area) {
		c->piece = c->area->data.cpu;
		c->piece_dma = c->area->data.dma;
		c->piece_len = SRP_MIN(left, c->ch->chunk);
	} else {
		c->piece = c->small;
		c->piece_dma = c->small_dma;
		c->piece_len = left;
	}
	if (c->scsi.phase == SCSI_DATA_IN && !scsi_read(&c->scsi, c->piece_at, c->piece, c->piece_len))
		tgt_respond(c, NULL, 0);
	else
		move(c);
}

/* --- tables --- */

static void table_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct tgt_cmd *c = srp_container_of(wc->wr_cqe, struct tgt_cmd, cqe);
	bool in = c->scsi.phase != SCSI_DATA_OUT;

	(void)cq;
	c->in = in;
	if (wc->status) {
		tgt_fail(c->ch);
		return;
	}
	if (tgt_aborted(c)) {
		tgt_drop(c);
		return;
	}
	c->descs = c->area->table.cpu;
	c->fetched = true;
	if (srp_table_check(c->descs, c->data.total, c->data.len))
		tgt_refuse(c);
	else
		step(c);
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
	if ((!c->fetched || (c->scsi.phase != SCSI_REPLY && c->scsi.expect > TGT_SMALL)) && !area_get(c))
		return;
	if (c->fetched)
		step(c);
	else
		fetch_table(c);
}

void tgt_data_begin(struct tgt_cmd *c)
{
	c->piece_at = 0;
	go_on(c);
}
