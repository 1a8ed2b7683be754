/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Multicast groups (IBTA vol. 1, 10.5). Each adapter knows which of its queue pairs are
 * in which group; a wire delivers a datagram for a group to all adapters. Groups of IPv4
 * are addressed as in RoCE, and have no LID of their own.
 */
#ifndef HCA_MCAST_H
#define HCA_MCAST_H

#include "hca/gid.h"

struct hca;
struct hca_qp;

#define HCA_FIRST_MLID 0xc000u
#define HCA_LAST_MLID 0xfffeu /* the next one is the permissive LID */
#define HCA_MCAST_QPN 0xffffffu

/**
 * struct hca_mcast_member - a queue pair in a group
 * @next: atomic: by queue pairs' numbers, so that all of one queue pair stand together
 * @gone: list of members that were removed and will be freed
 */
struct hca_mcast_member {
	struct hca_mcast_member *next;
	struct hca_qp *qp;
	struct hca_gid gid;
	u32 mlid;
	struct hca_mcast_member *gone;
};

static inline bool hca_lid_is_multicast(u32 lid)
{
	return lid >= HCA_FIRST_MLID && lid <= HCA_LAST_MLID;
}

/**
 * hca_mcast_attach() - add a queue pair to a group
 * @gid: the group's, a multicast GID
 * @mlid: its LID, HCA_FIRST_MLID to HCA_LAST_MLID
 *
 * May sleep. Return: 0, also if it is in the group already; then it stays in it once; -EINVAL: not a datagram queue pair, not a group's
 * addresses; -ENOMEM; -ENOSPC: the adapter's limit of memberships is reached.
 */
int hca_mcast_attach(struct hca_qp *qp, const struct hca_gid *gid, u32 mlid);

/** hca_mcast_detach() - remove a queue pair from a group; no datagram of the group arrives afterwards. May sleep. Return: 0; -EINVAL: it isn't in it. */
int hca_mcast_detach(struct hca_qp *qp, const struct hca_gid *gid, u32 mlid);

/** hca_mcast_is_member() - is it in any group? */
bool hca_mcast_is_member(const struct hca_qp *qp);

/** hca_mcast_end_qp() - remove a queue pair from all groups. May sleep. */
void hca_mcast_end_qp(struct hca_qp *qp);

/**
 * hca_mcast_next() - the queue pairs that get a datagram, each once; from inside
 * @after: the previous one; NULL: return the first
 * @dlid: the datagram's destination LID; a unicast LID is ignored
 * @dgid: the destination GID of its GRH; NULL: it has no GRH
 */
const struct hca_mcast_member *hca_mcast_next(const struct hca *hca, const struct hca_mcast_member *after, u32 dlid,
					      const struct hca_gid *dgid);

#endif
