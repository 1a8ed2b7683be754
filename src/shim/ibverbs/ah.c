/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Address handles and multicast groups. Where a datagram goes in the fabric follows from
 * the number of the queue pair that it is for; what a handle says is checked, and comes
 * back in the receiver's global route header.
 */
#include "shim.h"

#include <endian.h>

#define IPV6_VERSION 6u
#define IPV4_AND_WORDS 0x45u /* its version, and a header of five words */
#define MAX_SL 15u
#define MAX_FLOW_LABEL 0xfffffu

static void gid_in(const union ibv_gid *gid, struct hca_gid *to)
{
	memcpy(to->raw, gid->raw, sizeof(to->raw));
}

bool shim_lid_is_ours(const struct ibv_ah_attr *attr)
{
	const struct shim_config *c = shim_config();

	return !c->infiniband ||
	       (attr->dlid >= c->lid && attr->dlid < c->lid + HCA_FABRIC_DEVICES && attr->dlid <= SHIM_LAST_LID);
}

int shim_path(struct shim_device *dev, const struct ibv_ah_attr *a, struct hca_ah_attr *to)
{
	struct shim_gid own;

	*to = (struct hca_ah_attr){
		.sl = a->sl,
		.src_path_bits = a->src_path_bits,
		.static_rate = a->static_rate,
		.is_global = a->is_global != 0,
		.port_num = a->port_num,
	};
	if (!a->port_num || a->port_num > dev->hca.limits.ports || a->sl > MAX_SL)
		return shim_why(EINVAL, SHIM_LOG_QP, "path: port %u, service level %u", a->port_num, a->sl);
	/* Links of Ethernet have no LIDs. */
	if (!a->is_global)
		return shim_config()->infiniband ? 0 : shim_why(EINVAL, SHIM_LOG_QP, "path: RoCE needs is_global");
	gid_in(&a->grh.dgid, &to->grh.dgid);
	to->grh.flow_label = a->grh.flow_label & MAX_FLOW_LABEL; /* as adapters do: programs set all bits */
	to->grh.sgid_index = a->grh.sgid_index;
	to->grh.hop_limit = a->grh.hop_limit;
	to->grh.traffic_class = a->grh.traffic_class;
	if (!shim_gid(dev, a->grh.sgid_index, &own))
		return shim_why(EINVAL, SHIM_LOG_QP, "path: no GID at index %u", a->grh.sgid_index);
	return 0;
}

/*
 * 0: the device that has the queue pair. Of a group only the address counts: its LID, or its GID. With several devices a datagram must name
 * the LID of the right one. With one device, the first LID is not checked.
 */
static u16 lid_of(const struct ibv_ah_attr *attr)
{
	const struct shim_config *c = shim_config();

	if (!c->infiniband || (attr->is_global && attr->grh.dgid.raw[0] == 0xff))
		return 0;
	if (hca_lid_is_multicast(attr->dlid))
		return attr->dlid;
	if (!shim_lid_is_ours(attr))
		return SHIM_NO_LID;
	return attr->dlid == c->lid && c->devices == 1 ? 0 : attr->dlid;
}

SHIM_NOT_OLD(ibv_create_ah);
SHIM_EXPORT struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
	struct shim_pd *p = shim_pd_get(pd);
	struct shim_ah *ah;
	int err;

	if (!p || !attr)
		return shim_null(
			shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_ah: no %s", p ? "attributes" : "such domain"));
	ah = shim_object_new(SHIM_AH, sizeof(*ah), p->obj.context);
	if (!ah)
		return shim_null(ENOMEM);
	err = shim_path(p->obj.context->device, attr, &ah->path);
	if (err) {
		shim_object_free(&ah->obj);
		return shim_null(err);
	}
	ah->path.dlid = lid_of(attr);
	ah->pd = p;
	ah->obj.under = shim_parent(pd);
	ah->ib = (struct ibv_ah){ .context = pd->context, .pd = pd, .handle = ah->obj.handle };
	hca_fetch_add(&p->pd.users, 1);
	shim_object_publish(&ah->obj);
	return &ah->ib;
}

int shim_end_ah(struct shim_object *o, bool abandon)
{
	(void)abandon;
	hca_fetch_add(&hca_container_of(o, struct shim_ah, obj)->pd->pd.users, (u32)-1);
	return 0;
}

SHIM_NOT_OLD(ibv_destroy_ah);
SHIM_EXPORT int ibv_destroy_ah(struct ibv_ah *ah)
{
	struct shim_ah *a = ah ? shim_ah(ah) : NULL;

	if (!a || !shim_claim(&a->obj, SHIM_AH))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_destroy_ah: no such handle");
	shim_end_ah(&a->obj, false);
	shim_object_free(&a->obj);
	return 0;
}

/* --- from a completion --- */

/* What lies before a datagram on RoCE between addresses of IPv4: in the last 20 of the 40 bytes the IP header (IBTA vol. 1, A17.4.5). */
struct ipv4_header {
	u8 unused[20];
	u8 version_words;
	u8 tos;
	u8 between[10];
	u8 from[4];
	u8 to[4];
};

_Static_assert(sizeof(struct ipv4_header) == sizeof(struct ibv_grh), "the room for a GRH");

/* RFC 791: it counts if its sum is right, for of a GRH these bytes are part of an address. */
static bool is_ipv4(const struct ipv4_header *h)
{
	const u8 *words = &h->version_words;
	u32 i, sum = 0;

	for (i = 0; i < 20; i += 2)
		sum += (u32)words[i] << 8 | words[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return h->version_words == IPV4_AND_WORDS && (u16)(sum + (sum >> 16)) == 0xffff;
}

/* RFC 4291, 2.5.5.2 */
static union ibv_gid mapped(const u8 addr[4])
{
	union ibv_gid gid = { .raw = { [10] = 0xff, [11] = 0xff } };

	memcpy(gid.raw + 12, addr, 4);
	return gid;
}

/* Of the address that a datagram was for; what was for a group is answered from the first one of its kind. Return: -1: it wasn't for us. */
static int own_index(struct shim_device *dev, const union ibv_gid *to)
{
	int index = shim_gid_index(dev, to);
	struct shim_gid g;
	struct hca_gid gid;
	u32 i;

	gid_in(to, &gid);
	if (index >= 0 || !hca_gid_is_group(&gid))
		return index;
	for (i = 0; i < HCA_GIDS; i++) {
		if (shim_gid(dev, i, &g) && hca_gid_is_ipv4(g.gid.raw) == hca_gid_is_ipv4(to->raw))
			return (int)i;
	}
	return -1;
}

/* Who sent it, who it was for, and what else the header says. Return: is it one? */
static bool read_header(const struct ibv_grh *grh, struct ibv_global_route *from, union ibv_gid *to)
{
	const struct ipv4_header *ip = (const struct ipv4_header *)grh;
	u32 first = be32toh((HCA_FORCE u32)grh->version_tclass_flow);

	if (!shim_config()->infiniband && is_ipv4(ip)) {
		from->dgid = mapped(ip->from);
		from->traffic_class = ip->tos;
		*to = mapped(ip->to);
		return true;
	}
	from->dgid = grh->sgid;
	from->flow_label = first & MAX_FLOW_LABEL;
	from->traffic_class = (uint8_t)(first >> 20);
	*to = grh->dgid;
	return first >> 28 == IPV6_VERSION;
}

SHIM_EXPORT int ibv_init_ah_from_wc(struct ibv_context *context, uint8_t port_num, struct ibv_wc *wc,
				    struct ibv_grh *grh, struct ibv_ah_attr *attr)
{
	struct shim_context *c = shim_context_get(context);
	union ibv_gid to;
	int index;

	if (!c || !wc || !attr || (wc->wc_flags & IBV_WC_GRH && !grh))
		return shim_minus_one(shim_why(EINVAL, SHIM_LOG_QP, "ibv_init_ah_from_wc: no %s",
					       c ? "completion, header or attributes" : "such context"));
	*attr = (struct ibv_ah_attr){
		.dlid = wc->slid,
		.sl = shim_config()->infiniband ? wc->sl : 0, /* see shim_wc_sl() */
		.src_path_bits = wc->dlid_path_bits,
		.port_num = port_num,
	};
	if (!(wc->wc_flags & IBV_WC_GRH))
		return 0;
	index = read_header(grh, &attr->grh, &to) ? own_index(c->device, &to) : -1;
	if (index < 0)
		return shim_minus_one(shim_why(EPROTONOSUPPORT, SHIM_LOG_QP,
					       "ibv_init_ah_from_wc: no header of a datagram for this port"));
	attr->is_global = 1;
	attr->grh.sgid_index = (uint8_t)index;
	attr->grh.hop_limit = 0xff;
	return 0;
}

SHIM_EXPORT struct ibv_ah *ibv_create_ah_from_wc(struct ibv_pd *pd, struct ibv_wc *wc, struct ibv_grh *grh,
						 uint8_t port_num)
{
	struct ibv_ah_attr attr;

	if (!pd)
		return shim_null(shim_why(EINVAL, SHIM_LOG_QP, "ibv_create_ah_from_wc: no domain"));
	if (ibv_init_ah_from_wc(pd->context, port_num, wc, grh, &attr))
		return NULL;
	return ibv_create_ah(pd, &attr);
}

SHIM_EXPORT int ibv_resolve_eth_l2_from_gid(struct ibv_context *context, struct ibv_ah_attr *attr, uint8_t eth_mac[6],
					    uint16_t *vid)
{
	struct shim_context *c = shim_context_get(context);
	struct shim_gid g;

	if (!c || !attr || !eth_mac)
		return -shim_why(EINVAL, SHIM_LOG_QP, "ibv_resolve_eth_l2_from_gid: no %s",
				 c ? "path, or no place for the address" : "such context");
	/* All that can be reached is on this host: the link that the address is on. */
	shim_gid(c->device, (u32)HCA_MAX(shim_gid_index(c->device, &attr->grh.dgid), 0), &g);
	memcpy(eth_mac, g.mac, sizeof(g.mac));
	if (vid)
		*vid = 0xffff;
	return 0;
}

/* --- groups --- */

/* Where links have no LIDs, any that a program gives is of no use. */
static u32 mlid_of(u16 lid)
{
	return shim_config()->infiniband ? lid : HCA_FIRST_MLID;
}

SHIM_NOT_OLD(ibv_attach_mcast);
SHIM_EXPORT int ibv_attach_mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint16_t lid)
{
	struct shim_qp *q = qp ? shim_qp(qp) : NULL;
	struct hca_gid group;
	int err;

	if (!q || !gid || !shim_known(&q->obj, SHIM_QP))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_attach_mcast: no %s", gid ? "such queue pair" : "group");
	gid_in(gid, &group);
	err = hca_mcast_attach(q->qp, &group, mlid_of(lid));
	shim_wire_groups(q->obj.context->device);
	return err ? shim_why(err, SHIM_LOG_QP, "ibv_attach_mcast: queue pair 0x%x, LID 0x%x", q->qp->qpn, lid) : 0;
}

SHIM_NOT_OLD(ibv_detach_mcast);
SHIM_EXPORT int ibv_detach_mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint16_t lid)
{
	struct shim_qp *q = qp ? shim_qp(qp) : NULL;
	struct hca_gid group;
	int err;

	if (!q || !gid || !shim_known(&q->obj, SHIM_QP))
		return shim_why(EINVAL, SHIM_LOG_QP, "ibv_detach_mcast: no %s", gid ? "such queue pair" : "group");
	gid_in(gid, &group);
	err = hca_mcast_detach(q->qp, &group, mlid_of(lid));
	shim_wire_groups(q->obj.context->device);
	return err ? shim_why(err, SHIM_LOG_QP, "ibv_detach_mcast: queue pair 0x%x is not in it", q->qp->qpn) : 0;
}
