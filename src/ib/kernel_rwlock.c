/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reader-writer spin locks of kernel sources; see softhca/kernel/rwlock.h. Their holders may not sleep either. */
#include "kernel_private.h"
#include "softhca/kernel/rwlock.h"

void rwlock_init(rwlock_t *l)
{
	*l = (rwlock_t)__RW_LOCK_UNLOCKED(*l);
}

/* The address of a thread's own variable is its name. */
static const void *me(void)
{
	static __thread char name;

	return &name;
}

static void not_mine(const rwlock_t *l, const char *at)
{
	if (hca_load(&l->writer) != me())
		return;
	hca_log(HCA_LOG_ERR, "at %s: a lock is taken that this thread writes under already", at);
	hca_bug("lock taken twice", __FILE__, __LINE__);
}

void softhca_read_lock(rwlock_t *l, const char *at)
{
	not_mine(l, at);
	pthread_rwlock_rdlock(&l->lock);
	softhca_spin_enter(at);
}

bool softhca_read_trylock(rwlock_t *l, const char *at)
{
	if (pthread_rwlock_tryrdlock(&l->lock))
		return false;
	softhca_spin_enter(at);
	return true;
}

void softhca_read_unlock(rwlock_t *l)
{
	pthread_rwlock_unlock(&l->lock);
	softhca_spin_leave();
}

static void begin_writing(rwlock_t *l, const char *at)
{
	hca_store(&l->writer, me());
	softhca_spin_enter(at);
}

void softhca_write_lock(rwlock_t *l, const char *at)
{
	not_mine(l, at);
	pthread_rwlock_wrlock(&l->lock);
	begin_writing(l, at);
}

bool softhca_write_trylock(rwlock_t *l, const char *at)
{
	if (pthread_rwlock_trywrlock(&l->lock))
		return false;
	begin_writing(l, at);
	return true;
}

void softhca_write_unlock(rwlock_t *l, const char *at)
{
	if (hca_load(&l->writer) != me()) {
		hca_log(HCA_LOG_ERR, "at %s: a lock is released that this thread doesn't write under", at);
		HCA_WARN_ON(hca_load(&l->writer) != me());
		return;
	}
	hca_store(&l->writer, (const void *)NULL);
	pthread_rwlock_unlock(&l->lock);
	softhca_spin_leave();
}
