/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Grace periods of the user os layer, by liburcu's bulletproof flavour: a thread is
 * known from its first read section until it exits, so that threads of a program
 * which never heard of us can read. Never called inside a read section.
 */
#include "os.h"

#include <urcu/urcu-bp.h>

#ifdef HCA_TSAN
uint32_t hca_rcu_seen;
#endif

void hca_rcu_synchronize(void)
{
	HCA_ASSERT(!_urcu_bp_read_ongoing());
	urcu_bp_synchronize_rcu();
#ifdef HCA_TSAN
	(void)__atomic_load_n(&hca_rcu_seen, __ATOMIC_ACQUIRE);
#endif
}

/* A forked child has none of its parent's other threads: it must not wait for their read sections. */
__attribute__((constructor)) static void follow_forks(void)
{
	pthread_atfork(urcu_bp_before_fork, urcu_bp_after_fork_parent, urcu_bp_after_fork_child);
}
