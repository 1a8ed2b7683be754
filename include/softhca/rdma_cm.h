/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections by IP address between the adapters of a process. Names, arguments, values and
 * meanings are those of Linux's in-kernel rdma_cm (rdma/rdma_cm.h); rdma_create_id(3) lists the differences.
 *
 * An adapter has the addresses of softhca_addr_add(), and its GIDs, which are IPv6 addresses. Loopback addresses
 * lead to the adapter that was registered first. All addresses are those of adapters of this process.
 *
 * Handlers are called in threads of the library that hold no lock, and may sleep: for one ID one call at a time and in
 * order, for different IDs at once. If a handler doesn't return 0, the library destroys its ID; of a request that is the
 * new ID, and the peer is rejected. A handler must not call rdma_destroy_id() for its own ID, nor for the listener of a
 * request: in Linux that is a deadlock. All calls may sleep.
 */
#ifndef SOFTHCA_RDMA_CM_H
#define SOFTHCA_RDMA_CM_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "softhca/ib_verbs.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** struct net - a network namespace; there is only one */
struct net;
extern struct net init_net;

/** enum rdma_ucm_port_space - each space has its own ports */
enum rdma_ucm_port_space {
	RDMA_PS_IPOIB = 0x0002,
	RDMA_PS_IB = 0x013f,
	RDMA_PS_TCP = 0x0106,
	RDMA_PS_UDP = 0x0111,
};

/**
 * enum rdma_cm_event_type - the events of a handler
 * @RDMA_CM_EVENT_ADDR_RESOLVED, @RDMA_CM_EVENT_ADDR_ERROR: of rdma_resolve_addr()
 * @RDMA_CM_EVENT_ROUTE_RESOLVED, @RDMA_CM_EVENT_ROUTE_ERROR: of rdma_resolve_route()
 * @RDMA_CM_EVENT_CONNECT_REQUEST: to a listener's handler, with a new ID that belongs to it
 * @RDMA_CM_EVENT_CONNECT_RESPONSE: the peer accepts, and the ID has no queue pair of rdma_create_qp(): call rdma_accept() next
 * @RDMA_CM_EVENT_CONNECT_ERROR: the peer accepts, but the queue pair couldn't be modified
 * @RDMA_CM_EVENT_UNREACHABLE: no answer
 * @RDMA_CM_EVENT_REJECTED: the status is a reason, enum ib_cm_rej_reason
 * @RDMA_CM_EVENT_ESTABLISHED: both sides may send
 * @RDMA_CM_EVENT_DISCONNECTED: by the peer, or by rdma_disconnect()
 * @RDMA_CM_EVENT_DEVICE_REMOVAL: the adapter is being unregistered, which ends when its last ID is destroyed
 * @RDMA_CM_EVENT_TIMEWAIT_EXIT: no packet of the connection is under way any more
 *
 * The other events don't occur.
 */
enum rdma_cm_event_type {
	RDMA_CM_EVENT_ADDR_RESOLVED,
	RDMA_CM_EVENT_ADDR_ERROR,
	RDMA_CM_EVENT_ROUTE_RESOLVED,
	RDMA_CM_EVENT_ROUTE_ERROR,
	RDMA_CM_EVENT_CONNECT_REQUEST,
	RDMA_CM_EVENT_CONNECT_RESPONSE,
	RDMA_CM_EVENT_CONNECT_ERROR,
	RDMA_CM_EVENT_UNREACHABLE,
	RDMA_CM_EVENT_REJECTED,
	RDMA_CM_EVENT_ESTABLISHED,
	RDMA_CM_EVENT_DISCONNECTED,
	RDMA_CM_EVENT_DEVICE_REMOVAL,
	RDMA_CM_EVENT_MULTICAST_JOIN,
	RDMA_CM_EVENT_MULTICAST_ERROR,
	RDMA_CM_EVENT_ADDR_CHANGE,
	RDMA_CM_EVENT_TIMEWAIT_EXIT,
};

/** rdma_event_msg() - the name of an event */
const char *rdma_event_msg(enum rdma_cm_event_type event);

/** enum ib_cm_rej_reason - the reason of a rejection (IBTA 12.6.7.2) */
enum ib_cm_rej_reason {
	IB_CM_REJ_NO_QP = 1,
	IB_CM_REJ_NO_EEC = 2,
	IB_CM_REJ_NO_RESOURCES = 3,
	IB_CM_REJ_TIMEOUT = 4,
	IB_CM_REJ_UNSUPPORTED = 5,
	IB_CM_REJ_INVALID_COMM_ID = 6,
	IB_CM_REJ_INVALID_COMM_INSTANCE = 7,
	IB_CM_REJ_INVALID_SERVICE_ID = 8,
	IB_CM_REJ_INVALID_TRANSPORT_TYPE = 9,
	IB_CM_REJ_STALE_CONN = 10,
	IB_CM_REJ_RDC_NOT_EXIST = 11,
	IB_CM_REJ_INVALID_GID = 12,
	IB_CM_REJ_INVALID_LID = 13,
	IB_CM_REJ_INVALID_SL = 14,
	IB_CM_REJ_INVALID_TRAFFIC_CLASS = 15,
	IB_CM_REJ_INVALID_HOP_LIMIT = 16,
	IB_CM_REJ_INVALID_PACKET_RATE = 17,
	IB_CM_REJ_INVALID_ALT_GID = 18,
	IB_CM_REJ_INVALID_ALT_LID = 19,
	IB_CM_REJ_INVALID_ALT_SL = 20,
	IB_CM_REJ_INVALID_ALT_TRAFFIC_CLASS = 21,
	IB_CM_REJ_INVALID_ALT_HOP_LIMIT = 22,
	IB_CM_REJ_INVALID_ALT_PACKET_RATE = 23,
	IB_CM_REJ_PORT_CM_REDIRECT = 24,
	IB_CM_REJ_PORT_REDIRECT = 25,
	IB_CM_REJ_INVALID_MTU = 26,
	IB_CM_REJ_INSUFFICIENT_RESP_RESOURCES = 27,
	IB_CM_REJ_CONSUMER_DEFINED = 28,
	IB_CM_REJ_INVALID_RNR_RETRY = 29,
	IB_CM_REJ_DUPLICATE_LOCAL_COMM_ID = 30,
	IB_CM_REJ_INVALID_CLASS_VERSION = 31,
	IB_CM_REJ_INVALID_FLOW_LABEL = 32,
	IB_CM_REJ_INVALID_ALT_FLOW_LABEL = 33,
	IB_CM_REJ_VENDOR_OPTION_NOT_SUPPORTED = 35,
};

/** struct sa_path_rec - the path that rdma_resolve_route() found; @flow_label in network order */
struct sa_path_rec {
	union ib_gid dgid;
	union ib_gid sgid;
	u64 service_id; /* network order */
	u32 flow_label;
	u16 pkey; /* network order */
	u8 hop_limit;
	u8 traffic_class;
	u8 sl;
	u8 mtu; /* enum ib_mtu */
	u8 packet_life_time; /* code of 4.096 us * 2^n */
	struct {
		u32 dlid; /* network order */
		u32 slid;
	} ib;
};

/** struct rdma_dev_addr - @net: &init_net */
struct rdma_dev_addr {
	struct net *net;
	int bound_dev_if;
};

struct rdma_addr {
	struct sockaddr_storage src_addr;
	struct sockaddr_storage dst_addr;
	struct rdma_dev_addr dev_addr;
};

/** struct rdma_route - @path_rec: NULL before it was resolved */
struct rdma_route {
	struct rdma_addr addr;
	struct sa_path_rec *path_rec;
	int num_pri_alt_paths;
};

/**
 * struct rdma_conn_param - parameters of a connection; in events, those of the peer
 * @private_data: in an event: valid until the handler returns
 * @private_data_len: at most 56 for rdma_connect() and 196 for rdma_accept(); for datagrams 180 and 136. Messages don't carry the length: an event has all of the room
 *	in the message, with zeros behind the peer's bytes.
 * @responder_resources: RDMA reads and atomics of the peer that may be under way at once
 * @initiator_depth: RDMA reads and atomics of this end that may be under way at once
 * @rnr_retry_count: 7: without limit
 * @srq, @qp_num: of a queue pair that rdma_create_qp() didn't make
 * @qkey: of a datagram queue pair, for rdma_accept(); 0: that of rdma_create_qp()
 */
struct rdma_conn_param {
	const void *private_data;
	u8 private_data_len;
	u8 responder_resources;
	u8 initiator_depth;
	u8 flow_control;
	u8 retry_count;
	u8 rnr_retry_count;
	u8 srq;
	u32 qp_num;
	u32 qkey;
};

/** struct rdma_ud_param - the path and the number of the peer's datagram queue pair */
struct rdma_ud_param {
	const void *private_data;
	u8 private_data_len;
	struct rdma_ah_attr ah_attr;
	u32 qp_num;
	u32 qkey;
};

/** struct rdma_ucm_ece - options for enhanced connection establishment (ECE); @vendor_id: whose they are, 24 bits; 0: no options */
struct rdma_ucm_ece {
	u32 vendor_id;
	u32 attr_mod;
};

/**
 * struct rdma_cm_event - @status: 0, or a negative errno; for RDMA_CM_EVENT_REJECTED a reason; for RDMA_CM_EVENT_UNREACHABLE of datagrams also the
 *	status in the peer's answer (IBTA 12.11.1.2)
 * @ece: the peer's, for RDMA_CM_EVENT_CONNECT_REQUEST, RDMA_CM_EVENT_CONNECT_RESPONSE and the connecting side's RDMA_CM_EVENT_ESTABLISHED
 */
struct rdma_cm_event {
	enum rdma_cm_event_type event;
	int status;
	union {
		struct rdma_conn_param conn;
		struct rdma_ud_param ud;
	} param;
	struct rdma_ucm_ece ece;
};

struct rdma_cm_id;

/** rdma_cm_event_handler - Return: 0; else the library destroys the ID */
typedef int (*rdma_cm_event_handler)(struct rdma_cm_id *id, struct rdma_cm_event *event);

/**
 * struct rdma_cm_id - one end of a connection, or a listener
 * @device: the adapter, once the ID's own address is known
 * @context, @event_handler: the ULP may change them in the handler
 * @qp: of rdma_create_qp()
 */
struct rdma_cm_id {
	struct ib_device *device;
	void *context;
	struct ib_qp *qp;
	rdma_cm_event_handler event_handler;
	struct rdma_route route;
	enum rdma_ucm_port_space ps;
	enum ib_qp_type qp_type;
	u32 port_num;
};

/**
 * softhca_addr_add() - give an adapter an IP address
 * @addr: IPv4 or IPv6; its port is ignored
 *
 * The address takes an entry of the adapter's table of 16 GIDs, whose first entry is always in use.
 * Return: 0, also if the adapter has the address already; -EADDRINUSE: another adapter has it; -EINVAL: an invalid address; -ENOSPC.
 */
int softhca_addr_add(struct ib_device *device, const struct sockaddr *addr);

/** softhca_addr_del() - remove an address; IDs that use it stay. Return: 0; -EADDRNOTAVAIL: the adapter doesn't have it. */
int softhca_addr_del(struct ib_device *device, const struct sockaddr *addr);

/**
 * rdma_create_id() - an ID
 * @net: &init_net; other values have the same effect
 * @qp_type: IB_QPT_RC, IB_QPT_UC, or IB_QPT_UD
 *
 * Return: the ID; error pointers: -EINVAL, -ENOMEM, -EAGAIN: no thread could be started.
 */
struct rdma_cm_id *rdma_create_id(struct net *net, rdma_cm_event_handler event_handler, void *context,
				  enum rdma_ucm_port_space ps, enum ib_qp_type qp_type);

/** rdma_destroy_id() - when this returns, no call of the handler is under way, and none follows; the peer is notified. Destroy the queue pair
 *	before. In the ID's own handler this is a mistake, which is reported; the ID then ends when the handler has returned. */
void rdma_destroy_id(struct rdma_cm_id *id);

/**
 * rdma_bind_addr() - its own address and port
 * @addr: port 0: the library chooses a port; all zeros: any address of this family
 *
 * Return: 0; -EINVAL: the ID is bound, or an unknown family; -EADDRNOTAVAIL: no adapter has the address, or no port is free; -EADDRINUSE; -ENOMEM.
 */
int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *addr);

/**
 * rdma_resolve_addr() - find the adapter for an address
 * @src_addr: NULL, or as for rdma_bind_addr(). Without an own address the ID gets the adapter of @dst_addr, as on a host that
 *	connects to its own address.
 * @timeout_ms: without effect: the event comes at once
 *
 * Event: RDMA_CM_EVENT_ADDR_RESOLVED, or RDMA_CM_EVENT_ADDR_ERROR with -EHOSTUNREACH: no adapter has the address. Return: 0; or as rdma_bind_addr().
 */
int rdma_resolve_addr(struct rdma_cm_id *id, struct sockaddr *src_addr, const struct sockaddr *dst_addr,
		      unsigned long timeout_ms);

/**
 * rdma_resolve_route() - the path, from the subnet administration of the destination's adapter
 *
 * Event: RDMA_CM_EVENT_ROUTE_RESOLVED, or RDMA_CM_EVENT_ROUTE_ERROR with -EHOSTUNREACH: that adapter is gone. Return: 0; -EINVAL: no address is
 * resolved.
 */
int rdma_resolve_route(struct rdma_cm_id *id, unsigned long timeout_ms);

/** rdma_create_qp() - a queue pair in INIT (datagrams: in RTS); the other calls move it on. Return: 0; -EINVAL: @pd is of another adapter, or the ID has a queue pair; or as ib_create_qp(). */
int rdma_create_qp(struct rdma_cm_id *id, struct ib_pd *pd, struct ib_qp_init_attr *qp_init_attr);
void rdma_destroy_qp(struct rdma_cm_id *id);

/** rdma_connect() - Return: 0; -EINVAL: no route is resolved, or too much private data; -ENOMEM, -ENOSPC */
int rdma_connect(struct rdma_cm_id *id, struct rdma_conn_param *conn_param);
/** rdma_connect_locked() - the same, in a handler of the ID */
int rdma_connect_locked(struct rdma_cm_id *id, struct rdma_conn_param *conn_param);
/**
 * rdma_connect_ece() - rdma_connect(), with options for the peer; the library only carries them
 *
 * Return: as rdma_connect(); -EINVAL: a vendor's ID of more than 24 bits.
 */
int rdma_connect_ece(struct rdma_cm_id *id, struct rdma_conn_param *conn_param, struct rdma_ucm_ece *ece);

/**
 * rdma_listen() - accept requests, which become events
 * @backlog: requests that may wait for the handler; further requests are rejected; 0: 4,096
 *
 * An ID that isn't bound gets any address of IPv4 and a port. A listener to any address also listens on later adapters. A listener to any
 * IPv6 address gets requests to IPv4 addresses without another listener, unless rdma_set_afonly() forbids it.
 * Return: 0; -EINVAL; -EADDRINUSE: another ID listens on the same address and port; -ENOMEM, -ENOSPC.
 */
int rdma_listen(struct rdma_cm_id *id, int backlog);

/** rdma_accept() - accept a request. Return: 0; -EINVAL: there is no request; or the error of ib_modify_qp(); then the request is rejected. */
int rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *conn_param);
/** rdma_accept_ece() - rdma_accept(), with options for the peer. Return: as rdma_accept(); -EINVAL: a vendor's ID of more than 24 bits; then the request still waits. */
int rdma_accept_ece(struct rdma_cm_id *id, struct rdma_conn_param *conn_param, struct rdma_ucm_ece *ece);

/** rdma_notify() - the queue pair got IB_EVENT_COMM_EST: the connection is established. Return: 0; -EINVAL. */
int rdma_notify(struct rdma_cm_id *id, enum ib_event_type event);

/** rdma_reject() - @private_data_len: 148 at most; @reason: IB_CM_REJ_CONSUMER_DEFINED, or another one. Return: 0; -EINVAL. */
int rdma_reject(struct rdma_cm_id *id, const void *private_data, u8 private_data_len, u8 reason);

/** rdma_disconnect() - move the queue pair to the error state, and notify or answer the peer. Return: 0; -EINVAL: it isn't connected. */
int rdma_disconnect(struct rdma_cm_id *id);

/** rdma_set_service_type() - the traffic class of later connections of this ID */
void rdma_set_service_type(struct rdma_cm_id *id, int tos);

/** rdma_set_reuseaddr() - IDs that all set this may have the same address and port; one of them may listen. Return: 0; -EINVAL: the ID is bound. */
int rdma_set_reuseaddr(struct rdma_cm_id *id, int reuse);

/** rdma_set_afonly() - a listener to any IPv6 address gets no requests to IPv4 addresses. Return: 0; -EINVAL: the ID listens. */
int rdma_set_afonly(struct rdma_cm_id *id, int afonly);

/** rdma_get_service_id() - the service ID of an address's port in the ID's port space, in network order */
u64 rdma_get_service_id(struct rdma_cm_id *id, struct sockaddr *addr);

/** rdma_read_gids() - the GIDs of the path of a resolved address or of a request; each pointer may be NULL */
void rdma_read_gids(struct rdma_cm_id *id, union ib_gid *sgid, union ib_gid *dgid);

/** rdma_reject_msg() - the name of a reason */
const char *rdma_reject_msg(struct rdma_cm_id *id, int reason);

/** rdma_consumer_reject_data() - the private data of a rejection by the peer's ULP; NULL, and length 0, for other rejections */
const void *rdma_consumer_reject_data(struct rdma_cm_id *id, struct rdma_cm_event *ev, u8 *data_len);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
