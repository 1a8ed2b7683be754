/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The file of another node, and the memory of its process, for one-sided work. Private to this folder. */
#ifndef HCA_SHM_TARGET_H
#define HCA_SHM_TARGET_H

#include "wire/shm/alias.h"
#include "wire/shm/view.h"

/**
 * struct shm_target - another node's file
 * @refs: threads that use it, beside those with a mark, and the table
 * @fd: of the file
 * @head: mapped to be written: it has a word for us
 * @mem: its memory, as a file; -1: none
 * @guard, @cookie: as it said when we met
 * @known: its process is the one that it says; @vm: the system lets us reach that one's memory: atomic
 * @aliases: which of its memory we map too: atomic; NULL: nothing was used so far
 * @asked: when it was last asked whether it lives, by the coarse clock: atomic
 * @gone: it ended, or what it says can't be: atomic
 */
struct shm_target {
	struct shm_view view;
	u32 refs;
	int fd;
	int mem;
	s32 pid;
	void *map;
	size_t size;
	struct hca_fabric_node *head;
	u64 guard;
	u64 cookie;
	struct shm_alias_peer *aliases;
	u64 asked;
	bool known;
	bool vm;
	bool gone;
};

/**
 * shm_target_meet() - open a node's file, and see whether its memory can be reached
 * @dir: of the fabric
 * Return: with one reference; NULL: there is no live node of this number, or it can't be understood; with errno ENOMEM, EMFILE or ENFILE
 * nobody knows.
 */
struct shm_target *shm_target_meet(int dir, u32 number);

/** shm_target_lives() - does its process, as far as its lock tells? */
bool shm_target_lives(const struct shm_target *p);

/** shm_target_free() - no references remain */
void shm_target_free(struct shm_target *p);

#endif
