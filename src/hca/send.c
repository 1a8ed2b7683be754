/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The requester: posting, and the loop that sends. Whoever posts to an idle queue
 * sends in its own context, and goes on with what others post meanwhile; they
 * return at once. So a queue pair's messages leave in the order they were posted, and
 * no lock is held while bytes move.
 */
#include "hca/flow.h"
#include "hca/request.h"

/* --- the queue --- */

struct hca_swqe *hca_sq_entry(const struct hca_qp *qp, u32 i)
{
	return (struct hca_swqe *)(qp->sq + (size_t)(i < qp->sq_size ? i : i - qp->sq_size) * qp->sq_stride);
}

u32 hca_sq_next(const struct hca_qp *qp, u32 i)
{
	return i + 1 < 2 * qp->sq_size ? i + 1 : 0;
}

static u32 sq_filled(const struct hca_qp *qp)
{
	return qp->sq_tail >= qp->sq_head ? qp->sq_tail - qp->sq_head : qp->sq_tail + 2 * qp->sq_size - qp->sq_head;
}

/* --- what may be posted (IBTA 10.8.2, table of opcodes by service) --- */

#define OP(x) (1ull << HCA_WR_##x)
#define OPS_UD (OP(SEND) | OP(SEND_WITH_IMM))
#define OPS_UC (OPS_UD | OP(RDMA_WRITE) | OP(RDMA_WRITE_WITH_IMM) | OP(LOCAL_INV) | OP(REG_MR) | OP(BIND_MW))
/* No packet of an unreliable connection takes a key away (IBTA 9.2.1, opcodes by service). */
#define OPS_RC (OPS_UC | OP(SEND_WITH_INV) | OP(RDMA_READ) | OP(ATOMIC_CMP_AND_SWP) | OP(ATOMIC_FETCH_AND_ADD))

static bool opcode_allowed(const struct hca_qp *qp, enum hca_wr_opcode op)
{
	u64 allowed = qp->type == HCA_QPT_RC ? OPS_RC : qp->type == HCA_QPT_UC ? OPS_UC : OPS_UD;

	return (unsigned int)op < 64 && allowed >> op & 1;
}

bool hca_wr_carries_data(enum hca_wr_opcode op)
{
	return op != HCA_WR_LOCAL_INV && op != HCA_WR_REG_MR && op != HCA_WR_BIND_MW;
}

bool hca_wr_reads_back(enum hca_wr_opcode op)
{
	return op == HCA_WR_RDMA_READ || op == HCA_WR_ATOMIC_CMP_AND_SWP || op == HCA_WR_ATOMIC_FETCH_AND_ADD;
}

#define MAX_SL 15u
#define MAX_FLOW_LABEL 0xfffffu

/* What a consumer would have got back from the making of his address handle. */
static bool path_valid(const struct hca_qp *qp, const struct hca_send_wr *wr)
{
	return wr->ud.sl <= MAX_SL && (!wr->ud.is_global || (wr->ud.grh.sgid_index < qp->hca->limits.gids &&
							     wr->ud.grh.flow_label <= MAX_FLOW_LABEL));
}

static int check_wr(const struct hca_qp *qp, const struct hca_send_wr *wr, u64 *len)
{
	u32 i;

	*len = 0;
	if (!opcode_allowed(qp, wr->opcode) || wr->num_sge > qp->max_send_sge || wr->flags & ~(u32)HCA_SEND_KNOWN)
		return -EINVAL;
	if (qp->type == HCA_QPT_UD && !path_valid(qp, wr))
		return -EINVAL;
	if (wr->opcode == HCA_WR_BIND_MW && hca_mw_check(wr))
		return -EINVAL;
	if (!hca_wr_carries_data(wr->opcode))
		return wr->num_sge || wr->flags & HCA_SEND_INLINE ? -EINVAL : 0;
	if (hca_unlikely(wr->num_sge && !wr->sge))
		return -EINVAL;
	for (i = 0; i < wr->num_sge; i++)
		*len += wr->sge[i].length;
	if (wr->flags & HCA_SEND_INLINE && (hca_wr_reads_back(wr->opcode) || *len > qp->max_inline))
		return -EINVAL;
	return 0;
}

static void fill_swqe(struct hca_swqe *e, const struct hca_send_wr *wr, u64 len)
{
	e->wr = *wr;
	e->len = len;
	if (wr->opcode == HCA_WR_REG_MR)
		hca_mr_get(wr->reg.region);
	else if (wr->opcode == HCA_WR_BIND_MW)
		hca_mw_get(wr->bind.window);
	if (wr->flags & HCA_SEND_INLINE) {
		u8 *at = (u8 *)e->sge;
		u32 i;

		for (i = 0; i < wr->num_sge; i++) {
			hca_memcpy(at, (const void *)(uintptr_t)wr->sge[i].addr, wr->sge[i].length);
			at += wr->sge[i].length;
		}
		e->wr.num_sge = 0;
	} else {
		u32 i;

		for (i = 0; i < wr->num_sge; i++)
			e->sge[i] = wr->sge[i];
	}
	e->wr.sge = e->sge;
}

static void run(struct hca_qp *qp, hca_irqflags_t flags);

int hca_post_send(struct hca_qp *qp, const struct hca_send_wr *wr)
{
	hca_irqflags_t flags;
	u64 len;
	int err = check_wr(qp, wr, &len);

	if (hca_unlikely(err))
		return err;
	hca_spin_lock(&qp->lock, flags);
	if (hca_unlikely(qp->state < HCA_QPS_RTS)) {
		err = -EINVAL;
	} else if (hca_unlikely(sq_filled(qp) == qp->sq_size)) {
		err = -ENOMEM;
	} else {
		fill_swqe(hca_sq_entry(qp, qp->sq_tail), wr, len);
		qp->sq_tail = hca_sq_next(qp, qp->sq_tail);
	}
	if (hca_unlikely(err || qp->flow)) {
		hca_spin_unlock(&qp->lock, flags);
		if (err)
			return err;
		hca_flow_run(qp);
	} else {
		run(qp, flags);
	}
	hca_eq_run(&qp->hca->wire->eq);
	return 0;
}

/* --- one request --- */

static int invalidate(struct hca_qp *qp, u32 key)
{
	struct hca_quiesce_mark mark;
	struct hca_invalidation v;
	int err;

	hca_quiesce_enter(&qp->hca->wire->quiesce, &mark);
	err = hca_key_invalidate_begin(qp, key, false, &v);
	hca_quiesce_leave(&mark);
	if (!err)
		hca_key_invalidate_finish(&v);
	return err;
}

/* These send nothing, and wait for who is inside; so they are done outside. */
enum hca_wc_status hca_sq_run_local(struct hca_qp *qp, const struct hca_swqe *e)
{
	int err;

	switch (e->wr.opcode) {
	case HCA_WR_REG_MR:
		err = e->wr.reg.region->pd == qp->pd ? hca_mr_register(e->wr.reg.region, e->wr.reg.pages) : -EINVAL;
		break;
	case HCA_WR_BIND_MW:
		err = hca_mw_bind(qp, &e->wr);
		break;
	default:
		err = invalidate(qp, e->wr.imm);
		break;
	}
	return err ? HCA_WC_MW_BIND_ERR : HCA_WC_SUCCESS;
}

void hca_sq_fill_msg(const struct hca_qp *qp, const struct hca_swqe *e, struct hca_msg *m)
{
	const struct hca_send_wr *wr = &e->wr;

	m->opcode = wr->opcode;
	m->slid = qp->hca->lid;
	m->sqpn = qp->qpn;
	m->len = e->len;
	m->data.mem = qp->hca->mem;
	m->data.keys = &qp->hca->keys;
	m->data.pd = qp->pd;
	m->data.qp = qp;
	m->data.access = hca_wr_reads_back(wr->opcode) ? HCA_ACCESS_LOCAL_WRITE : 0;
	m->data.sge = e->sge;
	m->data.num_sge = wr->num_sge;
	m->data.off = 0;
	m->data.entry = NULL;
	m->inline_data = wr->flags & HCA_SEND_INLINE ? e->sge : NULL;
	m->imm = wr->imm;
	m->solicited = wr->flags & HCA_SEND_SOLICITED;
	m->connected = qp->type != HCA_QPT_UD;
	m->reliable = qp->type == HCA_QPT_RC;
	m->pkey = 0xffff;
	m->sl = qp->attr.ah.sl;
	m->site = wr->site;
	m->rnr_code = 0;
	m->finish = NULL;
	m->global = false;
	if (m->connected) {
		m->dlid = qp->attr.ah.dlid;
		m->dqpn = qp->attr.dest_qp_num;
	} else {
		m->dlid = wr->ud.dlid;
		m->dqpn = wr->ud.qpn;
		m->sl = wr->ud.sl;
		m->global = wr->ud.is_global;
		m->grh = wr->ud.grh;
		m->sgid = qp->hca->gid;
		/* A Q_Key with the top bit set stands for the queue pair's own (IBTA 10.2.5). */
		m->qkey = wr->ud.qkey >> 31 ? qp->attr.qkey : wr->ud.qkey;
	}
	switch (wr->opcode) {
	case HCA_WR_ATOMIC_CMP_AND_SWP:
	case HCA_WR_ATOMIC_FETCH_AND_ADD:
		m->raddr = wr->atomic.addr;
		m->rkey = wr->atomic.rkey;
		m->compare_add = wr->atomic.compare_add;
		m->swap = wr->atomic.swap;
		break;
	default:
		m->raddr = wr->rdma.addr;
		m->rkey = wr->rdma.rkey;
		break;
	}
}

enum hca_wc_status hca_sq_check_local(const struct hca_qp *qp, struct hca_msg *m)
{
	u64 most = qp->type == HCA_QPT_UD ? 128ull << qp->hca->limits.max_mtu : HCA_MAX_MSG;

	if (m->len > most)
		return HCA_WC_LOC_LEN_ERR;
	if (hca_wr_reads_back(m->opcode) && m->opcode != HCA_WR_RDMA_READ && m->len != sizeof(u64))
		return HCA_WC_LOC_LEN_ERR;
	/* A queue pair that was made for no reads can't send one (IBTA 11.2.5.2). */
	if (hca_wr_reads_back(m->opcode) && !qp->attr.max_rd_atomic)
		return HCA_WC_LOC_QP_OP_ERR;
	if (!m->inline_data && hca_sge_check(&m->data, ~0ull))
		return HCA_WC_LOC_PROT_ERR;
	return HCA_WC_SUCCESS;
}

static enum hca_answer transmit(struct hca_qp *qp, const struct hca_swqe *e, enum hca_wc_status *local, u8 *rnr_code)
{
	struct hca_wire *wire = qp->hca->wire;
	enum hca_answer answer = HCA_ANSWER_ACK;
	struct hca_quiesce_mark mark;
	struct hca_msg m;

	hca_sq_fill_msg(qp, e, &m);
	hca_quiesce_enter(&wire->quiesce, &mark);
	*local = hca_sq_check_local(qp, &m);
	if (!*local)
		answer = wire->ops->send(wire, &m);
	hca_quiesce_leave(&mark);
	if (m.finish)
		hca_respond_finish(&m);
	*rnr_code = m.rnr_code;
	return answer;
}

/* What a request holds is given back when it leaves the queue. */
static void let_go(const struct hca_swqe *e)
{
	if (e->wr.opcode == HCA_WR_REG_MR)
		hca_mr_put(e->wr.reg.region);
	else if (e->wr.opcode == HCA_WR_BIND_MW)
		hca_mw_put(e->wr.bind.window);
}

static enum hca_wc_opcode wc_opcode(enum hca_wr_opcode op)
{
	switch (op) {
	case HCA_WR_RDMA_WRITE:
	case HCA_WR_RDMA_WRITE_WITH_IMM:
		return HCA_WC_RDMA_WRITE;
	case HCA_WR_RDMA_READ:
		return HCA_WC_RDMA_READ;
	case HCA_WR_ATOMIC_CMP_AND_SWP:
		return HCA_WC_COMP_SWAP;
	case HCA_WR_ATOMIC_FETCH_AND_ADD:
		return HCA_WC_FETCH_ADD;
	case HCA_WR_LOCAL_INV:
		return HCA_WC_LOCAL_INV;
	case HCA_WR_BIND_MW:
		return HCA_WC_BIND_MW;
	case HCA_WR_REG_MR:
		return HCA_WC_REG_MR;
	default:
		return HCA_WC_SEND;
	}
}

bool hca_sq_retire(struct hca_qp *qp, const struct hca_swqe *e, enum hca_wc_status status)
{
	bool lost = false;

	hca_spin_assert(&qp->lock);
	if (status || qp->sq_sig_all || e->wr.flags & HCA_SEND_SIGNALED) {
		struct hca_wc wc = {
			.wr_id = e->wr.wr_id,
			.status = status,
			.opcode = wc_opcode(e->wr.opcode),
			.byte_len = hca_wr_reads_back(e->wr.opcode) ? (u32)e->len : 0,
		};

		lost = hca_qp_note(qp, qp->send_cq, &wc, false);
	}
	let_go(e);
	qp->sq_head = hca_sq_next(qp, qp->sq_head);
	return lost;
}

void hca_sq_drop(struct hca_qp *qp)
{
	while (qp->sq_head != qp->sq_tail) {
		let_go(hca_sq_entry(qp, qp->sq_head));
		qp->sq_head = hca_sq_next(qp, qp->sq_head);
	}
}

/* --- the loop --- */

/* Wait, and run again: the request stays first in its queue. */
static bool wait_for(struct hca_qp *qp, u64 ns)
{
	hca_irqflags_t flags;
	bool waits;

	hca_spin_lock(&qp->lock, flags);
	waits = qp->state == HCA_QPS_RTS || qp->state == HCA_QPS_SQD;
	if (waits) {
		qp->sq_waiting = true;
		qp->sq_begun = true;
		qp->sq_running = false;
		if (ns)
			hca_timer_start(&qp->timer, hca_now_ns() + ns);
	}
	hca_spin_unlock(&qp->lock, flags);
	return waits;
}

/* Try again in a while, unless the queue pair has ended meanwhile. Return: true, it is done, with @status; false, it was put off. */
static bool try_later(struct hca_qp *qp, u64 ns, enum hca_wc_status *status)
{
	*status = HCA_WC_WR_FLUSH_ERR;
	return !wait_for(qp, ns);
}

/*
 * What an answer means for the request. Return: true, it is done, with @status; false, it was put off.
 */
static bool settle(struct hca_qp *qp, enum hca_answer answer, u8 rnr_code, enum hca_wc_status *status)
{
	switch (answer) {
	case HCA_ANSWER_ACK:
		qp->retries = 0;
		qp->rnr_retries = 0;
		*status = HCA_WC_SUCCESS;
		return true;
	case HCA_ANSWER_RNR:
		*status = HCA_WC_RNR_RETRY_EXC_ERR;
		qp->retries = 0;
		/* 7 is for ever, here alone (IBTA 9.7.5.2.8). */
		if (qp->attr.rnr_retry == 7 || qp->rnr_retries++ < qp->attr.rnr_retry)
			return try_later(qp, hca_rnr_timer_ns(rnr_code), status);
		return true;
	case HCA_ANSWER_NONE:
		*status = HCA_WC_RETRY_EXC_ERR;
		/* Without a timeout nobody ever asks again (IBTA 9.7.6.1.3): only the queue pair's end ends this. */
		if (!qp->attr.timeout || qp->retries++ < qp->attr.retry_cnt)
			return try_later(qp, hca_ack_timeout_ns(qp->attr.timeout), status);
		return true;
	case HCA_ANSWER_INV_REQ:
		*status = HCA_WC_REM_INV_REQ_ERR;
		return true;
	case HCA_ANSWER_REM_ACCESS:
		*status = HCA_WC_REM_ACCESS_ERR;
		return true;
	case HCA_ANSWER_REM_OP:
		*status = HCA_WC_REM_OP_ERR;
		return true;
	case HCA_ANSWER_LOC_PROT:
		break;
	}
	*status = HCA_WC_LOC_PROT_ERR;
	return true;
}

/* The first request that fails takes a reliable queue pair into error, others' send queue alone (IBTA 10.3.1.7). */
void hca_sq_fail(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	if (qp->type == HCA_QPT_RC) {
		hca_qp_to_error(qp, 0);
		return;
	}
	hca_spin_lock(&qp->lock, flags);
	if (qp->state == HCA_QPS_RTS || qp->state == HCA_QPS_SQD)
		hca_store(&qp->state, (u32)HCA_QPS_SQE);
	hca_spin_unlock(&qp->lock, flags);
}

/* Return: true, it is done, with @status; false, it was put off, and the loop is to end. */
static bool run_one(struct hca_qp *qp, const struct hca_swqe *e, u32 state, enum hca_wc_status *status)
{
	enum hca_answer answer;
	u8 rnr_code = 0;

	*status = HCA_WC_WR_FLUSH_ERR;
	if (hca_unlikely(state != HCA_QPS_RTS && state != HCA_QPS_SQD))
		return true;
	if (hca_unlikely(!hca_wr_carries_data(e->wr.opcode))) {
		*status = hca_sq_run_local(qp, e);
		return true;
	}
	answer = transmit(qp, e, status, &rnr_code);
	return *status || settle(qp, answer, rnr_code, status);
}

static bool may_run(const struct hca_qp *qp)
{
	if (qp->sq_head == qp->sq_tail || qp->sq_waiting)
		return false;
	/* While it drains, what was begun goes on, and nothing else begins (IBTA 10.3.1.5). */
	if (qp->state == HCA_QPS_SQD)
		return qp->sq_begun;
	return qp->state == HCA_QPS_RTS || qp->state == HCA_QPS_SQE || qp->state == HCA_QPS_ERR;
}

/* Takes the queue's lock over, and gives it up. A completion is seen when its request's place is free, not before. */
static void run(struct hca_qp *qp, hca_irqflags_t flags)
{
	hca_spin_assert(&qp->lock);
	if (qp->sq_running) {
		hca_spin_unlock(&qp->lock, flags);
		return;
	}
	qp->sq_running = true;
	while (may_run(qp)) {
		struct hca_swqe *e = hca_sq_entry(qp, qp->sq_head);
		u32 state = qp->state;
		enum hca_wc_status status;
		bool lost;

		hca_spin_unlock(&qp->lock, flags);
		if (hca_unlikely(!run_one(qp, e, state, &status)))
			return;
		hca_spin_lock(&qp->lock, flags);
		lost = hca_sq_retire(qp, e, status);
		qp->sq_begun = false;
		if (hca_likely(!status && !lost))
			continue;
		hca_spin_unlock(&qp->lock, flags);
		if (lost)
			hca_qp_to_error(qp, HCA_EVENT_QP_FATAL);
		if (status && (state == HCA_QPS_RTS || state == HCA_QPS_SQD))
			hca_sq_fail(qp);
		hca_spin_lock(&qp->lock, flags);
	}
	if (qp->state == HCA_QPS_SQD && qp->drain_wanted && !qp->sq_begun) {
		qp->drain_wanted = false;
		hca_qp_tell(qp, HCA_EVENT_SQ_DRAINED);
	}
	hca_store(&qp->sq_running, false);
	hca_spin_unlock(&qp->lock, flags);
}

void hca_sq_run(struct hca_qp *qp)
{
	hca_irqflags_t flags;

	if (hca_unlikely(qp->flow)) {
		hca_flow_run(qp);
		return;
	}
	hca_spin_lock(&qp->lock, flags);
	run(qp, flags);
}
