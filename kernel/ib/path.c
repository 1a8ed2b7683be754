/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses and paths. ib_core keeps the table of a port's GIDs, from the addresses of
 * its network device; the engine has a copy. A path names its end by a GID, and here
 * the adapter of this kernel is found that has it: on the wire it has a LID.
 */
#include "ib.h"

#include "hca/mcast.h"

#include <linux/etherdevice.h>
#include <net/ipv6.h>
#include <rdma/ib_cache.h>

static DEFINE_SPINLOCK(softhca_ib_lock); /* the list, and in it each adapter's addresses */
static LIST_HEAD(softhca_ib_all);

void softhca_ib_enter(struct softhca_ib *s)
{
	unsigned long flags;

	spin_lock_irqsave(&softhca_ib_lock, flags);
	list_add_tail(&s->all, &softhca_ib_all);
	spin_unlock_irqrestore(&softhca_ib_lock, flags);
}

void softhca_ib_leave(struct softhca_ib *s)
{
	unsigned long flags;

	spin_lock_irqsave(&softhca_ib_lock, flags);
	list_del(&s->all);
	spin_unlock_irqrestore(&softhca_ib_lock, flags);
}

/* --- addresses --- */

/* NULL: there is none. */
static struct softhca_ib_gid *find(struct softhca_ib *s, const union ib_gid *gid)
{
	int i;

	for (i = 0; i < HCA_GIDS; i++)
		if (s->gid[i].users && !memcmp(&s->gid[i].gid, gid, sizeof(*gid)))
			return &s->gid[i];
	return NULL;
}

static struct softhca_ib_gid *find_free(struct softhca_ib *s)
{
	int i;

	for (i = 0; i < HCA_GIDS; i++)
		if (!s->gid[i].users)
			return &s->gid[i];
	return NULL;
}

static void set_users(struct softhca_ib_gid *g, u32 users)
{
	unsigned long flags;

	spin_lock_irqsave(&softhca_ib_lock, flags);
	g->users = users;
	spin_unlock_irqrestore(&softhca_ib_lock, flags);
}

/* ib_core may have an address twice, of two network devices that share one. */
static int add_gid(const struct ib_gid_attr *attr, void **context)
{
	struct softhca_ib *s = softhca_ib_of(attr->device);
	struct softhca_ib_gid *g;
	struct hca_gid gid;
	int err = 0;

	mutex_lock(&s->gid_lock);
	g = find(s, &attr->gid);
	if (!g) {
		g = find_free(s);
		if (!g) {
			err = -ENOSPC;
			goto unlock;
		}
		memcpy(&gid, &attr->gid, sizeof(gid));
		err = hca_gid_add(&s->soft->hca.gids, &gid, &g->index);
		if (err)
			goto unlock;
		g->gid = attr->gid;
	}
	set_users(g, g->users + 1);
	*context = g;
unlock:
	mutex_unlock(&s->gid_lock);
	return err;
}

static int del_gid(const struct ib_gid_attr *attr, void **context)
{
	struct softhca_ib *s = softhca_ib_of(attr->device);
	struct softhca_ib_gid *g = *context;
	struct hca_gid gid;

	mutex_lock(&s->gid_lock);
	memcpy(&gid, &g->gid, sizeof(gid));
	set_users(g, g->users - 1);
	if (!g->users)
		WARN_ON(hca_gid_remove(&s->soft->hca.gids, &s->soft->hca.quiesce, &gid));
	mutex_unlock(&s->gid_lock);
	return 0;
}

/* The engine's index of a path's own address; without one, the wire's. */
static u8 source_index(const struct rdma_ah_attr *a)
{
	const struct softhca_ib_gid *g;

	g = a->grh.sgid_attr ? rdma_read_gid_hw_context(a->grh.sgid_attr) : NULL;
	return g ? (u8)g->index : 0;
}

/* --- paths --- */

/* An address that means the same in every network namespace: neither the loop's nor a link's. */
static bool is_wide(const union ib_gid *gid)
{
	const struct in6_addr *a = (const struct in6_addr *)gid->raw;

	if (ipv6_addr_v4mapped(a))
		return !ipv4_is_loopback(a->s6_addr32[3]) && !ipv4_is_linklocal_169(a->s6_addr32[3]);
	return !ipv6_addr_loopback(a) && !(ipv6_addr_type(a) & IPV6_ADDR_LINKLOCAL);
}

/*
 * How well an adapter fits as the end of a path: 0: not at all. The source itself comes first: what has its address is itself. Then
 * the adapter with the link's address that the network's own resolution found, one of the same network, and any.
 */
static int fits(struct softhca_ib *from, struct softhca_ib *to, const struct rdma_ah_attr *a)
{
	const u8 *mac = a->roce.dmac;

	if (!find(to, &a->grh.dgid))
		return 0;
	if (to == from)
		return 4;
	if (softhca_ib_port_state(to->ndev) != IB_PORT_ACTIVE)
		return 0;
	if (!is_zero_ether_addr(mac) && ether_addr_equal(mac, to->ndev->dev_addr))
		return 3;
	if (net_eq(dev_net(from->ndev), dev_net(to->ndev)))
		return 2;
	return is_wide(&a->grh.dgid) ? 1 : 0;
}

static u16 lid_of(struct softhca_ib *from, const struct rdma_ah_attr *a)
{
	struct softhca_ib *s, *best = NULL;
	unsigned long flags;
	int fit, most = 0;

	spin_lock_irqsave(&softhca_ib_lock, flags);
	list_for_each_entry(s, &softhca_ib_all, all) {
		fit = fits(from, s, a);
		if (fit > most) {
			most = fit;
			best = s;
		}
	}
	spin_unlock_irqrestore(&softhca_ib_lock, flags);
	return best ? (u16)best->soft->hca.lid : 0;
}

void softhca_ib_path(struct softhca_ib *s, const struct rdma_ah_attr *from, struct hca_ah_attr *to)
{
	bool group;

	memset(to, 0, sizeof(*to));
	to->sl = rdma_ah_get_sl(from);
	to->static_rate = rdma_ah_get_static_rate(from);
	to->port_num = 1;
	to->is_global = 1;
	memcpy(&to->grh.dgid, &from->grh.dgid, sizeof(to->grh.dgid));
	to->grh.flow_label = from->grh.flow_label & 0xfffff;
	to->grh.hop_limit = from->grh.hop_limit;
	to->grh.traffic_class = from->grh.traffic_class;
	to->grh.sgid_index = source_index(from);
	group = hca_gid_is_group(&to->grh.dgid);
	to->dlid = group ? HCA_FIRST_MLID : lid_of(s, from);
}

/* --- address handles --- */

static int set_ah(struct ib_ah *ah, const struct rdma_ah_attr *attr)
{
	struct softhca_ib_ah *p = softhca_ib_ah_of(ah);

	if (!(rdma_ah_get_ah_flags(attr) & IB_AH_GRH) || rdma_ah_get_sl(attr) > 15)
		return -EINVAL;
	p->attr = *attr;
	p->attr.grh.sgid_attr = NULL; /* ib_core's, which holds it in the handle */
	softhca_ib_path(softhca_ib_of(ah->device), attr, &p->path);
	return 0;
}

static int create_ah(struct ib_ah *ah, struct rdma_ah_init_attr *init, struct ib_udata *udata)
{
	return set_ah(ah, init->ah_attr);
}

static int modify_ah(struct ib_ah *ah, struct rdma_ah_attr *attr)
{
	return set_ah(ah, attr);
}

static int query_ah(struct ib_ah *ah, struct rdma_ah_attr *attr)
{
	*attr = softhca_ib_ah_of(ah)->attr;
	return 0;
}

static int destroy_ah(struct ib_ah *ah, u32 flags)
{
	return 0;
}

/* --- groups: Ethernet has no LIDs for them, the wire has; the GID tells one from the other --- */

static int attach_mcast(struct ib_qp *qp, union ib_gid *gid, u16 lid)
{
	struct hca_gid group;

	memcpy(&group, gid, sizeof(group));
	return hca_mcast_attach(softhca_ib_qp_of(qp)->qp, &group, HCA_FIRST_MLID);
}

static int detach_mcast(struct ib_qp *qp, union ib_gid *gid, u16 lid)
{
	struct hca_gid group;

	memcpy(&group, gid, sizeof(group));
	return hca_mcast_detach(softhca_ib_qp_of(qp)->qp, &group, HCA_FIRST_MLID);
}

const struct ib_device_ops softhca_ib_path_ops = {
	.add_gid = add_gid,
	.attach_mcast = attach_mcast,
	.create_ah = create_ah,
	.del_gid = del_gid,
	.destroy_ah = destroy_ah,
	.detach_mcast = detach_mcast,
	.modify_ah = modify_ah,
	.query_ah = query_ah,

	INIT_RDMA_OBJ_SIZE(ib_ah, softhca_ib_ah, ib),
};
