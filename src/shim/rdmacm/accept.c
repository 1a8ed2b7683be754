/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The passive side: the program's calls. */
#include "rdmacm.h"

#include <string.h>

/* --- listening --- */

const struct hca_cm_match *cm_match(const struct cm_id *id, struct hca_cm_match *match)
{
	const struct cm_addr *a = &id->src;
	struct hca_cm_ip all = { .version = a->version }, ip = all;
	bool any = cm_addr_is_any(a);
	u32 at = a->version == 4 ? CM_IP_AT : 0;

	if (any && a->version == 6 && !id->afonly)
		return NULL;
	if (!any) {
		memset(all.dst, 0xff, 16 - at);
		memcpy(ip.dst, a->ip + at, 16 - at);
	}
	(void)hca_cm_ip_encode(&all, match->mask);
	(void)hca_cm_ip_encode(&ip, match->data);
	match->mask[1] = 0xf0;
	return match;
}

/* Others find it when it is ready for them. */
static int start_listen(struct cm_id *id, u32 backlog)
{
	const struct cm_addr any = cm_addr_any_of(4);
	struct hca_cm_match match;
	int err = id->state == CM_IDLE ? cm_bind(id, &any) : 0;

	if (err)
		return err;
	if (id->state == CM_LISTEN) {
		id->backlog = backlog;
		return 0;
	}
	if (id->state != CM_BOUND)
		return -EINVAL;
	err = hca_cm_create(&cm_manager()->cm, cm_on_cm, id, &id->cm);
	if (err)
		return err;
	id->backlog = backlog;
	err = hca_cm_listen(id->cm, (u64)id->ib.ps << 16 | id->src.port, ~0ull, cm_match(id, &match), 0);
	if (!err)
		err = cm_port_listen(id);
	if (!err)
		id->state = CM_LISTEN;
	return err;
}

CM_EXPORT int rdma_listen(struct rdma_cm_id *ib, int backlog)
{
	struct cm_id *id = cm_id_of(ib);
	struct hca_cm_id *unused = NULL;
	int err;

	if (!ib)
		return cm_fail(EINVAL);
	pthread_mutex_lock(&cm_lock);
	/* None, or fewer, are as many as there may be. */
	err = start_listen(id, backlog > 0 ? (u32)HCA_MIN((u32)backlog, HCA_CM_BACKLOG_MAX) : HCA_CM_BACKLOG_MAX);
	if (err && id->state == CM_BOUND) {
		unused = id->cm;
		id->cm = NULL;
	}
	pthread_mutex_unlock(&cm_lock);
	if (unused)
		hca_cm_destroy(unused);
	return cm_result(err);
}

/* --- answers --- */

static int answer_sidr(struct cm_id *id, enum hca_cm_sidr_status status, const void *private_data, u8 len)
{
	const struct hca_cm_msg rep = {
		.status = (u8)status,
		.qpn = status ? 0 : id->qpn,
		.qkey = status ? 0 : id->qkey,
		.private_data = private_data,
		.private_len = len,
		.ari = &len,
		.ari_len = 1,
	};

	return hca_cm_sidr_answer(id->cm, &rep);
}

/* Without parameters it is what the peer asked for, as far as the device goes. */
static void take_param(struct cm_id *id, const struct rdma_conn_param *p)
{
	const struct ibv_device_attr *dev = &cm_manager()->attr;
	u8 depth = (u8)HCA_MIN(id->initiator_depth, HCA_MIN(dev->max_qp_init_rd_atom, 0xff));
	u8 resources = (u8)HCA_MIN(id->responder_resources, HCA_MIN(dev->max_qp_rd_atom, 0xff));

	if (!p || p->initiator_depth == RDMA_MAX_INIT_DEPTH)
		id->initiator_depth = depth;
	else
		id->initiator_depth = p->initiator_depth;
	if (!p || p->responder_resources == RDMA_MAX_RESP_RES)
		id->responder_resources = resources;
	else
		id->responder_resources = p->responder_resources;
	id->qpn = id->ib.qp ? id->ib.qp->qp_num : p ? p->qp_num : 0;
	id->srq = id->ib.qp ? id->ib.qp->srq != NULL : p && p->srq;
}

static int send_rep(struct cm_id *id, const struct rdma_conn_param *p)
{
	struct hca_cm_msg rep = {
		.qpn = id->qpn,
		.psn = id->psn,
		.responder_resources = id->responder_resources,
		.initiator_depth = id->initiator_depth,
		.flow_control = p && p->flow_control,
		.rnr_retry_count = p ? (u8)HCA_MIN(p->rnr_retry_count, 7) : 7,
		.srq = id->srq,
		.private_data = p ? p->private_data : NULL,
		.private_len = p ? p->private_data_len : 0,
		.eecn = p ? p->private_data_len + 1u : 1,
	};

	(void)hca_cm_set_ece(&rep, id->ece.vendor_id, id->ece.options);
	return hca_cm_accept(id->cm, &rep);
}

/* The queue pair is ready before the peer hears of it. */
static int accept_connection(struct cm_id *id, const struct rdma_conn_param *p)
{
	static const struct hca_cm_msg rej = { .reason = HCA_CM_REJ_CONSUMER };
	int err = cm_qp_is(id) ? cm_qp_ready(id) : 0;

	pthread_mutex_lock(&cm_lock);
	if (!err)
		err = id->cm ? send_rep(id, p) : -EINVAL;
	id->accepted = !err;
	if (err && id->cm)
		(void)hca_cm_reject(id->cm, &rej);
	pthread_mutex_unlock(&cm_lock);
	if (err)
		cm_qp_error(id);
	return err;
}

static int accept_datagrams(struct cm_id *id, const struct rdma_conn_param *p)
{
	int err;

	pthread_mutex_lock(&cm_lock);
	err = id->cm ? answer_sidr(id, HCA_CM_SIDR_VALID, p ? p->private_data : NULL, p ? p->private_data_len : 0) :
		       -EINVAL;
	id->accepted = !err;
	pthread_mutex_unlock(&cm_lock);
	return err;
}

static bool may_accept(struct cm_id *id)
{
	bool may;

	pthread_mutex_lock(&cm_lock);
	may = id->life == cm_life && id->state == CM_CONNECT && id->cm && !id->accepted;
	pthread_mutex_unlock(&cm_lock);
	return may;
}

CM_EXPORT int rdma_accept(struct rdma_cm_id *ib, struct rdma_conn_param *conn_param)
{
	struct cm_id *id = cm_id_of(ib);
	u32 room = ib ? hca_cm_private_room(cm_is_ud(id) ? HCA_CM_SIDR_REP : HCA_CM_REP) : 0;
	int err;

	if (!ib || !may_accept(id) || (conn_param && conn_param->private_data_len > room) ||
	    (conn_param && conn_param->private_data_len && !conn_param->private_data))
		return cm_fail(EINVAL);
	cm_id_touched(id);
	take_param(id, conn_param);
	if (cm_is_ud(id))
		return cm_result(accept_datagrams(id, conn_param));
	err = accept_connection(id, conn_param);
	return err ? cm_fail(err) : cm_complete(id);
}

static int reject(struct rdma_cm_id *ib, const void *private_data, u8 len, u16 reason)
{
	struct cm_id *id = cm_id_of(ib);
	const struct hca_cm_msg rej = {
		.reason = reason, .private_data = private_data, .private_len = len, .ari = &len, .ari_len = 1
	};
	int err = -EINVAL;

	if (!ib || (len && !private_data) || len > hca_cm_private_room(HCA_CM_REJ))
		return cm_fail(EINVAL);
	cm_id_touched(id);
	pthread_mutex_lock(&cm_lock);
	if (id->cm && id->state == CM_CONNECT)
		err = cm_is_ud(id) ? answer_sidr(id, HCA_CM_SIDR_REJECT, private_data, len) :
				     hca_cm_reject(id->cm, &rej);
	pthread_mutex_unlock(&cm_lock);
	return cm_result(err);
}

CM_EXPORT int rdma_reject(struct rdma_cm_id *id, const void *private_data, uint8_t private_data_len)
{
	return reject(id, private_data, private_data_len, HCA_CM_REJ_CONSUMER);
}

#define REJ_VENDOR_OPTION 35u /* IBTA 12.6.7.2 */

CM_EXPORT int rdma_reject_ece(struct rdma_cm_id *id, const void *private_data, uint8_t private_data_len)
{
	return reject(id, private_data, private_data_len, REJ_VENDOR_OPTION);
}
