/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What tests/thread_soak.c is made of: eight threads, two adapters and 64 queue pairs on one wire, in
 * 32 connections that carry random traffic while queue pairs are reset, destroyed and connected
 * again, and while keys come and go.
 *
 *   soak_traffic.c   posting requests and checking their completions
 *   soak_key.c       memory that an end opens to its peer for a while
 *   soak_link.c      connecting the two ends of a connection, and taking them down
 *   soak_bed.c       the wire, the adapters, memory
 *   soak_group.c     beside all that: groups, GIDs and fast memory regions, on two adapters of their own
 *   thread_soak.c    the threads, and what must be true in the end
 *
 * Each end has an owner, the thread that changes its queue pair, and a guest, another thread that posts
 * to it. Any thread may poll any completion queue and check what it finds there, with the queue's mutex held.
 * Everything that is found wrong is printed by soak_wrong() and counted.
 */
#ifndef TESTS_SOAK_H
#define TESTS_SOAK_H

#include <pthread.h>

#include "hca/fmr.h"
#include "lossy_wire.h"
#include "wire/loop.h"

#define SOAK_THREADS 8u
#define SOAK_LINKS 32u
#define SOAK_ENDS (2 * SOAK_LINKS)
#define SOAK_POSTERS 2u /* of an end: its owner and its guest */
#define SOAK_REQS 16u /* that a poster has under way */
#define SOAK_SQ 20u /* less than both posters could fill */
#define SOAK_RQ 16u
#define SOAK_SLOT 4096u /* bytes of a request's own memory */
#define SOAK_RECV 8192u /* of a receive buffer: no message is as long */
#define SOAK_LONG (200u << 10) /* of a half of it, a request may take more than one piece */
#define SOAK_SRQ 64u
/* Of a completion queue: all that its ends can have there, polled or not, and their marks. */
#define SOAK_CQE (SOAK_ENDS * (SOAK_POSTERS * SOAK_REQS + SOAK_RQ + 2) + SOAK_SRQ)
#define SOAK_PATIENCE 120u /* seconds that any one request may take */
#define SOAK_CANARY 0xee

/** enum soak_op - what a request was posted for */
enum soak_op {
	SOAK_MESSAGE, /* a send of any kind */
	SOAK_WRITE, /* to the peer's memory of this very request */
	SOAK_WRITE_IMM, /* the same, and a message */
	SOAK_READ, /* of the peer's memory that never changes */
	SOAK_ADD,
	SOAK_SWAP, /* as SOAK_ADD, by compare and swap */
	SOAK_WRITE_KEY, /* to memory that the peer opened for a while */
	SOAK_READ_KEY, /* into such memory of this end */
	SOAK_OPEN_KEY,
	SOAK_CLOSE_KEY,
	SOAK_MARK, /* the last request of a queue pair in error */
	SOAK_OPS,
};

/** struct soak_req - a request under way; @expect: the word that an atomic will find */
struct soak_req {
	enum soak_op op;
	bool signaled;
	u32 len;
	u32 pos;
	u64 seed;
	u64 expect;
};

/**
 * struct soak_poster - one thread's requests at one end, in a ring
 * @head: the CQ's mutex; atomic, as the poster looks whether there is room
 * @tail: the poster
 * @msg: number of its next message, @adds: the value that its next atomic finds
 * @failed: a request has failed: all later ones complete, signaled or not
 */
struct soak_poster {
	struct soak_req req[SOAK_REQS];
	u32 head;
	u32 tail;
	u32 msg;
	u64 adds;
	bool failed;
};

/** struct soak_ram - an end's memory. Words of @source are soak_word() of the link and their place, those of @shared the same or its complement. */
struct soak_ram {
	u8 source[SOAK_LONG];
	u8 shared[SOAK_LONG];
	u8 out[SOAK_POSTERS][SOAK_REQS][SOAK_SLOT];
	u8 in[SOAK_POSTERS][SOAK_REQS][SOAK_SLOT]; /* written by the peer's posters */
	u8 recv[SOAK_RQ][SOAK_RECV];
	u64 counter[SOAK_SLOT / 8]; /* one for each of the peer's posters */
};

enum soak_key_kind { SOAK_KEY_MR, SOAK_KEY_FAST, SOAK_KEY_MW1, SOAK_KEY_MW2, SOAK_KEY_KINDS };
enum soak_key_state { SOAK_KEY_NONE, SOAK_KEY_OPENING, SOAK_KEY_OPEN, SOAK_KEY_CLOSING, SOAK_KEY_CLOSED };

/** struct soak_key - of @shared; the owner's, but for the atomics @kind, @state and @published, the key that posters use, or 0 */
struct soak_key {
	u32 kind; /* enum soak_key_kind */
	u32 state; /* enum soak_key_state */
	u32 published;
	u32 key;
	struct hca_mr *mr;
	struct hca_mw *mw;
};

enum soak_state { SOAK_DOWN, SOAK_UP, SOAK_DRAINING };

/** struct soak_end - one queue pair and what belongs to it */
struct soak_end {
	u32 index;
	struct soak_side *side;
	struct soak_cq *cq;
	struct soak_link *link;
	struct soak_end *peer;
	struct soak_ram *ram;
	struct hca_qp *qp;
	u32 qpn; /* atomic: for datagrams */
	bool srq;

	pthread_mutex_t ctl; /* changing the queue pair: the owner, or who connects */
	pthread_rwlock_t use; /* the guest, while it posts; the owner, while it destroys */
	u32 state; /* atomic, enum soak_state */
	u32 closing; /* atomic: nobody should post any more */
	u32 broken; /* atomic: a request failed */
	u32 alive; /* atomic: there is a queue pair, and it may have events */
	u32 last_wqe; /* atomic: how often HCA_EVENT_QP_LAST_WQE_REACHED came */
	bool sqd; /* it was sent to SQD */
	bool marked; /* its marks are posted */
	u32 marks; /* atomic: how many came */
	u64 psn;
	u64 since; /* when it began to drain */

	/* the CQ's mutex */
	u32 gen; /* what is posted before a reset completes under this number, or never */
	u32 next_msg[SOAK_POSTERS]; /* of the peer's posters */

	u32 recv_head; /* the CQ's mutex; atomic */
	u32 recv_tail; /* the owner */
	struct soak_poster poster[SOAK_POSTERS];
	struct soak_key key;
};

/** struct soak_link - a connection; @disturbed: atomic: something was done that lets requests fail; @conn: how often it was connected */
struct soak_link {
	struct soak *s;
	u32 index;
	enum hca_qp_type type;
	bool keys; /* its ends open memory to each other */
	u8 timeout;
	u32 disturbed;
	u32 conn;
	struct soak_end end[2];
};

struct soak_cq {
	struct hca_cq cq;
	pthread_mutex_t lock;
};

/** struct soak_side - an adapter; it calls the bytes of all ends' memory from @base on by their number */
struct soak_side {
	struct soak *s;
	struct hca hca;
	struct hca_mem mem;
	u64 base;
	struct hca_pd pd;
	struct hca_mr *all;
	struct hca_srq srq;
	u32 srq_posted[SOAK_SRQ]; /* atomic: is this buffer in the queue? */
	u8 (*srq_ram)[SOAK_RECV];
	struct soak_cq cq[SOAK_THREADS];
};

struct soak_counts {
	u64 requests;
	u64 messages;
	u64 failed;
	u64 bytes;
	u64 connects;
	u64 destroys;
	u64 keys;
};

/** struct soak - the bed */
struct soak {
	const char *name;
	bool packets;
	struct hca_loop loop;
	struct hca_eq eq;
	struct lossy_wire lossy;
	u8 *ram;
	size_t ram_len;
	struct soak_side side[2];
	struct soak_link link[SOAK_LINKS];
	u32 stop; /* atomic */
	u32 wrong; /* atomic */
	struct soak_counts n; /* each atomic */
};

/** struct soak_thread - one of the threads; @random is its own */
struct soak_thread {
	struct soak *s;
	u32 index;
	u64 random;
};

#define soak_count(s, what, by) ((void)__atomic_fetch_add(&(s)->n.what, (u64)(by), __ATOMIC_RELAXED))

/** soak_random() - below @n */
static inline u32 soak_random(struct soak_thread *t, u32 n)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return (u32)(t->random >> 32) % n;
}

static inline struct soak *soak_of(const struct soak_end *e)
{
	return e->link->s;
}

static inline u32 soak_owner(const struct soak_end *e)
{
	u32 l = e->link->index, which = e->index & 1;

	return which ? (l + 1 + l / SOAK_THREADS) % SOAK_THREADS : l % SOAK_THREADS;
}

static inline u32 soak_guest(const struct soak_end *e)
{
	return (soak_owner(e) + 3) % SOAK_THREADS;
}

static inline u64 soak_addr(const struct soak_side *side, const void *p)
{
	return side->base + (u64)((const u8 *)p - side->s->ram);
}

/** soak_word() - 8 bytes of a pattern; patterns of different seeds differ in all of them */
static inline u64 soak_word(u64 seed, u32 i)
{
	return (seed + i) * 0x9e3779b97f4a7c15ull;
}

void soak_fill(u8 *p, u32 len, u64 seed, u32 first);
bool soak_same(const u8 *p, u32 len, u64 seed, u32 first);
bool soak_untouched(const u8 *p, u32 len);

/** soak_link_seed() - of what never changes */
static inline u64 soak_link_seed(const struct soak_link *l)
{
	return ((u64)l->index + 1) << 40;
}

void soak_wrong(const struct soak_end *e, int line, const char *what, u64 a, u64 b);
#define soak_check(e, ok, a, b) ((ok) ? (void)0 : soak_wrong(e, __LINE__, #ok, (u64)(a), (u64)(b)))

/* soak_bed.c */
void soak_open(struct soak *s, const char *name, bool packets, u64 seed);
void soak_close(struct soak *s);

/* soak_traffic.c. A request's tag in wr_id: generation, what it is of, number. */
enum { SOAK_OF_POSTER0, SOAK_OF_POSTER1, SOAK_OF_RECV, SOAK_OF_SRQ, SOAK_OF_MARK };

static inline u64 soak_tag(const struct soak_end *e, u32 of, u32 seq)
{
	return (u64)e->gen << 40 | (u64)of << 32 | seq;
}

/** soak_may_fail() - was something done that lets requests of this end fail? Packets are lost, and a thread may not be run for long. */
static inline bool soak_may_fail(const struct soak_end *e)
{
	return hca_load_acquire(&e->link->disturbed) || e->link->keys || e->link->type != HCA_QPT_RC ||
	       soak_of(e)->packets;
}

void soak_post_random(struct soak_thread *t, struct soak_end *e, u32 poster);
int soak_post(struct soak_end *e, u32 poster, struct hca_send_wr *wr, const struct soak_req *r);
void soak_post_receives(struct soak_end *e);
void soak_stock_srq(struct soak_side *side, u32 from);
void soak_poll(struct soak_cq *cq);

/* soak_key.c */
void soak_key_tick(struct soak_thread *t, struct soak_end *e);
void soak_key_ended(struct soak_end *e, enum soak_op op, enum hca_wc_status status);
void soak_key_destroy(struct soak_end *e);

/* soak_link.c */
void soak_create(struct soak_end *e);
void soak_tick(struct soak_thread *t, struct soak_end *e, u32 chaos);
void soak_to_error(struct soak_end *e);

/* soak_group.c */
#define SOAK_MEMBERS 4u
#define SOAK_FMR_MAPS 8u
#define SOAK_EXTRA_RAM 65536u
#define SOAK_EXTRA_SOURCE 32768u /* bytes that are written by key, all of them SOAK_EXTRA_BYTE */
#define SOAK_EXTRA_PAGE 49152u /* where they go */
#define SOAK_EXTRA_BYTE 0x5a

struct soak_extra {
	struct hca hca;
	struct hca_mem mem;
	struct hca_pd pd;
	struct hca_cq scq;
	struct hca_cq rcq;
	struct hca_mr *all;
	u8 ram[SOAK_EXTRA_RAM] HCA_ALIGNED(8);
};

/**
 * struct soak_groups - a sender and its group, a writer and what it writes to
 * @sent: datagrams that the sender's queue took
 * @key: atomic: of what is mapped, or 0
 * @joined, @has: members that are in the group; GIDs that each adapter has
 */
struct soak_groups {
	struct soak *s;
	struct soak_extra extra[2];
	struct hca_qp *sender;
	struct hca_qp *writer;
	struct hca_qp *written;
	u32 sent;
	struct hca_qp *member[SOAK_MEMBERS];
	bool joined[SOAK_MEMBERS];
	u32 has[4];
	struct hca_fmr *fmr;
	u32 key;
	struct soak_thread thread[2];
};

void soak_groups_open(struct soak *s, struct soak_groups *g, u64 seed);
void *soak_group_sends(void *groups);
void *soak_group_changes(void *groups);
void soak_groups_close(struct soak_groups *g);

#endif
