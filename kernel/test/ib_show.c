/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A ULP that makes one object of each kind and leaves them alone, for "rdma -dd resource
 * show" to be compared with: what is in them is known.
 */
#include "ib_fixture.h"

static struct ib_qp *qp, *peer;
static struct ib_mr *mr;
static struct ib_srq *srq;

/* Three receives that nothing is sent to, and one in the shared queue. */
static int fill(void)
{
	struct ib_sge sge = ibt_sge(IBT_HALF, 64);
	struct ib_recv_wr wr = { .sg_list = &sge, .num_sge = 1 };
	int i, err = ib_post_srq_recv(srq, &wr, NULL);

	for (i = 0; i < 3 && !err; i++)
		err = ib_post_recv(qp, &wr, NULL);
	return err;
}

int ibt_show(void)
{
	struct ib_srq_init_attr init = { .attr = { .max_wr = 8, .max_sge = 1, .srq_limit = 0 } };
	struct ktest t = {};
	int err = ibt_open();

	if (err)
		return err;
	mr = ib_alloc_mr(ibt.pd, IB_MR_TYPE_SG_GAPS, 4);
	srq = ib_create_srq(ibt.pd, &init);
	qp = ibt_qp(&t, IB_QPT_RC, NULL);
	peer = ibt_qp(&t, IB_QPT_RC, NULL);
	if (!IS_ERR(mr) && !IS_ERR(srq) && qp && peer && ibt_connect(&t, qp, peer->qp_num) &&
	    ibt_connect(&t, peer, qp->qp_num) && !fill())
		return 0;
	ibt_show_end();
	return -EIO;
}

void ibt_show_end(void)
{
	if (qp)
		ib_destroy_qp(qp);
	if (peer)
		ib_destroy_qp(peer);
	if (!IS_ERR_OR_NULL(srq))
		ib_destroy_srq(srq);
	if (!IS_ERR_OR_NULL(mr))
		ib_dereg_mr(mr);
	ibt_close();
}
