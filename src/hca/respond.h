/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the responder to whole messages (recv.c) and that to packets (flow_recv.c)
 * share: taking receive requests, judging what a message names, and the ends of
 * messages. From inside the engine.
 */
#ifndef HCA_RESPOND_H
#define HCA_RESPOND_H

#include "hca/qp.h"

/** union hca_taken - a receive request out of its queue */
union hca_taken {
	struct hca_rwqe e;
	u8 room[sizeof(struct hca_rwqe) + HCA_MAX_SGE * sizeof(struct hca_sge)];
};

/** hca_rx_take() - the oldest of the queue pair's own or shared queue. Return: was there one? */
bool hca_rx_take(struct hca_qp *qp, union hca_taken *t);

/** hca_rx_room() - bytes that a receive request has room for */
u64 hca_rx_room(const struct hca_rwqe *e);

/** hca_rx_cursor() - a list of entries of this queue pair's, from its beginning */
void hca_rx_cursor(struct hca_qp *qp, struct hca_sge_cursor *g, u32 access, const struct hca_sge *sge, u32 num_sge);

/** hca_rx_remote_cursor() - the bytes that an RDMA or atomic names, as a list of the one entry @sge. Return: may they be used so? */
bool hca_rx_remote_cursor(struct hca_qp *qp, const struct hca_msg *m, u32 access, struct hca_sge *sge,
			  struct hca_sge_cursor *g);

/** hca_rx_atomic() - do it; what was there is in @m->result */
enum hca_answer hca_rx_atomic(struct hca_qp *qp, struct hca_msg *m);

/** hca_rx_begin_invalidate() - a key goes with this message: hca_respond_finish() has the rest. Return: may it? */
bool hca_rx_begin_invalidate(struct hca_qp *qp, struct hca_msg *m, const struct hca_wc *wc);

/** hca_rx_fill_wc() - the completion of the receive request @wr_id by this message */
void hca_rx_fill_wc(const struct hca_qp *qp, const struct hca_msg *m, u64 wr_id, struct hca_wc *wc);

/** hca_rx_spoil() - the receive request ends in an error, and its connected queue pair with it */
void hca_rx_spoil(struct hca_qp *qp, struct hca_wc *wc, enum hca_wc_status status);

/** hca_rx_refuse() - the message can't be: the end of a reliable queue pair. Return: @answer */
enum hca_answer hca_rx_refuse(struct hca_qp *qp, enum hca_answer answer);

#endif
