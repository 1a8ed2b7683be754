/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What ib_core shows of the adapter to an administrator, by the calls that it makes for it: counters, and details of objects. */
#include "ib_pair.h"

#include <linux/slab.h>
#include <net/netlink.h>

/* --- counters --- */

/* The port's counters as ib_core gets them; NULL: it has none. */
static struct rdma_hw_stats *open_stats(struct ktest *t)
{
	struct rdma_hw_stats *stats = NULL;

	if (ibt.dev->ops.alloc_hw_port_stats)
		stats = ibt.dev->ops.alloc_hw_port_stats(ibt.dev, 1);
	EXPECT(t, stats);
	return stats;
}

static u64 value_of(struct ktest *t, struct rdma_hw_stats *stats, const char *name)
{
	int i, n = stats->num_counters;

	EXPECT_EQ(t, ibt.dev->ops.get_hw_stats(ibt.dev, stats, 1, n), n);
	for (i = 0; i < n; i++)
		if (!strcmp(stats->descs[i].name, name))
			return stats->value[i];
	EXPECT(t, !"there is such a counter");
	return 0;
}

static void counts(struct ktest *t)
{
	struct rdma_hw_stats *stats = open_stats(t);
	u64 sent, bytes, received, refused, errors;
	struct ib_wc wc;

	if (!stats)
		return;
	if (!open_pair(t, IB_QPT_RC))
		goto close;
	sent = value_of(t, stats, "sent_requests");
	bytes = value_of(t, stats, "sent_bytes");
	received = value_of(t, stats, "rcvd_messages");
	refused = value_of(t, stats, "resp_remote_access_errors");
	errors = value_of(t, stats, "req_remote_access_errors");
	post_rdma(t, IB_WR_RDMA_WRITE, 1, 0, IBT_HALF, 5000, ibt.all->rkey);
	expect_wc(t, 1, IB_WC_SUCCESS, IB_WC_RDMA_WRITE, &wc);
	post_recv(t, other, 2, IBT_HALF, 200);
	post_rdma(t, IB_WR_SEND, 3, 0, 0, 150, 0);
	expect_wc(t, 2, IB_WC_SUCCESS, IB_WC_RECV, &wc);
	expect_wc(t, 3, IB_WC_SUCCESS, IB_WC_SEND, &wc);
	post_rdma(t, IB_WR_RDMA_WRITE, 4, 0, IBT_HALF, 8, ibt.all->rkey ^ 1);
	expect_wc(t, 4, IB_WC_REM_ACCESS_ERR, IB_WC_RDMA_WRITE, &wc);
	/* Others may use the device as well. */
	EXPECT(t, value_of(t, stats, "sent_requests") >= sent + 2);
	EXPECT(t, value_of(t, stats, "sent_bytes") >= bytes + 5150);
	EXPECT(t, value_of(t, stats, "rcvd_messages") >= received + 1);
	EXPECT(t, value_of(t, stats, "resp_remote_access_errors") >= refused + 1);
	EXPECT(t, value_of(t, stats, "req_remote_access_errors") >= errors + 1);
	sent = value_of(t, stats, "sent_requests");
	bytes = value_of(t, stats, "sent_bytes");
close:
	close_pair(t);
	/* What a queue pair counted stays. */
	EXPECT(t, value_of(t, stats, "sent_requests") >= sent && value_of(t, stats, "sent_bytes") >= bytes);
	rdma_free_hw_stats_struct(stats);
}

/* --- what ib_core shows --- */

/* Of the queue pair: the size of its send queue, or the driver's error. */
static int asked(struct ib_qp *qp)
{
	struct ib_qp_init_attr init;
	struct ib_qp_attr attr = { .cap.max_send_wr = 0 };
	int err = qp->device->ops.query_qp(qp, &attr, IB_QP_CAP, &init);

	return err ? err : (int)attr.cap.max_send_wr;
}

/* ib_core may ask the driver about a queue pair until a moment after the driver has destroyed it. */
static void answers_for_what_ended(struct ktest *t)
{
	struct ib_qp_init_attr init = { .send_cq = ibt.cq,
					.recv_cq = ibt.cq,
					.cap = { .max_send_wr = 16, .max_recv_wr = 16 },
					.qp_type = IB_QPT_RC };
	struct ib_qp *qp = kzalloc(ibt.dev->ops.size_ib_qp, GFP_KERNEL);

	EXPECT(t, qp);
	if (!qp)
		return;
	/* As ib_core makes it, but it is in no list, and stays here. */
	qp->device = ibt.dev;
	qp->pd = ibt.pd;
	qp->send_cq = ibt.cq;
	qp->recv_cq = ibt.cq;
	qp->qp_type = init.qp_type;
	EXPECT_EQ(t, ibt.dev->ops.create_qp(qp, &init, NULL), 0);
	if (qp->qp_num) {
		EXPECT_EQ(t, asked(qp), 16);
		EXPECT_EQ(t, ibt.dev->ops.destroy_qp(qp, NULL), 0);
		EXPECT_EQ(t, asked(qp), -EAGAIN);
	}
	kfree(qp);
}

/* Details of objects fit where there is room, and where there is none nothing is left of them. */
static void expect_details(struct ktest *t, int (*fill)(struct sk_buff *msg, void *object), void *object)
{
	struct sk_buff *msg = nlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL), *full = nlmsg_new(40, GFP_KERNEL);
	unsigned int before;

	EXPECT(t, msg && full);
	if (msg && full) {
		EXPECT_EQ(t, fill(msg, object), 0);
		EXPECT(t, msg->len > 0);
		skb_put(full, skb_tailroom(full) - 10);
		before = full->len;
		EXPECT_EQ(t, fill(full, object), -EMSGSIZE);
		EXPECT_EQ(t, full->len, before);
	}
	nlmsg_free(msg);
	nlmsg_free(full);
}

static int fill_qp(struct sk_buff *msg, void *object)
{
	return ibt.dev->ops.fill_res_qp_entry(msg, object);
}

static int fill_cq(struct sk_buff *msg, void *object)
{
	return ibt.dev->ops.fill_res_cq_entry(msg, object);
}

static int fill_mr(struct sk_buff *msg, void *object)
{
	return ibt.dev->ops.fill_res_mr_entry(msg, object);
}

#ifdef HCA_HAVE_RES_SRQ
static int fill_srq(struct sk_buff *msg, void *object)
{
	return ibt.dev->ops.fill_res_srq_entry(msg, object);
}

static void details_of_srq(struct ktest *t)
{
	struct ib_srq_init_attr init = { .attr = { .max_wr = 8, .max_sge = 1 } };
	struct ib_srq *srq = ib_create_srq(ibt.pd, &init);

	EXPECT_EQ(t, PTR_ERR_OR_ZERO(srq), 0);
	if (IS_ERR(srq))
		return;
	expect_details(t, fill_srq, srq);
	ib_destroy_srq(srq);
}
#else
static void details_of_srq(struct ktest *t)
{
}
#endif

static void tells_details(struct ktest *t)
{
	struct ib_mr *mr = ib_alloc_mr(ibt.pd, IB_MR_TYPE_MEM_REG, 4);

	one = ibt_qp(t, IB_QPT_RC, NULL);
	if (one)
		expect_details(t, fill_qp, one);
	close_pair(t);
	expect_details(t, fill_cq, ibt.cq);
	EXPECT_EQ(t, PTR_ERR_OR_ZERO(mr), 0);
	if (!IS_ERR(mr)) {
		expect_details(t, fill_mr, mr);
		EXPECT_EQ(t, ib_dereg_mr(mr), 0);
	}
	details_of_srq(t);
}

/* --- all --- */

static const struct ktest_case cases[] = { { "counts", counts },
					   { "answers_for_what_ended", answers_for_what_ended },
					   { "tells_details", tells_details },
					   {} };

const struct ktest_suite ibt_shown = { .name = "shown", .cases = cases, .init = ibt_open, .exit = ibt_close };
