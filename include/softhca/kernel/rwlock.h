/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Spin locks of one writer or many readers, counters that readers retry by, and the rarer calls on the locks of lock.h.
 * There are no interrupts, so the _irq and _bh calls are the plain ones. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_RWLOCK_H
#define SOFTHCA_KERNEL_RWLOCK_H

#include "softhca/kernel/atomic.h"
#include "softhca/kernel/base.h"
#include "softhca/kernel/lock.h"

#pragma GCC visibility push(default)

/** rwlock_t - @writer: atomic: names the thread that writes */
typedef struct {
	pthread_rwlock_t lock;
	const void *writer;
} rwlock_t;

#define __RW_LOCK_UNLOCKED(name) \
	{ \
		.lock = PTHREAD_RWLOCK_INITIALIZER \
	}
#define DEFINE_RWLOCK(name) rwlock_t name = __RW_LOCK_UNLOCKED(name)

void rwlock_init(rwlock_t *l);

/* @at: the line of the call. A thread that reads may read once more inside; one that writes and locks again ends the program. */
void softhca_read_lock(rwlock_t *l, const char *at);
bool softhca_read_trylock(rwlock_t *l, const char *at);
void softhca_read_unlock(rwlock_t *l);
void softhca_write_lock(rwlock_t *l, const char *at);
bool softhca_write_trylock(rwlock_t *l, const char *at);
void softhca_write_unlock(rwlock_t *l, const char *at);

#pragma GCC visibility pop

#define read_lock(l) softhca_read_lock(l, SOFTHCA_AT_)
#define read_trylock(l) softhca_read_trylock(l, SOFTHCA_AT_)
#define read_unlock(l) softhca_read_unlock(l)
#define write_lock(l) softhca_write_lock(l, SOFTHCA_AT_)
#define write_trylock(l) softhca_write_trylock(l, SOFTHCA_AT_)
#define write_unlock(l) softhca_write_unlock(l, SOFTHCA_AT_)
#define read_lock_irq(l) read_lock(l)
#define read_unlock_irq(l) read_unlock(l)
#define read_lock_bh(l) read_lock(l)
#define read_unlock_bh(l) read_unlock(l)
#define read_lock_irqsave(l, flags) ((flags) = 0, read_lock(l))
#define read_unlock_irqrestore(l, flags) ((void)(flags), read_unlock(l))
#define write_lock_irq(l) write_lock(l)
#define write_unlock_irq(l) write_unlock(l)
#define write_lock_bh(l) write_lock(l)
#define write_unlock_bh(l) write_unlock(l)
#define write_lock_irqsave(l, flags) ((flags) = 0, write_lock(l))
#define write_unlock_irqrestore(l, flags) ((void)(flags), write_unlock(l))

/* --- more of spin locks, mutexes and semaphores --- */

typedef spinlock_t raw_spinlock_t;

#define DEFINE_RAW_SPINLOCK(name) raw_spinlock_t name = SOFTHCA_LOCK_INIT
#define raw_spin_lock_init(l) spin_lock_init(l)
#define raw_spin_lock(l) spin_lock(l)
#define raw_spin_unlock(l) spin_unlock(l)
#define raw_spin_lock_irqsave(l, flags) spin_lock_irqsave(l, flags)
#define raw_spin_unlock_irqrestore(l, flags) spin_unlock_irqrestore(l, flags)
#define spin_trylock_bh(l) spin_trylock(l)
#define spin_trylock_irq(l) spin_trylock(l)
#define spin_trylock_irqsave(l, flags) ((flags) = 0, spin_trylock(l))
#define spin_lock_irqsave_nested(l, flags, subclass) spin_lock_irqsave(l, flags)
#define lockdep_is_held(l) ((int)softhca_lock_held(softhca_lock_of_(l)))
#define down_write_killable(s) (down_write(s), softhca_zero_())
#define down_read_killable(s) (down_read(s), softhca_zero_())
#define down_read_interruptible(s) (down_read(s), softhca_zero_())
#define down_write_nested(s, subclass) down_write(s)
#define down_read_nested(s, subclass) down_read(s)

/* lockdep has classes of locks; here the address of a lock identifies it. */
struct lock_class_key {
	char none;
};
#define lockdep_set_class(l, key) ((void)(l), (void)(key))
#define lockdep_set_class_and_name(l, key, name) ((void)(l), (void)(key), (void)(name))
#define lockdep_register_key(key) ((void)(key))
#define lockdep_unregister_key(key) ((void)(key))
#define SINGLE_DEPTH_NESTING 1

/** atomic_dec_and_lock() - Return: 1: the number has become 0, and the lock is held */
#define atomic_dec_and_lock(a, l) \
	(atomic_add_unless(a, -1, 1) ? 0 : ({ \
		int last_; \
		spin_lock(l); \
		last_ = atomic_dec_and_test(a); \
		if (!last_) \
			spin_unlock(l); \
		last_; \
	}))
#define softhca_put_and_lock_(r, l, take, give) \
	({ \
		refcount_t *refs_ = (r); \
		bool last_ = false; \
		if (!atomic_add_unless(&refs_->refs, -1, 1)) { \
			take(l); \
			last_ = refcount_dec_and_test(refs_); \
			if (!last_) \
				give(l); \
		} \
		last_; \
	})
#define refcount_dec_and_lock(r, l) softhca_put_and_lock_(r, l, spin_lock, spin_unlock)
#define refcount_dec_and_mutex_lock(r, m) softhca_put_and_lock_(r, m, mutex_lock, mutex_unlock)
/** kref_put_lock(), kref_put_mutex() - as kref_put(); @release is called with the lock held, and releases it */
#define kref_put_lock(k, release, l) \
	({ \
		struct kref *kref_ = (k); \
		bool put_ = refcount_dec_and_lock(&kref_->refcount, l); \
		if (put_) \
			(release)(kref_); \
		(int)put_; \
	})
#define kref_put_mutex(k, release, m) \
	({ \
		struct kref *kref_ = (k); \
		bool put_ = refcount_dec_and_mutex_lock(&kref_->refcount, m); \
		if (put_) \
			(release)(kref_); \
		(int)put_; \
	})

/* --- counters that readers retry by --- */

/** seqcount_t - odd while a writer is at it; the writers have a lock of their own */
typedef struct {
	u32 sequence;
} seqcount_t;

typedef struct {
	seqcount_t seqcount;
	spinlock_t lock;
} seqlock_t;

#define SEQCNT_ZERO(name) \
	{ \
		.sequence = 0 \
	}
#define seqcount_init(s) ((void)((s)->sequence = 0))

static inline u32 read_seqcount_begin(const seqcount_t *s)
{
	u32 seq;

	while ((seq = __atomic_load_n(&s->sequence, __ATOMIC_ACQUIRE)) & 1)
		sched_yield();
	return seq;
}

static inline int read_seqcount_retry(const seqcount_t *s, u32 start)
{
	smp_rmb();
	return READ_ONCE(s->sequence) != start;
}

static inline void write_seqcount_begin(seqcount_t *s)
{
	WRITE_ONCE(s->sequence, s->sequence + 1);
	smp_wmb();
}

static inline void write_seqcount_end(seqcount_t *s)
{
	__atomic_store_n(&s->sequence, s->sequence + 1, __ATOMIC_RELEASE);
}

#define DEFINE_SEQLOCK(name) seqlock_t name = { .lock = SOFTHCA_LOCK_INIT }
#define seqlock_init(s) (seqcount_init(&(s)->seqcount), spin_lock_init(&(s)->lock))
#define read_seqbegin(s) read_seqcount_begin(&(s)->seqcount)
#define read_seqretry(s, start) read_seqcount_retry(&(s)->seqcount, start)
#define write_seqlock(s) (spin_lock(&(s)->lock), write_seqcount_begin(&(s)->seqcount))
#define write_sequnlock(s) (write_seqcount_end(&(s)->seqcount), spin_unlock(&(s)->lock))

#endif
