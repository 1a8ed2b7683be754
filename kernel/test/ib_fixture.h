/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tests of the ib_core face are made with. They know ib_core alone, as a ULP
 * does: a device that ib_core told a client of, and its objects.
 */
#ifndef SOFTHCA_IB_FIXTURE_H
#define SOFTHCA_IB_FIXTURE_H

#include "ktest.h"

#include <rdma/ib_verbs.h>

#define IBT_BYTES 16384u
#define IBT_HALF (IBT_BYTES / 2)
#define IBT_QKEY 0x1234u
#define IBT_GRH sizeof(struct ib_grh)

/**
 * struct ibt - a device and what most tests need of it
 * @mem, @dma: IBT_BYTES that are mapped both ways: the first half for what is sent, the second for what comes
 * @all: a key of all memory, for the peer
 */
struct ibt {
	struct ib_device *dev;
	struct ib_pd *pd;
	struct ib_cq *cq;
	struct ib_mr *all;
	u8 *mem;
	u64 dma;
};

extern struct ibt ibt;

/** ibt_open() - on the first device of our driver. Return: 0, -ENODEV: there is none, or another error. */
int ibt_open(void);
void ibt_close(void);

/** ibt_qp() - a queue pair, ready to receive and send: a datagram's, or connected to @peer's number. Return: NULL: it failed, and that is told. */
struct ib_qp *ibt_qp(struct ktest *t, enum ib_qp_type type, struct ib_srq *srq);
bool ibt_connect(struct ktest *t, struct ib_qp *qp, u32 peer);

/** ibt_path() - a path to the device itself, by the GID at index 0. @sgid_attr is the caller's to put. */
void ibt_path(struct rdma_ah_attr *path);

/** ibt_poll() - the next completion, waited for. Return: false: none came, and that is told. */
bool ibt_poll(struct ktest *t, struct ib_wc *wc);

static inline struct ib_sge ibt_sge(u32 off, u32 len)
{
	return (struct ib_sge){ .addr = ibt.dma + off, .length = len, .lkey = ibt.pd->local_dma_lkey };
}

/* The suite of ib_shown_test.c. */
extern const struct ktest_suite ibt_shown;

/** ibt_faulty() - make each mistake that a ULP can make with what it maps, once. Return: 0 or an error. */
int ibt_faulty(void);

/** ibt_show() - one object of each kind, as tools/kernel-ulp/resources.sh expects them, until ibt_show_end(). Return: 0 or an error. */
int ibt_show(void);
void ibt_show_end(void);

#endif
