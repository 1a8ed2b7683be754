/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A queue pair from RESET to RTS: what programs do by hand where no connection manager does. For tests and bench. */
#ifndef VERBS_CONNECT_H
#define VERBS_CONNECT_H

#include "softhca/ib_verbs.h"

/** verbs_connect() - @qpn at @lid is its peer. Return: 0, or what ib_modify_qp() said */
static inline int verbs_connect(struct ib_qp *qp, u32 lid, u32 qpn, u8 retry_cnt, u8 rnr_retry)
{
	struct ib_qp_attr at = {
		.path_mtu = IB_MTU_4096,
		.qkey = 0x11,
		.dest_qp_num = qpn,
		.qp_access_flags = IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC,
		.ah_attr = { .dlid = lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 4,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = IB_RNR_TIMER_000_64,
		.timeout = 14,
		.retry_cnt = retry_cnt,
		.rnr_retry = rnr_retry,
	};
	int mask[] = { IB_QP_PKEY_INDEX | IB_QP_PORT, 0, IB_QP_SQ_PSN };
	int i, err = 0;

	if (qp->qp_type == IB_QPT_UD) {
		mask[0] |= IB_QP_QKEY;
	} else {
		mask[0] |= IB_QP_ACCESS_FLAGS;
		mask[1] |= IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN;
	}
	if (qp->qp_type == IB_QPT_RC) {
		mask[1] |= IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER;
		mask[2] |= IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY | IB_QP_MAX_QP_RD_ATOMIC;
	}
	for (i = 0; i < 3 && !err; i++) {
		at.qp_state = (enum ib_qp_state)(IB_QPS_INIT + i);
		err = ib_modify_qp(qp, &at, mask[i] | IB_QP_STATE);
	}
	return err;
}

#endif
