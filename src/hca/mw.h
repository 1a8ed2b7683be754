/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory windows: keys that a peer may use on part of an MR, bound and unbound
 * without a registration (IBTA 10.6.7). An MW is made by a verb and bound
 * by a work request; an MR with bound MWs can't be deregistered.
 *
 *   type 1   any queue pair of its domain may use the key, and each bind gives it another
 *            one; after another bind, or a bind to 0 bytes, the old key is invalid
 *   type 2   (2B) the key is valid only on the queue pair that bound it; the low 8 bits are
 *            the consumer's; an invalidation, here or by the peer, must end it before it is
 *            bound again
 *
 * One lock of the adapter guards all states: hca->mw_lock, taken from inside; a memory
 * MR's lock alone is taken below it.
 */
#ifndef HCA_MW_H
#define HCA_MW_H

#include "hca/mr.h"
#include "hca/wr.h"

struct hca;
struct hca_qp;

enum hca_mw_type {
	HCA_MW_TYPE_1 = 1,
	HCA_MW_TYPE_2,
};

/** enum hca_mw_state - what may be done with it */
enum hca_mw_state {
	HCA_MW_FREE, /* no key of it is valid, and no thread is inside with one */
	HCA_MW_BUSY, /* no key of it is valid; a thread binds or invalidates */
	HCA_MW_VALID, /* its key is valid */
	HCA_MW_DEAD, /* destroyed; its memory is freed with the last reference */
};

/**
 * struct hca_mw - a memory window
 * @entry: of its key; until destroyed
 * @key: the key that was allocated last
 * @valid: the key that is valid, while VALID; of type 1 it may be an older one
 * @mr: the MR that it is bound to, while VALID, and then until a thread has released it; NULL: none
 * @qp: of type 2, while VALID: the queue pair that it is bound on; @next and @prev are of that one's list
 */
struct hca_mw {
	struct hca *hca;
	struct hca_pd *pd; /* until destroyed */
	enum hca_mw_type type;
	struct hca_key_entry *entry;
	u32 refs; /* atomic */

	/* hca->mw_lock: */
	enum hca_mw_state state;
	u32 key;
	u32 valid;
	struct hca_mr *mr;
	struct hca_qp *qp;
	struct hca_mw *next;
	struct hca_mw **prev;
};

/** hca_mw_create() - an unbound MW. May sleep. Return: 0, -EINVAL, -ENOMEM, -ENOSPC: no free key. */
int hca_mw_create(struct hca *hca, struct hca_pd *pd, enum hca_mw_type type, struct hca_mw **out);

/**
 * hca_mw_destroy() - bound or not; when it has returned, no memory is accessed by it
 *
 * A bind of it that is queued will fail. Any context, but not from inside.
 */
void hca_mw_destroy(struct hca_mw *w);

/** hca_mw_get() - take a reference for a queued bind */
static inline void hca_mw_get(struct hca_mw *w)
{
	hca_fetch_add(&w->refs, 1);
}

/** hca_mw_put() - drop a reference of hca_mw_get(). Any context. */
void hca_mw_put(struct hca_mw *w);

/**
 * hca_mw_next_key() - the key for the next bind of a type 1 MW, to be set in the request
 *
 * Each call returns another key. A bind that fails leaves the MW bound as it was, with its previous key.
 */
u32 hca_mw_next_key(struct hca_mw *w);

/** hca_mw_check() - check a bind when it is posted; keys and states are checked when it is carried out. Return: 0, -EINVAL. */
int hca_mw_check(const struct hca_send_wr *wr);

/**
 * hca_mw_bind() - carry out a bind
 * @qp: its queue pair
 *
 * Any context, but not from inside. Return: 0; -EAGAIN: another context binds this MW of type 1 just now; -EINVAL: another domain, a key of another MW, a type 2 MW that is valid, an MR's key
 * or rights or bounds that don't fit (IBTA 10.6.7.2.1). After an error the MW is bound as before.
 */
int hca_mw_bind(struct hca_qp *qp, const struct hca_send_wr *wr);

/** hca_mw_end_qp() - invalidate the MWs bound on a queue pair, which sends nothing any more and has no thread inside */
void hca_mw_end_qp(struct hca_qp *qp);

/**
 * struct hca_invalidation - a retracted key, for hca_key_invalidate_finish()
 * @mr: of that key, or NULL
 * @mw: of that key, or NULL; both are NULL: there is nothing left to do
 */
struct hca_invalidation {
	struct hca_mr *mr;
	struct hca_mw *mw;
};

/**
 * hca_key_invalidate_begin() - retract the key of a fast registered MR or a type 2 MW, from inside
 * @qp: that asks, or whose peer does
 * @remote: it is the peer
 *
 * Return: as hca_mr_invalidate_begin_key(); an MW must be bound on @qp.
 */
int hca_key_invalidate_begin(struct hca_qp *qp, u32 key, bool remote, struct hca_invalidation *out);

/** hca_key_invalidate_finish() - the rest: when this has returned, no thread uses the key. Any context, but not from inside. */
void hca_key_invalidate_finish(const struct hca_invalidation *v);

#endif
