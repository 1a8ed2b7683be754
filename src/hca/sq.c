/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Send queues; see sq.h. Posting checks a request against the table of opcodes, takes
 * over all that it names, and calls the transport; the transport retires.
 */
#include "hca/sq.h"

#include "hca/qp.h"

#define MAX_SL 15u
#define MAX_FLOW_LABEL 0xfffffu

int hca_sq_init(struct hca_sq *sq, u32 size, u32 max_sge, u32 max_inline)
{
	u32 room = HCA_MAX((u32)(max_sge * sizeof(struct hca_sge)), max_inline);

	sq->size = HCA_MAX(size, 1u);
	sq->stride = (u32)((sizeof(struct hca_sqe) + room + 7) & ~7u);
	sq->mask = hca_ring_entries(sq->size) - 1;
	sq->ring = hca_alloc(((size_t)sq->mask + 1) * sq->stride, HCA_MAY_SLEEP);
	sq->head = HCA_RING_FIRST;
	sq->issue = HCA_RING_FIRST;
	sq->tail = HCA_RING_FIRST;
	return sq->ring ? 0 : -ENOMEM;
}

void hca_sq_fini(struct hca_sq *sq)
{
	hca_free(sq->ring);
}

/* --- posting --- */

/* What a consumer would have got back from the making of his address handle. */
static bool path_valid(const struct hca_qp *qp, const struct hca_send_wr *wr)
{
	return wr->ud.sl <= MAX_SL && (!wr->ud.is_global || (hca_gid_at(&qp->hca->gids, wr->ud.grh.sgid_index) &&
							     wr->ud.grh.flow_label <= MAX_FLOW_LABEL));
}

/* Apart, and with few arguments: a post that is right pays nothing for it. */
static HCA_COLD int refuse(const struct hca_qp *qp, const struct hca_send_wr *wr, hca_site_t site, int err,
			   const char *why)
{
	const struct hca_opcode *op = hca_opcode((u32)wr->opcode);

	return hca_refuse(err, "%s QP %u (%s, %s): %s (opcode %u, wr_id 0x%llx, posted at " HCA_SITE ") refused: %s",
			  qp->hca->name, qp->qpn, hca_qp_type_name(qp->type),
			  hca_qp_state_name((enum hca_qp_state)hca_load(&qp->state)), op ? op->name : "a request",
			  (u32)wr->opcode, (unsigned long long)wr->wr_id, hca_site(site), why);
}

/* Which of the rules that the quick check of a request has at once it breaks. */
static HCA_COLD int refuse_sges(const struct hca_qp *qp, const struct hca_send_wr *wr, hca_site_t site)
{
	char why[64];

	if (wr->num_sge > qp->max_send_sge)
		hca_snprintf(why, sizeof(why), "num_sge is %u, must be from 0 to %u", wr->num_sge, qp->max_send_sge);
	else if (wr->flags & ~(u32)HCA_SEND_KNOWN)
		hca_snprintf(why, sizeof(why), "unknown bits in send_flags: 0x%x", wr->flags & ~(u32)HCA_SEND_KNOWN);
	else
		hca_snprintf(why, sizeof(why), "num_sge is %u without an sg_list", wr->num_sge);
	return refuse(qp, wr, site, -EINVAL, why);
}

static HCA_COLD int refuse_inline(const struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op,
				  hca_site_t site, u64 len)
{
	char why[64];

	if (op->flags & HCA_OP_READS)
		return refuse(qp, wr, site, -EINVAL, "SEND_INLINE: its answer can't be inline");
	hca_snprintf(why, sizeof(why), "SEND_INLINE with %llu bytes, must be from 0 to %u", (unsigned long long)len,
		     qp->max_inline);
	return refuse(qp, wr, site, -EINVAL, why);
}

/* The queue doesn't take it: its state, or no room in it; or it has been @said already what is wrong with it. */
static HCA_COLD int refuse_now(const struct hca_qp *qp, const struct hca_send_wr *wr, hca_site_t site, int err,
			       bool said)
{
	if (said)
		return err;
	if (err == -ENOMEM)
		return refuse(qp, wr, site, err, "the send queue is full: more requests are posted than complete");
	return refuse(qp, wr, site, err, "not in this state: move the queue pair to RTS before");
}

static int check_local_op(const struct hca_qp *qp, const struct hca_send_wr *wr, hca_site_t site)
{
	if (wr->num_sge || wr->flags & HCA_SEND_INLINE)
		return refuse(qp, wr, site, -EINVAL, "it takes no entries, and nothing inline");
	return wr->opcode == HCA_WR_BIND_MW ? hca_mw_check(wr) : 0;
}

static HCA_ALWAYS_INLINE int check_wr(const struct hca_qp *qp, const struct hca_send_wr *wr,
				      const struct hca_opcode *op, hca_site_t site, u64 *len)
{
	u64 sum;
	u32 i;

	/* A row that is no opcode has no types. */
	if (hca_unlikely(!(op->qp_types >> qp->type & 1)))
		return refuse(qp, wr, site, -EINVAL, "no request for this type of queue pair");
	if (hca_unlikely(wr->num_sge > qp->max_send_sge || wr->flags & ~(u32)HCA_SEND_KNOWN))
		return refuse_sges(qp, wr, site);
	/* What is one-sided is for connections. */
	if (hca_unlikely(!(op->flags & HCA_OP_ONE_SIDED))) {
		if (hca_qp_is_datagram(qp->type) && !path_valid(qp, wr))
			return refuse(qp, wr, site, -EINVAL,
				      "its path isn't valid: service level, flow label, or a source GID that is gone");
		if (op->flags & HCA_OP_LOCAL)
			return check_local_op(qp, wr, site);
	}
	if (hca_likely(wr->num_sge == 1 && wr->sge)) {
		sum = wr->sge->length;
	} else if (hca_unlikely(wr->num_sge && !wr->sge)) {
		return refuse_sges(qp, wr, site);
	} else {
		for (sum = 0, i = 0; i < wr->num_sge; i++)
			sum += wr->sge[i].length;
	}
	*len = sum;
	if (wr->flags & HCA_SEND_INLINE && (op->flags & HCA_OP_READS || sum > qp->max_inline))
		return refuse_inline(qp, wr, op, site, sum);
	return 0;
}

static void take_inline(struct hca_sqe *e, const struct hca_send_wr *wr)
{
	u8 *at = (u8 *)e->sge;
	u32 i;

	for (i = 0; i < wr->num_sge; i++) {
		if (wr->sge[i].length)
			hca_memcpy(at, (const void *)(uintptr_t)wr->sge[i].addr, wr->sge[i].length);
		at += wr->sge[i].length;
	}
	e->wr.num_sge = 0;
}

/* All that the request names is captured: the consumer may change it as soon as the post returns. */
static inline int fill(struct hca_sqe *e, const struct hca_send_wr *wr, const struct hca_opcode *op, u64 len,
		       bool whole, hca_site_t site)
{
	u32 i;

	if (hca_unlikely(whole || op->flags & (HCA_OP_LOCAL | HCA_OP_ATOMIC))) {
		e->wr = *wr;
	} else {
		/* The rest is for others, and may not be there. */
		e->wr.wr_id = wr->wr_id;
		e->wr.num_sge = wr->num_sge;
		e->wr.opcode = wr->opcode;
		e->wr.flags = wr->flags;
		e->wr.imm = wr->imm;
		e->wr.rdma.addr = op->remote ? wr->rdma.addr : 0;
		e->wr.rdma.rkey = op->remote ? wr->rdma.rkey : 0;
	}
	e->wr.site = site;
	e->op = op;
	e->len = len;
	e->state = HCA_SQE_QUEUED;
	e->copy = false;
	e->wr.sge = e->sge;
	if (hca_unlikely(op->flags & HCA_OP_LOCAL)) {
		if (wr->opcode == HCA_WR_REG_MR)
			return hca_mr_capture(wr->reg.mr, &wr->reg.to, &e->wr.reg.to);
		if (wr->opcode == HCA_WR_BIND_MW)
			hca_mw_get(wr->bind.mw);
	} else if (wr->flags & HCA_SEND_INLINE) {
		take_inline(e, wr);
	} else {
		for (i = 0; i < wr->num_sge; i++)
			e->sge[i] = wr->sge[i];
	}
	return 0;
}

/* The completion of a request. Return: there was no room for it. */
static inline bool note(struct hca_qp *qp, const struct hca_sqe *e, enum hca_wc_status status)
{
	struct hca_wc wc = {
		.wr_id = e->wr.wr_id,
		.status = status,
		.opcode = e->op->wc,
		.byte_len = e->op->flags & HCA_OP_READS ? (u32)e->len : 0,
	};

	if (hca_unlikely(status && status != HCA_WC_WR_FLUSH_ERR))
		wc.vendor_err = e->why & ~HCA_WHY_SAID;

	return hca_qp_note(qp, true, &wc, false);
}

/* Nothing is ahead of a request that is posted now. */
static inline bool is_idle(const struct hca_qp *qp)
{
	return qp->state == HCA_QPS_RTS && !(qp->running | qp->waiting) && qp->sq.head == qp->sq.tail;
}

/*
 * The request's place in the queue is taken, but it is only copied there if it can't be carried out at once. The lock is
 * held; if this returns true it was given up, and the request has completed.
 */
static inline bool run_at_once(struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op, u64 len,
			       hca_irqflags_t *flags)
{
	struct hca_sq *sq = &qp->sq;
	bool done, lost = false;
	u32 next = ++sq->tail;

	qp->running = true;
	qp->carrying = true;
	hca_spin_unlock(&qp->lock, *flags);
	done = qp->at_once(qp, wr, op, len);
	hca_spin_lock(&qp->lock, *flags);
	qp->carrying = false;
	qp->running = false;
	if (hca_unlikely(!done))
		return false;
	sq->issue = next;
	if (HCA_OS_COUNTS) {
		sq->done++;
		sq->done_bytes += len;
	}
	if (qp->sq_sig_all || wr->flags & HCA_SEND_SIGNALED) {
		struct hca_wc wc = {
			.wr_id = wr->wr_id,
			.opcode = op->wc,
			.byte_len = op->flags & HCA_OP_READS ? (u32)len : 0,
		};

		lost = hca_qp_note(qp, true, &wc, false);
	}
	sq->head = next;
	if (hca_likely(next == sq->tail && qp->state == HCA_QPS_RTS))
		hca_spin_unlock(&qp->lock, *flags);
	else
		qp->transport->run(qp, *flags);
	if (hca_unlikely(lost))
		hca_qp_to_error(qp, HCA_EVENT_QP_FATAL);
	return true;
}

/* What was posted is carried out, here or where that may be done; the lock is held, and given up. @may_carry: without the lock */
static inline void run_or_hand_over(struct hca_qp *qp, bool may_carry, hca_irqflags_t flags)
{
	if (hca_likely(may_carry)) {
		qp->transport->run(qp, flags);
		return;
	}
	/* Under the lock: when it was given up, the request may complete, and its consumer end the queue pair. */
	hca_qp_want(qp, HCA_QP_RUN, true);
	hca_spin_unlock(&qp->lock, flags);
}

int hca_post_send_at(struct hca_qp *qp, const struct hca_send_wr *wr, hca_site_t site)
{
	struct hca_eq *eq = qp->hca->eq;
	struct hca_sq *sq = &qp->sq;
	const struct hca_opcode *op;
	bool may_carry, said = false;
	hca_irqflags_t flags;
	u64 len = 0;
	int err;

	if (hca_unlikely((u32)wr->opcode >= HCA_WR_OPCODES))
		return refuse(qp, wr, site, -EINVAL, "no such opcode");
	op = &hca_opcodes[wr->opcode];
	err = check_wr(qp, wr, op, site, &len);
	if (hca_unlikely(err))
		return err;
	may_carry = hca_may_carry();
	hca_spin_lock(&qp->lock, flags);
	if (hca_likely(op->flags & HCA_OP_AT_ONCE && qp->at_once && is_idle(qp) && may_carry)) {
		if (hca_likely(run_at_once(qp, wr, op, len, &flags)))
			goto posted;
		/* It holds nothing that could fail. */
		(void)fill(hca_sq_entry(sq, sq->head), wr, op, len, false, site);
	} else if (hca_unlikely(qp->state < HCA_QPS_RTS)) {
		err = -EINVAL;
	} else if (hca_unlikely(sq->tail - sq->head == sq->size)) {
		err = -ENOMEM;
	} else {
		err = fill(hca_sq_entry(sq, sq->tail), wr, op, len, !hca_qp_is_plain(qp->type), site);
		said = err;
		if (!err)
			sq->tail++;
	}
	if (hca_unlikely(err)) {
		hca_spin_unlock(&qp->lock, flags);
		return refuse_now(qp, wr, site, err, said);
	}
	run_or_hand_over(qp, may_carry, flags);
posted:
	hca_eq_run(eq);
	return 0;
}

/* What a request holds is given back when it leaves the queue. */
static void let_go(struct hca_sqe *e)
{
	if (e->wr.opcode == HCA_WR_REG_MR)
		hca_mr_release(e->wr.reg.mr, &e->wr.reg.to);
	else if (e->wr.opcode == HCA_WR_BIND_MW)
		hca_mw_put(e->wr.bind.mw);
}

/* Into the queue, which has room; the lock is held. Return: 0; if one of them can't be taken over, none was. */
static int fill_all(struct hca_qp *qp, const struct hca_send_wr *wr, u32 n)
{
	bool whole = !hca_qp_is_plain(qp->type);
	struct hca_sq *sq = &qp->sq;
	int err = 0;
	u32 i;

	for (i = 0; i < n && !err; i++) {
		const struct hca_opcode *op = &hca_opcodes[wr[i].opcode];
		u64 len = 0;

		err = check_wr(qp, &wr[i], op, wr[i].site, &len);
		if (!err)
			err = fill(hca_sq_entry(sq, sq->tail + i), &wr[i], op, len, whole, wr[i].site);
	}
	if (!err) {
		sq->tail += n;
		return 0;
	}
	/* The last one was not taken over. */
	for (i--; i; i--)
		let_go(hca_sq_entry(sq, sq->tail + i - 1));
	return err;
}

int hca_post_sends(struct hca_qp *qp, const struct hca_send_wr *wr, u32 n)
{
	struct hca_eq *eq = qp->hca->eq;
	bool may_carry = hca_may_carry(), said = false;
	hca_irqflags_t flags;
	int err;
	u32 i;

	for (i = 0; i < n; i++)
		if (hca_unlikely((u32)wr[i].opcode >= HCA_WR_OPCODES))
			return refuse(qp, &wr[i], wr[i].site, -EINVAL, "no such opcode");
	hca_spin_lock(&qp->lock, flags);
	if (hca_unlikely(qp->state < HCA_QPS_RTS))
		err = -EINVAL;
	else if (hca_unlikely(n > qp->sq.size - (qp->sq.tail - qp->sq.head)))
		err = -ENOMEM;
	else
		said = (err = fill_all(qp, wr, n));
	if (hca_unlikely(err)) {
		hca_spin_unlock(&qp->lock, flags);
		return refuse_now(qp, wr, wr->site, err, said);
	}
	run_or_hand_over(qp, may_carry, flags);
	hca_eq_run(eq);
	return 0;
}

/* --- leaving --- */

static inline void count(struct hca_qp *qp, const struct hca_sqe *e, enum hca_wc_status status)
{
	if (!HCA_OS_COUNTS)
		return;
	if (hca_unlikely(status)) {
		hca_count_send_failure(qp, status);
	} else if (hca_likely(!(e->op->flags & HCA_OP_LOCAL))) {
		qp->sq.done++;
		qp->sq.done_bytes += e->len;
	}
}

bool hca_sq_retire(struct hca_qp *qp, enum hca_wc_status status)
{
	struct hca_sqe *e = hca_sq_entry(&qp->sq, qp->sq.head);
	bool lost = false;

	hca_spin_assert(&qp->lock);
	if (status || qp->sq_sig_all || e->wr.flags & HCA_SEND_SIGNALED)
		lost = note(qp, e, status);
	if (hca_unlikely(e->op->flags & HCA_OP_LOCAL))
		let_go(e);
	count(qp, e, status);
	qp->sq.head++;
	return lost;
}

void hca_sq_drop(struct hca_qp *qp)
{
	struct hca_sq *sq = &qp->sq;

	for (; sq->head != sq->tail; sq->head++)
		let_go(hca_sq_entry(sq, sq->head));
	sq->issue = sq->head;
}
