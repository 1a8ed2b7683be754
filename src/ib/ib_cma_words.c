/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Events and reasons of connections in words. See softhca/rdma_cm.h. */
#include "ib_cma.h"

int ib_cma_refuse(struct ib_cma_id *id, int err, const char *call, const char *why)
{
	static const char *const states[] = {
		[IB_CMA_IDLE] = "fresh",
		[IB_CMA_BOUND] = "bound",
		[IB_CMA_ADDR_QUERY] = "resolving its address",
		[IB_CMA_ADDR_RESOLVED] = "with its address resolved",
		[IB_CMA_ROUTE_QUERY] = "resolving its route",
		[IB_CMA_ROUTE_RESOLVED] = "with its route resolved",
		[IB_CMA_LISTEN] = "listening",
		[IB_CMA_CONNECT] = "connecting or connected",
		[IB_CMA_ENDING] = "ending",
	};
	u32 state = (u32)hca_load(&id->state);

	return hca_refuse(err, "%s of an ID that is %s (port %u) refused: %s", call,
			  state < HCA_ARRAY_SIZE(states) ? states[state] : "?", id->src.port, why);
}

const char *rdma_event_msg(enum rdma_cm_event_type event)
{
	static const char *const words[] = {
		[RDMA_CM_EVENT_ADDR_RESOLVED] = "address found",
		[RDMA_CM_EVENT_ADDR_ERROR] = "no such address",
		[RDMA_CM_EVENT_ROUTE_RESOLVED] = "route found",
		[RDMA_CM_EVENT_ROUTE_ERROR] = "no route",
		[RDMA_CM_EVENT_CONNECT_REQUEST] = "connection requested",
		[RDMA_CM_EVENT_CONNECT_RESPONSE] = "connection accepted by the peer",
		[RDMA_CM_EVENT_CONNECT_ERROR] = "connection failed here",
		[RDMA_CM_EVENT_UNREACHABLE] = "peer doesn't answer",
		[RDMA_CM_EVENT_REJECTED] = "connection refused by the peer",
		[RDMA_CM_EVENT_ESTABLISHED] = "connected",
		[RDMA_CM_EVENT_DISCONNECTED] = "connection ended",
		[RDMA_CM_EVENT_DEVICE_REMOVAL] = "device is going away",
		[RDMA_CM_EVENT_MULTICAST_JOIN] = "group joined",
		[RDMA_CM_EVENT_MULTICAST_ERROR] = "group not joined",
		[RDMA_CM_EVENT_ADDR_CHANGE] = "address changed",
		[RDMA_CM_EVENT_TIMEWAIT_EXIT] = "queue pair may be used again",
	};

	return (u32)event < HCA_ARRAY_SIZE(words) ? words[event] : "unknown event";
}

const char *rdma_reject_msg(struct rdma_cm_id *id, int reason)
{
	static const char *const words[] = {
		[IB_CM_REJ_NO_QP] = "no queue pair",
		[IB_CM_REJ_NO_EEC] = "no EE context",
		[IB_CM_REJ_NO_RESOURCES] = "out of resources",
		[IB_CM_REJ_TIMEOUT] = "timed out",
		[IB_CM_REJ_UNSUPPORTED] = "not supported",
		[IB_CM_REJ_INVALID_COMM_ID] = "bad communication ID",
		[IB_CM_REJ_INVALID_COMM_INSTANCE] = "bad instance of a communication",
		[IB_CM_REJ_INVALID_SERVICE_ID] = "no listener",
		[IB_CM_REJ_INVALID_TRANSPORT_TYPE] = "bad transport type",
		[IB_CM_REJ_STALE_CONN] = "an older connection isn't over",
		[IB_CM_REJ_RDC_NOT_EXIST] = "no such RD channel",
		[IB_CM_REJ_INVALID_GID] = "bad GID",
		[IB_CM_REJ_INVALID_LID] = "bad LID",
		[IB_CM_REJ_INVALID_SL] = "bad service level",
		[IB_CM_REJ_INVALID_TRAFFIC_CLASS] = "bad traffic class",
		[IB_CM_REJ_INVALID_HOP_LIMIT] = "bad hop limit",
		[IB_CM_REJ_INVALID_PACKET_RATE] = "bad packet rate",
		[IB_CM_REJ_INVALID_ALT_GID] = "alternate path: bad GID",
		[IB_CM_REJ_INVALID_ALT_LID] = "alternate path: bad LID",
		[IB_CM_REJ_INVALID_ALT_SL] = "alternate path: bad service level",
		[IB_CM_REJ_INVALID_ALT_TRAFFIC_CLASS] = "alternate path: bad traffic class",
		[IB_CM_REJ_INVALID_ALT_HOP_LIMIT] = "alternate path: bad hop limit",
		[IB_CM_REJ_INVALID_ALT_PACKET_RATE] = "alternate path: bad packet rate",
		[IB_CM_REJ_PORT_CM_REDIRECT] = "another port has the manager",
		[IB_CM_REJ_PORT_REDIRECT] = "another port has the service",
		[IB_CM_REJ_INVALID_MTU] = "bad path MTU",
		[IB_CM_REJ_INSUFFICIENT_RESP_RESOURCES] = "too few responder resources",
		[IB_CM_REJ_CONSUMER_DEFINED] = "refused by the consumer",
		[IB_CM_REJ_INVALID_RNR_RETRY] = "bad RNR retry count",
		[IB_CM_REJ_DUPLICATE_LOCAL_COMM_ID] = "communication ID in use",
		[IB_CM_REJ_INVALID_CLASS_VERSION] = "bad version of the class",
		[IB_CM_REJ_INVALID_FLOW_LABEL] = "bad flow label",
		[IB_CM_REJ_INVALID_ALT_FLOW_LABEL] = "alternate path: bad flow label",
		[IB_CM_REJ_VENDOR_OPTION_NOT_SUPPORTED] = "vendor's option not supported",
	};

	(void)id;
	return (u32)reason < HCA_ARRAY_SIZE(words) && words[reason] ? words[reason] : "unknown reason";
}

const void *rdma_consumer_reject_data(struct rdma_cm_id *id, struct rdma_cm_event *ev, u8 *data_len)
{
	(void)id;
	*data_len = 0;
	if (ev->event != RDMA_CM_EVENT_REJECTED || ev->status != IB_CM_REJ_CONSUMER_DEFINED)
		return NULL;
	*data_len = ev->param.conn.private_data_len;
	return ev->param.conn.private_data;
}
