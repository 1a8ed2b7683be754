/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ULP's calls of connections by address; see softhca/rdma_cm.h and ib_cma.h. */
#include "cm/sa.h"
#include "ib_cma.h"

/* Codes of 4.096 us * 2^n, and tries, as Linux asks its peers for. */
#define RESPONSE 20u
#define RETRIES 15u
#define ACK_TIMEOUT 14u

#define ANY_STATE(s) (1u << (s))

/* What the communication manager says to a call. Return: @err */
static int by_cm(struct ib_cma_id *id, int err, const char *call)
{
	if (hca_likely(!err))
		return 0;
	return ib_cma_refuse(id, err, call, "the connection is in no state for it, or a value can't be sent");
}

/* --- life --- */

struct rdma_cm_id *rdma_create_id(struct net *net, rdma_cm_event_handler event_handler, void *context,
				  enum rdma_ucm_port_space ps, enum ib_qp_type qp_type)
{
	struct ib_cma_id *id;
	int err;

	(void)net;
	if (!event_handler)
		return ERR_PTR(hca_refuse(-EINVAL, "rdma_create_id: event_handler is NULL"));
	if (qp_type != IB_QPT_RC && qp_type != IB_QPT_UC && qp_type != IB_QPT_UD)
		return ERR_PTR(hca_refuse(-EINVAL, "rdma_create_id: qp_type %d, must be RC, UC or UD", (int)qp_type));
	err = ib_work_start();
	if (err)
		return ERR_PTR(err);
	id = ib_cma_new(HCA_MAY_SLEEP);
	if (!id)
		return ERR_PTR(-ENOMEM);
	id->ib.context = context;
	id->ib.event_handler = event_handler;
	id->ib.ps = ps;
	id->ib.qp_type = qp_type;
	id->ib.route.addr.dev_addr.net = &init_net;
	return &id->ib;
}

void rdma_destroy_id(struct rdma_cm_id *id)
{
	ib_cma_end(ib_cma_of(id));
}

/* --- addresses --- */

/* Under ib_cma_lock(), of an ID in IDLE. What fails leaves it there; but on a device it may stay. */
static int bind_to(struct ib_cma_id *id, const struct ib_cma_addr *a)
{
	struct ib_cma_dev *d = NULL;
	int err;

	if (!ib_cma_addr_any(a)) {
		d = ib_cma_find(a);
		if (!d)
			return ib_cma_refuse(id, -EADDRNOTAVAIL, "bind", "no device here has this address");
		err = ib_cma_open(d);
		if (err)
			return err;
	}
	id->src = *a;
	err = ib_cma_port_take(id);
	if (err)
		return err;
	if (d && ib_cma_attach(id, d)) {
		ib_cma_port_give(id);
		return -EADDRNOTAVAIL; /* ib_cma_attach() says why */
	}
	ib_cma_addr_to(&id->src, &id->ib.route.addr.src_addr);
	return ib_cma_move(id, ANY_STATE(IB_CMA_IDLE), IB_CMA_BOUND);
}

int rdma_bind_addr(struct rdma_cm_id *ib, struct sockaddr *addr)
{
	struct ib_cma_id *id = ib_cma_of(ib);
	struct ib_cma_addr a;
	int err = ib_cma_addr_from(addr, &a);

	if (err)
		return err;
	ib_cma_lock();
	err = id->state == IB_CMA_IDLE ? bind_to(id, &a) :
					 ib_cma_refuse(id, -EINVAL, "rdma_bind_addr", "it has an address already");
	ib_cma_unlock();
	return err;
}

/* Nowhere is here, as sockets have it. */
static void to_loopback(struct ib_cma_addr *a)
{
	a->gid[a->version == 4 ? IB_CMA_IP_AT : 15] = a->version == 4 ? 127 : 1;
	if (a->version == 4)
		a->gid[15] = 1;
}

/* Under ib_cma_lock(), of an ID that is bound: the way to a device. */
static int lead_to(struct ib_cma_id *id, const struct ib_cma_addr *dst, struct ib_cma_dev *d)
{
	struct hca *hca = &d->dev->core->hca;
	int err = ib_cma_open(d);

	if (!err && !id->dev) {
		err = ib_cma_attach(id, d);
		if (!err)
			hca_memcpy(id->src.gid, dst->gid, sizeof(id->src.gid));
	}
	if (err)
		return err;
	ib_cma_addr_to(&id->src, &id->ib.route.addr.src_addr);
	id->to = (struct hca_ah_attr){ .dlid = (u16)hca->lid, .port_num = 1 };
	hca_memcpy(&id->path.sgid, hca_gid_at(&id->dev->dev->core->hca.gids, 0), sizeof(id->path.sgid));
	hca_memcpy(&id->path.dgid, hca_gid_at(&hca->gids, 0), sizeof(id->path.dgid));
	return 0;
}

static int resolve(struct ib_cma_id *id, const struct ib_cma_addr *src, struct ib_cma_addr *dst)
{
	struct ib_cma_dev *d;
	int err = 0;

	if (id->state == IB_CMA_IDLE)
		err = bind_to(id, src);
	if (err)
		return err;
	if (id->state != IB_CMA_BOUND)
		return ib_cma_refuse(id, -EINVAL, "rdma_resolve_addr", "an address is resolved once");
	if (id->src.version != dst->version)
		return ib_cma_refuse(id, -EINVAL, "rdma_resolve_addr", "one address is of IPv4, the other one of IPv6");
	ib_cma_addr_to(dst, &id->ib.route.addr.dst_addr);
	if (ib_cma_addr_any(dst))
		to_loopback(dst);
	d = ib_cma_find(dst);
	if (d)
		err = lead_to(id, dst, d);
	if (err)
		return err;
	(void)ib_cma_move(id, ANY_STATE(IB_CMA_BOUND), IB_CMA_ADDR_QUERY);
	ib_cma_tell(id, IB_CMA_SLOT_ADDR, d ? RDMA_CM_EVENT_ADDR_RESOLVED : RDMA_CM_EVENT_ADDR_ERROR,
		    d ? 0 : -EHOSTUNREACH);
	return 0;
}

int rdma_resolve_addr(struct rdma_cm_id *ib, struct sockaddr *src_addr, const struct sockaddr *dst_addr,
		      unsigned long timeout_ms)
{
	struct ib_cma_addr src, dst;
	int err = ib_cma_addr_from(dst_addr, &dst);

	(void)timeout_ms;
	if (err)
		return err;
	src = (struct ib_cma_addr){ .version = dst.version };
	if (dst.version == 4)
		src.gid[10] = src.gid[11] = 0xff;
	if (src_addr && src_addr->sa_family) {
		err = ib_cma_addr_from(src_addr, &src);
		if (err)
			return err;
	}
	ib_cma_lock();
	err = resolve(ib_cma_of(ib), &src, &dst);
	ib_cma_unlock();
	return err;
}

static struct ib_cma_dev *by_lid(u32 lid)
{
	struct ib_cma_dev *d = ib_cma_first();

	while (d && d->dev->core->hca.lid != lid)
		d = d->next;
	return d;
}

/* The subnet administration is that of the adapter at the other end; no datagram is needed to ask it. */
static bool find_path(struct ib_cma_id *id)
{
	struct sa_path_rec *p = &id->path;
	u32 lid = id->dev->dev->core->hca.lid;
	struct hca_sa_path q = { .traffic_class = id->tos, .dlid = id->to.dlid, .slid = (u16)lid }, path;
	struct ib_cma_dev *d;
	bool found;

	hca_memcpy(q.dgid, &p->dgid, sizeof(q.dgid));
	hca_memcpy(q.sgid, &p->sgid, sizeof(q.sgid));
	ib_cma_lock();
	d = by_lid(id->to.dlid);
	found = d &&
		!hca_sa_find(&d->dev->core->hca.gids, d->dev->core->hca.lid, lid,
			     HCA_SA_DGID | HCA_SA_SGID | HCA_SA_DLID | HCA_SA_SLID | HCA_SA_TRAFFIC_CLASS, &q, &path);
	ib_cma_unlock();
	if (!found)
		return false;
	p->service_id = rdma_get_service_id(&id->ib, (struct sockaddr *)&id->ib.route.addr.dst_addr);
	p->pkey = htons(path.pkey);
	p->traffic_class = path.traffic_class;
	p->sl = path.sl;
	p->mtu = path.mtu;
	p->hop_limit = path.hop_limit;
	p->packet_life_time = path.life;
	p->ib.dlid = htonl(path.dlid);
	p->ib.slid = htonl(path.slid);
	return true;
}

int rdma_resolve_route(struct rdma_cm_id *ib, unsigned long timeout_ms)
{
	struct ib_cma_id *id = ib_cma_of(ib);

	(void)timeout_ms;
	if (ib_cma_move(id, ANY_STATE(IB_CMA_ADDR_RESOLVED), IB_CMA_ROUTE_QUERY))
		return ib_cma_refuse(id, -EINVAL, "rdma_resolve_route", "wait for RDMA_CM_EVENT_ADDR_RESOLVED before");
	if (find_path(id))
		ib_cma_tell(id, IB_CMA_SLOT_ROUTE, RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
	else
		ib_cma_tell(id, IB_CMA_SLOT_ROUTE, RDMA_CM_EVENT_ROUTE_ERROR, -EHOSTUNREACH);
	return 0;
}

static u64 to_be64(u64 v)
{
	return (u64)htonl((u32)v) << 32 | htonl((u32)(v >> 32));
}

u64 rdma_get_service_id(struct rdma_cm_id *id, struct sockaddr *addr)
{
	struct ib_cma_addr a;
	u64 service = 0;

	if (!ib_cma_addr_from(addr, &a))
		service = (u64)id->ps << 16 | a.port;
	return 1 == htonl(1) ? service : to_be64(service);
}

void rdma_read_gids(struct rdma_cm_id *ib, union ib_gid *sgid, union ib_gid *dgid)
{
	const struct ib_cma_id *id = ib_cma_of(ib);

	if (sgid)
		*sgid = id->path.sgid;
	if (dgid)
		*dgid = id->path.dgid;
}

/* --- options --- */

void rdma_set_service_type(struct rdma_cm_id *id, int tos)
{
	ib_cma_of(id)->tos = (u8)tos;
}

int rdma_set_reuseaddr(struct rdma_cm_id *ib, int reuse)
{
	struct ib_cma_id *id = ib_cma_of(ib);
	int err = -EINVAL;

	ib_cma_lock();
	if (!id->bound) {
		id->reuse = reuse;
		err = 0;
	}
	ib_cma_unlock();
	return err ? ib_cma_refuse(id, err, "rdma_set_reuseaddr", "it is bound already") : 0;
}

int rdma_set_afonly(struct rdma_cm_id *ib, int afonly)
{
	struct ib_cma_id *id = ib_cma_of(ib);
	int err = -EINVAL;

	ib_cma_lock();
	if (id->state == IB_CMA_IDLE || id->state == IB_CMA_BOUND) {
		id->afonly = afonly;
		err = 0;
	}
	ib_cma_unlock();
	return err ? ib_cma_refuse(id, err, "rdma_set_afonly", "that is for an ID that listens to come") : 0;
}

/* --- queue pairs --- */

int rdma_create_qp(struct rdma_cm_id *ib, struct ib_pd *pd, struct ib_qp_init_attr *attr)
{
	struct ib_cma_id *id = ib_cma_of(ib);
	struct ib_qp *qp;
	int err;

	if (ib->qp)
		return ib_cma_refuse(id, -EINVAL, "rdma_create_qp", "it has a queue pair already");
	if (ib->device != pd->device)
		return ib_cma_refuse(id, -EINVAL, "rdma_create_qp",
				     "the PD isn't of the device that its address led to");
	attr->port_num = ib->port_num;
	qp = ib_create_qp(pd, attr);
	if (IS_ERR(qp))
		return (int)PTR_ERR(qp);
	err = ib_cma_qp_first(id, qp);
	if (err) {
		ib_destroy_qp(qp);
		return err;
	}
	id->qp_num = qp->qp_num;
	id->srq = qp->srq;
	ib_cma_qp_set(id, qp);
	return 0;
}

void rdma_destroy_qp(struct rdma_cm_id *id)
{
	ib_cma_qp_destroy(ib_cma_of(id));
}

/* --- the active side --- */

/* What a REQ has in front of the ULP's data. */
static void write_header(const struct ib_cma_id *id, u8 *out)
{
	const struct sockaddr *to = (const struct sockaddr *)&id->ib.route.addr.dst_addr;
	u32 at = id->src.version == 4 ? IB_CMA_IP_AT : 0;
	struct hca_cm_ip ip = { .version = id->src.version, .port = id->src.port };
	struct ib_cma_addr dst;

	(void)ib_cma_addr_from(to, &dst);
	if (ib_cma_addr_any(&dst))
		to_loopback(&dst);
	hca_memcpy(ip.src, id->src.gid + at, 16 - at);
	hca_memcpy(ip.dst, dst.gid + at, 16 - at);
	(void)hca_cm_ip_encode(&ip, out);
}

static void take_qp(struct ib_cma_id *id, const struct rdma_conn_param *p)
{
	if (!id->ib.qp) {
		id->qp_num = p->qp_num;
		id->srq = p->srq;
	}
}

static int send_req(struct ib_cma_id *id, const struct rdma_conn_param *p)
{
	u8 data[HCA_CM_PRIVATE_MAX];
	struct hca_cm_msg req = {
		.service_id = (u64)id->ib.ps << 16 |
			      ntohs(((const struct sockaddr_in *)&id->ib.route.addr.dst_addr)->sin_port),
		.qpn = id->qp_num,
		.psn = id->psn,
		.pkey = HCA_DEFAULT_PKEY,
		.responder_resources = p->responder_resources,
		.initiator_depth = p->initiator_depth,
		.remote_response_timeout = RESPONSE,
		.local_response_timeout = RESPONSE,
		.service_type = id->ib.qp_type == IB_QPT_UC ? HCA_CM_SERVICE_UC : HCA_CM_SERVICE_RC,
		.flow_control = p->flow_control,
		.retry_count = HCA_MIN(p->retry_count, 7),
		.rnr_retry_count = HCA_MIN(p->rnr_retry_count, 7),
		.max_cm_retries = RETRIES,
		.path_mtu = id->path.mtu,
		.srq = id->srq,
		.private_len = (u8)(HCA_CM_IP_BYTES + p->private_data_len),
		.private_data = data,
		.primary = {
			.local_lid = (u16)id->dev->dev->core->hca.lid,
			.remote_lid = id->to.dlid,
			.traffic_class = id->tos,
			.subnet_local = 1,
			.ack_timeout = ACK_TIMEOUT,
		},
	};

	hca_memcpy(req.primary.local_gid, &id->path.sgid, 16);
	hca_memcpy(req.primary.remote_gid, &id->path.dgid, 16);
	write_header(id, data);
	if (p->private_data_len)
		hca_memcpy(data + HCA_CM_IP_BYTES, p->private_data, p->private_data_len);
	if (id->ib.qp_type == IB_QPT_UD)
		return hca_cm_sidr_ask(id->cm, &id->to, &req);
	(void)hca_cm_set_ece(&req, id->ece.vendor_id, id->ece.attr_mod);
	return hca_cm_connect(id->cm, &id->to, &req);
}

int rdma_connect(struct rdma_cm_id *ib, struct rdma_conn_param *p)
{
	struct ib_cma_id *id = ib_cma_of(ib);
	u32 room = hca_cm_private_room(ib->qp_type == IB_QPT_UD ? HCA_CM_SIDR_REQ : HCA_CM_REQ);
	int err;

	if (p->private_data_len > room - HCA_CM_IP_BYTES)
		return hca_refuse(-EINVAL, "rdma_connect: %u bytes of private data, must be %u at most",
				  p->private_data_len, (u32)(room - HCA_CM_IP_BYTES));
	if (ib_cma_move(id, ANY_STATE(IB_CMA_ROUTE_RESOLVED), IB_CMA_CONNECT))
		return ib_cma_refuse(id, -EINVAL, "rdma_connect", "wait for RDMA_CM_EVENT_ROUTE_RESOLVED before");
	take_qp(id, p);
	id->psn = hca_random_u32() & 0xffffff;
	id->retry_count = HCA_MIN(p->retry_count, 7);
	id->open.mtu = id->path.mtu;
	err = hca_cm_create(&id->dev->gsi->gsi.cm, ib_cma_on_cm, id, &id->cm);
	if (err)
		goto back;
	err = by_cm(id, send_req(id, p), "rdma_connect");
	if (!err)
		return 0;
	hca_cm_destroy(id->cm);
back:
	id->cm = NULL;
	(void)ib_cma_move(id, ANY_STATE(IB_CMA_CONNECT), IB_CMA_ROUTE_RESOLVED);
	return err;
}

int rdma_connect_locked(struct rdma_cm_id *id, struct rdma_conn_param *conn_param)
{
	return rdma_connect(id, conn_param);
}

/* Return: 0; -EINVAL: a message has no room for that. */
static int set_ece(struct ib_cma_id *id, const struct rdma_ucm_ece *ece, const char *call)
{
	if (ece->vendor_id > HCA_CM_VENDOR_MAX)
		return hca_refuse(-EINVAL, "%s: vendor_id 0x%x, must have 24 bits", call, ece->vendor_id);
	id->ece = *ece;
	return 0;
}

int rdma_connect_ece(struct rdma_cm_id *id, struct rdma_conn_param *conn_param, struct rdma_ucm_ece *ece)
{
	int err = set_ece(ib_cma_of(id), ece, "rdma_connect_ece");

	return err ? err : rdma_connect(id, conn_param);
}

/* --- the passive side --- */

/* Under ib_cma_lock(), of an ID in LISTEN. What was begun ends with the ID's listeners. */
static int listen_everywhere(struct ib_cma_id *id)
{
	struct ib_cma_dev *d;
	int err;

	if (id->dev)
		return ib_cma_listen_on(id, id->dev);
	for (d = ib_cma_first(); d; d = d->next) {
		err = ib_cma_listen_on(id, d);
		if (err && err != -ENODEV)
			return err;
	}
	ib_cma_wild_add(id);
	return 0;
}

static int start_listen(struct ib_cma_id *id, int backlog)
{
	struct ib_cma_addr any = { .version = 4, .gid = { [10] = 0xff, [11] = 0xff } };
	int err = id->state == IB_CMA_IDLE ? bind_to(id, &any) : 0;

	if (err)
		return err;
	id->backlog = backlog ? HCA_MIN((u32)backlog, HCA_CM_BACKLOG_MAX) : HCA_CM_BACKLOG_MAX;
	if (ib_cma_move(id, ANY_STATE(IB_CMA_BOUND), IB_CMA_LISTEN))
		return ib_cma_refuse(id, -EINVAL, "rdma_listen", "it must be fresh, or bound and no more");
	err = by_cm(id, listen_everywhere(id), "rdma_listen");
	if (err) {
		ib_cma_listen_no_more(id, NULL);
		(void)ib_cma_move(id, ANY_STATE(IB_CMA_LISTEN), IB_CMA_BOUND);
	}
	return err;
}

int rdma_listen(struct rdma_cm_id *id, int backlog)
{
	int err;

	if (backlog < 0)
		return hca_refuse(-EINVAL, "rdma_listen: backlog is %d", backlog);
	ib_cma_lock();
	err = start_listen(ib_cma_of(id), backlog);
	ib_cma_unlock();
	return err;
}

static int send_rep(struct ib_cma_id *id, const struct rdma_conn_param *p)
{
	struct hca_cm_msg rep = {
		.qpn = id->qp_num,
		.psn = id->psn,
		.responder_resources = p->responder_resources,
		.initiator_depth = p->initiator_depth,
		.flow_control = p->flow_control,
		.rnr_retry_count = HCA_MIN(p->rnr_retry_count, 7),
		.srq = id->srq,
		.private_data = p->private_data,
		.private_len = p->private_data_len,
	};

	(void)hca_cm_set_ece(&rep, id->ece.vendor_id, id->ece.attr_mod);
	return hca_cm_accept(id->cm, &rep);
}

static int answer_sidr(struct ib_cma_id *id, enum hca_cm_sidr_status status, const struct rdma_conn_param *p)
{
	const struct hca_cm_msg rep = {
		.status = (u8)status,
		.qpn = status ? 0 : id->qp_num,
		.qkey = status	? 0 :
			p->qkey ? p->qkey :
				  IB_CMA_UDP_QKEY,
		.private_data = p->private_data,
		.private_len = p->private_data_len,
	};

	return hca_cm_sidr_answer(id->cm, &rep);
}

int rdma_accept(struct rdma_cm_id *ib, struct rdma_conn_param *p)
{
	static const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER };
	struct ib_cma_id *id = ib_cma_of(ib);
	int err = 0;

	if (id->state != IB_CMA_CONNECT || !id->cm)
		return ib_cma_refuse(id, -EINVAL, "rdma_accept", "it is for the ID of a RDMA_CM_EVENT_CONNECT_REQUEST");
	/* Of the active side, without a queue pair of ours. */
	if (!p)
		return by_cm(id, hca_cm_ready(id->cm, NULL, 0), "rdma_accept");
	take_qp(id, p);
	if (ib->qp_type == IB_QPT_UD)
		return by_cm(id, answer_sidr(id, HCA_CM_SIDR_VALID, p), "rdma_accept");
	if (p->private_data_len > hca_cm_private_room(HCA_CM_REP))
		return hca_refuse(-EINVAL, "rdma_accept: %u bytes of private data, must be %u at most",
				  p->private_data_len, hca_cm_private_room(HCA_CM_REP));
	id->responder_resources = p->responder_resources;
	id->initiator_depth = p->initiator_depth;
	id->rnr_retry_count = id->open.conn.rnr_retry_count;
	if (ib->qp)
		err = ib_cma_qp_ready(id);
	if (!err)
		err = by_cm(id, send_rep(id, p), "rdma_accept");
	if (err) {
		ib_cma_qp_error(id);
		(void)hca_cm_reject(id->cm, &rej);
	}
	return err;
}

int rdma_accept_ece(struct rdma_cm_id *id, struct rdma_conn_param *conn_param, struct rdma_ucm_ece *ece)
{
	int err = set_ece(ib_cma_of(id), ece, "rdma_accept_ece");

	return err ? err : rdma_accept(id, conn_param);
}

int rdma_notify(struct rdma_cm_id *ib, enum ib_event_type event)
{
	struct ib_cma_id *id = ib_cma_of(ib);

	if (!id->cm || event != IB_EVENT_COMM_EST)
		return ib_cma_refuse(id, -EINVAL, "rdma_notify", "it is for IB_EVENT_COMM_EST of a connection");
	(void)hca_cm_establish(id->cm);
	return 0;
}

int rdma_reject(struct rdma_cm_id *ib, const void *private_data, u8 private_data_len, u8 reason)
{
	struct ib_cma_id *id = ib_cma_of(ib);
	const struct hca_cm_msg rej = {
		.reason = reason,
		.private_data = private_data,
		.private_len = private_data_len,
	};

	const struct rdma_conn_param p = { .private_data = private_data, .private_data_len = private_data_len };

	if (!id->cm)
		return ib_cma_refuse(id, -EINVAL, "rdma_reject", "no request has come for it");
	if (ib->qp_type == IB_QPT_UD)
		return by_cm(id, answer_sidr(id, HCA_CM_SIDR_REJECT, &p), "rdma_reject");
	return by_cm(id, hca_cm_reject(id->cm, &rej), "rdma_reject");
}

/* --- both --- */

int rdma_disconnect(struct rdma_cm_id *ib)
{
	struct ib_cma_id *id = ib_cma_of(ib);

	if (!id->cm)
		return ib_cma_refuse(id, -EINVAL, "rdma_disconnect", "it has no connection");
	ib_cma_qp_error(id);
	return by_cm(id, hca_cm_disconnect(id->cm, NULL, 0), "rdma_disconnect");
}
