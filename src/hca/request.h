/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the requester of whole messages (send.c) and that of packets (flow_send.c) share:
 * the send queue's entries, the checks before anything leaves, and how a request ends.
 * For the thread that holds sq_running.
 */
#ifndef HCA_REQUEST_H
#define HCA_REQUEST_H

#include "hca/qp.h"

/** hca_sq_entry() - by sq_head or sq_tail */
struct hca_swqe *hca_sq_entry(const struct hca_qp *qp, u32 i);
u32 hca_sq_next(const struct hca_qp *qp, u32 i);

/** hca_wr_carries_data() - no request to the own adapter alone */
bool hca_wr_carries_data(enum hca_wr_opcode op);

/** hca_wr_reads_back() - a read or an atomic: the answer brings bytes */
bool hca_wr_reads_back(enum hca_wr_opcode op);

/** hca_sq_run_local() - do what needs no wire; outside, no lock held */
enum hca_wc_status hca_sq_run_local(struct hca_qp *qp, const struct hca_swqe *e);

/** hca_sq_fill_msg() - the request as a message */
void hca_sq_fill_msg(const struct hca_qp *qp, const struct hca_swqe *e, struct hca_msg *m);

/** hca_sq_check_local() - may it leave: its length, its keys? From inside. */
enum hca_wc_status hca_sq_check_local(const struct hca_qp *qp, struct hca_msg *m);

/**
 * hca_sq_retire() - the first request leaves the queue, with its completion if one is wanted; the lock is held
 * Return: there was no room for that: hca_qp_to_error(qp, HCA_EVENT_QP_FATAL) is to be called without the lock
 */
bool hca_sq_retire(struct hca_qp *qp, const struct hca_swqe *e, enum hca_wc_status status);

/** hca_sq_fail() - a request of this queue ended in an error: so does the queue pair, or its send queue */
void hca_sq_fail(struct hca_qp *qp);

#endif
