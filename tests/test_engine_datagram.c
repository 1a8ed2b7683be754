/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams on the engine: global route headers, multicast groups over several adapters,
 * who gets a copy and who doesn't, and what the completions say.
 */
#include "engine_fixture.h"
#include "hca/mcast.h"

#define QKEY 0x11u
#define GRH 40u
#define MLID 0xc001u

static const struct hca_gid group = { { 0xff, 0x12, 0x40, 0x1b, [15] = 1 } };
static const struct hca_gid other_group = { { 0xff, 0x12, 0x40, 0x1b, [15] = 2 } };

static struct side c; /* a third adapter */
static struct hca_qp *a2, *b2; /* second queue pairs of two of them */

static void ready(struct side *s, struct hca_qp **qp)
{
	assert_int_equal(make_qp(s, HCA_QPT_UD, NULL, qp), 0);
	connect_qp(s, *qp, s, 0, 0, 0);
}

static int open_three(void **state)
{
	(void)state;
	connect_type(HCA_QPT_UD);
	assert_int_equal(side_open(&c), 0);
	ready(&c, &c.qp);
	ready(&a, &a2);
	ready(&b, &b2);
	return 0;
}

static int close_three(void **state)
{
	hca_qp_destroy(a2);
	if (b2)
		hca_qp_destroy(b2);
	side_close(&c);
	assert_null(a.hca.members);
	return close_both(state);
}

static int receive_at(struct side *s, struct hca_qp *qp, u64 id, u64 off)
{
	struct hca_sge sge = sge_at(s, off, GRH + 64);
	struct hca_recv_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1 };

	return hca_post_recv(qp, &wr);
}

static struct hca_send_wr to_group(const struct hca_gid *gid, u32 mlid)
{
	struct hca_send_wr wr = { .wr_id = 9, .opcode = HCA_WR_SEND, .num_sge = 1 };

	wr.ud.dlid = mlid;
	wr.ud.qpn = HCA_MCAST_QPN;
	wr.ud.qkey = QKEY;
	wr.ud.is_global = gid != NULL;
	if (gid)
		wr.ud.grh.dgid = *gid;
	return wr;
}

static void send_from(struct side *s, struct hca_qp *qp, struct hca_send_wr wr)
{
	struct hca_sge sge = sge_at(s, 0, 64);

	wr.sge = &sge;
	assert_int_equal(hca_post_send(qp, &wr), 0);
	poll_one(&s->scq, wr.wr_id, HCA_WC_SUCCESS, NULL);
}

static u32 copies(struct side *s)
{
	struct hca_wc wc;
	u32 n;

	for (n = 0; hca_cq_ring_poll(&s->rcq.ring, &wc, 1) == 1; n++)
		assert_int_equal(wc.status, HCA_WC_SUCCESS);
	return n;
}

/* A datagram is complete when it has left, also where nobody has that LID; what is behind it goes (IBTA vol. 1, 9.8). */
static void to_nobody(void **state)
{
	struct hca_send_wr wr = { .opcode = HCA_WR_SEND, .num_sge = 1 };
	struct hca_sge sge = sge_at(&a, 0, 8);

	(void)state;
	wr.sge = &sge;
	wr.ud.dlid = 7;
	wr.ud.qpn = b.qp->qpn;
	wr.ud.qkey = QKEY;
	wr.wr_id = 1;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	wr.ud.dlid = b.hca.lid;
	wr.wr_id = 2;
	assert_int_equal(receive_at(&b, b.qp, 3, 256), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 3, HCA_WC_SUCCESS, NULL);
}

/* --- headers --- */

static void global_route_header(void **state)
{
	struct hca_send_wr wr = { .wr_id = 9, .opcode = HCA_WR_SEND_WITH_IMM, .num_sge = 1, .imm = 77 };
	struct hca_sge sge = sge_at(&a, 0, 61);
	const u8 *grh = b.ram + 256;
	struct hca_wc wc;

	(void)state;
	assert_memory_not_equal(gid_of(&a), gid_of(&b), sizeof((*gid_of(&a))));
	assert_int_equal((*gid_of(&a)).raw[0] << 8 | (*gid_of(&a)).raw[1], 0xfe80);
	fill(a.ram, 64, 3);
	wr.sge = &sge;
	wr.ud.dlid = b.hca.lid;
	wr.ud.qpn = b.qp->qpn;
	wr.ud.qkey = QKEY;
	wr.ud.sl = 5;
	wr.ud.is_global = true;
	wr.ud.grh = (struct hca_grh_attr){
		.dgid = (*gid_of(&b)), .flow_label = 0x9abcd, .hop_limit = 63, .traffic_class = 0xe7
	};
	assert_int_equal(receive_at(&b, b.qp, 1, 256), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 9, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.wc_flags, HCA_WC_GRH | HCA_WC_WITH_IMM);
	assert_int_equal(wc.byte_len, GRH + 61);
	assert_int_equal(wc.slid, a.hca.lid);
	assert_int_equal(wc.src_qp, a.qp->qpn);
	assert_int_equal(wc.sl, 5);
	assert_int_equal(wc.dlid_path_bits, 0);
	assert_int_equal(wc.pkey_index, 0);
	/* Version, class and label; length of BTH, DETH, immediate data, padded payload and ICRC; next header; hops. */
	assert_memory_equal(grh, "\x6e\x79\xab\xcd\x00\x5c\x1b\x3f", 8);
	assert_int_equal(12 + 8 + 4 + 64 + 4, 0x5c);
	assert_memory_equal(grh + 8, gid_of(&a), 16);
	assert_memory_equal(grh + 24, gid_of(&b), 16);
	assert_memory_equal(b.ram + 256 + GRH, a.ram, 61);
	/* Without one: zeros, and the completion says so. */
	memset(b.ram + 256, 0x55, GRH);
	wr.ud.is_global = false;
	wr.opcode = HCA_WR_SEND;
	assert_int_equal(receive_at(&b, b.qp, 2, 256), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 9, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 2, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.wc_flags, 0);
	assert_int_equal(grh[0] | grh[7] | grh[39], 0);
	/* For another port's GID: not for us. */
	wr.ud.is_global = true;
	wr.ud.grh.dgid = (*gid_of(&a));
	assert_int_equal(receive_at(&b, b.qp, 3, 256), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 9, HCA_WC_SUCCESS, NULL);
	nothing_more();
}

#ifndef ENGINE_FIXTURE_PACKETS /* a wire of packets has headers of its own */
/* On RoCE v2 UDP's header stands where InfiniBand's own begin, and counts (IBTA vol. 1, annex A17.4.5). */
static void a_header_of_roce_names_udp(void **state)
{
	struct hca_sge sge = sge_at(&a, 0, 64);
	struct hca_send_wr wr = { .wr_id = 9, .opcode = HCA_WR_SEND, .num_sge = 1 };
	const u8 *grh = b.ram + 256;

	(void)state;
	wr.sge = &sge;
	wr.ud.dlid = b.hca.lid;
	wr.ud.qpn = b.qp->qpn;
	wr.ud.qkey = QKEY;
	wr.ud.is_global = true;
	wr.ud.grh = (struct hca_grh_attr){ .dgid = (*gid_of(&b)), .hop_limit = 63 };
	b.hca.attr.roce = true;
	assert_int_equal(receive_at(&b, b.qp, 1, 256), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 9, HCA_WC_SUCCESS, NULL);
	poll_one(&b.rcq, 1, HCA_WC_SUCCESS, NULL);
	assert_memory_equal(grh, "\x60\0\0\0\x00\x60\x11\x3f", 8);
	assert_int_equal(8 + 12 + 8 + 64 + 4, 0x60);
	assert_memory_equal(grh + 8, gid_of(&a), 16);
	assert_memory_equal(grh + 24, gid_of(&b), 16);
}
#endif

static void bad_paths_are_refused(void **state)
{
	struct hca_send_wr wr = to_group(&group, MLID);

	(void)state;
	wr.num_sge = 0;
	wr.ud.sl = 16;
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
	wr.ud.sl = 15;
	wr.ud.grh.sgid_index = 1;
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
	wr.ud.grh.sgid_index = 0;
	wr.ud.grh.flow_label = 1 << 20;
	assert_int_equal(hca_post_send(a.qp, &wr), -EINVAL);
	wr.ud.is_global = false; /* then its header doesn't count */
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 9, HCA_WC_SUCCESS, NULL);
}

/* --- groups --- */

static void every_member_gets_a_copy(void **state)
{
	struct hca_wc wc;

	(void)state;
	assert_int_equal(hca_mcast_attach(b.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(b2, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(c.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(a2, &group, MLID), 0); /* beside the sender */
	assert_int_equal(receive_at(&b, b.qp, 1, 1000), 0);
	assert_int_equal(receive_at(&b, b2, 2, 2000), 0);
	assert_int_equal(receive_at(&c, c.qp, 3, 3000), 0);
	assert_int_equal(receive_at(&a, a2, 4, 4000), 0);
	assert_int_equal(receive_at(&a, a.qp, 5, 5000), 0);
	fill(a.ram, 64, 7);
	send_from(&a, a.qp, to_group(&group, MLID));
	poll_one(&c.rcq, 3, HCA_WC_SUCCESS, &wc);
	assert_int_equal(wc.wc_flags, HCA_WC_GRH);
	assert_int_equal(wc.slid, a.hca.lid);
	assert_memory_equal(c.ram + 3000 + 24, &group, 16);
	poll_one(&a.rcq, 4, HCA_WC_SUCCESS, NULL);
	assert_int_equal(copies(&b), 2);
	assert_memory_equal(b.ram + 1000 + GRH, a.ram, 64);
	assert_memory_equal(b.ram + 2000 + GRH, a.ram, 64);
	assert_memory_equal(c.ram + 3000 + GRH, a.ram, 64);
	assert_memory_equal(a.ram + 4000 + GRH, a.ram, 64);
	nothing_more(); /* the sender is no member */
	/* Inline data is copied as often. */
	{
		char text[] = "for all of you";
		struct hca_sge sge = { .addr = (u64)(uintptr_t)text, .length = sizeof(text) };
		struct hca_send_wr wr = to_group(&group, MLID);

		wr.sge = &sge;
		wr.flags = HCA_SEND_INLINE;
		assert_int_equal(receive_at(&b, b.qp, 1, 1000), 0);
		assert_int_equal(receive_at(&c, c.qp, 3, 3000), 0);
		assert_int_equal(hca_post_send(a.qp, &wr), 0);
		poll_one(&a.scq, 9, HCA_WC_SUCCESS, NULL);
		assert_string_equal((char *)b.ram + 1000 + GRH, text);
		assert_string_equal((char *)c.ram + 3000 + GRH, text);
		assert_int_equal(copies(&b) + copies(&c), 2);
	}
}

/* One that isn't ready, isn't allowed or isn't there keeps nobody else from getting his. */
static void others_go_without(void **state)
{
	struct hca_qp_attr at = { .qkey = 0x22 };

	(void)state;
	assert_int_equal(hca_mcast_attach(b.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(b2, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(c.qp, &group, MLID), 0);
	assert_int_equal(receive_at(&c, c.qp, 3, 0), 0);
	send_from(&a, a.qp, to_group(&group, MLID)); /* no receive request at b */
	assert_int_equal(copies(&c), 1);
	assert_int_equal(copies(&b), 0);
	assert_int_equal(receive_at(&b, b.qp, 1, 0), 0);
	assert_int_equal(receive_at(&b, b2, 2, 0), 0);
	assert_int_equal(copies(&b), 0); /* what was dropped doesn't come later */
	modify(b.qp, &at, HCA_QPS_RTS, HCA_QP_QKEY); /* another Q_Key */
	send_from(&a, a.qp, to_group(&group, MLID));
	assert_int_equal(copies(&b), 1);
	assert_int_equal(b.qp->rq.tail - b.qp->rq.head, 1);
	modify(b2, &at, HCA_QPS_ERR, 0);
	assert_int_equal(receive_at(&c, c.qp, 3, 0), 0);
	send_from(&a, a.qp, to_group(&group, MLID));
	assert_int_equal(copies(&c), 1);
	/* A number of one queue pair isn't how a group is addressed. */
	{
		struct hca_send_wr wr = to_group(&group, MLID);

		wr.ud.qpn = c.qp->qpn;
		assert_int_equal(receive_at(&c, c.qp, 3, 0), 0);
		send_from(&a, a.qp, wr);
		assert_int_equal(copies(&c), 0);
	}
}

static void spoilt_copies(void **state)
{
	struct hca_sge sge = sge_at(&b, 0, GRH + 63); /* a byte too short */
	struct hca_recv_wr wr = { .wr_id = 1, .sge = &sge, .num_sge = 1 };

	(void)state;
	assert_int_equal(hca_mcast_attach(b.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(c.qp, &group, MLID), 0);
	assert_int_equal(hca_post_recv(b.qp, &wr), 0);
	assert_int_equal(receive_at(&c, c.qp, 3, 0), 0);
	send_from(&a, a.qp, to_group(&group, MLID));
	poll_one(&b.rcq, 1, HCA_WC_LOC_LEN_ERR, NULL);
	assert_int_equal(copies(&c), 1);
}

static void groups_are_told_apart(void **state)
{
	(void)state;
	assert_int_equal(hca_mcast_attach(b.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(c.qp, &other_group, MLID), 0);
	assert_int_equal(hca_mcast_attach(b2, &group, MLID + 1), 0);
	assert_int_equal(receive_at(&b, b.qp, 1, 0), 0);
	assert_int_equal(receive_at(&b, b.qp, 1, 0), 0);
	assert_int_equal(receive_at(&b, b.qp, 1, 0), 0);
	assert_int_equal(receive_at(&b, b2, 2, 0), 0);
	assert_int_equal(receive_at(&b, b2, 2, 0), 0);
	assert_int_equal(receive_at(&c, c.qp, 3, 0), 0);
	assert_int_equal(receive_at(&c, c.qp, 3, 0), 0);
	send_from(&a, a.qp, to_group(&group, MLID));
	assert_int_equal(copies(&b), 1);
	assert_int_equal(copies(&c), 0);
	send_from(&a, a.qp, to_group(&other_group, MLID));
	assert_int_equal(copies(&b), 0);
	assert_int_equal(copies(&c), 1);
	send_from(&a, a.qp, to_group(NULL, MLID)); /* without a header: who has the LID */
	assert_int_equal(copies(&b), 1);
	assert_int_equal(copies(&c), 1);
	send_from(&a, a.qp, to_group(&group, b.hca.lid)); /* by the GID alone */
	assert_int_equal(copies(&b), 2);
	assert_int_equal(copies(&c), 0);
	send_from(&a, a.qp, to_group(gid_of(&b), MLID)); /* the two don't go together */
	send_from(&a, a.qp, to_group(&group, MLID + 2));
	assert_int_equal(b2->rq.tail - b2->rq.head, 1);
	assert_int_equal(copies(&b), 0);
}

static void attach_and_detach(void **state)
{
	const struct hca_gid unicast = { { 0xfe, 0x80 } };
	struct hca_qp *rc;
	u32 i;

	(void)state;
	assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &rc), 0);
	assert_int_equal(hca_mcast_attach(rc, &group, MLID), -EINVAL);
	hca_qp_destroy(rc);
	assert_int_equal(hca_mcast_attach(b.qp, &unicast, MLID), -EINVAL);
	assert_int_equal(hca_mcast_attach(b.qp, &group, 0xbfff), -EINVAL);
	assert_int_equal(hca_mcast_attach(b.qp, &group, 0xffff), -EINVAL);
	assert_int_equal(hca_mcast_attach(b.qp, &group, 0x1c001), -EINVAL);
	assert_int_equal(hca_mcast_attach(b.qp, &group, 0xc000), 0);
	assert_int_equal(hca_mcast_detach(b.qp, &group, 0xc000), 0);
	assert_int_equal(hca_mcast_attach(b.qp, &group, 0xfffe), 0);
	assert_int_equal(hca_mcast_detach(b.qp, &group, 0xfffe), 0);
	assert_int_equal(hca_mcast_detach(b.qp, &group, MLID), -EINVAL);
	/* Twice in it is once in it: one copy, and one detach is enough. And two of its groups with one LID: still one. */
	assert_int_equal(hca_mcast_attach(b.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(b.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(b.qp, &other_group, MLID), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(receive_at(&b, b.qp, i, 0), 0);
	send_from(&a, a.qp, to_group(&group, MLID));
	assert_int_equal(copies(&b), 1);
	send_from(&a, a.qp, to_group(NULL, MLID));
	assert_int_equal(copies(&b), 1);
	assert_int_equal(hca_mcast_detach(b.qp, &other_group, MLID + 1), -EINVAL);
	assert_int_equal(hca_mcast_detach(b2, &group, MLID), -EINVAL);
	assert_int_equal(hca_mcast_detach(b.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_detach(b.qp, &group, MLID), -EINVAL);
	send_from(&a, a.qp, to_group(&group, MLID));
	assert_int_equal(copies(&b), 0);
	send_from(&a, a.qp, to_group(&other_group, MLID));
	assert_int_equal(copies(&b), 1);
	/* A queue pair that ends leaves its groups. */
	assert_int_equal(hca_mcast_attach(b2, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(b2, &other_group, MLID), 0);
	hca_qp_destroy(b2);
	b2 = NULL;
	send_from(&a, a.qp, to_group(&group, MLID));
	assert_int_equal(hca_mcast_detach(b.qp, &other_group, MLID), 0);
	assert_null(b.hca.members);
}

/* Its own copy comes back to a sender that is in the group, unless it asked for none. */
static void own_copies(void **state)
{
	struct hca_qp_init init = {
		.type = HCA_QPT_UD,
		.pd = &a.pd,
		.send_cq = &a.scq,
		.recv_cq = &a.rcq,
		.max_send_wr = 1,
		.max_recv_wr = 2,
		.max_send_sge = 1,
		.max_recv_sge = 1,
		.sq_sig_all = true,
		.block_mcast_loopback = true,
	};
	struct hca_qp *quiet;

	(void)state;
	assert_int_equal(hca_mcast_attach(a.qp, &group, MLID), 0);
	assert_int_equal(receive_at(&a, a.qp, 1, 1000), 0);
	send_from(&a, a.qp, to_group(&group, MLID));
	poll_one(&a.rcq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(hca_mcast_detach(a.qp, &group, MLID), 0);
	assert_int_equal(hca_qp_create(&a.hca, &init, &quiet), 0);
	connect_qp(&a, quiet, &a, 0, 0, 0);
	assert_int_equal(hca_mcast_attach(quiet, &group, MLID), 0);
	assert_int_equal(receive_at(&a, quiet, 2, 1000), 0);
	send_from(&a, quiet, to_group(&group, MLID));
	assert_int_equal(copies(&a), 0);
	send_from(&a, a.qp, to_group(&group, MLID)); /* others' copies do */
	assert_int_equal(copies(&a), 1);
	hca_qp_destroy(quiet);
}

/* The sender's own memory fails: that is the sender's error, however many wait for it. */
static void senders_memory(void **state)
{
	struct hca_mr_attr beyond = {
		.kind = HCA_MR_LINEAR, .access = RW, .iova = BASE, .base = BASE + BYTES, .length = 4096
	};
	struct hca_send_wr wr = to_group(&group, MLID);
	struct hca_mr *r;
	struct hca_sge sge;

	(void)state;
	assert_int_equal(hca_mr_create(&a.pd, &beyond, &r), 0);
	sge = (struct hca_sge){ .addr = BASE, .length = 64, .lkey = r->key };
	wr.sge = &sge;
	assert_int_equal(hca_mcast_attach(b.qp, &group, MLID), 0);
	assert_int_equal(hca_mcast_attach(c.qp, &group, MLID), 0);
	assert_int_equal(receive_at(&b, b.qp, 1, 0), 0);
	assert_int_equal(receive_at(&c, c.qp, 3, 0), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	poll_one(&a.scq, 9, HCA_WC_LOC_PROT_ERR, NULL);
	assert_int_equal(a.qp->state, HCA_QPS_SQE);
	assert_int_equal(hca_mr_destroy(r), 0);
}

/* --- threads and failures --- */

static void send_four(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 4; i++) {
		struct hca_sge sge = sge_at(&a, 0, 64);
		struct hca_send_wr wr = to_group(&group, MLID);

		wr.sge = &sge;
		assert_int_equal(hca_post_send(a.qp, &wr), 0);
	}
}

static void come_and_go(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 3; i++) {
		assert_int_equal(hca_mcast_attach(b.qp, &group, MLID), 0);
		assert_int_equal(hca_mcast_attach(b.qp, &other_group, MLID), 0);
		assert_int_equal(hca_mcast_detach(b.qp, &group, MLID), 0);
		assert_int_equal(hca_mcast_detach(b.qp, &other_group, MLID), 0);
	}
}

static void end_one(void *arg)
{
	(void)arg;
	hca_qp_destroy(b2);
	b2 = NULL;
}

/* Members come, go and end while datagrams are under way; who stays gets all of them. */
static void members_change(void **state)
{
	void (*const fns[])(void *) = { send_four, come_and_go, end_one };
	void *const args[] = { NULL, NULL, NULL };
	u64 seed;
	u32 i;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		assert_int_equal(open_three(NULL), 0);
		b.mem.ops = &slow_mem_ops;
		assert_int_equal(hca_mcast_attach(b2, &group, MLID), 0);
		assert_int_equal(hca_mcast_attach(c.qp, &group, MLID), 0);
		for (i = 0; i < 4; i++) {
			assert_int_equal(receive_at(&b, b.qp, i, 0), 0);
			assert_int_equal(receive_at(&b, b2, i, 1000), 0);
			assert_int_equal(receive_at(&c, c.qp, i, 0), 0);
		}
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		assert_int_equal(copies(&c), 4);
		assert_null(b.hca.members);
		assert_int_equal(close_three(NULL), 0);
	}
}

static void every_call_may_fail(void **state)
{
	(void)state;
	test_os_reset(1);
	TEST_FAIL_LOOP(l)
	{
		if (wire_open())
			continue;
		if (side_open(&a)) {
			wire_close();
			continue;
		}
		if (make_qp(&a, HCA_QPT_UD, NULL, &a.qp))
			a.qp = NULL;
		else if (!hca_mcast_attach(a.qp, &group, MLID))
			assert_non_null(a.hca.members);
		else
			assert_null(a.hca.members);
		side_close(&a);
		wire_close();
	}
}

#define D(t) cmocka_unit_test_setup_teardown(t, open_three, close_three)

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef ENGINE_FIXTURE_PACKETS
		D(a_header_of_roce_names_udp),
#endif
		D(global_route_header),
		D(to_nobody),
		D(bad_paths_are_refused),
		D(every_member_gets_a_copy),
		D(others_go_without),
		D(spoilt_copies),
		D(groups_are_told_apart),
		D(attach_and_detach),
		D(own_copies),
		D(senders_memory),
		cmocka_unit_test(members_change),
		cmocka_unit_test(every_call_may_fail),
	};

	return cmocka_run_group_tests_name("engine datagrams", tests, NULL, NULL);
}
