/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tasklets, and what speaks of interrupts. Tasklets are called one after another in a thread of the
 * library, which counts as one that holds a spin lock: they may not sleep. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_TASKLET_H
#define SOFTHCA_KERNEL_TASKLET_H

#include "softhca/kernel/base.h"
#include "softhca/kernel/lock.h"
#include "softhca/list.h"

#pragma GCC visibility push(default)

/** struct tasklet_struct - a call of @callback, or of @func with @data. The rest is the library's. */
struct tasklet_struct {
	void (*callback)(struct tasklet_struct *t);
	void (*func)(unsigned long data);
	unsigned long data;
	bool use_callback;
	bool queued;
	u32 disabled;
	struct list_head entry;
};

/** tasklet_schedule() - one call, soon; none more if it is scheduled already. Any context. */
void tasklet_schedule(struct tasklet_struct *t);

/** tasklet_kill() - it isn't scheduled, and no call is under way. May sleep; not from a tasklet. */
void tasklet_kill(struct tasklet_struct *t);

/** tasklet_disable() - no call is under way, and none begins until tasklet_enable(); _nosync: one may be under way */
void tasklet_disable(struct tasklet_struct *t);
void tasklet_disable_nosync(struct tasklet_struct *t);
void tasklet_enable(struct tasklet_struct *t);

/** in_softirq() - is this a tasklet's call? */
bool softhca_in_tasklet(void);

#pragma GCC visibility pop

#define DECLARE_TASKLET(name, fn) struct tasklet_struct name = { .callback = (fn), .use_callback = true }
#define DECLARE_TASKLET_OLD(name, fn) struct tasklet_struct name = { .func = (fn) }
#define tasklet_setup(t, fn) ((void)(*(t) = (struct tasklet_struct){ .callback = (fn), .use_callback = true }))
#define tasklet_init(t, fn, arg) ((void)(*(t) = (struct tasklet_struct){ .func = (fn), .data = (arg) }))
#define tasklet_hi_schedule(t) tasklet_schedule(t)
#define from_tasklet(var, callback_tasklet, field) container_of(callback_tasklet, __typeof__(*(var)), field)

#define in_softirq() softhca_in_tasklet()
#define in_serving_softirq() softhca_in_tasklet()
/* There are no interrupts. */
#define in_interrupt() softhca_in_tasklet()
#define in_irq() false
#define in_hardirq() false
#define in_task() (!softhca_in_tasklet())
#define irqs_disabled() false

typedef enum irqreturn {
	IRQ_NONE,
	IRQ_HANDLED,
	IRQ_WAKE_THREAD,
} irqreturn_t;

#endif
