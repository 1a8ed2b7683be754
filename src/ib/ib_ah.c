/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Address handles and multicast groups of the kernel-style verbs. A handle is a path,
 * checked once and copied into each datagram's request.
 */
#include "hca/mcast.h"
#include "ib_core.h"

static int check_ah(const struct ib_device *dev, const struct rdma_ah_attr *attr)
{
	struct hca_qp_attr a = { .path_mtu = HCA_MTU_256 };
	struct hca_qp_refusal why;
	char text[128];

	if (attr->port_num > 0xff || attr->dlid > 0xffff)
		return hca_refuse(-EINVAL, "%s: no address handle: port_num %u, dlid 0x%x: too large", dev->name,
				  attr->port_num, attr->dlid);
	ib_ah_to_hca(attr, &a.ah);
	/* A datagram may go to a group; a connection may not, and that is who the engine's check is for. */
	if (attr->dlid >= 0xc000 && attr->dlid < 0xffff)
		a.ah.dlid = 1;
	if (attr->ah_flags & IB_AH_GRH && attr->grh.dgid.raw[0] == 0xff)
		a.ah.grh.dgid.raw[0] = 0xfe;
	if (a.ah.is_global && !hca_gid_at(&dev->core->hca.gids, a.ah.grh.sgid_index))
		return hca_refuse(-EINVAL, "%s: no address handle: sgid_index %u isn't set in the GID table", dev->name,
				  a.ah.grh.sgid_index);
	if (hca_qp_check_attr(&a, HCA_QP_AV, &dev->core->hca.limits, &why))
		return hca_refuse(-EINVAL, "%s: no address handle: %s", dev->name,
				  hca_qp_refusal_str(&why, text, sizeof(text)));
	return 0;
}

struct ib_ah *rdma_create_ah(struct ib_pd *pd, const struct rdma_ah_attr *attr, u32 flags)
{
	struct ib_device *device = pd->device;
	struct ib_ah_priv *p;
	int err = check_ah(device, attr);

	(void)flags;
	if (err)
		return ERR_PTR(err);
	err = ib_core_take(device, IB_OBJ_AH);
	if (err)
		return ERR_PTR(err);
	p = hca_alloc(sizeof(*p), 0);
	if (!p) {
		ib_core_give(device, IB_OBJ_AH);
		return ERR_PTR(-ENOMEM);
	}
	p->ib.device = device;
	p->ib.pd = pd;
	p->attr = *attr;
	ib_ah_to_hca(attr, &p->path);
	hca_fetch_add(&ib_pd_of(pd)->pd.users, 1);
	return &p->ib;
}

int rdma_modify_ah(struct ib_ah *ah, const struct rdma_ah_attr *attr)
{
	int err = check_ah(ah->device, attr);

	if (!err) {
		ib_ah_of(ah)->attr = *attr;
		ib_ah_to_hca(attr, &ib_ah_of(ah)->path);
	}
	return err;
}

int rdma_query_ah(struct ib_ah *ah, struct rdma_ah_attr *attr)
{
	*attr = ib_ah_of(ah)->attr;
	return 0;
}

int rdma_destroy_ah(struct ib_ah *ah, u32 flags)
{
	struct ib_device *device = ah->device;

	(void)flags;
	hca_fetch_add(&ib_pd_of(ah->pd)->pd.users, (u32)-1);
	hca_free(ib_ah_of(ah));
	ib_core_give(device, IB_OBJ_AH);
	return 0;
}

int ib_attach_mcast(struct ib_qp *qp, const union ib_gid *gid, u16 lid)
{
	struct hca_gid group;

	hca_memcpy(&group, gid, sizeof(group));
	return hca_mcast_attach(ib_qp_of(qp)->qp, &group, lid);
}

int ib_detach_mcast(struct ib_qp *qp, const union ib_gid *gid, u16 lid)
{
	struct hca_gid group;

	hca_memcpy(&group, gid, sizeof(group));
	return hca_mcast_detach(ib_qp_of(qp)->qp, &group, lid);
}
