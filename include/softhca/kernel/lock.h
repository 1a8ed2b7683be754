/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Locks. A thread sleeps while another thread holds the spin lock, but the holder must
 * not sleep: a mutex, a wait, or an allocation with GFP_KERNEL under a spin lock is reported. There are no
 * interrupts, so the _irq and _bh calls are the same as the plain calls. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_LOCK_H
#define SOFTHCA_KERNEL_LOCK_H

#include <pthread.h>

#include "softhca/kernel/print.h"

#pragma GCC visibility push(default)

/** struct softhca_lock - a lock for one thread. @owner: atomic: the thread that holds it */
struct softhca_lock {
	pthread_mutex_t mutex;
	const void *owner;
};

#define SOFTHCA_LOCK_INIT \
	{ \
		.mutex = PTHREAD_MUTEX_INITIALIZER \
	}

void softhca_lock_init(struct softhca_lock *l);

/* @at: the line of the call. If the thread holds the lock already, the program is aborted. */
void softhca_spin_lock(struct softhca_lock *l, const char *at);
bool softhca_spin_trylock(struct softhca_lock *l, const char *at);
void softhca_spin_unlock(struct softhca_lock *l, const char *at);
void softhca_mutex_lock(struct softhca_lock *l, const char *at);
bool softhca_mutex_trylock(struct softhca_lock *l);
void softhca_mutex_unlock(struct softhca_lock *l, const char *at);

/** softhca_lock_held() - by this thread */
bool softhca_lock_held(const struct softhca_lock *l);

/** softhca_might_sleep() - report if the thread holds a spin lock or reads under RCU. @at: the line that may sleep */
void softhca_might_sleep(const char *at);

/** softhca_spins() - how many spin locks this thread holds */
u32 softhca_spins(void);

#pragma GCC visibility pop

/* The result of an interruptible call; no signal interrupts it here. */
static inline int softhca_zero_(void)
{
	return 0;
}

#define SOFTHCA_AT_ ((const char *)IB_DMA_HERE)
#define might_sleep() softhca_might_sleep(SOFTHCA_AT_)
#define in_atomic() (softhca_spins() != 0)

/* --- spin locks --- */

typedef struct softhca_lock spinlock_t;

#define __SPIN_LOCK_UNLOCKED(name) SOFTHCA_LOCK_INIT
#define DEFINE_SPINLOCK(name) spinlock_t name = SOFTHCA_LOCK_INIT
#define spin_lock_init(l) softhca_lock_init(l)
#define spin_lock(l) softhca_spin_lock(l, SOFTHCA_AT_)
#define spin_unlock(l) softhca_spin_unlock(l, SOFTHCA_AT_)
#define spin_trylock(l) softhca_spin_trylock(l, SOFTHCA_AT_)
#define spin_lock_irq(l) spin_lock(l)
#define spin_unlock_irq(l) spin_unlock(l)
#define spin_lock_bh(l) spin_lock(l)
#define spin_unlock_bh(l) spin_unlock(l)
#define spin_lock_irqsave(l, flags) ((flags) = 0, spin_lock(l))
#define spin_unlock_irqrestore(l, flags) ((void)(flags), spin_unlock(l))
#define spin_lock_nested(l, subclass) spin_lock(l)
#define spin_is_locked(l) (__atomic_load_n(&(l)->owner, __ATOMIC_RELAXED) != NULL)
#define assert_spin_locked(l) lockdep_assert_held(l)
/** lockdep_assert_held() - report unless this thread holds the lock, a spin lock or a mutex */
#define lockdep_assert_held(l) ((void)WARN_ON(!softhca_lock_held(softhca_lock_of_(l))))

/* --- mutexes --- */

struct mutex {
	struct softhca_lock lock;
};

#define softhca_lock_of_(l) \
	((const struct softhca_lock *)_Generic((l), struct mutex *: (const void *)(l), \
					       const struct mutex *: (const void *)(l), \
					       struct softhca_lock *: (const void *)(l), \
					       const struct softhca_lock *: (const void *)(l)))

#define __MUTEX_INITIALIZER(name) \
	{ \
		.lock = SOFTHCA_LOCK_INIT \
	}
#define DEFINE_MUTEX(name) struct mutex name = __MUTEX_INITIALIZER(name)
#define mutex_init(m) softhca_lock_init(&(m)->lock)
#define mutex_destroy(m) ((void)WARN_ON(mutex_is_locked(m)))
#define mutex_lock(m) softhca_mutex_lock(&(m)->lock, SOFTHCA_AT_)
#define mutex_lock_nested(m, subclass) mutex_lock(m)
#define mutex_unlock(m) softhca_mutex_unlock(&(m)->lock, SOFTHCA_AT_)
/** mutex_trylock() - Return: 1: taken */
#define mutex_trylock(m) ((int)softhca_mutex_trylock(&(m)->lock))
#define mutex_is_locked(m) (__atomic_load_n(&(m)->lock.owner, __ATOMIC_RELAXED) != NULL)

/** mutex_lock_interruptible() - no signal interrupts it. Return: 0 */
#define mutex_lock_interruptible(m) (mutex_lock(m), softhca_zero_())
#define mutex_lock_killable(m) (mutex_lock(m), softhca_zero_())

/* --- locks of one writer or many readers --- */

struct rw_semaphore {
	pthread_rwlock_t lock;
};

#define DECLARE_RWSEM(name) struct rw_semaphore name = { .lock = PTHREAD_RWLOCK_INITIALIZER }
#define init_rwsem(s) ((void)pthread_rwlock_init(&(s)->lock, NULL))
#define down_read(s) (might_sleep(), (void)pthread_rwlock_rdlock(&(s)->lock))
#define up_read(s) ((void)pthread_rwlock_unlock(&(s)->lock))
#define down_write(s) (might_sleep(), (void)pthread_rwlock_wrlock(&(s)->lock))
#define up_write(s) ((void)pthread_rwlock_unlock(&(s)->lock))
#define down_read_trylock(s) (!pthread_rwlock_tryrdlock(&(s)->lock))
#define down_write_trylock(s) (!pthread_rwlock_trywrlock(&(s)->lock))

#endif
