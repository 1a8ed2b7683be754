/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Time, waiting and threads: jiffies (milliseconds), completions, wait queues, kthreads. No signal
 * interrupts a wait, so the _interruptible and _killable calls return 0; kthread_stop() wakes its thread from any
 * wait_event(). Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_WAIT_H
#define SOFTHCA_KERNEL_WAIT_H

#include <sched.h>

#include "softhca/kernel/base.h"
#include "softhca/kernel/lock.h"

#pragma GCC visibility push(default)

/* --- time --- */

#define HZ 1000
#define NSEC_PER_USEC 1000L
#define NSEC_PER_MSEC 1000000L
#define NSEC_PER_SEC 1000000000L
#define USEC_PER_MSEC 1000L
#define USEC_PER_SEC 1000000L
#define MSEC_PER_SEC 1000L
#define MAX_SCHEDULE_TIMEOUT LONG_MAX

typedef s64 ktime_t;

/** softhca_now_ns() - the time of the library's clock, which never goes back */
u64 softhca_now_ns(void);
void softhca_sleep_ns(u64 ns);

#define jiffies ((unsigned long)(softhca_now_ns() / NSEC_PER_MSEC))
#define get_jiffies_64() ((u64)jiffies)
#define msecs_to_jiffies(ms) ((unsigned long)(ms))
#define jiffies_to_msecs(j) ((unsigned int)(j))
#define usecs_to_jiffies(us) ((unsigned long)(((us) + 999) / 1000))
#define secs_to_jiffies(s) ((unsigned long)(s)*HZ)
#define time_after(a, b) ((long)((b) - (a)) < 0)
#define time_before(a, b) time_after(b, a)
#define time_after_eq(a, b) ((long)((a) - (b)) >= 0)
#define time_before_eq(a, b) time_after_eq(b, a)
#define ktime_get() ((ktime_t)softhca_now_ns())
#define ktime_get_ns() softhca_now_ns()
#define ktime_sub(a, b) ((a) - (b))
#define ktime_to_ns(t) ((s64)(t))
#define ktime_to_us(t) ((s64)(t) / 1000)
#define ktime_to_ms(t) ((s64)(t) / 1000000)
#define ktime_us_delta(later, earlier) ktime_to_us((later) - (earlier))
#define ktime_ms_delta(later, earlier) ktime_to_ms((later) - (earlier))
#define msleep(ms) (might_sleep(), softhca_sleep_ns((u64)(ms)*NSEC_PER_MSEC))
#define ssleep(s) msleep((u64)(s)*1000)
#define usleep_range(min_us, max_us) (might_sleep(), (void)(max_us), softhca_sleep_ns((u64)(min_us)*1000))
#define fsleep(us) usleep_range(us, us)
#define cpu_relax() ((void)sched_yield())
#define cond_resched() (might_sleep(), sched_yield())

/* --- wait queues --- */

struct task_struct;
struct wait_queue_head;

/** struct wait_queue_entry - a thread that prepare_to_wait() put into a queue; @wq: NULL: it is in none */
struct wait_queue_entry {
	struct task_struct *task;
	struct wait_queue_head *wq;
	struct wait_queue_entry *next;
};

typedef struct wait_queue_entry wait_queue_entry_t;

/** struct wait_queue_head - @seq: counts the wakes; @waiters: atomic */
struct wait_queue_head {
	spinlock_t lock; /* all but waiters */
	pthread_cond_t cond;
	u32 seq;
	u32 waiters;
	struct wait_queue_entry *entries;
};

typedef struct wait_queue_head wait_queue_head_t;

#define __WAIT_QUEUE_HEAD_INITIALIZER(name) \
	{ \
		.lock = SOFTHCA_LOCK_INIT, .cond = PTHREAD_COND_INITIALIZER \
	}
#define DECLARE_WAIT_QUEUE_HEAD(name) wait_queue_head_t name = __WAIT_QUEUE_HEAD_INITIALIZER(name)
#define DECLARE_WAIT_QUEUE_HEAD_ONSTACK(name) DECLARE_WAIT_QUEUE_HEAD(name)

void init_waitqueue_head(struct wait_queue_head *wq);

/* @at: the line, or NULL: a spin lock is held, and let go for the sleep. What wait_event() is made of: enter, then look, ask for the condition, and sleep if no wake came since the look; leave. */
void softhca_wait_enter(struct wait_queue_head *wq, const char *at);
u32 softhca_wait_look(struct wait_queue_head *wq);
/* Return: 0; -ETIMEDOUT: @deadline (nanoseconds; ~0: none) has passed. */
int softhca_wait_sleep(struct wait_queue_head *wq, u32 seq, u64 deadline);
void softhca_wait_leave(struct wait_queue_head *wq);
void softhca_wake(struct wait_queue_head *wq);
/* The caller has wq->lock. */
void softhca_wake_locked(struct wait_queue_head *wq);
u64 softhca_deadline(long timeout);
/* The rest of a timeout until @deadline, in jiffies, at least 1. */
long softhca_left(u64 deadline);

/* Every waiter evaluates its condition again. */
#define wake_up(wq) softhca_wake(wq)
#define wake_up_all(wq) softhca_wake(wq)
#define wake_up_interruptible(wq) softhca_wake(wq)
#define wake_up_interruptible_all(wq) softhca_wake(wq)
#define waitqueue_active(wq) (__atomic_load_n(&(wq)->waiters, __ATOMIC_SEQ_CST) != 0)
#define wq_has_sleeper(wq) waitqueue_active(wq)

#define softhca_wait_event_(wq, condition, deadline, at, before, after) \
	({ \
		struct wait_queue_head *wq_ = &(wq); \
		u64 deadline_ = (deadline); \
		bool true_; \
		softhca_wait_enter(wq_, at); \
		for (;;) { \
			u32 seq_ = softhca_wait_look(wq_); \
			int late_; \
			true_ = !!(condition); \
			if (true_) \
				break; \
			before; \
			late_ = softhca_wait_sleep(wq_, seq_, deadline_); \
			after; \
			if (late_) { \
				true_ = !!(condition); \
				break; \
			} \
		} \
		softhca_wait_leave(wq_); \
		true_; \
	})

#define softhca_nothing_ ((void)0)

/** wait_event() - wait for @condition, which is evaluated at the beginning and after each wake_up() */
#define wait_event(wq, condition) \
	((void)softhca_wait_event_(wq, condition, ~(u64)0, SOFTHCA_AT_, softhca_nothing_, softhca_nothing_))
#define wait_event_interruptible(wq, condition) (wait_event(wq, condition), softhca_zero_())
#define wait_event_killable(wq, condition) (wait_event(wq, condition), softhca_zero_())
/** wait_event_timeout() - Return: the rest of @timeout jiffies, at least 1; 0: the time is over, and the condition isn't true */
#define wait_event_timeout(wq, condition, timeout) \
	({ \
		u64 until_ = softhca_deadline(timeout); \
		softhca_wait_event_(wq, condition, until_, SOFTHCA_AT_, softhca_nothing_, softhca_nothing_) ? \
			softhca_left(until_) : \
			0; \
	})
#define wait_event_interruptible_timeout(wq, condition, timeout) wait_event_timeout(wq, condition, timeout)
/** wait_event_lock_irq() - the condition is evaluated under the spin lock @l, which is released while the thread sleeps */
#define wait_event_lock_irq(wq, condition, l) \
	((void)softhca_wait_event_(wq, condition, ~(u64)0, NULL, spin_unlock(&(l)), spin_lock(&(l))))

/* --- completions and semaphores --- */

/** struct completion - @done: calls of complete() that no wait has consumed; U32_MAX after complete_all() */
struct completion {
	u32 done;
	struct wait_queue_head wait;
};

#define COMPLETION_INITIALIZER(name) \
	{ \
		.wait = __WAIT_QUEUE_HEAD_INITIALIZER((name).wait) \
	}
#define DECLARE_COMPLETION(name) struct completion name = COMPLETION_INITIALIZER(name)
#define DECLARE_COMPLETION_ONSTACK(name) DECLARE_COMPLETION(name)

void init_completion(struct completion *c);
void reinit_completion(struct completion *c);
void complete(struct completion *c);
void complete_all(struct completion *c);
bool completion_done(struct completion *c);
bool try_wait_for_completion(struct completion *c);
/* Return: false: @deadline has passed. */
bool softhca_wait_completion(struct completion *c, u64 deadline, const char *at);

#define wait_for_completion(c) ((void)softhca_wait_completion(c, ~(u64)0, SOFTHCA_AT_))
#define wait_for_completion_interruptible(c) (wait_for_completion(c), softhca_zero_())
#define wait_for_completion_killable(c) (wait_for_completion(c), softhca_zero_())
/** wait_for_completion_timeout() - Return: the rest of @timeout jiffies, at least 1; 0: the time is over */
#define wait_for_completion_timeout(c, timeout) \
	({ \
		u64 until_ = softhca_deadline((long)(timeout)); \
		(unsigned long)(softhca_wait_completion(c, until_, SOFTHCA_AT_) ? softhca_left(until_) : 0); \
	})
#define wait_for_completion_interruptible_timeout(c, timeout) ((long)wait_for_completion_timeout(c, timeout))

/** struct semaphore - limits the threads inside; a thread that leaves completes the wait of another */
struct semaphore {
	struct completion free;
};

#define sema_init(s, n) (init_completion(&(s)->free), (s)->free.done = (u32)(n))
#define down(s) wait_for_completion(&(s)->free)
#define down_interruptible(s) wait_for_completion_interruptible(&(s)->free)
/** down_trylock() - Return: 0: taken */
#define down_trylock(s) ((int)!try_wait_for_completion(&(s)->free))
#define up(s) complete(&(s)->free)

/* --- threads --- */

#define TASK_RUNNING 0u
#define TASK_INTERRUPTIBLE 1u
#define TASK_UNINTERRUPTIBLE 2u
#define TASK_COMM_LEN 16

/** struct task_struct - a thread. @comm: its name; @pid: its number */
struct task_struct {
	char comm[TASK_COMM_LEN];
	pid_t pid;
	/* The library's. */
	pthread_t thread;
	int (*fn)(void *data);
	void *data;
	int ret;
	u32 state;
	u32 should_stop;
	u32 seq; /* of @wake, when the state was set */
	struct completion start;
	struct wait_queue_head wake;
	pthread_mutex_t lock; /* the next one */
	struct wait_queue_head *waits; /* where it waits, or NULL */
	struct list_head entry;
};

/** softhca_current() - this thread's task; also for threads that kthread_create() didn't make */
struct task_struct *softhca_current(void);

/**
 * kthread_create() - a thread that runs @fn when it is woken
 *
 * May sleep. Return: the task, or an error pointer. kthread_stop() may also be called after @fn has returned. Without kthread_stop() the
 * task is kept to the program's end.
 */
struct task_struct *kthread_create(int (*fn)(void *data), void *data, const char *fmt, ...);

/** wake_up_process() - start the thread, or end the sleep of its schedule() */
int wake_up_process(struct task_struct *t);

/** kthread_stop() - make kthread_should_stop() true, and wait for the thread's end. Return: the result of its function; -EINTR: it was never woken. */
int kthread_stop(struct task_struct *t);
bool kthread_should_stop(void);

/* Call set_current_state() before the condition is evaluated and schedule() after it: a wake between the two isn't lost. */
void softhca_set_state(u32 state);
/* Return: the rest of @timeout jiffies. */
long schedule_timeout(long timeout);

#pragma GCC visibility pop

#define current softhca_current()
#define kthread_run(fn, data, ...) \
	({ \
		struct task_struct *task_ = kthread_create(fn, data, __VA_ARGS__); \
		if (!IS_ERR(task_)) \
			wake_up_process(task_); \
		task_; \
	})
#define set_current_state(state) softhca_set_state(state)
#define __set_current_state(state) softhca_set_state(state)
#define schedule() ((void)schedule_timeout(MAX_SCHEDULE_TIMEOUT))
#define schedule_timeout_interruptible(timeout) (set_current_state(TASK_INTERRUPTIBLE), schedule_timeout(timeout))
#define schedule_timeout_uninterruptible(timeout) (set_current_state(TASK_UNINTERRUPTIBLE), schedule_timeout(timeout))
#define signal_pending(task) ((void)(task), false)

#endif
