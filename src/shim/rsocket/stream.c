/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stream: completions, credits, bytes out and in. What the peer wrote is checked against what this end has allowed it; a peer
 * that did more ends the connection.
 */
#include "rsocket.h"

#include <endian.h>
#include <limits.h>
#include <string.h>

#define PIECE \
	65536u /* of a message, so that the peer can read while more is written, and the send buffer stays in a cache */
#define BATCH 32

/* The upper two bits of immediate data; below, the bytes of data. */
enum { IMM_DATA, IMM_CREDIT, IMM_END, IMM_GONE };

#define IMM_SHIFT 30
#define IMM_MASK ((1u << IMM_SHIFT) - 1)

/* wr_id: receives have 0; a request's kind, and above it how much of the send buffer it has. */
enum { WR_RECEIVE, WR_DATA, WR_CONTROL, WR_KINDS = 4 };

/* Where things are in the peer's memory; memory.c makes it. */
static uint64_t peer_ring(const struct rsock *rs)
{
	return rs->peer.addr + RS_SHARED_BYTES + (uint64_t)rs->peer.iomaps * sizeof(struct rs_iomap);
}

bool rs_is_idle(const struct rsock *rs)
{
	return rs->state == RS_OVER || (!rs->busy && !rs->busy_control && !rs->due_end && !rs->due_gone);
}

/* --- requests --- */

static int post(struct rsock *rs, uint64_t wr_id, struct ibv_sge *sge, bool is_inline, uint64_t addr, uint32_t key,
		const uint32_t *imm)
{
	struct ibv_send_wr wr = {
		.wr_id = wr_id,
		.sg_list = sge,
		.num_sge = sge->length ? 1 : 0,
		.opcode = imm ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED | (is_inline ? (unsigned int)IBV_SEND_INLINE : 0),
		.wr.rdma = { .remote_addr = addr, .rkey = key },
	};
	uint32_t told = htobe32(imm ? *imm : 0);
	struct ibv_send_wr *bad;

	memcpy(&wr.imm_data, &told, sizeof(told));
	return ibv_post_send(rs->id->qp, &wr, &bad);
}

int rs_control(struct rsock *rs, const void *from, uint32_t bytes, uint64_t addr, uint32_t key, const uint32_t *imm)
{
	struct ibv_sge sge = { .addr = (uintptr_t)from, .length = bytes };
	int err = rs->busy_control < RS_CONTROL ? post(rs, WR_CONTROL, &sge, true, addr, key, imm) : EAGAIN;

	if (!err)
		rs->busy_control++;
	return err;
}

int rs_write(struct rsock *rs, const void *from, uint32_t bytes, uint64_t addr, uint32_t key, const uint32_t *imm)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)(from ? from : rs->out + rs->out_at),
		.length = bytes,
		.lkey = from ? 0 : rs->out_mr->lkey,
	};
	uint32_t kept = from ? 0 : bytes;
	int err = post(rs, (uint64_t)kept * WR_KINDS + WR_DATA, &sge, from, addr, key, imm);

	if (err)
		return err;
	rs->busy++;
	rs->out_used += kept;
	rs->out_at = (rs->out_at + kept) % rs->out_bytes;
	return 0;
}

uint32_t rs_out(const struct rsock *rs, uint64_t len)
{
	uint32_t room = RS_MIN(rs->out_bytes - rs->out_used, rs->out_bytes - rs->out_at);

	return rs->busy < rs->requests ? (uint32_t)RS_MIN((uint64_t)RS_MIN(room, PIECE), len) : 0;
}

/* --- completions --- */

/* Nothing is believed of it but that it may be late. */
static bool take_credit(struct rsock *rs)
{
	const struct rs_shared *s = (const struct rs_shared *)rs->in;
	uint64_t bytes = __atomic_load_n(&s->bytes, __ATOMIC_ACQUIRE);
	uint64_t messages = __atomic_load_n(&s->messages, __ATOMIC_ACQUIRE);

	if (bytes - rs->taken > rs->sent - rs->taken ||
	    messages - rs->taken_messages > rs->sent_messages - rs->taken_messages)
		return false;
	rs->taken = bytes;
	rs->taken_messages = messages;
	return true;
}

static bool take_data(struct rsock *rs, uint32_t bytes)
{
	if (bytes > rs->ring_bytes - (rs->arrived - rs->read) || rs->end)
		return false;
	rs->arrived += bytes;
	rs->messages++;
	/* Nobody will read it. */
	if (rs->read_shut)
		rs->read = rs->arrived;
	return true;
}

static bool on_receive(struct rsock *rs, const struct ibv_wc *wc)
{
	uint32_t imm;

	if (!(wc->wc_flags & IBV_WC_WITH_IMM))
		return false;
	memcpy(&imm, &wc->imm_data, sizeof(imm));
	imm = be32toh(imm);
	switch (imm >> IMM_SHIFT) {
	case IMM_DATA:
		return take_data(rs, imm & IMM_MASK);
	case IMM_CREDIT:
		return take_credit(rs);
	case IMM_GONE:
		rs->gone = true;
		/* fallthrough */
	default:
		rs->end = true;
		return true;
	}
}

static void on_sent(struct rsock *rs, const struct ibv_wc *wc)
{
	if (wc->wr_id % WR_KINDS == WR_CONTROL) {
		rs->busy_control--;
		return;
	}
	rs->busy--;
	rs->out_used -= (uint32_t)(wc->wr_id / WR_KINDS);
	if (!rs->out_used)
		rs->out_at = 0; /* which is in a cache */
}

/* Return: a receive is free again */
static bool on_completion(struct rsock *rs, const struct ibv_wc *wc)
{
	bool receive = wc->wr_id % WR_KINDS == WR_RECEIVE;

	if (!receive)
		on_sent(rs, wc);
	if (wc->status != IBV_WC_SUCCESS) {
		/* Why, the channel says; of a connection that never was, only that. */
		rs->look = true;
		if (rs->state == RS_CONNECTED || rs->state == RS_ACCEPTING)
			rs_lose(rs, wc->status == IBV_WC_WR_FLUSH_ERR ? 0 : ECONNRESET);
		return false;
	}
	if (receive && !on_receive(rs, wc))
		rs_lose(rs, EPROTO);
	return receive;
}

static void post_again(struct rsock *rs, int n)
{
	struct ibv_recv_wr wr[BATCH] = { 0 }, *bad;
	int i;

	if (!n || rs->state == RS_OVER)
		return;
	for (i = 0; i < n - 1; i++)
		wr[i].next = &wr[i + 1];
	if (ibv_post_recv(rs->id->qp, wr, &bad))
		rs_lose(rs, ECONNRESET);
}

bool rs_on_completions(struct rsock *rs)
{
	struct ibv_wc wc[BATCH];
	bool some = false;
	int i, n, receives;

	while ((n = ibv_poll_cq(rs->cq, BATCH, wc)) > 0) {
		some = true;
		receives = 0;
		for (i = 0; i < n; i++)
			receives += on_completion(rs, &wc[i]);
		post_again(rs, receives);
	}
	return some;
}

/* --- what the peer is told --- */

static void tell_credit(struct rsock *rs)
{
	struct rs_shared s = { .bytes = rs->read, .messages = rs->messages };
	uint32_t imm = (uint32_t)IMM_CREDIT << IMM_SHIFT;

	if (rs->read - rs->told < rs->ring_bytes / 2 &&
	    rs->messages - rs->told_messages < (uint64_t)(rs->receives + 1) / 2)
		return;
	if (rs_control(rs, &s, sizeof(s), rs->peer.addr, rs->peer.key, &imm))
		return;
	rs->told = s.bytes;
	rs->told_messages = s.messages;
}

void rs_tell(struct rsock *rs)
{
	uint32_t imm = (uint32_t)(rs->due_gone ? IMM_GONE : IMM_END) << IMM_SHIFT;

	if (rs->state != RS_CONNECTED)
		return;
	if (!rs->gone)
		tell_credit(rs);
	if ((rs->due_end || rs->due_gone) && !rs_control(rs, NULL, 0, rs->peer.addr, rs->peer.key, &imm))
		rs->due_end = rs->due_gone = false;
}

/* --- bytes out --- */

size_t rs_room(const struct rsock *rs)
{
	uint64_t room = rs->peer.ring - (rs->sent - rs->taken);

	if (rs->sent_messages - rs->taken_messages >= rs->peer.receives || !rs_out(rs, 1))
		return 0;
	return (size_t)RS_MIN(room, rs->peer.ring - rs->sent % rs->peer.ring);
}

bool rs_can_send(const struct rsock *rs)
{
	return rs->state == RS_OVER || rs->state == RS_IDLE || rs->state == RS_LISTENING || rs->gone ||
	       rs->write_shut || (rs->state == RS_CONNECTED && rs_room(rs));
}

/* Where in a list of buffers */
struct place {
	const struct iovec *iov;
	size_t n, at;
	uint64_t left;
};

static bool begin_list(struct place *p, const struct iovec *iov, size_t n)
{
	size_t i;

	*p = (struct place){ .iov = iov, .n = n };
	for (i = 0; i < n; i++) {
		if (iov[i].iov_len > SSIZE_MAX - p->left)
			return false;
		p->left += iov[i].iov_len;
	}
	return true;
}

/* Copies the next @len bytes of the list to @flat, or from there. */
static void copy(struct place *p, uint8_t *flat, uint64_t len, bool to_flat)
{
	uint64_t part;
	uint8_t *in_list;

	for (p->left -= len; len; len -= part, flat += part) {
		while (p->at == p->iov->iov_len) {
			p->iov++;
			p->at = 0;
		}
		part = RS_MIN(len, p->iov->iov_len - p->at);
		in_list = (uint8_t *)p->iov->iov_base + p->at;
		memcpy(to_flat ? flat : in_list, to_flat ? in_list : flat, part);
		p->at += part;
	}
}

/* As much as there is room for. Return: 0 or an errno */
static int send_some(struct rsock *rs, struct place *p)
{
	uint8_t small[RS_INLINE_MAX];
	uint64_t room;
	uint32_t bytes, imm;
	bool is_inline;
	int err;

	while (p->left && (room = rs_room(rs))) {
		bytes = rs_out(rs, RS_MIN(room, p->left));
		is_inline = bytes <= (uint32_t)rs->inline_bytes;
		/* cppcheck-suppress legacyUninitvar ; it is written here */
		copy(p, is_inline ? small : rs->out + rs->out_at, bytes, true);
		imm = bytes;
		err = rs_write(rs, is_inline ? small : NULL, bytes, peer_ring(rs) + rs->sent % rs->peer.ring,
			       rs->peer.key, &imm);
		if (err) {
			p->left += bytes;
			return err;
		}
		rs->sent += bytes;
		rs->sent_messages++;
	}
	return 0;
}

static int why_not_send(const struct rsock *rs)
{
	if (rs->closed)
		return EBADF;
	if (rs->write_shut || rs->gone)
		return EPIPE;
	if (rs->state == RS_OVER)
		return rs->err ? rs->err : EPIPE;
	return rs->state == RS_CONNECTED ? 0 : ENOTCONN;
}

ssize_t rs_stream_send(struct rsock *rs, const struct iovec *iov, size_t n, int flags)
{
	bool dontwait = rs->nonblocking || flags & MSG_DONTWAIT;
	uint64_t deadline = rs_deadline(&rs->opt.sndtimeo);
	struct place p;
	uint64_t all;
	int err = 0;

	if (flags & ~RS_SEND_FLAGS)
		return rs_fail(EOPNOTSUPP);
	if (!begin_list(&p, iov, n))
		return rs_fail(EINVAL);
	all = p.left;
	while (!err && (p.left || !all)) {
		err = rs_wait_timed(rs, dontwait, deadline, rs_can_send);
		if (!err)
			err = why_not_send(rs);
		if (!all)
			break;
		if (!err)
			err = send_some(rs, &p);
	}
	if (err && p.left == all) {
		rs->told_gone |= err == EPIPE && !rs->write_shut;
		return rs_fail(err);
	}
	return (ssize_t)(all - p.left);
}

/* --- bytes in --- */

bool rs_can_recv(const struct rsock *rs)
{
	return rs->arrived != rs->read || rs->end || rs->read_shut || rs->state == RS_OVER || rs->state == RS_IDLE ||
	       rs->state == RS_LISTENING;
}

static void receive_some(struct rsock *rs, struct place *p, int flags)
{
	uint64_t from = rs->read, part;

	while (p->left && from != rs->arrived) {
		part = RS_MIN(p->left, rs->arrived - from);
		part = RS_MIN(part, rs->ring_bytes - from % rs->ring_bytes);
		if (flags & MSG_TRUNC)
			p->left -= part; /* they are counted, or thrown away */
		else
			copy(p, rs->ring + from % rs->ring_bytes, part, false);
		from += part;
	}
	if (!(flags & MSG_PEEK))
		rs->read = from;
	rs_tell(rs);
}

/* Nothing is there to be read. Return: 0: the end; an errno, which a failed connection gives once */
static int why_not_recv(struct rsock *rs)
{
	int err = rs->err;

	if (rs->state == RS_IDLE || rs->state == RS_LISTENING)
		return ENOTCONN;
	if (rs->read_shut || rs->state != RS_OVER)
		return 0;
	rs->err = 0;
	return err;
}

ssize_t rs_stream_recv(struct rsock *rs, const struct iovec *iov, size_t n, int flags)
{
	bool dontwait = rs->nonblocking || flags & MSG_DONTWAIT;
	uint64_t deadline = rs_deadline(&rs->opt.rcvtimeo);
	struct place p;
	uint64_t all;
	int err;

	if (flags & MSG_ERRQUEUE)
		return rs_fail(EAGAIN); /* it is always empty */
	if (flags & ~RS_RECV_FLAGS)
		return rs_fail(EOPNOTSUPP);
	if (!begin_list(&p, iov, n))
		return rs_fail(EINVAL);
	all = p.left;
	do {
		err = all ? rs_wait_timed(rs, dontwait, deadline, rs_can_recv) : 0;
		if (!err && rs->arrived == rs->read) {
			/* A failure behind bytes that came is the next call's. */
			err = all && p.left == all ? why_not_recv(rs) : 0;
			break;
		}
		if (!err)
			receive_some(rs, &p, flags);
	} while (!err && p.left && flags & MSG_WAITALL && !(flags & MSG_PEEK));
	if (err && p.left == all)
		return rs_fail(err);
	return (ssize_t)(all - p.left);
}
