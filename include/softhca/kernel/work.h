/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Work queues and timers. A queue has threads of its own, which block all signals; a work never runs in two threads
 * at once. Timers are called in one thread of the library and may not sleep. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_WORK_H
#define SOFTHCA_KERNEL_WORK_H

#include "softhca/kernel/wait.h"
#include "softhca/list.h"

#pragma GCC visibility push(default)

/* --- timers --- */

/** struct timer_list - a call of @function at @expires (jiffies). The rest is the library's. */
struct timer_list {
	unsigned long expires;
	void (*function)(struct timer_list *t);
	struct list_head entry;
	bool active;
};

#define TIMER_DEFERRABLE 0x80000u
#define DEFINE_TIMER(name, fn) struct timer_list name = { .function = (fn) }
#define timer_setup(t, fn, flags) ((void)(flags), *(t) = (struct timer_list){ .function = (fn) })
#define from_timer(var, callback_timer, field) container_of(callback_timer, __typeof__(*(var)), field)

/** mod_timer() - call at @expires; this replaces the time of an active timer. Any context. Return: 1: it was active. */
int mod_timer(struct timer_list *t, unsigned long expires);
void add_timer(struct timer_list *t);
/** del_timer() - stop the timer: no call begins after this. Any context. Return: 1: it was active. */
int del_timer(struct timer_list *t);
/** del_timer_sync() - the same, and no call is under way afterwards. May sleep; not from the timer's function. */
int del_timer_sync(struct timer_list *t);
/** timer_shutdown() - as del_timer(), and no call starts the timer from now on; timer_shutdown_sync(): as del_timer_sync() */
int timer_shutdown(struct timer_list *t);
int timer_shutdown_sync(struct timer_list *t);
#define timer_pending(t) (__atomic_load_n(&(t)->active, __ATOMIC_RELAXED))
#define timer_delete(t) del_timer(t)
#define timer_delete_sync(t) del_timer_sync(t)

/* --- work --- */

struct workqueue_struct;
struct work_struct;
typedef void (*work_func_t)(struct work_struct *work);

/** struct work_struct - a call of @func by a thread of a queue; it may free itself there. The rest is the library's. */
struct work_struct {
	work_func_t func;
	struct list_head entry;
	struct workqueue_struct *wq; /* while it is queued */
	u64 ticket;
	bool pending; /* it is queued, or will be by a timer */
	bool queued;
};

struct delayed_work {
	struct work_struct work;
	struct timer_list timer;
	struct workqueue_struct *wq;
};

#define __WORK_INITIALIZER(name, fn) \
	{ \
		.func = (fn) \
	}
#define DECLARE_WORK(name, fn) struct work_struct name = __WORK_INITIALIZER(name, fn)
#define DECLARE_DELAYED_WORK(name, fn) struct delayed_work name = { .work = __WORK_INITIALIZER(name.work, fn) }
#define INIT_WORK(w, fn) (*(w) = (struct work_struct){ .func = (fn) })
#define INIT_DELAYED_WORK(dw, fn) (*(dw) = (struct delayed_work){ .work = { .func = (fn) } })
#define to_delayed_work(w) container_of(w, struct delayed_work, work)

#define WQ_UNBOUND (1u << 1)
#define WQ_FREEZABLE (1u << 2)
#define WQ_MEM_RECLAIM (1u << 3)
#define WQ_HIGHPRI (1u << 4)
#define WQ_CPU_INTENSIVE (1u << 5)
#define WQ_SYSFS (1u << 6)

/**
 * alloc_workqueue() - a queue with threads of its own
 * @flags: WQ_*, without effect
 * @max_active: the number of threads, and so of works that run at once, at most four; 0: four; 1: works run in the order in which they were queued
 *
 * May sleep. Return: NULL: no memory, or no thread could be started.
 */
struct workqueue_struct *alloc_workqueue(const char *fmt, unsigned int flags, int max_active, ...);

/** destroy_workqueue() - waits until all queued work has run, also work that it queues, but not for delayed work. May sleep. */
void destroy_workqueue(struct workqueue_struct *wq);

/** flush_workqueue() - waits until all work queued before has run. May sleep; not from a work of this queue. */
void flush_workqueue(struct workqueue_struct *wq);

/** drain_workqueue() - waits until nothing is queued or runs, also work that works queue meanwhile. May sleep; not from a work of this queue. */
void drain_workqueue(struct workqueue_struct *wq);

/** queue_work() - queue @w. Any context. Return: false: it is queued already. */
bool queue_work(struct workqueue_struct *wq, struct work_struct *w);

/** flush_work() - wait until it has run. Return: true: it was queued or running. May sleep. */
bool flush_work(struct work_struct *w);

/** cancel_work_sync() - dequeue it, or wait until it has run. Return: true: it was queued. May sleep. */
bool cancel_work_sync(struct work_struct *w);

/** queue_delayed_work() - queue it in @delay jiffies. Any context. Return: false: it is queued, or delayed, already. */
bool queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *dw, unsigned long delay);

/** mod_delayed_work() - the same, and it restarts a running delay. Return: true: it was delayed or queued. */
bool mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *dw, unsigned long delay);
bool cancel_delayed_work(struct delayed_work *dw);
bool cancel_delayed_work_sync(struct delayed_work *dw);
/** flush_delayed_work() - end a running delay now, and wait until the work has run. May sleep. */
bool flush_delayed_work(struct delayed_work *dw);

/** softhca_system_wq() - the library's own queue, of four threads; never NULL */
struct workqueue_struct *softhca_system_wq(void);

#pragma GCC visibility pop

#define system_wq softhca_system_wq()
#define system_long_wq softhca_system_wq()
#define system_unbound_wq softhca_system_wq()
#define system_highpri_wq softhca_system_wq()
#define alloc_ordered_workqueue(fmt, flags, ...) alloc_workqueue(fmt, flags, 1, ##__VA_ARGS__)
#define create_workqueue(name) alloc_workqueue("%s", 0, 0, name)
#define create_singlethread_workqueue(name) alloc_workqueue("%s", 0, 1, name)
#define work_pending(w) (__atomic_load_n(&(w)->pending, __ATOMIC_RELAXED))
#define delayed_work_pending(dw) work_pending(&(dw)->work)
#define schedule_work(w) queue_work(system_wq, w)
#define schedule_delayed_work(dw, delay) queue_delayed_work(system_wq, dw, delay)
#define flush_scheduled_work() flush_workqueue(system_wq)

#endif
