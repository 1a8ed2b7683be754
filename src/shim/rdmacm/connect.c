/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The active side, and the end of a connection: the program's calls. */
#include "rdmacm.h"

#include <string.h>

/* Codes of 4.096 us * 2^n, and tries. Messages are lost only where thousands come at once, so a try needn't be long. */
#define RESPONSE 18u
#define RETRIES 15u
#define ACK_TIMEOUT 17u
#define PATIENCE_NS 500000000ull
#define XRC 1u /* an extended type of transport service */

/* What stands in front of a request's private data. */
static void write_header(const struct cm_id *id, u8 *out)
{
	u32 at = id->src.version == 4 ? CM_IP_AT : 0;
	struct hca_cm_ip ip = { .version = id->src.version, .port = id->src.port };

	memcpy(ip.src, id->src.ip + at, 16 - at);
	memcpy(ip.dst, id->dst.ip + at, 16 - at);
	(void)hca_cm_ip_encode(&ip, out);
}

/* What the program doesn't limit, the device does. */
static u8 limit(u8 asked, u8 all, int most)
{
	u8 max = (u8)HCA_MIN(most, 0xff);

	return asked == all ? max : asked;
}

static int take_param(struct cm_id *id, const struct rdma_conn_param *p)
{
	const struct ibv_device_attr *dev = &cm_manager()->attr;

	id->responder_resources = limit(p->responder_resources, RDMA_MAX_RESP_RES, dev->max_qp_rd_atom);
	id->initiator_depth = limit(p->initiator_depth, RDMA_MAX_INIT_DEPTH, dev->max_qp_init_rd_atom);
	if (id->responder_resources > dev->max_qp_rd_atom || id->initiator_depth > dev->max_qp_init_rd_atom)
		return -EINVAL;
	id->retry_count = (u8)HCA_MIN(p->retry_count, 7);
	id->rnr_retry_count = (u8)HCA_MIN(p->rnr_retry_count, 7);
	id->qpn = id->ib.qp ? id->ib.qp->qp_num : p->qp_num;
	id->srq = id->ib.qp ? id->ib.qp->srq != NULL : p->srq != 0;
	return 0;
}

static u8 service_type(const struct cm_id *id)
{
	switch (id->ib.qp_type) {
	case IBV_QPT_UC:
		return HCA_CM_SERVICE_UC;
	case IBV_QPT_XRC_SEND:
	case IBV_QPT_XRC_RECV:
		return HCA_CM_SERVICE_EXTENDED;
	default:
		return HCA_CM_SERVICE_RC;
	}
}

static void write_data(const struct cm_id *id, const struct rdma_conn_param *p, u8 *data, u8 room)
{
	write_header(id, data);
	if (p->private_data_len)
		memcpy(data + HCA_CM_IP_BYTES, p->private_data, p->private_data_len);
	if (HCA_CM_IP_BYTES + p->private_data_len == room)
		return;
	data[CM_HEADER_FLAGS] |= CM_HAS_LENGTH;
	data[room - 1] = p->private_data_len;
}

static int send_req(struct cm_id *id, const struct rdma_conn_param *p)
{
	const struct hca_ah_attr to = cm_to(id->manager);
	u8 data[HCA_CM_PRIVATE_MAX] = { 0 };
	u8 room = (u8)hca_cm_private_room(cm_is_ud(id) ? HCA_CM_SIDR_REQ : HCA_CM_REQ);
	struct hca_cm_msg req = {
		.service_id = (u64)id->ib.ps << 16 | id->dst.port,
		.qpn = id->qpn,
		.psn = id->psn,
		.pkey = 0xffff,
		.responder_resources = id->responder_resources,
		.initiator_depth = id->initiator_depth,
		.remote_response_timeout = RESPONSE,
		.local_response_timeout = RESPONSE,
		.service_type = service_type(id),
		.extended_type = service_type(id) == HCA_CM_SERVICE_EXTENDED ? XRC : 0,
		.flow_control = p->flow_control != 0,
		.retry_count = id->retry_count,
		.rnr_retry_count = id->rnr_retry_count,
		.max_cm_retries = RETRIES,
		.path_mtu = IBV_MTU_4096,
		.srq = id->srq,
		.private_len = room,
		.private_data = data,
		.primary = { .traffic_class = id->tos, .subnet_local = 1, .ack_timeout = ACK_TIMEOUT },
	};

	memcpy(req.primary.local_gid, id->sgid.raw, sizeof(req.primary.local_gid));
	memcpy(req.primary.remote_gid, id->dgid.raw, sizeof(req.primary.remote_gid));
	write_data(id, p, data, room);
	if (cm_is_ud(id))
		return hca_cm_sidr_ask(id->cm, &to, &req);
	(void)hca_cm_set_ece(&req, id->ece.vendor_id, id->ece.options);
	return hca_cm_connect(id->cm, &to, &req);
}

/* Nobody listens there: that is known at once. */
static void refused(struct cm_id *id)
{
	id->over = true;
	if (cm_is_ud(id))
		cm_tell(id, RDMA_CM_EVENT_UNREACHABLE, HCA_CM_SIDR_UNSUPPORTED);
	else
		cm_tell(id, RDMA_CM_EVENT_REJECTED, HCA_CM_REJ_INVALID_SERVICE_ID);
}

/* The peer's manager is known. Under cm_lock. */
static int send_to(struct cm_id *id, const struct rdma_conn_param *p)
{
	int err = hca_cm_create(&cm_manager()->cm, cm_on_cm, id, &id->cm);

	if (err)
		return err;
	id->peer.mtu = IBV_MTU_4096;
	err = send_req(id, p);
	if (!err)
		id->state = CM_CONNECT;
	return err;
}

/*
 * Some servers name their port before they listen (qperf), or take one listener away and come with the next (perftest). Where a
 * network is between, their clients are late enough. So where a listener is to be expected, it is waited for.
 */
static bool wait_outside(struct cm_id *id)
{
	if (hca_now_ns() >= id->patience || !cm_port_may_open(id->ib.ps, &id->dst))
		return false;
	id->knocks = true;
	cm_knock_later();
	return true;
}

/* What is to be sent may have to be sent again. */
static void keep_param(struct cm_id *id, const struct rdma_conn_param *p)
{
	id->param = *p;
	id->param.private_data = id->data;
	if (p->private_data_len)
		memcpy(id->data, p->private_data, p->private_data_len);
	id->patience = hca_now_ns() + PATIENCE_NS;
}

/* Under cm_lock. */
static int start_connect(struct cm_id *id, const struct rdma_conn_param *p)
{
	int err;

	if (id->state != CM_ROUTE_RESOLVED)
		return -EINVAL;
	err = take_param(id, p);
	if (err)
		return err;
	keep_param(id, p);
	err = cm_port_find(id->ib.ps, &id->dst, &id->manager, &id->stamp);
	if (err)
		return err;
	if (id->manager)
		return send_to(id, p);
	id->state = CM_CONNECT;
	if (!wait_outside(id))
		refused(id);
	return 0;
}

/* The listener went while the request was on its way. */
bool cm_knock_again(struct cm_id *id)
{
	struct hca_cm_id *cm = id->cm;

	if (!id->patience || !wait_outside(id))
		return false;
	id->cm = NULL;
	hca_cm_destroy(cm);
	return true;
}

/* Under cm_lock. Return: it is to look again. */
static bool knock(struct cm_id *id)
{
	int err = cm_port_find(id->ib.ps, &id->dst, &id->manager, &id->stamp);

	if (!err && !id->manager && hca_now_ns() < id->patience)
		return true;
	id->knocks = false;
	if (err || !id->manager || send_to(id, &id->param))
		refused(id);
	return false;
}

bool cm_knock(void)
{
	struct cm_id *id;
	bool again = false;

	pthread_mutex_lock(&cm_lock);
	for (id = cm_each(); id; id = id->next)
		if (id->knocks)
			again |= knock(id);
	pthread_mutex_unlock(&cm_lock);
	return again;
}

CM_EXPORT int rdma_connect(struct rdma_cm_id *ib, struct rdma_conn_param *conn_param)
{
	static const struct rdma_conn_param any = { .responder_resources = RDMA_MAX_RESP_RES,
						    .initiator_depth = RDMA_MAX_INIT_DEPTH,
						    .retry_count = 7,
						    .rnr_retry_count = 7 };
	const struct rdma_conn_param *p = conn_param ? conn_param : &any;
	struct cm_id *id = cm_id_of(ib);
	struct hca_cm_id *unused = NULL;
	int err;

	if (!ib ||
	    p->private_data_len > hca_cm_private_room(cm_is_ud(id) ? HCA_CM_SIDR_REQ : HCA_CM_REQ) - HCA_CM_IP_BYTES ||
	    (p->private_data_len && !p->private_data))
		return cm_fail(EINVAL);
	pthread_mutex_lock(&cm_lock);
	err = start_connect(id, p);
	if (err) {
		unused = id->state == CM_ROUTE_RESOLVED ? id->cm : NULL;
		if (unused)
			id->cm = NULL;
	}
	pthread_mutex_unlock(&cm_lock);
	if (unused)
		hca_cm_destroy(unused);
	return err ? cm_fail(err) : cm_complete(id);
}

/* Of the active side, whose queue pair is the program's own. */
CM_EXPORT int rdma_establish(struct rdma_cm_id *ib)
{
	struct cm_id *id = cm_id_of(ib);
	int err = -EINVAL;

	if (!ib || ib->qp)
		return cm_fail(EINVAL);
	pthread_mutex_lock(&cm_lock);
	if (id->cm)
		err = hca_cm_ready(id->cm, NULL, 0);
	if (!err)
		id->established = true;
	pthread_mutex_unlock(&cm_lock);
	return cm_result(err);
}

CM_EXPORT int rdma_disconnect(struct rdma_cm_id *ib)
{
	struct cm_id *id = cm_id_of(ib);
	int err = -EINVAL;

	if (!ib || id->life != cm_life || cm_is_ud(id))
		return cm_fail(EINVAL);
	cm_qp_error(id);
	pthread_mutex_lock(&cm_lock);
	if (id->cm || id->lost) {
		err = 0;
		if (id->cm)
			(void)hca_cm_disconnect(id->cm, NULL, 0);
	}
	pthread_mutex_unlock(&cm_lock);
	return err ? cm_fail(err) : cm_complete(id);
}

CM_EXPORT int rdma_notify(struct rdma_cm_id *ib, enum ibv_event_type event)
{
	struct cm_id *id = cm_id_of(ib);
	int err = -EINVAL;

	if (!ib)
		return cm_fail(EINVAL);
	pthread_mutex_lock(&cm_lock);
	if (id->cm) {
		err = 0;
		if (event == IBV_EVENT_COMM_EST)
			(void)hca_cm_establish(id->cm);
	}
	pthread_mutex_unlock(&cm_lock);
	return cm_result(err);
}
