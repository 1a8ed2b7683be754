/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the communication manager tells becomes events of the program's; the deaths of
 * other processes too. A queue pair is made ready in the thread that fetches the event,
 * as with a kernel's librdmacm, so the program's verbs objects are never touched behind its back.
 */
#include "rdmacm.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_SEC 1000000000
#define ROOM_NS 300000000ull
#define SETTLE_NS 500000000
#define IDLE_MAX 3u
#define DELAY 24u /* code: 68 s, which the program may take for an answer */

/* --- messages --- */

static u8 said_len(const struct hca_cm_msg *msg, u8 room)
{
	switch (msg->attr) {
	case HCA_CM_REQ:
	case HCA_CM_SIDR_REQ:
		return msg->private_data[CM_HEADER_FLAGS] & CM_HAS_LENGTH ? msg->private_data[msg->private_len - 1] :
									    room;
	case HCA_CM_REP:
		return msg->eecn ? (u8)(msg->eecn - 1) : room;
	case HCA_CM_REJ:
	case HCA_CM_SIDR_REP:
		return msg->ari_len == 1 ? msg->ari[0] : room;
	default:
		return room;
	}
}

u8 cm_private_len(const struct hca_cm_msg *msg, u32 skip)
{
	u8 room = (u8)(msg->private_len - skip);

	return HCA_MIN(said_len(msg, room), room);
}

/* Of the peer's private data what stands behind @skip bytes. What one side offers, the other one may ask for. */
static void fill_conn(struct cm_event *e, const struct hca_cm_msg *msg, u32 skip)
{
	u8 len = cm_private_len(msg, skip);

	memcpy(e->data, msg->private_data + skip, len);
	e->ib.param.conn = (struct rdma_conn_param){
		.private_data = len ? e->data : NULL,
		.private_data_len = len,
		.responder_resources = msg->initiator_depth,
		.initiator_depth = msg->responder_resources,
		.flow_control = msg->flow_control,
		.retry_count = msg->retry_count,
		.rnr_retry_count = msg->rnr_retry_count,
		.srq = msg->srq,
		.qp_num = msg->qpn,
	};
}

static void fill_ud(const struct cm_id *id, struct cm_event *e, const struct hca_cm_msg *msg, u32 skip)
{
	u8 len = cm_private_len(msg, skip);

	memcpy(e->data, msg->private_data + skip, len);
	e->ib.param.ud = (struct rdma_ud_param){
		.private_data = len ? e->data : NULL,
		.private_data_len = len,
		.qp_num = msg->qpn,
		.qkey = msg->qkey,
	};
	cm_ah_attr(id, &e->ib.param.ud.ah_attr);
}

/* What is needed later of a REQ or a REP. */
static void keep(struct cm_id *id, const struct hca_cm_msg *msg)
{
	id->peer.qpn = msg->qpn;
	id->peer.psn = msg->psn;
	id->responder_resources = msg->initiator_depth;
	id->initiator_depth = msg->responder_resources;
	id->rnr_retry_count = msg->rnr_retry_count;
	id->remote_ece = (struct ibv_ece){ .vendor_id = hca_cm_vendor_id(msg), .options = msg->attr_mod };
}

static void no_memory(void)
{
	hca_log(HCA_LOG_ERR, "rdmacm: no memory for an event");
}

/* --- requests --- */

static void addresses(struct cm_id *child, const struct cm_id *listener, const struct hca_cm_ip *ip)
{
	u32 at = ip->version == 4 ? CM_IP_AT : 0;

	child->src = cm_addr_any_of(ip->version);
	child->dst = child->src;
	child->src.port = listener->src.port;
	child->dst.port = ip->port;
	memcpy(child->src.ip + at, ip->dst, 16 - at);
	memcpy(child->dst.ip + at, ip->src, 16 - at);
	if (child->src.version == 6 && child->src.ip[0] == 0xfe)
		child->src.scope = child->dst.scope = listener->src.scope;
	cm_addr_to(&child->src, &child->ib.route.addr.src_storage);
	cm_addr_to(&child->dst, &child->ib.route.addr.dst_storage);
}

static enum ibv_qp_type type_of(const struct cm_id *listener, const struct hca_cm_msg *msg)
{
	if (msg->attr == HCA_CM_SIDR_REQ)
		return IBV_QPT_UD;
	switch (msg->service_type) {
	case HCA_CM_SERVICE_UC:
		return IBV_QPT_UC;
	case HCA_CM_SERVICE_EXTENDED:
		return IBV_QPT_XRC_RECV;
	default:
		return listener->ib.qp_type == IBV_QPT_XRC_RECV ? IBV_QPT_XRC_RECV : IBV_QPT_RC;
	}
}

static struct cm_id *make_child(struct cm_id *l, struct hca_cm_id *cm, const struct hca_cm_msg *msg,
				const struct hca_cm_ip *ip)
{
	struct cm_id *child = cm_id_new(cm_channel_of(l->ib.channel), l->ib.context, l->ib.ps, type_of(l, msg));

	if (!child)
		return NULL;
	child->cm = cm;
	child->manager = cm_from(&cm->to);
	child->stamp = msg->ca_guid;
	child->state = CM_CONNECT;
	child->ib.pd = l->ib.pd;
	child->qkey = RDMA_UDP_QKEY;
	child->retry_count = msg->retry_count;
	child->peer.mtu = msg->path_mtu;
	child->tos = l->tos;
	child->ack_timeout = l->ack_timeout;
	addresses(child, l, ip);
	cm_id_settle(child);
	keep(child, msg);
	if (msg->attr == HCA_CM_REQ) {
		memcpy(child->dgid.raw, msg->primary.local_gid, sizeof(child->dgid.raw));
		child->ib.route.addr.addr.ibaddr.dgid = child->dgid;
	}
	cm_set_path(child);
	return child;
}

static struct cm_event *make_request(struct cm_id *l, struct cm_id *child, const struct hca_cm_msg *msg)
{
	struct cm_event *e = cm_event_new(child, l, RDMA_CM_EVENT_CONNECT_REQUEST, 0);

	if (!e)
		return NULL;
	if (cm_is_ud(child))
		fill_ud(child, e, msg, HCA_CM_IP_BYTES);
	else
		fill_conn(e, msg, HCA_CM_IP_BYTES);
	return e;
}

/* Return: it waits in the listener's channel. Else there is no memory, no room, or the listener is for queue pairs of another kind. */
static bool on_request(struct cm_id *l, struct hca_cm_id *cm, const struct hca_cm_msg *msg)
{
	struct cm_event *e = NULL;
	struct cm_id *child;
	struct hca_cm_ip ip;

	if (l->state != CM_LISTEN || l->requests >= HCA_CM_BACKLOG_MAX ||
	    cm_is_ud(l) != (msg->attr == HCA_CM_SIDR_REQ) || hca_cm_ip_decode(msg->private_data, msg->private_len, &ip))
		return false;
	child = make_child(l, cm, msg, &ip);
	if (child)
		e = make_request(l, child, msg);
	if (!e) {
		no_memory();
		if (child) {
			child->cm = NULL;
			child->manager = 0;
			cm_id_free(child);
		}
		return false;
	}
	cm->context = child;
	child->request = e;
	if (++l->requests > l->backlog) {
		child->expires = hca_now_ns() + ROOM_NS;
		cm_knock_later();
	}
	cm_event_queue(e);
	/* An answer may take its time. */
	if (!cm_is_ud(child))
		(void)hca_cm_delay(cm, DELAY, NULL, 0);
	return true;
}

/* Under cm_lock. Return: the event of one that is to be refused, off its queue; @waits: some aren't yet. */
static struct cm_event *find_late(bool *waits)
{
	struct cm_event *e;
	struct cm_id *id;

	*waits = false;
	for (id = cm_each(); id; id = id->next) {
		e = id->request;
		if (!e || !id->expires)
			continue;
		if (e->owner->requests <= e->owner->backlog) {
			id->expires = 0;
		} else if (hca_now_ns() >= id->expires) {
			e->owner->requests--;
			cm_event_remove(e);
			return e;
		} else {
			*waits = true;
		}
	}
	return NULL;
}

/* A backlog is full for a moment when many come at once. What has no room then is refused when it has none in a while. */
bool cm_refuse_late(void)
{
	struct cm_event *late;
	bool waits;

	do {
		pthread_mutex_lock(&cm_lock);
		late = find_late(&waits);
		pthread_mutex_unlock(&cm_lock);
		if (late) {
			cm_id_end_unseen(cm_id_of(late->ib.id));
			free(late);
		}
	} while (late);
	return waits;
}

/* --- what happens to a connection --- */

static void on_reply(struct cm_id *id, const struct hca_cm_msg *msg)
{
	struct cm_event *e = cm_event_new(id, NULL, RDMA_CM_EVENT_CONNECT_RESPONSE, 0);

	if (!e) {
		no_memory();
		return;
	}
	keep(id, msg);
	fill_conn(e, msg, 0);
	cm_event_queue(e);
	(void)hca_cm_delay(id->cm, DELAY, NULL, 0);
}

static void on_end(struct cm_id *id, enum rdma_cm_event_type type, int status, const struct hca_cm_msg *msg)
{
	struct cm_event *e;

	if (id->over)
		return;
	id->over = true;
	e = cm_event_new(id, NULL, type, status);
	if (!e) {
		no_memory();
		return;
	}
	if (msg && !cm_is_ud(id))
		fill_conn(e, msg, 0);
	cm_event_queue(e);
}

static void on_sidr_reply(struct cm_id *id, const struct hca_cm_msg *msg)
{
	struct cm_event *e;

	if (msg->status) {
		on_end(id, RDMA_CM_EVENT_UNREACHABLE, msg->status, NULL);
		return;
	}
	e = cm_event_new(id, NULL, RDMA_CM_EVENT_ESTABLISHED, 0);
	if (!e) {
		no_memory();
		return;
	}
	fill_ud(id, e, msg, 0);
	id->established = true;
	cm_event_queue(e);
}

static void on_event(struct cm_id *id, const struct hca_cm_event *event)
{
	const struct hca_cm_msg *msg = event->msg;

	switch (event->type) {
	case HCA_CM_EVENT_REPLY:
		on_reply(id, msg);
		break;
	case HCA_CM_EVENT_SIDR_REPLY:
		on_sidr_reply(id, msg);
		break;
	case HCA_CM_EVENT_ESTABLISHED:
		id->established = true;
		cm_tell(id, RDMA_CM_EVENT_ESTABLISHED, 0);
		break;
	case HCA_CM_EVENT_REJECTED:
		if (!msg || msg->reason != HCA_CM_REJ_INVALID_SERVICE_ID || !cm_knock_again(id))
			on_end(id, RDMA_CM_EVENT_REJECTED, msg ? msg->reason : HCA_CM_REJ_STALE_CONN, msg);
		break;
	case HCA_CM_EVENT_UNREACHABLE:
		on_end(id, RDMA_CM_EVENT_UNREACHABLE, event->status, NULL);
		break;
	case HCA_CM_EVENT_DISCONNECT:
	case HCA_CM_EVENT_DISCONNECTED:
		on_end(id, RDMA_CM_EVENT_DISCONNECTED, event->status, NULL);
		break;
	case HCA_CM_EVENT_TIMEWAIT_EXIT:
		cm_tell(id, RDMA_CM_EVENT_TIMEWAIT_EXIT, 0);
		break;
	default:
		break;
	}
}

void cm_on_cm(struct hca_cm_id *cm, const struct hca_cm_event *event)
{
	struct cm_id *id = cm->context;
	bool request = event->type == HCA_CM_EVENT_REQUEST || event->type == HCA_CM_EVENT_SIDR_REQUEST;
	bool refuse = false;

	pthread_mutex_lock(&cm_lock);
	if (request)
		refuse = !on_request(id, cm, event->msg);
	else if (id->state != CM_ENDING && id->cm == cm)
		on_event(id, event);
	pthread_mutex_unlock(&cm_lock);
	if (refuse)
		hca_cm_destroy(cm);
}

/* --- deaths --- */

/* What the peer's kernel would have said in its name; of datagrams only who waits for an answer is told. Return: what is to be destroyed. */
static struct hca_cm_id *lose(struct cm_id *id)
{
	struct hca_cm_id *cm = id->cm;

	id->gone = false;
	if (!cm || (cm_is_ud(id) && (id->established || !id->entry)))
		return NULL;
	if (id->established)
		on_end(id, RDMA_CM_EVENT_DISCONNECTED, 0, NULL);
	else
		on_end(id, RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT, NULL);
	id->lost = true;
	id->cm = NULL;
	return cm;
}

void cm_mourn(void)
{
	struct hca_cm_id *cm;
	struct cm_id *id;

	do {
		cm = NULL;
		pthread_mutex_lock(&cm_lock);
		for (id = cm_each(); id && !cm; id = id->next)
			if (id->gone)
				cm = lose(id);
		pthread_mutex_unlock(&cm_lock);
		if (cm)
			hca_cm_destroy(cm);
	} while (cm);
}

/* --- fetching --- */

/* The peer accepts. The ID's own queue pair is made ready, and then the peer hears of it. */
static void open_active(struct cm_id *id, struct cm_event *e)
{
	static const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER };
	int err;

	if (!cm_qp_is(id))
		return;
	err = cm_qp_ready(id);
	pthread_mutex_lock(&cm_lock);
	if (!err)
		err = id->cm ? -hca_cm_ready(id->cm, NULL, 0) : ECONNRESET;
	if (err && id->cm)
		(void)hca_cm_reject(id->cm, &rej);
	id->established = !err;
	id->failed = err != 0;
	pthread_mutex_unlock(&cm_lock);
	e->ib.event = err ? RDMA_CM_EVENT_CONNECT_ERROR : RDMA_CM_EVENT_ESTABLISHED;
	e->ib.status = -err;
	if (err)
		cm_qp_error(id);
}

static pthread_cond_t touched = PTHREAD_COND_INITIALIZER;

static void forget_seen(struct cm_id *id)
{
	struct cm_id *l = id->seen;

	if (l && l->last == id)
		l->last = NULL;
	id->seen = NULL;
	pthread_cond_broadcast(&touched);
}

void cm_id_touched(struct cm_id *id)
{
	pthread_mutex_lock(&cm_lock);
	if (id->last)
		id->last->seen = NULL;
	id->last = NULL;
	forget_seen(id);
	pthread_mutex_unlock(&cm_lock);
}

/*
 * Some programs have room for one request, which another thread takes from there (rping -P): the next one comes when that is done.
 * A program that lets requests lie is found out by the first few, and not waited for any more.
 */
static void let_settle(struct cm_id *l)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += SETTLE_NS;
	if (until.tv_nsec >= NS_PER_SEC) {
		until.tv_nsec -= NS_PER_SEC;
		until.tv_sec++;
	}
	while (l->last && l->idle < IDLE_MAX)
		if (pthread_cond_timedwait(&touched, &cm_lock, &until) == ETIMEDOUT)
			break;
	if (!l->last) {
		l->idle = 0;
		return;
	}
	if (l->idle < IDLE_MAX)
		l->idle++;
	forget_seen(l->last);
}

static bool fetched_request(struct cm_event *e)
{
	struct cm_id *child = cm_id_of(e->ib.id), *l = e->owner;

	pthread_mutex_lock(&cm_lock);
	let_settle(l);
	l->requests--;
	l->last = child;
	child->seen = l;
	pthread_mutex_unlock(&cm_lock);
	if (l->sync && cm_id_sync(child))
		hca_log(HCA_LOG_ERR, "rdmacm: no channel for a connection: %s", strerror(errno));
	return true;
}

bool cm_fetched(struct cm_event *e)
{
	struct cm_id *id = cm_id_of(e->ib.id);

	switch (e->ib.event) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		return fetched_request(e);
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		open_active(id, e);
		return true;
	case RDMA_CM_EVENT_REJECTED:
		cm_qp_error(id);
		return !id->failed;
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_DISCONNECTED:
		return !id->failed;
	case RDMA_CM_EVENT_MULTICAST_JOIN:
		cm_group_fetched(e);
		return true;
	default:
		return true;
	}
}
