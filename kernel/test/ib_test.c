/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca_ib_test.ko: the ib_core face as a ULP sees it. What NVMe and SRP use is shown
 * by these; here is what they don't use, and what the values are.
 */
#include "ib_pair.h"

#include <linux/delay.h>
#include <linux/module.h>
#include <rdma/ib_cache.h>

/* --- the device --- */

static void says_what_it_is(struct ktest *t)
{
	struct ib_device *dev = ibt.dev;
	struct ib_port_attr port;
	u16 pkey = 0;

	EXPECT(t, dev->kverbs_provider);
	EXPECT(t, !ib_uses_virt_dma(dev));
	EXPECT(t, rdma_protocol_roce_udp_encap(dev, 1));
	EXPECT(t, rdma_cap_ib_cm(dev, 1) && rdma_cap_ib_mad(dev, 1));
	EXPECT(t, dev->attrs.device_cap_flags & IB_DEVICE_MEM_MGT_EXTENSIONS);
	EXPECT(t, dev->attrs.max_send_sge >= 5 && dev->attrs.max_cqe >= 4096);
	EXPECT_EQ(t, ib_query_port(dev, 1, &port), 0);
	EXPECT_EQ(t, port.state, IB_PORT_ACTIVE);
	EXPECT(t, port.active_mtu >= IB_MTU_256 && port.active_mtu <= port.max_mtu);
	EXPECT_EQ(t, ib_query_pkey(dev, 1, 0, &pkey), 0);
	EXPECT_EQ(t, pkey, 0xffff);
	EXPECT_EQ(t, PTR_ERR_OR_ZERO(dev->ops.reg_user_mr(ibt.pd, 0, 4096, 0, 0, NULL)), -EOPNOTSUPP);
	EXPECT_EQ(t, ibt.dma, (u64)(uintptr_t)ibt.mem); /* our own dma_map_ops */
}

static void refuses_other_queue_pairs(struct ktest *t)
{
	struct ib_qp_init_attr init = { .send_cq = ibt.cq,
					.recv_cq = ibt.cq,
					.cap = { .max_send_wr = 1, .max_recv_wr = 1 },
					.qp_type = IB_QPT_RAW_PACKET };

	EXPECT_EQ(t, PTR_ERR_OR_ZERO(ib_create_qp(ibt.pd, &init)), -EOPNOTSUPP);
	init.qp_type = IB_QPT_RC;
	init.create_flags = IB_QP_CREATE_INTEGRITY_EN;
	EXPECT(t, IS_ERR(ib_create_qp(ibt.pd, &init)));
	init.create_flags = 0;
	init.cap.max_send_wr = 1 << 30;
	EXPECT_EQ(t, PTR_ERR_OR_ZERO(ib_create_qp(ibt.pd, &init)), -EINVAL);
}

/* --- connected --- */

static void writes_reads_and_sends(struct ktest *t)
{
	struct ib_qp_init_attr init;
	struct ib_qp_attr attr;
	struct ib_wc wc;

	if (!open_pair(t, IB_QPT_RC))
		goto close;
	EXPECT_EQ(t, ib_query_qp(one, &attr, IB_QP_STATE | IB_QP_AV, &init), 0);
	EXPECT_EQ(t, attr.qp_state, IB_QPS_RTS);
	EXPECT_EQ(t, attr.dest_qp_num, other->qp_num);
	EXPECT_EQ(t, rdma_ah_get_ah_flags(&attr.ah_attr), IB_AH_GRH);
	EXPECT_EQ(t, init.qp_type, IB_QPT_RC);
	fill(1);
	post_rdma(t, IB_WR_RDMA_WRITE, 1, 0, IBT_HALF, 5000, ibt.all->rkey);
	expect_wc(t, 1, IB_WC_SUCCESS, IB_WC_RDMA_WRITE, &wc);
	EXPECT_EQ(t, memcmp(ibt.mem, ibt.mem + IBT_HALF, 5000), 0);
	EXPECT_EQ(t, ibt.mem[IBT_HALF + 5000], 0);
	fill(2);
	post_rdma(t, IB_WR_RDMA_READ, 2, IBT_HALF, 100, 3000, ibt.all->rkey);
	expect_wc(t, 2, IB_WC_SUCCESS, IB_WC_RDMA_READ, &wc);
	EXPECT_EQ(t, memcmp(ibt.mem + 100, ibt.mem + IBT_HALF, 3000), 0);
	post_recv(t, other, 3, IBT_HALF + 4096, 200);
	post_rdma(t, IB_WR_SEND, 4, 50, 0, 150, 0);
	expect_wc(t, 3, IB_WC_SUCCESS, IB_WC_RECV, &wc);
	EXPECT_EQ(t, wc.byte_len, 150);
	EXPECT(t, wc.qp == other);
	expect_wc(t, 4, IB_WC_SUCCESS, IB_WC_SEND, &wc);
	EXPECT(t, wc.qp == one);
	EXPECT_EQ(t, memcmp(ibt.mem + 50, ibt.mem + IBT_HALF + 4096, 150), 0);
	/* A key that isn't one. */
	post_rdma(t, IB_WR_RDMA_WRITE, 5, 0, IBT_HALF, 8, ibt.all->rkey ^ 1);
	expect_wc(t, 5, IB_WC_REM_ACCESS_ERR, IB_WC_RDMA_WRITE, &wc);
close:
	close_pair(t);
}

static void adds_atomically(struct ktest *t)
{
	struct ib_sge sge = ibt_sge(0, 8);
	struct ib_atomic_wr wr = {
		.wr = { .wr_id = 1,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IB_WR_ATOMIC_FETCH_AND_ADD,
			.send_flags = IB_SEND_SIGNALED },
		.remote_addr = ibt.dma + IBT_HALF,
		.compare_add = 5,
		.rkey = ibt.all->rkey,
	};
	struct ib_wc wc;

	if (open_pair(t, IB_QPT_RC)) {
		*(u64 *)(ibt.mem + IBT_HALF) = 37;
		EXPECT_EQ(t, ib_post_send(one, &wr.wr, NULL), 0);
		expect_wc(t, 1, IB_WC_SUCCESS, IB_WC_FETCH_ADD, &wc);
		EXPECT_EQ(t, *(u64 *)ibt.mem, 37);
		EXPECT_EQ(t, *(u64 *)(ibt.mem + IBT_HALF), 42);
	}
	close_pair(t);
}

/* As ib_mad posts: what is moved comes later, by a worker, in order. */
static void posts_with_interrupts_off(struct ktest *t)
{
	unsigned long flags;
	struct ib_wc wc;
	u64 i;

	if (open_pair(t, IB_QPT_RC)) {
		fill(3);
		local_irq_save(flags);
		for (i = 1; i <= 8; i++)
			post_rdma(t, IB_WR_RDMA_WRITE, i, 0, IBT_HALF, 4096, ibt.all->rkey);
		EXPECT_EQ(t, ibt.mem[IBT_HALF + 9], 0);
		local_irq_restore(flags);
		for (i = 1; i <= 8; i++)
			expect_wc(t, i, IB_WC_SUCCESS, IB_WC_RDMA_WRITE, &wc);
		EXPECT_EQ(t, memcmp(ibt.mem, ibt.mem + IBT_HALF, 4096), 0);
	}
	close_pair(t);
}

static void post_local_inv(struct ktest *t, u32 key, u64 id)
{
	struct ib_send_wr wr = {
		.wr_id = id, .opcode = IB_WR_LOCAL_INV, .send_flags = IB_SEND_SIGNALED, .ex.invalidate_rkey = key
	};

	EXPECT_EQ(t, ib_post_send(one, &wr, NULL), 0);
}

/* A list of pieces that begin and end anywhere, or of pages; its key is of use until it is made void, and then isn't. */
static void registers(struct ktest *t, enum ib_mr_type type)
{
	struct ib_mr *mr = ib_alloc_mr(ibt.pd, type, 4);
	struct ib_reg_wr reg = { .wr = { .wr_id = 1, .opcode = IB_WR_REG_MR, .send_flags = IB_SEND_SIGNALED },
				 .mr = mr,
				 .access = IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE };
	u32 skip = type == IB_MR_TYPE_SG_GAPS ? 100 : 0;
	struct scatterlist sg[2];
	struct ib_wc wc;

	EXPECT_EQ(t, PTR_ERR_OR_ZERO(mr), 0);
	if (IS_ERR(mr))
		return;
	if (!open_pair(t, IB_QPT_RC))
		goto close;
	fill(4);
	sg_init_table(sg, 2);
	sg_set_buf(&sg[0], ibt.mem + IBT_HALF + 512, 4096 - 512 - skip);
	sg_set_buf(&sg[1], ibt.mem + IBT_HALF + 4096, 1000);
	EXPECT_EQ(t, ib_dma_map_sg(ibt.dev, sg, 2, DMA_FROM_DEVICE), 2);
	EXPECT_EQ(t, ib_map_mr_sg(mr, sg, 2, NULL, 4096), 2);
	EXPECT_EQ(t, mr->length, 4096 - 512 - skip + 1000);
	ib_update_fast_reg_key(mr, (u8)(mr->rkey + 1));
	reg.key = mr->rkey;
	EXPECT_EQ(t, ib_post_send(one, &reg.wr, NULL), 0);
	expect_wc(t, 1, IB_WC_SUCCESS, IB_WC_REG_MR, &wc);
	post_rdma(t, IB_WR_RDMA_WRITE, 2, 0, (u32)(mr->iova - ibt.dma), (u32)mr->length, mr->rkey);
	expect_wc(t, 2, IB_WC_SUCCESS, IB_WC_RDMA_WRITE, &wc);
	EXPECT_EQ(t, memcmp(ibt.mem + IBT_HALF + 512, ibt.mem, sg[0].length), 0);
	EXPECT_EQ(t, memcmp(ibt.mem + IBT_HALF + 4096, ibt.mem + sg[0].length, 1000), 0);
	EXPECT_EQ(t, ibt.mem[IBT_HALF + 5096], 0);
	post_local_inv(t, mr->rkey, 3);
	expect_wc(t, 3, IB_WC_SUCCESS, IB_WC_LOCAL_INV, &wc);
	post_local_inv(t, mr->rkey, 4);
	expect_wc(t, 4, IB_WC_SUCCESS, IB_WC_LOCAL_INV, &wc);
	post_rdma(t, IB_WR_RDMA_WRITE, 5, 0, (u32)(mr->iova - ibt.dma), 8, mr->rkey);
	expect_wc(t, 5, IB_WC_REM_ACCESS_ERR, IB_WC_RDMA_WRITE, &wc);
	ib_dma_unmap_sg(ibt.dev, sg, 2, DMA_FROM_DEVICE);
close:
	close_pair(t);
	EXPECT_EQ(t, ib_dereg_mr(mr), 0);
}

static void registers_pages(struct ktest *t)
{
	registers(t, IB_MR_TYPE_MEM_REG);
}

static void registers_pieces(struct ktest *t)
{
	registers(t, IB_MR_TYPE_SG_GAPS);
}

/* --- shared receive queues --- */

static atomic_t limits;

static void on_srq(struct ib_event *e, void *context)
{
	if (e->event == IB_EVENT_SRQ_LIMIT_REACHED)
		atomic_inc(&limits);
}

static void shares_receives(struct ktest *t)
{
	struct ib_srq_init_attr init = { .event_handler = on_srq, .attr = { .max_wr = 8, .max_sge = 1 } };
	struct ib_srq *srq = ib_create_srq(ibt.pd, &init);
	struct ib_srq_attr limit = { .srq_limit = 2 };
	struct ib_sge sge = ibt_sge(IBT_HALF, 64);
	struct ib_recv_wr wr = { .sg_list = &sge, .num_sge = 1 };
	struct ib_wc wc;

	EXPECT_EQ(t, PTR_ERR_OR_ZERO(srq), 0);
	if (IS_ERR(srq))
		return;
	atomic_set(&limits, 0);
	one = ibt_qp(t, IB_QPT_RC, NULL);
	other = ibt_qp(t, IB_QPT_RC, srq);
	if (!one || !other || !ibt_connect(t, one, other->qp_num) || !ibt_connect(t, other, one->qp_num))
		goto close;
	for (wr.wr_id = 1; wr.wr_id <= 2; wr.wr_id++)
		EXPECT_EQ(t, ib_post_srq_recv(srq, &wr, NULL), 0);
	EXPECT_EQ(t, ib_modify_srq(srq, &limit, IB_SRQ_LIMIT), 0);
	fill(5);
	post_rdma(t, IB_WR_SEND, 9, 0, 0, 64, 0);
	expect_wc(t, 1, IB_WC_SUCCESS, IB_WC_RECV, &wc);
	expect_wc(t, 9, IB_WC_SUCCESS, IB_WC_SEND, &wc);
	EXPECT_EQ(t, memcmp(ibt.mem, ibt.mem + IBT_HALF, 64), 0);
	EXPECT_EQ(t, ib_query_srq(srq, &limit), 0);
	EXPECT_EQ(t, limit.srq_limit, 0);
close:
	close_pair(t);
	/* Its end waits for its handler. */
	ib_destroy_srq(srq);
	EXPECT_EQ(t, atomic_read(&limits), 1);
}

/* --- datagrams --- */

static void send_datagram(struct ktest *t, struct ib_ah *ah, u32 qpn, u64 id)
{
	struct ib_sge sge = ibt_sge(0, 100);
	struct ib_ud_wr wr = {
		.wr = { .wr_id = id,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IB_WR_SEND,
			.send_flags = IB_SEND_SIGNALED },
		.ah = ah,
		.remote_qpn = qpn,
		.remote_qkey = IBT_QKEY,
	};

	EXPECT_EQ(t, ib_post_send(one, &wr.wr, NULL), 0);
}

static void arrives(struct ktest *t)
{
	struct ib_wc wc;

	expect_wc(t, 1, IB_WC_SUCCESS, IB_WC_RECV, &wc);
	EXPECT_EQ(t, wc.byte_len, 100 + IBT_GRH);
	EXPECT(t, wc.wc_flags & IB_WC_GRH);
	EXPECT_EQ(t, wc.src_qp, one->qp_num);
	EXPECT_EQ(t, memcmp(ibt.mem, ibt.mem + IBT_HALF + IBT_GRH, 100), 0);
	expect_wc(t, 2, IB_WC_SUCCESS, IB_WC_SEND, &wc);
}

static void sends_datagrams(struct ktest *t)
{
	struct rdma_ah_attr path;
	struct ib_ah *ah;

	if (!open_pair(t, IB_QPT_UD))
		goto close;
	fill(6);
	ibt_path(&path);
	ah = rdma_create_ah(ibt.pd, &path, RDMA_CREATE_AH_SLEEPABLE);
	EXPECT_EQ(t, PTR_ERR_OR_ZERO(ah), 0);
	if (IS_ERR(ah))
		goto close;
	post_recv(t, other, 1, IBT_HALF, 100 + IBT_GRH);
	send_datagram(t, ah, other->qp_num, 2);
	arrives(t);
	/* What ib_mad asks of such a header: RoCE v2, from an address of IPv6, as the first GID is. */
	EXPECT_EQ(t, ib_get_rdma_header_version((union rdma_network_hdr *)(ibt.mem + IBT_HALF)), 6);
	EXPECT_EQ(t, ((struct ib_grh *)(ibt.mem + IBT_HALF))->next_hdr, IPPROTO_UDP);
	rdma_destroy_ah(ah, RDMA_DESTROY_AH_SLEEPABLE);
close:
	close_pair(t);
}

static void groups_get_copies(struct ktest *t)
{
	static union ib_gid group = { .raw = { 0xff, 0x12, [15] = 7 } };
	struct rdma_ah_attr path;
	struct ib_ah *ah;

	if (!open_pair(t, IB_QPT_UD))
		goto close;
	fill(7);
	ibt_path(&path);
	rdma_ah_set_grh(&path, &group, 0, 0, 1, 0);
	ah = rdma_create_ah(ibt.pd, &path, RDMA_CREATE_AH_SLEEPABLE);
	EXPECT_EQ(t, PTR_ERR_OR_ZERO(ah), 0);
	if (IS_ERR(ah))
		goto close;
	EXPECT_EQ(t, ib_attach_mcast(other, &group, 0), 0);
	post_recv(t, other, 1, IBT_HALF, 100 + IBT_GRH);
	send_datagram(t, ah, IB_MULTICAST_QPN, 2);
	arrives(t);
	EXPECT_EQ(t, ib_detach_mcast(other, &group, 0), 0);
	rdma_destroy_ah(ah, RDMA_DESTROY_AH_SLEEPABLE);
close:
	close_pair(t);
}

/* A path to where there is nobody ends as one that nothing answered, in its time. */
static void nobody_answers(struct ktest *t)
{
	struct ib_wc wc;

	if (open_pair(t, IB_QPT_RC)) {
		EXPECT_EQ(t, ib_destroy_qp(other), 0);
		other = NULL;
		post_rdma(t, IB_WR_RDMA_WRITE, 1, 0, IBT_HALF, 8, ibt.all->rkey);
		expect_wc(t, 1, IB_WC_RETRY_EXC_ERR, IB_WC_RDMA_WRITE, &wc);
	}
	close_pair(t);
}

/* --- moderation --- */

static atomic_t calls;
static ktime_t called; /* when the last one was */

static void on_completion(struct ib_cq *cq, void *context)
{
	called = ktime_get();
	atomic_inc(&calls);
}

static void expect_call(struct ktest *t, int n)
{
	int i;

	for (i = 0; i < 20000 && atomic_read_acquire(&calls) < n; i++)
		usleep_range(100, 1000);
	EXPECT_EQ(t, atomic_read(&calls), n);
}

static void write_some(struct ktest *t, u64 n)
{
	u64 i;

	for (i = 1; i <= n; i++)
		post_rdma(t, IB_WR_RDMA_WRITE, i, 0, IBT_HALF, 64, ibt.all->rkey);
}

static void take_some(struct ktest *t, u64 n)
{
	struct ib_wc wc;
	u64 i;

	for (i = 1; i <= n; i++)
		expect_wc(t, i, IB_WC_SUCCESS, IB_WC_RDMA_WRITE, &wc);
}

/* One completion waits as long as was said; several are reported by one call; without moderation none waits. */
static void moderates_cq(struct ktest *t)
{
	u64 begun = ktime_get_ns();

	EXPECT_EQ(t, rdma_set_cq_moderation(ibt.cq, 3, 20000), 0);
	EXPECT_EQ(t, ib_req_notify_cq(ibt.cq, IB_CQ_NEXT_COMP), 0);
	write_some(t, 1);
	expect_call(t, 1);
	EXPECT(t, ktime_to_ns(called) - begun >= 20000000);
	take_some(t, 1);
	EXPECT_EQ(t, ib_req_notify_cq(ibt.cq, IB_CQ_NEXT_COMP), 0);
	write_some(t, 3);
	expect_call(t, 2);
	take_some(t, 3);
	EXPECT_EQ(t, rdma_set_cq_moderation(ibt.cq, 0, 0), 0);
	EXPECT_EQ(t, ib_req_notify_cq(ibt.cq, IB_CQ_NEXT_COMP), 0);
	write_some(t, 1);
	expect_call(t, 3);
	take_some(t, 1);
	/* It ends while a completion waits. */
	EXPECT_EQ(t, rdma_set_cq_moderation(ibt.cq, 3, 65535), 0);
	EXPECT_EQ(t, ib_req_notify_cq(ibt.cq, IB_CQ_NEXT_COMP), 0);
	write_some(t, 1);
}

static void moderates(struct ktest *t)
{
	const struct ib_cq_init_attr attr = { .cqe = 64 };
	struct ib_cq *own, *usual = ibt.cq;

	EXPECT_EQ(t, ibt.dev->attrs.cq_caps.max_cq_moderation_count, 65535);
	EXPECT_EQ(t, ibt.dev->attrs.cq_caps.max_cq_moderation_period, 65535);
	own = ib_create_cq(ibt.dev, on_completion, NULL, NULL, &attr);
	EXPECT_EQ(t, PTR_ERR_OR_ZERO(own), 0);
	if (IS_ERR(own))
		return;
	atomic_set(&calls, 0);
	ibt.cq = own;
	if (open_pair(t, IB_QPT_RC))
		moderates_cq(t);
	close_pair(t);
	ibt.cq = usual;
	ib_destroy_cq(own);
}

/* --- all --- */

static const struct ktest_case cases[] = { { "says_what_it_is", says_what_it_is },
					   { "refuses_other_queue_pairs", refuses_other_queue_pairs },
					   { "writes_reads_and_sends", writes_reads_and_sends },
					   { "adds_atomically", adds_atomically },
					   { "posts_with_interrupts_off", posts_with_interrupts_off },
					   { "registers_pages", registers_pages },
					   { "registers_pieces", registers_pieces },
					   { "shares_receives", shares_receives },
					   { "sends_datagrams", sends_datagrams },
					   { "groups_get_copies", groups_get_copies },
					   { "nobody_answers", nobody_answers },
					   { "moderates", moderates },
					   {} };

static const struct ktest_suite suite = { .name = "verbs", .cases = cases, .init = ibt_open, .exit = ibt_close };
static const struct ktest_suite *const all[] = { &suite, &ibt_shown, NULL };

static bool faulty;
module_param(faulty, bool, 0444);
MODULE_PARM_DESC(faulty, "be a ULP that makes mistakes, for a ledger to report, and nothing else");

static bool show;
module_param(show, bool, 0444);
MODULE_PARM_DESC(show, "have objects for rdma -dd resource show, and do nothing else");

static int __init softhca_ib_test_init(void)
{
	if (faulty)
		return ibt_faulty();
	if (show)
		return ibt_show();
	ktest_run(all, NULL);
	return 0;
}

static void __exit softhca_ib_test_exit(void)
{
	if (show)
		ibt_show_end();
}

module_init(softhca_ib_test_init);
module_exit(softhca_ib_test_exit);

MODULE_DESCRIPTION("Tests of the software InfiniBand adapter for ib_core");
MODULE_LICENSE("Dual BSD/GPL");
