/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Spin locks and mutexes of kernel sources; see softhca/kernel/lock.h. A thread counts the spin locks that
 * it holds, so that sleeping under one is seen.
 */
#include "kernel_private.h"
#include "softhca/kernel/lock.h"

/* This thread's; its address is its name. */
static __thread struct {
	u32 spins;
	const char *at; /* where the last one was taken */
	const char *reading; /* where the outermost RCU read section began, or NULL */
} mine;

void softhca_lock_init(struct softhca_lock *l)
{
	*l = (struct softhca_lock)SOFTHCA_LOCK_INIT;
}

bool softhca_lock_held(const struct softhca_lock *l)
{
	return hca_load(&l->owner) == &mine;
}

u32 softhca_spins(void)
{
	return mine.spins;
}

void softhca_reading(const char *at)
{
	mine.reading = at;
}

void softhca_spin_enter(const char *at)
{
	mine.spins++;
	mine.at = at;
}

void softhca_spin_leave(void)
{
	mine.spins--;
}

void softhca_might_sleep(const char *at)
{
	if (hca_likely(!mine.spins && !mine.reading))
		return;
	if (!mine.spins) {
		hca_log(HCA_LOG_ERR, "at %s: a call that may sleep, inside rcu_read_lock() of %s", at, mine.reading);
		HCA_WARN_ON(mine.reading);
		return;
	}
	hca_log(HCA_LOG_ERR, "at %s: a call that may sleep, with the spin lock held that was taken at %s", at, mine.at);
	HCA_WARN_ON(mine.spins);
}

static void take(struct softhca_lock *l, const char *at)
{
	if (softhca_lock_held(l)) {
		hca_log(HCA_LOG_ERR, "at %s: a lock is taken that this thread holds already", at);
		hca_bug("lock taken twice", __FILE__, __LINE__);
	}
	pthread_mutex_lock(&l->mutex);
	hca_store(&l->owner, (const void *)&mine);
}

static bool try_take(struct softhca_lock *l)
{
	if (pthread_mutex_trylock(&l->mutex))
		return false;
	hca_store(&l->owner, (const void *)&mine);
	return true;
}

/* Return: it was ours. */
static bool give(struct softhca_lock *l, const char *at)
{
	if (!softhca_lock_held(l)) {
		hca_log(HCA_LOG_ERR, "at %s: a lock is released that this thread doesn't hold", at);
		HCA_WARN_ON(!softhca_lock_held(l));
		return false;
	}
	hca_store(&l->owner, (const void *)NULL);
	pthread_mutex_unlock(&l->mutex);
	return true;
}

void softhca_spin_lock(struct softhca_lock *l, const char *at)
{
	take(l, at);
	softhca_spin_enter(at);
}

bool softhca_spin_trylock(struct softhca_lock *l, const char *at)
{
	if (!try_take(l))
		return false;
	softhca_spin_enter(at);
	return true;
}

void softhca_spin_unlock(struct softhca_lock *l, const char *at)
{
	if (give(l, at))
		softhca_spin_leave();
}

void softhca_mutex_lock(struct softhca_lock *l, const char *at)
{
	softhca_might_sleep(at);
	take(l, at);
}

bool softhca_mutex_trylock(struct softhca_lock *l)
{
	return try_take(l);
}

void softhca_mutex_unlock(struct softhca_lock *l, const char *at)
{
	give(l, at);
}
