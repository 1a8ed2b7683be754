/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of this folder share: the wire of a process and its peers.
 *
 * Locks, outermost first: @taking (one thread reads the rings; a flag, so that others don't wait), @connecting, a peer's
 * @lock. Only @taking is held while a client is called.
 */
#ifndef HCA_SHM_INTERNAL_H
#define HCA_SHM_INTERNAL_H

#include <pthread.h>

#include "wire/shm/alive.h"
#include "wire/shm/direct.h"
#include "wire/shm/node.h"
#include "wire/shm/ring.h"
#include "wire/shm/share.h"
#include "wire/shm/shm.h"

/* A reply that waits, with its bytes. */
struct shm_late {
	struct shm_late *next;
	struct hca_reply r;
	u8 bytes[];
};

/**
 * struct shm_peer - another node; made when its number is first used, and stays until the wire closes
 * @node, @out: mapped and unmapped by a thread that is @connecting and holds @lock; to unmap them, it is also @taking. So a thread that is
 *	@taking, or holds @lock, may use them. Both lanes of @out are written under @lock.
 * @device: atomic: of the last node that had the number, one more than which of its process's devices it is; 0: there was none
 * @bad: the stamp of a node that wrote an invalid entry
 * @blocked: the wire said "not now" for want of room to it; since when, and the tail then
 * @named: the log has named it because it reads nothing
 * @copies: payloads that go through the ring before the peer is asked again to fetch one; @refusals: how many the next time. Under @lock.
 * @late, @late_end: replies that wait for room; of the own node, those to itself; @late is atomic, looked at without the lock
 * @in: while @taking
 * @gone: atomic: it has ended, or wrote an invalid entry; the watcher must drop it
 * @again: while @connecting: another node has the number by now, and must be watched after this one was dropped
 */
struct shm_peer {
	u32 number;
	struct hca_spinlock lock;
	struct shm_node node;
	struct shm_ring out;
	u64 stamp;
	u32 device;
	u64 bad;
	bool blocked;
	bool named;
	u64 blocked_since;
	u64 blocked_tail;
	u32 copies;
	u32 refusals;
	struct shm_late *late;
	struct shm_late **late_end;
	struct shm_ring in;
	int pidfd;
	u32 gone;
	bool again;
};

/**
 * struct hca_shm - the wire
 * @client, @client_ops: set and cleared while @taking
 * @node: own
 * @share: the public state of the adapter; @direct: its one-sided work
 * @child: this is a forked child, which can't use the wire
 */
struct hca_shm {
	struct hca_wire wire;
	struct hca_eq eq;
	struct hca_shm_config cfg;
	const struct hca_wire_client *client_ops;
	void *client;
	int dir;
	struct shm_node node;
	struct shm_share share;
	struct shm_direct direct;
	bool child;
	struct hca_shm *next; /* all of the process; under the lock of life.c */

	struct shm_peer *peer[HCA_FABRIC_NODES]; /* atomic; set while connecting */
	pthread_mutex_t connecting;
	u32 taking HCA_ALIGNED(HCA_CACHE_LINE); /* atomic */
	u8 *read_bytes; /* HCA_PIECE of them, while taking: of a read that is answered at once */
	u32 looks; /* while taking: the number of empty reads before hints are cleared */
	u32 turns; /* while taking: the number of reads before hints are cleared */
	struct hca_timer stalled;

	/* progress.c */
	u32 polls HCA_ALIGNED(HCA_CACHE_LINE); /* atomic: they go up */
	u32 streak; /* atomic: polls since the last arming */
	u32 away; /* atomic: the program polls, and the helper only checks for that */
	u32 armed; /* atomic */
	u32 arms; /* atomic: they go up */
	u32 kick; /* atomic; a futex: the helper is to look now */
	u32 stop; /* atomic */
	struct shm_alive alive; /* the helper's */
	bool has_helper;
	bool has_watcher;
	pthread_t helper;
	pthread_t watcher;
	int epoll;
	int event; /* the watcher is to look at @gone and @stop */
};

/* Is there a way to it? Of use to a thread that takes in, or holds the lock: it stays then. */
static inline bool shm_peer_is_there(const struct shm_peer *p)
{
	return hca_load_acquire(&p->node.head);
}

/* The oldest reply that waits; the lock is held. NULL: none does. */
static inline struct shm_late *shm_peer_late(struct shm_peer *p)
{
	struct shm_late *l = p->late;

	if (!l)
		return NULL;
	hca_store(&p->late, l->next);
	if (!l->next)
		p->late_end = &p->late;
	return l;
}

/* peer.c */
struct shm_peer *shm_peer_get(struct hca_shm *shm, u32 number);
int shm_peer_connect(struct hca_shm *shm, struct shm_peer *p);
int shm_peer_watch(struct hca_shm *shm, struct shm_peer *p, u64 *stamp);
void shm_peer_again(struct hca_shm *shm, struct shm_peer *p);
bool shm_peer_attach_in(struct hca_shm *shm, struct shm_peer *p);
bool shm_peer_lives(struct hca_shm *shm, struct shm_peer *p);
bool shm_peer_drop(struct hca_shm *shm, struct shm_peer *p, u64 *stamp);
void shm_peer_gone(struct hca_shm *shm, struct shm_peer *p);
void shm_peer_mistrust(struct hca_shm *shm, struct shm_peer *p, const char *what);
void shm_peers_look(struct hca_shm *shm);
void shm_peers_leave(struct hca_shm *shm);

/* take.c */
u32 shm_take(struct hca_shm *shm, bool *busy);
u32 shm_take_polled(struct hca_shm *shm);
void shm_take_last(struct hca_shm *shm, struct shm_peer *p);
void shm_take_begin(struct hca_shm *shm);
void shm_take_end(struct hca_shm *shm);

/* send.c */
enum hca_answer shm_send_to(struct hca_shm *shm, u32 number, struct hca_carried *c);
void shm_send_copies(struct shm_peer *p);
void shm_stalled(void *arg);
bool shm_send_idle(struct hca_shm *shm, u32 number);

/* reply.c */
void shm_answer(struct hca_wire *wire, u32 lid, const struct hca_reply *r);
bool shm_reply_has_room(struct hca_shm *shm, struct shm_peer *p, u32 bytes);
void shm_reply_send_late(struct hca_shm *shm, struct shm_peer *p);
u32 shm_reply_take_own(struct hca_shm *shm, struct shm_peer *p);

/* group.c */
void shm_group_learn(struct hca_shm *shm);
void shm_group_forget(struct hca_shm *shm, u32 number);
enum hca_answer shm_group_send(struct hca_shm *shm, struct hca_carried *c, struct hca_reply *r);

/* progress.c */
int shm_progress_start(struct hca_shm *shm);
void shm_progress_stop(struct hca_shm *shm);
void shm_progress_child(struct hca_shm *shm);

#endif
