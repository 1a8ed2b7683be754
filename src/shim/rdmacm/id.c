/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IDs: their beginning and end, the channel that they are on, and their options. */
#include "rdmacm.h"

#include <stdlib.h>
#include <string.h>

static struct cm_id *ids; /* all of the process; under cm_lock */

struct cm_id *cm_each(void)
{
	return ids;
}

/* Their memory is the program's to free: it may still call rdma_destroy_id(). */
void cm_id_forget_all(void)
{
	ids = NULL;
}

/* --- life --- */

static void enter_list(struct cm_id *id)
{
	id->next = ids;
	id->prev_next = &ids;
	if (ids)
		ids->prev_next = &id->next;
	ids = id;
}

static void leave_list(struct cm_id *id)
{
	if (id->life != cm_life)
		return;
	*id->prev_next = id->next;
	if (id->next)
		id->next->prev_next = id->prev_next;
}

struct cm_id *cm_id_new(struct cm_channel *ch, void *context, enum rdma_port_space ps, enum ibv_qp_type type)
{
	struct cm_id *id = calloc(1, sizeof(*id));

	if (!id)
		return NULL;
	id->ib.channel = ch ? &ch->ib : NULL;
	id->ib.context = context;
	id->ib.ps = ps;
	id->ib.qp_type = type;
	id->psn = hca_random_u32() & 0xffffff;
	id->life = cm_life;
	pthread_mutex_init(&id->qp_lock, NULL);
	enter_list(id);
	return id;
}

void cm_id_free(struct cm_id *id)
{
	leave_list(id);
	pthread_mutex_destroy(&id->qp_lock);
	free(id);
}

int cm_id_sync(struct cm_id *id)
{
	struct cm_channel *ch = cm_channel_new();

	if (!ch)
		return errno;
	pthread_mutex_lock(&cm_lock);
	if (id->ib.channel)
		cm_event_move(id, ch);
	id->ib.channel = &ch->ib;
	id->sync = true;
	pthread_mutex_unlock(&cm_lock);
	return 0;
}

static int type_of(enum rdma_port_space ps, enum ibv_qp_type *type)
{
	switch (ps) {
	case RDMA_PS_TCP:
	case RDMA_PS_IB:
		*type = IBV_QPT_RC;
		return 0;
	case RDMA_PS_UDP:
	case RDMA_PS_IPOIB:
		*type = IBV_QPT_UD;
		return 0;
	default:
		return EINVAL;
	}
}

CM_EXPORT int rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id, void *context,
			     enum rdma_port_space ps)
{
	enum ibv_qp_type type;
	struct cm_id *made;
	int err = type_of(ps, &type);

	if (err)
		return cm_fail(err);
	if (!cm_start())
		return -1;
	pthread_mutex_lock(&cm_lock);
	made = cm_id_new(channel ? cm_channel_of(channel) : NULL, context, ps, type);
	pthread_mutex_unlock(&cm_lock);
	if (!made)
		return cm_fail(ENOMEM);
	err = channel ? 0 : cm_id_sync(made);
	if (err) {
		pthread_mutex_lock(&cm_lock);
		cm_id_free(made);
		pthread_mutex_unlock(&cm_lock);
		return cm_fail(err);
	}
	*id = &made->ib;
	return 0;
}

/* Under cm_lock: nothing is told any more, and the port is free. Return: what is to be destroyed without the lock. */
static struct hca_cm_id *begin_end(struct cm_id *id)
{
	struct hca_cm_id *cm = id->cm;

	id->state = CM_ENDING;
	id->cm = NULL;
	cm_port_give(id);
	leave_list(id);
	return id->life == cm_life ? cm : NULL;
}

void cm_id_end_unseen(struct cm_id *child)
{
	struct hca_cm_id *cm;
	struct cm_event *e;

	pthread_mutex_lock(&cm_lock);
	cm = begin_end(child);
	while ((e = cm_event_drop(child)))
		free(e);
	pthread_mutex_unlock(&cm_lock);
	if (cm)
		hca_cm_destroy(cm);
	pthread_mutex_destroy(&child->qp_lock);
	free(child);
}

static void drop_events(struct cm_id *id)
{
	struct cm_event *e;
	struct cm_id *child;

	for (;;) {
		pthread_mutex_lock(&cm_lock);
		e = cm_event_drop(id);
		pthread_mutex_unlock(&cm_lock);
		if (!e)
			return;
		child = cm_id_of(e->ib.id);
		if (child != id)
			cm_id_end_unseen(child);
		free(e);
	}
}

CM_EXPORT int rdma_destroy_id(struct rdma_cm_id *ib)
{
	struct cm_id *id = cm_id_of(ib);
	struct hca_cm_id *cm;

	if (!ib)
		return cm_fail(EINVAL);
	if (id->life == cm_life) {
		cm_id_touched(id);
		cm_groups_end(id);
	}
	pthread_mutex_lock(&cm_lock);
	cm = begin_end(id);
	pthread_mutex_unlock(&cm_lock);
	/* No handler is under way after that, so no event comes any more. */
	if (cm)
		hca_cm_destroy(cm);
	drop_events(id);
	if (ib->event)
		rdma_ack_cm_event(ib->event);
	if (id->life == cm_life) {
		pthread_mutex_lock(&cm_lock);
		cm_wait_acked(id);
		pthread_mutex_unlock(&cm_lock);
	}
	if (id->sync)
		cm_channel_free(cm_channel_of(ib->channel));
	free(id->init);
	pthread_mutex_destroy(&id->qp_lock);
	free(id);
	return 0;
}

CM_EXPORT int rdma_migrate_id(struct rdma_cm_id *ib, struct rdma_event_channel *channel)
{
	struct cm_id *id = cm_id_of(ib);
	struct cm_channel *own;

	if (!ib || (id->sync && !channel))
		return cm_fail(EINVAL);
	cm_id_touched(id);
	if (!channel)
		return cm_result(cm_id_sync(id));
	own = id->sync ? cm_channel_of(ib->channel) : NULL;
	if (own && ib->event) {
		rdma_ack_cm_event(ib->event);
		ib->event = NULL;
	}
	pthread_mutex_lock(&cm_lock);
	cm_event_move(id, cm_channel_of(channel));
	ib->channel = channel;
	id->sync = false;
	/* The program may not look at the old channel any more when this returns; what it got from there it has done with. */
	cm_wait_acked(id);
	pthread_mutex_unlock(&cm_lock);
	if (own)
		cm_channel_free(own);
	return 0;
}

/* --- options --- */

static int set_flag(bool *flag, const void *value, size_t len)
{
	int number;

	if (len != sizeof(number))
		return EINVAL;
	memcpy(&number, value, sizeof(number));
	*flag = number != 0;
	return 0;
}

static int set_byte(u8 *byte, const void *value, size_t len, u32 max)
{
	if (len != sizeof(*byte) || *(const u8 *)value > max)
		return EINVAL;
	*byte = *(const u8 *)value;
	return 0;
}

static int set_id_option(struct cm_id *id, int name, const void *value, size_t len)
{
	switch (name) {
	case RDMA_OPTION_ID_TOS:
		return set_byte(&id->tos, value, len, 0xff);
	case RDMA_OPTION_ID_REUSEADDR:
		return id->entry ? EINVAL : set_flag(&id->reuse, value, len);
	case RDMA_OPTION_ID_AFONLY:
		return id->state > CM_BOUND ? EINVAL : set_flag(&id->afonly, value, len);
	case RDMA_OPTION_ID_ACK_TIMEOUT:
		return set_byte(&id->ack_timeout, value, len, 31);
	default:
		return ENOSYS;
	}
}

/* A path that the program found by itself: it leads to where ours does, so its place counts alone. */
static int set_ib_option(struct cm_id *id, int name, const void *value, size_t len)
{
	if (name != RDMA_OPTION_IB_PATH)
		return ENOSYS;
	if (!value || !len || len % sizeof(struct ibv_path_data) || id->state != CM_ADDR_RESOLVED)
		return EINVAL;
	id->state = CM_ROUTE_RESOLVED;
	cm_set_path(id);
	cm_tell(id, RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
	return 0;
}

CM_EXPORT int rdma_set_option(struct rdma_cm_id *ib, int level, int optname, void *optval, size_t optlen)
{
	struct cm_id *id = cm_id_of(ib);
	int err = ENOSYS;

	if (!ib || !optval)
		return cm_fail(EINVAL);
	pthread_mutex_lock(&cm_lock);
	if (level == RDMA_OPTION_ID)
		err = set_id_option(id, optname, optval, optlen);
	else if (level == RDMA_OPTION_IB)
		err = set_ib_option(id, optname, optval, optlen);
	pthread_mutex_unlock(&cm_lock);
	return cm_result(err);
}

/* What ibv_query_ece() gives of this device, no options, may be set too: programs hand on one to the other. */
CM_EXPORT int rdma_set_local_ece(struct rdma_cm_id *ib, struct ibv_ece *ece)
{
	if (!ib || !ece || ib->qp || ece->vendor_id > HCA_CM_VENDOR_MAX || ece->comp_mask)
		return cm_fail(EINVAL);
	pthread_mutex_lock(&cm_lock);
	cm_id_of(ib)->ece = *ece;
	pthread_mutex_unlock(&cm_lock);
	return 0;
}

/* For queue pairs of the program's own: one of rdma_create_qp() has no options. */
CM_EXPORT int rdma_get_remote_ece(struct rdma_cm_id *ib, struct ibv_ece *ece)
{
	if (!ib || !ece || ib->qp)
		return cm_fail(EINVAL);
	pthread_mutex_lock(&cm_lock);
	*ece = cm_id_of(ib)->remote_ece;
	pthread_mutex_unlock(&cm_lock);
	return 0;
}
