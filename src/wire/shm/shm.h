/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A wire between adapters of different processes of one host and user (docs/fabric.md).
 * Each wire that is opened is a node of the fabric, with one adapter; a process may open several. For the
 * faces of a process; not core, as it is made of files, mappings, futexes and threads.
 */
#ifndef HCA_SHM_H
#define HCA_SHM_H

#include "hca/eq.h"
#include "softhca/abi/fabric.h"
#include "wire/wire.h"

struct hca_shm;

#define HCA_SHM_REQUEST_BYTES (256u << 10)
#define HCA_SHM_REPLY_BYTES (128u << 10)

/**
 * struct hca_shm_memory - how a face reaches bytes of which any may not be there; each call: 0, or -EFAULT
 * @put: copies bytes; the last one comes last, 4 and 8 come at once. With -EFAULT some were perhaps written.
 * @cmp_swap, @fetch_add: of an aligned word, atomic to the processors; set @old to what was there
 */
struct hca_shm_memory {
	int (*put)(void *to, const void *from, size_t n);
	int (*cmp_swap)(u64 *at, u64 compare, u64 swap, u64 *old);
	int (*fetch_add)(u64 *at, u64 add, u64 *old);
};

/**
 * struct hca_shm_config - what a node is made with; a field that is 0 gets what is said there
 * @dir: the fabric's directory, made if it isn't there; NULL: $SOFTHCA_FABRIC (never that of a setuid program's caller), else
 *	/dev/shm/softhca-UID
 * @request_bytes, @reply_bytes: of each ring that this node writes: HCA_FABRIC_LANE_MIN to _MAX, powers of two; 0: HCA_SHM_*_BYTES
 * @max_node: the highest number that this node may take; 0: 1023
 * @device: which of the process's devices this is: less than HCA_FABRIC_DEVICES
 * @lids: the link layer has LIDs (InfiniBand); else paths are global (RoCE)
 * @gid, @gids: the port's addresses, the same in every process of the host; none: a link-local one
 * @no_direct: leave all one-sided work to messages, as where the system forbids to reach other processes' memory
 * @memory: with it, memory that another process registered and this one maps too is reached by plain stores; NULL: as other memory
 * @any_tracer: let each process of this user reach this one's memory where Yama would allow that to its parents alone (ptrace_scope 1);
 *	it may then read and change all of it, and trace it
 * @died: a node that this one knew (hca_shm_watch(), or messages went between them) ended, or left. Its number may be another process's
 *	by now; the stamp is no other's ever. From a thread of the wire's own that takes no signals, no lock held. It may call anything but hca_shm_close(). NULL:
 *	nobody wants to know
 * @readable: @fd is readable; NULL: there is no such descriptor. From the same thread; it must read all that is there.
 * @ctx: for @died and @readable
 */
struct hca_shm_config {
	const char *dir;
	u32 request_bytes;
	u32 reply_bytes;
	u32 max_node;
	u32 device;
	bool lids;
	u32 gids;
	struct hca_gid gid[HCA_WIRE_GIDS];
	bool no_direct;
	bool any_tracer;
	const struct hca_shm_memory *memory;
	void (*died)(void *ctx, u32 node, u64 stamp);
	void (*readable)(void *ctx);
	int fd;
	void *ctx;
};

/**
 * hca_shm_open() - become a node
 *
 * Leftovers of dead nodes are removed. One thread is started; it takes no signals. May sleep.
 * Return: 0; -EINVAL: a size; -EACCES: the directory isn't ours alone; -ENOSPC: no number, or no room in the directory's file system;
 * another error of the system, as -EMFILE, -ENOMEM, -EROFS. What failed and what to do is logged. Nothing is left behind then.
 */
int hca_shm_open(struct hca_shm **out, const struct hca_shm_config *cfg);

/**
 * hca_shm_close() - leave the fabric; the adapter was closed before
 *
 * May sleep. Not from @died or a handler. In a forked child it frees the child's memory, and the parent doesn't notice.
 */
void hca_shm_close(struct hca_shm *shm);

/** hca_shm_wire() - for hca_open(): its port has the node's number as LID, and the numbers from node << 14 on for queue pairs */
struct hca_wire *hca_shm_wire(struct hca_shm *shm);

/** hca_shm_eq() - the event queue for the adapter on this wire: hca_shm_poll() and the helper run it */
struct hca_eq *hca_shm_eq(struct hca_shm *shm);

/** hca_shm_number() - the node's: 1 to 1023 */
u32 hca_shm_number(const struct hca_shm *shm);

/** hca_shm_count() - what can be seen from outside of what a queue pair does, for the face to add to; NULL: nothing of this one can */
struct hca_fabric_count *hca_shm_count(struct hca_shm *shm, u32 qpn);

/** hca_shm_is_ours() - false in a child that was forked since: it has no node, and nothing may be called but hca_shm_close() */
bool hca_shm_is_ours(const struct hca_shm *shm);

/**
 * hca_shm_poll() - take in what is in the rings
 *
 * Cheap when there is nothing. Any thread, no lock held, not inside an adapter; several at once: one does it, and the others return.
 * Return: how many messages and replies were taken in.
 */
u32 hca_shm_poll(struct hca_shm *shm);

/** hca_shm_arm() - the program is about to sleep: what arrives from now on is taken in by the helper, which calls handlers. Any thread. */
void hca_shm_arm(struct hca_shm *shm);

/**
 * hca_shm_watch() - make the way to a node ready, and tell by @died when it ends
 *
 * For each node that a queue pair is connected to; its first message is faster for it. May sleep.
 * @stamp: set to that of the node which has the number now, even if the end of one that had it before wasn't noticed yet; 0: the own one.
 *	NULL: not wanted
 * Return: 0; -ESRCH: there is no such node; another error of the system.
 */
int hca_shm_watch(struct hca_shm *shm, u32 node, u64 *stamp);

/** hca_shm_dir() - a descriptor of the fabric's directory, which the caller closes. Return: it, or a negative errno. */
int hca_shm_dir(const struct hca_shm *shm);

/** hca_shm_stamp() - a number that this life of a node's process has, and no other process; 0: there is no such node; HCA_FABRIC_STAMP_UNKNOWN. May sleep. */
u64 hca_shm_stamp(const struct hca_shm *shm, u32 node);

/**
 * hca_shm_device() - which of its process's devices a node is
 *
 * Cheap: what was learned when this node first had to do with the other one, or with the last that had its number.
 * Return: a number less than HCA_FABRIC_DEVICES; -ESRCH: this one had nothing to do with it yet.
 */
int hca_shm_device(const struct hca_shm *shm, u32 node);

/** hca_shm_joined() - @groups: how many memberships in multicast groups the adapter has now. One call at a time. May sleep. */
void hca_shm_joined(struct hca_shm *shm, u32 groups);

#endif
