/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of connections by address share: ib_cma_addr.c knows adapters and their
 * addresses, ib_cma_port.c ports, ib_cma_qp.c moves queue pairs, ib_cma_event.c calls
 * handlers and ends IDs, and ib_cma.c has the ULP's calls.
 *
 * Locks, outermost first: ib_cma_lock() (who has which address and port, and which listeners there are; its holder may
 * sleep); a device's lock (the IDs on it); an ID's lock.
 */
#ifndef IB_CMA_H
#define IB_CMA_H

#include "cm/gsi.h"
#include "cm/ip.h"
#include "ib_core.h"
#include "softhca/rdma_cm.h"

#define IB_CMA_IP_AT 12u /* of an IPv4 address in a GID */
#define IB_CMA_UDP_QKEY 0x01234567u /* of queue pairs for datagrams whose ULP names no other; as Linux has it */

/** struct ib_cma_addr - an address; @gid: as a GID, of IPv4 a mapped one; @version: 4 or 6 */
struct ib_cma_addr {
	u8 gid[16];
	u16 port;
	u8 version;
};

/** struct ib_cma_gsi - an adapter's queue pair 1 */
struct ib_cma_gsi {
	struct hca_gsi gsi;
	struct ib_cma_dev *dev;
	void *cpu;
	dma_addr_t dma;
};

enum ib_cma_state {
	IB_CMA_IDLE,
	IB_CMA_BOUND,
	IB_CMA_ADDR_QUERY,
	IB_CMA_ADDR_RESOLVED,
	IB_CMA_ROUTE_QUERY,
	IB_CMA_ROUTE_RESOLVED,
	IB_CMA_LISTEN,
	IB_CMA_CONNECT,
	IB_CMA_ENDING,
};

/* What an ID has to tell, in the order in which it is told; of each there is one at most. */
enum ib_cma_slot {
	IB_CMA_SLOT_ADDR,
	IB_CMA_SLOT_ROUTE,
	IB_CMA_SLOT_OPEN,
	IB_CMA_SLOT_END,
	IB_CMA_SLOT_EXIT,
	IB_CMA_SLOT_REMOVAL,
	IB_CMA_SLOTS,
};

/** struct ib_cma_msg - the parts of a peer's message that an event or a later call needs; an event gets @conn and @ece as they are */
struct ib_cma_msg {
	struct rdma_conn_param conn;
	struct rdma_ucm_ece ece;
	u32 psn;
	u8 mtu;
	u8 data[HCA_CM_PRIVATE_MAX];
};

/** struct ib_cma_listener - one of a listening ID's, on an adapter */
struct ib_cma_listener {
	struct ib_cma_listener *next;
	struct ib_cma_dev *dev;
	struct hca_cm_id *cm;
};

/** struct ib_cma_id - what is behind an ID */
struct ib_cma_id {
	struct rdma_cm_id ib;
	struct hca_cm_id *cm; /* of its connection */
	struct ib_cma_dev *dev; /* that it is on */
	struct list_head on_dev; /* the device's lock */
	struct sa_path_rec path;
	struct hca_ah_attr to;
	uintptr_t qp_busy; /* atomic: hca_context() of a thread that modifies or destroys @ib.qp; or 0 */
	u32 qp_num;
	u32 psn; /* that we send from */
	struct rdma_ucm_ece ece; /* for the peer */
	bool srq;
	u8 tos;
	u8 responder_resources; /* of the connection */
	u8 initiator_depth;
	u8 retry_count;
	u8 rnr_retry_count;

	/* Under ib_cma_lock(). */
	struct ib_cma_addr src;
	struct ib_cma_id *next_port;
	bool bound;
	bool reuse;
	bool afonly;
	struct list_head wild; /* listeners to any address */
	struct ib_cma_listener *listeners;

	struct hca_spinlock lock; /* what follows */
	u32 state; /* atomic: enum ib_cma_state */
	u32 held; /* atomic for a reader: the listener's handler has it, and its own events wait */
	u32 pending; /* bits of enum ib_cma_slot */
	struct {
		enum rdma_cm_event_type type;
		int status;
	} slot[IB_CMA_SLOTS];
	struct list_head requests; /* IDs that the handler wasn't told of */
	u32 waiting; /* of these */
	u32 backlog;

	struct list_head request; /* in another one's requests */
	struct ib_cma_msg open; /* a REQ or a REP */
	struct ib_cma_msg end;
	struct hca_eq_node node; /* calls the handler */
	uintptr_t
		in_handler; /* atomic: hca_context() of the thread that is in a handler of it, or of a request to it; or 0 */
	bool destroyed; /* in that handler, by that thread */
	struct ib_cma_id *next_reap;
};

static inline struct ib_cma_id *ib_cma_of(struct rdma_cm_id *id)
{
	return hca_container_of(id, struct ib_cma_id, ib);
}

/* --- ib_cma_addr.c --- */

void ib_cma_lock(void);
void ib_cma_unlock(void);

/** ib_cma_addr_from() - Return: 0; -EINVAL: no such family */
int ib_cma_addr_from(const struct sockaddr *from, struct ib_cma_addr *to);

/** ib_cma_addr_to() - all of @to is written */
void ib_cma_addr_to(const struct ib_cma_addr *from, struct sockaddr_storage *to);

bool ib_cma_addr_any(const struct ib_cma_addr *a);

/** ib_cma_find() - who has this address? NULL: nobody. Under ib_cma_lock(). */
struct ib_cma_dev *ib_cma_find(const struct ib_cma_addr *a);

/** ib_cma_first() - the devices, by their next. Under ib_cma_lock(). */
struct ib_cma_dev *ib_cma_first(void);

/** ib_cma_open() - the device has a queue pair 1. Under ib_cma_lock(). Return: 0; -ENODEV: it goes; -EBUSY, -ENOMEM, -ENOSPC. */
int ib_cma_open(struct ib_cma_dev *d);

/** ib_cma_attach() - the ID is on the device. Any context. Return: 0; -ENODEV: the device goes. */
int ib_cma_attach(struct ib_cma_id *id, struct ib_cma_dev *d);

/** ib_cma_release() - free an ID, which then is on no device any more. Any context. */
void ib_cma_release(struct ib_cma_id *id);

/** ib_cma_enter() - a device comes. Under ib_cma_lock(). */
void ib_cma_enter(struct ib_device *dev);

/** ib_cma_close() - a device that no ID is on any more has no queue pair 1 either. May sleep. */
void ib_cma_close(struct ib_cma_dev *d);

/* --- ib_cma_port.c --- */

/** ib_cma_port_take() - id->src is the ID's; a port is chosen if it has none. Under ib_cma_lock(). Return: 0; -EADDRINUSE; -EADDRNOTAVAIL. */
int ib_cma_port_take(struct ib_cma_id *id);

/** ib_cma_port_give() - Under ib_cma_lock(). */
void ib_cma_port_give(struct ib_cma_id *id);

/* --- ib_cma_qp.c --- */

/** ib_cma_qp_first() - RESET to INIT, of a queue pair for datagrams to RTS */
int ib_cma_qp_first(struct ib_cma_id *id, struct ib_qp *qp);

/** ib_cma_qp_set() - the ID has it from now on */
void ib_cma_qp_set(struct ib_cma_id *id, struct ib_qp *qp);

/** ib_cma_qp_is() - is there a queue pair? */
bool ib_cma_qp_is(struct ib_cma_id *id);

/** ib_cma_qp_ready() - INIT to RTS: the peer is known */
int ib_cma_qp_ready(struct ib_cma_id *id);

/** ib_cma_qp_error() - if there is a queue pair */
void ib_cma_qp_error(struct ib_cma_id *id);

/** ib_cma_qp_destroy() - if there is a queue pair. May sleep. */
void ib_cma_qp_destroy(struct ib_cma_id *id);

/* --- ib_cma_event.c --- */

/** ib_cma_new() - Return: an ID in IDLE, or NULL. @flags: of hca_alloc() */
struct ib_cma_id *ib_cma_new(unsigned int flags);

/** ib_cma_tell() - an event without a message. Any context. */
void ib_cma_tell(struct ib_cma_id *id, enum ib_cma_slot slot, enum rdma_cm_event_type type, int status);

/** ib_cma_on_cm() - the handler of connections and listeners; its ID's context is an ib_cma_id */
void ib_cma_on_cm(struct hca_cm_id *cm, const struct hca_cm_event *event);

/** ib_cma_refuse() - say why a call for the ID is refused, in which state. Return: @err */
int ib_cma_refuse(struct ib_cma_id *id, int err, const char *call, const char *why) HCA_COLD;

/** ib_cma_move() - from a state to another one. Return: 0; -EINVAL: it is in none of @from, a mask of states. */
int ib_cma_move(struct ib_cma_id *id, u32 from, enum ib_cma_state to);

/** ib_cma_end() - no call of its handler is under way when this returns, and the ID is gone. May sleep. In its handler: refused, and it ends afterwards. */
void ib_cma_end(struct ib_cma_id *id);

/** ib_cma_listen_on() - on one more adapter. Under ib_cma_lock(). Return: 0; -EADDRINUSE, -ENOMEM, -ENOSPC. */
int ib_cma_listen_on(struct ib_cma_id *id, struct ib_cma_dev *d);

/** ib_cma_listen_no_more() - on @d; NULL: on any. Under ib_cma_lock(). */
void ib_cma_listen_no_more(struct ib_cma_id *id, const struct ib_cma_dev *d);

/** ib_cma_wild_add() - the ID listens on every adapter that comes. Under ib_cma_lock(). */
void ib_cma_wild_add(struct ib_cma_id *id);

#endif
