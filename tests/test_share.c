/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an adapter tells a wire that carries one-sided work out without its responder: each key while it is valid and no longer, each
 * queue pair as it is, and the wait for other processes before a deregistration returns (docs/fabric.md).
 */
#include "engine_fixture.h"

#include "hca/mw.h"

enum what { QP, ROOM, KEY, RETRACT, SETTLE };

static struct told {
	enum what what;
	u32 lid;
	u32 key;
	struct hca_wire_key k;
	struct hca_wire_qp qp;
} log_[256];
static u32 told;

static struct told *note(enum what what, u32 lid, u32 key)
{
	struct told *t = &log_[told++ % HCA_ARRAY_SIZE(log_)];

	*t = (struct told){ .what = what, .lid = lid, .key = key };
	return t;
}

static void hear_qp(struct hca_wire *wire, u32 lid, const struct hca_wire_qp *qp)
{
	(void)wire;
	note(QP, lid, 0)->qp = *qp;
}

static void hear_room(struct hca_wire *wire, u32 lid, u32 key)
{
	(void)wire;
	note(ROOM, lid, key);
}

static void hear_key(struct hca_wire *wire, u32 lid, u32 key, const struct hca_wire_key *k)
{
	const struct hca *hca = lid == a.hca.lid ? &a.hca : &b.hca;
	struct told *t = note(k ? KEY : RETRACT, lid, key);

	(void)wire;
	/* It is valid here when others hear of it, and isn't when they hear that it's gone. */
	assert_true(!!hca_key_find(&hca->keys, key) == !!k);
	if (k)
		t->k = *k;
}

static void hear_settle(struct hca_wire *wire, u32 lid, u32 peer)
{
	(void)wire;
	note(SETTLE, lid, peer);
}

static const struct hca_wire_share listener = { .qp = hear_qp,
						.room = hear_room,
						.key = hear_key,
						.settle = hear_settle };
static struct hca_wire_ops listening;

static void *place(struct hca_mem *mem, hca_dma_addr_t addr, u64 len)
{
	const struct side *s = hca_container_of(mem, struct side, mem);
	u64 off = hca_dma_u64(addr) - BASE;

	return off <= BYTES && len <= BYTES - off ? (void *)(s->ram + off) : NULL;
}

static const struct hca_mem_ops placed = { .open = mem_open, .close = mem_close, .place = place };

static int open_listening(void **state)
{
	(void)state;
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	listening = *FIXTURE_WIRE->ops;
	listening.share = &listener;
	FIXTURE_WIRE->ops = &listening;
	assert_int_equal(side_open(&a), 0);
	assert_int_equal(side_open(&b), 0);
	a.mem.ops = b.mem.ops = &placed;
	assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &a.qp), 0);
	assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &b.qp), 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	told = 0;
	return 0;
}

static struct hca_mr *make_mr(u32 access)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = access, .iova = 0x5000, .base = BASE + 512, .length = 1024
	};
	struct hca_mr *mr;

	assert_int_equal(hca_mr_create(&a.pd, &attr, &mr), 0);
	return mr;
}

static void expect(u32 i, enum what what, u32 key)
{
	assert_true(i < told);
	assert_int_equal(log_[i].what, what);
	assert_int_equal(log_[i].lid, a.hca.lid);
	assert_int_equal(log_[i].key, key);
}

static void a_key_while_it_is_valid(void **state)
{
	struct hca_mr *mr = make_mr(RW);
	u32 key = mr->key;

	(void)state;
	assert_int_equal(told, 2);
	expect(0, ROOM, key);
	expect(1, KEY, key);
	assert_int_equal(log_[1].k.key, key);
	assert_int_equal(log_[1].k.access, RW);
	assert_int_equal(log_[1].k.iova, 0x5000);
	assert_int_equal(log_[1].k.length, 1024);
	assert_int_equal(log_[1].k.pd, a.pd.number);
	assert_int_equal(log_[1].k.qpn, HCA_KEY_ANY_QP);
	assert_ptr_equal(log_[1].k.at, a.ram + 512);
	assert_int_equal(hca_mr_destroy(mr), 0);
	assert_int_equal(told, 4);
	expect(2, RETRACT, key);
	expect(3, SETTLE, 0);
}

static void what_no_peer_may_use(void **state)
{
	struct hca_mr *mr = make_mr(HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_MW_BIND);

	(void)state;
	assert_int_equal(told, 1);
	expect(0, ROOM, mr->key);
	assert_int_equal(hca_mr_destroy(mr), 0);
}

/* Pages lie in no one run, and an accessor that can't say where bytes are leaves its keys to messages. */
static void what_has_no_one_place(void **state)
{
	const struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 2, .invalid = true };
	const u64 pages[] = { BASE, BASE + 4096 };
	struct hca_mr_pages p = {
		.access = RW, .iova = 0, .length = 8192, .page_shift = 12, .npages = 2, .pages = pages
	};
	struct hca_mr *mr;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &attr, &mr), 0);
	p.key = mr->key;
	assert_int_equal(hca_mr_register(mr, &p), 0);
	assert_int_equal(told, 1);
	assert_int_equal(hca_mr_invalidate(mr, p.key), 0);
	expect(1, RETRACT, p.key);
	expect(2, SETTLE, 0);
	assert_int_equal(hca_mr_destroy(mr), 0);
	a.mem.ops = &mem_ops;
	told = 0;
	mr = make_mr(RW);
	assert_int_equal(told, 1);
	assert_int_equal(hca_mr_destroy(mr), 0);
}

static void bind(struct hca_mw *w, const struct hca_mr *mr, u32 key, u64 len)
{
	struct hca_send_wr wr = { .opcode = HCA_WR_BIND_MW };

	wr.bind.mw = w;
	wr.bind.addr = 0x5000 + 100;
	wr.bind.length = len;
	wr.bind.rkey = key;
	wr.bind.lkey = mr->key;
	wr.bind.access = HCA_ACCESS_REMOTE_READ;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 0, HCA_WC_SUCCESS, NULL);
}

static void a_window_where_it_is_bound(void **state)
{
	struct hca_mr *mr = make_mr(RW | HCA_ACCESS_MW_BIND);
	struct hca_send_wr inv = { .opcode = HCA_WR_LOCAL_INV };
	struct hca_mw *w;
	u32 key;

	(void)state;
	assert_int_equal(hca_mw_create(&a.hca, &a.pd, HCA_MW_TYPE_2, &w), 0);
	key = hca_key_next(w->key);
	told = 0;
	bind(w, mr, key, 200);
	assert_int_equal(told, 1);
	expect(0, KEY, key);
	assert_int_equal(log_[0].k.access, HCA_ACCESS_REMOTE_READ | HCA_KEY_MW);
	assert_int_equal(log_[0].k.qpn, a.qp->qpn);
	assert_int_equal(log_[0].k.iova, 0x5000 + 100);
	assert_int_equal(log_[0].k.length, 200);
	assert_ptr_equal(log_[0].k.at, a.ram + 612);
	inv.imm = key;
	assert_int_equal(hca_post_send(a.qp, &inv), 0);
	poll_one(&a.scq, 0, HCA_WC_SUCCESS, NULL);
	assert_int_equal(told, 3);
	expect(1, RETRACT, key);
	expect(2, SETTLE, 0);
	hca_mw_destroy(w);
	assert_int_equal(hca_mr_destroy(mr), 0);
}

/* A type 1 window that is bound anew: the old key is gone, and waited for, before the new one comes. */
static void a_window_bound_anew(void **state)
{
	struct hca_mr *mr = make_mr(RW | HCA_ACCESS_MW_BIND);
	struct hca_mw *w;
	u32 first, second;

	(void)state;
	assert_int_equal(hca_mw_create(&a.hca, &a.pd, HCA_MW_TYPE_1, &w), 0);
	first = hca_mw_next_key(w);
	bind(w, mr, first, 200);
	second = hca_mw_next_key(w);
	told = 0;
	bind(w, mr, second, 200);
	assert_int_equal(told, 3);
	expect(0, RETRACT, first);
	expect(1, SETTLE, 0);
	expect(2, KEY, second);
	hca_mw_destroy(w);
	expect(3, RETRACT, second);
	expect(4, SETTLE, 0);
	assert_int_equal(hca_mr_destroy(mr), 0);
}

static const struct hca_wire_qp *last_qp(const struct side *s)
{
	u32 i;

	for (i = told; i--;)
		if (log_[i].what == QP && log_[i].lid == s->hca.lid)
			return &log_[i].qp;
	fail();
	return NULL;
}

static void a_queue_pair_in_each_state(void **state)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_RESET };
	const struct hca_wire_qp *t;
	u32 qpn = a.qp->qpn;

	(void)state;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE), 0);
	assert_int_equal(last_qp(&a)->state, HCA_QPS_RESET);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	t = last_qp(&a);
	assert_int_equal(t->qpn, qpn);
	assert_int_equal(t->type, HCA_QPT_RC);
	assert_int_equal(t->state, HCA_QPS_RTS);
	assert_int_equal(t->access, HCA_ACCESS_REMOTE);
	assert_int_equal(t->rd_limit, 1);
	assert_int_equal(t->pd, a.pd.number);
	assert_int_equal(t->peer, hca_peer(b.hca.lid, b.qp->qpn));
	at.qp_access_flags = HCA_ACCESS_REMOTE_READ;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_ACCESS_FLAGS), 0);
	assert_int_equal(last_qp(&a)->access, HCA_ACCESS_REMOTE_READ);
	hca_qp_to_error(a.qp, 0);
	assert_int_equal(last_qp(&a)->state, HCA_QPS_ERR);
	told = 0;
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	assert_int_equal(log_[0].what, QP);
	assert_int_equal(log_[0].qp.state, HCA_QPS_RESET);
	expect(1, SETTLE, b.hca.lid); /* no other process uses it */
}

static u32 settles(u32 from)
{
	u32 n = 0;

	for (; from < told; from++)
		n += log_[from].what == SETTLE;
	return n;
}

/* Another process uses a queue pair only as its peer. */
static void whom_its_end_waits_for(void **state)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_SQD };
	struct hca_qp *alone;

	(void)state;
	assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &alone), 0);
	told = 0;
	hca_qp_destroy(alone);
	assert_int_equal(settles(0), 0);
	/* It has had peers in two places: what the first one began may last. */
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE), 0);
	at.ah = a.qp->attr.ah;
	at.ah.dlid = b.hca.lid + 100;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_AV), 0);
	told = 0;
	at.qp_state = HCA_QPS_RESET;
	assert_int_equal(hca_qp_modify(a.qp, &at, HCA_QP_STATE), 0);
	assert_int_equal(settles(0), 1);
	expect(1, SETTLE, 0);
	/* The next life has one peer again. */
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	told = 0;
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	assert_int_equal(settles(0), 1);
	expect(1, SETTLE, b.hca.lid);
}

/* The first message in RTR is the responder's own: it tells of it. Afterwards peers may do without it. */
static void ready_to_receive_and_heard_of(void **state)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.dest_qp_num = a.qp->qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE_WRITE,
		.ah = { .dlid = (u16)a.hca.lid, .port_num = 1 },
		.port_num = 1,
	};

	(void)state;
	modify(b.qp, &at, HCA_QPS_RESET, 0);
	modify(b.qp, &at, HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS);
	modify(b.qp, &at, HCA_QPS_RTR,
	       HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN | HCA_QP_MAX_DEST_RD_ATOMIC |
		       HCA_QP_MIN_RNR_TIMER);
	assert_int_equal(last_qp(&b)->state, HCA_QPS_RTR);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, b.all->key), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(last_qp(&b)->state, HCA_QPS_RTS);
	assert_int_equal(b.qp->state, HCA_QPS_RTR);
	assert_int_equal(b.events[HCA_EVENT_COMM_EST], 1);
	modify(b.qp, &at, HCA_QPS_RESET, 0);
	assert_int_equal(last_qp(&b)->state, HCA_QPS_RESET);
}

#define T(t) cmocka_unit_test_setup_teardown(t, open_listening, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_key_while_it_is_valid),    T(what_no_peer_may_use),		 T(what_has_no_one_place),
		T(a_window_where_it_is_bound), T(a_window_bound_anew),		 T(a_queue_pair_in_each_state),
		T(whom_its_end_waits_for),     T(ready_to_receive_and_heard_of),
	};

	return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
