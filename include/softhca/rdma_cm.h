/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections by IP address between the adapters of a process. Names, arguments, values and
 * meanings are those of Linux's in-kernel rdma_cm (rdma/rdma_cm.h); rdma_create_id(3) says what differs.
 *
 * An adapter has the addresses that it was given by softhca_addr_add(), and its GIDs, which are IPv6 addresses. Loopback addresses
 * are the adapter's that was registered first. Addresses lead to adapters of this process and nowhere else.
 *
 * Handlers are called in threads of the library that hold no lock of ours and may sleep: for one ID one call at a time and in
 * order, for different IDs at once. A handler that doesn't return 0 has given up its ID, which the library then destroys. It must not
 * call rdma_destroy_id() for the ID that it is called for, nor for the listener of a request. All calls may sleep.
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

/** struct net - a network namespace; there is one, whose addresses are all that there are */
struct net;
extern struct net init_net;

/** enum rdma_ucm_port_space - each has ports of its own */
enum rdma_ucm_port_space {
	RDMA_PS_IPOIB = 0x0002,
	RDMA_PS_IB = 0x013f,
	RDMA_PS_TCP = 0x0106,
	RDMA_PS_UDP = 0x0111,
};

/**
 * enum rdma_cm_event_type - what a handler is told of
 * @RDMA_CM_EVENT_ADDR_RESOLVED, @RDMA_CM_EVENT_ADDR_ERROR: of rdma_resolve_addr()
 * @RDMA_CM_EVENT_ROUTE_RESOLVED, @RDMA_CM_EVENT_ROUTE_ERROR: of rdma_resolve_route()
 * @RDMA_CM_EVENT_CONNECT_REQUEST: to a listener's handler, with a new ID that belongs to it
 * @RDMA_CM_EVENT_CONNECT_RESPONSE: the peer accepts, and the ID has no queue pair of rdma_create_qp(): rdma_accept() goes on
 * @RDMA_CM_EVENT_CONNECT_ERROR: the peer accepts, and the queue pair couldn't be made ready
 * @RDMA_CM_EVENT_UNREACHABLE: no answer
 * @RDMA_CM_EVENT_REJECTED: the status is a reason, enum ib_cm_rej_reason
 * @RDMA_CM_EVENT_ESTABLISHED: both sides may send
 * @RDMA_CM_EVENT_DISCONNECTED: by the peer, or as we asked
 * @RDMA_CM_EVENT_DEVICE_REMOVAL: the adapter goes when its last ID is destroyed
 * @RDMA_CM_EVENT_TIMEWAIT_EXIT: no packet of the connection is under way any more
 *
 * The others aren't told of.
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

/** rdma_event_msg() - an event in words */
const char *rdma_event_msg(enum rdma_cm_event_type event);

/** enum ib_cm_rej_reason - why a connection was rejected (IBTA 12.6.7.2) */
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

/** struct sa_path_rec - what rdma_resolve_route() found; @flow_label in network order */
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

/** struct rdma_dev_addr - @net: the one that there is */
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
 * struct rdma_conn_param - what a connection is to have, and in events what the peer said
 * @private_data: of an event: until the handler returns
 * @private_data_len: of rdma_connect() 56 at most, of rdma_accept() 196; of datagrams 180 and 136. Messages have no length of it: an event has all that there is room
 *	for, with zeros behind what the peer gave.
 * @responder_resources: RDMA reads and atomics of the peer's that may be under way at once
 * @initiator_depth: of ours
 * @rnr_retry_count: 7: for ever
 * @srq, @qp_num: of a queue pair that isn't of rdma_create_qp()
 * @qkey: of one for datagrams, of rdma_accept(); 0: that of rdma_create_qp()
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

/** struct rdma_ud_param - how datagrams reach the peer's queue pair */
struct rdma_ud_param {
	const void *private_data;
	u8 private_data_len;
	struct rdma_ah_attr ah_attr;
	u32 qp_num;
	u32 qkey;
};

/**
 * struct rdma_cm_event - @status: 0, a negative errno, of RDMA_CM_EVENT_REJECTED a reason, of RDMA_CM_EVENT_UNREACHABLE of datagrams also the
 *	status that the peer gave (IBTA 12.11.1.2)
 */
struct rdma_cm_event {
	enum rdma_cm_event_type event;
	int status;
	union {
		struct rdma_conn_param conn;
		struct rdma_ud_param ud;
	} param;
};

struct rdma_cm_id;

/** rdma_cm_event_handler - Return: 0; else the ID is destroyed by the library, and is gone for the ULP */
typedef int (*rdma_cm_event_handler)(struct rdma_cm_id *id, struct rdma_cm_event *event);

/**
 * struct rdma_cm_id - one end of a connection, or a listener
 * @device: the adapter, once an address of ours is known
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
 * softhca_addr_add() - an adapter has an IP address from now on
 * @addr: IPv4 or IPv6; its port means nothing
 *
 * It takes a place in the adapter's table of 16 GIDs, the first of which is the adapter's from the beginning.
 * Return: 0, also if the adapter had it; -EADDRINUSE: another one has it; -EINVAL: no address that an adapter can have; -ENOSPC.
 */
int softhca_addr_add(struct ib_device *device, const struct sockaddr *addr);

/** softhca_addr_del() - and now no more; IDs that use it stay. Return: 0; -EADDRNOTAVAIL: it doesn't have it. */
int softhca_addr_del(struct ib_device *device, const struct sockaddr *addr);

/**
 * rdma_create_id() - an ID
 * @net: &init_net; others are taken for it
 * @qp_type: IB_QPT_RC, IB_QPT_UC, or IB_QPT_UD
 *
 * Return: the ID; error pointers: -EINVAL, -ENOMEM, -EAGAIN: no thread to be had.
 */
struct rdma_cm_id *rdma_create_id(struct net *net, rdma_cm_event_handler event_handler, void *context,
				  enum rdma_ucm_port_space ps, enum ib_qp_type qp_type);

/** rdma_destroy_id() - no call of its handler is under way when this returns, and none follows; a peer is told. Its queue pair is gone before. */
void rdma_destroy_id(struct rdma_cm_id *id);

/**
 * rdma_bind_addr() - its own address and port
 * @addr: port 0: one is chosen; all zeros: any address of this family
 *
 * Return: 0; -EINVAL: it has one, or no such family; -EADDRNOTAVAIL: no adapter has the address, or no port is left; -EADDRINUSE; -ENOMEM.
 */
int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *addr);

/**
 * rdma_resolve_addr() - which adapter leads to an address?
 * @src_addr: NULL, or as of rdma_bind_addr(). Without an address of its own the ID gets the adapter of @dst_addr, as an address of
 *	this host is reached by itself.
 * @timeout_ms: there is an answer at once
 *
 * Event: RDMA_CM_EVENT_ADDR_RESOLVED, or RDMA_CM_EVENT_ADDR_ERROR with -EHOSTUNREACH: no adapter has it. Return: 0; or as rdma_bind_addr().
 */
int rdma_resolve_addr(struct rdma_cm_id *id, struct sockaddr *src_addr, const struct sockaddr *dst_addr,
		      unsigned long timeout_ms);

/** rdma_resolve_route() - the path; event: RDMA_CM_EVENT_ROUTE_RESOLVED. Return: 0; -EINVAL: no address is resolved. */
int rdma_resolve_route(struct rdma_cm_id *id, unsigned long timeout_ms);

/** rdma_create_qp() - a queue pair in INIT (datagrams: in RTS); the other calls move it on. Return: 0; -EINVAL: @pd is another adapter's, or it has one; or as ib_create_qp(). */
int rdma_create_qp(struct rdma_cm_id *id, struct ib_pd *pd, struct ib_qp_init_attr *qp_init_attr);
void rdma_destroy_qp(struct rdma_cm_id *id);

/** rdma_connect() - Return: 0; -EINVAL: no route is resolved, or too much private data; -ENOMEM, -ENOSPC */
int rdma_connect(struct rdma_cm_id *id, struct rdma_conn_param *conn_param);
/** rdma_connect_locked() - the same, in a handler of the ID */
int rdma_connect_locked(struct rdma_cm_id *id, struct rdma_conn_param *conn_param);

/**
 * rdma_listen() - requests become events
 * @backlog: requests that may wait for the handler, more are rejected; 0: 4,096
 *
 * An ID that isn't bound gets any address of IPv4 and a port. A listener to any address listens on adapters that come later, too. One to any
 * IPv6 address gets requests to IPv4 addresses that nobody else listens to, unless rdma_set_afonly() said otherwise.
 * Return: 0; -EINVAL; -EADDRINUSE: another ID listens to the same; -ENOMEM, -ENOSPC.
 */
int rdma_listen(struct rdma_cm_id *id, int backlog);

/** rdma_accept() - answer a request. Return: 0; -EINVAL: there is none; or what ib_modify_qp() says, and then the request is rejected. */
int rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *conn_param);

/** rdma_notify() - IB_EVENT_COMM_EST came for the queue pair: it is established. Return: 0; -EINVAL. */
int rdma_notify(struct rdma_cm_id *id, enum ib_event_type event);

/** rdma_reject() - @private_data_len: 148 at most; @reason: IB_CM_REJ_CONSUMER_DEFINED, or another one. Return: 0; -EINVAL. */
int rdma_reject(struct rdma_cm_id *id, const void *private_data, u8 private_data_len, u8 reason);

/** rdma_disconnect() - its queue pair goes into error, and the peer is told, or answered. Return: 0; -EINVAL: it isn't connected. */
int rdma_disconnect(struct rdma_cm_id *id);

/** rdma_set_service_type() - the traffic class of what is connected from now on */
void rdma_set_service_type(struct rdma_cm_id *id, int tos);

/** rdma_set_reuseaddr() - of IDs on one address and port that all say so one may listen. Return: 0; -EINVAL: it is bound. */
int rdma_set_reuseaddr(struct rdma_cm_id *id, int reuse);

/** rdma_set_afonly() - a listener to any IPv6 address gets no requests to IPv4 ones. Return: 0; -EINVAL: it listens. */
int rdma_set_afonly(struct rdma_cm_id *id, int afonly);

/** rdma_get_service_id() - of an address's port in the ID's port space, in network order */
u64 rdma_get_service_id(struct rdma_cm_id *id, struct sockaddr *addr);

/** rdma_read_gids() - of a path, once an address is resolved, or of a request; each may be NULL */
void rdma_read_gids(struct rdma_cm_id *id, union ib_gid *sgid, union ib_gid *dgid);

/** rdma_reject_msg() - a reason in words */
const char *rdma_reject_msg(struct rdma_cm_id *id, int reason);

/** rdma_consumer_reject_data() - the private data of a rejection by the peer's ULP; NULL, and length 0, of another one's */
const void *rdma_consumer_reject_data(struct rdma_cm_id *id, struct rdma_cm_event *ev, u8 *data_len);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
