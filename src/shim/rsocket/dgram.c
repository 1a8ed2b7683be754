/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams: one UD queue pair for each socket. A message begins with its two addresses, so the receiver knows whom to answer, and
 * needs no other way to find it. The sender's first datagram to an address asks for the queue pair by the connection manager (dgram_peer.c). A datagram that finds no receive is
 * lost, as with UDP.
 */
#include "dgram.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GRH_BYTES 40u
#define BATCH 16
#define WR_SEND (1ull << 32)

static size_t slot_bytes(const struct rs_dgram *d)
{
	return GRH_BYTES + d->mtu;
}

static uint8_t *receive_slot(const struct rs_dgram *d, uint32_t i)
{
	return d->memory + i * slot_bytes(d);
}

static uint8_t *send_slot(const struct rs_dgram *d, uint32_t i)
{
	return receive_slot(d, d->receives + i);
}

/* --- the queue pair --- */

static int post_receive(struct rs_dgram *d, uint32_t slot)
{
	struct ibv_sge sge = { .addr = (uintptr_t)receive_slot(d, slot),
			       .length = (uint32_t)slot_bytes(d),
			       .lkey = d->mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 }, *bad;

	return ibv_post_recv(d->qp, &wr, &bad);
}

static int ready(struct rs_dgram *d)
{
	struct ibv_qp_attr at = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = RDMA_UDP_QKEY };
	int err = ibv_modify_qp(d->qp, &at, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);

	at.qp_state = IBV_QPS_RTR;
	if (!err)
		err = ibv_modify_qp(d->qp, &at, IBV_QP_STATE);
	at.qp_state = IBV_QPS_RTS;
	return err ? err : ibv_modify_qp(d->qp, &at, IBV_QP_STATE | IBV_QP_SQ_PSN);
}

static int make_queues(struct rsock *rs, struct rs_dgram *d, struct ibv_context *verbs)
{
	struct ibv_qp_init_attr at = { .qp_type = IBV_QPT_UD };

	rs->comp = ibv_create_comp_channel(verbs);
	if (!rs->comp || fcntl(rs->comp->fd, F_SETFL, O_NONBLOCK))
		return errno;
	rs->cq = ibv_create_cq(verbs, (int)(d->receives + d->sends), NULL, rs->comp, 0);
	if (!rs->cq)
		return errno;
	at.send_cq = at.recv_cq = rs->cq;
	at.cap = (struct ibv_qp_cap){
		.max_send_wr = d->sends, .max_recv_wr = d->receives, .max_send_sge = 1, .max_recv_sge = 1
	};
	d->qp = ibv_create_qp(d->pd, &at);
	return d->qp ? ready(d) : errno;
}

static int make_memory(struct rs_dgram *d)
{
	d->bytes = (d->receives + d->sends) * slot_bytes(d);
	d->memory = mmap(NULL, d->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (d->memory == MAP_FAILED) {
		d->memory = NULL;
		return ENOMEM;
	}
	d->arrived = calloc(d->receives, sizeof(*d->arrived));
	d->mr = d->arrived ? ibv_reg_mr(d->pd, d->memory, d->bytes, IBV_ACCESS_LOCAL_WRITE) : NULL;
	return d->mr ? 0 : errno;
}

static int fill(struct rsock *rs, struct rs_dgram *d)
{
	int n = 0, err;
	struct ibv_context **all = rdma_get_devices(&n);
	struct ibv_context *verbs = all && n ? all[0] : NULL;
	struct ibv_port_attr port;
	uint32_t i;

	if (all)
		rdma_free_devices(all);
	if (!verbs)
		return ENODEV;
	err = ibv_query_port(verbs, 1, &port);
	if (err)
		return err;
	d->mtu = 128u << port.active_mtu;
	d->receives = (uint32_t)rs->opt.rqsize;
	d->sends = (uint32_t)RS_MIN(rs->opt.sqsize, 64);
	d->pd = ibv_alloc_pd(verbs);
	err = d->pd ? make_memory(d) : errno;
	if (!err)
		err = make_queues(rs, d, verbs);
	for (i = 0; i < d->receives && !err; i++)
		err = post_receive(d, i);
	return err;
}

int rs_dgram_open(struct rsock *rs)
{
	struct sockaddr_storage any = { .ss_family = (sa_family_t)rs->domain };
	struct rs_dgram *d;
	int err = 0;

	if (rs->dgram)
		return 0;
	if (!rs->bound && rdma_bind_addr(rs->id, (struct sockaddr *)&any))
		return errno;
	rs->bound = true;
	d = calloc(1, sizeof(*d));
	if (!d)
		return ENOMEM;
	rs->dgram = d;
	err = fill(rs, d);
	if (!err && rdma_listen(rs->id, 0))
		err = errno;
	if (err) {
		rs_dgram_end(rs);
		rs_shut(rs);
		return err;
	}
	rs->state = RS_LISTENING;
	return rs_serve(rs);
}

void rs_dgram_end(struct rsock *rs)
{
	struct rs_dgram *d = rs->dgram;

	if (!d)
		return;
	if (d->qp)
		ibv_destroy_qp(d->qp);
	rs_peers_end(d);
	if (d->mr)
		ibv_dereg_mr(d->mr);
	if (d->memory)
		munmap(d->memory, d->bytes);
	if (d->pd)
		ibv_dealloc_pd(d->pd);
	free(d->arrived);
	free(d);
	rs->dgram = NULL;
}

/* --- arrivals --- */

static bool may_be_from(const struct rsock *rs, int family)
{
	return family == rs->domain || (family == AF_INET && !rs->opt.v6only);
}

/* Return: the socket keeps it, until it is read */
static bool take(struct rsock *rs, struct rs_dgram *d, struct ibv_wc *wc, uint32_t slot)
{
	uint8_t *at = receive_slot(d, slot);
	struct rs_addresses names;

	if (wc->status != IBV_WC_SUCCESS || wc->byte_len < GRH_BYTES + sizeof(names))
		return false;
	memcpy(&names, at + GRH_BYTES, sizeof(names));
	if (names.version != RS_DATAGRAM || !may_be_from(rs, names.from.sin6_family))
		return false;
	if (d->connected && !rs_same_address(&names.from, &d->to))
		return false;
	rs_peer_learn(rs, &names, wc, (struct ibv_grh *)at);
	if (rs->read_shut)
		return false;
	d->arrived[(d->first + d->waiting++) % d->receives] =
		(struct rs_arrival){ .slot = slot, .bytes = wc->byte_len - GRH_BYTES - (uint32_t)sizeof(names) };
	return true;
}

bool rs_dgram_completions(struct rsock *rs)
{
	struct rs_dgram *d = rs->dgram;
	struct ibv_wc wc[BATCH];
	bool some = false;
	int i, n;

	while ((n = ibv_poll_cq(rs->cq, BATCH, wc)) > 0) {
		some = true;
		for (i = 0; i < n; i++) {
			if (wc[i].wr_id & WR_SEND)
				d->busy--;
			else if (!take(rs, d, &wc[i], (uint32_t)wc[i].wr_id))
				(void)post_receive(d, (uint32_t)wc[i].wr_id);
		}
	}
	return some;
}

/* --- sending --- */

bool rs_dgram_can_send(const struct rsock *rs)
{
	return rs->closed || !rs->dgram || rs->dgram->busy < rs->dgram->sends;
}

bool rs_dgram_can_recv(const struct rsock *rs)
{
	return rs->closed || rs->read_shut || (rs->dgram && rs->dgram->waiting);
}

bool rs_dgram_is_idle(const struct rsock *rs)
{
	return !rs->dgram || !rs->dgram->busy;
}

static uint8_t *gather(uint8_t *to, const struct iovec *iov, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (iov[i].iov_len)
			memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	return to;
}

static int post_send(struct rs_dgram *d, const struct rs_peer *peer, const struct iovec *iov, size_t n)
{
	uint8_t *at = send_slot(d, d->send_at), *end;
	struct ibv_sge sge = { .addr = (uintptr_t)at, .lkey = d->mr->lkey };
	struct ibv_send_wr wr = {
		.wr_id = WR_SEND,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.ud = { .ah = peer->ah, .remote_qpn = peer->qpn, .remote_qkey = RDMA_UDP_QKEY },
	};
	struct ibv_send_wr *bad;
	int err;

	memcpy(at, &peer->names, sizeof(peer->names));
	end = gather(at + sizeof(peer->names), iov, n);
	sge.length = (uint32_t)(end - at);
	err = ibv_post_send(d->qp, &wr, &bad);
	if (err)
		return err;
	d->busy++;
	d->send_at = (d->send_at + 1) % d->sends;
	return 0;
}

static int check_destination(struct rsock *rs, const struct sockaddr *to, socklen_t len, struct sockaddr_in6 *dest)
{
	if (!to) {
		if (!rs->dgram->connected)
			return EDESTADDRREQ;
		*dest = rs->dgram->to;
		return 0;
	}
	return rs_take_address(rs, to, len, dest);
}

static int send_one(struct rsock *rs, const struct iovec *iov, size_t n, int flags, const struct sockaddr_in6 *dest)
{
	bool dontwait = rs->nonblocking || flags & MSG_DONTWAIT;
	uint64_t deadline = rs_deadline(&rs->opt.sndtimeo);
	struct rs_peer *peer = NULL;
	int err;

	/* Others may send while it is looked for. Each wait may end what is known of the peer: a look at it is the last thing before. */
	do {
		err = rs_wait_timed(rs, dontwait, deadline, rs_dgram_can_send);
		if (!err)
			err = rs_peer_find(rs, dest, dontwait, &peer);
		if (!err && rs->closed)
			err = EBADF;
	} while (!err && !rs_dgram_can_send(rs));
	/* As with UDP, only a connected socket gets the error if there is no receiver. */
	if (err == ECONNREFUSED || err == ETIMEDOUT)
		return rs->dgram->connected && err == ECONNREFUSED ? err : 0;
	return err ? err : post_send(rs->dgram, peer, iov, n);
}

ssize_t rs_dgram_send(struct rsock *rs, const struct iovec *iov, size_t n, int flags, const struct sockaddr *to,
		      socklen_t len)
{
	struct sockaddr_in6 dest;
	size_t all = 0, i;
	int err;

	if (flags & ~RS_SEND_FLAGS)
		return rs_fail(EOPNOTSUPP);
	err = rs_dgram_open(rs);
	if (!err)
		err = check_destination(rs, to, len, &dest);
	for (i = 0; i < n && !err; i++) {
		if (iov[i].iov_len > rs->dgram->mtu - sizeof(struct rs_addresses) - all)
			err = EMSGSIZE;
		else
			all += iov[i].iov_len;
	}
	if (!err && rs->write_shut)
		err = EPIPE;
	if (!err)
		err = send_one(rs, iov, n, flags, &dest);
	return err ? rs_fail(err) : (ssize_t)all;
}

/* --- receiving --- */

static size_t scatter(const uint8_t *from, size_t len, const struct iovec *iov, size_t n)
{
	size_t done = 0, part, i;

	for (i = 0; i < n && done < len; i++, done += part) {
		part = RS_MIN(iov[i].iov_len, len - done);
		if (part)
			memcpy(iov[i].iov_base, from + done, part);
	}
	return done;
}

ssize_t rs_dgram_recv(struct rsock *rs, const struct iovec *iov, size_t n, int flags, struct sockaddr *from,
		      socklen_t *len, int *truncated)
{
	struct rs_dgram *d;
	struct rs_arrival a;
	struct rs_addresses names;
	const uint8_t *at;
	size_t done;
	int err;

	if (flags & MSG_ERRQUEUE)
		return rs_fail(EAGAIN);
	if (flags & ~RS_RECV_FLAGS)
		return rs_fail(EOPNOTSUPP);
	err = rs_dgram_open(rs);
	if (!err)
		err = rs_wait_timed(rs, rs->nonblocking || flags & MSG_DONTWAIT, rs_deadline(&rs->opt.rcvtimeo),
				    rs_dgram_can_recv);
	if (!err && rs->closed)
		err = EBADF;
	if (err)
		return rs_fail(err);
	d = rs->dgram;
	if (!d->waiting)
		return 0;
	a = d->arrived[d->first];
	at = receive_slot(d, a.slot) + GRH_BYTES;
	memcpy(&names, at, sizeof(names));
	done = scatter(at + sizeof(names), a.bytes, iov, n);
	*truncated = done < a.bytes ? MSG_TRUNC : 0;
	if (from && len)
		(void)rs_give_address(rs, (struct sockaddr *)&names.from, from, len);
	if (!(flags & MSG_PEEK)) {
		d->first = (d->first + 1) % d->receives;
		d->waiting--;
		(void)post_receive(d, a.slot);
	}
	return flags & MSG_TRUNC ? (ssize_t)a.bytes : (ssize_t)done;
}

int rs_dgram_connect(struct rsock *rs, const struct sockaddr *to, socklen_t len)
{
	int err = rs_dgram_open(rs);

	if (err)
		return err;
	if (to && to->sa_family == AF_UNSPEC) {
		rs->dgram->connected = false;
		return 0;
	}
	err = rs_take_address(rs, to, len, &rs->dgram->to);
	if (!err)
		rs->dgram->connected = true;
	return err;
}

const struct sockaddr *rs_dgram_peer(const struct rsock *rs)
{
	return rs->dgram && rs->dgram->connected ? (const struct sockaddr *)&rs->dgram->to : NULL;
}

uint32_t rs_dgram_qpn(const struct rsock *rs)
{
	return rs->dgram->qp->qp_num;
}
