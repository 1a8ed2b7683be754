/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The word of a living process; see alive.h. It is made like a robust futex: the thread's
 * list names it, and it has the thread's number, so the system marks it at the thread's
 * end (set_robust_list(2)). No thread ever waits on it.
 */
#include "wire/shm/alive.h"

#include <sys/syscall.h>
#include <unistd.h>

void shm_alive_hold(struct shm_alive *a, u32 *word)
{
	*a = (struct shm_alive){
		.head = { .list = { &a->word }, .futex_offset = (long)((uintptr_t)word - (uintptr_t)&a->word) },
		.word = { &a->head.list },
	};
	if (!syscall(SYS_set_robust_list, &a->head, sizeof(a->head)))
		hca_store_release(word, (u32)syscall(SYS_gettid));
}
