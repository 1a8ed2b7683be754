/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory windows on the engine: both types bound, used by the peer, invalidated, refused
 * and ended, alone and under threads. Side b has the memory, side a is the peer.
 */
#include "engine_fixture.h"

#define OPEN (HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_MW_BIND)
#define PEER (HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_WRITE)

static struct hca_mr *home; /* b's memory, to bind to: not open to peers itself */
static struct hca_mw *w1, *w2;
static struct hca_qp *a2, *b2; /* a second pair */

static int open_windows(void **state)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = OPEN, .iova = BASE, .base = BASE, .length = BYTES
	};

	(void)state;
	connect_type(HCA_QPT_RC);
	assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &a2), 0);
	assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &b2), 0);
	connect_qp(&a, a2, &b, b2->qpn, 3, 2);
	connect_qp(&b, b2, &a, a2->qpn, 3, 2);
	assert_int_equal(hca_mr_create(&b.pd, &attr, &home), 0);
	assert_int_equal(hca_mw_create(&b.hca, &b.pd, HCA_MW_TYPE_1, &w1), 0);
	assert_int_equal(hca_mw_create(&b.hca, &b.pd, HCA_MW_TYPE_2, &w2), 0);
	return 0;
}

static int close_windows(void **state)
{
	if (w1)
		hca_mw_destroy(w1);
	if (w2)
		hca_mw_destroy(w2);
	hca_qp_destroy(a2);
	hca_qp_destroy(b2);
	assert_int_equal(hca_mr_destroy(home), 0);
	return close_both(state);
}

static void reconnect(struct hca_qp *qa, struct hca_qp *qb)
{
	struct hca_qp_attr at = { 0 };

	modify(qa, &at, HCA_QPS_RESET, 0);
	modify(qb, &at, HCA_QPS_RESET, 0);
	connect_qp(&a, qa, &b, qb->qpn, 3, 2);
	connect_qp(&b, qb, &a, qa->qpn, 3, 2);
}

static struct hca_send_wr bind_wr(struct hca_mw *w, u32 rkey, u64 off, u64 len, u32 access)
{
	struct hca_send_wr wr = { .wr_id = 50, .opcode = HCA_WR_BIND_MW };

	wr.bind.mw = w;
	wr.bind.rkey = rkey;
	wr.bind.addr = BASE + off;
	wr.bind.length = len;
	wr.bind.lkey = home->key;
	wr.bind.access = access;
	return wr;
}

static void bind_on(struct hca_qp *qp, const struct hca_send_wr *wr, enum hca_wc_status status)
{
	struct hca_wc wc;

	assert_int_equal(hca_post_send(qp, wr), 0);
	poll_one(&b.scq, wr->wr_id, status, &wc);
	assert_int_equal(wc.opcode, HCA_WC_BIND_MW);
}

static void bind(struct hca_mw *w, u32 rkey, u64 off, u64 len, u32 access)
{
	struct hca_send_wr wr = bind_wr(w, rkey, off, len, access);

	bind_on(b.qp, &wr, HCA_WC_SUCCESS);
}

static u32 low(const struct hca_mw *w, u32 bits)
{
	return (w->key & ~0xffu) | bits;
}

/* What the peer gets for this; a refusal ends the pair, which is made good again. */
static void peer_on(struct hca_qp *qa, struct hca_qp *qb, enum hca_wr_opcode op, u64 raddr, u32 len, u32 rkey,
		    enum hca_wc_status status)
{
	struct hca_sge sge = sge_at(&a, 0, len);
	struct hca_send_wr wr = { .wr_id = 60, .sge = &sge, .num_sge = 1, .opcode = op };

	wr.rdma.addr = raddr;
	wr.rdma.rkey = rkey;
	if (op == HCA_WR_ATOMIC_FETCH_AND_ADD) {
		wr.atomic.addr = raddr;
		wr.atomic.rkey = rkey;
		wr.atomic.compare_add = 1;
	}
	assert_int_equal(hca_post_send(qa, &wr), 0);
	poll_one(&a.scq, 60, status, NULL);
	if (status)
		reconnect(qa, qb);
}

static void peer(enum hca_wr_opcode op, u64 raddr, u32 len, u32 rkey, enum hca_wc_status status)
{
	peer_on(a.qp, b.qp, op, raddr, len, rkey, status);
}

static void local_inv(struct hca_qp *qp, u32 key, enum hca_wc_status status)
{
	struct hca_send_wr wr = { .wr_id = 70, .opcode = HCA_WR_LOCAL_INV, .imm = key };

	assert_int_equal(hca_post_send(qp, &wr), 0);
	poll_one(&b.scq, 70, status, NULL);
}

/* --- type 1 --- */

static void type_1_opens_a_part(void **state)
{
	u32 key = hca_mw_next_key(w1);

	(void)state;
	peer(HCA_WR_RDMA_WRITE, BASE + 4096, 8, key, HCA_WC_REM_ACCESS_ERR); /* not bound yet */
	bind(w1, key, 4096, 100, PEER);
	fill(a.ram, 100, 4);
	peer(HCA_WR_RDMA_WRITE, BASE + 4096, 100, key, HCA_WC_SUCCESS);
	assert_memory_equal(b.ram + 4096, a.ram, 100);
	memset(b.ram + 4100, 0x77, 4);
	peer(HCA_WR_RDMA_READ, BASE + 4100, 4, key, HCA_WC_SUCCESS);
	assert_int_equal(a.ram[0], 0x77);
	/* Any queue pair of the domain. */
	peer_on(a2, b2, HCA_WR_RDMA_WRITE, BASE + 4096, 100, key, HCA_WC_SUCCESS);
	/* Its bounds and its rights, and not a byte or a right more. */
	memset(b.ram, 0, BYTES);
	peer(HCA_WR_RDMA_WRITE, BASE + 4095, 8, key, HCA_WC_REM_ACCESS_ERR);
	peer(HCA_WR_RDMA_WRITE, BASE + 4096 + 93, 8, key, HCA_WC_REM_ACCESS_ERR);
	peer(HCA_WR_RDMA_WRITE, ~0ull - 3, 8, key, HCA_WC_REM_ACCESS_ERR);
	peer(HCA_WR_ATOMIC_FETCH_AND_ADD, BASE + 4096, 8, key, HCA_WC_REM_ACCESS_ERR);
	assert_int_equal(b.ram[4095] | b.ram[4096] | b.ram[4196], 0);
	peer(HCA_WR_RDMA_WRITE, BASE + 4096, 8, home->key, HCA_WC_REM_ACCESS_ERR);
}

static void each_bind_has_its_key(void **state)
{
	u32 k1 = hca_mw_next_key(w1), k2;

	(void)state;
	bind(w1, k1, 0, 100, PEER);
	k2 = hca_mw_next_key(w1);
	assert_int_not_equal(k1, k2);
	assert_int_equal(k1 >> 8, k2 >> 8);
	peer(HCA_WR_RDMA_WRITE, BASE, 8, k1, HCA_WC_SUCCESS); /* the bind to come changes nothing yet */
	bind(w1, k2, 200, 100, PEER);
	peer(HCA_WR_RDMA_WRITE, BASE, 8, k1, HCA_WC_REM_ACCESS_ERR);
	peer(HCA_WR_RDMA_WRITE, BASE, 8, k2, HCA_WC_REM_ACCESS_ERR);
	peer(HCA_WR_RDMA_WRITE, BASE + 200, 8, k2, HCA_WC_SUCCESS);
	/* To no bytes: unbound, and the MR is free. */
	assert_int_equal(home->windows, 1);
	bind(w1, hca_mw_next_key(w1), 0, 0, 0);
	assert_int_equal(home->windows, 0);
	peer(HCA_WR_RDMA_WRITE, BASE + 200, 8, k2, HCA_WC_REM_ACCESS_ERR);
	peer(HCA_WR_RDMA_WRITE, BASE + 200, 8, w1->key, HCA_WC_REM_ACCESS_ERR);
	bind(w1, hca_mw_next_key(w1), 0, 0, 0); /* and again */
	bind(w1, hca_mw_next_key(w1), 0, BYTES, HCA_ACCESS_REMOTE_READ);
	peer(HCA_WR_RDMA_READ, BASE, 8, w1->key, HCA_WC_SUCCESS);
	peer(HCA_WR_RDMA_WRITE, BASE, 8, w1->key, HCA_WC_REM_ACCESS_ERR);
}

/* A bind that fails leaves what was bound, and ends its queue pair. */
static void binds_that_fail(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .iova = BASE, .base = BASE, .length = 4096 };
	struct hca_mr *no_bind, *read_only, *foreign;
	struct hca_mw *other;
	struct hca_pd pd;
	u32 k1 = hca_mw_next_key(w1), i;

	(void)state;
	hca_pd_init(&pd, &b.hca);
	attr.access = RW;
	assert_int_equal(hca_mr_create(&b.pd, &attr, &no_bind), 0);
	attr.access = HCA_ACCESS_MW_BIND;
	assert_int_equal(hca_mr_create(&b.pd, &attr, &read_only), 0);
	attr.access = OPEN;
	assert_int_equal(hca_mr_create(&pd, &attr, &foreign), 0);
	assert_int_equal(hca_mw_create(&b.hca, &pd, HCA_MW_TYPE_1, &other), 0);
	bind(w1, k1, 0, 64, PEER);
	const struct {
		struct hca_mw *w;
		u32 rkey, lkey;
		u64 off, len;
		u32 access;
	} bad[] = {
		{ w1, k1 + 1, no_bind->key, 0, 64, PEER },
		{ w1, k1 + 1, read_only->key, 0, 64, HCA_ACCESS_REMOTE_WRITE },
		{ w1, k1 + 1, read_only->key, 0, 64, HCA_ACCESS_REMOTE_ATOMIC },
		{ w1, k1 + 1, foreign->key, 0, 64, PEER },
		{ w1, k1 + 1, home->key ^ 1, 0, 64, PEER },
		{ w1, k1 + 1, k1, 0, 64, PEER }, /* an MW is no MR */
		{ w1, k1 + 1, home->key, 1, BYTES, PEER },
		{ w1, k1 + 1, home->key, ~0ull, 2, PEER },
		{ w1, k1 + 1, home->key, 1, ~0ull, PEER },
		{ w1, w2->key, home->key, 0, 64, PEER }, /* another MW's key */
		{ other, other->key, home->key, 0, 64, PEER },
		{ other, other->key, home->key, 0, 0, 0 },
	};

	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		struct hca_send_wr wr = bind_wr(bad[i].w, bad[i].rkey, bad[i].off, bad[i].len, bad[i].access);

		wr.bind.lkey = bad[i].lkey;
		bind_on(b.qp, &wr, HCA_WC_MW_BIND_ERR);
		assert_int_equal(b.qp->state, HCA_QPS_ERR);
		reconnect(a.qp, b.qp);
		peer(HCA_WR_RDMA_WRITE, BASE, 8, k1, HCA_WC_SUCCESS);
		assert_int_equal(home->windows, 1);
	}
	/* Only to be read: that needs no local write. */
	{
		struct hca_send_wr wr = bind_wr(w2, low(w2, 9), 0, 64, HCA_ACCESS_REMOTE_READ);

		wr.bind.lkey = read_only->key;
		bind_on(b.qp, &wr, HCA_WC_SUCCESS);
		peer(HCA_WR_RDMA_READ, BASE, 8, w2->key, HCA_WC_SUCCESS);
		local_inv(b.qp, w2->key, HCA_WC_SUCCESS);
	}
	hca_mw_destroy(other);
	assert_int_equal(hca_mr_destroy(no_bind), 0);
	assert_int_equal(hca_mr_destroy(read_only), 0);
	assert_int_equal(hca_mr_destroy(foreign), 0);
	assert_int_equal(pd.users, 0);
}

static void what_cannot_be_posted(void **state)
{
	struct hca_send_wr wr = bind_wr(w1, w1->key + 1, 0, 64, HCA_ACCESS_LOCAL_WRITE);
	struct hca_sge sge = sge_at(&b, 0, 8);
	struct hca_mw *w;
	struct hca_qp *ud;

	(void)state;
	assert_int_equal(hca_post_send(b.qp, &wr), -EINVAL);
	wr.bind.access = HCA_ACCESS_MW_BIND;
	assert_int_equal(hca_post_send(b.qp, &wr), -EINVAL);
	wr.bind.access = PEER;
	wr.bind.mw = NULL;
	assert_int_equal(hca_post_send(b.qp, &wr), -EINVAL);
	wr = bind_wr(w2, low(w2, 1), 0, 0, PEER); /* type 2 isn't unbound so */
	assert_int_equal(hca_post_send(b.qp, &wr), -EINVAL);
	wr = bind_wr(w1, w1->key + 1, 0, 64, PEER);
	wr.sge = &sge;
	wr.num_sge = 1;
	assert_int_equal(hca_post_send(b.qp, &wr), -EINVAL);
	wr.num_sge = 0;
	assert_int_equal(make_qp(&b, HCA_QPT_UD, NULL, &ud), 0);
	connect_qp(&b, ud, &a, 0, 0, 0);
	assert_int_equal(hca_post_send(ud, &wr), -EINVAL);
	hca_qp_destroy(ud);
	assert_int_equal(hca_mw_create(&b.hca, &a.pd, HCA_MW_TYPE_1, &w), -EINVAL);
	assert_int_equal(hca_mw_create(&b.hca, &b.pd, (enum hca_mw_type)3, &w), -EINVAL);
	nothing_more();
}

/* --- type 2 --- */

static void type_2_is_one_queue_pairs(void **state)
{
	u32 key = low(w2, 0x42);

	(void)state;
	bind(w2, key, 4096, 100, PEER);
	assert_int_equal(w2->key, key);
	peer(HCA_WR_RDMA_WRITE, BASE + 4096, 100, key, HCA_WC_SUCCESS);
	peer_on(a2, b2, HCA_WR_RDMA_WRITE, BASE + 4096, 8, key, HCA_WC_REM_ACCESS_ERR);
	local_inv(b2, key, HCA_WC_MW_BIND_ERR); /* nor can others invalidate it */
	reconnect(a2, b2);
	peer(HCA_WR_RDMA_WRITE, BASE + 4096, 8, key, HCA_WC_SUCCESS);
	/* It can't be bound while it is valid, not with another key either. */
	{
		struct hca_send_wr wr = bind_wr(w2, low(w2, 0x43), 0, 64, PEER);

		bind_on(b.qp, &wr, HCA_WC_MW_BIND_ERR);
		reconnect(a.qp, b.qp);
	}
	peer(HCA_WR_RDMA_WRITE, BASE + 4096, 8, key, HCA_WC_SUCCESS);
	local_inv(b.qp, key, HCA_WC_SUCCESS);
	assert_int_equal(home->windows, 0);
	peer(HCA_WR_RDMA_WRITE, BASE + 4096, 8, key, HCA_WC_REM_ACCESS_ERR);
	local_inv(b.qp, key, HCA_WC_MW_BIND_ERR); /* once */
	reconnect(a.qp, b.qp);
	/* Bound on another queue pair, it is that one's. */
	{
		struct hca_send_wr wr = bind_wr(w2, low(w2, 0x43), 0, 64, PEER);

		bind_on(b2, &wr, HCA_WC_SUCCESS);
	}
	peer(HCA_WR_RDMA_WRITE, BASE, 8, w2->key, HCA_WC_REM_ACCESS_ERR);
	peer_on(a2, b2, HCA_WR_RDMA_WRITE, BASE, 8, w2->key, HCA_WC_SUCCESS);
}

static void send_with_inv(u32 key, enum hca_wc_status at_sender, enum hca_wc_status at_receiver)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = { .wr_id = 80, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND_WITH_INV, .imm = key };
	struct hca_wc wc;

	assert_int_equal(post_recv(&b, 81, 0, 8), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 80, at_sender, NULL);
	poll_one(&b.rcq, 81, at_receiver, &wc);
	if (at_receiver) {
		reconnect(a.qp, b.qp);
		return;
	}
	assert_int_equal(wc.wc_flags, HCA_WC_WITH_INVALIDATE);
	assert_int_equal(wc.imm, key);
}

static void peers_invalidate(void **state)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	u64 page = BASE;
	struct hca_mr_pages p = { .access = HCA_ACCESS_LOCAL_WRITE,
				  .iova = BASE,
				  .length = 64,
				  .page_shift = 12,
				  .pages = &page,
				  .npages = 1 };
	u32 key = low(w2, 7), k1 = hca_mw_next_key(w1);
	struct hca_mr *r;

	(void)state;
	bind(w1, k1, 0, 100, PEER);
	bind(w2, key, 0, 100, PEER);
	send_with_inv(key, HCA_WC_SUCCESS, HCA_WC_SUCCESS);
	assert_int_equal(w2->state, HCA_MW_FREE);
	assert_int_equal(home->windows, 1);
	peer(HCA_WR_RDMA_WRITE, BASE, 8, key, HCA_WC_REM_ACCESS_ERR);
	send_with_inv(key, HCA_WC_REM_ACCESS_ERR, HCA_WC_MW_BIND_ERR); /* stale */
	send_with_inv(k1, HCA_WC_REM_ACCESS_ERR, HCA_WC_MW_BIND_ERR); /* type 1 */
	send_with_inv(b.all->key, HCA_WC_REM_ACCESS_ERR, HCA_WC_MW_BIND_ERR); /* registered for good */
	peer(HCA_WR_RDMA_WRITE, BASE, 8, k1, HCA_WC_SUCCESS);
	local_inv(b.qp, k1, HCA_WC_MW_BIND_ERR);
	reconnect(a.qp, b.qp);
	/* Bound on the second pair, the peer of the first can't take it away. */
	{
		struct hca_send_wr wr = bind_wr(w2, low(w2, 8), 0, 64, PEER);

		bind_on(b2, &wr, HCA_WC_SUCCESS);
	}
	send_with_inv(w2->key, HCA_WC_REM_ACCESS_ERR, HCA_WC_MW_BIND_ERR);
	peer_on(a2, b2, HCA_WR_RDMA_WRITE, BASE, 8, w2->key, HCA_WC_SUCCESS);
	/* A fast registered MR goes so only if it was ever open to peers. */
	assert_int_equal(hca_mr_create(&b.pd, &attr, &r), 0);
	p.key = r->key;
	assert_int_equal(hca_mr_register(r, &p), 0);
	send_with_inv(p.key, HCA_WC_REM_ACCESS_ERR, HCA_WC_MW_BIND_ERR);
	assert_int_equal(r->state, HCA_MR_VALID);
	local_inv(b.qp, p.key, HCA_WC_SUCCESS);
	p.access |= HCA_ACCESS_REMOTE_READ;
	assert_int_equal(hca_mr_register(r, &p), 0);
	send_with_inv(p.key, HCA_WC_SUCCESS, HCA_WC_SUCCESS);
	assert_int_equal(r->state, HCA_MR_INVALID);
	assert_int_equal(hca_mr_destroy(r), 0);
}

static void zero_based(void **state)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = OPEN | HCA_ACCESS_ZERO_BASED, .base = BASE + 512, .length = 4096
	};
	struct hca_send_wr wr;
	struct hca_mr *r;

	(void)state;
	bind(w2, low(w2, 1), 4096, 100, PEER | HCA_ACCESS_ZERO_BASED);
	fill(a.ram, 100, 8);
	peer(HCA_WR_RDMA_WRITE, 10, 90, w2->key, HCA_WC_SUCCESS);
	assert_memory_equal(b.ram + 4106, a.ram, 90);
	peer(HCA_WR_RDMA_WRITE, BASE + 4096, 8, w2->key, HCA_WC_REM_ACCESS_ERR);
	peer(HCA_WR_RDMA_WRITE, 93, 8, w2->key, HCA_WC_REM_ACCESS_ERR);
	local_inv(b.qp, w2->key, HCA_WC_SUCCESS);
	/* Of an MR that is itself: its addresses are offsets. */
	assert_int_equal(hca_mr_create(&b.pd, &attr, &r), 0);
	wr = bind_wr(w2, low(w2, 2), 0, 100, PEER);
	wr.bind.addr = 1000;
	wr.bind.lkey = r->key;
	bind_on(b.qp, &wr, HCA_WC_SUCCESS);
	peer(HCA_WR_RDMA_WRITE, 1000, 100, w2->key, HCA_WC_SUCCESS);
	assert_memory_equal(b.ram + 512 + 1000, a.ram, 100);
	local_inv(b.qp, w2->key, HCA_WC_SUCCESS);
	assert_int_equal(hca_mr_destroy(r), 0);
}

/* --- ends --- */

static void regions_stay_while_bound(void **state)
{
	(void)state;
	bind(w1, hca_mw_next_key(w1), 0, 8, PEER);
	bind(w2, low(w2, 1), 0, 8, PEER);
	assert_int_equal(hca_mr_destroy(home), -EBUSY);
	peer(HCA_WR_RDMA_WRITE, BASE, 8, w1->key, HCA_WC_SUCCESS);
	bind(w1, hca_mw_next_key(w1), 0, 0, 0);
	assert_int_equal(hca_mr_destroy(home), -EBUSY);
	{
		u32 key = w2->key;

		hca_mw_destroy(w2); /* as it is */
		w2 = NULL;
		peer(HCA_WR_RDMA_WRITE, BASE, 8, key, HCA_WC_REM_ACCESS_ERR);
	}
	assert_int_equal(home->windows, 0);
}

static void queue_pairs_take_theirs_along(void **state)
{
	struct hca_mw *w[3];
	u32 key[3], i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct hca_send_wr wr;

		assert_int_equal(hca_mw_create(&b.hca, &b.pd, HCA_MW_TYPE_2, &w[i]), 0);
		key[i] = low(w[i], i);
		wr = bind_wr(w[i], key[i], 0, 64, PEER);
		bind_on(b2, &wr, HCA_WC_SUCCESS);
	}
	bind(w2, low(w2, 5), 0, 64, PEER);
	local_inv(b2, key[1], HCA_WC_SUCCESS); /* out of the middle */
	assert_int_equal(home->windows, 3);
	hca_qp_destroy(b2);
	assert_int_equal(home->windows, 1);
	assert_int_equal(w[0]->state, HCA_MW_FREE);
	for (i = 0; i < 3; i++)
		peer(HCA_WR_RDMA_WRITE, BASE, 8, key[i], HCA_WC_REM_ACCESS_ERR);
	peer(HCA_WR_RDMA_WRITE, BASE, 8, w2->key, HCA_WC_SUCCESS);
	/* They may be bound again elsewhere. */
	bind(w[0], key[0] ^ 0x80, 0, 64, PEER);
	peer(HCA_WR_RDMA_WRITE, BASE, 8, w[0]->key, HCA_WC_SUCCESS);
	for (i = 0; i < 3; i++)
		hca_mw_destroy(w[i]);
	assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &b2), 0);
}

/* A bind waits behind a message that isn't taken; its MW goes meanwhile. */
static void destroyed_before_its_turn(void **state)
{
	struct hca_send_wr wr = bind_wr(w2, low(w2, 1), 0, 64, PEER);
	struct hca_send_wr wr1 = bind_wr(w1, hca_mw_next_key(w1), 0, 64, PEER);

	(void)state;
	assert_int_equal(post(&b, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	hca_mw_destroy(w2);
	w2 = NULL;
	assert_int_equal(post_recv(&a, 2, 0, 8), 0);
	test_clock_advance(MS);
	poll_one(&b.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&b.scq, 50, HCA_WC_MW_BIND_ERR, NULL);
	assert_int_equal(home->windows, 0);
	/* And one that is never done keeps nothing. */
	reconnect(a.qp, b.qp);
	assert_int_equal(hca_cq_ring_poll(&a.rcq.ring, &(struct hca_wc){ 0 }, 1), 0);
	assert_int_equal(post(&b, 1, HCA_WR_SEND, 0, 8, 0, 0), 0);
	assert_int_equal(hca_post_send(b.qp, &wr1), 0);
	hca_mw_destroy(w1);
	w1 = NULL;
	hca_qp_destroy(b.qp);
	b.qp = NULL;
}

static void unreliable_connections_bind(void **state)
{
	struct hca_qp *qa, *qb;
	struct hca_send_wr wr = bind_wr(w2, low(w2, 1), 0, 64, PEER);
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr write = { .wr_id = 5, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

	(void)state;
	assert_int_equal(make_qp(&a, HCA_QPT_UC, NULL, &qa), 0);
	assert_int_equal(make_qp(&b, HCA_QPT_UC, NULL, &qb), 0);
	connect_qp(&a, qa, &b, qb->qpn, 0, 0);
	connect_qp(&b, qb, &a, qa->qpn, 0, 0);
	bind_on(qb, &wr, HCA_WC_SUCCESS);
	fill(a.ram, 8, 9);
	write.rdma.addr = BASE;
	write.rdma.rkey = w2->key;
	assert_int_equal(hca_post_send(qa, &write), 0);
	poll_one(&a.scq, 5, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(b.ram, a.ram, 8);
	/* A bind that fails stops the send queue alone. */
	bind_on(qb, &wr, HCA_WC_MW_BIND_ERR);
	assert_int_equal(qb->state, HCA_QPS_SQE);
	hca_qp_destroy(qa);
	hca_qp_destroy(qb);
}

/* --- threads --- */

#define TIMES 5u

static struct hca_mw *shared;

static void bind_often(void *arg)
{
	struct hca_qp *qp = arg;
	u32 i;

	for (i = 0; i < TIMES; i++) {
		struct hca_send_wr wr =
			bind_wr(shared, hca_mw_next_key(shared), i % 2 ? 0 : 8192, i % 3 ? 64 : 0, PEER);

		while (hca_post_send(qp, &wr))
			hca_pause();
	}
}

static void write_to_it(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < TIMES; i++) {
		struct hca_sge sge = sge_at(&a, 0, 64);
		struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

		wr.rdma.addr = BASE + 8192;
		wr.rdma.rkey = hca_load(&shared->key);
		(void)hca_post_send(a.qp, &wr);
	}
}

/* Two queue pairs bind one MW of type 1 while the peer writes through it. */
static void binds_race(void **state)
{
	void (*const fns[])(void *) = { bind_often, bind_often, write_to_it };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		struct hca_wc wc;
		u32 n;

		assert_int_equal(open_windows(NULL), 0);
		shared = w1;
		{
			void *const args[] = { b.qp, b2, NULL };

			assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		}
		test_clock_advance(MS); /* binds that found the other one under way are done a moment later */
		for (n = 0; hca_cq_ring_poll(&b.scq.ring, &wc, 1) == 1; n++)
			assert_true(!wc.status || wc.status == HCA_WC_WR_FLUSH_ERR);
		assert_int_equal(n, 2 * TIMES);
		assert_true(home->windows <= 1);
		assert_int_equal(home->windows, w1->state == HCA_MW_VALID);
		assert_int_equal(close_windows(NULL), 0);
	}
}

static void inv_from_here(void *arg)
{
	struct hca_send_wr wr = { .wr_id = 1, .opcode = HCA_WR_LOCAL_INV, .imm = w2->key };

	(void)arg;
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
}

static void inv_from_peer(void *arg)
{
	struct hca_sge sge = sge_at(&a, 0, 8);
	struct hca_send_wr wr = {
		.wr_id = 2, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND_WITH_INV, .imm = w2->key
	};

	(void)arg;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
}

static void end_window(void *arg)
{
	struct hca_mw *w = w2;

	(void)arg;
	w2 = NULL;
	hca_mw_destroy(w);
}

static void end_qp(void *arg)
{
	(void)arg;
	hca_qp_destroy(b2);
}

/* The MW of one queue pair ends in several ways at once: in one of them, and the MR is free. */
static void ends_race(void **state)
{
	void (*const by_key[])(void *) = { inv_from_here, inv_from_peer };
	void (*const all[])(void *) = { end_window, end_qp };
	void *const args[] = { NULL, NULL };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		struct hca_send_wr wr;

		assert_int_equal(open_windows(NULL), 0);
		bind(w2, low(w2, 1), 0, 64, PEER);
		assert_int_equal(post_recv(&b, 3, 0, 8), 0);
		assert_int_equal(test_run_threads(seed, 2, by_key, args, NULL), 0);
		assert_int_equal(home->windows, 0);
		assert_int_equal(w2->state, HCA_MW_FREE);
		reconnect(a.qp, b.qp);
		wr = bind_wr(w2, low(w2, 2), 0, 64, PEER);
		bind_on(b2, &wr, HCA_WC_SUCCESS);
		assert_int_equal(test_run_threads(seed, 2, all, args, NULL), 0);
		assert_int_equal(home->windows, 0);
		assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &b2), 0);
		assert_int_equal(close_windows(NULL), 0);
	}
}

static void write_through_2(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 4; i++) {
		struct hca_sge sge = sge_at(&a, 0, 64);
		struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

		wr.rdma.addr = BASE;
		wr.rdma.rkey = w2->key;
		(void)hca_post_send(a.qp, &wr);
	}
}

static void write_through_1(void *arg)
{
	(void)arg;
	shared = w1;
	write_to_it(NULL);
}

static u8 *flushed;

/* The consumer's it is when that is complete, not when it is posted; or, flushed, when all has ended. */
static void clear_when_complete(u8 *ours)
{
	struct hca_wc wc;

	while (!hca_cq_ring_poll(&b.scq.ring, &wc, 1))
		hca_pause();
	if (!wc.status)
		memset(ours, 0, 64);
	else
		flushed = ours;
}

static void take_back_2(void *arg)
{
	(void)arg;
	inv_from_here(NULL);
	clear_when_complete(b.ram);
}

static void take_back_1(void *arg)
{
	struct hca_send_wr wr = bind_wr(w1, hca_mw_next_key(w1), 0, 64, PEER);

	(void)arg;
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	clear_when_complete(b.ram + 8192);
}

/* When an invalidation or another bind is complete, what was open before is the consumer's alone. */
static void nobody_touches_what_was_open(void **state)
{
	void (*const of_2[])(void *) = { write_through_2, take_back_2 };
	void (*const of_1[])(void *) = { write_through_1, take_back_1 };
	void *const args[] = { NULL, NULL };
	u64 seed;
	u32 i;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		assert_int_equal(open_windows(NULL), 0);
		b.mem.ops = &slow_mem_ops;
		flushed = NULL;
		fill(a.ram, 64, 1);
		bind(w2, low(w2, 1), 0, 64, PEER);
		bind(w1, hca_mw_next_key(w1), 8192, 64, PEER);
		assert_int_equal(test_run_threads(seed, 2, of_2, args, NULL), 0);
		reconnect(a.qp, b.qp);
		assert_int_equal(test_run_threads(seed, 2, of_1, args, NULL), 0);
		if (flushed) { /* the peer's last write was refused first */
			assert_int_equal(b.qp->state, HCA_QPS_ERR);
			memset(flushed, 0, 64);
		}
		for (i = 0; i < 64; i++)
			assert_int_equal(b.ram[i] | b.ram[8192 + i], 0);
		assert_int_equal(close_windows(NULL), 0);
	}
}

static void every_call_may_fail(void **state)
{
	(void)state;
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	TEST_FAIL_LOOP(l)
	{
		struct hca_mw *w;

		if (side_open(&a))
			continue;
		if (!hca_mw_create(&a.hca, &a.pd, HCA_MW_TYPE_2, &w))
			hca_mw_destroy(w);
		assert_int_equal(a.pd.users, 1);
		side_close(&a);
	}
	wire_close();
}

#define W(t) cmocka_unit_test_setup_teardown(t, open_windows, close_windows)

int main(void)
{
	const struct CMUnitTest tests[] = {
		W(type_1_opens_a_part),
		W(each_bind_has_its_key),
		W(binds_that_fail),
		W(what_cannot_be_posted),
		W(type_2_is_one_queue_pairs),
		W(peers_invalidate),
		W(zero_based),
		W(regions_stay_while_bound),
		W(queue_pairs_take_theirs_along),
		W(destroyed_before_its_turn),
		W(unreliable_connections_bind),
		cmocka_unit_test(binds_race),
		cmocka_unit_test(ends_race),
		cmocka_unit_test(nobody_touches_what_was_open),
		cmocka_unit_test(every_call_may_fail),
	};

	return cmocka_run_group_tests_name("engine windows", tests, NULL, NULL);
}
