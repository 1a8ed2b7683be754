/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A peer made by hand, to say to an initiator or a target what no decent one would:
 * a queue pair, a piece of memory with a key, and whatever bytes the test likes.
 */
#ifndef SRP_RAW_H
#define SRP_RAW_H

#include "srp_fixture.h"

#define RAW_RECVS 48u
#define RAW_IU 2048u
#define RAW_DATA (RAW_RECVS * RAW_IU) /* where its data begins */
#define RAW_BYTES (256u << 10)

struct raw {
	struct srp_qp q;
	struct ib_pd *pd;
	struct srp_mem mem;
	struct srp_cm_conn *conn;
	struct ib_cqe cqe;
	u32 ready; /* atomic */
	bool accepted, rejected;
	u32 gone; /* atomic */
	u32 reason;
	struct srp_login_rsp rsp;
	bool broken; /* a completion said so */
	u8 got[RAW_IU]; /* what was received last */
	u32 got_len;
	u64 tag;
};

static void raw_post_recv(struct raw *r, u64 i)
{
	struct ib_sge sge = { .addr = hca_dma_u64(r->mem.dma) + i * RAW_IU,
			      .length = RAW_IU,
			      .lkey = r->pd->local_dma_lkey };
	struct ib_recv_wr wr = { .wr_id = i, .sg_list = &sge, .num_sge = 1 };

	if (ib_post_recv(r->q.qp, &wr, NULL))
		r->broken = true;
}

/* Memory alone. */
static void raw_open_memory(struct raw *r, struct ib_device *dev)
{
	memset(r, 0, sizeof(*r));
	r->pd = ib_alloc_pd(dev, IB_PD_UNSAFE_GLOBAL_RKEY);
	assert_false(IS_ERR(r->pd));
	assert_int_equal(srp_mem_make(&r->mem, dev, RAW_BYTES), 0);
}

/* Its queue pair, for the connection that it has. */
static void raw_open_qp(struct raw *r)
{
	struct srp_qp_attr attr = {
		.id = r->conn->id,
		.pd = r->pd,
		.poll = IB_POLL_DIRECT,
		.sends = 128,
		.recvs = RAW_RECVS,
	};
	u32 i;

	assert_int_equal(srp_qp_make(&r->q, &attr), 0);
	for (i = 0; i < RAW_RECVS; i++)
		raw_post_recv(r, i);
}

static bool raw_event(void *ctx, const struct srp_cm_event *ev)
{
	struct raw *r = ctx;
	struct srp_login_rej rej;

	switch (ev->what) {
	case SRP_CM_READY:
		__atomic_store_n(&r->ready, 1, __ATOMIC_RELEASE);
		break;
	case SRP_CM_ACCEPTED:
		srp_login_rsp_decode(ev->data, ev->len, &r->rsp);
		__atomic_store_n(&r->accepted, true, __ATOMIC_RELEASE);
		break;
	case SRP_CM_REJECTED:
		if (!srp_login_rej_decode(ev->data, ev->len, &rej))
			r->reason = rej.reason;
		__atomic_store_n(&r->rejected, true, __ATOMIC_RELEASE);
		break;
	default:
		__atomic_store_n(&r->gone, 1, __ATOMIC_RELEASE);
		break;
	}
	return true;
}

/* A condition that another thread makes true within two seconds. */
#define eventually(cond) \
	({ \
		int tries_ = 0; \
		while (!(cond) && tries_++ < 2000) \
			usleep(1000); \
		(cond); \
	})

/* Ready to log in at the target. */
__attribute__((unused)) static void raw_open(struct raw *r, struct ib_device *dev)
{
	raw_open_memory(r, dev);
	assert_int_equal(srp_cm_open(dev, DISK, raw_event, r, &r->conn), 0);
	assert_true(eventually(__atomic_load_n(&r->ready, __ATOMIC_ACQUIRE)));
	raw_open_qp(r);
}

static void raw_close(struct raw *r)
{
	srp_qp_drop(&r->q);
	if (r->conn)
		srp_cm_close(r->conn);
	srp_mem_drop(&r->mem);
	assert_int_equal(ib_dealloc_pd(r->pd), 0);
}

/* Return: accepted? */
__attribute__((unused)) static bool raw_login_bytes(struct raw *r, const void *iu, u32 len)
{
	assert_int_equal(srp_cm_connect(r->conn, iu, len), 0);
	assert_true(eventually(__atomic_load_n(&r->accepted, __ATOMIC_ACQUIRE) ||
			       __atomic_load_n(&r->rejected, __ATOMIC_ACQUIRE)));
	return r->accepted;
}

__attribute__((unused)) static struct srp_login_req raw_login_req(u8 port)
{
	struct srp_login_req req = { .tag = 7, .it_iu_len = 500, .formats = SRP_FMT_DIRECT | SRP_FMT_INDIRECT };

	memset(req.initiator_port, port, SRP_PORT_ID);
	return req;
}

__attribute__((unused)) static bool raw_login(struct raw *r, const struct srp_login_req *req)
{
	u8 iu[SRP_CM_PRIVATE];

	assert_int_equal(srp_login_req_encode(iu, sizeof(iu), req), sizeof(iu));
	return raw_login_bytes(r, iu, sizeof(iu));
}

__attribute__((unused)) static void raw_ready(struct raw *r, struct ib_device *dev, u8 port)
{
	struct srp_login_req req = raw_login_req(port);

	raw_open(r, dev);
	assert_true(raw_login(r, &req));
}

/* Send these bytes; from memory of its own, so that they may be many. */
__attribute__((unused)) static void raw_send(struct raw *r, const void *iu, u32 len)
{
	static u32 turn;
	u32 at = RAW_BYTES - (1 + __atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % 64) * 1024;
	struct ib_sge sge = { .addr = hca_dma_u64(r->mem.dma) + at, .length = len, .lkey = r->pd->local_dma_lkey };
	struct ib_send_wr wr = { .wr_id = ~0ull,
				 .sg_list = &sge,
				 .num_sge = len ? 1 : 0,
				 .opcode = IB_WR_SEND,
				 .send_flags = IB_SEND_SIGNALED };

	assert_true(len <= 1024);
	memcpy(r->mem.cpu + at, iu, len);
	if (ib_post_send(r->q.qp, &wr, NULL))
		r->broken = true;
}

/* Return: an IU was received within @ms, and is in r->got */
__attribute__((unused)) static bool raw_recv_within(struct raw *r, u32 ms)
{
	struct ib_wc wc;
	u32 waited = 0;

	for (;;) {
		while (ib_poll_cq(r->q.cq, 1, &wc) > 0) {
			if (wc.status) {
				r->broken = true;
				continue;
			}
			if (wc.wr_id == ~0ull)
				continue;
			r->got_len = wc.byte_len;
			memcpy(r->got, r->mem.cpu + wc.wr_id * RAW_IU, wc.byte_len);
			raw_post_recv(r, wc.wr_id);
			return true;
		}
		if (waited++ >= ms)
			return false;
		usleep(1000);
	}
}

__attribute__((unused)) static bool raw_recv(struct raw *r)
{
	return raw_recv_within(r, 2000);
}

/* Return: the connection ended within two seconds */
__attribute__((unused)) static bool raw_ended(struct raw *r)
{
	return eventually(__atomic_load_n(&r->gone, __ATOMIC_ACQUIRE));
}

/* The next IU must be a response with this tag. */
__attribute__((unused)) static struct srp_rsp raw_rsp(struct raw *r, u64 tag)
{
	struct srp_rsp rsp;

	assert_true(raw_recv(r));
	assert_int_equal(srp_rsp_decode(r->got, r->got_len, &rsp), SRP_FINE);
	assert_int_equal(rsp.tag, tag);
	return rsp;
}

/* A READ or WRITE (10) of @blocks at @lba, as an IU. Return: bytes */
__attribute__((unused)) static u32 raw_rw(void *iu, u64 tag, bool write, u32 lba, u16 blocks,
					  const struct srp_data *data)
{
	static const u8 lun[SCSI_LUN_LEN];
	const struct srp_data none = { .format = SRP_DATA_NONE };
	u8 cdb[10] = { write ? 0x2a : 0x28, 0,	       (u8)(lba >> 24), (u8)(lba >> 16), (u8)(lba >> 8), (u8)lba, 0,
		       (u8)(blocks >> 8),   (u8)blocks };

	return srp_cmd_encode(iu, 1024, tag, lun, cdb, sizeof(cdb), write ? data : &none, write ? &none : data);
}

__attribute__((unused)) static struct srp_desc raw_desc(const struct raw *r, u32 at, u32 len)
{
	return (struct srp_desc){ .va = hca_dma_u64(r->mem.dma) + RAW_DATA + at,
				  .key = r->pd->unsafe_global_rkey,
				  .len = len };
}

/* Takes the unit attention that a new nexus has. */
__attribute__((unused)) static void raw_attention(struct raw *r)
{
	const struct srp_data none = { .format = SRP_DATA_NONE };
	static const u8 lun[SCSI_LUN_LEN], tur[6];
	struct srp_rsp rsp;
	u8 iu[64];

	raw_send(r, iu, srp_cmd_encode(iu, sizeof(iu), 1, lun, tur, 6, &none, &none));
	rsp = raw_rsp(r, 1);
	assert_int_equal(rsp.status, SCSI_CHECK_CONDITION);
	assert_true(rsp.sense_len >= 14);
}

#endif
