/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Extended reliable connections on the engine (IBTA vol. 1, annex A14): an initiator at one
 * side, a target at the other, and receive queues that messages name by number. What
 * belongs to whom, what is refused, and the ends of each object while others use it.
 */
#define BYTES (4u * 65536u)
#include "schedule_fixture.h"
#include "why_fixture.h"

#define SRQ_WR 8u

static struct hca_xrcd xrcd;
static struct hca_srq srq, other; /* of the domain, each with a PD of its own */
static struct hca_pd other_pd;
static struct hca_mr *other_all;
static struct hca_cq other_cq;
static int srq_user, other_user;

static const struct hca_srq_attr attr = { .max_wr = SRQ_WR, .max_sge = 2 };

static void connect_xrc(struct hca_qp *qp, const struct side *peer, u32 peer_qpn)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.dest_qp_num = peer_qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC,
		.ah = { .dlid = (u16)peer->hca.lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 1,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.timeout = 14,
		.retry_cnt = 3,
		.rnr_retry = 1,
	};
	u32 rtr = HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN;
	u32 rts = HCA_QP_SQ_PSN | HCA_QP_TIMEOUT;

	if (qp->type == HCA_QPT_XRC_TGT)
		rtr |= HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER;
	else
		rts |= HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC;
	modify(qp, &at, HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS);
	modify(qp, &at, HCA_QPS_RTR, rtr);
	modify(qp, &at, HCA_QPS_RTS, rts);
}

static struct hca_qp_init initiator(void)
{
	return (struct hca_qp_init){ .type = HCA_QPT_XRC_INI,
				     .pd = &a.pd,
				     .send_cq = &a.scq,
				     .max_send_wr = WR,
				     .max_send_sge = 3,
				     .max_inline = 64,
				     .sq_sig_all = true };
}

static struct hca_qp_init target(void)
{
	return (struct hca_qp_init){ .type = HCA_QPT_XRC_TGT, .xrcd = &xrcd };
}

static void connect_both(void)
{
	connect_xrc(a.qp, &b, b.qp->qpn);
	connect_xrc(b.qp, &a, a.qp->qpn);
}

static int open_xrc(void **state)
{
	const struct hca_mr_attr all = {
		.kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = BYTES
	};
	struct hca_qp_init ini = initiator(), tgt = target();

	(void)state;
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	assert_int_equal(side_open(&a), 0);
	assert_int_equal(side_open(&b), 0);
	hca_xrcd_init(&xrcd, &b.hca);
	hca_pd_init(&other_pd, &b.hca);
	assert_int_equal(hca_mr_create(&other_pd, &all, &other_all), 0);
	assert_int_equal(hca_cq_init(&other_cq, &b.hca, CQE, on_completion), 0);
	assert_int_equal(hca_xrc_srq_init(&srq, &b.hca, &b.pd, &xrcd, &b.rcq, &srq_user, &attr), 0);
	assert_int_equal(hca_xrc_srq_init(&other, &b.hca, &other_pd, &xrcd, &other_cq, &other_user, &attr), 0);
	assert_int_not_equal(srq.number, other.number);
	assert_int_equal(hca_qp_create(&a.hca, &ini, &a.qp), 0);
	assert_int_equal(hca_qp_create(&b.hca, &tgt, &b.qp), 0);
	connect_both();
	return 0;
}

static int close_xrc(void **state)
{
	assert_int_equal(hca_xrcd_fini(&xrcd), -EBUSY);
	if (b.qp)
		hca_qp_destroy(b.qp);
	b.qp = NULL;
	assert_int_equal(hca_srq_fini(&srq), 0);
	assert_int_equal(hca_srq_fini(&other), 0);
	assert_int_equal(hca_xrcd_fini(&xrcd), 0);
	assert_int_equal(hca_cq_fini(&other_cq), 0);
	assert_int_equal(hca_mr_destroy(other_all), 0);
	assert_int_equal(other_pd.users, 0);
	return close_both(state);
}

static void give(struct hca_srq *to, const struct hca_mr *mr, u64 id, u64 off, u32 len)
{
	struct hca_sge sge = { .addr = BASE + off, .length = len, .lkey = mr->key };
	struct hca_recv_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1 };

	assert_int_equal(hca_srq_post(to, &wr), 0);
}

static void post_to(u64 id, enum hca_wr_opcode op, u32 number, u32 len, u64 raddr, u32 rkey)
{
	struct hca_sge sge = sge_at(&a, 0, len);
	struct hca_send_wr wr = {
		.wr_id = id, .sge = &sge, .num_sge = 1, .opcode = op, .imm = 0x12345678, .srqn = number
	};

	if (hca_opcodes[op].flags & HCA_OP_ATOMIC) {
		wr.atomic.addr = raddr;
		wr.atomic.rkey = rkey;
		wr.atomic.compare_add = 5;
	} else {
		wr.rdma.addr = raddr;
		wr.rdma.rkey = rkey;
	}
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
}

/* The message goes to the queue that it names, completes at that queue's CQ, and is its user's. */
static void goes_where_it_says(void **state)
{
	struct hca_wc wc;

	(void)state;
	fill(a.ram, 100, 3);
	give(&srq, b.all, 1, 1000, 100);
	give(&other, other_all, 2, 2000, 100);
	post_to(10, HCA_WR_SEND_WITH_IMM, other.number, 100, 0, 0);
	poll_one(&a.scq, 10, HCA_WC_SUCCESS, NULL);
	poll_one(&other_cq, 2, HCA_WC_SUCCESS, &wc);
	assert_ptr_equal(wc.user, &other_user);
	assert_int_equal(wc.qp_num, b.qp->qpn);
	assert_int_equal(wc.imm, 0x12345678);
	assert_int_equal(wc.byte_len, 100);
	assert_memory_equal(b.ram + 2000, a.ram, 100);
	post_to(11, HCA_WR_SEND, srq.number, 100, 0, 0);
	poll_one(&a.scq, 11, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_ptr_equal(wc.user, &srq_user);
	assert_memory_equal(b.ram + 1000, a.ram, 100);
	assert_int_equal(srq.users, 0);
	nothing_more();
}

static void rdma_and_atomics(void **state)
{
	u64 word = 37;

	(void)state;
	fill(a.ram, 64, 9);
	post_to(1, HCA_WR_RDMA_WRITE, srq.number, 64, BASE + 512, b.all->key);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(b.ram + 512, a.ram, 64);
	memset(a.ram, 0, 64);
	post_to(2, HCA_WR_RDMA_READ, srq.number, 64, BASE + 512, b.all->key);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(b.ram + 512, a.ram, 64);
	memcpy(b.ram + 800, &word, sizeof(word));
	post_to(3, HCA_WR_ATOMIC_FETCH_AND_ADD, srq.number, 8, BASE + 800, b.all->key);
	poll_one(&a.scq, 3, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, &word, sizeof(word));
	word += 5;
	assert_memory_equal(b.ram + 800, &word, sizeof(word));
	give(&other, other_all, 4, 0, 0);
	post_to(4, HCA_WR_RDMA_WRITE_WITH_IMM, other.number, 16, BASE + 900, other_all->key);
	poll_one(&a.scq, 4, HCA_WC_SUCCESS, NULL);
	poll_one(&other_cq, 4, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(b.ram + 900, a.ram, 16);
	nothing_more();
}

/* The domain whose keys count is that of the queue that the request names (IBTA annex A14). */
static void keys_are_the_queues(void **state)
{
	(void)state;
	post_to(1, HCA_WR_RDMA_WRITE, srq.number, 8, BASE, other_all->key);
	poll_one(&a.scq, 1, HCA_WC_REM_ACCESS_ERR, NULL);
	assert_int_equal(b.qp->state, HCA_QPS_ERR);
	assert_int_equal(b.events[HCA_EVENT_QP_ACCESS_ERR], 1);
}

static void own_keys_of_a_receive(void **state)
{
	(void)state;
	give(&srq, other_all, 7, 0, 64); /* a key of another domain than the queue's */
	post_to(1, HCA_WR_SEND, srq.number, 8, 0, 0);
	poll_one(&a.scq, 1, HCA_WC_REM_OP_ERR, NULL);
	poll_one(&b.rcq, 7, HCA_WC_LOC_PROT_ERR, NULL);
}

static void no_such_queue(void **state)
{
	struct hca_wc wc;

	(void)state;
	give(&srq, b.all, 1, 0, 64);
	(void)test_why_take();
	post_to(1, HCA_WR_SEND, srq.number + 7, 8, 0, 0);
	SAID("a message from LID", "no such shared receive queue", "at the peer: no such shared receive queue");
	poll_one(&a.scq, 1, HCA_WC_REM_INV_REQ_ERR, &wc);
	assert_int_equal(wc.vendor_err, HCA_VENDOR_REMOTE | HCA_VENDOR_SRQ);
	why_vendor(wc.vendor_err);
	assert_int_equal(b.events[HCA_EVENT_QP_REQ_ERR], 1);
	nothing_more();
}

static void queue_of_another_domain(void **state)
{
	struct hca_xrcd second;
	struct hca_srq stranger;

	(void)state;
	hca_xrcd_init(&second, &b.hca);
	assert_int_equal(hca_xrc_srq_init(&stranger, &b.hca, &b.pd, &second, &b.rcq, NULL, &attr), 0);
	post_to(1, HCA_WR_SEND, stranger.number, 8, 0, 0);
	poll_one(&a.scq, 1, HCA_WC_REM_INV_REQ_ERR, NULL);
	assert_int_equal(hca_srq_fini(&stranger), 0);
	assert_int_equal(hca_xrcd_fini(&second), 0);
}

/* A number comes back late: one that is gone isn't the next one's. */
static void stale_number(void **state)
{
	u32 number = other.number;

	(void)state;
	assert_int_equal(hca_srq_fini(&other), 0);
	assert_int_equal(hca_xrc_srq_init(&other, &b.hca, &other_pd, &xrcd, &other_cq, &other_user, &attr), 0);
	assert_int_not_equal(other.number, number);
	post_to(1, HCA_WR_SEND, number, 8, 0, 0);
	poll_one(&a.scq, 1, HCA_WC_REM_INV_REQ_ERR, NULL);
}

static void empty_queue_is_waited_for(void **state)
{
	(void)state;
	post_to(1, HCA_WR_SEND, srq.number, 8, 0, 0);
	nothing_more();
	give(&srq, b.all, 5, 0, 64);
	test_clock_advance(MS);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 5, HCA_WC_SUCCESS, NULL);
}

static void too_short(void **state)
{
	(void)state;
	give(&srq, b.all, 5, 0, 4);
	post_to(1, HCA_WR_SEND, srq.number, 8, 0, 0);
	poll_one(&a.scq, 1, HCA_WC_REM_INV_REQ_ERR, NULL);
	poll_one(&b.rcq, 5, HCA_WC_LOC_LEN_ERR, NULL);
	assert_int_equal(srq.users, 0);
}

/* What is unpolled of a queue goes with it; a target's end takes nothing of the queue away. */
static void ends(void **state)
{
	struct hca_qp_init tgt = target();
	struct hca_wc wc;

	(void)state;
	give(&srq, b.all, 1, 0, 64);
	give(&srq, b.all, 2, 64, 64);
	post_to(1, HCA_WR_SEND, srq.number, 8, 0, 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	hca_qp_destroy(b.qp);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(hca_qp_create(&b.hca, &tgt, &b.qp), 0);
	modify(a.qp, &(struct hca_qp_attr){ 0 }, HCA_QPS_RESET, 0);
	connect_both();
	post_to(2, HCA_WR_SEND, srq.number, 8, 0, 0);
	assert_int_equal(hca_srq_fini(&srq), 0);
	assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
	assert_int_equal(hca_xrc_srq_init(&srq, &b.hca, &b.pd, &xrcd, &b.rcq, &srq_user, &attr), 0);
}

static void error_flushes_nothing_of_the_queue(void **state)
{
	(void)state;
	give(&srq, b.all, 1, 0, 64);
	modify(b.qp, &(struct hca_qp_attr){ 0 }, HCA_QPS_ERR, 0);
	assert_int_equal(b.events[HCA_EVENT_QP_LAST_WQE_REACHED], 1);
	nothing_more();
	post_to(1, HCA_WR_SEND, srq.number, 8, 0, 0);
	test_clock_advance(1000 * MS);
	poll_one(&a.scq, 1, HCA_WC_RETRY_EXC_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_ERR);
}

/* Neither side is what an ordinary connection would talk to. */
static void types_do_not_mix(void **state)
{
	struct hca_qp *rc;

	(void)state;
	assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &rc), 0);
	connect_qp(&b, rc, &a, a.qp->qpn, 3, 1);
	a.qp->attr.dest_qp_num = rc->qpn;
	post_to(1, HCA_WR_RDMA_WRITE, srq.number, 8, BASE, b.all->key);
	test_clock_advance(1000 * MS);
	poll_one(&a.scq, 1, HCA_WC_RETRY_EXC_ERR, NULL);
	hca_qp_destroy(rc);
}

static void bad_queue_pairs(void **state)
{
	struct hca_send_wr wr = { .opcode = HCA_WR_SEND };
	struct hca_recv_wr none = { .num_sge = 0 };
	struct hca_qp_init in;
	struct hca_srq plain;
	struct hca_qp *qp;

	(void)state;
	in = initiator();
	in.recv_cq = &a.rcq;
	REFUSED(hca_qp_create(&a.hca, &in, &qp), -EINVAL, "it has no receive side");
	in = initiator();
	in.max_recv_wr = 1;
	REFUSED(hca_qp_create(&a.hca, &in, &qp), -EINVAL, "it has no receive side");
	in = initiator();
	in.xrcd = &xrcd;
	REFUSED(hca_qp_create(&a.hca, &in, &qp), -EINVAL, "an XRC domain is for XRC targets alone");
	in = target();
	in.pd = &b.pd;
	REFUSED(hca_qp_create(&b.hca, &in, &qp), -EINVAL, "it has no PD, CQ or queue of its own");
	in = target();
	in.xrcd = NULL;
	REFUSED(hca_qp_create(&b.hca, &in, &qp), -EINVAL, "it needs an XRC domain of this adapter");
	in = target();
	REFUSED(hca_qp_create(&a.hca, &in, &qp), -EINVAL,
		"it needs an XRC domain of this adapter"); /* another adapter's domain */
	REFUSED(make_qp(&b, HCA_QPT_RC, &srq, &qp), -EINVAL,
		"its SRQ is another adapter's, or one of XRC"); /* a queue with a number is for targets */
	REFUSED(hca_xrc_srq_init(&plain, &b.hca, &b.pd, NULL, &b.rcq, NULL, &attr), -EINVAL,
		"XRC SRQ not made: it needs an XRC domain and a CQ");
	REFUSED(hca_xrc_srq_init(&plain, &b.hca, &b.pd, &xrcd, &a.rcq, NULL, &attr), -EINVAL,
		"XRC SRQ not made: it needs an XRC domain and a CQ");
	REFUSED(hca_recv_refuse(a.qp, &none, hca_post_recv(a.qp, &none)), -EINVAL, "it has no receive queue");
	assert_int_equal(hca_post_recv(b.qp, &(struct hca_recv_wr){ .num_sge = 0 }), -EINVAL);
	assert_int_equal(hca_post_send(b.qp, &wr), -EINVAL);
}

static void all_numbers(void **state)
{
	static struct hca_srq many[HCA_XRC_SRQS];
	u32 i;

	(void)state;
	for (i = 0; i < HCA_XRC_SRQS - 2; i++)
		assert_int_equal(hca_xrc_srq_init(&many[i], &b.hca, &b.pd, &xrcd, &b.rcq, NULL, &attr), 0);
	assert_int_equal(hca_xrc_srq_init(&many[i], &b.hca, &b.pd, &xrcd, &b.rcq, NULL, &attr), -ENOSPC);
	while (i--)
		assert_int_equal(hca_srq_fini(&many[i]), 0);
}

static void memory_runs_out(void **state)
{
	struct hca_srq more;
	int err;
	u32 n;

	(void)state;
	for (n = 1;; n++) {
		test_fail_at(n);
		err = hca_xrc_srq_init(&more, &b.hca, &b.pd, &xrcd, &b.rcq, NULL, &attr);
		test_fail_at(0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_true(n > 1);
	assert_int_equal(hca_srq_fini(&more), 0);
}

/* --- a destroy that fails --- */

static int destroyed;

static void sends_two_pieces(void *arg)
{
	struct hca_sge sge = sge_at(&a, 0, HCA_PIECE + 8);
	struct hca_send_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND, .srqn = srq.number };

	(void)arg;
	CHECK(!hca_post_send(a.qp, &wr));
}

static void destroys(void *arg)
{
	(void)arg;
	destroyed = hca_srq_fini(&srq);
}

/* A message is coming in while the queue is to go: it comes in, if the queue stays. */
static void refused_destroy_refuses_no_message(void **state)
{
	void (*const fns[])(void *arg) = { sends_two_pieces, destroys };
	u32 stayed = 0, went = 0;
	struct hca_wc wc = { 0 };

	FOR_SEEDS(seed, 4000)
	{
		assert_int_equal(open_xrc(state), 0);
		give(&srq, b.all, 2, 0, HCA_PIECE + 8);
		run_seed(seed, HCA_ARRAY_SIZE(fns), fns);
		hca_eq_run(a.hca.eq);
		test_clock_advance(1000 * MS);
		assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 1);
		if (destroyed) {
			assert_int_equal(destroyed, -EBUSY);
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
			assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 1);
			stayed++;
		} else {
			assert_int_equal(hca_xrc_srq_init(&srq, &b.hca, &b.pd, &xrcd, &b.rcq, &srq_user, &attr), 0);
			went++;
		}
		assert_int_equal(close_xrc(state), 0);
	}
	assert_true(first_seed() != 1 || (stayed && went));
}

#define XRC(t) cmocka_unit_test_setup_teardown(t, open_xrc, close_xrc)

int main(void)
{
	const struct CMUnitTest tests[] = {
		XRC(goes_where_it_says),
		XRC(rdma_and_atomics),
		XRC(keys_are_the_queues),
		XRC(own_keys_of_a_receive),
		XRC(no_such_queue),
		XRC(queue_of_another_domain),
		XRC(stale_number),
		XRC(empty_queue_is_waited_for),
		XRC(too_short),
		XRC(ends),
		XRC(error_flushes_nothing_of_the_queue),
		XRC(types_do_not_mix),
		XRC(bad_queue_pairs),
		XRC(all_numbers),
		XRC(memory_runs_out),
		cmocka_unit_test(refused_destroy_refuses_no_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
