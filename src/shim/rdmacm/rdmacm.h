/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The drop-in librdmacm: what its files share. It makes verbs objects by the public
 * calls of libibverbs, speaks to other processes by the communication manager of src/cm
 * over a queue pair of its own, and finds them by a table of ports in the fabric.
 *
 * One lock, cm_lock, guards all that is here: IDs, the queues of channels, ports. The
 * manager's calls are made under it, but for hca_cm_destroy(), which waits for handlers, and
 * these take the lock. No verbs object is made, changed or destroyed under it.
 */
#ifndef SHIM_RDMACM_RDMACM_H
#define SHIM_RDMACM_RDMACM_H

#include <errno.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>

#include "cm/cm.h"
#include "cm/ip.h"

/* Of all that this library defines, what a program may see is what librdmacm.map names. */
#define CM_EXPORT __attribute__((visibility("default")))

#define CM_IP_AT 12u /* of an IPv4 address in a mapped one */
#define CM_PORT 1u /* the only one of the device */

extern pthread_mutex_t cm_lock;

/** cm_life - counts forks: of the process, among its ancestors; under cm_lock */
extern u32 cm_life;

/** cm_fail() - of a call that failed. @err: an errno, positive or negative. Return: -1, and errno is set. */
static inline int cm_fail(int err)
{
	errno = err < 0 ? -err : err;
	return -1;
}

/** cm_null() - the same, of a call that gives a pointer */
static inline void *cm_null(int err)
{
	errno = err < 0 ? -err : err;
	return NULL;
}

/** cm_result() - of a call. @err: 0, or an errno. */
static inline int cm_result(int err)
{
	return err ? cm_fail(err) : 0;
}

/* --- addr.c --- */

/** struct cm_addr - an address; @ip: as a GID, of IPv4 a mapped one; @version: 4 or 6, 0: none; @scope: of a link-local one */
struct cm_addr {
	u8 ip[16];
	u32 scope;
	u16 port;
	u8 version;
};

/** cm_addr_from() - Return: 0; -EAFNOSUPPORT: neither IPv4 nor IPv6 */
int cm_addr_from(const struct sockaddr *from, struct cm_addr *to);

/** cm_addr_to() - all of @to is written */
void cm_addr_to(const struct cm_addr *from, struct sockaddr_storage *to);

/** cm_addr_any_of() - the wildcard of a version */
struct cm_addr cm_addr_any_of(u8 version);

bool cm_addr_is_any(const struct cm_addr *a);

/** cm_addr_same() - the same address, whatever the ports */
bool cm_addr_same(const struct cm_addr *a, const struct cm_addr *b);

/** cm_addr_is_ours() - does an interface of this network have it? */
bool cm_addr_is_ours(const struct cm_addr *a);

/** cm_addr_source() - which address would be the source on the way to @to? @to, if the system doesn't say. The port isn't set. */
void cm_addr_source(const struct cm_addr *to, struct cm_addr *source);

/** cm_addr_to_here() - the wildcard, as a destination, is this host */
void cm_addr_to_here(struct cm_addr *a);

/* --- channel.c --- */

struct cm_id;
struct cm_group;

/** struct cm_channel - an event channel; @ib.fd counts the events in the queue; @waiting: threads that read @ib.fd */
struct cm_channel {
	struct rdma_event_channel ib;
	struct cm_event *first;
	struct cm_event **last;
	u32 waiting;
	bool closed;
};

/**
 * struct cm_event - an event
 * @owner: the ID that counts it: of a request the listener, else @ib.id's
 * @group: of a group's, or NULL
 * @data: private data
 */
struct cm_event {
	struct rdma_cm_event ib;
	struct cm_event *next;
	struct cm_id *owner;
	struct cm_group *group;
	u8 data[HCA_CM_PRIVATE_MAX];
};

/** cm_channel_new() - Return: NULL and errno */
struct cm_channel *cm_channel_new(void);

/** cm_channel_free() - no ID is on it */
void cm_channel_free(struct cm_channel *ch);

/** cm_event_new() - Return: NULL: no memory. Of an ID, or with @owner of one that asks to connect to that. */
struct cm_event *cm_event_new(struct cm_id *id, struct cm_id *owner, enum rdma_cm_event_type type, int status);

/** cm_event_queue() - it waits on the owner's channel from now on. Under cm_lock. */
void cm_event_queue(struct cm_event *e);

/** cm_tell() - an event without a message. Under cm_lock. */
void cm_tell(struct cm_id *id, enum rdma_cm_event_type type, int status);

/** cm_event_drop() - one of an ID's events that wait, off its queue; NULL: there is none. Under cm_lock. */
struct cm_event *cm_event_drop(struct cm_id *id);

/** cm_event_remove() - that one, off its queue. Under cm_lock. */
void cm_event_remove(struct cm_event *e);

/** cm_event_move() - an ID's events that wait, to another channel. Under cm_lock. */
void cm_event_move(struct cm_id *id, struct cm_channel *to);

/** cm_wait_acked() - until the program has acknowledged the ID's events. Under cm_lock, which is let go meanwhile. */
void cm_wait_acked(struct cm_id *id);

/** cm_complete() - of a synchronous ID: wait for the next event. Return: what the call returns. */
int cm_complete(struct cm_id *id);

/* --- id.c --- */

enum cm_state {
	CM_IDLE,
	CM_BOUND,
	CM_ADDR_RESOLVED,
	CM_ROUTE_RESOLVED,
	CM_LISTEN,
	CM_CONNECT, /* and all that comes after it */
	CM_ENDING,
};

/** struct cm_peer - what the other side said of its queue pair */
struct cm_peer {
	u32 qpn;
	u32 psn;
	u8 mtu;
};

/**
 * struct cm_id - what is behind an ID
 * @prev_next, @next: all of the process
 * @cm: the manager's; NULL: there is none
 * @manager: the queue pair of the peer's manager; 0: it isn't known; @stamp: its node's, 0: it isn't known
 * @entry: of the port table; 0: none
 * @events, @acked: that the program got, and that it is done with
 * @requests: of a listener: that the program hasn't fetched; @backlog: as many there may be
 * @seen: of a connection: its listener, while the program has the request and has done nothing with it yet
 * @last: of a listener: the connection whose @seen is this; @idle: how often in a row that was waited for in vain
 * @request: of a connection: the event that the program hasn't fetched; @expires: when it is refused, as there was no room; 0: never
 * @accepted: rdma_accept() was called for it, and went well
 * @established: the program was told, or was the one to say so
 * @over: it was told that the connection isn't there any more
 * @knocks: it is looked for a listener that may come back; @patience: until when, in ns, @param and @data: to send what
 * @gone: the peer's process ended, and that is to be told; @lost: it was
 * @failed: a queue pair couldn't be made ready, and the program knows; what the peer says of it isn't told
 * @qp_lock: a thread that fetches an event uses @ib.qp, and another one makes or destroys it; cm_lock isn't held when it is taken
 * @ece, @remote_ece: options for enhanced connection establishment: our next message's, and those of the peer's; vendor 0: none
 * @init, @init_pd: of a listener of rdma_create_ep(): what its connections' queue pairs are made with, or NULL
 */
struct cm_id {
	struct rdma_cm_id ib;
	struct cm_id **prev_next;
	struct cm_id *next;
	u32 life;
	enum cm_state state;
	bool sync;

	struct cm_addr src;
	struct cm_addr dst;
	u32 entry;
	bool reuse;
	bool afonly;
	u8 tos;
	u8 ack_timeout; /* 0: not set */

	struct hca_cm_id *cm;
	u32 manager;
	u64 stamp;
	u32 requests;
	u32 backlog;
	struct cm_id *seen;
	struct cm_id *last;
	u32 idle;
	struct cm_event *request;
	u64 expires;
	bool knocks;
	u64 patience;
	struct rdma_conn_param param;
	u8 data[HCA_CM_PRIVATE_MAX];
	bool accepted;
	bool established;
	bool over;
	bool gone;
	bool lost;
	bool failed;

	pthread_mutex_t qp_lock;
	u32 qpn;
	u32 psn;
	bool srq;
	u32 qkey;
	u8 responder_resources;
	u8 initiator_depth;
	u8 retry_count;
	u8 rnr_retry_count;
	struct cm_peer peer;
	union ibv_gid sgid;
	union ibv_gid dgid;
	u8 sgid_index;
	struct ibv_sa_path_rec path;
	struct ibv_ece ece;
	struct ibv_ece remote_ece;

	u32 events;
	u32 acked;
	struct cm_group *groups;
	struct ibv_qp_init_attr *init;
	struct ibv_pd *init_pd;
	bool own_channels; /* the completion queues and channels are the library's */
};

static inline struct cm_id *cm_id_of(struct rdma_cm_id *ib)
{
	return hca_container_of(ib, struct cm_id, ib);
}

static inline struct cm_channel *cm_channel_of(struct rdma_event_channel *ib)
{
	return hca_container_of(ib, struct cm_channel, ib);
}

static inline bool cm_is_ud(const struct cm_id *id)
{
	return id->ib.qp_type == IBV_QPT_UD;
}

/** cm_id_new() - on a channel, in no state yet. Under cm_lock. Return: NULL: no memory. */
struct cm_id *cm_id_new(struct cm_channel *ch, void *context, enum rdma_port_space ps, enum ibv_qp_type type);

/** cm_id_free() - one that the program never saw. Under cm_lock. */
void cm_id_free(struct cm_id *id);

/** cm_id_sync() - it gets a channel of its own, and its calls wait for their events. Return: 0 or an errno. */
int cm_id_sync(struct cm_id *id);

/** cm_id_end_unseen() - one of a request that the program never saw. Without cm_lock. */
void cm_id_end_unseen(struct cm_id *child);

/** cm_each() - the first of all IDs, by @next. Under cm_lock. */
struct cm_id *cm_each(void);

/** cm_id_forget_all() - in a forked child */
void cm_id_forget_all(void);

/** cm_id_touched() - the program does something with an ID that it may have got as a request. Without cm_lock. */
void cm_id_touched(struct cm_id *id);

/** cm_id_settle() - the address is known: the device, the port and the path's GIDs are. Under cm_lock. */
void cm_id_settle(struct cm_id *id);

/** cm_bind() - to an address, of an ID in IDLE. Under cm_lock. Return: 0 or a negative errno. */
int cm_bind(struct cm_id *id, const struct cm_addr *a);

/** cm_set_path() - fill in the path record that programs see */
void cm_set_path(struct cm_id *id);

/* --- manager.c --- */

/** struct cm_manager - this process's communication manager; @qpn: the queue pair that messages for it go to */
struct cm_manager {
	struct hca_cm cm;
	u32 qpn;
	u32 node;
	u64 stamp;
	struct ibv_context *verbs; /* that programs get */
	struct ibv_pd *pd; /* of IDs whose programs bring none */
	struct ibv_xrcd *xrcd; /* so too; NULL: not needed yet */
	struct ibv_device_attr attr;
	bool infiniband;
	u16 lid;
};

/** cm_start() - the manager is there; NULL and errno: it couldn't be made. Without cm_lock. */
struct cm_manager *cm_start(void);

/** cm_manager() - after cm_start() */
struct cm_manager *cm_manager(void);

/** cm_xrcd() - the domain of extended connections whose programs bring none. Without cm_lock. Return: NULL and errno */
struct ibv_xrcd *cm_xrcd(void);

/** cm_to() - the way to the manager of another process */
struct hca_ah_attr cm_to(u32 qpn);

/** cm_from() - and back */
u32 cm_from(const struct hca_ah_attr *to);

/** cm_gid() - the port's GID for an address; its own, if it has none. Return: the index. */
u8 cm_gid(const struct cm_addr *a, union ibv_gid *gid);

/* --- ports.c; all under cm_lock, after cm_start() --- */

/** cm_port_take() - id->src is the ID's; a port is chosen if it has none. Return: 0; -EADDRINUSE; -EADDRNOTAVAIL: none is left; other errors */
int cm_port_take(struct cm_id *id);

void cm_port_give(struct cm_id *id);

/** cm_port_listen() - others find it. Return: 0; -EADDRINUSE: somebody else listens there */
int cm_port_listen(struct cm_id *id);

/** cm_port_find() - find the listener. @qpn: the queue pair of its manager, 0: there is no listener; @stamp: its node's. Return: 0 or an errno of the table */
int cm_port_find(enum rdma_port_space ps, const struct cm_addr *a, u32 *qpn, u64 *stamp);

/**
 * cm_port_may_open() - may somebody listen soon?
 *
 * Return: a process has bound the port, or a listener left it less than three seconds ago. Ports are kept by a hash: another port
 *	may be taken for this one.
 */
bool cm_port_may_open(enum rdma_port_space ps, const struct cm_addr *a);

/** cm_port_forget() - in a forked child */
void cm_port_forget(void);

/* --- connect.c, accept.c, events.c --- */

/** cm_knock() - IDs that look for a listener look again. Without cm_lock. Return: some do so still. */
bool cm_knock(void);

/** cm_knock_again() - nobody listened. In the handler of id->cm, under cm_lock. Return: a listener may come back, and is looked for */
bool cm_knock_again(struct cm_id *id);

/** cm_knock_later() - call cm_knock() in a moment */
void cm_knock_later(void);

/** cm_fetched() - the program gets an event: what is to be done before it sees it. Without cm_lock. Return: it is to see it */
bool cm_fetched(struct cm_event *e);

/** cm_on_cm() - the manager's handler */
void cm_on_cm(struct hca_cm_id *cm, const struct hca_cm_event *event);

/** cm_refuse_late() - requests for which there was no room in time. Without cm_lock. Return: some wait still. */
bool cm_refuse_late(void);

/** cm_mourn() - tell of the ends of other processes. Without cm_lock. */
void cm_mourn(void);

/*
 * InfiniBand's messages don't say how long private data is, and fill it up with zeros. Here both ends are ours, so they tell each
 * other: of a request in what the header reserves, CM_HAS_LENGTH there and the length in the last byte; of a REP in the EE
 * context, which RC doesn't have, one more than the length; of a REJ and SIDR_REP in the additional information.
 */
#define CM_HAS_LENGTH 1u
#define CM_HEADER_FLAGS 1u /* of the header's bytes */

/** cm_private_len() - of a peer's message, behind @skip bytes; all that there is room for, if the peer didn't say */
u8 cm_private_len(const struct hca_cm_msg *msg, u32 skip);

/** cm_match() - how the private data of a listener's requests begins. Return: @match; NULL: any may come */
const struct hca_cm_match *cm_match(const struct cm_id *id, struct hca_cm_match *match);

/* --- qp.c --- */

/** cm_qp_lock() - @ib.qp stays as it is; nothing, in a forked child. Return: it is to be unlocked */
bool cm_qp_lock(struct cm_id *id);
void cm_qp_unlock(struct cm_id *id, bool locked);

/** cm_qp_is() - is there a queue pair? */
bool cm_qp_is(struct cm_id *id);

/** cm_qp_ready() - from INIT to RTS: the peer is known. Return: 0 or an errno. */
int cm_qp_ready(struct cm_id *id);

/** cm_qp_error() - if there is a queue pair */
void cm_qp_error(struct cm_id *id);

/** cm_ah_attr() - the path to the peer */
void cm_ah_attr(const struct cm_id *id, struct ibv_ah_attr *ah);

/* --- group.c --- */

/** cm_group_fetched() - a group's event is fetched: the queue pair joins */
void cm_group_fetched(struct cm_event *e);

/** cm_groups_end() - of an ID that ends. Without cm_lock. */
void cm_groups_end(struct cm_id *id);

#endif
