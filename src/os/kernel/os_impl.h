/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel os layer's half of the contract: os.h in Linux. Locks save interrupts,
 * timers call back in softirq, waiting sleeps; the rest is in this folder's
 * sources. Included by os.h alone; only here and there does the core meet Linux.
 */
#ifndef HCA_KERNEL_OS_IMPL_H
#define HCA_KERNEL_OS_IMPL_H

#include <linux/atomic.h>
#include <linux/bottom_half.h>
#include <linux/cache.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/workqueue.h>

/* A spin lock that sleeps, and a softirq that is a thread, would need waits of another kind (hca/quiesce.h). */
#ifdef CONFIG_PREEMPT_RT
#error "softhca does not run on a PREEMPT_RT kernel"
#endif

#define hca_likely(x) likely(x)
#define hca_unlikely(x) unlikely(x)

#define HCA_CACHE_LINE SMP_CACHE_BYTES
#define HCA_OS_COUNTS 1
#define HCA_ALIGNED(n) __aligned(n)
#define HCA_ALWAYS_INLINE __always_inline
#define HCA_PRINTF(f, a) __printf(f, a)
#define HCA_COLD __cold
#define HCA_SITE "%pS"
#define hca_site(site) (site)

#define hca_memcpy(to, from, n) memcpy(to, from, n)
#define hca_memmove(to, from, n) memmove(to, from, n)
#define hca_memset(to, byte, n) memset(to, byte, n)
#define hca_memcmp(a, b, n) memcmp(a, b, n)

/*
 * Atomics. Linux's generic macros go up to the size of a long; a u64 on a 32-bit machine has functions of its own.
 * The caller aligned it to 8 bytes.
 */
static inline u32 hca_fetch_add_u32(u32 *p, u32 n)
{
	return (u32)atomic_fetch_add((int)n, (atomic_t *)p);
}

static inline u32 hca_fetch_or_u32(u32 *p, u32 m)
{
	return (u32)atomic_fetch_or((int)m, (atomic_t *)p);
}

static inline u32 hca_fetch_and_u32(u32 *p, u32 m)
{
	return (u32)atomic_fetch_and((int)m, (atomic_t *)p);
}

static inline u64 hca_fetch_add_u64(u64 *p, u64 n)
{
	return (u64)atomic64_fetch_add((s64)n, (atomic64_t *)p);
}

static inline u64 hca_fetch_or_u64(u64 *p, u64 m)
{
	return (u64)atomic64_fetch_or((s64)m, (atomic64_t *)p);
}

static inline u64 hca_fetch_and_u64(u64 *p, u64 m)
{
	return (u64)atomic64_fetch_and((s64)m, (atomic64_t *)p);
}

static inline u64 hca_cmpxchg_u64(u64 *p, u64 old, u64 new)
{
	return (u64)atomic64_cmpxchg((atomic64_t *)p, (s64)old, (s64) new);
}

#define hca_fetch_add(p, n) _Generic((p), u32 * : hca_fetch_add_u32, u64 * : hca_fetch_add_u64)(p, n)
#define hca_fetch_or(p, m) _Generic((p), u32 * : hca_fetch_or_u32, u64 * : hca_fetch_or_u64)(p, m)
#define hca_fetch_and(p, m) _Generic((p), u32 * : hca_fetch_and_u32, u64 * : hca_fetch_and_u64)(p, m)

/* Barriers: what each pairs with is said where the core uses it. */
#if BITS_PER_LONG == 64
#define hca_load(p) READ_ONCE(*(p))
#define hca_load_acquire(p) smp_load_acquire((p)) /* the core says */
#define hca_store(p, v) WRITE_ONCE(*(p), v)
#define hca_store_release(p, v) smp_store_release((p), v) /* the core says */
#define hca_xchg(p, v) xchg((p), v)
#define hca_cmpxchg(p, old, new) cmpxchg((p), old, new)
#else
static inline u64 hca_load_u64(const void *p)
{
	return (u64)atomic64_read_acquire((const atomic64_t *)p);
}

static inline void hca_store_u64(void *p, const void *v)
{
	atomic64_set_release((atomic64_t *)p, *(const s64 *)v);
}

static inline void hca_xchg_u64(void *p, const void *v, void *old)
{
	*(s64 *)old = atomic64_xchg((atomic64_t *)p, *(const s64 *)v);
}

/* Which of two is meant is known when this is compiled; the other is never called, but must be C. */
#define HCA_WIDE(p) (sizeof(*(p)) > sizeof(long))
#define hca_load(p) __builtin_choose_expr(HCA_WIDE(p), hca_load_u64(p), READ_ONCE(*(p)))
#define hca_load_acquire(p) \
	__builtin_choose_expr(HCA_WIDE(p), hca_load_u64(p), smp_load_acquire((p))) /* the core says */
#define HCA_STORE(p, v, how) \
	({ \
		typeof(p) hca_to_ = (p); \
		typeof(*hca_to_) hca_value_ = (v); \
		if (HCA_WIDE(hca_to_)) \
			hca_store_u64(hca_to_, &hca_value_); \
		else \
			how; \
		(void)0; \
	})
#define hca_store(p, v) HCA_STORE(p, v, WRITE_ONCE(*hca_to_, hca_value_))
#define hca_store_release(p, v) HCA_STORE(p, v, smp_store_release(hca_to_, hca_value_)) /* the core says */
#define hca_xchg(p, v) \
	({ \
		typeof(p) hca_to_ = (p); \
		typeof(*hca_to_) hca_value_ = (v), hca_was_; \
		if (HCA_WIDE(hca_to_)) \
			hca_xchg_u64(hca_to_, &hca_value_, &hca_was_); \
		else \
			hca_was_ = xchg(hca_to_, hca_value_); \
		hca_was_; \
	})
#define hca_cmpxchg(p, old, new) \
	__builtin_choose_expr(HCA_WIDE(p), hca_cmpxchg_u64((u64 *)(p), old, new), cmpxchg((p), old, new))
#endif

#define hca_mb() smp_mb() /* the core says */

/* A thread in an RCU read section may be preempted, but must not sleep. */
static inline bool hca_may_sleep(void)
{
	return preemptible() && !rcu_preempt_depth();
}

/* A thread may wait for one that isn't running; not under a lock or in an interrupt. */
static inline void hca_pause(void)
{
	if (hca_may_sleep())
		usleep_range(20, 100);
	else
		cpu_relax();
}

static inline void hca_relax(u32 *turns)
{
	if ((*turns)++ > 16 && hca_may_sleep())
		usleep_range(20, 100);
	else
		cpu_relax();
}

#define hca_mb_heavy() smp_mb() /* pairs with hca_slot_enter(); as no slot is light, it isn't called */
#define hca_slot_light(slot) ((void)(slot), false)

struct hca_spinlock {
	spinlock_t lock;
};
typedef unsigned long hca_irqflags_t;

/* Macros, so that lockdep tells locks by the place that makes them. */
#define hca_spin_init(l) spin_lock_init(&(l)->lock)
#define hca_spin_lock(l, flags) spin_lock_irqsave(&(l)->lock, flags)
#define hca_spin_unlock(l, flags) spin_unlock_irqrestore(&(l)->lock, flags)
#define hca_spin_assert(l) lockdep_assert_held(&(l)->lock)

struct hca_mutex {
	struct mutex mutex;
};

#define hca_mutex_init(m) mutex_init(&(m)->mutex)
#define hca_mutex_lock(m) mutex_lock(&(m)->mutex)
#define hca_mutex_unlock(m) mutex_unlock(&(m)->mutex)
#define hca_mutex_destroy(m) mutex_destroy(&(m)->mutex)
#define hca_mutex_assert(m) lockdep_assert_held(&(m)->mutex)

struct hca_completion {
	struct completion done;
};

static inline void hca_completion_init(struct hca_completion *c)
{
	init_completion(&c->done);
}

static inline void hca_completion_destroy(struct hca_completion *c)
{
}

struct hca_work {
	struct work_struct work;
	void (*fn)(void *arg);
	void *arg;
};

struct hca_timer {
	struct hrtimer timer;
	void (*fn)(void *arg);
	void *arg;
};

#define hca_rcu_read_lock() rcu_read_lock()
#define hca_rcu_read_unlock() rcu_read_unlock()
#define hca_rcu_deref(p) hca_load_acquire(&(p))

/* The processor: a task that is moved to another processor meanwhile shares a slot for a while. */
static inline unsigned int hca_slot(void)
{
	return raw_smp_processor_id() % 64;
}

/*
 * Interrupts count in the same slots as what they interrupt. Both sides make the order: an interrupt of every processor
 * is no price for what a thread may do often.
 */
static inline void hca_slot_enter(u32 *p, unsigned int slot)
{
	(void)hca_fetch_add_u32(p, 1);
	smp_mb(); /* pairs with that of hca_quiesce_wait() */
}

static inline void hca_slot_leave(u32 *p, unsigned int slot)
{
	(void)hca_fetch_add_u32(p, (u32)-1);
}

/* A softirq runs on top of a task, and is another thread of control. Tasks are aligned. */
static inline uintptr_t hca_context(void)
{
	if (irqs_disabled() || in_hardirq())
		return 0;
	return (uintptr_t)current | (in_serving_softirq() ? 1 : 0);
}

/* With interrupts off no message is moved: the queue may be long. */
static inline bool hca_may_carry(void)
{
	return !irqs_disabled();
}

/*
 * Softirqs are disabled, and with them preemption, because completion handlers and timers wait there for threads inside. If
 * interrupts are off neither can happen, and softirqs must not be enabled again.
 */
typedef bool hca_pin_t;

static inline bool hca_pin_take(void)
{
	if (irqs_disabled())
		return false;
	local_bh_disable();
	return true;
}

#define hca_pin(p) ((p) = hca_pin_take())

static inline void hca_unpin(bool pinned)
{
	if (pinned)
		local_bh_enable();
}

#endif
