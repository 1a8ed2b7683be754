/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How adapters reach each other. There are two kinds of wires. To one the requester
 * hands whole messages; it brings each to the responder of the adapter that it is
 * for, and the answer back. The other carries packets, later, or never, or twice.
 * Below the engine's queue pairs, above nothing but the port.
 */
#ifndef HCA_WIRE_H
#define HCA_WIRE_H

#include "hca/eq.h"
#include "hca/sge.h"
#include "hca/quiesce.h"
#include "hca/packet.h"
#include "hca/mw.h"

struct hca;
struct hca_qp;

/** enum hca_answer - what became of a message (IBTA 9.7.5.2) */
enum hca_answer {
	HCA_ANSWER_ACK,
	HCA_ANSWER_RNR, /* no receive request: try again after the time in the message */
	HCA_ANSWER_INV_REQ, /* the request can't be: opcode, length, alignment, QP's rights */
	HCA_ANSWER_REM_ACCESS, /* key, rights or bounds at the responder */
	HCA_ANSWER_REM_OP, /* the responder could not do it */
	HCA_ANSWER_LOC_PROT, /* the requester's own memory refused */
	HCA_ANSWER_NONE, /* nobody there who answers */
};

/**
 * struct hca_msg - one message, and its answer
 * @opcode: what is asked
 * @dlid, @dqpn: to whom
 * @slid, @sqpn: from whom
 * @len: bytes of data
 * @data: where they are at the requester (a read: where they go), unless they are @inline_data
 * @raddr, @rkey: of RDMA and atomics
 * @compare_add, @swap: of atomics; @result gets what was there
 * @imm: immediate data, or the key to invalidate
 * @qkey, @pkey, @sl: of datagrams
 * @global, @grh, @sgid: of datagrams: it has a global route header, with these fields
 * @solicited: the receiver's completion may call for an event
 * @connected: RC or UC: the responder checks that the two belong together
 * @reliable: RC: errors are answered, else the message is dropped
 * @rnr_code: the answer is RNR: after how long to try again
 * @finish: hca_respond_finish() is to be called, outside: an invalidation that has to wait; the queue pair is held for it
 */
struct hca_msg {
	enum hca_wr_opcode opcode;
	u32 dlid;
	u32 dqpn;
	u32 slid;
	u32 sqpn;
	u64 len;
	struct hca_sge_cursor data;
	const void *inline_data;
	u64 raddr;
	u32 rkey;
	u32 imm;
	u64 compare_add;
	u64 swap;
	u64 result;
	u32 qkey;
	u16 pkey;
	u8 sl;
	u8 rnr_code;
	bool global;
	struct hca_grh_attr grh;
	struct hca_gid sgid;
	bool solicited;
	bool connected;
	bool reliable;
	hca_site_t site;

	/* Set by the responder: what is left to do when nobody is inside for this message any more. */
	struct hca_qp *finish;
	struct hca_invalidation finish_invalidation;
	struct hca_wc finish_wc;
};

/**
 * struct hca_frame - a packet to be sent
 * @dlid, @slid, @sl: for the link's header
 * @global: @header begins with a GRH
 * @header: transport headers, @header_len bytes
 * @own: the payload, or NULL: then it is in @data
 * @len, @pad: bytes of payload, and of zeros behind it
 */
struct hca_frame {
	u32 dlid;
	u32 slid;
	u8 sl;
	bool global;
	u8 header[HCA_PACKET_HEADER_MAX];
	u32 header_len;
	const void *own;
	struct hca_sge_cursor data;
	u32 len;
	u32 pad;
	hca_site_t site;
};

/** hca_frame_bytes() - how long the packet is */
static inline u32 hca_frame_bytes(const struct hca_frame *f)
{
	return f->header_len + f->len + f->pad;
}

/** hca_frame_write() - all of the packet, by the wire, from within its xmit. Return: 0; -EACCES, -EFAULT: the payload can't be read */
int hca_frame_write(struct hca_frame *f, void *out);

/**
 * struct hca_arrival - a packet that arrived
 * @bytes, @len: from the GRH (@global) or the BTH to the end of padding; the wire's, until the call returns
 * @dlid, @slid, @sl: from the link's header; @dlid may be 0 where links have none
 */
struct hca_arrival {
	const void *bytes;
	u32 len;
	u32 dlid;
	u32 slid;
	u8 sl;
	bool global;
};

struct hca_wire;

/**
 * struct hca_wire_ops - one kind of wire
 * @attach: an adapter joins; its LID
 * @detach: it leaves; no message reaches it when this has returned
 * @send: bring a message to its responder, from inside the engine; NULL: the wire carries packets
 * @xmit: send a packet, from inside the engine: the payload is copied before this returns, and hca_packet_arrived() is
 *	called later, from outside, not from in here. 0, also when the packet is lost; -EACCES, -EFAULT of hca_frame_write().
 */
struct hca_wire_ops {
	int (*attach)(struct hca_wire *wire, struct hca *hca, u32 *lid);
	void (*detach)(struct hca_wire *wire, u32 lid);
	enum hca_answer (*send)(struct hca_wire *wire, struct hca_msg *msg);
	int (*xmit)(struct hca_wire *wire, struct hca_frame *frame);
};

/**
 * struct hca_wire - a wire
 *
 * Adapters on one share who is inside and whose handlers are to be called, because a message concerns two of
 * them: the sender's thread does what the receiver's completion asks for.
 */
struct hca_wire {
	const struct hca_wire_ops *ops;
	struct hca_quiesce quiesce;
	struct hca_eq eq;
};

#endif
