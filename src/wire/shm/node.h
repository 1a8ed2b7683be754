/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fabric's directory and the files of nodes: numbers, locks, leftovers. A node's
 * file is locked as long as its process lives; one that isn't is a leftover, and the
 * first process that gets its lock removes it. Private to this folder.
 */
#ifndef HCA_SHM_NODE_H
#define HCA_SHM_NODE_H

#include "os.h"
#include "softhca/abi/fabric.h"
#include "wire/shm/file.h"

/** struct shm_node - a mapped node; @head NULL: there is none. @fd: own node's: the lock; others': -1 */
struct shm_node {
	struct hca_fabric_node *head;
	size_t bytes;
	u32 number;
	int fd;
};

#define SHM_NAME_BYTES 32u

/** shm_dir_open() - @path as struct hca_shm_config has it. Return: 0, or an error that was logged */
int shm_dir_open(const char *path, int *dir);

/** shm_ring_name() - of the ring's file, into SHM_NAME_BYTES */
void shm_ring_name(char *name, u32 from, u32 to);

/** shm_dir_clean() - remove what dead nodes left */
void shm_dir_clean(int dir);

/** shm_dir_bury() - a node died: remove its file and its ring to @own, unless its number was taken again */
void shm_dir_bury(int dir, u32 number, u32 own);

/** shm_dir_nodes() - call @fn for each node that has a file, dead ones too */
void shm_dir_nodes(int dir, void (*fn)(void *ctx, u32 number), void *ctx);

/** shm_remedy() - what to do about a file system without room, as words behind what happened; "" of other errors */
const char *shm_remedy(int err);

/** shm_node_create() - take a number up to @max; not ready yet. Return: 0; -ENOSPC: no number, no room; other errors. Logged. */
int shm_node_create(int dir, u32 max, struct shm_node *node);

/** shm_node_ready() - others may find it from now on */
void shm_node_ready(struct shm_node *node);

/** shm_node_remove() - it leaves */
void shm_node_remove(int dir, struct shm_node *node);

/** shm_node_open() - another process's. Return: 0; -ESRCH: not there, or not alive, or no node; other errors */
int shm_node_open(int dir, u32 number, struct shm_node *node);

/** shm_node_has_joined() - is another process's node there and alive, with queue pairs in groups? */
bool shm_node_has_joined(int dir, u32 number);

/** shm_node_stamp() - of another process's node that is there and alive; 0: it isn't; HCA_FABRIC_STAMP_UNKNOWN */
u64 shm_node_stamp(int dir, u32 number);

/** shm_node_is_locked() - is the process that wrote this file alive? As far as locks tell. */
bool shm_node_is_locked(int dir, const struct shm_node *node);

/** shm_node_pidfd() - to wait for its end. Return: a descriptor; -ESRCH: it ended; -ENOENT: its pid says nothing here; other errors */
int shm_node_pidfd(const struct shm_node *node);

/** shm_node_unmap() - another process's */
void shm_node_unmap(struct shm_node *node);

/** shm_node_tell() - set our bit among those that are pending at @to. Return: its helper is to be woken by shm_node_wake(), no lock held */
static inline bool shm_node_tell(struct hca_fabric_node *to, u32 from)
{
	u64 *word = &to->pending[from / 64], bit = 1ull << (from % 64);
	u64 summary_bit = 1ull << (from / 64);

	/* A bit that is set by now is taken back before the reader looks into the ring again, and whoever set it woke the helper. */
	hca_mb();
	if (hca_load(word) & bit && hca_load(&to->summary) & summary_bit)
		return false;
	hca_fetch_or(word, bit);
	hca_fetch_or(&to->summary, summary_bit);
	if (!hca_load(&to->sleeping))
		return false;
	hca_fetch_add(&to->bell, 1u);
	return true;
}

/** shm_node_wake() - the helper, which may have gone, and its file with it: then this does nothing */
void shm_node_wake(struct hca_fabric_node *to);

#endif
