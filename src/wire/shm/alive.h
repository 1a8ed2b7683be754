/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A word of a node's file that tells whether its process lives: the system itself marks
 * it when the process ends, or becomes another program, however that comes. It does so
 * before the process's number can be another one's, so whoever finds the word unmarked
 * after a call by that number knows whom the call met. This room's own.
 */
#ifndef HCA_SHM_ALIVE_H
#define HCA_SHM_ALIVE_H

#include <linux/futex.h>

#include "os.h"

/** struct shm_alive - what the system reads at a thread's end; memory of that thread's process, which stays until then */
struct shm_alive {
	struct robust_list_head head;
	struct robust_list word;
};

/**
 * shm_alive_hold() - the word lives as long as the calling thread
 * @word: 0 until now
 *
 * The thread must not hold mutexes of the C library that are robust: it has one list. Where the system can't do this the word
 * stays 0.
 */
void shm_alive_hold(struct shm_alive *a, u32 *word);

/** shm_alive_as() - Return: the value of @word while its thread lives, never 0; 0: it doesn't live, or that is unknown */
static inline u32 shm_alive_as(const u32 *word)
{
	u32 is = hca_load(word);

	return is & FUTEX_OWNER_DIED ? 0 : is & FUTEX_TID_MASK;
}

/** shm_alive_still() - does it live after all that was done before, if @was is what shm_alive_as() said before that? */
static inline bool shm_alive_still(const u32 *word, u32 was)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return was && shm_alive_as(word) == was;
}

#endif
