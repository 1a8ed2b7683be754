/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Random programs, in which requests are carried out at once where they can be, come to what they come to when all go the usual way. */
#define BYTES (3u * 65536u)
#include "direct_fixture.h"

#define STEPS 150u
#define PROGRAMS 60u

static u64 x;

static u32 pick(u32 n)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (u32)(x >> 20) % n;
}

static u32 any_length(void)
{
	static const u32 lens[] = { 0, 1, 4, 8, 8, 63, 64, 64, 300, 4096 };

	return lens[pick(HCA_ARRAY_SIZE(lens))];
}

static u32 any_list(struct side *s, struct hca_sge *sge)
{
	u32 i, n = pick(8) ? 1 : pick(4);

	for (i = 0; i < n; i++) {
		sge[i] = sge_at(s, pick(BYTES - 8192), s == &b && pick(8) ? 4096 : any_length());
		if (!pick(100))
			sge[i].lkey ^= 1;
	}
	return n;
}

static void any_send(void)
{
	static const enum hca_wr_opcode ops[] = { HCA_WR_SEND,	     HCA_WR_SEND,      HCA_WR_SEND_WITH_IMM,
						  HCA_WR_RDMA_WRITE, HCA_WR_RDMA_READ, HCA_WR_RDMA_WRITE_WITH_IMM };
	struct hca_sge sge[3];
	u32 n = any_list(&a, sge);

	send_flags = pick(4) ? 0 : HCA_SEND_SOLICITED;
	if (!pick(6)) {
		send_flags |= HCA_SEND_INLINE;
		sge[0].addr = (uintptr_t)a.ram;
		n = HCA_MIN(n, 1u);
	}
	note((u64)post_list(pick(1000), ops[pick(HCA_ARRAY_SIZE(ops))], sge, n));
}

static void any_receive(void)
{
	struct hca_sge sge[3];

	recv_list(pick(1000), sge, any_list(&b, sge));
}

static void anew(void)
{
	assert_int_equal(to_state(a.qp, HCA_QPS_RESET), 0);
	assert_int_equal(to_state(b.qp, HCA_QPS_RESET), 0);
	connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
	connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
}

static void recover(void)
{
	if (a.qp->state == HCA_QPS_RTS && b.qp->state == HCA_QPS_RTS)
		return;
	let_time_pass();
	note_all();
	anew();
}

static void any_program(void)
{
	u32 i;

	for (i = 0; i < STEPS; i++) {
		switch (pick(14)) {
		case 0:
			note(hca_cq_ring_notify(&b.rcq.ring, 1 + pick(2)));
			break;
		case 1:
			note(hca_cq_ring_notify(&a.scq.ring, 1 + pick(2)));
			break;
		case 2:
			test_clock_advance(RNR);
			note_all();
			break;
		case 3:
			if (!pick(6))
				note((u64)to_state(pick(2) ? a.qp : b.qp, HCA_QPS_ERR));
			break;
		case 4:
			recover();
			break;
		case 5:
		case 6:
		case 7:
		case 8:
			any_receive();
			break;
		default:
			any_send();
			break;
		}
		if (a.scq.ring.tail - a.scq.ring.head > CQE / 2 || b.rcq.ring.tail - b.rcq.ring.head > CQE / 2)
			note_all();
	}
	let_time_pass();
}

static void random_programs(void **state)
{
	u32 at_once = 0, usual = 0;

	(void)state;
	FOR_SEEDS(seed, PROGRAMS)
	{
		u64 program = seed * 0x9e3779b97f4a7c15ull;
		enum hca_qp_type type = seed & 1 ? HCA_QPT_RC : HCA_QPT_UC;
		char what[40];

		(void)hca_snprintf(what, sizeof(what), "SOFTHCA_SEED=%llu", (unsigned long long)seed);
		x = program;
		go(type, any_program, true);
		at_once += carried;
		assert_int_equal(close_both(NULL), 0);
		x = program;
		go(type, any_program, false);
		usual += carried;
		assert_int_equal(close_both(NULL), 0);
		same_notes(what);
	}
	print_message("# of %u pieces %u\n", usual, at_once);
	assert_true(at_once < usual * 2 / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_programs),
	};

	return cmocka_run_group_tests_name("direct_random", tests, NULL, NULL);
}
