/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Groups; see mcast.h. A list of an adapter's members is
 * changed under a lock and read from inside without one: who takes a member out waits for
 * the readers before it is freed.
 */
#include "hca/mcast.h"

#include "hca/qp.h"

static int check_group(const struct hca_qp *qp, const struct hca_gid *gid, u32 mlid)
{
	if (qp->type != HCA_QPT_UD)
		return hca_refuse(-EINVAL, "%s QP %u: in no group: it is %s, and only UD can be", qp->hca->name,
				  qp->qpn, hca_qp_type_name(qp->type));
	if (!hca_gid_is_group(gid))
		return hca_refuse(-EINVAL, "%s QP %u: in no group: the GID is no group's, which begins with 0xff",
				  qp->hca->name, qp->qpn);
	/* Where links have no LIDs, as on Ethernet, there is none to give. */
	if (!hca_lid_is_multicast(mlid) && (mlid || qp->hca->limits.has_lids))
		return hca_refuse(-EINVAL, "%s QP %u: in no group: LID 0x%x is no group's, 0xc000 to 0xfffe",
				  qp->hca->name, qp->qpn, mlid);
	return 0;
}

static bool is_of_group(const struct hca_mcast_member *m, const struct hca_qp *qp, const struct hca_gid *gid, u32 mlid)
{
	return m->qp == qp && m->mlid == mlid && hca_gid_equal(&m->gid, gid);
}

/* Return: 0; -EEXIST: it was there before; -ENOSPC. */
static int enter_list(struct hca *hca, struct hca_mcast_member *m)
{
	struct hca_mcast_member **at;

	hca_spin_assert(&hca->mcast_lock);
	for (at = &hca->members; *at && (*at)->qp->qpn <= m->qp->qpn; at = &(*at)->next)
		if (is_of_group(*at, m->qp, &m->gid, m->mlid))
			return -EEXIST; /* hca_mcast_attach() says why */
	if (hca->mcast_members == hca->attr.max_mcast)
		return -ENOSPC; /* hca_mcast_attach() says why */
	hca->mcast_members++;
	m->next = *at;
	hca_store_release(at, m);
	return 0;
}

int hca_mcast_attach(struct hca_qp *qp, const struct hca_gid *gid, u32 mlid)
{
	struct hca_mcast_member *m;
	hca_irqflags_t flags;
	int err;

	if (check_group(qp, gid, mlid))
		return -EINVAL;
	m = hca_alloc(sizeof(*m), HCA_MAY_SLEEP);
	if (!m)
		return -ENOMEM;
	m->qp = qp;
	m->gid = *gid;
	m->mlid = mlid;
	hca_spin_lock(&qp->hca->mcast_lock, flags);
	err = enter_list(qp->hca, m);
	hca_spin_unlock(&qp->hca->mcast_lock, flags);
	if (err)
		hca_free(m);
	if (err == -ENOSPC)
		return hca_refuse(err, "%s QP %u: not in the group: the adapter has %u memberships, as many as it may",
				  qp->hca->name, qp->qpn, qp->hca->attr.max_mcast);
	return err == -EEXIST ? 0 : err;
}

/* Those of a queue pair, or of one group of its alone. Return: a list of them, on which readers may still be. */
static struct hca_mcast_member *take_out(struct hca_qp *qp, const struct hca_gid *gid, u32 mlid)
{
	struct hca_mcast_member **at, *m, *gone = NULL;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->hca->mcast_lock, flags);
	for (at = &qp->hca->members; (m = *at);) {
		if (m->qp != qp || (gid && !is_of_group(m, qp, gid, mlid))) {
			at = &m->next;
			continue;
		}
		hca_store_release(at, m->next); /* who comes by this way hasn't seen it enter */
		qp->hca->mcast_members--;
		m->gone = gone;
		gone = m;
	}
	hca_spin_unlock(&qp->hca->mcast_lock, flags);
	return gone;
}

static void free_all(struct hca_qp *qp, struct hca_mcast_member *gone)
{
	hca_quiesce_wait_of(&qp->hca->quiesce, 0);
	while (gone) {
		struct hca_mcast_member *m = gone;

		gone = m->gone;
		hca_free(m);
	}
}

int hca_mcast_detach(struct hca_qp *qp, const struct hca_gid *gid, u32 mlid)
{
	struct hca_mcast_member *gone = take_out(qp, gid, mlid);

	if (!gone)
		return hca_refuse(-EINVAL, "%s QP %u: not in this group, so it can't leave it", qp->hca->name, qp->qpn);
	free_all(qp, gone);
	return 0;
}

bool hca_mcast_is_member(const struct hca_qp *qp)
{
	const struct hca_mcast_member *m;
	hca_irqflags_t flags;

	hca_spin_lock(&qp->hca->mcast_lock, flags);
	for (m = qp->hca->members; m && m->qp != qp; m = m->next)
		;
	hca_spin_unlock(&qp->hca->mcast_lock, flags);
	return m;
}

void hca_mcast_end_qp(struct hca_qp *qp)
{
	struct hca_mcast_member *gone = take_out(qp, NULL, 0);

	if (gone)
		free_all(qp, gone);
}

static bool matches(const struct hca_mcast_member *m, u32 dlid, const struct hca_gid *dgid)
{
	return (!hca_lid_is_multicast(dlid) || m->mlid == dlid) && (!dgid || hca_gid_equal(&m->gid, dgid));
}

const struct hca_mcast_member *hca_mcast_next(const struct hca *hca, const struct hca_mcast_member *after, u32 dlid,
					      const struct hca_gid *dgid)
{
	const struct hca_mcast_member *m = hca_load_acquire(after ? &after->next : &hca->members);

	while (m && ((after && m->qp == after->qp) || !matches(m, dlid, dgid)))
		m = hca_load_acquire(&m->next);
	return m;
}
