/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queue pairs: making, changing and ending them, and their completions and events.
 * How their requests are carried out is their transport's: a const table of calls.
 *
 * Locks, outermost first: rx.lock, lock, rq.lock, cq.lock, eq.lock. No lock is held
 * while bytes are moved, except rx.lock while a datagram is received. A thread that carries out requests holds
 * @running instead of a lock; a thread that handles the peer's messages holds rx.busy. Other threads leave a note, and it does
 * their work.
 */
#ifndef HCA_QP_H
#define HCA_QP_H

#include "hca/hca.h"
#include "hca/mw.h"
#include "hca/sge.h"
#include "hca/sq.h"
#include "hca/xrc.h"

#define HCA_MAX_RD_ATOMIC 128u

/** struct hca_rx_node - a packet or piece that arrived while another thread was at rx; its memory is the transport's */
struct hca_rx_node {
	struct hca_rx_node *next;
};

/**
 * struct hca_qp_transport - how requests are carried out; each call may be made for any queue pair of the adapter
 * @create: the queue pair's state; everything else of it is set. May sleep. Return: 0 or -ENOMEM.
 * @destroy: the end of @create, after @reset. May sleep.
 * @at_once: carry out a request of an opcode with HCA_OP_AT_ONCE that nothing is ahead of, if that takes neither waiting nor
 *	more than a piece; NULL: never. @len bytes of data. Of a connected queue pair; running and carrying are ours, no lock
 *	held. Return: done, with success; else nothing has happened.
 * @run: issue, complete and flush what can be, unless another thread is at it. The lock is held, and given up. Not inside.
 * @timeout: the queue pair's timer fired; the lock is held. Return: is there anything for @run?
 * @modified: attributes of @mask were set; the lock is held
 * @drained: Return: true: no request is under way. The lock is held.
 * @reset: nothing is under way; no thread runs it, and none is at rx. The transport calls hca_qp_want() for it no more.
 * @has_xrc: it carries XRC
 * @late: a thread that left something at rx.backlog while this one was at it has gone; take the oldest in. rx is busy, no lock held.
 *	Return: rx is the caller's still; else a worker goes on there by @resume.
 * @resume: do what was left for a worker, if anything was; rx is busy, no lock held, not inside
 */
struct hca_qp_transport {
	bool has_xrc;
	int (*create)(struct hca_qp *qp);
	void (*destroy)(struct hca_qp *qp);
	bool (*at_once)(struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op, u64 len);
	void (*run)(struct hca_qp *qp, hca_irqflags_t flags);
	bool (*timeout)(struct hca_qp *qp);
	void (*modified)(struct hca_qp *qp, u32 mask);
	bool (*drained)(const struct hca_qp *qp);
	void (*reset)(struct hca_qp *qp);
	bool (*late)(struct hca_qp *qp, struct hca_rx_node *node);
	void (*resume)(struct hca_qp *qp);
};

/**
 * struct hca_rx - the responder's state for both transports
 * @busy: a thread handles the peer's messages, or flushes; only this thread changes @wqe and takes from the queue pair's own rq
 * @flush: a note for it: flush the receive queue
 * @backlog, @backlog_end, @waiting: a note for it: nodes that arrived meanwhile
 * @taken: @wqe is a receive request whose message is being received
 * @srq: of an XRC target: the queue that it was taken from, counted in its users
 * @to: the place of the next byte in it; @room: its bytes; @done: the bytes received so far
 * @wqe: memory for one receive request
 */
struct hca_rx {
	struct hca_spinlock lock; /* the flags, and the backlog */
	bool busy;
	bool flush;
	struct hca_rx_node *backlog;
	struct hca_rx_node **backlog_end;
	u32 waiting;

	/* of the thread that is at it */
	bool taken;
	struct hca_srq *srq;
	u64 room;
	u64 done;
	struct hca_sge_cursor to;
	struct hca_rwqe *wqe;
};

/**
 * struct hca_qp_init - attributes of a new queue pair
 *
 * HCA_QPT_SMI gets number 0, HCA_QPT_GSI 1; others get one of the port's. An HCA_QPT_XRC_INI has no receive side: @recv_cq and @srq
 * are NULL, @max_recv_wr is 0. An HCA_QPT_XRC_TGT has @xrcd, and no @pd, CQ or queue of its own.
 */
struct hca_qp_init {
	enum hca_qp_type type;
	struct hca_pd *pd;
	struct hca_cq *send_cq;
	struct hca_cq *recv_cq;
	struct hca_srq *srq;
	struct hca_xrcd *xrcd;
	u32 max_send_wr;
	u32 max_recv_wr;
	u32 max_send_sge;
	u32 max_recv_sge;
	u32 max_inline;
	bool sq_sig_all;
	bool block_mcast_loopback; /* it doesn't receive its own multicast datagrams */
	void *user; /* the consumer's: returned in its completions */
};

/* In wants, beside 1 << enum hca_event_type: */
#define HCA_QP_RUN (1u << 29) /* continue with its requests */
#define HCA_QP_RX (1u << 30) /* rx is busy, and its thread has left: continue in its place */
#define HCA_QP_FLUSH (1u << 31)

struct hca_qp {
	/* constant from creation on */
	struct hca *hca;
	const struct hca_qp_transport *transport;
	void *carrier; /* the transport's state */
	bool (*at_once)(struct hca_qp *qp, const struct hca_send_wr *wr, const struct hca_opcode *op, u64 len);
	u32 qpn;
	enum hca_qp_type type;
	u64 self; /* hca_peer() that its peer has */
	u64 domain; /* number of @pd */
	struct hca_pd *pd;
	struct hca_cq *send_cq;
	struct hca_cq *recv_cq;
	struct hca_srq *srq;
	struct hca_xrcd *xrcd;
	u32 max_send_sge;
	u32 max_inline;
	bool sq_sig_all;
	bool block_mcast_loopback;
	void *user;

	/* Read without the lock: atomic, written under it. Copies of @attr. */
	u32 state; /* enum hca_qp_state */
	u32 access; /* qp_access_flags */
	u32 qkey;
	u32 rnr_timer; /* min_rnr_timer */
	u32 rd_limit; /* max_dest_rd_atomic */
	u32 source; /* sgid_index of the path */
	u64 peer HCA_ALIGNED(8); /* hca_peer() */
	u32 moved; /* bool: had another peer's LID in this life */

	struct hca_spinlock lock; /* what follows */
	struct hca_qp_attr attr;
	struct hca_sq sq;
	bool running; /* a thread carries out requests: only it moves sq.head */
	bool carrying; /* the request at sq.issue is being carried out */
	bool waiting; /* for a timer */
	bool drain_wanted; /* report when no request is under way any more */
	bool established; /* atomic: HCA_EVENT_COMM_EST was reported */
	bool last_wqe; /* report HCA_EVENT_QP_LAST_WQE_REACHED when the receive side is flushed */
	u32 retries;
	u32 rnr_retries;
	u32 repeated; /* all of both since it left RESET; for those who look from outside */

	struct hca_timer timer;
	struct hca_eq_node event;
	u32 wants; /* atomic: a bit for each enum hca_event_type to report; HCA_QP_* */
	u32 holds; /* atomic: references of threads that have left the adapter */
	struct hca_qp *next_blocked; /* hca->blocked_lock: list of queue pairs that wait for the wire */
	bool is_blocked; /* the same; atomic */
	struct hca_mw *mws; /* hca->mw_lock: of type 2, bound here */
	u32 why; /* atomic: enum hca_vendor_err: why something of the peer's was refused last */
	struct hca_cq_source sends; /* send_cq's lock */
	struct hca_cq_source recvs; /* recv_cq's lock */

	struct hca_rx rx;
	struct hca_rq rq;
	u64 send_counts[HCA_COUNTS_SEND]; /* lock: enum hca_count, from HCA_COUNT_FIRST_SEND on */
};

/* One more of a thing that the send queue counts; the lock is held. */
static inline void hca_count_send(struct hca_qp *qp, enum hca_count what)
{
	qp->send_counts[what - HCA_COUNT_FIRST_SEND]++;
}

/* The entry of a table without a queue pair; it accepts no message. */
extern struct hca_qp *const hca_no_qp;

/** hca_peer() - the peer of a connected queue pair: the port's LID and the queue pair's number in one word */
static inline u64 hca_peer(u32 lid, u32 qpn)
{
	return (u64)lid << 32 | qpn;
}

/** hca_qp_user() - the argument of hca_quiesce_wait_of(): the process that can use it without this one */
static inline u32 hca_qp_user(const struct hca_qp *qp)
{
	return hca_load(&qp->moved) ? HCA_SHARE_ALL : (u32)(hca_load(&qp->peer) >> 32);
}

/** hca_qp_create() - a queue pair in RESET. Return: 0; -EINVAL; -ENOMEM; -ENOSPC: no free number; -EBUSY: the management number is in use. May sleep. */
int hca_qp_create(struct hca *hca, const struct hca_qp_init *init, struct hca_qp **out);

/** hca_qp_destroy() - queued requests are dropped; when this has returned, nothing happens for it any more. May sleep. Not from its own event handler. */
void hca_qp_destroy(struct hca_qp *qp);

/**
 * hca_qp_modify() - change the state and other attributes
 *
 * After ERR and RESET at most one piece of one message still arrives; RESET waits for that, ERR doesn't. Leaving SQD, and changing the
 * path, is refused while requests are under way (IBTA vol. 1, 10.3.1.5). May sleep for RESET.
 * Return: 0; -EINVAL for a transition, attribute set or value that isn't allowed; -EBUSY while draining. Then nothing changed.
 */
int hca_qp_modify(struct hca_qp *qp, const struct hca_qp_attr *attr, u32 mask);

/** hca_qp_publish() - after a change of attr: copy the fields that are read without the lock, which is held */
void hca_qp_publish(struct hca_qp *qp);

/** hca_qp_share() - publish the state that peers depend on; the lock is held */
static inline void hca_qp_share(const struct hca_qp *qp)
{
	const struct hca_share *s = qp->hca->keys.share;

	if (hca_unlikely(s))
		s->ops->qp(s->hca, qp);
}

/** hca_qp_query() - the present attributes. @attr or @init may be NULL; attributes that were never set are 0. */
void hca_qp_query(struct hca_qp *qp, struct hca_qp_attr *attr, struct hca_qp_init *init);

/** hca_qp_find() - by number; from inside only */
static inline struct hca_qp *hca_qp_find(const struct hca *hca, u32 qpn)
{
	struct hca_qp *qp = hca_load_acquire(&hca->qp[qpn & (hca->qp_slots - 1)]);

	return hca_likely(qp->qpn == qpn) ? qp : NULL;
}

/** hca_qp_to_error() - both queues are flushed; an asynchronous event if @event isn't 0. Any context. */
void hca_qp_to_error(struct hca_qp *qp, u32 event);

/** hca_qp_tell() - have an asynchronous event of this queue pair reported */
void hca_qp_tell(struct hca_qp *qp, enum hca_event_type event);

/** hca_qp_run() - continue with its requests, unless another thread runs it. No lock held, not inside. */
void hca_qp_run(struct hca_qp *qp);

/** hca_qp_want() - from the event queue: HCA_QP_*; by a worker if @kick, else by the thread that runs the queue next. Any context. */
void hca_qp_want(struct hca_qp *qp, u32 what, bool kick);

/** hca_qp_note_at() - a completion of the queue @from of @cq, with its user set; as hca_qp_note() */
static inline bool hca_qp_note_at(struct hca_qp *qp, struct hca_cq *cq, struct hca_cq_source *from, struct hca_wc *wc,
				  bool solicited)
{
	enum hca_cq_added added;

	wc->qp_num = qp->qpn;
	added = hca_cq_ring_add(&cq->ring, from, wc, solicited);
	if (hca_likely(added == HCA_CQ_QUIET))
		return false;
	return hca_cq_tell(cq, added);
}

/**
 * hca_qp_note() - a completion, named as this queue pair's; any context, its locks may be held
 * @send: of its send queue, else of its receive queue
 * Return: true: the queue has no room for it: call hca_qp_to_error(qp, HCA_EVENT_QP_FATAL)
 */
static inline bool hca_qp_note(struct hca_qp *qp, bool send, struct hca_wc *wc, bool solicited)
{
	wc->user = qp->user;
	return hca_qp_note_at(qp, send ? qp->send_cq : qp->recv_cq, send ? &qp->sends : &qp->recvs, wc, solicited);
}

/**
 * hca_qp_posted_at() - where a request that has completed was posted, as far as its queue has not forgotten it
 * @send: of the send queue, else of the receive queue
 *
 * Not on a path that is taken often. Return: NULL: it isn't known.
 */
hca_site_t hca_qp_posted_at(struct hca_qp *qp, bool send, u64 wr_id);

/** hca_post_recv() - Return: 0; -EINVAL: state or entries; -ENOMEM: full. Any context. */
int hca_post_recv(struct hca_qp *qp, const struct hca_recv_wr *wr);

/** hca_recv_refuse() - say why hca_post_recv() didn't take a request: for its caller, who has the request at hand. Return: @err */
int hca_recv_refuse(const struct hca_qp *qp, const struct hca_recv_wr *wr, int err) HCA_COLD;

/* --- rx.c: one thread at a time --- */

/** hca_rx_enter() - become the thread at rx. Return: false: another thread is. */
static inline bool hca_rx_enter(struct hca_qp *qp)
{
	hca_irqflags_t flags;
	bool free;

	hca_spin_lock(&qp->rx.lock, flags);
	free = !qp->rx.busy;
	qp->rx.busy = true;
	hca_spin_unlock(&qp->rx.lock, flags);
	return free;
}

/** enum hca_rx_entered - the result of hca_rx_enter_or_leave() */
enum hca_rx_entered {
	HCA_RX_OURS, /* the caller is the thread at rx, and still owns the node */
	HCA_RX_LEFT, /* the node was left to the thread at rx */
	HCA_RX_FULL, /* the backlog is full; the caller still owns the node */
};

/** hca_rx_enter_or_leave() - as hca_rx_enter(), or leave @node to the thread at rx, behind at most @room others */
enum hca_rx_entered hca_rx_enter_or_leave(struct hca_qp *qp, struct hca_rx_node *node, u32 room);

/** hca_rx_left() - the oldest node in the backlog, for the end of the queue pair; NULL: there is none */
struct hca_rx_node *hca_rx_left(struct hca_qp *qp);

/** hca_rx_resume() - go on for a thread that left rx busy, and let the next one in; it has asked for HCA_QP_RX. As hca_rx_leave(). */
void hca_rx_resume(struct hca_qp *qp);

/** hca_rx_leave_asked() - the rest of hca_rx_leave(): rx.lock is held, and given up */
void hca_rx_leave_asked(struct hca_qp *qp, hca_irqflags_t flags);

/** hca_rx_leave() - do what other threads asked for meanwhile, and leave rx. Not inside, no lock held. */
static inline void hca_rx_leave(struct hca_qp *qp)
{
	struct hca_rx *rx = &qp->rx;
	hca_irqflags_t flags;

	hca_spin_lock(&rx->lock, flags);
	if (hca_unlikely(rx->flush || rx->backlog)) {
		hca_rx_leave_asked(qp, flags);
		return;
	}
	rx->busy = false;
	hca_spin_unlock(&rx->lock, flags);
}

/** hca_rx_leave_inside() - the same without waiting: a worker handles the backlog */
void hca_rx_leave_inside(struct hca_qp *qp);

/** hca_rx_complete() - the receive request that was taken ends; outside rx.lock. It may be the end of the queue pair. */
void hca_rx_complete(struct hca_qp *qp, struct hca_wc *wc, bool solicited);

/** hca_rx_flush() - complete the receive requests of a queue pair in error as flushed, here or by the thread at rx */
void hca_rx_flush(struct hca_qp *qp);

/** hca_rx_wait() - become the thread at rx when the present one has left; the state keeps others out. Not inside, no lock held. */
void hca_rx_wait(struct hca_qp *qp);

/** hca_rx_idle() - return when the thread at rx has left; the state keeps others out. Not inside, no lock held. */
void hca_rx_idle(struct hca_qp *qp);

/**
 * hca_rx_last() - one more completion of a queue pair in error, flushed, behind all others of its receive side
 * @wr_id: of that completion; no request is needed for it
 *
 * After it, no more bytes move for the peer, also not by RDMA. No lock held, not inside. Return: false: the completion queue had no room for it.
 */
bool hca_rx_last(struct hca_qp *qp, u64 wr_id);

#endif
