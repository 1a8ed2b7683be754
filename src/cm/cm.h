/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The communication manager of an adapter (IBTA vol. 1, chapter 12). It connects
 * queue pairs, by messages that may be lost, doubled and late. It doesn't access queue pairs;
 * its consumer modifies them according to the events. Messages go out by hca_cm_ops.send()
 * and come in by hca_cm_recv(); handlers are called from the adapter's event queue.
 *
 * An ID is one end of a connection, a listener, or one SIDR request. It has memory
 * for its events and for messages that it may repeat, so no event is lost for lack
 * of memory. If an ID is destroyed while its peer must still be notified, or while its
 * queue pair's packets may be under way, it exists for that time without its consumer.
 */
#ifndef HCA_CM_CM_H
#define HCA_CM_CM_H

#include "cm/mad.h"
#include "cm/state.h"
#include "hca/eq.h"

struct hca_cm;
struct hca_cm_id;

/* The longest wait, whatever time the peer asks for. */
#define HCA_CM_WAIT_MAX_NS 60000000000ull

/* The limit of IDs of an adapter, including listeners and IDs that outlive their consumer. */
#define HCA_CM_IDS 65535u
#define HCA_CM_CHUNK_BITS 8
#define HCA_CM_CHUNK (1u << HCA_CM_CHUNK_BITS)
/* So that one of thousands of connections in timewait is found as fast as a single one. */
#define HCA_CM_PEER_BUCKETS 8192u
#define HCA_CM_LISTEN_BUCKETS 1024u

/* The largest number of requests that wait for a listener's handler; further requests are dropped, and the peers repeat them. */
#define HCA_CM_BACKLOG_MAX 4096u

/* A listener may require the beginning of a request's private data. */
#define HCA_CM_MATCH_BYTES 36u

/**
 * struct hca_cm_match - the requests that a listener accepts
 * @mask: bits of the private data that count
 * @data: their required value; 0 where the mask is 0
 */
struct hca_cm_match {
	u8 mask[HCA_CM_MATCH_BYTES];
	u8 data[HCA_CM_MATCH_BYTES];
};

/**
 * struct hca_cm_event - an event for the consumer
 * @status: 0 or a negative errno; see enum hca_cm_event_type
 * @msg: the peer's message, or NULL; valid until the handler returns
 * @listener: of a request: the ID that listens, else NULL
 */
struct hca_cm_event {
	enum hca_cm_event_type type;
	int status;
	const struct hca_cm_msg *msg;
	struct hca_cm_id *listener;
};

/**
 * hca_cm_handler - the consumer's handler
 *
 * Called from the event queue, for one ID one call at a time and in order; of a request it is the listener's, and calls
 * for one listener come one at a time too. It may make any call, and destroy the event's ID or the listener.
 */
typedef void hca_cm_handler(struct hca_cm_id *id, const struct hca_cm_event *event);

/**
 * struct hca_cm_ops - the calls that the manager needs
 * @send: send a message of HCA_MAD_BYTES to QP1 of a port. It may be lost, and handlers may be called in it, as in a post. The
 *	context is a caller's of the manager, or a worker's; no lock of the manager's is held.
 */
struct hca_cm_ops {
	void (*send)(struct hca_cm *cm, const struct hca_ah_attr *to, const u8 *mad);
};

/* The events of an ID, in the order in which they are reported. There is at most one of each: see event.c. */
enum hca_cm_slot {
	HCA_CM_SLOT_REQUEST,
	HCA_CM_SLOT_MRA,
	HCA_CM_SLOT_OPEN, /* a REP, or the RTU */
	HCA_CM_SLOT_END, /* whatever ended it */
	HCA_CM_SLOT_EXIT, /* of timewait */
	HCA_CM_SLOTS,
};

/**
 * struct hca_cm_id - an ID
 * @handler, @context: the consumer's; it may change them in a handler of the ID
 * @to: the destination of its messages
 *
 * What follows is the manager's, and changes under its lock.
 */
struct hca_cm_id {
	struct hca_cm *cm;
	hca_cm_handler *handler;
	void *context;
	struct hca_ah_attr to;

	/* What it is. */
	u32 state; /* enum hca_cm_state */
	u32 comm_id; /* ours */
	u32 remote_comm_id; /* 0: not known yet */
	u32 remote_qpn;
	u32 qpn;
	u64 remote_guid;
	u64 service_id;
	u64 tid;
	bool active;
	bool announced; /* the consumer knows it */
	bool dying; /* the consumer has destroyed it: there are no more events */
	bool reap; /* the consumer did so in a handler of the ID */
	bool orphan; /* no handler is under way either; the ID ends by itself */

	/* What it waits for. */
	u32 place; /* in the heap of deadlines, from 1; 0: it isn't there */
	u64 deadline; /* ns of hca_now_ns() */
	u64 response_ns;
	u64 service_ns; /* that the peer asked for, as it may once */
	bool delayed; /* it has */
	u64 timewait_ns;
	u32 max_retries;
	u32 retries; /* the remaining ones */

	/* Its places in tables. */
	struct hca_cm_id *next_remote; /* by GUID and comm ID of the peer; of SIDR, by the request's ID */
	struct hca_cm_id *next_qpn; /* by GUID and queue pair of the peer */
	bool by_remote;
	bool by_qpn;

	/* A listener's. */
	struct hca_cm_id *next_listener;
	u64 service_mask;
	struct hca_cm_match *match; /* or NULL */
	struct hca_cm_id *first_request; /* new IDs whose event waits */
	struct hca_cm_id *last_request;
	u32 requests;
	u32 backlog;
	struct hca_cm_id *next_request; /* in the listener's list */

	/* Its events. */
	struct hca_eq_node event;
	u32 pending; /* bits of enum hca_cm_slot */
	struct {
		u8 type;
		bool has_msg;
		int status;
	} slot[HCA_CM_SLOTS];
	uintptr_t in_handler; /* atomic: hca_context() of the thread that is in a handler of it, or 0 */
	struct hca_cm_id *next_reap;

	u8 open_mad[HCA_MAD_BYTES]; /* of the first three slots */
	u8 end_mad[HCA_MAD_BYTES];
	u8 kept[HCA_MAD_BYTES]; /* the message to repeat */
};

struct hca_cm_id_slot {
	struct hca_cm_id *id;
	u16 generation;
	u16 next_free;
};

/* Indexes of IDs, and as many places of the heap. */
struct hca_cm_chunk {
	struct hca_cm_id_slot slot[HCA_CM_CHUNK];
	struct hca_cm_id *heap[HCA_CM_CHUNK];
};

/** struct hca_cm - a communication manager */
struct hca_cm {
	const struct hca_cm_ops *ops;
	struct hca_eq *eq;
	u64 guid; /* the adapter's */
	u32 max_ids;

	struct hca_spinlock lock; /* what follows, and the IDs. It is taken before the event queue's and timers'. */
	struct hca_cm_chunk *chunk[(HCA_CM_IDS + 1) / HCA_CM_CHUNK];
	u32 indexes; /* there is room for so many; index 0 isn't used */
	u32 first_free; /* 0: none */
	u32 last_free;
	u32 ids;
	u32 waiting; /* in the heap */
	u64 next_tid;
	u64 timer_at; /* ns; 0: it doesn't run */
	bool closing; /* the timer isn't started any more */
	struct hca_timer timer;
	struct hca_work expirer; /* a timer sends nothing, as that may call handlers */
	u64 seed; /* of the buckets */
	struct hca_cm_id **by_remote; /* HCA_CM_PEER_BUCKETS of each */
	struct hca_cm_id **by_qpn;
	struct hca_cm_id **listeners; /* HCA_CM_LISTEN_BUCKETS */
	struct hca_cm_id *masked; /* listeners to more than one service */
	struct hca_cm_id *first_reap;
	struct hca_work reaper;
};

/**
 * hca_cm_init() - a manager
 * @guid: the adapter's, unique among its peers
 * @max_ids: 1 to HCA_CM_IDS; 0: as many
 *
 * May sleep. Return: 0; -EINVAL; -ENOMEM.
 */
int hca_cm_init(struct hca_cm *cm, struct hca_eq *eq, const struct hca_cm_ops *ops, u64 guid, u32 max_ids);

/** hca_cm_fini() - after the last message, and after the consumers have destroyed their IDs. May sleep; not from a handler. */
void hca_cm_fini(struct hca_cm *cm);

/**
 * hca_cm_recv() - a message has come
 * @from: the way back to its sender
 * @bytes: as it came, without a GRH; it may be anything
 *
 * Any context where handlers may be called (hca_eq_run()), no lock held.
 */
void hca_cm_recv(struct hca_cm *cm, const struct hca_ah_attr *from, const void *bytes, u32 len);

/** hca_cm_create() - an ID. May sleep. Return: 0; -ENOMEM; -ENOSPC: the limit is reached. */
int hca_cm_create(struct hca_cm *cm, hca_cm_handler *handler, void *context, struct hca_cm_id **out);

/**
 * hca_cm_destroy() - the consumer no longer uses it
 *
 * Its work ends: a peer that waits is answered, a connection is disconnected, and a listener's
 * waiting requests are rejected. Waiting events are dropped. When this returns no handler of the ID is under way, and
 * none is called any more; but from inside a handler of the ID it returns at once, and the ID must not be used any more.
 *
 * May sleep, and waits for a handler in another thread; so two handlers must not destroy each other's ID (hca_eq_cancel()).
 */
void hca_cm_destroy(struct hca_cm_id *id);

/**
 * hca_cm_listen() - requests for a service become events
 * @mask: bits of the service ID that count; a request's other bits may be anything
 * @match: NULL, or the required beginning of their private data; such a listener has precedence over those without
 * @backlog: requests that may wait for the handler; 0: HCA_CM_BACKLOG_MAX
 *
 * May sleep. Return: 0; -EINVAL: the ID was used before, or bits outside of the mask aren't 0; -EADDRINUSE: another ID listens to the same; -ENOMEM.
 */
int hca_cm_listen(struct hca_cm_id *id, u64 service_id, u64 mask, const struct hca_cm_match *match, u32 backlog);

/**
 * hca_cm_connect() - send a REQ
 * @to: the destination
 * @req: its contents; the manager adds the IDs and the GUID. @remote_response_timeout, @max_cm_retries and the primary path's
 *	@ack_timeout say how long it is tried.
 *
 * Any context. Return: 0; -EINVAL: the ID was used before, or a value that can't be sent.
 */
int hca_cm_connect(struct hca_cm_id *id, const struct hca_ah_attr *to, const struct hca_cm_msg *req);

/** hca_cm_accept() - answer a request with a REP. Any context. Return: 0; -EINVAL: there is no request, or a value that can't be sent. */
int hca_cm_accept(struct hca_cm_id *id, const struct hca_cm_msg *rep);

/** hca_cm_ready() - answer a REP with an RTU: the connection is established. Any context. Return: 0; -EINVAL. */
int hca_cm_ready(struct hca_cm_id *id, const void *private_data, u32 len);

/**
 * hca_cm_reject() - answer a REQ or REP with a REJ, or withdraw a REP
 * @rej: @reason, @ari and private data
 *
 * Any context. Return: 0; -EINVAL: there is nothing to reject, or a value that can't be sent.
 */
int hca_cm_reject(struct hca_cm_id *id, const struct hca_cm_msg *rej);

/**
 * hca_cm_delay() - ask the waiting peer for more time
 * @service_timeout: code of 4.096 us * 2^n, 5 bits
 *
 * Any context. Return: 0; -EINVAL: it doesn't wait, or was asked already, or a value that can't be sent.
 */
int hca_cm_delay(struct hca_cm_id *id, u8 service_timeout, const void *private_data, u32 len);

/** hca_cm_establish() - the queue pair received a message, so the peer is ready, though its RTU hasn't arrived. Any context. Return: 0; -EINVAL. */
int hca_cm_establish(struct hca_cm_id *id);

/** hca_cm_disconnect() - end a connection with a DREQ, or answer the peer's with a DREP. Any context. Return: 0; -EINVAL. */
int hca_cm_disconnect(struct hca_cm_id *id, const void *private_data, u32 len);

/**
 * hca_cm_sidr_ask() - send a SIDR_REQ, which asks for the queue pair of a service
 * @req: @service_id, @pkey and private data; @remote_response_timeout, @max_cm_retries and the primary path's @ack_timeout say how long it is tried
 *
 * Any context. Return: 0; -EINVAL.
 */
int hca_cm_sidr_ask(struct hca_cm_id *id, const struct hca_ah_attr *to, const struct hca_cm_msg *req);

/** hca_cm_sidr_answer() - @rep: @status, @qpn, @qkey, @ari and private data. Any context. Return: 0; -EINVAL. */
int hca_cm_sidr_answer(struct hca_cm_id *id, const struct hca_cm_msg *rep);

#endif
