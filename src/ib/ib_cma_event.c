/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What IDs tell their handlers, and how an ID ends. What the communication manager tells in whatever thread is noted in
 * the ID, where there is room for each kind once, so that no event is lost for want of memory; a worker calls the handler. A
 * request's ID waits in the listener's queue, and what it has to tell itself waits until the handler was told of it.
 */
#include "ib_cma.h"

#define DELAY 24u /* code: what a handler of a request may take, as far as the manager waits at all */

static struct list_head wild = LIST_HEAD_INIT(wild); /* listeners to any address; under ib_cma_lock() */

static struct ib_cma_id *first_reap; /* atomic: ended in their handlers */
static void reap(struct hca_eq_node *node);
static struct hca_eq_node reaper = { .fire = reap };
static void fire(struct hca_eq_node *node);

struct ib_cma_id *ib_cma_new(unsigned int flags)
{
	struct ib_cma_id *id = hca_alloc(sizeof(*id), flags);

	if (!id)
		return NULL;
	hca_spin_init(&id->lock);
	INIT_LIST_HEAD(&id->on_dev);
	INIT_LIST_HEAD(&id->wild);
	INIT_LIST_HEAD(&id->requests);
	INIT_LIST_HEAD(&id->request);
	id->node.fire = fire;
	return id;
}

int ib_cma_move(struct ib_cma_id *id, u32 from, enum ib_cma_state to)
{
	hca_irqflags_t flags;
	int err = -EINVAL;

	hca_spin_lock(&id->lock, flags);
	if (from & 1u << id->state) {
		id->state = to;
		err = 0;
	}
	hca_spin_unlock(&id->lock, flags);
	return err;
}

/* --- what has happened --- */

/* Whoever frees it takes the lock first, so it is there as long as we hold it. */
static void note(struct ib_cma_id *id, enum ib_cma_slot slot, enum rdma_cm_event_type type, int status)
{
	hca_spin_assert(&id->lock);
	if (id->state == IB_CMA_ENDING)
		return;
	id->slot[slot].type = type;
	id->slot[slot].status = status;
	id->pending |= 1u << slot;
	if (!id->held)
		ib_work_add(&id->node);
}

void ib_cma_tell(struct ib_cma_id *id, enum ib_cma_slot slot, enum rdma_cm_event_type type, int status)
{
	hca_irqflags_t flags;

	hca_spin_lock(&id->lock, flags);
	note(id, slot, type, status);
	hca_spin_unlock(&id->lock, flags);
}

/* Of the ULP's private data what stands behind @skip bytes. What one side offers, the other one may ask for. */
static void keep_msg(struct ib_cma_msg *to, const struct hca_cm_msg *msg, u32 skip)
{
	u8 len = (u8)(msg->private_len - skip);

	hca_memcpy(to->data, msg->private_data + skip, len);
	to->psn = msg->psn;
	to->ece = (struct rdma_ucm_ece){ .vendor_id = hca_cm_vendor_id(msg), .attr_mod = msg->attr_mod };
	to->mtu = msg->path_mtu;
	to->conn = (struct rdma_conn_param){
		.private_data = to->data,
		.private_data_len = len,
		.responder_resources = msg->initiator_depth,
		.initiator_depth = msg->responder_resources,
		.flow_control = msg->flow_control,
		.retry_count = msg->retry_count,
		.rnr_retry_count = msg->rnr_retry_count,
		.srq = msg->srq,
		.qp_num = msg->qpn,
		.qkey = msg->qkey,
	};
}

/* The event of a message. */
static void fill_param(const struct ib_cma_id *id, const struct rdma_conn_param *from, struct rdma_cm_event *event)
{
	if (id->ib.qp_type != IB_QPT_UD) {
		event->param.conn = *from;
		return;
	}
	event->param.ud = (struct rdma_ud_param){
		.private_data = from->private_data,
		.private_data_len = from->private_data_len,
		.ah_attr = { .dlid = id->to.dlid, .sl = id->to.sl, .port_num = 1 },
		.qp_num = from->qp_num,
		.qkey = from->qkey,
	};
}

static void on_reply(struct ib_cma_id *id, const struct hca_cm_msg *msg)
{
	u8 mtu = id->open.mtu; /* of our own REQ */

	keep_msg(&id->open, msg, 0);
	id->open.mtu = mtu;
	id->responder_resources = msg->initiator_depth;
	id->initiator_depth = msg->responder_resources;
	id->rnr_retry_count = msg->rnr_retry_count;
	ib_cma_tell(id, IB_CMA_SLOT_OPEN, RDMA_CM_EVENT_CONNECT_RESPONSE, 0);
}

static void on_rejected(struct ib_cma_id *id, const struct hca_cm_event *event)
{
	if (event->msg)
		keep_msg(&id->end, event->msg, 0);
	ib_cma_tell(id, IB_CMA_SLOT_END, RDMA_CM_EVENT_REJECTED,
		    event->msg ? event->msg->reason : IB_CM_REJ_STALE_CONN);
}

static void on_sidr_reply(struct ib_cma_id *id, const struct hca_cm_msg *msg)
{
	keep_msg(&id->open, msg, 0);
	if (msg->status)
		ib_cma_tell(id, IB_CMA_SLOT_END, RDMA_CM_EVENT_UNREACHABLE, msg->status);
	else
		ib_cma_tell(id, IB_CMA_SLOT_OPEN, RDMA_CM_EVENT_ESTABLISHED, 0);
}

/* --- requests --- */

static void addresses(struct ib_cma_id *child, const struct ib_cma_id *listener, const struct hca_cm_ip *ip)
{
	struct ib_cma_addr peer = { .version = ip->version, .port = ip->port };
	u32 at = ip->version == 4 ? IB_CMA_IP_AT : 0;

	child->src.version = ip->version;
	child->src.port = listener->src.port;
	if (at)
		child->src.gid[10] = child->src.gid[11] = peer.gid[10] = peer.gid[11] = 0xff;
	hca_memcpy(child->src.gid + at, ip->dst, 16 - at);
	hca_memcpy(peer.gid + at, ip->src, 16 - at);
	ib_cma_addr_to(&child->src, &child->ib.route.addr.src_addr);
	ib_cma_addr_to(&peer, &child->ib.route.addr.dst_addr);
}

/* The path of a REQ, from our side. A question about datagrams has none. */
static void path_back(struct ib_cma_id *child, const struct hca_cm_route *theirs, u8 mtu)
{
	struct sa_path_rec *p = &child->path;

	hca_memcpy(&p->sgid, theirs->remote_gid, sizeof(p->sgid));
	hca_memcpy(&p->dgid, theirs->local_gid, sizeof(p->dgid));
	p->pkey = htons(HCA_DEFAULT_PKEY);
	p->traffic_class = theirs->traffic_class;
	p->sl = theirs->sl;
	p->mtu = mtu;
	p->ib.slid = htonl(theirs->remote_lid);
	p->ib.dlid = htonl(theirs->local_lid);
	child->ib.route.path_rec = p;
	child->ib.route.num_pri_alt_paths = 1;
}

static struct ib_cma_id *make_child(const struct ib_cma_id *l, struct hca_cm_id *cm, const struct hca_cm_msg *msg,
				    const struct hca_cm_ip *ip)
{
	struct ib_cma_gsi *g = hca_container_of(hca_container_of(cm->cm, struct hca_gsi, cm), struct ib_cma_gsi, gsi);
	struct ib_cma_id *child = ib_cma_new(0);

	if (!child)
		return NULL;
	child->ib.context = l->ib.context;
	child->ib.event_handler = l->ib.event_handler;
	child->ib.ps = l->ib.ps;
	child->ib.qp_type = l->ib.qp_type == IB_QPT_UD		   ? IB_QPT_UD :
			    msg->service_type == HCA_CM_SERVICE_UC ? IB_QPT_UC :
								     IB_QPT_RC;
	child->ib.route.addr.dev_addr.net = &init_net;
	child->cm = cm;
	child->to = cm->to;
	child->state = IB_CMA_CONNECT;
	child->held = 1;
	child->psn = hca_random_u32() & 0xffffff;
	child->retry_count = msg->retry_count;
	addresses(child, l, ip);
	keep_msg(&child->open, msg, HCA_CM_IP_BYTES);
	if (msg->attr == HCA_CM_REQ)
		path_back(child, &msg->primary, msg->path_mtu);
	if (ib_cma_attach(child, g->dev)) {
		hca_free(child);
		return NULL;
	}
	return child;
}

/* In the queue, or refused: there is no memory, or no room, or the listener is for queue pairs of another kind. */
static void on_request(struct ib_cma_id *l, struct hca_cm_id *cm, const struct hca_cm_msg *msg)
{
	bool fits = (l->ib.qp_type == IB_QPT_UD) == (msg->attr == HCA_CM_SIDR_REQ);
	struct ib_cma_id *child = NULL;
	hca_irqflags_t flags;
	struct hca_cm_ip ip;
	bool taken = false;

	if (fits && !hca_cm_ip_decode(msg->private_data, msg->private_len, &ip))
		child = make_child(l, cm, msg, &ip);
	if (child) {
		hca_spin_lock(&l->lock, flags);
		taken = l->state == IB_CMA_LISTEN && l->waiting < l->backlog;
		if (taken) {
			cm->context = child;
			list_add_tail(&child->request, &l->requests);
			l->waiting++;
			ib_work_add(&l->node);
		}
		hca_spin_unlock(&l->lock, flags);
	}
	if (taken)
		return;
	if (child)
		ib_cma_release(child);
	hca_cm_destroy(cm);
}

void ib_cma_on_cm(struct hca_cm_id *cm, const struct hca_cm_event *event)
{
	struct ib_cma_id *id = cm->context;

	switch (event->type) {
	case HCA_CM_EVENT_REQUEST:
	case HCA_CM_EVENT_SIDR_REQUEST:
		on_request(id, cm, event->msg);
		break;
	case HCA_CM_EVENT_REPLY:
		on_reply(id, event->msg);
		break;
	case HCA_CM_EVENT_SIDR_REPLY:
		on_sidr_reply(id, event->msg);
		break;
	case HCA_CM_EVENT_ESTABLISHED:
		ib_cma_tell(id, IB_CMA_SLOT_OPEN, RDMA_CM_EVENT_ESTABLISHED, 0);
		break;
	case HCA_CM_EVENT_REJECTED:
		on_rejected(id, event);
		break;
	case HCA_CM_EVENT_UNREACHABLE:
		ib_cma_tell(id, IB_CMA_SLOT_END, RDMA_CM_EVENT_UNREACHABLE, event->status);
		break;
	case HCA_CM_EVENT_DISCONNECT:
	case HCA_CM_EVENT_DISCONNECTED:
		ib_cma_tell(id, IB_CMA_SLOT_END, RDMA_CM_EVENT_DISCONNECTED, event->status);
		break;
	case HCA_CM_EVENT_TIMEWAIT_EXIT:
		ib_cma_tell(id, IB_CMA_SLOT_EXIT, RDMA_CM_EVENT_TIMEWAIT_EXIT, 0);
		break;
	default:
		break;
	}
}

/* --- listening --- */

/* How the private data of a request to this address begins. NULL: any may come. */
static const struct hca_cm_match *make_match(const struct ib_cma_id *id, struct hca_cm_match *match)
{
	const struct ib_cma_addr *a = &id->src;
	struct hca_cm_ip all = { .version = a->version }, ip = all;
	bool any = ib_cma_addr_any(a);
	u32 at = a->version == 4 ? IB_CMA_IP_AT : 0;

	if (any && a->version == 6 && !id->afonly)
		return NULL;
	if (!any) {
		hca_memset(all.dst, 0xff, 16 - at);
		hca_memcpy(ip.dst, a->gid + at, 16 - at);
	}
	(void)hca_cm_ip_encode(&all, match->mask);
	(void)hca_cm_ip_encode(&ip, match->data);
	match->mask[1] = 0xf0;
	return match;
}

int ib_cma_listen_on(struct ib_cma_id *id, struct ib_cma_dev *d)
{
	u64 service = (u64)id->ib.ps << 16 | id->src.port;
	struct ib_cma_listener *l;
	struct hca_cm_match match;
	int err = ib_cma_open(d);

	if (err)
		return err;
	l = hca_alloc(sizeof(*l), HCA_MAY_SLEEP);
	if (!l)
		return -ENOMEM;
	err = hca_cm_create(&d->gsi->gsi.cm, ib_cma_on_cm, id, &l->cm);
	if (err)
		goto free_listener;
	err = hca_cm_listen(l->cm, service, ~0ull, make_match(id, &match), 0);
	if (err)
		goto destroy_cm;
	l->dev = d;
	l->next = id->listeners;
	id->listeners = l;
	return 0;
destroy_cm:
	hca_cm_destroy(l->cm);
free_listener:
	hca_free(l);
	return err;
}

void ib_cma_listen_no_more(struct ib_cma_id *id, const struct ib_cma_dev *d)
{
	struct ib_cma_listener **at = &id->listeners, *l;

	while ((l = *at)) {
		if (d && l->dev != d) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		hca_cm_destroy(l->cm);
		hca_free(l);
	}
}

void ib_cma_wild_add(struct ib_cma_id *id)
{
	list_add_tail(&id->wild, &wild);
}

/* --- the end --- */

/* No event is noted any more, and the peer is notified. */
static void begin_end(struct ib_cma_id *id)
{
	hca_irqflags_t flags;

	hca_spin_lock(&id->lock, flags);
	id->state = IB_CMA_ENDING;
	id->pending = 0;
	hca_spin_unlock(&id->lock, flags);
	ib_cma_lock();
	ib_cma_port_give(id);
	list_del_init(&id->wild);
	ib_cma_listen_no_more(id, NULL);
	ib_cma_unlock();
	if (id->cm)
		hca_cm_destroy(id->cm);
	id->cm = NULL;
}

/* No handler is under way. Requests that it wasn't told of are refused. */
static void finish_end(struct ib_cma_id *id)
{
	struct ib_cma_id *child;

	while (!list_empty(&id->requests)) {
		child = hca_container_of(id->requests.next, struct ib_cma_id, request);
		list_del_init(&child->request);
		begin_end(child);
		ib_cma_release(child);
	}
	ib_cma_release(id);
}

/* A kernel waits for the handler there, for ever. Return: we are in a handler of the ID. */
static bool ends_itself(struct ib_cma_id *id)
{
	uintptr_t context = hca_context();

	if (!context || hca_load(&id->in_handler) != context)
		return false;
	(void)ib_cma_refuse(
		id, -EDEADLK, "rdma_destroy_id",
		"this is a handler of the ID, which must return a value other than 0 instead, and a listener "
		"isn't destroyed in a handler of its requests; the ID ends when the handler has returned");
	id->destroyed = true;
	return true;
}

void ib_cma_end(struct ib_cma_id *id)
{
	u32 turns = 0;

	if (ends_itself(id))
		return;
	while (hca_load_acquire(&id->held))
		hca_relax(&turns);
	begin_end(id);
	ib_work_cancel(&id->node);
	finish_end(id);
}

/* In a call of the ID's node, so the node is in use until that has returned. */
static void end_in_handler(struct ib_cma_id *id)
{
	struct ib_cma_id *old;

	begin_end(id);
	do {
		old = hca_load(&first_reap);
		id->next_reap = old;
	} while (hca_cmpxchg(&first_reap, old, id) != old);
	ib_work_add(&reaper);
}

static void reap(struct hca_eq_node *node)
{
	struct ib_cma_id *id = hca_xchg(&first_reap, NULL), *next;

	(void)node;
	for (; id; id = next) {
		next = id->next_reap;
		ib_work_cancel(&id->node);
		finish_end(id);
	}
}

/* --- calls of the handler --- */

/* Return: the ID ends. */
static bool call_handler(struct ib_cma_id *id, struct rdma_cm_event *event)
{
	bool ends;

	hca_store(&id->in_handler, hca_context());
	ends = id->ib.event_handler(&id->ib, event);
	hca_store(&id->in_handler, (uintptr_t)0);
	return ends || id->destroyed;
}

/* The peer accepts. The ID's own queue pair is made ready, and then the peer is notified. */
static void open_active(struct ib_cma_id *id, struct rdma_cm_event *event)
{
	static const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER };
	int err;

	event->param.conn = id->open.conn;
	event->ece = id->open.ece;
	if (!ib_cma_qp_is(id))
		return;
	err = ib_cma_qp_ready(id);
	if (!err)
		err = hca_cm_ready(id->cm, NULL, 0);
	event->event = err ? RDMA_CM_EVENT_CONNECT_ERROR : RDMA_CM_EVENT_ESTABLISHED;
	event->status = err;
	if (!err)
		return;
	ib_cma_qp_error(id);
	(void)hca_cm_reject(id->cm, &rej);
}

static void tell_own(struct ib_cma_id *id, struct rdma_cm_event *event)
{
	switch (event->event) {
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		open_active(id, event);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		if (id->ib.qp_type == IB_QPT_UD)
			fill_param(id, &id->open.conn, event);
		break;
	case RDMA_CM_EVENT_REJECTED:
		event->param.conn = id->end.conn;
		ib_cma_qp_error(id);
		break;
	case RDMA_CM_EVENT_UNREACHABLE:
		ib_cma_qp_error(id);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		id->ib.route.path_rec = &id->path;
		id->ib.route.num_pri_alt_paths = 1;
		break;
	default:
		break;
	}
	if (call_handler(id, event))
		end_in_handler(id);
}

/* Its own events come from now on. Whoever ends it waits for that, and then for the lock. */
static void let_go(struct ib_cma_id *child)
{
	hca_irqflags_t flags;

	hca_spin_lock(&child->lock, flags);
	hca_store_release(&child->held, 0u);
	if (child->pending)
		ib_work_add(&child->node);
	hca_spin_unlock(&child->lock, flags);
}

static void tell_request(struct ib_cma_id *listener, struct ib_cma_id *child)
{
	struct rdma_cm_event event = { .event = RDMA_CM_EVENT_CONNECT_REQUEST };
	bool ends;

	fill_param(child, &child->open.conn, &event);
	event.ece = child->open.ece;
	hca_store(&listener->in_handler, hca_context());
	ends = call_handler(child, &event);
	hca_store(&listener->in_handler, (uintptr_t)0);
	if (listener->destroyed)
		end_in_handler(listener);
	if (ends) {
		begin_end(child);
		ib_cma_release(child);
		return;
	}
	/* An answer may take its time; if there was one, this does nothing. */
	(void)hca_cm_delay(child->cm, DELAY, NULL, 0);
	let_go(child);
}

/* What the handler may do in the event, the state must allow. */
static void step(struct ib_cma_id *id, enum rdma_cm_event_type type)
{
	hca_spin_assert(&id->lock);
	switch (type) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		id->state = IB_CMA_ADDR_RESOLVED;
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
		id->state = IB_CMA_BOUND;
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		id->state = IB_CMA_ROUTE_RESOLVED;
		break;
	case RDMA_CM_EVENT_ROUTE_ERROR:
		id->state = IB_CMA_ADDR_RESOLVED;
		break;
	default:
		break;
	}
}

static struct ib_cma_id *take_request(struct ib_cma_id *id)
{
	struct ib_cma_id *child;

	hca_spin_assert(&id->lock);
	if (list_empty(&id->requests))
		return NULL;
	child = hca_container_of(id->requests.next, struct ib_cma_id, request);
	list_del_init(&child->request);
	id->waiting--;
	return child;
}

static bool take_own(struct ib_cma_id *id, struct rdma_cm_event *event)
{
	u32 slot;

	hca_spin_assert(&id->lock);
	for (slot = 0; slot < IB_CMA_SLOTS && !(id->pending & 1u << slot); slot++)
		;
	if (slot == IB_CMA_SLOTS)
		return false;
	id->pending &= ~(1u << slot);
	event->event = id->slot[slot].type;
	event->status = id->slot[slot].status;
	step(id, event->event);
	return true;
}

/* One event; if there are more, we are called again. */
static void fire(struct hca_eq_node *node)
{
	struct ib_cma_id *id = hca_container_of(node, struct ib_cma_id, node), *child = NULL;
	struct rdma_cm_event event = { 0 };
	hca_irqflags_t flags;
	bool own = false;

	hca_spin_lock(&id->lock, flags);
	if (id->state != IB_CMA_ENDING) {
		child = take_request(id);
		own = !child && take_own(id, &event);
		if (id->pending || !list_empty(&id->requests))
			ib_work_add(node);
	}
	hca_spin_unlock(&id->lock, flags);
	if (child)
		tell_request(id, child);
	else if (own)
		tell_own(id, &event);
}

/* --- devices --- */

void ib_cma_device_added(struct ib_device *dev)
{
	struct list_head *at;
	struct ib_cma_id *id;

	ib_cma_lock();
	ib_cma_enter(dev);
	for (at = wild.next; at != &wild; at = at->next) {
		id = hca_container_of(at, struct ib_cma_id, wild);
		if (ib_cma_listen_on(id, &dev->core->cma))
			hca_log(HCA_LOG_ERR, "%s: no listener for port %u here: no memory", dev->name, id->src.port);
	}
	ib_cma_unlock();
}

/* Under ib_cma_lock(): nobody comes any more, and those that are here hear of it. Return: there are some. */
static bool leave(struct ib_cma_dev *d)
{
	struct list_head *at;
	hca_irqflags_t flags;
	bool some;

	hca_spin_lock(&d->lock, flags);
	d->leaving = true;
	some = d->users;
	for (at = d->ids.next; at != &d->ids; at = at->next)
		ib_cma_tell(hca_container_of(at, struct ib_cma_id, on_dev), IB_CMA_SLOT_REMOVAL,
			    RDMA_CM_EVENT_DEVICE_REMOVAL, 0);
	hca_spin_unlock(&d->lock, flags);
	return some;
}

void ib_cma_device_removed(struct ib_device *dev)
{
	struct ib_cma_dev *d = &dev->core->cma;
	struct list_head *at;
	hca_irqflags_t flags;
	bool some;

	ib_cma_lock();
	some = leave(d);
	for (at = wild.next; at != &wild; at = at->next)
		ib_cma_listen_no_more(hca_container_of(at, struct ib_cma_id, wild), d);
	ib_cma_unlock();
	if (some)
		(void)hca_wait(&d->gone, ~0ull);
	/* Whoever said so may still hold the lock. */
	hca_spin_lock(&d->lock, flags);
	hca_spin_unlock(&d->lock, flags);
	ib_cma_close(d);
}
