/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the core and its os layer.
 *
 * Need: everything that the core (src/dma, src/hca, src/transport, src/wire, src/cm; in the library
 * the rooms above it too) may use of its platform. An os layer is a folder with an
 * os_impl.h and its sources: user/ (a process), test/ (a process whose clock, threads,
 * randomness and failures belong to the test), kernel/ (a Linux module). The core includes
 * this header and this project's own, and no other.
 *
 *   types      u8..u64, s8..s64, bool, size_t, uintptr_t, NULL      hca_types.h
 *   errors     the E* constants, negative, with Linux's values
 *   memory     hca_alloc, hca_free                        may fail; says whether it may sleep
 *   bytes      hca_memcpy, hca_memmove, hca_memset, hca_memcmp
 *   atomics    hca_load .. hca_mb                         on u32, u64, pointers
 *   exclusion  hca_spinlock (no sleep inside), hca_mutex (may sleep)
 *   waiting    hca_completion, with a timeout
 *   RCU        read sections, publish, wait for a grace period
 *   slots      hca_slot: a small number, mostly this CPU's or thread's own; hca_slot_enter, hca_slot_leave: count threads in it
 *   contexts   hca_context: the running thread of control, to recognise a call inside a call
 *   carrying   hca_may_carry: whether this is a context in which many bytes may be moved
 *   pinning    hca_pin: no context that may spin for this thread runs in its place
 *   time       hca_now_ns; hca_timer: a callback once, later, in a context that may not sleep
 *   work       hca_work: a callback once, soon, in a thread that may sleep and holds nothing
 *   chance     hca_random_u32
 *   words      hca_log; hca_refuse; HCA_WARN_ON, HCA_ASSERT
 *
 * Calls keep their kernel meaning. An allocation without HCA_MAY_SLEEP may be made
 * under a spin lock, one with it must not; a grace period is a real one; a lock that
 * a function needs is asserted. An os layer with empty calls would test nothing.
 */
#ifndef HCA_OS_H
#define HCA_OS_H

#include "softhca/hca_types.h"

/*
 * A u64 for the atomics is aligned to 8 bytes: HCA_ALIGNED(8) on the field or variable, for i386 gives it 4.
 *
 * os_impl.h, found on the include path of the build, must provide:
 *
 *   hca_likely(x) hca_unlikely(x)   branch hints
 *   HCA_CACHE_LINE                  bytes; HCA_ALIGNED(n) aligns a field or type
 *   HCA_ALWAYS_INLINE               inline, however many callers there are
 *   HCA_PRINTF(f, a)                format check for hca_log, hca_refuse and hca_snprintf
 *   HCA_SITE hca_site(s)            a hca_site_t in a format for hca_refuse, and its argument
 *   HCA_OS_COUNTS                   1: queue pairs count their requests for hca_counts(); 0: they do not
 *   HCA_COLD                        a function that is seldom called: its callers' code for that is laid apart
 *   hca_memcpy/hca_memmove/hca_memset/hca_memcmp
 *
 *   hca_load(p) hca_store(p, v)                    relaxed, never torn
 *   hca_load_acquire(p) hca_store_release(p, v)
 *   hca_xchg(p, v)                                 full order; the old value
 *   hca_cmpxchg(p, old, new)                       full order; the value found
 *   hca_fetch_add(p, n)                            full order; the old value
 *   hca_fetch_or(p, m) hca_fetch_and(p, m)         full order; the old value
 *   hca_mb()                                       full barrier
 *   hca_pause()                                    inside a wait that spins
 *   hca_relax(turns)                               the same; turns, a u32 of the caller's that begins at 0, counts: the longer
 *                                                  the wait lasts, the more is given up, up to sleeping where that is allowed
 *   hca_mb_heavy()                                 a full barrier here, and in every thread that is in a slot, at some point of its
 *                                                  program; any context. Needed for slots with hca_slot_light() alone.
 *
 *   struct hca_spinlock; hca_irqflags_t
 *   hca_spin_init(l); hca_spin_lock(l, flags)
 *   hca_spin_unlock(l, flags); hca_spin_assert(l)  flags is an lvalue of hca_irqflags_t
 *   struct hca_mutex; hca_mutex_init/lock/unlock/destroy(m); hca_mutex_assert(m)
 *   struct hca_completion; hca_completion_init/destroy(c)
 *   struct hca_timer; struct hca_work
 *
 *   hca_rcu_read_lock() hca_rcu_read_unlock()
 *   hca_rcu_deref(p)                               p an lvalue holding the pointer
 *
 *   hca_slot()                                     0 .. HCA_SLOTS-1; a pinned thread keeps its slot
 *   hca_slot_enter(p, slot) hca_slot_leave(p, slot)  count the thread, which is pinned, in and out of a u32 that threads of its slot
 *                                                  alone change. After the enter comes a full barrier; but of a light slot none, except
 *                                                  as far as a thread can tell that makes a heavy one. Before the leave, release order.
 *   hca_slot_light(slot)                           is it light? Then it is one thread's own, until another one takes it over in order
 *   hca_context()                                  a uintptr_t that no other thread of control has at this moment; 0 where no
 *                                                  consumer's code may be called (interrupts are off)
 *
 *   hca_may_carry()                                may this thread of control carry out what is queued? Else a worker does it (interrupts
 *                                                  are off)
 *
 *   hca_pin_t; hca_pin(p) hca_unpin(p)             p an lvalue of hca_pin_t; they nest, and overlap.
 *      Until the unpin nothing else that could spin for this thread runs in its place: where contexts interrupt
 *      each other, or one that spins is never preempted, the os layer sees to it. Nothing sleeps meanwhile. Where
 *      a spinning thread offers the processor (hca_pause()), there is nothing to do.
 */
#include "os_impl.h"

/* The number of slots. If there are more threads, they share slots, so the data of a slot still needs its lock. */
#define HCA_SLOTS 64

#define HCA_MIN(a, b) ((a) < (b) ? (a) : (b))
#define HCA_MAX(a, b) ((a) > (b) ? (a) : (b))
#define HCA_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define hca_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/** HCA_MAY_SLEEP - an allocation that may wait for memory; not allowed under a spin lock or in a timer */
#define HCA_MAY_SLEEP 1u

/**
 * hca_alloc() - zeroed memory
 * @size: bytes, not 0; a page or more is page-aligned, less is aligned for any type
 * @flags: 0 or HCA_MAY_SLEEP
 *
 * Return: memory that the caller frees with hca_free(), or NULL. Large sizes (MiB) are fine with
 * HCA_MAY_SLEEP; pages of them that are never touched cost no memory.
 */
void *hca_alloc(size_t size, unsigned int flags);

/** hca_free() - free memory; NULL is allowed. Any context. */
void hca_free(void *mem);

/** hca_complete() - wake every thread that waits on @c now or later. Any context. */
void hca_complete(struct hca_completion *c);

/**
 * hca_wait() - wait until hca_complete()
 * @timeout_ns: nanoseconds of hca_now_ns(); ~0: no timeout
 *
 * Context: may sleep. Return: 0, or -ETIMEDOUT.
 */
int hca_wait(struct hca_completion *c, u64 timeout_ns);

/** hca_rcu_synchronize() - return when every read section that had begun has ended. May sleep; not inside a read section. */
void hca_rcu_synchronize(void);

/** hca_now_ns() - nanoseconds of a clock that never goes back; its zero is arbitrary */
u64 hca_now_ns(void);

/**
 * hca_timer_init() - a timer that isn't running
 * @fn: called with @arg in a context that must not sleep, never twice at once for one timer. It may start its own timer again.
 *
 * Return: 0 or -ENOMEM. hca_timer_destroy() ends it.
 */
int hca_timer_init(struct hca_timer *t, void (*fn)(void *arg), void *arg);

/** hca_timer_start() - call back once at @when_ns or soon after; moves a timer that already runs. Any context. */
void hca_timer_start(struct hca_timer *t, u64 when_ns);

/** hca_timer_stop() - no callback begins after this; one that is running may go on. Any context. */
void hca_timer_stop(struct hca_timer *t);

/** hca_timer_destroy() - stop, and wait for a callback that is running. May sleep; not from the callback. */
void hca_timer_destroy(struct hca_timer *t);

/**
 * hca_work_init() - work that isn't queued
 * @fn: called with @arg in a thread of the os layer that may sleep, holds no lock and is never inside another call of
 *	the library; never twice at once for one work
 *
 * Return: 0 or -ENOMEM. hca_work_destroy() ends it.
 */
int hca_work_init(struct hca_work *w, void (*fn)(void *arg), void *arg);

/** hca_work_start() - call @fn once, soon; a start while it runs causes another call. Any context. */
void hca_work_start(struct hca_work *w);

/** hca_work_destroy() - no call begins after this, and none is under way when it returns. May sleep; not from @fn. */
void hca_work_destroy(struct hca_work *w);

/** hca_random_u32() - an unpredictable number (the test os layer: the next one of its seed) */
u32 hca_random_u32(void);

enum hca_log_level { HCA_LOG_ERR, HCA_LOG_WARN, HCA_LOG_INFO, HCA_LOG_DEBUG };

/** hca_log() - one line, without its newline. Any context. */
void hca_log(enum hca_log_level level, const char *fmt, ...) HCA_PRINTF(2, 3);

/**
 * hca_refuse() - say in one line why a call is refused, or a request fails
 * @err: negative errno: what the call returns
 * @fmt: names the object, the rule and the values that break it; without a newline
 *
 * A mistake of the consumer's (hca_is_mistake()) is said more loudly than what may pass by itself. The os layer limits how
 * often lines of one @fmt are said. It takes no memory, but is no call for a path that is taken often, and under a lock
 * only where that can't be helped. Any context.
 *
 * Return: @err
 */
#define hca_refuse(err, ...) hca_refused(err, hca_say_refusal(err, __VA_ARGS__))

/* The layer's part of hca_refuse(). */
int hca_say_refusal(int err, const char *fmt, ...) HCA_PRINTF(2, 3) HCA_COLD;

/* A compiler, and a checker, sees which value a refused call returns. */
static inline int hca_refused(int err, int said)
{
	(void)said;
	return err;
}

/** hca_is_mistake() - does an error say that the consumer broke a rule? Else there is no room now, or no answer. */
static inline bool hca_is_mistake(int err)
{
	return err != -ENOMEM && err != -ENOSPC && err != -EAGAIN && err != -ETIMEDOUT;
}

/** hca_snprintf() - as in C, but returns the number of bytes written, without the final 0, never more than @size - 1 */
size_t hca_snprintf(char *buf, size_t size, const char *fmt, ...) HCA_PRINTF(3, 4);

/** hca_bug() - an internal invariant is broken: report it and stop the thread of control (a process aborts, a kernel oopses) */
void hca_bug(const char *cond, const char *file, int line);

/** hca_warned() - a rule is broken, but the library can continue: report it once for each place. Return: true */
bool hca_warned(const char *cond, const char *file, int line);

#define HCA_ASSERT(c) ((c) ? (void)0 : hca_bug(#c, __FILE__, __LINE__))
#define HCA_WARN_ON(c) (hca_unlikely(c) ? hca_warned(#c, __FILE__, __LINE__) : false)

/* An os layer may wrap the calls above in macros that record their line. */
#ifdef HCA_OS_SITES
#include "os_sites.h"
#endif

#endif
