/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The adapter and its queue pairs: what the files of the engine share. A face makes
 * one struct hca a device, on a wire, with that device's memory accessor.
 *
 * Locks, outermost first: qp->lock, rq.lock, cq.lock, eq.lock. None of them is held
 * while bytes are moved; only rx_lock is, for a datagram or one packet, and it comes
 * before all others; who flushes a receive queue holds it too, one request at a time. Who runs a send queue holds sq_running instead of a lock.
 */
#ifndef HCA_QP_H
#define HCA_QP_H

#include "hca/cq.h"
#include "hca/datagram.h"
#include "hca/eq.h"
#include "hca/qp_state.h"
#include "hca/mr.h"
#include "hca/rq.h"
#include "hca/mw.h"
#include "hca/wire.h"

struct hca_flow;

#define HCA_MAX_SGE 16u
#define HCA_MAX_INLINE 512u
#define HCA_MAX_MSG (1u << 31)
#define HCA_MAX_WR (1u << 15)

/**
 * struct hca - an adapter
 * @gid: of its port, the one entry of the port's table
 * @members: queue pairs in multicast groups
 * @event: an asynchronous event of a queue pair, CQ or SRQ; made from the event queue; may be NULL
 */
struct hca {
	struct hca_wire *wire;
	u32 lid;
	struct hca_gid gid;
	struct hca_mem *mem;
	struct hca_qp_limits limits;
	struct hca_keys keys;
	void (*event)(struct hca *hca, enum hca_event_type type, void *object);

	struct hca_spinlock mcast_lock; /* changing the list */
	struct hca_mcast_member *members; /* atomic, read from inside */
	u32 mcast_members;
	struct hca_spinlock mw_lock; /* states of windows; hca/mw.h */
	struct hca_spinlock qp_lock; /* the table is written under it, read from inside */
	struct hca_qp **qp; /* by number modulo qp_slots; entries atomic */
	u32 qp_slots; /* a power of two */
	u32 qp_next; /* the number the search for a free one begins at, so that numbers come back late */
	u32 qps;
};

/** hca_init() - an adapter on @wire that reaches memory through @mem. Return: 0, -EINVAL, -ENOMEM, -ENOSPC. May sleep. */
int hca_init(struct hca *hca, struct hca_wire *wire, struct hca_mem *mem, u32 max_qp, u32 max_keys);

/** hca_pd_init() - a protection domain of this adapter; its user counts what uses it */
static inline void hca_pd_init(struct hca_pd *pd, struct hca *hca)
{
	pd->keys = &hca->keys;
	pd->quiesce = &hca->wire->quiesce;
	pd->users = 0;
}

/** hca_fini() - all that was made on it is gone. May sleep. Return: 0; -EBUSY: it has queue pairs or keys. */
int hca_fini(struct hca *hca);

/** struct hca_cq - a completion queue of an adapter; its consumer's handler is called through the event queue */
struct hca_cq {
	struct hca_cq_ring ring;
	struct hca *hca;
	struct hca_eq_node event;
	void (*handler)(struct hca_cq *cq);
	u32 wants; /* atomic, HCA_WANT_* */
};

#define HCA_WANT_COMP 1u
#define HCA_WANT_CQ_ERR 2u

/** hca_cq_init() - Return: 0, -EINVAL, -ENOMEM. May sleep. */
int hca_cq_init(struct hca_cq *cq, struct hca *hca, u32 capacity, void (*handler)(struct hca_cq *cq));

/** hca_cq_again() - from its handler: call it once more, when others had their turn */
void hca_cq_again(struct hca_cq *cq);

/** hca_cq_quiet() - the end of its handler's calls. Return: 0; -EBUSY while queue pairs use it. Not from its handler. */
int hca_cq_quiet(struct hca_cq *cq);

/** hca_cq_fini() - as hca_cq_quiet(), and its memory is free */
int hca_cq_fini(struct hca_cq *cq);

/** struct hca_srq - a shared receive queue */
struct hca_srq {
	struct hca_rq rq;
	struct hca *hca;
	struct hca_pd *pd;
	u32 users; /* atomic: queue pairs */
	struct hca_eq_node event;
};

/**
 * hca_srq_init() - a shared receive queue with these attributes, its limit armed if it isn't 0
 *
 * May sleep. Return: 0; -EINVAL: a size of 0 or beyond what there is, a limit beyond the size, another adapter's domain; -ENOMEM.
 */
int hca_srq_init(struct hca_srq *srq, struct hca *hca, struct hca_pd *pd, const struct hca_srq_attr *attr);

/** hca_srq_fini() - what is posted is dropped. Return: 0; -EBUSY while queue pairs use it. Not from its event's handler. */
int hca_srq_fini(struct hca_srq *srq);

/**
 * hca_srq_modify() - resize it, arm its limit, or both
 * @mask: enum hca_srq_attr_mask
 *
 * An armed limit tells HCA_EVENT_SRQ_LIMIT_REACHED once, when fewer requests are left than it says, and is 0 from then on
 * (IBTA 10.2.9.3). May sleep. Return: 0; -EINVAL: a value that can't be, or more is posted than would fit; -ENOMEM. Then nothing
 * has changed.
 */
int hca_srq_modify(struct hca_srq *srq, const struct hca_srq_attr *attr, u32 mask);

/** hca_srq_query() - as it is now; a limit that was reached is 0 */
void hca_srq_query(struct hca_srq *srq, struct hca_srq_attr *attr);

/* A send request in its queue: what was posted, its entries and its inline bytes behind it. */
struct hca_swqe {
	struct hca_send_wr wr;
	u64 len;
	u32 psn; /* on a wire of packets: of the first one, and how many numbers it takes */
	u32 packets;
	struct hca_sge sge[];
};

#define HCA_QP_FLUSH (1u << 31)

/** struct hca_qp_init - what a queue pair is made with */
struct hca_qp_init {
	enum hca_qp_type type;
	struct hca_pd *pd;
	struct hca_cq *send_cq;
	struct hca_cq *recv_cq;
	struct hca_srq *srq;
	u32 max_send_wr;
	u32 max_recv_wr;
	u32 max_send_sge;
	u32 max_recv_sge;
	u32 max_inline;
	bool sq_sig_all;
	bool block_mcast_loopback; /* what it sends to a group that it is in doesn't come back to it */
	void *user; /* the consumer's: comes back in its completions */
};

struct hca_qp {
	/* constant from creation on */
	struct hca *hca;
	u32 qpn;
	enum hca_qp_type type;
	struct hca_pd *pd;
	struct hca_cq *send_cq;
	struct hca_cq *recv_cq;
	struct hca_srq *srq;
	u32 sq_size;
	u32 sq_stride;
	u32 max_send_sge;
	u32 max_inline;
	bool sq_sig_all;
	bool block_mcast_loopback;
	void *user;
	struct hca_flow *flow; /* its packet half; NULL on a wire that takes messages */

	struct hca_spinlock lock; /* what follows */
	u32 state; /* enum hca_qp_state; atomic: read without the lock */
	struct hca_qp_attr attr;
	u8 *sq;
	u32 sq_head; /* count up to twice the size, as in struct hca_rq */
	u32 sq_tail;
	bool sq_running; /* a thread is sending: only it moves sq_head */
	bool sq_waiting; /* for a timer */
	bool sq_begun; /* the first request was sent, and is to be sent again */
	bool drain_wanted; /* tell when nothing is under way any more */
	bool established; /* atomic: HCA_EVENT_COMM_EST was told */
	u32 retries;
	u32 rnr_retries;

	struct hca_timer timer;
	struct hca_eq_node event;
	u32 wants; /* atomic: a bit for each enum hca_event_type to be told; HCA_QP_FLUSH */
	u32 holds; /* atomic: messages that are being finished */
	struct hca_mw *windows; /* hca->mw_lock: of type 2, bound here */

	/* Datagrams come from many: their receives complete in order (IBTA 10.8.3.1). And all packets are taken under it. */
	struct hca_spinlock rx_lock;
	struct hca_rq rq;
};

/** hca_qp_create() - in RESET. Return: 0, -EINVAL, -ENOMEM, -ENOSPC. May sleep. */
int hca_qp_create(struct hca *hca, const struct hca_qp_init *init, struct hca_qp **out);

/** hca_qp_destroy() - what is queued is dropped, and nothing happens for it after this returned. May sleep. Not from its own event handler. */
void hca_qp_destroy(struct hca_qp *qp);

/** hca_qp_modify() - Return: 0; -EINVAL for a transition, attribute set or value that isn't allowed, and then nothing changed */
int hca_qp_modify(struct hca_qp *qp, const struct hca_qp_attr *attr, u32 mask);

/** hca_qp_query() - as it is now. @attr or @init may be NULL; what was never set is 0. */
void hca_qp_query(struct hca_qp *qp, struct hca_qp_attr *attr, struct hca_qp_init *init);

/** hca_qp_find() - by number; from inside only */
static inline struct hca_qp *hca_qp_find(const struct hca *hca, u32 qpn)
{
	struct hca_qp *qp = hca_load_acquire(&hca->qp[qpn & (hca->qp_slots - 1)]);

	return hca_likely(qp && qp->qpn == qpn) ? qp : NULL;
}

/** hca_qp_to_error() - both queues are flushed; an asynchronous event if @event isn't 0 */
void hca_qp_to_error(struct hca_qp *qp, u32 event);

/** hca_qp_tell() - an asynchronous event of this queue pair will be reported */
void hca_qp_tell(struct hca_qp *qp, enum hca_event_type event);

/**
 * hca_qp_note() - a completion on @cq, named as this queue pair's; any context, its locks may be held
 * Return: the queue has no room for it: hca_qp_to_error(qp, HCA_EVENT_QP_FATAL) is to be called
 */
bool hca_qp_note(struct hca_qp *qp, struct hca_cq *cq, struct hca_wc *wc, bool solicited);

/** hca_qp_complete() - both; the queue pair's lock isn't held */
void hca_qp_complete(struct hca_qp *qp, struct hca_cq *cq, struct hca_wc *wc, bool solicited);

/* --- send.c: the requester --- */

/** hca_post_send() - Return: 0; -EINVAL: state, opcode, entries or length; -ENOMEM: the queue is full. Any context. */
int hca_post_send(struct hca_qp *qp, const struct hca_send_wr *wr);

/** hca_sq_run() - send what can be sent, unless another thread is at it. No lock held, not inside. */
void hca_sq_run(struct hca_qp *qp);

/** hca_sq_drop() - forget what is queued, without a completion; nobody is sending, and nobody posts */
void hca_sq_drop(struct hca_qp *qp);

/* --- recv.c: the responder --- */

/** hca_post_recv() - Return: 0; -EINVAL: state or entries; -ENOMEM: full. Any context. */
int hca_post_recv(struct hca_qp *qp, const struct hca_recv_wr *wr);

/** hca_srq_post() - the same to a shared queue */
int hca_srq_post(struct hca_srq *srq, const struct hca_recv_wr *wr);

/** hca_respond() - a message arrived for @hca; from inside the engine. Return: the answer. */
enum hca_answer hca_respond(struct hca *hca, struct hca_msg *msg);

/** hca_respond_finish() - the rest of a message with @finish set; outside */
void hca_respond_finish(struct hca_msg *msg);

/** hca_rq_flush() - what waits in the own receive queue of a queue pair in error completes as flushed. Not inside. */
void hca_rq_flush(struct hca_qp *qp);

/**
 * hca_rq_last() - one more completion of a queue pair in error, flushed, behind all others of its receive side
 * @wr_id: of that completion; no request is needed for it
 *
 * Behind those too of messages that are under way, and of requests that it took from a shared queue. No lock held, not
 * inside. Return: whether the completion queue had room for it.
 */
bool hca_rq_last(struct hca_qp *qp, u64 wr_id);

/** hca_qp_wait() - return when the messages that are under way now, for this or another queue pair, are done. Not inside. */
void hca_qp_wait(struct hca_qp *qp);

#endif
