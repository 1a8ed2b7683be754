/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hardware counters of the port: the engine's counts (hca/count.h), under the names that
 * other adapters' drivers give them where they have the same. ib_core shows them in sysfs
 * (ports/1/hw_counters) and by "rdma statistic show".
 */
#include "ib.h"

static const struct rdma_stat_desc descs[] = {
	[HCA_COUNT_SENT].name = "sent_requests",
	[HCA_COUNT_SENT_BYTES].name = "sent_bytes",
	[HCA_COUNT_RECEIVED].name = "rcvd_messages",
	[HCA_COUNT_RECEIVED_BYTES].name = "rcvd_bytes",
	[HCA_COUNT_RECV_ERRORS].name = "resp_cqe_error",
	[HCA_COUNT_RECV_FLUSHED].name = "resp_cqe_flush_error",
	[HCA_COUNT_SEND_ERRORS].name = "req_cqe_error",
	[HCA_COUNT_SEND_FLUSHED].name = "req_cqe_flush_error",
	[HCA_COUNT_RNR_RECEIVED].name = "rcvd_rnr_err",
	[HCA_COUNT_RETRIES].name = "completer_retry_err",
	[HCA_COUNT_RETRY_EXCEEDED].name = "retry_exceeded_err",
	[HCA_COUNT_RNR_EXCEEDED].name = "retry_rnr_exceeded_err",
	[HCA_COUNT_REMOTE_ACCESS].name = "req_remote_access_errors",
	[HCA_COUNT_REMOTE_INVALID].name = "req_remote_invalid_request",
	[HCA_COUNT_RNR_SENT].name = "send_rnr_err",
	[HCA_COUNT_REFUSED_ACCESS].name = "resp_remote_access_errors",
	[HCA_COUNT_REFUSED_INVALID].name = "resp_remote_invalid_request",
};

static struct rdma_hw_stats *alloc_hw_port_stats(struct ib_device *dev, u32 port)
{
	static_assert(ARRAY_SIZE(descs) == HCA_COUNTS);
	return rdma_alloc_hw_stats_struct(descs, HCA_COUNTS, RDMA_HW_STATS_DEFAULT_LIFESPAN);
}

/* All of them, whichever one is asked for. */
static int get_hw_stats(struct ib_device *dev, struct rdma_hw_stats *stats, u32 port, int index)
{
	if (!port || !stats)
		return -EINVAL;
	hca_counts(softhca_ib_hca(dev), stats->value);
	return HCA_COUNTS;
}

const struct ib_device_ops softhca_ib_stat_ops = {
	.alloc_hw_port_stats = alloc_hw_port_stats,
	.get_hw_stats = get_hw_stats,
};
