/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What ib_core may ask of an adapter and its port. The port is one of RoCE v2: a path
 * leads to a GID, and there is no subnet manager. Its state and MTU are the network
 * device's. What the engine can't do is not said here.
 */
#include "ib.h"

#include <rdma/ib_addr.h>
#include <rdma/ib_mad.h>

#define MAX_OBJECTS (1 << 20)
#define MAX_FAST_REG_PAGES 65536u
#define VERSION (1ull << 32)

static int query_device(struct ib_device *dev, struct ib_device_attr *a, struct ib_udata *udata)
{
	const struct hca *hca = softhca_ib_hca(dev);

	if (udata->inlen || udata->outlen)
		return -EINVAL;
	*a = (struct ib_device_attr){
		.fw_ver = VERSION,
		.sys_image_guid = dev->node_guid,
		.max_mr_size = ~0ull,
		.page_size_cap = (2ull << HCA_MR_MAX_SHIFT) - (1ull << HCA_MR_MIN_SHIFT),
		.device_cap_flags = IB_DEVICE_CURR_QP_STATE_MOD | IB_DEVICE_SYS_IMAGE_GUID | IB_DEVICE_RC_RNR_NAK_GEN |
				    IB_DEVICE_SRQ_RESIZE | IB_DEVICE_MEM_MGT_EXTENSIONS,
		.kernel_cap_flags = IBK_SG_GAPS_REG | IBK_BLOCK_MULTICAST_LOOPBACK | IBK_ALLOW_USER_UNREG,
		.max_qp = (int)hca->attr.max_qp,
		.max_qp_wr = (int)hca->attr.max_wr,
		.max_send_sge = (int)hca->attr.max_sge,
		.max_recv_sge = (int)hca->attr.max_sge,
		.max_sge_rd = (int)hca->attr.max_sge,
		.max_cq = MAX_OBJECTS,
		.max_cqe = (int)hca->attr.max_cqe,
		.max_mr = (int)hca->attr.max_keys,
		.max_pd = MAX_OBJECTS,
		.max_ah = MAX_OBJECTS,
		.max_srq = MAX_OBJECTS,
		.max_srq_wr = (int)hca->attr.max_srq_wr,
		.max_srq_sge = (int)hca->attr.max_sge,
		.max_qp_rd_atom = (int)hca->limits.max_dest_rd_atomic,
		.max_qp_init_rd_atom = (int)hca->limits.max_rd_atomic,
		.max_res_rd_atom = (int)(hca->limits.max_dest_rd_atomic * hca->attr.max_qp),
		.atomic_cap = IB_ATOMIC_HCA,
		.max_mcast_grp = (int)hca->attr.max_mcast,
		.max_mcast_qp_attach = (int)hca->attr.max_mcast,
		.max_total_mcast_qp_attach = (int)hca->attr.max_mcast,
		.max_fast_reg_page_list_len = MAX_FAST_REG_PAGES,
		.max_pkeys = (u16)hca->limits.pkeys,
		.cq_caps = { .max_cq_moderation_count = HCA_CQ_MAX_MODERATION,
			     .max_cq_moderation_period = HCA_CQ_MAX_MODERATION },
	};
	return 0;
}

static int modify_device(struct ib_device *dev, int mask, struct ib_device_modify *to)
{
	if (mask & ~IB_DEVICE_MODIFY_NODE_DESC)
		return -EOPNOTSUPP;
	if (mask & IB_DEVICE_MODIFY_NODE_DESC)
		memcpy(dev->node_desc, to->node_desc, sizeof(dev->node_desc));
	return 0;
}

static void get_fw_str(struct ib_device *dev, char *str)
{
	snprintf(str, IB_FW_VERSION_NAME_MAX, "0.1.0");
}

/* --- the port --- */

enum ib_mtu softhca_ib_mtu(const struct net_device *ndev)
{
	enum ib_mtu mtu = iboe_get_mtu((int)READ_ONCE(ndev->mtu));

	return mtu ? mtu : IB_MTU_256;
}

enum ib_port_state softhca_ib_port_state(const struct net_device *ndev)
{
	return netif_running(ndev) && netif_carrier_ok(ndev) ? IB_PORT_ACTIVE : IB_PORT_DOWN;
}

static int query_port(struct ib_device *dev, u32 port, struct ib_port_attr *a)
{
	const struct softhca_ib *s = softhca_ib_of(dev);

	a->state = softhca_ib_port_state(s->ndev);
	a->phys_state = a->state == IB_PORT_ACTIVE ? IB_PORT_PHYS_STATE_LINK_UP : IB_PORT_PHYS_STATE_DISABLED;
	a->max_mtu = IB_MTU_4096;
	a->active_mtu = softhca_ib_mtu(s->ndev);
	/* The engine's first address is the wire's own, and stays. */
	a->gid_tbl_len = (int)s->soft->hca.limits.gids - 1;
	a->ip_gids = true;
	a->port_cap_flags = IB_PORT_CM_SUP;
	a->max_msg_sz = HCA_MAX_MSG;
	a->pkey_tbl_len = (u16)s->soft->hca.limits.pkeys;
	a->max_vl_num = 1;
	a->active_width = IB_WIDTH_4X;
	a->active_speed = IB_SPEED_EDR;
	return 0;
}

static int get_port_immutable(struct ib_device *dev, u32 port, struct ib_port_immutable *im)
{
	const struct hca *hca = softhca_ib_hca(dev);

	im->core_cap_flags = RDMA_CORE_PORT_IBA_ROCE_UDP_ENCAP;
	im->gid_tbl_len = (int)hca->limits.gids - 1;
	im->pkey_tbl_len = (int)hca->limits.pkeys;
	im->max_mad_size = IB_MGMT_MAD_SIZE;
	return 0;
}

static int query_pkey(struct ib_device *dev, u32 port, u16 index, u16 *pkey)
{
	if (index >= softhca_ib_hca(dev)->limits.pkeys)
		return -EINVAL;
	*pkey = HCA_DEFAULT_PKEY;
	return 0;
}

static enum rdma_link_layer get_link_layer(struct ib_device *dev, u32 port)
{
	return IB_LINK_LAYER_ETHERNET;
}

static struct net_device *get_netdev(struct ib_device *dev, u32 port)
{
	struct net_device *ndev = softhca_ib_of(dev)->ndev;

	if (ndev->reg_state != NETREG_REGISTERED)
		return NULL;
	dev_hold(ndev);
	return ndev;
}

const struct ib_device_ops softhca_ib_device_ops = {
	.get_dev_fw_str = get_fw_str,
	.get_link_layer = get_link_layer,
	.get_netdev = get_netdev,
	.get_port_immutable = get_port_immutable,
	.modify_device = modify_device,
	.query_device = query_device,
	.query_pkey = query_pkey,
	.query_port = query_port,
};
