/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Devices and objects for the tests of the ib_core face; see ib_fixture.h. */
#include "ib_fixture.h"

#include <linux/delay.h>
#include <linux/slab.h>
#include <rdma/ib_cache.h>

#define CQE 256
#define POLLS 20000 /* of some 100 us at least */

struct ibt ibt;

static int add_one(struct ib_device *dev)
{
	if (ibt.dev || strncmp(dev_name(&dev->dev), "softhca", 7))
		return -EOPNOTSUPP;
	ibt.dev = dev;
	return 0;
}

static void remove_one(struct ib_device *dev, void *data)
{
	ibt.dev = NULL;
}

static struct ib_client client = {
	.name = "softhca_ib_test",
	.add = add_one,
	.remove = remove_one,
};

static int open_objects(void)
{
	int err;

	ibt.mem = kzalloc(IBT_BYTES, GFP_KERNEL);
	if (!ibt.mem)
		return -ENOMEM;
	ibt.dma = ib_dma_map_single(ibt.dev, ibt.mem, IBT_BYTES, DMA_BIDIRECTIONAL);
	err = ib_dma_mapping_error(ibt.dev, ibt.dma);
	if (err)
		goto free_mem;
	ibt.pd = ib_alloc_pd(ibt.dev, 0);
	err = PTR_ERR_OR_ZERO(ibt.pd);
	if (err)
		goto unmap;
	ibt.cq = ib_alloc_cq(ibt.dev, NULL, CQE, 0, IB_POLL_DIRECT);
	err = PTR_ERR_OR_ZERO(ibt.cq);
	if (err)
		goto dealloc_pd;
	ibt.all = ibt.pd->device->ops.get_dma_mr(ibt.pd, IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_READ |
								 IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_ATOMIC);
	err = PTR_ERR_OR_ZERO(ibt.all);
	if (!err)
		return 0;
	ib_free_cq(ibt.cq);
dealloc_pd:
	ib_dealloc_pd(ibt.pd);
unmap:
	ib_dma_unmap_single(ibt.dev, ibt.dma, IBT_BYTES, DMA_BIDIRECTIONAL);
free_mem:
	kfree(ibt.mem);
	return err;
}

int ibt_open(void)
{
	int err = ib_register_client(&client);

	if (err)
		return err;
	err = ibt.dev ? open_objects() : -ENODEV;
	if (err)
		ib_unregister_client(&client);
	return err;
}

void ibt_close(void)
{
	WARN_ON(ibt.dev->ops.dereg_mr(ibt.all, NULL));
	ib_free_cq(ibt.cq);
	ib_dealloc_pd(ibt.pd);
	ib_dma_unmap_single(ibt.dev, ibt.dma, IBT_BYTES, DMA_BIDIRECTIONAL);
	kfree(ibt.mem);
	ib_unregister_client(&client);
}

void ibt_path(struct rdma_ah_attr *path)
{
	const struct ib_gid_attr *own = rdma_get_gid_attr(ibt.dev, 1, 0);

	memset(path, 0, sizeof(*path));
	path->type = RDMA_AH_ATTR_TYPE_ROCE;
	rdma_ah_set_port_num(path, 1);
	rdma_ah_set_ah_flags(path, IB_AH_GRH);
	if (IS_ERR(own))
		return;
	rdma_ah_set_grh(path, (union ib_gid *)&own->gid, 0, 0, 64, 0);
	rdma_put_gid_attr(own);
}

static int to_init(struct ib_qp *qp)
{
	struct ib_qp_attr a = { .qp_state = IB_QPS_INIT,
				.port_num = 1,
				.qkey = IBT_QKEY,
				.qp_access_flags = IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_WRITE |
						   IB_ACCESS_REMOTE_ATOMIC };
	int which = qp->qp_type == IB_QPT_UD ? IB_QP_QKEY : IB_QP_ACCESS_FLAGS;

	return ib_modify_qp(qp, &a, IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | which);
}

static int to_ready(struct ib_qp *qp, u32 peer)
{
	struct ib_qp_attr a = { .qp_state = IB_QPS_RTR,
				.path_mtu = IB_MTU_1024,
				.dest_qp_num = peer,
				.max_dest_rd_atomic = 4,
				.max_rd_atomic = 4,
				.min_rnr_timer = 1,
				.timeout = 10,
				.retry_cnt = 2,
				.rnr_retry = 2 };
	bool ud = qp->qp_type == IB_QPT_UD;
	int err;

	ibt_path(&a.ah_attr);
	err = ib_modify_qp(qp, &a,
			   IB_QP_STATE | (ud ? 0 :
					       IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN |
							  IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER));
	if (err)
		return err;
	a.qp_state = IB_QPS_RTS;
	return ib_modify_qp(qp, &a,
			    IB_QP_STATE | IB_QP_SQ_PSN |
				    (ud ? 0 :
					  IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY | IB_QP_MAX_QP_RD_ATOMIC));
}

struct ib_qp *ibt_qp(struct ktest *t, enum ib_qp_type type, struct ib_srq *srq)
{
	struct ib_qp_init_attr init = {
		.send_cq = ibt.cq,
		.recv_cq = ibt.cq,
		.srq = srq,
		.cap = { .max_send_wr = 16, .max_recv_wr = srq ? 0 : 16, .max_send_sge = 2, .max_recv_sge = 2 },
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = type,
	};
	struct ib_qp *qp = ib_create_qp(ibt.pd, &init);
	int err;

	EXPECT_EQ(t, PTR_ERR_OR_ZERO(qp), 0);
	if (IS_ERR(qp))
		return NULL;
	err = to_init(qp);
	if (!err && type == IB_QPT_UD)
		err = to_ready(qp, 0);
	EXPECT_EQ(t, err, 0);
	return qp;
}

bool ibt_connect(struct ktest *t, struct ib_qp *qp, u32 peer)
{
	int err = to_ready(qp, peer);

	EXPECT_EQ(t, err, 0);
	return !err;
}

bool ibt_poll(struct ktest *t, struct ib_wc *wc)
{
	int i;

	for (i = 0; i < POLLS; i++) {
		if (ib_poll_cq(ibt.cq, 1, wc) == 1)
			return true;
		usleep_range(100, 1000);
	}
	EXPECT(t, !"a completion came");
	return false;
}
