/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the initiator and the target have in common; see srp_private.h. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "srp_private.h"

/* Of a lost acknowledgement: 67 ms each, seven times. Of a missing receive: 0.64 ms each, not for ever. */
#define ACK_TIMEOUT 14
#define ACK_RETRIES 7
#define RNR_RETRIES 6
#define LOG_LINES 20

u32 srp_alloc_fail_at;

u64 srp_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000u + (u64)t.tv_nsec / 1000000u;
}

int srp_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

void srp_log(const char *fmt, ...)
{
	static u64 second;
	static u32 lines;
	u64 now = srp_now_ms() / 1000;
	char line[256];
	va_list ap;

	if (__atomic_exchange_n(&second, now, __ATOMIC_RELAXED) != now)
		__atomic_store_n(&lines, 0, __ATOMIC_RELAXED);
	if (__atomic_fetch_add(&lines, 1, __ATOMIC_RELAXED) >= LOG_LINES)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "srp: %s\n", line);
}

void *srp_alloc(size_t n, size_t size)
{
	if (__atomic_load_n(&srp_alloc_fail_at, __ATOMIC_RELAXED) &&
	    !__atomic_sub_fetch(&srp_alloc_fail_at, 1, __ATOMIC_RELAXED))
		return NULL;
	return calloc(n ? n : 1, size);
}

void srp_free(void *mem)
{
	free(mem);
}

int srp_mem_make(struct srp_mem *m, struct ib_device *dev, size_t size)
{
	m->cpu = ib_dma_alloc_coherent(dev, size, &m->dma, GFP_KERNEL);
	if (!m->cpu)
		return -ENOMEM;
	m->dev = dev;
	m->size = size;
	return 0;
}

void srp_mem_drop(struct srp_mem *m)
{
	if (m->cpu)
		ib_dma_free_coherent(m->dev, m->size, m->cpu, m->dma);
	m->cpu = NULL;
}

/* --- queue pairs --- */

static int to_init(struct srp_qp *q)
{
	struct ib_qp_attr a = { .qp_state = IB_QPS_INIT, .port_num = 1, .qp_access_flags = q->access };

	return ib_modify_qp(q->qp, &a, IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS);
}

static int make_qp(struct srp_qp *q, const struct srp_qp_attr *attr)
{
	struct ib_device *dev = attr->pd->device;
	struct ib_qp_init_attr init = {
		.qp_context = attr->ctx,
		.send_cq = q->cq,
		.recv_cq = q->cq,
		.cap = { .max_send_wr = attr->sends + 1, /* and one to drain it */
			 .max_recv_wr = attr->recvs + 1,
			 .max_send_sge = 1,
			 .max_recv_sge = 1,
			 .max_inline_data = (u32)SRP_MIN(dev->attrs.max_inline_data, 512) },
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
		.port_num = 1,
	};

	q->qp = ib_create_qp(attr->pd, &init);
	if (IS_ERR(q->qp))
		return (int)PTR_ERR(q->qp);
	q->inline_max = init.cap.max_inline_data;
	return 0;
}

int srp_qp_make(struct srp_qp *q, const struct srp_qp_attr *attr)
{
	static u32 psn;
	struct ib_port_attr port;
	int err = ib_query_port(attr->pd->device, 1, &port);

	if (err)
		return err;
	q->access = attr->access;
	q->cq = ib_alloc_cq(attr->pd->device, attr->ctx, (int)(attr->sends + attr->recvs + 2), 0, attr->poll);
	if (IS_ERR(q->cq)) {
		err = (int)PTR_ERR(q->cq);
		q->cq = NULL;
		return err;
	}
	err = make_qp(q, attr);
	if (err) {
		q->qp = NULL;
		goto drop;
	}
	q->self.lid = port.lid;
	q->self.qpn = q->qp->qp_num;
	q->self.psn = (__atomic_add_fetch(&psn, 1, __ATOMIC_RELAXED) * 0x9e3779b1u) >> 8;
	err = to_init(q);
	if (err)
		goto drop;
	return 0;
drop:
	srp_qp_drop(q);
	return err;
}

static int to_rtr(struct srp_qp *q, const struct srp_cm_addr *peer)
{
	struct ib_device *dev = q->qp->device;
	struct ib_port_attr port;
	struct ib_qp_attr a = {
		.qp_state = IB_QPS_RTR,
		.dest_qp_num = peer->qpn,
		.rq_psn = peer->psn,
		.max_dest_rd_atomic = q->access & IB_ACCESS_REMOTE_READ ? (u8)dev->attrs.max_qp_rd_atom : 0,
		.min_rnr_timer = IB_RNR_TIMER_000_64,
		.ah_attr = { .dlid = peer->lid, .port_num = 1 },
	};
	int err = ib_query_port(dev, 1, &port);

	if (err)
		return err;
	a.path_mtu = port.active_mtu;
	return ib_modify_qp(q->qp, &a,
			    IB_QP_STATE | IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN |
				    IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER);
}

static int to_rts(struct srp_qp *q)
{
	struct ib_qp_attr a = {
		.qp_state = IB_QPS_RTS,
		.timeout = ACK_TIMEOUT,
		.retry_cnt = ACK_RETRIES,
		.rnr_retry = RNR_RETRIES,
		.sq_psn = q->self.psn,
		.max_rd_atomic = (u8)q->qp->device->attrs.max_qp_init_rd_atom,
	};

	return ib_modify_qp(q->qp, &a,
			    IB_QP_STATE | IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY | IB_QP_SQ_PSN |
				    IB_QP_MAX_QP_RD_ATOMIC);
}

int srp_qp_start(struct srp_qp *q, const struct srp_cm_addr *peer)
{
	int err = to_rtr(q, peer);

	return err ? err : to_rts(q);
}

void srp_qp_drop(struct srp_qp *q)
{
	if (q->qp)
		ib_destroy_qp(q->qp);
	if (q->cq)
		ib_free_cq(q->cq);
	q->qp = NULL;
	q->cq = NULL;
}
