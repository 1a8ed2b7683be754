/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What ib_core shows of the adapter to an administrator, by the calls that it makes for it: counters. */
#include "ib_pair.h"

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

/* --- all --- */

static const struct ktest_case cases[] = { { "counts", counts }, {} };

const struct ktest_suite ibt_shown = { .name = "shown", .cases = cases, .init = ibt_open, .exit = ibt_close };
