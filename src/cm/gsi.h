/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The general services of an adapter: queue pair 1 (IBTA vol. 1, 13.5), and behind it the
 * communication manager and the small subnet administration of sa.h. A face opens one for each adapter that connects, and
 * gives it memory that the adapter and this processor both reach.
 */
#ifndef HCA_CM_GSI_H
#define HCA_CM_GSI_H

#include "cm/cm.h"
#include "hca/qp.h"

#define HCA_GSI_QPN 1u
#define HCA_GSI_QKEY 0x80010000u /* IBTA 3.5.3 */
#define HCA_GSI_SENDS 128u
#define HCA_GSI_RECVS 128u
#define HCA_GSI_GRH 40u
#define HCA_GSI_BUFFER 320u /* a GRH and a datagram */
#define HCA_GSI_BYTES (HCA_GSI_RECVS * HCA_GSI_BUFFER)

/**
 * struct hca_gsi_memory - HCA_GSI_BYTES, for what comes
 * @cpu: where they are
 * @dma: what the adapter calls them; what it has written there this processor sees without more
 */
struct hca_gsi_memory {
	u8 *cpu;
	u64 dma;
};

/** struct hca_gsi - @cm: for the consumers' IDs; the rest is gsi.c's */
struct hca_gsi {
	struct hca_cm cm;
	struct hca *hca;
	struct hca_gsi_memory memory;
	struct hca_pd pd;
	struct hca_cq cq;
	struct hca_mr *mr;
	struct hca_qp *qp;
	u32 closing; /* atomic: what comes is dropped */
};

/**
 * hca_gsi_open() - the adapter has a queue pair 1 and a communication manager
 * @guid: see hca_cm_init()
 *
 * May sleep. Return: 0; -EBUSY: it had one; -ENOMEM, -ENOSPC.
 */
int hca_gsi_open(struct hca_gsi *gsi, struct hca *hca, u64 guid, const struct hca_gsi_memory *memory);

/** hca_gsi_close() - the consumers have destroyed their IDs. May sleep; not from a handler. */
void hca_gsi_close(struct hca_gsi *gsi);

#endif
