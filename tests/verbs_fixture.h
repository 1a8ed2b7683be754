/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two verbs devices of any kind on machines of any kind, a connected queue pair on
 * each, and mapped memory: what the tests of the kernel-style verbs begin with.
 */
#ifndef VERBS_FIXTURE_H
#define VERBS_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verbs_connect.h"
#include "softhca/ib_verbs.h"

#define VK_BYTES 65536u
#define VK_CQE 64
#define VK_WR 16u
#define VK_RIGHTS (IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC)

/* One end: @buf is low memory mapped at @addr. */
struct end {
	struct machine *machine;
	struct device *bus;
	struct ib_device *dev;
	bool soft;
	struct ib_pd *pd;
	struct ib_cq *cq;
	struct ib_qp *qp;
	struct ib_mr *mr;
	struct page *page;
	u8 *buf;
	dma_addr_t addr;
	u32 events[32];
};

static inline void vk_event(struct ib_event *event, void *context)
{
	struct end *e = context;

	assert_ptr_equal(event->device, e->dev);
	e->events[event->event]++;
}

static inline int vk_device_with(struct end *e, bool soft, enum machine_platform platform,
				 const struct ib_dma_config *config)
{
	const struct machine_attr ma = { .name = "vk", .platform = platform, .low_bytes = 4 << 20 };
	const struct device_attr da = { .name = "vk" };
	int err;

	memset(e, 0, sizeof(*e));
	err = machine_create(&ma, &e->machine);
	if (err)
		return err;
	err = device_create(e->machine, &da, &e->bus);
	if (err)
		goto destroy_machine;
	e->soft = soft;
	if (soft)
		err = ipath_create(e->bus, "soft", IPATH_HIGHMEM_TAGGED, config, &e->dev);
	else
		err = dmahca_create(e->bus, "dma", config, &e->dev);
	if (err)
		goto destroy_bus;
	return 0;
destroy_bus:
	device_destroy(e->bus);
destroy_machine:
	machine_destroy(e->machine);
	return err;
}

static inline int vk_device(struct end *e, bool soft, enum machine_platform platform)
{
	const struct ib_dma_config config = { .ledger = true };

	return vk_device_with(e, soft, platform, &config);
}

static inline u64 vk_device_gone(struct end *e)
{
	u64 leaks = e->soft ? ipath_destroy(e->dev) : dmahca_destroy(e->dev);

	device_destroy(e->bus);
	assert_int_equal(machine_destroy(e->machine), 0);
	return leaks;
}

static inline void vk_objects(struct end *e, enum ib_qp_type type, struct ib_srq *srq)
{
	const struct ib_cq_init_attr ca = { .cqe = VK_CQE };
	struct ib_qp_init_attr qa = {
		.event_handler = vk_event,
		.qp_context = e,
		.srq = srq,
		.cap = { .max_send_wr = VK_WR,
			 .max_recv_wr = VK_WR,
			 .max_send_sge = 4,
			 .max_recv_sge = 4,
			 .max_inline_data = 64 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = type,
	};

	e->pd = ib_alloc_pd(e->dev, 0);
	assert_false(IS_ERR(e->pd));
	e->cq = ib_create_cq(e->dev, NULL, vk_event, e, &ca);
	assert_false(IS_ERR(e->cq));
	qa.send_cq = qa.recv_cq = e->cq;
	e->qp = ib_create_qp(e->pd, &qa);
	assert_false(IS_ERR(e->qp));
	e->mr = ib_get_dma_mr(e->pd, VK_RIGHTS);
	assert_false(IS_ERR(e->mr));
	e->page = machine_alloc_pages(e->machine, GFP_KERNEL, 4);
	assert_non_null(e->page);
	e->buf = page_address(e->page);
	e->addr = ib_dma_map_single(e->dev, e->buf, VK_BYTES, DMA_BIDIRECTIONAL);
	assert_int_equal(ib_dma_mapping_error(e->dev, e->addr), 0);
}

static inline void vk_objects_gone(struct end *e)
{
	ib_dma_unmap_single(e->dev, e->addr, VK_BYTES, DMA_BIDIRECTIONAL);
	__free_pages(e->page, 4);
	assert_int_equal(ib_dereg_mr(e->mr), 0);
	if (e->qp)
		assert_int_equal(ib_destroy_qp(e->qp), 0);
	assert_int_equal(ib_destroy_cq(e->cq), 0);
	assert_int_equal(ib_dealloc_pd(e->pd), 0);
}

static inline u32 vk_lid(const struct end *e)
{
	struct ib_port_attr pa;

	assert_int_equal(ib_query_port(e->dev, 1, &pa), 0);
	return pa.lid;
}

static inline void vk_modify(struct ib_qp *qp, struct ib_qp_attr *at, enum ib_qp_state to, int mask)
{
	at->qp_state = to;
	assert_int_equal(ib_modify_qp(qp, at, mask | IB_QP_STATE), 0);
}

static inline void vk_connect(struct ib_qp *qp, u32 lid, u32 qpn)
{
	assert_int_equal(verbs_connect(qp, lid, qpn, 3, 2), 0);
}

static inline void vk_open(struct end *a, struct end *b, enum ib_qp_type type, bool a_soft, bool b_soft,
			   enum machine_platform platform)
{
	assert_int_equal(vk_device(a, a_soft, platform), 0);
	assert_int_equal(vk_device(b, b_soft, platform), 0);
	vk_objects(a, type, NULL);
	vk_objects(b, type, NULL);
	vk_connect(a->qp, vk_lid(b), b->qp->qp_num);
	vk_connect(b->qp, vk_lid(a), a->qp->qp_num);
}

static inline void vk_close(struct end *a, struct end *b)
{
	vk_objects_gone(a);
	vk_objects_gone(b);
	assert_int_equal(vk_device_gone(a), 0);
	assert_int_equal(vk_device_gone(b), 0);
}

/* --- posting and polling --- */

static inline struct ib_sge vk_sge(const struct end *e, u32 off, u32 len)
{
	return (struct ib_sge){ .addr = hca_dma_u64(e->addr) + off, .length = len, .lkey = e->pd->local_dma_lkey };
}

static inline int vk_recv(struct end *e, u64 id, u32 off, u32 len)
{
	struct ib_sge sge = vk_sge(e, off, len);
	const struct ib_recv_wr wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1 };

	return ib_post_recv(e->qp, &wr, NULL);
}

static inline int vk_send(struct end *e, u64 id, enum ib_wr_opcode op, u32 off, u32 len)
{
	struct ib_sge sge = vk_sge(e, off, len);
	const struct ib_send_wr wr = {
		.wr_id = id, .sg_list = &sge, .num_sge = 1, .opcode = op, .ex = { .imm_data = 0x12345678 }
	};

	return ib_post_send(e->qp, &wr, NULL);
}

static inline int vk_rdma(struct end *e, u64 id, enum ib_wr_opcode op, u32 off, u32 len, u64 raddr, u32 rkey)
{
	struct ib_sge sge = vk_sge(e, off, len);
	const struct ib_rdma_wr wr = {
		.wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1, .opcode = op, .ex = { .imm_data = 0x12345678 } },
		.remote_addr = raddr,
		.rkey = rkey,
	};

	return ib_post_send(e->qp, &wr.wr, NULL);
}

static inline struct ib_wc vk_poll(struct end *e, u64 id, enum ib_wc_status status)
{
	struct ib_wc wc;

	memset(&wc, 0, sizeof(wc));
	assert_int_equal(ib_poll_cq(e->cq, 1, &wc), 1);
	assert_int_equal(wc.wr_id, id);
	assert_int_equal(wc.status, status);
	assert_ptr_equal(wc.qp, e->qp);
	return wc;
}

static inline void vk_none(struct end *e)
{
	struct ib_wc wc;

	assert_int_equal(ib_poll_cq(e->cq, 1, &wc), 0);
}

#endif
