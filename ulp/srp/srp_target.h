/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the SRP target share: the target, its nexuses, its channels and
 * the commands they have in hand.
 *
 * All that happens on a channel's completion queue happens one after the other: its handlers own the channel, and need no
 * lock. What others touch (task management of another channel, the target's thread) is
 * atomic or under the target's lock, which is never held while something is posted.
 */
#ifndef SRP_TARGET_H
#define SRP_TARGET_H

#include <pthread.h>

#include "srp_private.h"

/* RDMA requests that one command may have under way: with its own small buffer, and with an area. */
#define TGT_FEW_WRS 8u
#define TGT_MANY_WRS 32u
/* Bytes of a command's own data buffer: what is no longer doesn't wait for an area. */
#define TGT_SMALL 4096u
#define TGT_LEAST_CHUNK (64u << 10)
/* Responses whose buffers may be in flight before one of them asks for a completion. */
#define TGT_QUIET 8u
/* Receives beyond the credits: the initiator's responses to our own requests, and one to notice an overrun with. */
#define TGT_SPARE 3u

/** struct tgt_nexus - one initiator port logged in; its channels hold it */
struct tgt_nexus {
	struct tgt_nexus *next;
	u8 port_id[SRP_PORT_ID];
	struct scsi_nexus scsi;
	u32 refs; /* channels; under the target's lock */
};

/** struct tgt_area - room for a piece of data and for a fetched table */
struct tgt_area {
	struct tgt_area *next;
	struct srp_mem data;
	struct srp_mem table;
};

/** struct tgt_recv - a receive buffer */
struct tgt_recv {
	struct ib_cqe cqe;
	struct tgt_channel *ch;
	u8 *iu;
	dma_addr_t dma;
};

/*
 * A command's state is a sequence number and one of these, in one word, so that another thread aborts the command that it
 * saw and no later one.
 */
enum tgt_cmd_state {
	TGT_FREE, /* or nothing that can be aborted */
	TGT_ACTIVE, /* in hand; whoever changes this decides if there is a response */
	TGT_ABORTED, /* the channel's handler finds this, and drops it */
	TGT_STATES = 4,
};

/**
 * struct tgt_cmd - a request of an initiator in hand
 * @cqe: of the request whose completion goes on with it, or frees it
 * @state: atomic; see enum tgt_cmd_state
 * @tag: stays from ACTIVE on
 * @recv: the IU's buffer, as long as descriptors are read from it; or NULL
 * @data: the direction that is moved; @other: bytes of a buffer in the other
 * @descs: the table, in the IU or fetched
 * @at, @at_off: the descriptor that the next byte goes to, and how much of it is done
 * @area: or NULL
 * @small, @buf: @TGT_SMALL bytes for data, SCSI_BUF bytes for replies
 * @piece: what is being moved: @piece_len bytes that are @piece_at in the command's data, @piece_done of them
 * @aborter: the task management request that waits until it is dropped; set before ABORTED
 * @waits: of a task management request: commands that it waits for, and 1; atomic
 * @key: to invalidate with the response; 0: none
 */
struct tgt_cmd {
	struct ib_cqe cqe;
	struct tgt_channel *ch;
	u32 state;
	u64 tag;
	struct tgt_cmd *next;
	struct tgt_recv *recv;
	struct scsi_cmd scsi;

	struct srp_data data;
	u32 other;
	const u8 *descs;
	u32 at, at_off;
	u32 key;
	bool in;
	bool fetched;
	bool failed;

	struct tgt_area *area;
	u8 *small, *buf;
	dma_addr_t small_dma, buf_dma;
	u8 *piece;
	dma_addr_t piece_dma;
	u32 piece_at, piece_len, piece_done;

	struct tgt_cmd *aborter;
	u32 waits;
	struct srp_tsk_mgmt tm;
	u8 tm_code;
};

enum tgt_channel_state {
	TGT_LIVE,
	TGT_LOGOUT, /* a T_LOGOUT is on its way; nothing new is begun */
	TGT_DEAD, /* the target's thread is to take it down */
};

/**
 * struct tgt_channel - a queue pair that an initiator has logged in on
 * @state: atomic
 * @conn: NULL only before its acceptance
 * @free: commands
 * @waiting: those that wait for an area
 * @flying: those whose last requests are posted, in order; freed up to the one that completes
 * @quiet: of them, since the last that asked for a completion
 * @taken: requests received and not answered
 * @owed: credits of requests that had no response; atomic
 * @tms: task management requests that are not answered; atomic
 * @tm_refs: the same, until their answer has been posted: the channel stays that long
 * @ours: a request of ours is under way that the initiator hasn't answered; atomic
 * @kick: the thread is to send a T_LOGOUT; under the target's lock
 */
struct tgt_channel {
	struct tgt_channel *next; /* of the target */
	struct srp_target *t;
	struct tgt_nexus *nexus;
	struct srp_cm_conn *conn;
	struct ib_pd *pd;
	struct srp_qp qp;
	u32 state;
	u32 max_iu;
	u32 chunk; /* bytes of a piece */
	bool invalidate;

	struct ib_cqe ours_cqe;
	struct ib_cqe logout_cqe;
	struct srp_mem recv_mem, cmd_mem;
	struct tgt_recv *recvs;
	struct tgt_cmd *cmds;
	struct tgt_area *areas;
	u32 n_recvs, n_cmds;

	struct tgt_cmd *free;
	struct tgt_cmd *waiting, **waiting_last;
	struct tgt_cmd *flying, **flying_last;
	struct tgt_area *free_areas;
	u32 quiet;
	u32 taken;
	u32 owed;
	u32 tms;
	u32 tm_refs;
	u32 ours;
	bool kick;

	u64 n_commands, n_bytes_in, n_bytes_out, n_tables, n_task_mgmt, n_aborted, n_bad;
};

/** struct tgt_login - a request to connect, as it came */
struct tgt_login {
	struct tgt_login *next;
	struct srp_cm_conn *conn;
	struct srp_cm_addr peer;
	u32 len;
	u8 data[SRP_CM_PRIVATE];
};

/**
 * struct srp_target - see srp.h; @lock guards what follows it
 * @thread: logs in, logs out and takes channels down: no one else frees one, or takes it from the list
 * @event: asynchronous event to be sent
 */
struct srp_target {
	struct srp_target_attr attr;
	char name[SRP_CM_NAME];
	struct srp_cm *cm;
	pthread_t thread;
	u64 tags; /* of our own requests; atomic */

	pthread_mutex_t lock;
	pthread_cond_t wake; /* the thread */
	struct tgt_channel *channels;
	struct tgt_nexus *nexuses;
	struct tgt_login *logins, **logins_last;
	u32 n_channels;
	u32 n_nexuses;
	u8 event[32];
	u32 event_len;
	bool stop;
	struct srp_target_stats stats; /* of channels that are gone, and logins */
};

/* --- srp_target_login.c --- */
/** tgt_login() - answer it; from the thread */
void tgt_login(struct srp_target *t, struct tgt_login *l);
/** tgt_login_reject() - and the request is forgotten */
void tgt_login_reject(struct srp_target *t, struct srp_cm_conn *conn, u64 tag, enum srp_reject reason);
/** tgt_nexus_put() - a channel leaves it; the target's lock is held */
void tgt_nexus_put(struct srp_target *t, struct tgt_nexus *n);
/** tgt_channel_free() - drained, and in no list; also one that was never whole */
void tgt_channel_free(struct tgt_channel *ch);

/* --- srp_target.c --- */
/** tgt_fail() - the channel's connection is worth nothing any more: the thread will take it down. Any context. */
void tgt_fail(struct tgt_channel *ch);
/** tgt_logout() - T_LOGOUT, and then as tgt_fail(). From its handler, or the thread. */
void tgt_logout(struct tgt_channel *ch, enum srp_logout reason);
/** tgt_take_down() - to its end, at once; from the thread */
void tgt_take_down(struct tgt_channel *ch);
/** tgt_credit() - CRED_REQ, if credits are owed and nothing else will bring them. From the channel's handler. */
void tgt_credit(struct tgt_channel *ch);

/* --- srp_target_cmd.c --- */
/** tgt_recv_done() - an IU has come */
void tgt_recv_done(struct ib_cq *cq, struct ib_wc *wc);
/** tgt_recv_post() - the buffer may be filled again. Return: 0 or -errno */
int tgt_recv_post(struct tgt_recv *r);
/** tgt_respond() - the command is over: finish it, and send the response behind the @wrs that were built for it */
void tgt_respond(struct tgt_cmd *c, struct ib_rdma_wr *wrs, u32 n);
/** tgt_refuse() - the command is over: its IU made no sense */
void tgt_refuse(struct tgt_cmd *c);
/** tgt_drop() - the command was aborted: no response. From the channel's handler. */
void tgt_drop(struct tgt_cmd *c);
/** tgt_aborted() - must the command be dropped? */
static inline bool tgt_aborted(const struct tgt_cmd *c)
{
	return (__atomic_load_n(&c->state, __ATOMIC_ACQUIRE) & (TGT_STATES - 1)) == TGT_ABORTED;
}
/** tgt_aborter_done() - one command less that a task management request waits for; whoever makes it none, answers it */
void tgt_aborter_done(struct tgt_cmd *tm);

/* --- srp_target_tm.c --- */
void tgt_task_mgmt(struct tgt_channel *ch, struct tgt_recv *r, u32 len);

/* --- srp_target_data.c --- */
/** tgt_data_begin() - move the data of a command that has some */
void tgt_data_begin(struct tgt_cmd *c);
/** tgt_area_take() - from a command: its area, or NULL */
static inline struct tgt_area *tgt_area_take(struct tgt_cmd *c)
{
	struct tgt_area *a = c->area;

	c->area = NULL;
	return a;
}
/** tgt_area_give() - to the next that waits, which goes on at once; NULL is allowed. The last thing that a caller does. */
void tgt_area_give(struct tgt_channel *ch, struct tgt_area *a);

#endif
