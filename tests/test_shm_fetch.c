/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Payloads that the receiver fetches from the sender's memory, so that they are copied once: they are the bytes that were posted, or the
 * message goes again with a copy of them.
 */
#include "shm_fixture.h"

#include "wire/shm/internal.h"

#define MANY (1u << 20)
#define FAR (1u << 20) /* where the receiver's are, in its memory */

static struct side a, b;
static struct side_name an, bn;

static int open_with(const struct hca_shm_config *receiver)
{
	const struct hca_shm_config plain = { .lids = true };

	if (fabric_make(NULL) || side_open_as(&a, &plain) || side_open_as(&b, receiver) || side_qp(&a, HCA_QPT_RC) ||
	    side_qp(&b, HCA_QPT_RC))
		return -1;
	an = side_name(&a);
	bn = side_name(&b);
	return side_connect(&a, &bn) || side_connect(&b, &an) ? -1 : 0;
}

static int open_both(void **state)
{
	(void)state;
	return open_with(&(const struct hca_shm_config){ .lids = true });
}

/* The receiver may not use the calls that it would fetch with. */
static int open_refused(void **state)
{
	(void)state;
	return open_with(&(const struct hca_shm_config){ .lids = true, .no_direct = true });
}

static int close_both(void **state)
{
	side_close(&a);
	side_close(&b);
	assert_int_equal(fabric_files(), 0);
	return fabric_remove(state);
}

/* Bytes that a has ever written for b. */
static u64 written(void)
{
	return hca_load_acquire(&a.shm->peer[bn.node]->out.lane[HCA_FABRIC_REQUESTS].shared->head);
}

static void expect(struct side *s, struct hca_cq *cq, u64 id, enum hca_wc_status status)
{
	struct hca_wc wc;

	side_wait(s, cq, &wc);
	assert_int_equal(wc.status, status);
	assert_int_equal(wc.wr_id, id);
}

/* Both ends in three entries that no page begins with. @len: at least 300 */
static void carry(enum hca_wr_opcode op, u32 len, u32 seed)
{
	struct hca_sge from[3] = { side_sge(&a, 1, 100), side_sge(&a, 200001, len - 200), side_sge(&a, 500003, 100) };
	struct hca_sge to[3] = { side_sge(&b, FAR + 3, 7), side_sge(&b, FAR + 11, len - 8),
				 side_sge(&b, FAR + len + 5, 1) };
	struct hca_recv_wr recv = { .wr_id = 1, .sge = to, .num_sge = 3 };
	struct hca_send_wr send = { .wr_id = 2, .sge = from, .num_sge = 3, .opcode = op, .imm = 5 };
	u8 *want = malloc(len), *got = malloc(len);
	u32 i, at = 0;

	assert_true(want && got);
	for (i = 0; i < 3; at += from[i].length, i++) {
		side_fill((u8 *)(uintptr_t)from[i].addr, from[i].length, seed + i);
		memcpy(want + at, (u8 *)(uintptr_t)from[i].addr, from[i].length);
	}
	send.rdma.addr = bn.addr + FAR;
	send.rdma.rkey = bn.rkey;
	assert_int_equal(hca_post_recv(b.qp, &recv), 0);
	assert_int_equal(hca_post_send(a.qp, &send), 0);
	expect(&b, &b.rcq, 1, HCA_WC_SUCCESS);
	expect(&a, &a.scq, 2, HCA_WC_SUCCESS);
	for (i = at = 0; i < 3 && op != HCA_WR_RDMA_WRITE_WITH_IMM; at += to[i].length, i++)
		memcpy(got + at, (u8 *)(uintptr_t)to[i].addr, to[i].length);
	assert_memory_equal(want, op == HCA_WR_RDMA_WRITE_WITH_IMM ? b.ram + FAR : got, len);
	free(want);
	free(got);
}

static void long_ones_are_copied_once(void **state)
{
	static const enum hca_wr_opcode ops[] = { HCA_WR_SEND, HCA_WR_SEND_WITH_IMM, HCA_WR_RDMA_WRITE_WITH_IMM };
	static const u32 lens[] = { 16384, 65536, 65537, 81919, 81920, 200000, 262144 };
	u32 i, k, n = 0;
	u64 before;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(ops); i++) {
		for (k = 0; k < HCA_ARRAY_SIZE(lens); k++) {
			/* The rest behind the last whole piece may be short, and is copied. */
			u32 pieces = lens[k] / HCA_PIECE + 1, rest = lens[k] % HCA_PIECE;

			before = written();
			carry(ops[i], lens[k], n++);
			assert_true(written() - before < pieces * 400 + (rest < 16384 ? rest : 0));
		}
	}
}

static void short_ones_go_through_the_ring(void **state)
{
	u64 before = written();

	(void)state;
	carry(HCA_WR_SEND, 16383, 1);
	assert_true(written() - before > 16383);
	before = written();
	side_fill(a.ram, 60, 2);
	assert_int_equal(side_recv(&b, 1, FAR, 100), 0);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_SEND, 0, 60, 0), 0);
	expect(&b, &b.rcq, 1, HCA_WC_SUCCESS);
	expect(&a, &a.scq, 2, HCA_WC_SUCCESS);
	assert_true(written() - before < 400);
}

/* b takes nothing in. */
static void hold(void)
{
	shm_take_begin(b.shm);
}

static void let_go(void)
{
	shm_take_end(b.shm);
}

static struct hca_mr *region(struct side *s, u64 off, u64 len)
{
	struct hca_mr_attr at = { .kind = HCA_MR_LINEAR, .access = RW, .length = len };
	struct hca_mr *mr;

	at.iova = at.base = (uintptr_t)s->ram + off;
	assert_int_equal(hca_mr_create(&s->pd, &at, &mr), 0);
	return mr;
}

static void send_from(struct hca_mr *mr, u64 id, u32 len)
{
	struct hca_sge sge = { .addr = (uintptr_t)a.ram, .length = len, .lkey = mr->key };
	struct hca_send_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };

	assert_int_equal(hca_post_send(a.qp, &wr), 0);
}

/*
 * A region of the sender ends before the receiver has fetched, whichever: after hca_mr_destroy() has returned nothing that was said before
 * is read. The message arrives all the same, if its own region is there.
 */
static void another_region_ends_before(void **state)
{
	struct hca_mr *other = region(&a, 0, 4096);
	u64 before = written();

	(void)state;
	side_fill(a.ram, 200000, 4);
	assert_int_equal(side_recv(&b, 1, FAR, 200000), 0);
	hold();
	send_from(a.all, 2, 200000);
	assert_int_equal(hca_mr_destroy(other), 0);
	let_go();
	expect(&b, &b.rcq, 1, HCA_WC_SUCCESS);
	expect(&a, &a.scq, 2, HCA_WC_SUCCESS);
	assert_memory_equal(a.ram, b.ram + FAR, 200000);
	assert_true(written() - before > 200000);
}

/* IBTA vol. 1, 10.7.3.2: its own key is checked again. */
static void its_own_region_ends_before(void **state)
{
	struct hca_mr *own = region(&a, 0, 200000);
	struct hca_wc wc;

	(void)state;
	side_fill(a.ram, 200000, 4);
	memset(b.ram + FAR, 0, 200000);
	assert_int_equal(side_recv(&b, 1, FAR, 200000), 0);
	hold();
	send_from(own, 2, 200000);
	assert_int_equal(hca_mr_destroy(own), 0);
	memset(a.ram, 0xff, 200000);
	let_go();
	expect(&a, &a.scq, 2, HCA_WC_LOC_PROT_ERR);
	assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
	assert_int_equal(b.ram[FAR], 0);
	assert_int_equal(b.ram[FAR + 199999], 0);
}

/* A queue pair that ended has given its requests back, and the program may have other bytes there. */
static void ends_before(enum hca_qp_state to)
{
	struct hca_qp_attr at = { 0 };
	struct hca_wc wc;
	u64 taken;

	side_fill(a.ram, 65536, 4);
	assert_int_equal(side_recv(&b, 1, FAR, 65536), 0);
	hold();
	send_from(a.all, 2, 65536);
	assert_int_equal(side_modify(a.qp, &at, to, 0), 0);
	if (to == HCA_QPS_ERR)
		expect(&a, &a.scq, 2, HCA_WC_WR_FLUSH_ERR);
	memset(a.ram, 0xff, 65536);
	taken = written();
	let_go();
	while (hca_load_acquire(&a.shm->peer[bn.node]->out.lane[HCA_FABRIC_REQUESTS].shared->tail) != taken)
		hca_shm_poll(b.shm), hca_pause();
	assert_int_equal(hca_cq_ring_poll(&b.rcq.ring, &wc, 1), 0);
	assert_int_equal(b.ram[FAR], 0);
}

static void its_queue_pair_fails_before(void **state)
{
	(void)state;
	ends_before(HCA_QPS_ERR);
}

static void its_queue_pair_is_reset_before(void **state)
{
	(void)state;
	ends_before(HCA_QPS_RESET);
}

/* It says so once or twice; from then on most of them are copied at once. */
static void one_that_cant_fetch(void **state)
{
	u32 i, twice = 0;
	u64 before;

	(void)state;
	for (i = 0; i < 100; i++) {
		before = written();
		carry(HCA_WR_SEND, 65536, i);
		assert_true(written() - before > 65536);
		twice += written() - before > 65536 + 200;
	}
	assert_true(twice >= 1 && twice < 10);
}

/* Return: it is there. *@copies: payloads that go to it through the ring before it is asked to fetch one again. */
static bool look_at_peer(struct shm_peer *p, u32 *copies)
{
	hca_irqflags_t flags;
	bool is_there;

	hca_spin_lock(&p->lock, flags);
	is_there = shm_peer_is_there(p);
	*copies = p->copies;
	hca_spin_unlock(&p->lock, flags);
	return is_there;
}

/* Another process of its number may be able to: the first long send to it is offered. */
static void the_next_one_is_asked(void **state)
{
	const struct hca_shm_config plain = { .lids = true };
	struct shm_peer *p = a.shm->peer[bn.node];
	u32 i, copies, was = bn.node, turns = 0;
	u64 before;

	(void)state;
	for (i = 0; i < 20; i++)
		carry(HCA_WR_SEND, 65536, i);
	assert_true(look_at_peer(p, &copies));
	assert_true(copies > 0);
	hca_store(&a.peer, 0u); /* its queue pair isn't for the watcher */
	side_close(&b);
	while (look_at_peer(p, &copies))
		hca_relax(&turns);
	hca_qp_destroy(a.qp);
	a.qp = NULL;
	assert_int_equal(side_open_as(&b, &plain), 0);
	assert_int_equal(side_qp(&a, HCA_QPT_RC), 0);
	assert_int_equal(side_qp(&b, HCA_QPT_RC), 0);
	an = side_name(&a);
	bn = side_name(&b);
	assert_int_equal(bn.node, was);
	assert_int_equal(side_connect(&a, &bn), 0);
	assert_int_equal(side_connect(&b, &an), 0);
	carry(HCA_WR_SEND, 300, 1); /* there is a ring */
	before = written();
	carry(HCA_WR_SEND, 65536, 2);
	assert_true(written() - before < 1000);
}

/* Many under way, and one in sixteen is refused: they complete in their order (IBTA vol. 1, 10.8.5.1). */
static void many_under_way(void **state)
{
	u32 i, round;

	(void)state;
	for (round = 0; round < 50; round++) {
		struct hca_mr *other = region(&a, 0, 4096);

		for (i = 0; i < 16; i++) {
			side_fill(a.ram + i * 32768, 32768, round * 16 + i);
			assert_int_equal(side_recv(&b, i, i * 32768, 32768), 0);
		}
		for (i = 0; i < 16; i++) {
			assert_int_equal(side_post(&a, &bn, 100 + i, HCA_WR_SEND, i * 32768, 32768, 0), 0);
			if (i == round % 16)
				assert_int_equal(hca_mr_destroy(other), 0);
		}
		for (i = 0; i < 16; i++) {
			expect(&b, &b.rcq, i, HCA_WC_SUCCESS);
			expect(&a, &a.scq, 100 + i, HCA_WC_SUCCESS);
		}
		assert_memory_equal(a.ram, b.ram, 16 * 32768);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define BOTH(t) cmocka_unit_test_setup_teardown(t, open_both, close_both)
		BOTH(long_ones_are_copied_once),
		BOTH(short_ones_go_through_the_ring),
		BOTH(another_region_ends_before),
		BOTH(its_own_region_ends_before),
		BOTH(its_queue_pair_fails_before),
		BOTH(its_queue_pair_is_reset_before),
		BOTH(many_under_way),
		cmocka_unit_test_setup_teardown(one_that_cant_fetch, open_refused, close_both),
		cmocka_unit_test_setup_teardown(the_next_one_is_asked, open_refused, close_both),
	};

	return cmocka_run_group_tests_name("shm_fetch", tests, NULL, NULL);
}
