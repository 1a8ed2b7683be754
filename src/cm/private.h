/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the communication manager call of each other. From the bottom: ids.c,
 * deadline.c, event.c; act.c, which makes a step; above it recv.c, expire.c and cm.c.
 * But where it says otherwise, the manager's lock is held.
 */
#ifndef HCA_CM_PRIVATE_H
#define HCA_CM_PRIVATE_H

#include "cm/cm.h"

/* --- ids.c --- */

/** hca_cm_ids_init() - Return: 0 or -ENOMEM. May sleep, no lock held. */
int hca_cm_ids_init(struct hca_cm *cm);

/** hca_cm_ids_fini() - no lock held */
void hca_cm_ids_fini(struct hca_cm *cm);

/** hca_cm_ids_new() - a new ID in IDLE. @flags: of hca_alloc(). The lock isn't held. Return: 0, -ENOMEM, -ENOSPC. */
int hca_cm_ids_new(struct hca_cm *cm, u32 flags, struct hca_cm_id **out);

/** hca_cm_ids_free() - it is in no list */
void hca_cm_ids_free(struct hca_cm_id *id);

/** hca_cm_ids_find() - by our comm ID; NULL: there is none */
struct hca_cm_id *hca_cm_ids_find(const struct hca_cm *cm, u32 comm_id);

/** hca_cm_ids_at() - by its index, below @indexes; NULL: there is none */
struct hca_cm_id *hca_cm_ids_at(const struct hca_cm *cm, u32 index);

/** hca_cm_find_remote() - by the peer's GUID and comm ID */
struct hca_cm_id *hca_cm_find_remote(const struct hca_cm *cm, u64 guid, u32 comm_id);

/** hca_cm_find_sidr() - a question that waits for our answer, by its ID and where it came from */
struct hca_cm_id *hca_cm_find_sidr(const struct hca_cm *cm, const struct hca_ah_attr *from, u32 request_id);

/** hca_cm_find_qpn() - by the peer's GUID and queue pair */
struct hca_cm_id *hca_cm_find_qpn(const struct hca_cm *cm, u64 guid, u32 qpn);

/** hca_cm_hash_peer() - what is known of the peer finds the ID from now on */
void hca_cm_hash_peer(struct hca_cm_id *id);

/** hca_cm_unhash() - only our comm ID finds it */
void hca_cm_unhash(struct hca_cm_id *id);

/** hca_cm_listener_add() - Return: 0; -EADDRINUSE */
int hca_cm_listener_add(struct hca_cm_id *id);

void hca_cm_listener_remove(struct hca_cm_id *id);

/** hca_cm_find_listener() - the listener for a request; NULL: there is none */
struct hca_cm_id *hca_cm_find_listener(const struct hca_cm *cm, u64 service_id, const u8 *private_data);

/* --- deadline.c --- */

/** hca_cm_deadline_set() - the ID's time comes at @ns; earlier or later than it was */
void hca_cm_deadline_set(struct hca_cm_id *id, u64 ns);

void hca_cm_deadline_clear(struct hca_cm_id *id);

/** hca_cm_deadline_due() - an ID whose time has come, which has none any more; NULL: the timer runs for the next, if there is one */
struct hca_cm_id *hca_cm_deadline_due(struct hca_cm *cm, u64 now);

/** hca_cm_deadline_arm() - the timer runs no later than for the first one */
void hca_cm_deadline_arm(struct hca_cm *cm);

/* --- event.c --- */

/** hca_cm_event_init() - of a new ID */
void hca_cm_event_init(struct hca_cm_id *id);

/** hca_cm_tell() - an event of this ID waits; @mad: the message, or NULL. Return: the event queue has something to do. */
bool hca_cm_tell(struct hca_cm_id *id, enum hca_cm_event_type type, int status, const u8 *mad);

/** hca_cm_request() - a new ID of a listener's waits, its message in @open_mad */
void hca_cm_request(struct hca_cm_id *listener, struct hca_cm_id *id, enum hca_cm_event_type type);

/** hca_cm_request_take() - the listener's oldest that waits; NULL: none does */
struct hca_cm_id *hca_cm_request_take(struct hca_cm_id *listener);

/** hca_cm_release() - no handler of a destroyed ID is under way: it is freed now, or when its state ends */
void hca_cm_release(struct hca_cm_id *id);

/** hca_cm_reap() - end the IDs that were destroyed in their handlers; the work's function. No lock held, may sleep. */
void hca_cm_reap(void *cm);

/* --- act.c --- */

/** struct hca_cm_out - what is to be done when the lock isn't held any more */
struct hca_cm_out {
	bool send;
	bool told; /* the event queue has something to do */
	struct hca_ah_attr to;
	u8 mad[HCA_MAD_BYTES];
};

static inline void hca_cm_out_init(struct hca_cm_out *out)
{
	out->send = false;
	out->told = false;
}

/** hca_cm_flush() - do it. No lock held. */
static inline void hca_cm_flush(struct hca_cm *cm, const struct hca_cm_out *out)
{
	if (out->send)
		cm->ops->send(cm, &out->to, out->mad);
}

/**
 * hca_cm_step() - an input
 * @msg: of a call: what it sends, or NULL; of a message: it
 * @mad: of a message: its bytes; else NULL
 *
 * Return: 0; -EINVAL: the state has no such step, or the message can't be sent. Then nothing has changed.
 */
int hca_cm_step(struct hca_cm_id *id, enum hca_cm_input input, const struct hca_cm_msg *msg, const u8 *mad,
		struct hca_cm_out *out);

/** hca_cm_answer() - a message that belongs to no ID */
void hca_cm_answer(struct hca_cm_out *out, const struct hca_ah_attr *to, const struct hca_cm_msg *msg);

/** hca_cm_code_ns() - 4.096 us times two to the power of the code, no longer than HCA_CM_WAIT_MAX_NS */
static inline u64 hca_cm_code_ns(u32 code)
{
	return HCA_MIN(4096ull << (code & 31), HCA_CM_WAIT_MAX_NS);
}

/* --- expire.c --- */

/** hca_cm_wake() - the timer's function: hca_cm_expire() is called by a worker */
void hca_cm_wake(void *cm);

/** hca_cm_expire() - IDs whose time has come; the work's function. No lock held. */
void hca_cm_expire(void *cm);

#endif
