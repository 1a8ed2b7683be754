/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames: a packet's headers and where its payload is, for a wire. Used by both halves of the packet transport. */
#include "transport/packet/packet.h"

static int get_payload(struct hca_frame *f, void *to)
{
	struct hca_packet_out *out = hca_container_of(f, struct hca_packet_out, f);

	if (!out->own)
		return hca_sge_get(&out->data, to, f->len, out->site);
	hca_memcpy(to, out->own, f->len);
	return 0;
}

static void fill_grh(const struct hca_gid *sgid, const struct hca_grh_attr *grh, struct hca_packet *p)
{
	p->grh.flow_label = grh->flow_label;
	p->grh.traffic_class = grh->traffic_class;
	p->grh.hop_limit = grh->hop_limit;
	hca_memcpy(p->grh.sgid, sgid->raw, sizeof(p->grh.sgid));
	hca_memcpy(p->grh.dgid, grh->dgid.raw, sizeof(p->grh.dgid));
}

_Static_assert(HCA_PACKET_HEADER_MAX <= HCA_FRAME_HEADER_MAX, "a frame has room for every packet's headers");

void hca_packet_frame(struct hca_qp *qp, const struct hca_packet_path *path, struct hca_packet *p,
		      struct hca_packet_out *out)
{
	static const struct hca_gid none;
	const struct hca_ah_attr *ah = &path->ah;
	const struct hca_gid *sgid = hca_gid_at(&qp->hca->gids, ah->grh.sgid_index);
	bool lids = qp->hca->limits.has_lids;
	struct hca_frame *f = &out->f;

	f->slid = qp->hca->lid;
	f->sqpn = qp->qpn;
	f->get = get_payload;
	p->pkey = HCA_DEFAULT_PKEY;
	/* No path of ours migrates: each is the one it migrated to (IBTA 17.2.8.1.1). */
	p->migrated = true;
	if (!hca_qp_is_datagram(qp->type)) {
		f->sl = ah->sl;
		f->dlid = ah->dlid;
		p->dqpn = path->dqpn;
		p->has_grh = ah->is_global;
		if (p->has_grh)
			fill_grh(sgid ? sgid : &none, &ah->grh, p);
	}
	f->sgid = none;
	f->dgid = none;
	f->traffic_class = 0;
	if (p->has_grh) {
		hca_memcpy(f->sgid.raw, p->grh.sgid, sizeof(f->sgid.raw));
		hca_memcpy(f->dgid.raw, p->grh.dgid, sizeof(f->dgid.raw));
		f->traffic_class = p->grh.traffic_class;
	}
	/* Where links have no LIDs the wire writes the network's header itself. */
	p->has_grh = p->has_grh && lids;
	f->global = p->has_grh;
	f->len = p->len;
	f->header_len = hca_packet_encode(p, f->header);
	f->pad = p->pad;
}
