/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests that are carried out while they are posted come to what the usual way comes to: for every reason to leave a
 * request to that way both ways are gone and compared. The usual way is tested by itself elsewhere, against a model.
 */
#define BYTES (3u * 65536u)
#include "direct_fixture.h"

#include "dma/ledger.h"
#include "transport/responder.h"

/* --- posting in a word --- */

static void send_len(u64 id, enum hca_wr_opcode op, u32 len)
{
	struct hca_sge sge = sge_at(&a, id * 64, len);

	note((u64)post_list(id, op, &sge, 1));
}

static void recv_len(u64 id, u32 len)
{
	struct hca_sge sge = sge_at(&b, TO + id * 64, len);

	recv_list(id, &sge, 1);
}

/* --- what is done at once --- */

static void plain(void)
{
	u32 i;

	for (i = 0; i < 4; i++)
		recv_len(i, 64);
	send_len(0, HCA_WR_SEND, 8);
	note_all();
	send_len(1, HCA_WR_SEND_WITH_IMM, 64);
	send_len(2, HCA_WR_SEND, 1);
	send_len(3, HCA_WR_SEND, 33);
	send_len(4, HCA_WR_RDMA_WRITE, 8);
}

static void lengths(void)
{
	static const u32 lens[] = { 4, 8, 9, 4096, HCA_PIECE - 1, HCA_PIECE };
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(lens); i++) {
		recv_len(i, lens[i]);
		send_len(i, HCA_WR_SEND, lens[i]);
		note_all();
	}
}

static void from_within_the_request(void)
{
	static const u8 bytes[40] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct hca_sge sge = { .addr = (uintptr_t)bytes, .length = sizeof(bytes) };

	send_flags = HCA_SEND_INLINE;
	recv_len(0, 64);
	note((u64)post_list(1, HCA_WR_SEND, &sge, 1));
	note((u64)post_list(2, HCA_WR_RDMA_WRITE, &sge, 1));
	sge.length = 8;
	note((u64)post_list(3, HCA_WR_RDMA_WRITE, &sge, 1));
	sge.length = 65;
	note((u64)post_list(4, HCA_WR_SEND, &sge, 1));
}

static void first_entry_is_enough(void)
{
	struct hca_sge sge[] = { sge_at(&b, TO, 64), sge_at(&b, TO + 1000, 64), { .length = 9, .lkey = 77 } };

	recv_list(0, sge, 3);
	send_len(1, HCA_WR_SEND, 64);
}

static void armed(struct hca_cq *cq, enum hca_cq_arm arm, u32 flags)
{
	note(hca_cq_ring_notify(&cq->ring, arm));
	send_flags = flags;
	recv_len(0, 64);
	send_len(1, HCA_WR_SEND, 64);
	note_all();
}

static void handlers_are_called(void)
{
	armed(&b.rcq, HCA_CQ_NEXT, 0);
	armed(&b.rcq, HCA_CQ_SOLICITED, 0);
	armed(&b.rcq, HCA_CQ_SOLICITED, HCA_SEND_SOLICITED);
	armed(&a.scq, HCA_CQ_NEXT, 0);
}

/* The message is there, and its completion finds no room: so the receiver's queue pair ends. */
static void no_room_for_the_receipt(void)
{
	assert_int_equal(hca_cq_resize(&b.rcq, 1), 0);
	recv_len(0, 64);
	recv_len(1, 64);
	recv_len(2, 64);
	send_len(0, HCA_WR_SEND, 64);
	send_len(1, HCA_WR_SEND, 64);
}

static void no_room_for_the_completion(void)
{
	assert_int_equal(hca_cq_resize(&a.scq, 1), 0);
	recv_len(0, 64);
	recv_len(1, 64);
	send_len(0, HCA_WR_SEND, 64);
	send_len(1, HCA_WR_SEND, 64);
}

static void draining_peer(void)
{
	assert_int_equal(to_state(b.qp, HCA_QPS_SQD), 0);
	recv_len(0, 64);
	send_len(1, HCA_WR_SEND, 64);
}

/* --- what is left to the usual way: of the message --- */

static void no_bytes(void)
{
	recv_len(0, 64);
	recv_len(1, 64);
	send_len(1, HCA_WR_SEND, 0);
	note((u64)post_list(2, HCA_WR_SEND_WITH_IMM, NULL, 0));
}

static void more_than_a_piece(void)
{
	recv_len(0, HCA_PIECE + 1);
	send_len(1, HCA_WR_SEND, HCA_PIECE + 1);
}

static void two_entries(void)
{
	struct hca_sge sge[] = { sge_at(&a, 0, 8), sge_at(&a, 100, 8) };

	recv_len(0, 64);
	note((u64)post_list(1, HCA_WR_SEND, sge, 2));
}

static void other_opcodes(void)
{
	recv_len(0, 64);
	recv_len(1, 64);
	send_len(1, HCA_WR_RDMA_WRITE_WITH_IMM, 8);
	send_len(2, HCA_WR_SEND_WITH_INV, 8);
}

static void no_key(void)
{
	struct hca_sge sge = { .addr = BASE, .length = 8, .lkey = 0x1234567 };

	recv_len(0, 64);
	note((u64)post_list(1, HCA_WR_SEND, &sge, 1));
}

static void beyond_the_own_region(void)
{
	struct hca_sge sge = { .addr = BASE + BYTES - 4, .length = 8, .lkey = a.all->key };

	recv_len(0, 64);
	note((u64)post_list(1, HCA_WR_SEND, &sge, 1));
}

/* --- of the receive request --- */

static void first_entry_is_short(void)
{
	struct hca_sge sge[] = { sge_at(&b, TO, 8), sge_at(&b, TO + 1000, 64) };

	recv_list(0, sge, 2);
	send_len(1, HCA_WR_SEND, 64);
}

static void too_long(void)
{
	recv_len(0, 63);
	recv_len(1, 64);
	send_len(1, HCA_WR_SEND, 64);
}

static void no_entry(void)
{
	recv_list(0, NULL, 0);
	send_len(1, HCA_WR_SEND, 8);
}

static void no_key_there(void)
{
	struct hca_sge sge = { .addr = BASE, .length = 64, .lkey = 0x1234567 };

	recv_list(0, &sge, 1);
	send_len(1, HCA_WR_SEND, 64);
}

static struct hca_mr *extra;

static void receive_by(const struct hca_mr_attr *attr, struct hca_pd *pd)
{
	struct hca_sge sge = { .addr = BASE + TO, .length = 64 };

	assert_int_equal(hca_mr_create(pd, attr, &extra), 0);
	sge.lkey = extra->key;
	recv_list(0, &sge, 1);
	send_len(1, HCA_WR_SEND, 64);
	note_all();
	assert_int_equal(hca_mr_destroy(extra), 0);
}

static void no_right_there(void)
{
	receive_by(&(const struct hca_mr_attr){ .kind = HCA_MR_LINEAR, .iova = BASE, .base = BASE, .length = BYTES },
		   &b.pd);
}

static void another_domain_there(void)
{
	struct hca_pd other;

	hca_pd_init(&other, &b.hca);
	receive_by(
		&(const struct hca_mr_attr){
			.kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE, .length = BYTES },
		&other);
}

static void pages_there(void)
{
	const struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 2, .invalid = true };
	const u64 pages[] = { BASE + 4096, BASE };
	struct hca_sge sge = { .addr = 4096 - 8, .length = 64 };
	struct hca_mr_pages p = {
		.access = RW, .iova = 0, .length = 8192, .page_shift = 12, .pages = pages, .npages = 2
	};

	assert_int_equal(hca_mr_create(&b.pd, &attr, &extra), 0);
	p.key = hca_key_next(extra->key);
	p.access |= HCA_ACCESS_ZERO_BASED;
	assert_int_equal(hca_mr_register(extra, &p), 0);
	sge.lkey = p.key;
	recv_list(0, &sge, 1);
	send_len(1, HCA_WR_SEND, 64);
	note_all();
	assert_int_equal(hca_mr_destroy(extra), 0);
}

static void not_ready(void)
{
	send_len(1, HCA_WR_SEND, 8);
	send_len(2, HCA_WR_SEND, 8); /* behind one that waits */
	note_all();
	recv_len(0, 64);
	recv_len(1, 64);
	test_clock_advance(2 * RNR);
	note_all();
	recv_len(2, 64);
	send_len(3, HCA_WR_SEND, 8); /* at once again */
}

static void never_ready(void)
{
	send_len(1, HCA_WR_SEND, 8);
	let_time_pass();
}

static void a_request_that_was_taken(void)
{
	recv_len(0, 64);
	recv_len(1, 64);
	assert_true(hca_rx_enter(b.qp));
	assert_true(hca_resp_take(b.qp, NULL));
	hca_rx_leave(b.qp);
	send_len(1, HCA_WR_SEND, 8);
	let_time_pass();
}

static void a_shared_queue(void)
{
	const struct hca_srq_attr attr = { .max_wr = 4, .max_sge = 1, .srq_limit = 2 };
	struct hca_sge sge = sge_at(&b, TO, 64);
	struct hca_recv_wr wr = { .sge = &sge, .num_sge = 1 };
	struct hca_qp *before = b.qp;
	struct hca_srq srq;
	u32 i;

	assert_int_equal(hca_srq_init(&srq, &b.hca, &b.pd, &attr), 0);
	assert_int_equal(make_qp(&b, b.qp->type, &srq, &b.qp), 0);
	hca_qp_destroy(before);
	assert_int_equal(to_state(a.qp, HCA_QPS_RESET), 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	for (i = 0; i < 3; i++, wr.wr_id++)
		assert_int_equal(hca_srq_post(&srq, &wr), 0);
	send_len(1, HCA_WR_SEND, 8);
	send_len(2, HCA_WR_SEND, 64);
	note_all();
	hca_qp_destroy(b.qp);
	assert_int_equal(make_qp(&b, a.qp->type, NULL, &b.qp), 0);
	assert_int_equal(hca_srq_fini(&srq), 0);
}

/* --- of the peer --- */

static void first_message(void)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.dest_qp_num = a.qp->qpn,
		.ah = { .dlid = (u16)a.hca.lid, .port_num = 1 },
		.port_num = 1,
		.max_dest_rd_atomic = 1,
	};
	u32 rc = b.qp->type == HCA_QPT_RC ? HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER : 0;

	modify(b.qp, &at, HCA_QPS_RESET, 0);
	modify(b.qp, &at, HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS);
	modify(b.qp, &at, HCA_QPS_RTR, rc | HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN);
	recv_len(0, 64);
	recv_len(1, 64);
	send_len(1, HCA_WR_SEND, 8);
	send_len(2, HCA_WR_SEND, 8);
}

static void in_state(enum hca_qp_state state)
{
	recv_len(0, 64);
	assert_int_equal(to_state(b.qp, state), 0);
	send_len(1, HCA_WR_SEND, 8);
	let_time_pass();
}

static void peer_in_error(void)
{
	in_state(HCA_QPS_ERR);
}

static void peer_reset(void)
{
	in_state(HCA_QPS_RESET);
}

static void peer_of_another(void)
{
	recv_len(0, 64);
	b.qp->attr.dest_qp_num = a.qp->qpn + 1;
	republish(b.qp);
	send_len(1, HCA_WR_SEND, 8);
	let_time_pass();
}

static void peer_gone(void)
{
	struct hca_qp *qp = b.qp;

	assert_int_equal(make_qp(&b, qp->type, NULL, &b.qp), 0); /* for note_all() */
	hca_qp_destroy(qp);
	send_len(1, HCA_WR_SEND, 8);
	let_time_pass();
}

static void another_thread_at_rx(void)
{
	recv_len(0, 64);
	assert_true(hca_rx_enter(b.qp));
	send_len(1, HCA_WR_SEND, 8);
	note_all();
	hca_rx_leave(b.qp);
	test_clock_advance(2 * TIMEOUT);
}

static void no_adapter(void)
{
	hca_irqflags_t flags;

	hca_spin_lock(&a.qp->lock, flags);
	a.qp->attr.ah.dlid = 9;
	hca_qp_publish(a.qp);
	a.qp->transport->modified(a.qp, HCA_QP_AV);
	hca_spin_unlock(&a.qp->lock, flags);
	recv_len(0, 64);
	send_len(1, HCA_WR_SEND, 8);
	let_time_pass();
}

/* --- of the memory --- */

static void windows_here(void)
{
	set_flat(&a, false);
	plain();
}

static void windows_there(void)
{
	set_flat(&b, false);
	plain();
}

static u32 misuses;

static void count_misuse(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	(void)r;
	misuses++;
}

/* A ledger hears of every access, whichever end it watches. */
static void watched(struct side *s)
{
	const struct hca_ledger_attr attr = { .device = "watched", .report = count_misuse };
	struct hca_ledger *ledger;

	misuses = 0;
	assert_int_equal(hca_ledger_create(&attr, &ledger), 0);
	s->mem.ledger = ledger;
	recv_len(0, 64);
	send_len(1, HCA_WR_SEND, 8);
	send_len(2, HCA_WR_RDMA_WRITE, 8);
	note(misuses);
	assert_int_equal(misuses, 2); /* nothing was mapped */
	s->mem.ledger = NULL;
	hca_ledger_destroy(ledger);
}

static void watched_here(void)
{
	watched(&a);
}

static void watched_there(void)
{
	watched(&b);
}

/* --- both ways --- */

/* @usual: pieces that the wire is given when as much as can be is done at once; ~0: however many as else */
static void compare(enum hca_qp_type type, const char *what, void (*play)(void), u32 usual)
{
	u32 at_once;

	go(type, play, true);
	at_once = carried;
	assert_int_equal(close_both(NULL), 0);
	go(type, play, false);
	if (at_once != (usual == ~0u ? carried : usual))
		fail_msg("%s: %u pieces went the usual way", what, at_once);
	assert_int_equal(close_both(NULL), 0);
	same_notes(what);
}

#define ALL ~0u

static const struct {
	const char *what;
	void (*play)(void);
	u32 rc, uc; /* pieces that go the usual way */
} plays[] = {
#define PLAY(p, rc, uc) \
	{ \
#p, p, rc, uc \
	}
	PLAY(plain, 0, 0),
	PLAY(lengths, 0, 0),
	PLAY(from_within_the_request, 0, 0),
	PLAY(first_entry_is_enough, 0, 0),
	PLAY(handlers_are_called, 0, 0),
	PLAY(no_room_for_the_receipt, 0, 0),
	PLAY(no_room_for_the_completion, 0, 0),
	PLAY(draining_peer, 0, 0),
	PLAY(no_bytes, ALL, ALL),
	PLAY(more_than_a_piece, ALL, ALL),
	PLAY(two_entries, ALL, ALL),
	PLAY(other_opcodes, ALL, ALL),
	PLAY(no_key, ALL, ALL),
	PLAY(beyond_the_own_region, ALL, ALL),
	PLAY(first_entry_is_short, ALL, ALL),
	PLAY(too_long, ALL, ALL),
	PLAY(no_entry, ALL, ALL),
	PLAY(no_key_there, ALL, ALL),
	PLAY(no_right_there, ALL, ALL),
	PLAY(another_domain_there, ALL, ALL),
	PLAY(pages_there, ALL, ALL),
	PLAY(not_ready, 3, 2), /* an unreliable one is lost, and the next one isn't behind it */
	PLAY(never_ready, ALL, ALL),
	PLAY(a_request_that_was_taken, ALL, ALL),
	PLAY(a_shared_queue, ALL, ALL),
	PLAY(first_message, ALL, ALL),
	PLAY(peer_in_error, ALL, ALL),
	PLAY(peer_reset, ALL, ALL),
	PLAY(peer_of_another, ALL, ALL),
	PLAY(peer_gone, ALL, ALL),
	PLAY(another_thread_at_rx, ALL, ALL),
	PLAY(no_adapter, ALL, ALL),
	PLAY(windows_here, ALL, ALL),
	PLAY(windows_there, ALL, ALL),
	PLAY(watched_here, ALL, ALL),
	PLAY(watched_there, ALL, ALL),
};

static void reliable(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(plays); i++)
		compare(HCA_QPT_RC, plays[i].what, plays[i].play, plays[i].rc);
}

static void unreliable(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(plays); i++)
		compare(HCA_QPT_UC, plays[i].what, plays[i].play, plays[i].uc);
}

/* Two queue pairs of different types hear each other by number alone: neither takes the other's messages. */
static void another_type(void)
{
	struct hca_qp *qp = b.qp;

	assert_int_equal(make_qp(&b, HCA_QPT_UC, NULL, &b.qp), 0);
	hca_qp_destroy(qp);
	assert_int_equal(to_state(a.qp, HCA_QPS_RESET), 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	recv_len(0, 64);
	send_len(1, HCA_WR_SEND, 8);
	let_time_pass();
}

static void datagrams(void)
{
	struct hca_sge to = sge_at(&b, TO, 100);

	recv_list(0, &to, 1);
	note((u64)post(&a, 1, HCA_WR_SEND_WITH_IMM, 0, 32, b.qp->qpn, 0x11));
}

static void other_types(void **state)
{
	(void)state;
	compare(HCA_QPT_RC, "another_type", another_type, ALL);
	compare(HCA_QPT_UD, "datagrams", datagrams, ALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reliable),
		cmocka_unit_test(unreliable),
		cmocka_unit_test(other_types),
	};

	return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
