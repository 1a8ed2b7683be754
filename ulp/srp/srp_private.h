/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the initiator and the target have in common: memory for information units,
 * the queue pair of a channel and its way to work, a short lock, a log.
 */
#ifndef SRP_PRIVATE_H
#define SRP_PRIVATE_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "srp.h"
#include "srp_iu.h"

#define SRP_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SRP_MAX(a, b) ((a) > (b) ? (a) : (b))

#define srp_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* An IU from the target to an initiator: a response with its data and sense. */
#define SRP_TI_IU (sizeof(struct srp_wire_rsp) + SRP_RSP_DATA + SRP_SENSE_MAX)

/** srp_log() - a line on standard error; no more than 20 of them a second */
__attribute__((format(printf, 1, 2))) void srp_log(const char *fmt, ...);

/** srp_alloc() - zeroed memory, for srp_free(); NULL if there is none */
void *srp_alloc(size_t n, size_t size);
void srp_free(void *mem);

/** srp_alloc_fail_at - for tests: the allocation that fails, counted from 1; 0: none. Counts down. */
extern u32 srp_alloc_fail_at;

/** srp_now_ms() - of a clock that never goes back */
u64 srp_now_ms(void);

/** srp_thread() - one that gets no signals but for faults of its own, which a machine may take care of. Return: 0 or -errno */
int srp_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/** struct srp_lock - for a few loads and stores; nobody posts, maps or calls others while holding one */
struct srp_lock {
	u32 held;
};

static inline void srp_lock(struct srp_lock *l)
{
	while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)) {
		u32 i;

		for (i = 0; i < 100 && __atomic_load_n(&l->held, __ATOMIC_RELAXED); i++)
			__asm__ volatile("" ::: "memory");
		if (i == 100)
			sched_yield();
	}
}

static inline void srp_unlock(struct srp_lock *l)
{
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

/* Counters that one thread at a time changes and any reads. */
static inline void srp_count(u64 *n, u64 by)
{
	__atomic_store_n(n, __atomic_load_n(n, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

static inline u64 srp_counted(const u64 *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

/** struct srp_mem - low memory that the adapter and the CPU share for as long as a channel lives */
struct srp_mem {
	struct ib_device *dev;
	u8 *cpu;
	dma_addr_t dma;
	size_t size;
};

/** srp_mem_make() - Return: 0 or -ENOMEM */
int srp_mem_make(struct srp_mem *m, struct ib_device *dev, size_t size);
/** srp_mem_drop() - also of one that was never made, but zeroed */
void srp_mem_drop(struct srp_mem *m);

/** struct srp_qp_attr - what a channel's queue pair takes; @id: the connection's, on the adapter of @pd */
struct srp_qp_attr {
	struct rdma_cm_id *id;
	struct ib_pd *pd;
	enum ib_poll_context poll;
	u32 sends;
	u32 recvs;
	void *ctx;
};

/**
 * struct srp_qp - a reliable connected queue pair with one completion queue, so that all that happens on it happens one after
 * the other
 * @inline_max: bytes that can be sent inline
 */
struct srp_qp {
	struct rdma_cm_id *id;
	struct ib_cq *cq;
	struct ib_qp *qp;
	u32 inline_max;
};

/** srp_qp_make() - in INIT, so that receives can be posted. Return: 0 or -errno */
int srp_qp_make(struct srp_qp *q, const struct srp_qp_attr *attr);
/** srp_qp_drop() - nothing of it is under way: drained, or never started. Before its connection is closed. */
void srp_qp_drop(struct srp_qp *q);

#endif
