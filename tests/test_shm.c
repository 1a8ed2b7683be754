/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The wire between processes, with both nodes in one: what the engine does over it. Death and the like are in test_shm_kill.c. */
#include "shm_fixture.h"

#include "wire/shm/internal.h"

static struct side a, b;
static struct side_name an, bn;

static int open_both(enum hca_qp_type type, bool lids)
{
	const struct hca_shm_config cfg = { .lids = lids };

	if (fabric_make(NULL) || side_open_as(&a, &cfg) || side_open_as(&b, &cfg) || side_qp(&a, type) ||
	    side_qp(&b, type))
		return -1;
	an = side_name(&a);
	bn = side_name(&b);
	return side_connect(&a, &bn) || side_connect(&b, &an) ? -1 : 0;
}

static int open_rc(void **state)
{
	(void)state;
	return open_both(HCA_QPT_RC, true);
}

static int open_rc_global(void **state)
{
	(void)state;
	return open_both(HCA_QPT_RC, false);
}

static int open_uc(void **state)
{
	(void)state;
	return open_both(HCA_QPT_UC, true);
}

static int open_ud(void **state)
{
	(void)state;
	return open_both(HCA_QPT_UD, true);
}

static int close_both(void **state)
{
	side_close(&a);
	side_close(&b);
	assert_int_equal(fabric_files(), 0);
	return fabric_remove(state);
}

static void wait_both(struct side *s, struct hca_cq *cq, u64 id, enum hca_wc_status status, struct hca_wc *out)
{
	struct hca_wc wc;

	side_wait(s, cq, &wc);
	assert_int_equal(wc.wr_id, id);
	assert_int_equal(wc.status, status);
	if (out)
		*out = wc;
}

/* IBTA vol. 1, 11.4.1.1, 11.4.2.2: what a send brings, and how it completes at both ends. */
static void test_send(void **state)
{
	struct hca_wc wc;

	(void)state;
	side_fill(a.ram, 1000, 1);
	assert_int_equal(side_recv(&b, 1, 5000, 2000), 0);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_SEND, 0, 1000, 0), 0);
	wait_both(&b, &b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.byte_len, 1000);
	assert_int_equal(wc.opcode, HCA_WC_RECV);
	wait_both(&a, &a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, b.ram + 5000, 1000);
}

static void test_immediate(void **state)
{
	struct hca_wc wc;

	(void)state;
	assert_int_equal(side_recv(&b, 1, 0, 100), 0);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_SEND_WITH_IMM, 0, 10, 0), 0);
	wait_both(&b, &b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.imm, 0x12345678);
	wait_both(&a, &a.scq, 2, HCA_WC_SUCCESS, NULL);
	side_fill(a.ram, 64, 3);
	assert_int_equal(side_recv(&b, 3, 0, 100), 0);
	assert_int_equal(side_post(&a, &bn, 4, HCA_WR_RDMA_WRITE_WITH_IMM, 0, 64, 8192), 0);
	wait_both(&b, &b.rcq, 3, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.opcode, HCA_WC_RECV_RDMA_WITH_IMM);
	assert_memory_equal(a.ram, b.ram + 8192, 64);
	wait_both(&a, &a.scq, 4, HCA_WC_SUCCESS, NULL);
}

static void test_rdma(void **state)
{
	(void)state;
	side_fill(a.ram, 300000, 5);
	assert_int_equal(side_post(&a, &bn, 1, HCA_WR_RDMA_WRITE, 0, 300000, 4096), 0);
	wait_both(&a, &a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, b.ram + 4096, 300000);
	assert_int_equal(side_post(&b, &an, 2, HCA_WR_RDMA_READ, 1000000, 250000, 11), 0);
	wait_both(&b, &b.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram + 11, b.ram + 1000000, 250000);
}

static void test_atomics(void **state)
{
	u64 *there = (u64 *)(void *)(b.ram + 512);

	(void)state;
	*there = 5;
	assert_int_equal(side_post(&a, &bn, 1, HCA_WR_ATOMIC_CMP_AND_SWP, 8, 8, 512), 0);
	wait_both(&a, &a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(*(u64 *)(void *)(a.ram + 8), 5);
	assert_int_equal(*there, 6);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_ATOMIC_FETCH_AND_ADD, 8, 8, 512), 0);
	wait_both(&a, &a.scq, 2, HCA_WC_SUCCESS, NULL);
	assert_int_equal(*(u64 *)(void *)(a.ram + 8), 6);
	assert_int_equal(*there, 11);
}

static bool waits(struct hca_qp *qp)
{
	hca_irqflags_t flags;
	bool is;

	hca_spin_lock(&qp->lock, flags);
	is = qp->waiting;
	hca_spin_unlock(&qp->lock, flags);
	return is;
}

/* IBTA vol. 1, 9.7.5.2.8: the requester tries again until a receive request is there. */
static void test_rnr(void **state)
{
	(void)state;
	assert_int_equal(side_post(&a, &bn, 1, HCA_WR_SEND, 0, 100, 0), 0);
	while (!waits(a.qp))
		hca_shm_poll(a.shm);
	assert_int_equal(side_recv(&b, 2, 0, 100), 0);
	wait_both(&a, &a.scq, 1, HCA_WC_SUCCESS, NULL);
	wait_both(&b, &b.rcq, 2, HCA_WC_SUCCESS, NULL);
}

/* What can be seen from outside: requests that left, their bytes in pieces, and those that left again. Another life begins at 0. */
static void test_counts(void **state)
{
	const struct hca_fabric_count *n = hca_shm_count(a.shm, a.qp->qpn);
	const struct hca_qp_attr reset = { .qp_state = HCA_QPS_RESET };

	(void)state;
	assert_non_null(n);
	assert_null(hca_shm_count(a.shm, a.qp->qpn + 1));
	test_rnr(state);
	assert_true(n->retries >= 1);
	assert_int_equal(n->requests, 1 + n->retries);
	assert_int_equal(n->bytes, 100 * n->requests);
	assert_int_equal(side_recv(&b, 2, 0, HCA_PIECE + 100), 0);
	assert_int_equal(side_post(&a, &bn, 1, HCA_WR_SEND, 0, HCA_PIECE + 100, 0), 0);
	wait_both(&a, &a.scq, 1, HCA_WC_SUCCESS, NULL);
	wait_both(&b, &b.rcq, 2, HCA_WC_SUCCESS, NULL);
	assert_int_equal(side_post(&a, &bn, 1, HCA_WR_RDMA_READ, 0, 8, 0), 0);
	wait_both(&a, &a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(n->requests, 3 + n->retries);
	assert_int_equal(n->bytes, 100 * (1 + n->retries) + HCA_PIECE + 100 + 8);
	assert_int_equal(hca_qp_modify(a.qp, &reset, HCA_QP_STATE), 0);
	assert_int_equal(n->requests, 0);
	assert_int_equal(n->bytes, 0);
	assert_int_equal(n->retries, 0);
}

/* IBTA vol. 1, 9.7.4.1.3, 10.7.2: a key that isn't one ends both queue pairs. */
static void test_wrong_key(void **state)
{
	struct side_name wrong = bn;

	(void)state;
	wrong.rkey ^= 0x100;
	assert_int_equal(side_post(&a, &wrong, 1, HCA_WR_RDMA_WRITE, 0, 100, 0), 0);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_SEND, 0, 100, 0), 0);
	wait_both(&a, &a.scq, 1, HCA_WC_REM_ACCESS_ERR, NULL);
	wait_both(&a, &a.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
}

static void test_long(void **state)
{
	struct hca_wc wc;
	u32 i;

	(void)state;
	side_fill(a.ram, 1 << 20, 9);
	for (i = 0; i < 4; i++) {
		assert_int_equal(side_recv(&b, i, 4096, 1 << 20), 0);
		assert_int_equal(side_post(&a, &bn, i, HCA_WR_SEND, 0, 1 << 20, 0), 0);
	}
	for (i = 0; i < 4; i++) {
		wait_both(&b, &b.rcq, i, HCA_WC_SUCCESS, &wc);
		assert_int_equal(wc.byte_len, 1 << 20);
	}
	for (i = 0; i < 4; i++)
		wait_both(&a, &a.scq, i, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, b.ram + 4096, 1 << 20);
}

/* More than the ring holds, both ways at once, and reads, whose replies are long. */
static void test_both_full(void **state)
{
	u32 i;

	(void)state;
	side_fill(a.ram, 1 << 20, 1);
	side_fill(b.ram, 1 << 20, 2);
	for (i = 0; i < 8; i++) {
		assert_int_equal(side_recv(&a, i, 1 << 20, 1 << 20), 0);
		assert_int_equal(side_recv(&b, i, 1 << 20, 1 << 20), 0);
	}
	for (i = 0; i < 8; i++) {
		assert_int_equal(side_post(&a, &bn, 2 * i, HCA_WR_RDMA_READ, 1 << 20, 1 << 20, 0), 0);
		assert_int_equal(side_post(&b, &an, 2 * i, HCA_WR_RDMA_READ, 1 << 20, 1 << 20, 0), 0);
		assert_int_equal(side_post(&a, &bn, 2 * i + 1, HCA_WR_SEND, 0, 1 << 20, 0), 0);
		assert_int_equal(side_post(&b, &an, 2 * i + 1, HCA_WR_SEND, 0, 1 << 20, 0), 0);
	}
	for (i = 0; i < 16; i++) {
		wait_both(&a, &a.scq, i, HCA_WC_SUCCESS, NULL);
		wait_both(&b, &b.scq, i, HCA_WC_SUCCESS, NULL);
	}
	for (i = 0; i < 8; i++) {
		wait_both(&a, &a.rcq, i, HCA_WC_SUCCESS, NULL);
		wait_both(&b, &b.rcq, i, HCA_WC_SUCCESS, NULL);
	}
	assert_memory_equal(a.ram, b.ram + (1 << 20), 1 << 20);
	assert_memory_equal(b.ram, a.ram + (1 << 20), 1 << 20);
}

static void test_many(void **state)
{
	struct hca_wc wc;
	u32 sent = 0, got = 0, done = 0, posted = 0;

	(void)state;
	while (done < 20000 || got < 20000) { /* a receiver's own thread may take messages after our look at it */
		while (posted < 20000 && posted - got < SIDE_WR && !side_recv(&b, posted, 4096, 8))
			posted++;
		while (sent < posted && sent - done < SIDE_WR) {
			memcpy(a.ram + 8 * (sent % SIDE_WR), &sent, sizeof(sent));
			assert_int_equal(side_post(&a, &bn, sent, HCA_WR_SEND, 8 * (sent % SIDE_WR), 8, 0), 0);
			sent++;
		}
		hca_shm_poll(b.shm);
		while (hca_cq_ring_poll(&b.rcq.ring, &wc, 1)) {
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
			assert_int_equal(wc.wr_id, got);
			got++;
		}
		hca_shm_poll(a.shm);
		while (hca_cq_ring_poll(&a.scq.ring, &wc, 1)) {
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
			assert_int_equal(wc.wr_id, done);
			done++;
		}
	}
}

static void test_uc_send(void **state)
{
	(void)state;
	side_fill(a.ram, 200000, 7);
	assert_int_equal(side_recv(&b, 1, 0, 200000), 0);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_SEND, 0, 200000, 0), 0);
	wait_both(&a, &a.scq, 2, HCA_WC_SUCCESS, NULL);
	wait_both(&b, &b.rcq, 1, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(a.ram, b.ram, 200000);
}

/* Datagrams to a node that takes nothing in are lost in the end, and complete, also if nobody polls here meanwhile. */
static void test_lost_datagrams(void **state)
{
	u32 i, turns = 0;
	struct hca_wc wc;

	(void)state;
	shm_take_begin(b.shm);
	for (i = 0; i < 100; i++)
		assert_int_equal(side_post(&a, &bn, i, HCA_WR_SEND, 0, 4000, 0), 0);
	for (i = 0; i < 100; i++) {
		while (!hca_cq_ring_poll(&a.scq.ring, &wc, 1))
			hca_relax(&turns);
		assert_int_equal(wc.wr_id, i);
		assert_int_equal(wc.status, HCA_WC_SUCCESS);
	}
	shm_take_end(b.shm);
}

/* IBTA vol. 1, 11.4.1.2: 40 bytes lie before a datagram's data. */
static void test_datagram(void **state)
{
	struct hca_wc wc;

	(void)state;
	side_fill(a.ram, 4096, 7);
	assert_int_equal(side_recv(&b, 1, 0, 8192), 0);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_SEND, 0, 4096, 0), 0);
	wait_both(&a, &a.scq, 2, HCA_WC_SUCCESS, NULL);
	wait_both(&b, &b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.byte_len, 4136);
	assert_int_equal(wc.src_qp, a.qp->qpn);
	assert_memory_equal(a.ram, b.ram + 40, 4096);
	/* To itself, and to nobody. */
	assert_int_equal(side_recv(&a, 3, 8192, 8192), 0);
	assert_int_equal(side_post(&a, &an, 4, HCA_WR_SEND, 0, 100, 0), 0);
	wait_both(&a, &a.scq, 4, HCA_WC_SUCCESS, NULL);
	wait_both(&a, &a.rcq, 3, HCA_WC_SUCCESS, NULL);
	assert_int_equal(
		side_post(&a, &(const struct side_name){ .node = 77, .qpn = 77 << 14 }, 5, HCA_WR_SEND, 0, 1, 0), 0);
	wait_both(&a, &a.scq, 5, HCA_WC_SUCCESS, NULL);
}

#define BOTH(t, open) cmocka_unit_test_setup_teardown(t, open, close_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_send, open_rc),      { "test_send_global", test_send, open_rc_global, close_both, NULL },
		BOTH(test_immediate, open_rc), BOTH(test_rdma, open_rc),
		BOTH(test_atomics, open_rc),   BOTH(test_rnr, open_rc),
		BOTH(test_counts, open_rc),    BOTH(test_wrong_key, open_rc),
		BOTH(test_long, open_rc),      BOTH(test_both_full, open_rc),
		BOTH(test_many, open_rc),      BOTH(test_uc_send, open_uc),
		BOTH(test_datagram, open_ud),  BOTH(test_lost_datagrams, open_ud),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
