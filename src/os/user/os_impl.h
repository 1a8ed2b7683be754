/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user os layer's half of the contract: os.h in a process. Locks, atomics and
 * read sections are inline; the rest is in this folder's sources. Included by
 * os.h alone. Nothing here may start a thread, take a signal or print.
 */
#ifndef HCA_USER_OS_IMPL_H
#define HCA_USER_OS_IMPL_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

#include "user/compiler.h"

/* What programs do is counted by the wire and the drop-in library, for other processes to read. */
#define HCA_OS_COUNTS 0

/*
 * liburcu's read side is meant to be inlined (its functions are short, and it says
 * so); only that part of it is included, for the rest takes over names like
 * rcu_read_lock. It asks for more alignment than it gives its own readers, which is
 * no fault of ours for UBSan to find.
 */
#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
static inline void _urcu_bp_read_lock_update(unsigned long tmp) __attribute__((no_sanitize("alignment")));
static inline void _urcu_bp_read_lock(void) __attribute__((no_sanitize("alignment")));
static inline void _urcu_bp_read_unlock(void) __attribute__((no_sanitize("alignment")));
static inline int _urcu_bp_read_ongoing(void) __attribute__((no_sanitize("alignment")));

/*
 * A shared library should reach the thread's pointer with a load, not a call. clang takes that from the first
 * declaration, gcc from the last; liburcu's own stands between.
 */
struct urcu_bp_reader;
extern _Thread_local struct urcu_bp_reader *urcu_bp_reader __attribute__((tls_model("initial-exec")));
#include <urcu/static/urcu-bp.h>
extern _Thread_local struct urcu_bp_reader *urcu_bp_reader __attribute__((tls_model("initial-exec")));

#define hca_load(p) raw_load(p, __ATOMIC_RELAXED)
#define hca_store(p, v) raw_store(p, v, __ATOMIC_RELAXED)
#define hca_load_acquire(p) raw_load(p, __ATOMIC_ACQUIRE)
#define hca_store_release(p, v) raw_store(p, v, __ATOMIC_RELEASE)
#define hca_xchg(p, v) raw_xchg(p, v)
#define hca_cmpxchg(p, old, new) raw_cmpxchg(p, old, new)
#define hca_fetch_add(p, n) raw_fetch_add(p, n)
#define hca_fetch_or(p, m) raw_fetch_or(p, m)
#define hca_fetch_and(p, m) raw_fetch_and(p, m)
#define hca_mb() raw_mb()
/* The thread that is waited for may not be running: now and then the processor is offered to it. */
void hca_pause(void);
/* And where this thread may have a priority that the other one never gets past, it sleeps. */
void hca_relax(uint32_t *turns);

/* Mistakes of the consumer's (hca_refuse()) are said at this level: a warning, unless a face wants them quieter. */
void hca_mistakes_are(int level);

/* Below 0: this thread has not asked yet. Its address names the thread for hca_mutex_assert(). */
extern _Thread_local int hca_thread_slot __attribute__((tls_model("initial-exec")));
int hca_slot_take(void);

static inline unsigned int hca_slot(void)
{
	int slot = hca_thread_slot;

	return (unsigned int)(hca_likely(slot >= 0) ? slot : hca_slot_take());
}

/* The slots from here on are shared by the threads that found no other. */
#define HCA_SHARED_SLOTS 48u

/* Where the system can't make a barrier in every thread, no thread is in a slot of its own. */
#define hca_slot_light(slot) ((slot) < HCA_SHARED_SLOTS)

#ifdef HCA_TSAN
/* The thread sanitizer doesn't know membarrier(2): each side makes the order by itself. */
#define hca_slot_enter(p, slot) ((void)(slot), (void)raw_fetch_add(p, 1u), raw_mb())
#define hca_slot_leave(p, slot) ((void)(slot), (void)raw_fetch_add(p, (uint32_t)-1))
#define hca_mb_heavy() raw_mb()
#else
/*
 * A counter of one thread's own takes no atomic operation: where a heavy barrier is asked for the system makes one in
 * every running thread of the process.
 */
static inline void hca_slot_enter(uint32_t *p, unsigned int slot)
{
	if (hca_likely(hca_slot_light(slot))) {
		__atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
		__asm__ volatile("" ::: "memory");
	} else {
		__atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
		raw_mb_after_rmw();
	}
}

static inline void hca_slot_leave(uint32_t *p, unsigned int slot)
{
	if (hca_likely(slot < HCA_SHARED_SLOTS))
		__atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) - 1, __ATOMIC_RELEASE);
	else
		__atomic_fetch_sub(p, 1, __ATOMIC_SEQ_CST);
}

void hca_mb_heavy(void);
#endif

static inline uintptr_t hca_context(void)
{
	return (uintptr_t)&hca_thread_slot;
}

/* Nothing in a process is held up by a copy. */
#define hca_may_carry() true

/* A thread that spins offers the processor to others: no thread need be kept on one. */
typedef struct {
	char nothing;
} hca_pin_t;
#define hca_pin(p) ((void)(p))
#define hca_unpin(p) ((void)(p))

/* Test-and-set: a lock is held for a few instructions, and a process can't fairly queue threads it doesn't schedule. */
struct hca_spinlock {
	uint32_t held;
};
typedef unsigned long hca_irqflags_t;

void hca_spin_wait(struct hca_spinlock *l);

static inline bool hca_spin_try(struct hca_spinlock *l)
{
	return !__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE);
}

static inline void hca_spin_init(struct hca_spinlock *l)
{
	__atomic_store_n(&l->held, 0, __ATOMIC_RELAXED);
}

static inline hca_irqflags_t hca_spin_take(struct hca_spinlock *l)
{
	if (hca_unlikely(!hca_spin_try(l)))
		hca_spin_wait(l);
	return 0;
}

static inline void hca_spin_unlock(struct hca_spinlock *l, hca_irqflags_t flags)
{
	(void)flags;
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

#define hca_spin_lock(l, flags) ((void)((flags) = hca_spin_take(l)))
#define hca_spin_assert(l) HCA_ASSERT(__atomic_load_n(&(l)->held, __ATOMIC_RELAXED))

struct hca_mutex {
	pthread_mutex_t mutex;
	const int *owner; /* &hca_thread_slot of the holder, or NULL; only the holder's own answer is certain */
};

static inline void hca_mutex_init(struct hca_mutex *m)
{
	pthread_mutex_init(&m->mutex, NULL);
	m->owner = NULL;
}

static inline void hca_mutex_lock(struct hca_mutex *m)
{
	pthread_mutex_lock(&m->mutex);
	__atomic_store_n(&m->owner, &hca_thread_slot, __ATOMIC_RELAXED);
}

static inline void hca_mutex_unlock(struct hca_mutex *m)
{
	__atomic_store_n(&m->owner, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&m->mutex);
}

static inline void hca_mutex_destroy(struct hca_mutex *m)
{
	pthread_mutex_destroy(&m->mutex);
}

#define hca_mutex_assert(m) HCA_ASSERT(__atomic_load_n(&(m)->owner, __ATOMIC_RELAXED) == &hca_thread_slot)

/* A futex: the waker never touches it again after its exchange, so the waiter may free it at once. */
struct hca_completion {
	uint32_t state; /* 0; 1: somebody sleeps; 2: complete */
};

static inline void hca_completion_init(struct hca_completion *c)
{
	__atomic_store_n(&c->state, 0, __ATOMIC_RELAXED);
}

static inline void hca_completion_destroy(struct hca_completion *c)
{
	(void)c;
}

/* All but fn and arg under timer.c's lock. */
struct hca_timer {
	void (*fn)(void *arg);
	void *arg;
	uint64_t when; /* ns */
	size_t place; /* in the heap, from 1; 0: not running */
	bool dying;
};

/* All but fn and arg under work.c's lock. */
struct hca_work {
	void (*fn)(void *arg);
	void *arg;
	struct hca_work *next;
	bool queued;
	bool dying;
};

#ifdef HCA_TSAN
/* TSan can't see into liburcu: tell it that what a reader did comes before the end of the grace period. */
extern uint32_t hca_rcu_seen;
#define HCA_RCU_SEEN() ((void)__atomic_fetch_add(&hca_rcu_seen, 1, __ATOMIC_RELEASE))
#else
#define HCA_RCU_SEEN() ((void)0)
#endif

static inline void hca_rcu_read_lock(void)
{
	_urcu_bp_read_lock();
}

static inline void hca_rcu_read_unlock(void)
{
	HCA_RCU_SEEN();
	_urcu_bp_read_unlock();
}

#define hca_rcu_deref(p) raw_load(&(p), __ATOMIC_ACQUIRE)

#endif
