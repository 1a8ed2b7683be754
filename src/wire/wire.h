/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How adapters reach each other. A wire carries whole messages, piece by piece, and
 * returns the answer to each, at once or later; or it carries packets, which arrive
 * later, or never, or twice. It doesn't know queue pairs: it passes everything to the
 * client that an adapter set at its port. Messages and packets have numbers, no pointers.
 */
#ifndef HCA_WIRE_H
#define HCA_WIRE_H

#include "os.h"
#include "softhca/hca_ledger.h"
#include "softhca/hca_verbs.h"

/** enum hca_answer - the result of a message (IBTA vol. 1, 9.7.5.2) */
enum hca_answer {
	HCA_ANSWER_ACK,
	HCA_ANSWER_RNR, /* no receive request: try again after the time in the reply */
	HCA_ANSWER_INV_REQ, /* an invalid request: opcode, length, alignment, QP's rights */
	HCA_ANSWER_REM_ACCESS, /* key, rights or bounds at the responder */
	HCA_ANSWER_REM_OP, /* an error at the responder */
	HCA_ANSWER_LOC_PROT, /* the requester's own memory refused */
	HCA_ANSWER_COPY, /* the payload couldn't be fetched: carry the message again, with @copy */
	HCA_ANSWER_NONE, /* no queue pair answers */
	HCA_ANSWER_PENDING, /* the reply comes later */
	HCA_ANSWER_LATER, /* not now: nothing was taken, and the client's ready is called; only from send */
};

/* struct hca_msg.flags */
#define HCA_MSG_FIRST (1u << 0) /* piece of its message */
#define HCA_MSG_LAST (1u << 1)
#define HCA_MSG_CONNECTED (1u << 2) /* RC or UC: the responder checks that the two belong together */
#define HCA_MSG_RELIABLE (1u << 3) /* RC: errors are answered, else the message is dropped */
#define HCA_MSG_SOLICITED (1u << 4) /* the receiver's completion may call for an event */
#define HCA_MSG_GLOBAL (1u << 5) /* of a datagram: it has a global route header, with the fields of @ud */
#define HCA_MSG_NUMBERED (1u << 6) /* @number is one of a sequence: a piece that isn't expected is dropped */
#define HCA_MSG_XRC (1u << 7) /* RELIABLE, from an XRC initiator: @srqn counts */

/**
 * struct hca_msg - one piece of a message: only numbers, the same in every process
 * @opcode: enum hca_wr_opcode of the request
 * @dlid, @dqpn: the destination; @slid, @sqpn: the source
 * @len: bytes of the whole message; @off, @piece: where this piece begins, and its bytes
 * @number: identifies the request in a reply that comes later; 24 bits
 * @session: of that queue pair: changes at a reset; returned in the reply
 * @raddr, @rkey: of RDMA and atomics; of the whole message
 * @imm: immediate data, or the key to invalidate
 * @srqn: of XRC: the responder's receive queue
 * @compare_add, @swap: of atomics
 * @ud: datagrams
 */
struct hca_msg {
	u8 opcode;
	u8 flags;
	u8 sl;
	u16 pkey;
	u32 dlid;
	u32 dqpn;
	u32 slid;
	u32 sqpn;
	u32 number;
	u32 session;
	u32 imm;
	u32 rkey;
	u64 raddr;
	u64 len;
	u64 off;
	u32 piece;
	u32 qkey;
	u32 srqn;
	u64 compare_add;
	u64 swap;
	struct {
		struct hca_gid sgid;
		struct hca_gid dgid;
		u32 flow_label;
		u8 hop_limit;
		u8 traffic_class;
	} ud;
};

/**
 * struct hca_reply - the answer to a piece
 * @code: of HCA_ANSWER_RNR: how long to wait; of HCA_ANSWER_INV_REQ, _REM_ACCESS and _REM_OP: why, an enum hca_vendor_err
 * @sqpn, @number, @session, @off: the requester's queue pair, and the piece; of a reply that comes later
 * @result: of an atomic: the previous value
 * @bytes, @len: of a read that is answered later: the piece's bytes, the wire's until the call returns
 */
struct hca_reply {
	u8 answer; /* enum hca_answer */
	u8 code;
	u32 sqpn;
	u32 number;
	u32 session;
	u64 off;
	u64 result;
	const void *bytes;
	u32 len;
};

/**
 * struct hca_carried - a piece under way
 * @msg: its header
 * @get: copies the payload into @out, from within the wire's send; 0, -EACCES, -EFAULT: the requester's own memory refused
 * @local: the requester's state for it; a wire of one address space passes it on, another wire passes NULL
 * @bytes: the payload if @local is NULL; for reads, the wire's place for the @msg->piece bytes to return
 * @fetch: if it is set, the payload is elsewhere, and @bytes is room for it: copies it to @n places; 0, or -EAGAIN, after which they have
 *	any bytes, and the answer is HCA_ANSWER_COPY
 *
 * To a wire that answers later:
 * @right: HCA_ACCESS_REMOTE_WRITE, _READ or _ATOMIC: the piece is part of an RDMA write or read, or an atomic, which the wire may carry
 *	out itself, up to the result's bytes in the requester's memory, and answer at once, if the responder would have done
 *	the same. If the responder would refuse it, the wire must leave it to the responder.
 * @places: the addresses of the piece's own bytes, up to HCA_PLACES runs; from within the wire's send. 0: unknown. A wire that then
 *	doesn't move them all calls @get as if this had not been called.
 * @pending: the answer to an earlier piece of the message is still to come: this one goes the same way, behind it
 * @copy: the payload is to be copied before send returns; else the responder may fetch it from @places, until it has answered
 */
struct hca_carried {
	struct hca_msg msg;
	int (*get)(struct hca_carried *c, void *out);
	void *local;
	void *bytes;
	int (*fetch)(struct hca_carried *c, const struct hca_place *to, u32 n);

	u32 right;
	u32 (*places)(struct hca_carried *c, struct hca_place *out);
	bool pending;
	bool copy;
};

/* The longest: GRH, BTH, AtomicETH; a datagram with GRH, DETH and immediate data is shorter. */
#define HCA_FRAME_HEADER_MAX 80u

/**
 * struct hca_frame - a packet to be sent
 * @dlid, @slid, @sl: for the link's header
 * @sgid, @dgid: the path's addresses, for a wire whose links have no LIDs; all zeros: there are none
 * @sqpn: the sending queue pair, for a wire that distinguishes flows by it
 * @traffic_class: of the path
 * @global: @header begins with a GRH
 * @header: transport headers, @header_len bytes
 * @len, @pad: bytes of payload, and of zeros behind it
 * @get: copies the payload, from within xmit; 0, -EACCES, -EFAULT: it can't be read
 */
struct hca_frame {
	u32 dlid;
	u32 slid;
	u32 sqpn;
	u8 sl;
	u8 traffic_class;
	bool global;
	struct hca_gid sgid;
	struct hca_gid dgid;
	u8 header[HCA_FRAME_HEADER_MAX];
	u32 header_len;
	u32 len;
	u32 pad;
	int (*get)(struct hca_frame *f, void *out);
};

/** hca_frame_bytes() - the length of the packet */
static inline u32 hca_frame_bytes(const struct hca_frame *f)
{
	return f->header_len + f->len + f->pad;
}

/** hca_frame_write() - all of the packet, by the wire, from within its xmit. Return: 0; -EACCES, -EFAULT: the payload can't be read */
static inline int hca_frame_write(struct hca_frame *f, void *out)
{
	u8 *at = out;
	int err = 0;

	hca_memcpy(at, f->header, f->header_len);
	at += f->header_len;
	if (f->len)
		err = f->get(f, at);
	hca_memset(at + f->len, 0, f->pad);
	return err;
}

/**
 * struct hca_arrival - a packet that arrived
 * @bytes, @len: from the BTH to the end of padding; from the GRH if it is @global and @grh is NULL; the wire's, until the call returns
 * @grh: 40 bytes that a datagram's receiver finds before its data, where the wire has no GRH: as RoCE delivers them, 20 zeros
 *	and an IPv4 header, or an IPv6 header; NULL: what @bytes begin with, or zeros
 * @dlid, @slid, @sl: from the link's header; 0 where links have none
 * @sgid, @dgid: its source and destination, if @has_gids
 * @congested: it was marked under way (by ECN; FECN in the BTH counts too)
 */
struct hca_arrival {
	const void *bytes;
	u32 len;
	u32 dlid;
	u32 slid;
	u8 sl;
	bool global;
	bool has_gids;
	bool congested;
	const u8 *grh;
	struct hca_gid sgid;
	struct hca_gid dgid;
};

/**
 * struct hca_wire_client - an adapter's calls for incoming pieces and packets
 * @message: a piece arrived; answer it. No lock held. The caller may be inside the requester's adapter, so nothing waits in here; what
 *	must be waited for is left in @c->local. Pieces of one queue pair come in order, one call at a time. HCA_ANSWER_PENDING: the
 *	answer comes by the wire's @answer, or there is none because an earlier piece was refused. The caller runs the event
 *	queue of the adapters (hca_eq_run()) when it is outside and holds no lock: only then are handlers called.
 * @answered: a reply that was pending; those for one queue pair in the order of its pieces, one call at a time. Not from within the wire's send, no lock held, not inside.
 * @packet: a packet arrived. Any context, no lock held, not inside, not from within xmit. An invalid packet, or one for no queue
 *	pair, is dropped.
 * @settle: return when every thread that was inside the adapter at the call has left: an object that a wire removed before is then unused. May sleep.
 * @ready: the wire takes packets, or messages, again. Waiting queue pairs continue from the event queue, which the caller runs afterwards, or
 *	kicks if it may not. Any context, no lock held, not from within xmit or send.
 */
struct hca_wire_client {
	enum hca_answer (*message)(void *client, struct hca_carried *c, struct hca_reply *r);
	void (*answered)(void *client, const struct hca_reply *r);
	void (*packet)(void *client, const struct hca_arrival *a);
	void (*settle)(void *client);
	void (*ready)(void *client);
};

#define HCA_WIRE_GIDS 4u

/**
 * struct hca_wire_port - the port that an adapter gets at attach
 * @lid: its LID; if links have none, a number of the wire
 * @gids, @gid: initial addresses, at least one
 * @max_mtu: enum hca_mtu, or larger codes (128 << code bytes, up to HCA_MTU_MAX)
 * @first_qpn, @qpns: numbers that its queue pairs may have; 24 bits
 */
struct hca_wire_port {
	u32 lid;
	u32 gids;
	struct hca_gid gid[HCA_WIRE_GIDS];
	u32 max_mtu;
	u32 first_qpn;
	u32 qpns;
};

struct hca_wire;

/**
 * struct hca_wire_qp - the public state of a queue pair for other processes
 * @type: enum hca_qp_type; @state: enum hca_qp_state; RTS also for a queue pair in RTR after its HCA_EVENT_COMM_EST
 * @access: the peer's rights; @rd_limit: reads and atomics of the peer that may be under way
 * @pd: number of its protection domain
 * @peer: LID << 32 | number of the queue pair that it is connected to
 * @retries: how many it has made
 */
struct hca_wire_qp {
	u32 qpn;
	u32 retries;
	u8 type;
	u8 state;
	u8 rd_limit;
	u32 access;
	u64 pd;
	u64 peer;
};

/**
 * struct hca_wire_key - the public state of a key for other processes
 * @access: enum hca_access_flags; bit 31: a memory window's
 * @qpn: of a type 2 window: the queue pair that may use it; else ~0
 * @iova, @length: the bytes that it covers
 * @pd: number of its protection domain
 * @at: the address of its first byte in this address space
 */
struct hca_wire_key {
	u32 key;
	u32 access;
	u32 qpn;
	u64 iova;
	u64 length;
	u64 pd;
	void *at;
};

/**
 * struct hca_wire_share - calls to a wire that carries out one-sided work without the responder
 * @qp: the new state of a queue pair. No sleep; of one queue pair, one call at a time.
 * @room: a key of this index may come: make room for it. No lock held. Without room the key is used by messages only.
 * @key: it is valid from now on; NULL: no longer. No sleep; of one index, one call at a time.
 * @settle: return when the process of the port @peer, or with 0 every process, no longer accesses directly what it could before the call. Any
 *	context, not inside, no lock held.
 */
struct hca_wire_share {
	void (*qp)(struct hca_wire *wire, u32 lid, const struct hca_wire_qp *qp);
	void (*room)(struct hca_wire *wire, u32 lid, u32 key);
	void (*key)(struct hca_wire *wire, u32 lid, u32 key, const struct hca_wire_key *k);
	void (*settle)(struct hca_wire *wire, u32 lid, u32 peer);
};

/* struct hca_wire_ops.caps */
#define HCA_WIRE_MESSAGES (1u << 0) /* it has send */
#define HCA_WIRE_PACKETS (1u << 1) /* it has xmit */
#define HCA_WIRE_LATER \
	(1u << 2) /* answers to messages that take a receive request come later, in the order of the pieces */
#define HCA_WIRE_LIDS (1u << 3) /* links have LIDs; else paths are global */

/**
 * struct hca_wire_ops - one kind of wire
 * @caps: HCA_WIRE_*
 * @attach: an adapter joins. May sleep. Return: 0, and the port; -ENOSPC, -ENOMEM.
 * @detach: it leaves; no call reaches its client after this has returned. May sleep.
 * @send: carry a piece to its responder. From inside the requester's adapter, any context, no lock held. The payload is copied
 *	before this returns, unless the responder is to fetch it. HCA_ANSWER_LATER: the wire has no room for it now.
 * @xmit: send a packet; from inside, any context, no lock held. The payload is copied before this returns, and clients are called
 *	later, not from within this call. 0, also if the packet is lost; -EAGAIN: not now: nothing was sent, and the client's
 *	ready is called; -EACCES, -EFAULT of hca_frame_write().
 * @peer: the place of the pointer to the client of a port of this address space; atomic; the pointer is NULL while no client is attached. The place stays as long as
 *	the wire, the client while the caller is inside its own adapter. NULL: no such port. Any context. NULL: ports may be elsewhere
 * @answer: of a wire that answers later: carry the reply to a piece, with its bytes, to the requester's port @lid. Bytes are copied
 *	before this returns; replies to one queue pair arrive in the order of these calls. Any context, no lock held, not inside.
 * @withdraw: of a wire whose responders fetch payloads: what was left to be fetched so far brings no message any more, unless it was fetched
 *	before: the responder answers HCA_ANSWER_COPY. Any context, also with a lock held. NULL: not needed
 * @share: calls for the objects that adapters share with other processes; NULL: there are none
 * @flush: a sequence of xmit or send has ended; NULL: not needed
 */
struct hca_wire_ops {
	u32 caps;
	int (*attach)(struct hca_wire *wire, const struct hca_wire_client *ops, void *client,
		      struct hca_wire_port *port);
	void (*detach)(struct hca_wire *wire, u32 lid);
	enum hca_answer (*send)(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r);
	int (*xmit)(struct hca_wire *wire, struct hca_frame *frame);
	void *const *(*peer)(struct hca_wire *wire, u32 lid);
	void (*answer)(struct hca_wire *wire, u32 lid, const struct hca_reply *r);
	void (*flush)(struct hca_wire *wire, u32 lid);
	void (*withdraw)(struct hca_wire *wire);
	const struct hca_wire_share *share;
};

/** struct hca_wire - a wire; its kind embeds it */
struct hca_wire {
	const struct hca_wire_ops *ops;
};

/** hca_wire_gid() - a port's address if no network gives one: link-local, with a made-up GUID that is unique on the wire */
static inline void hca_wire_gid(struct hca_gid *gid, u32 lid)
{
	*gid = (struct hca_gid){ .raw = { 0xfe, 0x80, [8] = 0x02, [14] = (u8)(lid >> 8), [15] = (u8)lid } };
}

#endif
