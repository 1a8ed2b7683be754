/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waiting for a bit or a variable, waits of a task's own making (prepare_to_wait()), and bits as locks. All
 * waits for bits and variables share a few queues, by address. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_WAIT_BIT_H
#define SOFTHCA_KERNEL_WAIT_BIT_H

#include "softhca/kernel/wait.h"

#pragma GCC visibility push(default)

/** softhca_bit_queue() - where waiters for what is at @addr wait, with those for other addresses */
struct wait_queue_head *softhca_bit_queue(const volatile void *addr);

/** wake_up_var() - waiters of wait_var_event() look at their condition again. Any context. */
static inline void wake_up_var(const volatile void *var)
{
	softhca_wake(softhca_bit_queue(var));
}

/** wake_up_bit() - the same for wait_on_bit(); the bit was cleared before */
static inline void wake_up_bit(const volatile void *word, int bit)
{
	(void)bit;
	softhca_wake(softhca_bit_queue(word));
}

/**
 * prepare_to_wait() - a wake of @wq from now on ends the next schedule() of this thread
 * @state: TASK_INTERRUPTIBLE or TASK_UNINTERRUPTIBLE
 *
 * Then ask for the condition, schedule(), and begin again; finish_wait() at the end.
 */
void prepare_to_wait(struct wait_queue_head *wq, struct wait_queue_entry *entry, u32 state);

/** finish_wait() - the end of what prepare_to_wait() began */
void finish_wait(struct wait_queue_head *wq, struct wait_queue_entry *entry);

/** wait_woken() - in a loop between add_wait_queue() and remove_wait_queue(): until a wake, or @timeout jiffies. Return: what is left of it. */
long wait_woken(struct wait_queue_entry *entry, u32 state, long timeout);

#pragma GCC visibility pop

#define DEFINE_WAIT(name) struct wait_queue_entry name = { .task = current }
/** DEFINE_WAIT_FUNC() - @fn: woken_wake_function, of wait_woken() */
#define DEFINE_WAIT_FUNC(name, fn) struct wait_queue_entry name = { .task = fn() }
#define woken_wake_function softhca_current
#define autoremove_wake_function softhca_current
#define init_wait(w) ((void)(*(w) = (struct wait_queue_entry){ .task = current }))
#define prepare_to_wait_exclusive(wq, entry, state) prepare_to_wait(wq, entry, state)
#define add_wait_queue(wq, entry) prepare_to_wait(wq, entry, TASK_RUNNING)
#define remove_wait_queue(wq, entry) finish_wait(wq, entry)

#define wait_var_event(var, condition) wait_event(*softhca_bit_queue(var), condition)
#define wait_var_event_timeout(var, condition, timeout) wait_event_timeout(*softhca_bit_queue(var), condition, timeout)
#define wait_var_event_killable(var, condition) wait_event_killable(*softhca_bit_queue(var), condition)
#define wait_var_event_interruptible(var, condition) wait_event_interruptible(*softhca_bit_queue(var), condition)

/** wait_on_bit() - until the bit is clear, and wake_up_bit() says so. Return: 0; no signal ends it. */
#define wait_on_bit(word, bit, mode) \
	(wait_event(*softhca_bit_queue(word), !test_bit(bit, word)), smp_rmb(), softhca_zero_())
#define wait_on_bit_timeout(word, bit, mode, timeout) \
	(wait_event_timeout(*softhca_bit_queue(word), !test_bit(bit, word), timeout) ? 0 : -EAGAIN)
/** wait_on_bit_lock() - until this thread has set the bit. Return: 0. */
#define wait_on_bit_lock(word, bit, mode) \
	(wait_event(*softhca_bit_queue(word), !test_and_set_bit_lock(bit, word)), softhca_zero_())

/** test_and_set_bit_lock() - Return: false: this thread has set it, and all that follows comes after; clear_bit_unlock() is its end */
static inline bool test_and_set_bit_lock(long nr, volatile unsigned long *addr)
{
	return __atomic_fetch_or(softhca_bit_word_(nr, addr), softhca_bit_mask_(nr), __ATOMIC_ACQUIRE) &
	       softhca_bit_mask_(nr);
}

/** clear_and_wake_up_bit() - clear_bit_unlock() and wake_up_bit() */
static inline void clear_and_wake_up_bit(int bit, volatile unsigned long *word)
{
	clear_bit_unlock(bit, word);
	wake_up_bit(word, bit);
}

/* --- the rarer wait_event() --- */

#define wait_event_killable_timeout(wq, condition, timeout) wait_event_timeout(wq, condition, timeout)
#define wait_event_idle(wq, condition) wait_event(wq, condition)
#define wait_event_idle_timeout(wq, condition, timeout) wait_event_timeout(wq, condition, timeout)
#define wait_event_freezable(wq, condition) wait_event_interruptible(wq, condition)
#define wait_event_lock_irq_timeout(wq, condition, l, timeout) \
	({ \
		u64 until_ = softhca_deadline(timeout); \
		softhca_wait_event_(wq, condition, until_, NULL, spin_unlock(&(l)), spin_lock(&(l))) ? \
			softhca_left(until_) : \
			0; \
	})
#define wait_event_interruptible_lock_irq(wq, condition, l) (wait_event_lock_irq(wq, condition, l), softhca_zero_())
#define wake_up_nr(wq, n) softhca_wake(wq)
#define wake_up_locked(wq) softhca_wake_locked(wq)
#define wake_up_all_locked(wq) softhca_wake_locked(wq)
#define wake_up_poll(wq, key) softhca_wake(wq)
#define wake_up_interruptible_poll(wq, key) softhca_wake(wq)
#define wake_up_interruptible_sync(wq) softhca_wake(wq)
/** io_schedule() - schedule(), waiting for I/O */
#define io_schedule() schedule()
#define wake_up_process_sync(t) wake_up_process(t)

#endif
