/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an adapter counts for those who look from outside. Each queue pair counts under
 * locks that its work takes anyway, beside fields that are written under them; a reader
 * adds up. So a request pays for no atomic operation, and touches no further cache line.
 * What is refused by no queue pair's lock is counted at the adapter, by atomic operations.
 */
#ifndef HCA_COUNT_H
#define HCA_COUNT_H

#include "os.h"

struct hca;
struct hca_qp;

/**
 * enum hca_count - what is counted; all only increase
 * @HCA_COUNT_SENT: send requests that ended with success, and left the adapter: no registration, bind or invalidation
 * @HCA_COUNT_SENT_BYTES: bytes that these named: sent, written, read or fetched
 * @HCA_COUNT_RECEIVED: receive requests that completed with success; not those of an XRC target
 * @HCA_COUNT_RECEIVED_BYTES: bytes of these
 * @HCA_COUNT_RECV_ERRORS: receive requests that completed with an error other than a flush
 * @HCA_COUNT_RECV_FLUSHED: receive requests that were flushed
 * @HCA_COUNT_SEND_ERRORS: send requests that ended with an error other than a flush
 * @HCA_COUNT_SEND_FLUSHED: send requests that were flushed
 * @HCA_COUNT_RNR_RECEIVED: RNR NAKs that came as answers
 * @HCA_COUNT_RETRIES: tries after an answer was missed, or a peer missed a packet
 * @HCA_COUNT_RETRY_EXCEEDED: requests that failed because no answer came
 * @HCA_COUNT_RNR_EXCEEDED: requests that failed because the peer was not ready
 * @HCA_COUNT_REMOTE_ACCESS: requests that the peer refused because of a key
 * @HCA_COUNT_REMOTE_INVALID: requests that the peer refused as invalid
 * @HCA_COUNT_RNR_SENT: RNR NAKs that were given as answers
 * @HCA_COUNT_REFUSED_ACCESS: requests of peers that were refused because of a key
 * @HCA_COUNT_REFUSED_INVALID: requests of peers that were refused as invalid
 */
enum hca_count {
	HCA_COUNT_SENT,
	HCA_COUNT_SENT_BYTES,
	HCA_COUNT_RECEIVED,
	HCA_COUNT_RECEIVED_BYTES,
	HCA_COUNT_RECV_ERRORS,
	HCA_COUNT_RECV_FLUSHED,
	HCA_COUNT_SEND_ERRORS,
	HCA_COUNT_SEND_FLUSHED,
	HCA_COUNT_RNR_RECEIVED,
	HCA_COUNT_RETRIES,
	HCA_COUNT_RETRY_EXCEEDED,
	HCA_COUNT_RNR_EXCEEDED,
	HCA_COUNT_REMOTE_ACCESS,
	HCA_COUNT_REMOTE_INVALID,
	HCA_COUNTS_QP, /* those before it are queue pairs' */
	HCA_COUNT_RNR_SENT = HCA_COUNTS_QP,
	HCA_COUNT_REFUSED_ACCESS,
	HCA_COUNT_REFUSED_INVALID,
	HCA_COUNTS,
};

#define HCA_COUNT_FIRST_SEND HCA_COUNT_SEND_ERRORS /* from this one on a queue pair's counts are in its send_counts */
#define HCA_COUNTS_SEND (HCA_COUNTS_QP - HCA_COUNT_FIRST_SEND)

/**
 * hca_counts() - all of an adapter: of the queue pairs that it has, and of those that it had
 * @out: HCA_COUNTS numbers
 *
 * Takes time for each place in the table of queue pairs. Any context, not inside, no lock held.
 */
void hca_counts(struct hca *hca, u64 *out);

/**
 * hca_qp_counts() - of one queue pair, from its creation on
 * @out: HCA_COUNTS_QP numbers
 *
 * The queue pair stays meanwhile. Any context, no lock held.
 */
void hca_qp_counts(struct hca_qp *qp, u64 *out);

/** hca_count_send_failure() - a send request ended with @status, which is an error; the queue pair's lock is held */
void hca_count_send_failure(struct hca_qp *qp, u32 status) HCA_COLD;

#endif
