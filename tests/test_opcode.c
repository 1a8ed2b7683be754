/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of opcodes: every row agrees with itself, and with what the packets' table
 * says of its packets (IBTA vol. 1, 9.2.1, table of OpCodes, and 10.8.2 for the services).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "hca/opcode.h"
#include "transport/packet/headers.h"
#include "no_leaks.h"

#define TYPE(x) (1u << HCA_QPT_##x)
#define CONNECTED (TYPE(RC) | TYPE(UC) | TYPE(XRC_INI))
#define DATAGRAMS (TYPE(UD) | TYPE(GSI) | TYPE(SMI))
#define KNOWN_FLAGS \
	(HCA_OP_LOCAL | HCA_OP_READS | HCA_OP_ATOMIC | HCA_OP_ONE_SIDED | HCA_OP_TAKES_RECV | HCA_OP_IMM | \
	 HCA_OP_INV | HCA_OP_AT_ONCE)

/* Each opcode there is, by number: these are Linux's. */
static const struct {
	u32 op;
	u32 number;
	const char *name;
} known[] = {
	{ HCA_WR_RDMA_WRITE, 0, "RDMA_WRITE" },
	{ HCA_WR_RDMA_WRITE_WITH_IMM, 1, "RDMA_WRITE_WITH_IMM" },
	{ HCA_WR_SEND, 2, "SEND" },
	{ HCA_WR_SEND_WITH_IMM, 3, "SEND_WITH_IMM" },
	{ HCA_WR_RDMA_READ, 4, "RDMA_READ" },
	{ HCA_WR_ATOMIC_CMP_AND_SWP, 5, "ATOMIC_CMP_AND_SWP" },
	{ HCA_WR_ATOMIC_FETCH_AND_ADD, 6, "ATOMIC_FETCH_AND_ADD" },
	{ HCA_WR_LOCAL_INV, 7, "LOCAL_INV" },
	{ HCA_WR_BIND_MW, 8, "BIND_MW" },
	{ HCA_WR_SEND_WITH_INV, 9, "SEND_WITH_INV" },
	{ HCA_WR_REG_MR, 32, "REG_MR" },
};

static void numbers_and_holes(void **state)
{
	u32 op, i, found = 0;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(known); i++) {
		assert_int_equal(known[i].op, known[i].number);
		assert_non_null(hca_opcode(known[i].op));
		assert_string_equal(hca_opcode(known[i].op)->name, known[i].name);
	}
	for (op = 0; op < 1000; op++)
		found += hca_opcode(op) != NULL;
	assert_int_equal(found, HCA_ARRAY_SIZE(known));
	assert_null(hca_opcode(~0u));
	assert_null(hca_opcode(1u << 31));
	assert_null(hca_opcode(HCA_WR_OPCODES));
	for (op = 0; op < HCA_WR_OPCODES; op++) /* a hole is nothing but zeros */
		if (!hca_opcodes[op].name)
			assert_memory_equal(&hca_opcodes[op], &(const struct hca_opcode){ 0 },
					    sizeof(struct hca_opcode));
}

/* What its other fields say when a flag is set, and when it isn't. */
static void check_flags(const struct hca_opcode *o)
{
	bool takes = o->flags & HCA_OP_TAKES_RECV, one_sided = o->flags & HCA_OP_ONE_SIDED;
	bool reads = o->flags & HCA_OP_READS, local = o->flags & HCA_OP_LOCAL;

	assert_int_equal(o->flags & ~KNOWN_FLAGS, 0);
	assert_int_equal(local + one_sided + takes, 1); /* who is concerned: nobody else, his memory, his consumer */
	if (o->flags & HCA_OP_ATOMIC)
		assert_true(reads);
	if (reads)
		assert_true(one_sided);
	if (o->flags & (HCA_OP_IMM | HCA_OP_INV)) /* only a receive completion can say it */
		assert_true(takes);
	assert_int_not_equal(o->flags & (HCA_OP_IMM | HCA_OP_INV), HCA_OP_IMM | HCA_OP_INV); /* one field holds both */
	/* Bytes move from one end to the other, and nothing but a receive completion comes of it. */
	if (o->flags & HCA_OP_AT_ONCE) {
		assert_false(local || o->flags & (HCA_OP_ATOMIC | HCA_OP_INV));
		assert_true(o->qp_types & CONNECTED);
		assert_int_equal(!o->remote, takes);
	}
}

static void check_types(const struct hca_opcode *o)
{
	bool sends = o->flags & HCA_OP_TAKES_RECV && !o->remote;

	assert_true(o->qp_types & TYPE(RC)); /* which does all there is */
	assert_int_equal(o->qp_types & ~(CONNECTED | DATAGRAMS), 0);
	if (o->qp_types & DATAGRAMS) { /* all datagrams alike */
		assert_int_equal(o->qp_types & DATAGRAMS, DATAGRAMS);
		assert_true(sends);
	}
	/* An unreliable service has no answers, and invalidates no key. */
	assert_int_equal(!(o->qp_types & TYPE(UC)), !!(o->flags & (HCA_OP_READS | HCA_OP_INV)));
	/* An extended connection does what a reliable one does, but for the packet that its service has none of (IBTA annex A14). */
	assert_int_equal(!(o->qp_types & TYPE(XRC_INI)), !!(o->flags & HCA_OP_INV));
}

static void check_rights(const struct hca_opcode *o)
{
	bool sends = o->flags & HCA_OP_TAKES_RECV && !o->remote;

	/* Its entries are written to by an answer, and else read: no right is needed for that. */
	assert_int_equal(o->local, o->flags & HCA_OP_READS ? HCA_ACCESS_LOCAL_WRITE : 0);
	assert_int_equal(o->remote & ~(u32)HCA_ACCESS_REMOTE, 0);
	assert_int_equal(o->remote & (o->remote - 1), 0);
	if (o->flags & HCA_OP_LOCAL || sends)
		assert_int_equal(o->remote, 0);
	else if (o->flags & HCA_OP_ATOMIC)
		assert_int_equal(o->remote, HCA_ACCESS_REMOTE_ATOMIC);
	else
		assert_int_equal(o->remote, o->flags & HCA_OP_READS ? HCA_ACCESS_REMOTE_READ : HCA_ACCESS_REMOTE_WRITE);
}

static void check_completions(const struct hca_opcode *o, u32 op)
{
	static const struct {
		u32 op;
		enum hca_wc_opcode wc;
	} single[] = {
		{ HCA_WR_RDMA_READ, HCA_WC_RDMA_READ },
		{ HCA_WR_ATOMIC_CMP_AND_SWP, HCA_WC_COMP_SWAP },
		{ HCA_WR_ATOMIC_FETCH_AND_ADD, HCA_WC_FETCH_ADD },
		{ HCA_WR_LOCAL_INV, HCA_WC_LOCAL_INV },
		{ HCA_WR_BIND_MW, HCA_WC_BIND_MW },
		{ HCA_WR_REG_MR, HCA_WC_REG_MR },
	};
	enum hca_wc_opcode wc = o->remote ? HCA_WC_RDMA_WRITE : HCA_WC_SEND;
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(single); i++)
		if (single[i].op == op)
			wc = single[i].wc;
	assert_int_equal(o->wc, wc);
	if (!(o->flags & HCA_OP_TAKES_RECV))
		assert_int_equal(o->recv_wc, 0);
	else
		assert_int_equal(o->recv_wc, o->remote ? HCA_WC_RECV_RDMA_WITH_IMM : HCA_WC_RECV);
}

/* The headers that a request's packet needs for what its flags say. */
static u32 headers_of(const struct hca_opcode *o, bool begins, bool ends)
{
	u32 what = 0;

	if (begins && o->flags & HCA_OP_ATOMIC)
		what |= HCA_PKT_HAS_ATOMIC;
	else if (begins && o->remote)
		what |= HCA_PKT_HAS_RETH;
	if (ends && o->flags & HCA_OP_IMM)
		what |= HCA_PKT_HAS_IMM;
	if (ends && o->flags & HCA_OP_INV)
		what |= HCA_PKT_HAS_IETH;
	return what;
}

static void check_packet(const struct hca_opcode *o, u8 service, u8 op, bool begins, bool ends)
{
	bool carries = !(o->flags & HCA_OP_READS);
	u32 want = headers_of(o, begins, ends);

	want |= begins ? HCA_PKT_BEGINS : 0;
	want |= ends ? HCA_PKT_ENDS : 0;
	if (carries)
		want |= HCA_PKT_DATA | (o->remote ? HCA_PKT_IS_WRITE : HCA_PKT_IS_SEND);
	if (service == HCA_PKT_UD)
		want |= HCA_PKT_HAS_DETH;
	assert_int_equal(hca_packet_what(service | op), want);
}

static void check_packets(const struct hca_opcode *o)
{
	if (o->flags & HCA_OP_LOCAL) {
		assert_int_equal(o->first | o->middle | o->last | o->only, 0);
		return;
	}
	check_packet(o, HCA_PKT_RC, o->only, true, true);
	if (o->flags & HCA_OP_READS) { /* the request is one packet, however long its answer */
		assert_int_equal(o->first | o->middle | o->last, 0);
		return;
	}
	check_packet(o, HCA_PKT_RC, o->first, true, false);
	check_packet(o, HCA_PKT_RC, o->middle, false, false);
	check_packet(o, HCA_PKT_RC, o->last, false, true);
	if (o->qp_types & TYPE(UC)) {
		check_packet(o, HCA_PKT_UC, o->first, true, false);
		check_packet(o, HCA_PKT_UC, o->middle, false, false);
		check_packet(o, HCA_PKT_UC, o->last, false, true);
		check_packet(o, HCA_PKT_UC, o->only, true, true);
	}
	if (o->qp_types & TYPE(UD))
		check_packet(o, HCA_PKT_UD, o->only, true, true);
}

static void rows_agree(void **state)
{
	u32 op;

	(void)state;
	for (op = 0; op < HCA_WR_OPCODES; op++) {
		const struct hca_opcode *o = hca_opcode(op);

		if (!o)
			continue;
		check_flags(o);
		check_types(o);
		check_rights(o);
		check_completions(o, op);
		check_packets(o);
	}
}

/* No two opcodes look the same to the peer. */
static void last_packets_tell_opcodes_apart(void **state)
{
	u32 i, k;

	(void)state;
	for (i = 0; i < HCA_WR_OPCODES; i++) {
		for (k = 0; k < i; k++) {
			const struct hca_opcode *a = hca_opcode(i), *b = hca_opcode(k);

			if (!a || !b)
				continue;
			assert_string_not_equal(a->name, b->name);
			if ((a->flags | b->flags) & HCA_OP_LOCAL)
				continue;
			assert_int_not_equal(a->only, b->only);
			if (!((a->flags | b->flags) & HCA_OP_READS))
				assert_int_not_equal(a->last, b->last);
		}
	}
}

/* Every packet that isn't an answer is some request's. */
static void no_packet_is_left_over(void **state)
{
	u32 op, i;

	(void)state;
	for (op = 0; op < HCA_PKT_OPS; op++) {
		u32 what = hca_packet_what((u8)(HCA_PKT_RC | op));
		bool used = false;

		if (!what || what & HCA_PKT_IS_RESPONSE)
			continue;
		for (i = 0; i < HCA_WR_OPCODES && !used; i++) {
			const struct hca_opcode *o = hca_opcode(i);

			if (!o || o->flags & HCA_OP_LOCAL)
				continue;
			used = o->only == op;
			if (!(o->flags & HCA_OP_READS))
				used |= o->first == op || o->middle == op || o->last == op;
		}
		if (!used)
			fail_msg("packet opcode %#x", op);
	}
}

static void datagram_types(void **state)
{
	u32 type;

	(void)state;
	for (type = 0; type <= HCA_QPT_XRC_TGT; type++)
		assert_int_equal(hca_qp_is_datagram((enum hca_qp_type)type), type < 32 && DATAGRAMS >> type & 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(numbers_and_holes),	   T(rows_agree),     T(last_packets_tell_opcodes_apart),
		T(no_packet_is_left_over), T(datagram_types),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
