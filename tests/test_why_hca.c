/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why the engine's own calls refuse, where the verbs of a library can't get: each refusal of src/hca/ with its words. And
 * the vendor_err of requests that fail for a reason of their own end.
 */
#include "engine_fixture.h"
#include "hca/fmr.h"
#include "hca/mcast.h"
#include "why_fixture.h"

static void ended(struct hca_cq *cq, enum hca_wc_status status, u32 vendor_err)
{
	struct hca_wc wc = { 0 };

	assert_int_equal(hca_cq_ring_poll(&cq->ring, &wc, 1), 1);
	assert_int_equal(wc.status, status);
	assert_int_equal(wc.vendor_err, vendor_err);
	why_vendor(vendor_err);
}

/* --- adapters and queues --- */

static void adapters(void **state)
{
	struct hca hca;

	(void)state;
	REFUSED(hca_open(&hca, FIXTURE_WIRE, FIXTURE_EQ, &a.mem, &(const struct hca_attr){ .max_qp = 1u << 30 }),
		-EINVAL, "adapter not made: max_qp 1073741824");
}

static void queues(void **state)
{
	struct hca_srq_attr at = { .max_wr = 2, .max_sge = 1 };
	struct hca_sge large[2] = { { .length = ~0u }, { .length = ~0u } };
	struct hca_recv_wr wr = { .wr_id = 1, .sge = large, .num_sge = 2 };
	struct hca_srq srq;
	struct hca_rq rq;
	struct hca_cq cq;
	u32 i;

	(void)state;
	REFUSED(hca_cq_init(&cq, &a.hca, 0, NULL), -EINVAL, "completion queue: 0 entries, must be from 1 to");
	REFUSED(hca_cq_moderate(&a.scq, 70000, 1), -EINVAL, "completion queue not moderated: count 70000, period 1 us");
	REFUSED(hca_rq_init(&rq, ~0u, 1), -EINVAL, "receive queue: 4294967295 requests, must be from 0 to");
	assert_int_equal(hca_rq_init(&rq, 2, 1), 0);
	REFUSED(hca_rq_resize(&rq, 0), -EINVAL, "receive queue: no room for no requests");
	hca_rq_fini(&rq);
	REFUSED(hca_srq_init(&srq, &a.hca, &b.pd, &at), -EINVAL, "SRQ not made: the domain is another adapter's");
	REFUSED(hca_rq_refuse(&a.qp->rq, &wr, hca_post_recv(a.qp, &wr)), -EINVAL,
		"more bytes than a message can have, 2^31");
	modify(a.qp, &(struct hca_qp_attr){ 0 }, HCA_QPS_SQD, 0);
	for (i = 0; i < WR; i++)
		assert_int_equal(post(&a, i, HCA_WR_SEND, 0, 8, 0, 0), 0);
	REFUSED(post(&a, i, HCA_WR_SEND, 0, 8, 0, 0), -ENOMEM, "the send queue is full");
}

static void groups(void **state)
{
	struct hca_gid gid = { { 0xff, 0x12 } };
	struct hca_qp *qp;
	u32 i;

	(void)state;
	assert_int_equal(make_qp(&a, HCA_QPT_UD, NULL, &qp), 0);
	for (i = 0; i < a.hca.attr.max_mcast; i++) {
		gid.raw[14] = (u8)(i >> 8);
		gid.raw[15] = (u8)i;
		assert_int_equal(hca_mcast_attach(qp, &gid, 0xc001), 0);
	}
	gid.raw[13] = 1;
	REFUSED(hca_mcast_attach(qp, &gid, 0xc001), -ENOSPC, "refused:", "not in the group: the adapter has",
		"memberships, as many as it may");
	hca_qp_destroy(qp);
}

/* --- queue pairs --- */

static void queue_pairs(void **state)
{
	const struct hca_qp_init good = { .type = HCA_QPT_RC,
					  .pd = &a.pd,
					  .send_cq = &a.scq,
					  .recv_cq = &a.rcq,
					  .max_send_wr = 1,
					  .max_send_sge = 1 };
	const struct hca_srq_attr at = { .max_wr = 2, .max_sge = 1 };
	struct hca_qp_init in = good;
	struct hca_qp *many[64];
	struct hca_xrcd xrcd;
	struct hca_srq srq;
	u32 n;

	(void)state;
	in.recv_cq = NULL;
	REFUSED(hca_qp_create(&a.hca, &in, many), -EINVAL, "(RC) not made: it needs a recv_cq of this adapter");
	in = good;
	in.send_cq = &b.scq;
	REFUSED(hca_qp_create(&a.hca, &in, many), -EINVAL, "it needs a send_cq of this adapter");
	in = good;
	in.pd = &b.pd;
	REFUSED(hca_qp_create(&a.hca, &in, many), -EINVAL, "it needs a PD of this adapter");
	in = good;
	in.type = (enum hca_qp_type)40;
	REFUSED(hca_qp_create(&a.hca, &in, many), -EINVAL, "no such type");
	in = good;
	hca_xrcd_init(&xrcd, &a.hca);
	in.xrcd = &xrcd;
	REFUSED(hca_qp_create(&a.hca, &in, many), -EINVAL, "an XRC domain is for XRC targets alone");
	in = good;
	assert_int_equal(hca_srq_init(&srq, &b.hca, &b.pd, &at), 0);
	in.srq = &srq;
	REFUSED(hca_qp_create(&a.hca, &in, many), -EINVAL, "its SRQ is another adapter's, or one of XRC");
	assert_int_equal(hca_srq_fini(&srq), 0);
	assert_int_equal(hca_srq_init(&srq, &a.hca, &a.pd, &at), 0);
	in.max_recv_wr = 1;
	REFUSED(hca_qp_create(&a.hca, &in, many), -EINVAL, "max_recv_wr must be 0 with an SRQ");
	assert_int_equal(hca_srq_fini(&srq), 0);

	/* One GSI; and as many others as the adapter may have, with the fixture's. */
	in = good;
	in.type = HCA_QPT_GSI;
	assert_int_equal(hca_qp_create(&a.hca, &in, many), 0);
	REFUSED(hca_qp_create(&a.hca, &in, many + 1), -EBUSY, "queue pair not made: there is one of this type already");
	hca_qp_destroy(many[0]);
	in = good;
	for (n = 0; n < a.hca.attr.max_qp - 1; n++)
		assert_int_equal(hca_qp_create(&a.hca, &in, &many[n]), 0);
	REFUSED(hca_qp_create(&a.hca, &in, &many[n]), -ENOSPC,
		"refused:", "queue pair not made: no number is free; 64 may be");
	while (n--)
		hca_qp_destroy(many[n]);
}

static void changing(void **state)
{
	struct hca_qp_attr at = { .qp_state = (enum hca_qp_state)9 };

	(void)state;
	REFUSED(hca_qp_modify(a.qp, &at, HCA_QP_STATE), -EINVAL, "there is no such state or type");
	at = (struct hca_qp_attr){ .qp_access_flags = 1u << 31 };
	REFUSED(hca_qp_modify(a.qp, &at, HCA_QP_ACCESS_FLAGS), -EINVAL,
		"qp_access_flags is 2147483648, must be no bits");
}

static void posting(void **state)
{
	struct hca_send_wr wr = { .wr_id = 7, .opcode = (enum hca_wr_opcode)99 };

	(void)state;
	REFUSED(hca_post_send(a.qp, &wr), -EINVAL, ": a request (opcode 99, wr_id 0x7", "no such opcode");
	REFUSED(hca_post_sends(a.qp, &wr, 1), -EINVAL, "no such opcode");
}

static void paths(void **state)
{
	struct hca_send_wr wr = { .opcode = HCA_WR_SEND, .ud = { .sl = 16 } };

	(void)state;
	REFUSED(hca_post_send(a.qp, &wr), -EINVAL, "its path isn't valid: service level");
}

/* --- FMRs: another thread is in the midst of the same --- */

static void fast_regions(void **state)
{
	const struct hca_fmr_attr at = { .max_pages = 1, .max_maps = 2, .page_shift = 12 };
	const u64 page = BASE;
	struct hca_fmr *f, *other;

	(void)state;
	assert_int_equal(hca_fmr_create(&a.pd, &at, &f), 0);
	assert_int_equal(hca_fmr_create(&b.pd, &at, &other), 0);
	f->next = other;
	REFUSED(hca_fmr_unmap(f), -EINVAL, "not unmapped: the list has FMRs of two adapters");
	f->next = NULL;
	f->busy = 1;
	REFUSED(hca_fmr_map(f, &page, 1, 0), -EBUSY, "not mapped: another thread maps or unmaps it");
	REFUSED(hca_fmr_unmap(f), -EBUSY, "FMRs not unmapped: another thread maps or unmaps one of them");
	f->busy = 0;
	assert_int_equal(hca_fmr_map(f, &page, 1, 0), 0);
	assert_int_equal(hca_fmr_unmap(f), 0);
	assert_int_equal(hca_fmr_destroy(f), 0);
	assert_int_equal(hca_fmr_destroy(other), 0);
}

/* --- memory windows --- */

static void bind(struct hca_mw *w, u32 key, const struct hca_mr *r, u32 access)
{
	struct hca_send_wr wr = { .wr_id = 5, .opcode = HCA_WR_BIND_MW };

	wr.bind.mw = w;
	wr.bind.rkey = key;
	wr.bind.lkey = r->key;
	wr.bind.addr = BASE;
	wr.bind.length = 64;
	wr.bind.access = access;
	(void)test_why_take();
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
}

static void bind_failed(void)
{
	ended(&a.scq, HCA_WC_MW_BIND_ERR, HCA_VENDOR_BIND);
	connect_again();
}

static void windows(void **state)
{
	const struct hca_mr_attr at = {
		.kind = HCA_MR_LINEAR, .access = RW | HCA_ACCESS_MW_BIND, .iova = BASE, .base = BASE, .length = BYTES
	};
	struct hca_send_wr none = { .opcode = HCA_WR_BIND_MW };
	struct hca_qp_attr at_any = { .en_sqd_async_notify = 0 };
	struct hca_mw *w, *foreign;
	struct hca_pd other;
	struct hca_mr *r;

	(void)state;
	hca_pd_init(&other, &a.hca);
	REFUSED(hca_mw_create(&a.hca, &b.pd, HCA_MW_TYPE_2, &w), -EINVAL,
		"memory window not made: type 2, must be 1 or 2", "with a domain of this adapter");
	REFUSED(hca_post_send(a.qp, &none), -EINVAL, "memory window not bound: the request names none");
	assert_int_equal(hca_mr_create(&a.pd, &at, &r), 0);
	assert_int_equal(hca_mw_create(&a.hca, &a.pd, HCA_MW_TYPE_2, &w), 0);
	assert_int_equal(hca_mw_create(&a.hca, &other, HCA_MW_TYPE_2, &foreign), 0);

	bind(w, hca_mw_next_key(w), a.all, HCA_ACCESS_REMOTE_READ);
	SAID("memory window not bound: key", "doesn't allow MW_BIND");
	bind_failed();
	bind(foreign, hca_mw_next_key(foreign), r, HCA_ACCESS_REMOTE_READ);
	SAID("not bound: it is of another protection domain", "BIND_MW (wr_id 0x5");
	bind_failed();
	bind(w, w->key + 0x100, r, HCA_ACCESS_REMOTE_READ);
	SAID("the new key is one of another memory window");
	bind_failed();
	bind(w, hca_mw_next_key(w), r, HCA_ACCESS_REMOTE_READ);
	ended(&a.scq, HCA_WC_SUCCESS, HCA_VENDOR_NONE);
	bind(w, hca_mw_next_key(w), r, HCA_ACCESS_REMOTE_READ);
	SAID("it is bound already: invalidate it before");
	bind_failed();
	/* It goes while the request for it waits. */
	modify(a.qp, &at_any, HCA_QPS_SQD, 0);
	bind(w, hca_mw_next_key(w), r, HCA_ACCESS_REMOTE_READ);
	hca_mw_destroy(w);
	modify(a.qp, &at_any, HCA_QPS_RTS, 0);
	SAID("not bound: it was destroyed", "BIND_MW (wr_id 0x5");
	bind_failed();
	hca_mw_destroy(foreign);
	assert_int_equal(hca_mr_destroy(r), 0);
	assert_int_equal(other.users, 0);
}

static struct hca_mw *shared_window;

static void go_on(void *arg)
{
	struct hca_qp_attr any = { .en_sqd_async_notify = 0 };

	(void)arg;
	modify(a.qp, &any, HCA_QPS_RTS, 0);
}

static void destroy_window(void *arg)
{
	(void)arg;
	hca_mw_destroy(shared_window);
}

/* One of type 1 goes while its bind has begun, and waits for those that use what it was bound to before. */
static void window_destroyed_meanwhile(void **state)
{
	const struct hca_mr_attr at = {
		.kind = HCA_MR_LINEAR, .access = RW | HCA_ACCESS_MW_BIND, .iova = BASE, .base = BASE, .length = BYTES
	};
	struct hca_qp_attr any = { .en_sqd_async_notify = 0 };
	void (*const fns[])(void *) = { go_on, destroy_window };
	void *const args[] = { NULL, NULL };
	struct hca_wc wc = { .status = HCA_WC_SUCCESS };
	struct hca_mr *r;
	u64 seed;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &at, &r), 0);
	for (seed = 1; seed <= 1000 && !why_said_one_of("not bound: it was destroyed meanwhile"); seed++) {
		assert_int_equal(hca_mw_create(&a.hca, &a.pd, HCA_MW_TYPE_1, &shared_window), 0);
		bind(shared_window, hca_mw_next_key(shared_window), r, HCA_ACCESS_REMOTE_READ);
		ended(&a.scq, HCA_WC_SUCCESS, HCA_VENDOR_NONE);
		modify(a.qp, &any, HCA_QPS_SQD, 0);
		bind(shared_window, hca_mw_next_key(shared_window), r, HCA_ACCESS_REMOTE_READ);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 1);
		if (wc.status)
			connect_again();
	}
	assert_int_equal(wc.status, HCA_WC_MW_BIND_ERR);
	assert_int_equal(hca_mr_destroy(r), 0);
}

/* A request that memory is missing for is refused for that, however much room there is. */
static void no_memory_for_pages(void **state)
{
	const struct hca_mr_attr at = { .kind = HCA_MR_PAGES, .max_pages = 3, .invalid = true };
	struct hca_qp_attr any = { .en_sqd_async_notify = 0 };
	const u64 page = BASE;
	struct hca_send_wr wr = { .wr_id = 8, .opcode = HCA_WR_REG_MR };
	struct hca_mr *r;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &at, &r), 0);
	wr.reg.mr = r;
	wr.reg.to = (struct hca_mr_pages){ .key = r->key, .length = 64, .page_shift = 12, .pages = &page, .npages = 1 };
	/* The list that it has serves a request that waits. */
	modify(a.qp, &any, HCA_QPS_SQD, 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	test_fail_at(1);
	REFUSED(hca_post_send(a.qp, &wr), -ENOMEM, "not registered: no memory for a list of 3 pages");
	assert_false(why_said_one_of("queue is full"));
	test_fail_at(1);
	REFUSED(hca_post_sends(a.qp, &wr, 1), -ENOMEM, "not registered: no memory for a list of 3 pages");
	modify(a.qp, &any, HCA_QPS_RTS, 0);
	ended(&a.scq, HCA_WC_SUCCESS, HCA_VENDOR_NONE);
	assert_int_equal(hca_mr_destroy(r), 0);
}

/* A type 1 window is on no queue pair; and a window's key is for peers alone. */
static void windows_used(void **state)
{
	const struct hca_mr_attr at = {
		.kind = HCA_MR_LINEAR, .access = RW | HCA_ACCESS_MW_BIND, .iova = BASE, .base = BASE, .length = BYTES
	};
	struct hca_send_wr inv = { .wr_id = 6, .opcode = HCA_WR_LOCAL_INV };
	struct hca_sge sge;
	struct hca_send_wr send = { .wr_id = 7, .opcode = HCA_WR_SEND, .sge = &sge, .num_sge = 1 };
	struct hca_mw *w;
	struct hca_mr *r;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &at, &r), 0);
	assert_int_equal(hca_mw_create(&a.hca, &a.pd, HCA_MW_TYPE_1, &w), 0);
	bind(w, hca_mw_next_key(w), r, HCA_ACCESS_REMOTE_READ);
	ended(&a.scq, HCA_WC_SUCCESS, HCA_VENDOR_NONE);
	inv.imm = w->key;
	(void)test_why_take();
	assert_int_equal(hca_post_send(a.qp, &inv), 0);
	SAID("not invalidated: no type 2 memory window that is bound here");
	ended(&a.scq, HCA_WC_MW_BIND_ERR, HCA_VENDOR_INVALIDATE);
	connect_again();
	sge = (struct hca_sge){ .addr = BASE, .length = 8, .lkey = w->key };
	(void)test_why_take();
	assert_int_equal(hca_post_send(a.qp, &send), 0);
	SAID("is a memory window's, which is for peers alone");
	ended(&a.scq, HCA_WC_LOC_PROT_ERR, HCA_VENDOR_MW);
	hca_mw_destroy(w);
	assert_int_equal(hca_mr_destroy(r), 0);
}

/* --- requests that fail for a reason of this end --- */

static void post_bad(const struct hca_mr *r, enum hca_wr_opcode op, u64 addr)
{
	struct hca_sge sge = { .addr = addr, .length = 64, .lkey = r->key };
	struct hca_send_wr wr = { .wr_id = 0x21, .opcode = op, .sge = &sge, .num_sge = 1 };

	wr.rdma.addr = BASE;
	wr.rdma.rkey = b.all->key;
	assert_int_equal(post_recv(&b, 1, 0, 64), 0);
	(void)test_why_take();
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
}

#define FAILS(mr, op, addr, why, ...) \
	do { \
		post_bad(mr, op, addr); \
		SAID("(wr_id 0x21, posted at", __VA_ARGS__); \
		ended(&a.scq, (why) == HCA_VENDOR_NO_READS ? HCA_WC_LOC_QP_OP_ERR : HCA_WC_LOC_PROT_ERR, why); \
	} while (0)

static void own_keys(void **state)
{
	const struct hca_mr_attr read_only = { .kind = HCA_MR_LINEAR, .iova = BASE, .base = BASE, .length = BYTES };
	struct hca_pd other;
	struct hca_mr *r;

	(void)state;
	hca_pd_init(&other, &a.hca);
	assert_int_equal(hca_mr_create(&other, &read_only, &r), 0);
	FAILS(r, HCA_WR_SEND, BASE, HCA_VENDOR_PD, "of another protection domain");
	connect_again();
	assert_int_equal(hca_mr_destroy(r), 0);
	assert_int_equal(hca_mr_create(&a.pd, &read_only, &r), 0);
	FAILS(r, HCA_WR_RDMA_READ, BASE, HCA_VENDOR_RIGHT, "doesn't allow LOCAL_WRITE");
	connect_again();
	FAILS(r, HCA_WR_SEND, BASE + BYTES - 8, HCA_VENDOR_BOUNDS, "bytes from 0x100000, not 64");
	assert_int_equal(hca_mr_destroy(r), 0);
}

/* The key covers more than the adapter reaches; the peer's receive request is at an end as well. */
static void own_memory(void **state)
{
	const struct hca_mr_attr beyond = { .kind = HCA_MR_LINEAR, .iova = BASE, .base = BASE + BYTES, .length = 64 };
	struct hca_mr *r;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &beyond, &r), 0);
	FAILS(r, HCA_WR_SEND, BASE, HCA_VENDOR_MEMORY, "local protection error: adapter can't reach the memory",
	      "receive request of 64 bytes (wr_id 0x1", "peer's message broke off");
	ended(&b.rcq, HCA_WC_REM_ABORT_ERR, HCA_VENDOR_PEER_GONE);
	assert_int_equal(hca_mr_destroy(r), 0);
}

static void no_reads(void **state)
{
	(void)state;
	a.qp->attr.max_rd_atomic = 0;
	FAILS(a.all, HCA_WR_RDMA_READ, BASE, HCA_VENDOR_NO_READS, "queue pair takes no reads and atomics");
	connect_again();
	b.qp->attr.max_dest_rd_atomic = 0;
	republish(b.qp);
	(void)test_why_take();
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_READ, 0, 8, BASE, b.all->key), 0);
	SAID("a message from LID", "refused: queue pair takes no reads and atomics",
	     "at the peer: queue pair takes no reads and atomics");
	ended(&a.scq, HCA_WC_REM_INV_REQ_ERR, HCA_VENDOR_REMOTE | HCA_VENDOR_NO_READS);
}

/* A write that takes a receive request along, and may not write. */
static void peer_may_not_write(void **state)
{
	(void)state;
	b.qp->attr.qp_access_flags = 0;
	republish(b.qp);
	assert_int_equal(post_recv(&b, 1, 0, 64), 0);
	(void)test_why_take();
	assert_int_equal(post(&a, 2, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 8, BASE, b.all->key), 0);
	SAID("the qp_access_flags of this queue pair lack REMOTE_WRITE");
	ended(&b.rcq, HCA_WC_LOC_ACCESS_ERR, HCA_VENDOR_QP_RIGHT);
	ended(&a.scq, HCA_WC_REM_INV_REQ_ERR, HCA_VENDOR_REMOTE | HCA_VENDOR_QP_RIGHT);
}

/* Nothing is refused: it says so. */
static void flushed(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&a, 1, 0, 64), 0);
	modify(a.qp, &(struct hca_qp_attr){ 0 }, HCA_QPS_ERR, 0);
	ended(&a.rcq, HCA_WC_WR_FLUSH_ERR, HCA_VENDOR_NONE);
}

/* --- datagrams --- */

/* The address goes after the request was posted. */
static void address_gone(void **state)
{
	struct hca_qp_attr at = { 0 };
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = { .wr_id = 3, .opcode = HCA_WR_SEND, .sge = &sge, .num_sge = 1 };
	const struct hca_gid gid = { { 0xfe, 0x80, [15] = 9 } };
	u32 index;

	(void)state;
	assert_int_equal(hca_gid_add(&a.hca.gids, &gid, &index), 0);
	wr.ud.is_global = true;
	wr.ud.grh.sgid_index = (u8)index;
	wr.ud.grh.dgid = *gid_of(&b);
	wr.ud.dlid = b.hca.lid;
	wr.ud.qpn = b.qp->qpn;
	modify(a.qp, &at, HCA_QPS_SQD, 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	assert_int_equal(hca_gid_remove(&a.hca.gids, &a.hca.quiesce, &gid), 0);
	(void)test_why_take();
	modify(a.qp, &at, HCA_QPS_RTS, 0);
	SAID("SEND (wr_id 0x3", "local QP operation error: source GID not in the table any more");
	ended(&a.scq, HCA_WC_LOC_QP_OP_ERR, HCA_VENDOR_GID);
}

static void datagrams(void **state)
{
	(void)state;
	assert_int_equal(post_recv(&b, 1, 0, 44), 0);
	(void)test_why_take();
	assert_int_equal(post(&a, 2, HCA_WR_SEND, 0, 64, b.qp->qpn, 0x11), 0);
	SAID("receive request of 44 bytes (wr_id 0x1", "message too long");
}

#define UD(t) cmocka_unit_test_setup_teardown(t, open_ud, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RC(adapters),
		RC(queues),
		RC(groups),
		RC(queue_pairs),
		RC(changing),
		RC(posting),
		UD(paths),
		RC(fast_regions),
		RC(windows),
		RC(windows_used),
		RC(window_destroyed_meanwhile),
		RC(no_memory_for_pages),
		RC(own_keys),
		RC(own_memory),
		RC(no_reads),
		RC(peer_may_not_write),
		RC(flushed),
		UD(address_gone),
		UD(datagrams),
	};

	return cmocka_run_group_tests_name("why_hca", tests, NULL, NULL);
}
