/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an adapter publishes so that other processes can reach its memory without
 * it: the state of queue pairs that their peers' work depends on, and keys. The listener
 * is the transport's (transport/share.c). On a wire without a listener, an adapter
 * needs one test for each registration.
 */
#ifndef HCA_SHARE_H
#define HCA_SHARE_H

#include "os.h"

struct hca;
struct hca_key_entry;
struct hca_qp;

#define HCA_SHARE_ALL (~0u) /* every other process, instead of a LID */

/**
 * struct hca_share_ops - the calls of a listener
 * @qp: state, rights, limits or peer of a queue pair have changed; its lock is held
 * @room: a key was allocated and may be published later; no lock held. May sleep if the caller may.
 * @publish: the key is valid from now on, and its entry complete. Under a spin lock; of one index, one call at a time.
 * @retract: the key was retracted, and look-ups here fail. Under the same lock. Also called for keys that were not published.
 * @settle: return when the process of that LID, or with HCA_SHARE_ALL none but this one, uses what it found before this call. Any
 *	context, not inside, no lock held.
 */
struct hca_share_ops {
	void (*qp)(struct hca *hca, const struct hca_qp *qp);
	void (*room)(struct hca *hca, u32 key);
	void (*publish)(struct hca *hca, const struct hca_key_entry *e, u32 key);
	void (*retract)(struct hca *hca, u32 key);
	void (*settle)(struct hca *hca, u32 lid);
};

/** struct hca_share - a listener and its adapter; pointers to it are NULL if there is none */
struct hca_share {
	const struct hca_share_ops *ops;
	struct hca *hca;
};

static inline void hca_share_room(const struct hca_share *s, u32 key)
{
	if (hca_unlikely(s))
		s->ops->room(s->hca, key);
}

static inline void hca_share_publish(const struct hca_share *s, const struct hca_key_entry *e, u32 key)
{
	if (hca_unlikely(s))
		s->ops->publish(s->hca, e, key);
}

static inline void hca_share_retract(const struct hca_share *s, u32 key)
{
	if (hca_unlikely(s))
		s->ops->retract(s->hca, key);
}

static inline void hca_share_settle(const struct hca_share *s, u32 lid)
{
	if (hca_unlikely(s))
		s->ops->settle(s->hca, lid);
}

#endif
