/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Arenas that a forked child gets its own copy of; between arena.c and arena_fork.c. */
#ifndef HCA_ARENA_FORK_H
#define HCA_ARENA_FORK_H

#include "arena.h"

/** arena_fork_add() - from now on a child's views of this arena show the child's copy. Return: 0 or -ENOMEM. */
int arena_fork_add(int fd, u64 bytes);

/** arena_fork_del() - the descriptor is about to be closed; views that remain are shared with later children */
void arena_fork_del(int fd);

#endif
