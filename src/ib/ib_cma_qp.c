/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The states of a connection's queue pair: what the two sides have told each other goes into it. See ib_cma.h. */
#include "ib_cma.h"

#define TIMEOUT 14u /* 67 ms: nothing is lost inside a process */

/*
 * A ULP may make or destroy the queue pair while a handler's thread moves it on. The holder may sleep, and run handlers, which may come here
 * again. Return: it is to be unlocked; if not, a call of this thread above us has it.
 */
static bool lock_qp(struct ib_cma_id *id)
{
	uintptr_t own = hca_context(), is;
	u32 turns = 0;

	own = own ? own : 1;
	while ((is = hca_cmpxchg(&id->qp_busy, (uintptr_t)0, own))) {
		if (is == own)
			return false;
		hca_relax(&turns);
	}
	return true;
}

static void unlock_qp(struct ib_cma_id *id, bool locked)
{
	if (locked)
		hca_store_release(&id->qp_busy, (uintptr_t)0);
}

static int first_state(struct ib_cma_id *id, struct ib_qp *qp, int access)
{
	struct ib_qp_attr at = {
		.qp_state = IB_QPS_INIT, .port_num = 1, .qp_access_flags = access, .qkey = IB_CMA_UDP_QKEY
	};

	(void)id;
	return ib_modify_qp(qp, &at,
			    IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT |
				    (qp->qp_type == IB_QPT_UD ? IB_QP_QKEY : IB_QP_ACCESS_FLAGS));
}

int ib_cma_qp_first(struct ib_cma_id *id, struct ib_qp *qp)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_RTR };
	int err = first_state(id, qp, 0);

	if (err || qp->qp_type != IB_QPT_UD)
		return err;
	err = ib_modify_qp(qp, &at, IB_QP_STATE);
	if (err)
		return err;
	at.qp_state = IB_QPS_RTS;
	return ib_modify_qp(qp, &at, IB_QP_STATE | IB_QP_SQ_PSN);
}

void ib_cma_qp_set(struct ib_cma_id *id, struct ib_qp *qp)
{
	bool locked = lock_qp(id);

	id->ib.qp = qp;
	unlock_qp(id, locked);
}

bool ib_cma_qp_is(struct ib_cma_id *id)
{
	bool locked = lock_qp(id);
	bool is = id->ib.qp != NULL;

	unlock_qp(id, locked);
	return is;
}

/* What the peer may do is known by now. */
static int peers_rights(const struct ib_cma_id *id)
{
	int access = IB_ACCESS_REMOTE_WRITE;

	if (id->responder_resources)
		access |= IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC;
	return access;
}

static int make_ready(struct ib_cma_id *id)
{
	struct ib_qp_attr at = {
		.qp_state = IB_QPS_RTR,
		.path_mtu = (enum ib_mtu)id->open.mtu,
		.dest_qp_num = id->open.conn.qp_num,
		.rq_psn = id->open.psn,
		.sq_psn = id->psn,
		.ah_attr = { .dlid = id->to.dlid, .sl = id->to.sl, .port_num = 1 },
		.max_rd_atomic = id->initiator_depth,
		.max_dest_rd_atomic = id->responder_resources,
		.min_rnr_timer = IB_RNR_TIMER_000_64,
		.timeout = TIMEOUT,
		.retry_cnt = id->retry_count,
		.rnr_retry = id->rnr_retry_count,
	};
	bool rc = id->ib.qp->qp_type == IB_QPT_RC;
	int err = first_state(id, id->ib.qp, peers_rights(id));

	if (err)
		return err;
	err = ib_modify_qp(id->ib.qp, &at,
			   IB_QP_STATE | IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN |
				   (rc ? IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER : 0));
	if (err)
		return err;
	at.qp_state = IB_QPS_RTS;
	return ib_modify_qp(id->ib.qp, &at,
			    IB_QP_STATE | IB_QP_SQ_PSN |
				    (rc ? IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY | IB_QP_MAX_QP_RD_ATOMIC :
					  0));
}

int ib_cma_qp_ready(struct ib_cma_id *id)
{
	bool locked = lock_qp(id);
	int err = -EINVAL;

	if (id->ib.qp)
		err = make_ready(id);
	unlock_qp(id, locked);
	return err;
}

void ib_cma_qp_error(struct ib_cma_id *id)
{
	struct ib_qp_attr at = { .qp_state = IB_QPS_ERR };
	bool locked = lock_qp(id);

	if (id->ib.qp)
		(void)ib_modify_qp(id->ib.qp, &at, IB_QP_STATE);
	unlock_qp(id, locked);
}

void ib_cma_qp_destroy(struct ib_cma_id *id)
{
	bool locked = lock_qp(id);
	struct ib_qp *qp = id->ib.qp;

	id->ib.qp = NULL;
	unlock_qp(id, locked);
	if (qp)
		ib_destroy_qp(qp);
}
