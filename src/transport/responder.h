/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the responders of both transports share: taking receive requests, judging what a
 * message names, and the ends of messages. From inside, by the thread that is at rx.
 */
#ifndef HCA_TRANSPORT_RESPONDER_H
#define HCA_TRANSPORT_RESPONDER_H

#include "hca/qp.h"
#include "wire/wire.h"

/** struct hca_resp_finish - what is left to do when no thread is inside for a message any more; @qp NULL: nothing */
struct hca_resp_finish {
	struct hca_qp *qp;
	struct hca_invalidation invalidation;
	struct hca_wc wc;
	bool solicited;
};

/** hca_resp_take() - a receive request is in rx.wqe: one that is left, or the oldest one of @srq or, if that is NULL, of its own. Return: is there one? */
bool hca_resp_take(struct hca_qp *qp, struct hca_srq *srq);

/** hca_resp_is_ipv4() - the network's header of a datagram that has HCA_MSG_GLOBAL is one of IPv4 (RFC 4291, 2.5.5.2: mapped addresses) */
static inline bool hca_resp_is_ipv4(const struct hca *hca, const struct hca_msg *m)
{
	return hca->attr.roce && hca_gid_is_ipv4(m->ud.sgid.raw) && hca_gid_is_ipv4(m->ud.dgid.raw);
}

/** hca_resp_begin() - rx.to, .room and .done for the request that was taken */
void hca_resp_begin(struct hca_qp *qp);

/** hca_resp_cursor() - a list of entries of this queue pair's adapter, from its beginning, with keys of the domain @pd */
static inline void hca_resp_cursor(struct hca_qp *qp, u64 pd, struct hca_sge_cursor *c, u32 access,
				   const struct hca_sge *sge, u32 num_sge)
{
	c->mem = qp->hca->mem;
	c->keys = &qp->hca->keys;
	c->pd = pd;
	c->qpn = qp->qpn;
	c->access = access;
	c->sge = sge;
	c->num_sge = num_sge;
	c->off = 0;
	c->entry = NULL;
}

/**
 * hca_resp_remote() - bytes that an RDMA or atomic names, as a list of the one entry @sge
 * @pd: number of the domain whose keys count
 * @op: its row
 * @whole: bytes from @addr on that the key must allow; @len: those of the list
 *
 * Return: HCA_ANSWER_ACK; HCA_ANSWER_INV_REQ: the queue pair doesn't allow such requests; HCA_ANSWER_REM_ACCESS. hca_resp_say() says why.
 */
static inline enum hca_answer hca_resp_may(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, u64 addr, u32 rkey,
					   u64 whole, u32 len, struct hca_sge *sge, struct hca_sge_cursor *c)
{
	/* A queue pair without the right refuses the request itself: it is invalid for it (IBTA 9.7.4.1.3, table of NAK codes). */
	if (hca_unlikely(!(hca_load(&qp->access) & op->remote)))
		return HCA_ANSWER_INV_REQ;
	sge->addr = addr;
	sge->length = len;
	sge->lkey = rkey;
	hca_resp_cursor(qp, pd, c, op->remote, sge, 1);
	/* A message of no bytes needs no key (IBTA 9.7.4.1.5). */
	if (hca_unlikely(!whole))
		return HCA_ANSWER_ACK;
	c->entry = hca_key_check(c->keys, rkey, c->pd, c->qpn, addr, whole, op->remote);
	c->checked = len;
	return hca_likely(c->entry) ? HCA_ANSWER_ACK : HCA_ANSWER_REM_ACCESS;
}

/**
 * hca_resp_say() - note and say why hca_resp_may() said no to these arguments; from inside
 *
 * Return: @answer
 */
enum hca_answer hca_resp_say(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, u64 addr, u32 rkey, u64 whole,
			     enum hca_answer answer) HCA_COLD;

/** hca_resp_remote() - both */
static inline enum hca_answer hca_resp_remote(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, u64 addr,
					      u32 rkey, u64 whole, u32 len, struct hca_sge *sge,
					      struct hca_sge_cursor *c)
{
	enum hca_answer answer = hca_resp_may(qp, pd, op, addr, rkey, whole, len, sge, c);

	return hca_likely(!answer) ? answer : hca_resp_say(qp, pd, op, addr, rkey, whole, answer);
}

/** hca_resp_failed() - the answer when bytes couldn't be moved: the key was retracted since its check, or the own memory refused */
static inline enum hca_answer hca_resp_failed(int err)
{
	return err == -EACCES ? HCA_ANSWER_REM_ACCESS : HCA_ANSWER_REM_OP;
}

/** hca_resp_failed_why() - its reason */
static inline enum hca_vendor_err hca_resp_failed_why(int err)
{
	return err == -EACCES ? HCA_VENDOR_KEY : HCA_VENDOR_MEMORY;
}

/** hca_resp_atomic() - carry it out. Return: the answer; the previous value is in @result. */
enum hca_answer hca_resp_atomic(struct hca_qp *qp, u64 pd, const struct hca_opcode *op, u64 addr, u32 rkey,
				u64 compare_add, u64 swap, u64 *result, hca_site_t site);

/** hca_resp_fill_wc() - the completion of the request that was taken */
void hca_resp_fill_wc(const struct hca_qp *qp, const struct hca_opcode *op, const struct hca_msg *m, u32 bytes,
		      struct hca_wc *wc);

/** hca_resp_spoil() - the receive request that was taken ends in an error, for @why, and its connected queue pair with it */
void hca_resp_spoil(struct hca_qp *qp, struct hca_wc *wc, enum hca_wc_status status, enum hca_vendor_err why) HCA_COLD;

/** hca_resp_recv_why() - why the first @len bytes of the receive request that was taken can't be written; noted and said. From inside. */
enum hca_vendor_err hca_resp_recv_why(struct hca_qp *qp, u64 len) HCA_COLD;

/**
 * hca_resp_refuse() - the message can't be: the end of a reliable queue pair
 * @why: noted and said; HCA_VENDOR_NONE: hca_resp_say() or hca_resp_spoil() has done so
 *
 * Return: @answer
 */
enum hca_answer hca_resp_refuse(struct hca_qp *qp, enum hca_answer answer, enum hca_vendor_err why) HCA_COLD;

/** hca_resp_count() - the peer of a connected queue pair gets this answer, which is no ACK */
void hca_resp_count(struct hca_qp *qp, enum hca_answer answer) HCA_COLD;

/** hca_resp_begin_invalidate() - a key goes with this message; hca_resp_finish() has the rest. Return: may it? */
bool hca_resp_begin_invalidate(struct hca_qp *qp, u32 key, const struct hca_wc *wc, bool solicited,
			       struct hca_resp_finish *f);

/** hca_resp_finish_here() - wait, and complete; outside, no lock held, and rx still busy by us */
void hca_resp_finish_here(struct hca_resp_finish *f);

/** hca_resp_finish() - the same, and leave rx */
void hca_resp_finish(struct hca_resp_finish *f);

/** hca_resp_established() - a message of the peer arrived: in RTR a queue pair reports this once */
void hca_resp_established(struct hca_qp *qp);

#endif
