/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Multicast groups (IBTA vol. 1, 10.5). Each adapter knows which of its queue pairs are
 * in which group; a wire brings a datagram for a group to all adapters. Groups of IPv4
 * are addressed as RoCE does it, and have no LID of their own.
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
 * @gone: of those that were taken out and are to be freed
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
 * hca_mcast_attach() - from now on the queue pair gets what is sent to the group
 * @gid: the group's, a multicast GID
 * @mlid: its LID, HCA_FIRST_MLID to HCA_LAST_MLID
 *
 * May sleep. Return: 0, also when it was in the group before, and is so once still; -EINVAL: not a datagram queue pair, no group's
 * addresses; -ENOMEM; -ENOSPC: as many memberships as the adapter may have.
 */
int hca_mcast_attach(struct hca_qp *qp, const struct hca_gid *gid, u32 mlid);

/** hca_mcast_detach() - nothing that was sent to the group arrives any more. May sleep. Return: 0; -EINVAL: it isn't in it. */
int hca_mcast_detach(struct hca_qp *qp, const struct hca_gid *gid, u32 mlid);

/** hca_mcast_is_member() - is it in any group? */
bool hca_mcast_is_member(const struct hca_qp *qp);

/** hca_mcast_end_qp() - out of all groups. May sleep. */
void hca_mcast_end_qp(struct hca_qp *qp);

/**
 * hca_mcast_next() - who gets a datagram, each queue pair once; from inside
 * @after: the one before, NULL: the first
 * @dlid: where it was sent to; a unicast LID doesn't count
 * @dgid: the same of its GRH; NULL: it has none
 */
const struct hca_mcast_member *hca_mcast_next(const struct hca *hca, const struct hca_mcast_member *after, u32 dlid,
					      const struct hca_gid *dgid);

#endif
