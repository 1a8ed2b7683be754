/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where IDs are found: by our comm ID, which is an index of 16 bits and a generation of
 * 16; by what is known of the peer; and listeners by their service. An index comes back
 * late and with another generation, so that a late message finds nothing.
 */
#include "cm/private.h"

#define INDEX_BITS 16
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
#define PEER_BYTES (HCA_CM_PEER_BUCKETS * sizeof(struct hca_cm_id *))
#define LISTEN_BYTES (HCA_CM_LISTEN_BUCKETS * sizeof(struct hca_cm_id *))

_Static_assert(HCA_CM_IDS == INDEX_MASK, "every index fits");

/* --- by our comm ID --- */

static struct hca_cm_id_slot *slot_of(const struct hca_cm *cm, u32 index)
{
	return &cm->chunk[index >> HCA_CM_CHUNK_BITS]->slot[index & (HCA_CM_CHUNK - 1)];
}

static void put_free(struct hca_cm *cm, u32 index)
{
	slot_of(cm, index)->next_free = 0;
	if (cm->first_free)
		slot_of(cm, cm->last_free)->next_free = (u16)index;
	else
		cm->first_free = index;
	cm->last_free = index;
}

static void add_chunk(struct hca_cm *cm, struct hca_cm_chunk *chunk)
{
	u32 from = cm->indexes, i;

	for (i = 0; i < HCA_CM_CHUNK; i++)
		chunk->slot[i].generation = (u16)hca_random_u32();
	cm->chunk[from >> HCA_CM_CHUNK_BITS] = chunk;
	cm->indexes += HCA_CM_CHUNK;
	for (i = from ? 0 : 1; i < HCA_CM_CHUNK; i++)
		put_free(cm, from + i);
}

/* Return: 0: the ID has its index; -EAGAIN: there is none free, and there may be more. */
static int take_index(struct hca_cm *cm, struct hca_cm_id *id)
{
	u32 index = cm->first_free;
	struct hca_cm_id_slot *slot;

	if (cm->ids == cm->max_ids)
		return -ENOSPC;
	if (!index)
		return -EAGAIN;
	slot = slot_of(cm, index);
	cm->first_free = slot->next_free;
	slot->id = id;
	slot->generation++;
	id->comm_id = (u32)slot->generation << INDEX_BITS | index;
	cm->ids++;
	return 0;
}

static int give_index(struct hca_cm *cm, u32 flags, struct hca_cm_id *id)
{
	struct hca_cm_chunk *chunk = NULL;
	hca_irqflags_t irq;
	int err;

	for (;;) {
		hca_spin_lock(&cm->lock, irq);
		err = take_index(cm, id);
		if (err == -EAGAIN && chunk) {
			add_chunk(cm, chunk);
			chunk = NULL;
			err = take_index(cm, id);
		}
		hca_spin_unlock(&cm->lock, irq);
		if (err != -EAGAIN)
			break;
		chunk = hca_alloc(sizeof(*chunk), flags);
		if (!chunk)
			return -ENOMEM;
	}
	hca_free(chunk); /* another thread was faster */
	return err;
}

int hca_cm_ids_new(struct hca_cm *cm, u32 flags, struct hca_cm_id **out)
{
	struct hca_cm_id *id = hca_alloc(sizeof(*id), flags);
	int err;

	if (!id)
		return -ENOMEM;
	id->cm = cm;
	id->state = HCA_CM_IDLE;
	err = give_index(cm, flags, id);
	if (err)
		hca_free(id);
	else
		*out = id;
	return err;
}

void hca_cm_ids_free(struct hca_cm_id *id)
{
	struct hca_cm *cm = id->cm;
	u32 index = id->comm_id & INDEX_MASK;

	hca_spin_assert(&cm->lock);
	slot_of(cm, index)->id = NULL;
	put_free(cm, index);
	cm->ids--;
	hca_free(id->match);
	hca_free(id);
}

struct hca_cm_id *hca_cm_ids_at(const struct hca_cm *cm, u32 index)
{
	return slot_of(cm, index)->id;
}

struct hca_cm_id *hca_cm_ids_find(const struct hca_cm *cm, u32 comm_id)
{
	u32 index = comm_id & INDEX_MASK;
	struct hca_cm_id *id = index < cm->indexes ? slot_of(cm, index)->id : NULL;

	return id && id->comm_id == comm_id ? id : NULL;
}

/* --- by the peer --- */

static u32 hash(const struct hca_cm *cm, u64 a, u32 b)
{
	u64 h = (a ^ cm->seed) * 0x9e3779b97f4a7c15ull;

	h = (h ^ h >> 32 ^ b) * 0xd6e8feb86659fd93ull;
	return (u32)(h >> 40);
}

static u32 bucket(const struct hca_cm *cm, u64 guid, u32 number)
{
	return hash(cm, guid, number) & (HCA_CM_PEER_BUCKETS - 1);
}

static u32 listen_bucket(const struct hca_cm *cm, u64 service_id)
{
	return hash(cm, service_id, 0) & (HCA_CM_LISTEN_BUCKETS - 1);
}

static bool same_source(const struct hca_ah_attr *a, const struct hca_ah_attr *b)
{
	return a->dlid == b->dlid && a->is_global == b->is_global &&
	       (!a->is_global || !hca_memcmp(a->grh.dgid.raw, b->grh.dgid.raw, sizeof(a->grh.dgid.raw)));
}

struct hca_cm_id *hca_cm_find_remote(const struct hca_cm *cm, u64 guid, u32 comm_id)
{
	struct hca_cm_id *id = cm->by_remote[bucket(cm, guid, comm_id)];

	while (id && (id->remote_comm_id != comm_id || id->remote_guid != guid || id->state == HCA_CM_SIDR_REQ_RCVD))
		id = id->next_remote;
	return id;
}

struct hca_cm_id *hca_cm_find_sidr(const struct hca_cm *cm, const struct hca_ah_attr *from, u32 request_id)
{
	struct hca_cm_id *id = cm->by_remote[bucket(cm, 0, request_id)];

	while (id &&
	       (id->remote_comm_id != request_id || id->state != HCA_CM_SIDR_REQ_RCVD || !same_source(&id->to, from)))
		id = id->next_remote;
	return id;
}

struct hca_cm_id *hca_cm_find_qpn(const struct hca_cm *cm, u64 guid, u32 qpn)
{
	struct hca_cm_id *id = cm->by_qpn[bucket(cm, guid, qpn)];

	while (id && (id->remote_qpn != qpn || id->remote_guid != guid))
		id = id->next_qpn;
	return id;
}

void hca_cm_hash_peer(struct hca_cm_id *id)
{
	struct hca_cm *cm = id->cm;
	struct hca_cm_id **at;

	hca_spin_assert(&cm->lock);
	at = &cm->by_remote[bucket(cm, id->remote_guid, id->remote_comm_id)];
	id->next_remote = *at;
	*at = id;
	id->by_remote = true;
	if (id->remote_qpn) {
		at = &cm->by_qpn[bucket(cm, id->remote_guid, id->remote_qpn)];
		id->next_qpn = *at;
		*at = id;
		id->by_qpn = true;
	}
}

void hca_cm_unhash(struct hca_cm_id *id)
{
	struct hca_cm *cm = id->cm;
	struct hca_cm_id **at;

	hca_spin_assert(&cm->lock);
	if (id->by_remote) {
		at = &cm->by_remote[bucket(cm, id->remote_guid, id->remote_comm_id)];
		while (*at != id)
			at = &(*at)->next_remote;
		*at = id->next_remote;
	}
	if (id->by_qpn) {
		at = &cm->by_qpn[bucket(cm, id->remote_guid, id->remote_qpn)];
		while (*at != id)
			at = &(*at)->next_qpn;
		*at = id->next_qpn;
	}
	id->by_remote = false;
	id->by_qpn = false;
}

/* --- listeners --- */

static struct hca_cm_id **listener_list(struct hca_cm *cm, u64 service_id, u64 mask)
{
	return mask == ~0ull ? &cm->listeners[listen_bucket(cm, service_id)] : &cm->masked;
}

static bool same_match(const struct hca_cm_match *a, const struct hca_cm_match *b)
{
	return a && b ? !hca_memcmp(a, b, sizeof(*a)) : !a && !b;
}

/* Those that look at private data come first. */
int hca_cm_listener_add(struct hca_cm_id *id)
{
	struct hca_cm_id **list = listener_list(id->cm, id->service_id, id->service_mask), *l;

	hca_spin_assert(&id->cm->lock);
	for (l = *list; l; l = l->next_listener)
		if (l->service_id == id->service_id && l->service_mask == id->service_mask &&
		    same_match(l->match, id->match))
			return -EADDRINUSE;
	while (!id->match && *list && (*list)->match)
		list = &(*list)->next_listener;
	id->next_listener = *list;
	*list = id;
	return 0;
}

void hca_cm_listener_remove(struct hca_cm_id *id)
{
	struct hca_cm_id **at = listener_list(id->cm, id->service_id, id->service_mask);

	hca_spin_assert(&id->cm->lock);
	while (*at != id)
		at = &(*at)->next_listener;
	*at = id->next_listener;
}

static bool wants(const struct hca_cm_id *listener, u64 service_id, const u8 *private_data)
{
	const struct hca_cm_match *m = listener->match;
	u32 i;

	if ((service_id & listener->service_mask) != listener->service_id)
		return false;
	for (i = 0; m && i < HCA_CM_MATCH_BYTES; i++)
		if ((private_data[i] & m->mask[i]) != m->data[i])
			return false;
	return true;
}

struct hca_cm_id *hca_cm_find_listener(const struct hca_cm *cm, u64 service_id, const u8 *private_data)
{
	struct hca_cm_id *l = cm->listeners[listen_bucket(cm, service_id)];

	while (l && !wants(l, service_id, private_data))
		l = l->next_listener;
	if (l)
		return l;
	for (l = cm->masked; l && !wants(l, service_id, private_data);)
		l = l->next_listener;
	return l;
}

/* --- all of it --- */

int hca_cm_ids_init(struct hca_cm *cm)
{
	cm->seed = (u64)hca_random_u32() << 32 | hca_random_u32();
	cm->by_remote = hca_alloc(PEER_BYTES, HCA_MAY_SLEEP);
	cm->by_qpn = hca_alloc(PEER_BYTES, HCA_MAY_SLEEP);
	cm->listeners = hca_alloc(LISTEN_BYTES, HCA_MAY_SLEEP);
	if (cm->by_remote && cm->by_qpn && cm->listeners)
		return 0;
	hca_cm_ids_fini(cm);
	return -ENOMEM;
}

void hca_cm_ids_fini(struct hca_cm *cm)
{
	u32 i;

	for (i = 0; i < cm->indexes >> HCA_CM_CHUNK_BITS; i++)
		hca_free(cm->chunk[i]);
	hca_free(cm->by_remote);
	hca_free(cm->by_qpn);
	hca_free(cm->listeners);
}
