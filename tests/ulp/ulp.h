/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Small kernel-style sources, each in the style of one family of Linux's ULPs. They see the kernel's header
 * names alone, and compile as they stand for the process. main.c, the program, calls each on several machines.
 */
#ifndef TESTS_ULP_H
#define TESTS_ULP_H

#include <linux/completion.h>
#include <linux/types.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>

#define ULP_DEPTH 16
#define ULP_PORT 5000

/* One end of a connection. */
struct ulp_end {
	struct rdma_cm_id *id;
	struct ib_device *dev;
	struct ib_pd *pd;
	struct ib_cq *cq;
	struct ib_qp *qp;
	struct completion step;
	int err;
};

struct ulp_pair {
	struct ulp_end client;
	struct ulp_end server;
	struct rdma_cm_id *listener;
};

/* From the first adapter to the second one. @ctxs: struct rdma_rw_ctx that each end may have under way. */
int ulp_connect(struct ulp_pair *p, u32 ctxs);
void ulp_disconnect(struct ulp_pair *p);
int ulp_post_recv(struct ulp_end *e, struct ib_cqe *cqe, u64 addr, u32 len);
int ulp_post_send(struct ulp_end *e, struct ib_cqe *cqe, u64 addr, u32 len);

int ulp_fastreg(void);
int ulp_rds(void);
int ulp_rtrs(void);
int ulp_later(void);
int ulp_options(void);

#endif
