/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the SRP initiator share: the initiator, its channels, and the
 * slots in which requests are under way.
 *
 * A channel's lock is held for a few loads and stores: while it is, nothing is
 * posted, mapped or called. A slot belongs to one thread at a time: to who took it until the request is posted,
 * then to who answers it: the channel's completion handler, or, when the connection is down or the target has
 * confirmed that it is aborted, the initiator's thread.
 */
#ifndef SRP_INITIATOR_H
#define SRP_INITIATOR_H

#include <pthread.h>

#include "srp_private.h"

/* Sends that ask for no completion before one does, so that the queue is known to move. */
#define INI_QUIET 16u
/* A slot's tag: its index, and above it how often it was used. The tags of task management are above all of them. */
#define INI_TAG_BITS 16
#define INI_TM_TAG (1ull << 63)
/* Credits kept back for task management. */
#define INI_RESERVE 1
#define INI_ATTENTIONS 3u

/** struct ini_mr - an MR for fast registration, with the requests that make it valid and void */
struct ini_mr {
	struct ini_mr *next;
	struct ib_mr *mr;
	struct ib_reg_wr reg;
	struct ib_send_wr inv;
};

enum ini_slot_state {
	INI_FREE,
	INI_BUILDING, /* being mapped and posted, by who took it */
	INI_SENT,
	INI_ENDING, /* answered, or never to be: keys are being made void */
};

/**
 * struct srp_slot - a request under way
 * @state, @tag: under the channel's lock
 * @sending: a request of ours that isn't inline hasn't completed: its bytes must stay; under the lock
 * @mrs: registered MRs; @fmrs: mapped ones; with @n_descs
 * @mapped: entries of the mapped list; 0: not mapped
 * @table, @table_dma: room for max_sg descriptors
 * @iu: room for an IU
 */
struct srp_slot {
	struct ib_cqe send_cqe;
	struct ib_cqe inv_cqe;
	struct srp_channel *ch;
	struct srp_slot *next;
	struct srp_request *req;
	u64 tag;
	u32 index;
	u32 state;
	bool sending;
	bool retry; /* a unit attention: send it again */

	int mapped;
	u32 n_descs;
	struct ini_mr *mrs;
	u32 n_mrs;
	struct ib_pool_fmr **fmrs;
	u32 n_fmrs;
	u8 *table;
	dma_addr_t table_dma;
	u8 *iu;
	dma_addr_t iu_dma;
};

/** struct ini_recv - a receive buffer */
struct ini_recv {
	struct ib_cqe cqe;
	struct srp_channel *ch;
	u8 *iu;
	dma_addr_t dma;
};

/**
 * struct srp_channel - one queue pair of an initiator; stays over reconnections, what is below @qp doesn't
 * @inside: threads between taking a slot and having posted; atomic
 * @accepted: the target has accepted the login; atomic
 */
struct srp_channel {
	struct srp_initiator *ini;
	u32 index;

	struct srp_lock lock; /* what follows, up to @qp */
	bool live;
	bool hold; /* nothing is sent: task management */
	s32 credits;
	struct srp_slot *free;
	struct srp_request *pending, **pending_last;
	struct ini_mr *free_mrs;
	u32 n_free_mrs;
	u32 busy; /* slots that are not free */
	u64 tms;
	u64 tm_tag; /* of the function under way; 0: none */
	int tm_result; /* response code; -EINPROGRESS */
	u32 quiet;
	u64 n_requests, n_bytes_in, n_bytes_out, n_mapped, n_registered, n_direct, n_indirect, n_partial;
	u64 n_bad, n_invalidated;

	struct srp_qp qp;
	struct ib_pd *pd;
	struct srp_cm_conn *conn;
	u32 inside;
	u32 accepted;
	u32 n_slots;
	u32 n_mrs;
	u32 iu_descs;
	u32 max_iu;
	bool invalidate; /* the target does it */
	struct srp_slot *slots;
	struct ini_recv *recvs;
	u32 n_recvs;
	struct srp_mem recv_mem, iu_mem, table_mem;
	u32 table_key;
	size_t max_entry;
	struct ib_mr *table_mr;
	struct ini_mr *mrs;
	struct ib_fmr_pool *fmr_pool;
	struct ib_pool_fmr **fmr_room;
	struct ib_cqe ours_cqe; /* of all sends that are not a slot's */

	/* The answer of the login; under the initiator's lock */
	bool answered;
	int login_err;
	struct srp_login_rsp rsp;
};

/** enum ini_want - what the thread is asked for */
enum ini_want {
	INI_CONNECT, /* end what there is, and log in */
	INI_ABORT,
	INI_RESET,
};

/** struct ini_ask - a question to the thread, with room for its answer; the asker's memory, under the initiator's lock */
struct ini_ask {
	struct ini_ask *next;
	enum ini_want what;
	struct srp_channel *ch;
	struct srp_request *req;
	const u8 *lun;
	bool answered;
	int result;
};

/**
 * struct srp_initiator - see srp.h; @lock guards what follows it
 * @lost: the connection is worth nothing; atomic, as handlers set it
 * @closing: it is being taken down, and what breaks is no news; atomic
 * @tick: of the thread's clock; atomic
 * @asks: in the order in which they came
 * @refused: requests that done callbacks submitted when there was no connection: the thread ends them
 */
struct srp_initiator {
	struct srp_initiator_attr attr;
	char name[SRP_CM_NAME];
	pthread_t thread;
	u32 tick_ms;
	u64 tick;
	u32 lost;
	u32 closing;
	struct srp_channel *channels;

	pthread_mutex_t lock;
	pthread_cond_t wake; /* the thread */
	pthread_cond_t done; /* who waits for it, or it for an answer */
	struct ini_ask *asks, **asks_last;
	struct srp_request *refused, **refused_last;
	bool stop;
	u32 state; /* enum srp_state; atomic */
	u64 n_timeouts, n_aborts, n_lun_resets, n_reconnects;
};

/* --- srp_initiator.c --- */
/** ini_lost() - the connection broke: the thread will see to it. Any context. */
void ini_lost(struct srp_initiator *ini, const char *why);
/** ini_refuse() - the request ends with -EIO, from the thread. Any context. */
void ini_refuse(struct srp_initiator *ini, struct srp_request *req);
/** ini_wait() - for a condition, with the initiator's lock held, until srp_now_ms() is @until at most */
void ini_wait(struct srp_initiator *ini, pthread_cond_t *cond, u64 until);

/* --- srp_initiator_login.c --- */
/** ini_log_in() - one channel. Return: 0 or -errno, and then the channel has nothing. From the thread. */
int ini_log_in(struct srp_channel *ch);
/** ini_log_out() - what is under way ends with @error, and the channel has nothing any more. From the thread. */
void ini_log_out(struct srp_channel *ch, int error);

/* --- srp_initiator_memory.c --- */
int ini_memory_make(struct srp_channel *ch);
void ini_memory_drop(struct srp_channel *ch);
/**
 * ini_map() - the request's list becomes descriptors in the slot's table
 *
 * MRs in s->mrs are to be registered before the command goes: their reg.wr are chained.
 * Return: 0; -EAGAIN: MRs are short, until other requests end; -EMSGSIZE, -EINVAL, -ENOMEM, -EIO. ini_unmap() undoes what was
 * done in any case.
 */
int ini_map(struct srp_slot *s);
/** ini_unmap() - the keys are void, or never were valid; the rest is undone. May be called again. */
void ini_unmap(struct srp_slot *s);
/** ini_invalidate() - post what makes the keys void, but the one that the target did. Return: 1: s->inv_cqe will hear; 0: nothing to do; -errno */
int ini_invalidate(struct srp_slot *s, u32 done_key);

/* --- srp_initiator_cmd.c --- */
/** ini_slot_init() - a free one */
void ini_slot_init(struct srp_slot *s, struct srp_channel *ch, u32 index);
void ini_recv_done(struct ib_cq *cq, struct ib_wc *wc);
int ini_recv_post(struct ini_recv *r);
/** ini_end() - the request of a slot in INI_ENDING is over, its keys are void: unmap, give the slot back, go on, tell */
void ini_end(struct srp_slot *s);
/** ini_invalidated() - done() of s->inv_cqe: the request ends */
void ini_invalidated(struct ib_cq *cq, struct ib_wc *wc);
/**
 * ini_done() - the request is over: its done() is called, now or, from within another done(), when that has returned
 *
 * So a done() that submits again what ends at once is a loop, and no recursion.
 */
void ini_done(struct srp_request *req);
/** ini_in_done() - is this thread inside a done()? */
bool ini_in_done(void);
/** ini_pump() - send what waits, if it can be */
void ini_pump(struct srp_channel *ch);
/** ini_fail_pending() - requests that wait for a slot end with @error */
void ini_fail_pending(struct srp_channel *ch, int error);

/* --- srp_initiator_tm.c --- */
/** ini_check_timeouts() - from the thread, at each tick */
void ini_check_timeouts(struct srp_initiator *ini);
int ini_abort(struct srp_channel *ch, struct srp_request *req, int error);
int ini_reset(struct srp_channel *ch, const u8 lun[SCSI_LUN_LEN], int error);
/** ini_tm_answer() - a response with a tag of task management. Return: was it expected? */
bool ini_tm_answer(struct srp_channel *ch, const struct srp_rsp *rsp);

#endif
