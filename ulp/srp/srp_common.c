/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the initiator and the target have in common; see srp_private.h. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "srp_private.h"

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
	};
	int err;

	err = rdma_create_qp(attr->id, attr->pd, &init);
	if (err)
		return err;
	q->id = attr->id;
	q->qp = attr->id->qp;
	q->inline_max = init.cap.max_inline_data;
	return 0;
}

int srp_qp_make(struct srp_qp *q, const struct srp_qp_attr *attr)
{
	int err;

	q->cq = ib_alloc_cq(attr->pd->device, attr->ctx, (int)(attr->sends + attr->recvs + 2), 0, attr->poll);
	if (IS_ERR(q->cq)) {
		err = (int)PTR_ERR(q->cq);
		q->cq = NULL;
		return err;
	}
	err = make_qp(q, attr);
	if (err)
		srp_qp_drop(q);
	return err;
}

void srp_qp_drop(struct srp_qp *q)
{
	if (q->qp)
		rdma_destroy_qp(q->id);
	if (q->cq)
		ib_free_cq(q->cq);
	q->qp = NULL;
	q->cq = NULL;
}
