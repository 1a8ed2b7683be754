/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A word of a node's file that shows whether its process lives: the system marks
 * it when the process ends for any reason, or executes another program. It does so
 * before the pid can be reused, so a thread that finds the word unmarked
 * after a call by that pid knows that the call reached this process. Private to this folder.
 */
#ifndef HCA_SHM_ALIVE_H
#define HCA_SHM_ALIVE_H

#include <linux/futex.h>

#include "os.h"

/** struct shm_alive - memory that the system reads at a thread's end; it must stay until then */
struct shm_alive {
	struct robust_list_head head;
	struct robust_list word;
};

/**
 * shm_alive_hold() - the word lives as long as the calling thread
 * @word: 0 until now
 *
 * The thread must not hold robust mutexes of the C library: it has one list. If the system can't do this, the word
 * stays 0.
 */
void shm_alive_hold(struct shm_alive *a, u32 *word);

/** shm_alive_as() - Return: the value of @word while its thread lives, never 0; 0: it doesn't live, or that is unknown */
static inline u32 shm_alive_as(const u32 *word)
{
	u32 is = hca_load(word);

	return is & FUTEX_OWNER_DIED ? 0 : is & FUTEX_TID_MASK;
}

/** shm_alive_still() - is it still alive after earlier accesses, if @was is the result of shm_alive_as() before them? */
static inline bool shm_alive_still(const u32 *word, u32 was)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return was && shm_alive_as(word) == was;
}

#endif
