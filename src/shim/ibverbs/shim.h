/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The drop-in libibverbs: what its files share. Behind each object that a program holds
 * stands an object of the engine (src/hca) and little else. The public part, which the
 * program may overwrite, is never asked for what the library relies on.
 */
#ifndef SHIM_IBVERBS_SHIM_H
#define SHIM_IBVERBS_SHIM_H

#include <infiniband/verbs.h>
#include <pthread.h>

#include "hca/hca.h"
#include "hca/mcast.h"
#include "hca/qp.h"
#include "hca/srq.h"
#include "softhca/abi/fabric.h"
#include "wire/shm/shm.h"

/* verbs.h has macros of these names, which pick one of several functions. */
#undef ibv_query_port
#undef ibv_reg_mr
#undef ibv_reg_mr_iova

/* Of all that this library defines, what a program may see is what libibverbs.map names. */
#define SHIM_EXPORT __attribute__((visibility("default")))

/* Of these names compat.c has another one, in version 1.0. */
#define SHIM_NOT_OLD(name) __asm__(".symver " #name ", " #name "@@@IBVERBS_1.1")

struct shim_context;
struct shim_device;
struct shim_pd;
struct shim_qp;

/*
 * The object behind what a program has. It may be NULL or anything, so that this is no arithmetic of pointers: shim_is() and the like know
 * whether there is such an object, before anything of it is read.
 */
#define SHIM_OF(ib, type, member) ((type *)((uintptr_t)(ib)-offsetof(type, member)))

/* --- config.c: the environment, and words --- */

/**
 * struct shim_config - what the SOFTHCA_* variables say
 * @infiniband: links have LIDs; else it is RoCE
 * @lid: of the first device's port, if @infiniband; those of the others follow
 * @devices: how many there are
 */
struct shim_config {
	bool infiniband;
	bool no_vm;
	u32 lid;
	u32 devices;
};

#define SHIM_LAST_LID 0xbffeu

/** shim_config() - read once. Return: NULL: a variable has a value that can't be; stderr has named it. */
const struct shim_config *shim_config(void);

/** enum shim_area - what SOFTHCA_LOG=level:area can pick */
enum shim_area { SHIM_LOG_DEVICE, SHIM_LOG_MEMORY, SHIM_LOG_CQ, SHIM_LOG_QP, SHIM_LOG_EVENT, SHIM_LOG_AREAS };

/** shim_log() - one line, if the level and the area are wanted */
void shim_log(enum hca_log_level level, enum shim_area area, const char *fmt, ...) HCA_PRINTF(3, 4);

/** shim_why() - a call fails with @err (an errno, positive or negative): say why, at level info. Return: the positive errno. */
int shim_why(int err, enum shim_area area, const char *fmt, ...) HCA_PRINTF(3, 4);

/** shim_null() - errno is set to @err, positive or negative. Return: NULL. */
static inline void *shim_null(int err)
{
	errno = err < 0 ? -err : err;
	return NULL;
}

/** shim_minus_one() - errno is set to @err. Return: -1, as some calls fail. */
static inline int shim_minus_one(int err)
{
	errno = err;
	return -1;
}

/** shim_be64() - in network order, as programs have GUIDs */
static inline __be64 shim_be64(u64 v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return (HCA_FORCE __be64)v;
}

/* --- object.c: which objects are alive --- */

/** enum shim_type - kinds of objects, in the order in which those that a program left can be destroyed */
enum shim_type {
	SHIM_QP,
	SHIM_MW,
	SHIM_MR,
	SHIM_AH,
	SHIM_SRQ,
	SHIM_XRCD,
	SHIM_CQ,
	SHIM_CHANNEL,
	SHIM_DM,
	SHIM_TD,
	SHIM_PARENT,
	SHIM_PD,
	SHIM_CONTEXT,
	SHIM_TYPES,
};

#define SHIM_LIVE 0x5af70000u

/**
 * struct shim_object - the head of each object
 * @live: atomic: SHIM_LIVE | type while calls may use it. Its memory stays when it is destroyed, so that a stale
 *	pointer finds this field.
 * @type: enum shim_type; of memory that is free too
 * @handle: a number that no other object of this process has
 * @under: the parent domain that it was made under, which can't end before it; or NULL
 */
struct shim_object {
	u32 live;
	u32 type;
	u32 handle;
	struct shim_context *context;
	struct shim_pd *under;
	struct shim_object *next; /* of its bucket, or of free ones */
};

/** shim_object_new() - zeroed memory with a head, not alive yet. Return: NULL: no memory. */
void *shim_object_new(enum shim_type type, size_t size, struct shim_context *context);

/** shim_object_publish() - from now on calls may use it, and the parent domain that it is under has one more user */
void shim_object_publish(struct shim_object *o);

/** shim_object_move() - an object that is alive is under another parent domain from now on, or under none */
void shim_object_move(struct shim_object *o, struct shim_pd *under);

/** shim_object_free() - the memory may be used for another object of the type */
void shim_object_free(struct shim_object *o);

/** shim_is() - is it alive? @o may be stale, but was an object once. */
static inline bool shim_is(const struct shim_object *o, enum shim_type type)
{
	return hca_likely(hca_load(&o->live) == (SHIM_LIVE | type));
}

/** shim_known() - the same for a pointer that may be anything, which isn't followed unless an object is there */
bool shim_known(const struct shim_object *o, enum shim_type type);

/** shim_is_of() - the same, and it was made in this context: objects of two contexts don't go together, as with a kernel's handles */
static inline bool shim_is_of(const struct shim_object *o, enum shim_type type, const struct shim_context *c)
{
	return shim_known(o, type) && o->context == c;
}

/** shim_claim() - the caller alone may destroy it from now on. Return: false: it isn't alive, or another caller does. */
bool shim_claim(struct shim_object *o, enum shim_type type);

/** shim_unclaim() - it can't be destroyed: it is alive as before */
void shim_unclaim(struct shim_object *o);

/** shim_each() - call @fn for each object of @type that is alive, of @context if that isn't NULL; @fn may not come back to this file */
void shim_each(enum shim_type type, const struct shim_context *context, void (*fn)(struct shim_object *o, void *arg),
	       void *arg);

/** shim_claim_any() - an object of the type and context, claimed; NULL: there is none */
struct shim_object *shim_claim_any(enum shim_type type, const struct shim_context *context);

/** shim_object_forget_all() - in a forked child: no object but the contexts is alive any more */
void shim_object_forget_all(void);

/* --- events.c: descriptors that programs wait on --- */

/**
 * struct shim_event - one that may have events: a completion queue on its channel, an object on its context
 * @pending: events that wait: their number, or, of asynchronous ones, a bit for each type
 * @given, @acked: events that the program got, and those that it is done with
 *
 * All under the queue's lock.
 */
struct shim_event {
	struct shim_event *next;
	bool queued;
	u32 pending;
	u32 given;
	u32 acked;
};

/** struct shim_queue - events behind one descriptor, which counts them */
struct shim_queue {
	pthread_mutex_t lock;
	pthread_cond_t acked;
	struct shim_event *first;
	struct shim_event **last;
	int fd;
};

/** shim_queue_init() - Return: 0, or an errno of eventfd() */
int shim_queue_init(struct shim_queue *q);
void shim_queue_fini(struct shim_queue *q);

/** shim_queue_ack() - @n events that the program got are done with */
void shim_queue_ack(struct shim_queue *q, struct shim_event *e, u32 n);

/**
 * shim_queue_end() - forget what waits of it, and return when the program has acknowledged what it got
 * @async: its pending events are bits
 * @abandon: the program closes all: don't wait
 */
void shim_queue_end(struct shim_queue *q, struct shim_event *e, bool async, bool abandon);

/** shim_cq_event() - the handler of a completion queue: the program asked to be told */
void shim_cq_event(struct hca_cq *cq);

/** shim_qp_event() - an asynchronous event of a queue pair */
void shim_qp_event(struct shim_qp *qp, enum hca_event_type type);

/** shim_port_event() - an asynchronous event of a device's port, for each of its contexts */
void shim_port_event(struct shim_device *dev, enum ibv_event_type type);

/** shim_async_event() - the engine tells of an event of a queue pair, completion queue or shared receive queue */
void shim_async_event(struct hca *hca, enum hca_event_type type, void *object);

/* --- copy.c: copies whose faults are caught --- */

/** struct shim_fault - @faulted: 1: at address @value; 0: it went well, and @value is an atomic operation's result */
struct shim_fault {
	u64 faulted;
	u64 value;
};

/** shim_copy_init() - have faults of copies caught from now on. Return: 0 or an errno. */
int shim_copy_init(void);

/** shim_copy() - @n bytes, which may overlap */
struct shim_fault shim_copy(void *to, const void *from, size_t n);

/** shim_put() - the same, to where a program may be watching: the last byte comes last, 4 and 8 bytes at once */
struct shim_fault shim_put(void *to, const void *from, size_t n);

struct shim_fault shim_cmp_swap(u64 *at, u64 compare, u64 swap);
struct shim_fault shim_fetch_add(u64 *at, u64 add);

/* --- memory.c --- */

/** shim_mem_init() - an accessor for which an address is this process's virtual address */
void shim_mem_init(struct hca_mem *mem);

/* --- mapped.c --- */

/** enum shim_mapped - what a range of addresses is */
enum shim_mapped {
	SHIM_MAPPED_UNKNOWN,
	SHIM_MAPPED,
	SHIM_MAPPED_NOT, /* or not all of it */
	SHIM_MAPPED_WITHOUT_RIGHTS, /* it can't be read, or not be written though that was asked */
};

/**
 * shim_mapped() - may this process read, and if @writable write, the pages of @length bytes at @addr? None of them is touched.
 *
 * @maps: from shim_mapped_open(), or -1: it takes longer then. Its number is the process's, which may have closed it, or given it to another
 *	file.
 *
 * Where /proc isn't mounted rights are taken for granted. Return: never SHIM_MAPPED_UNKNOWN.
 */
enum shim_mapped shim_mapped(int maps, const void *addr, size_t length, bool writable);

/** shim_mapped_open() - Return: a descriptor, or -1 */
int shim_mapped_open(void);

/* --- device.c --- */

/** struct shim_gid - an entry of the port's GID table; the engine's has the same one at the same index */
struct shim_gid {
	union ibv_gid gid;
	u32 ifindex;
	u8 mac[6];
	bool used;
};

/**
 * struct shim_wire - a device's node on the fabric
 * @node: while the adapter is there
 * @addresses: tells of changes of interfaces' addresses; -1: nothing does
 * @groups_lock: one call at a time says how many groups there are
 * @mourning: goes off when queue pairs are to learn that their peer's process ended
 * @deaths: atomic: how many were told of
 */
struct shim_wire {
	struct hca_shm *node;
	int addresses;
	pthread_mutex_t groups_lock;
	struct hca_timer mourning;
	u32 deaths;
};

/**
 * struct shim_device - a device: an adapter of its own, which shares nothing with those of the process's other devices
 * @ib: what programs see
 * @index: ipath0 is the first, with index 0
 * @ops, @zero: providers' libraries look behind @ib for their own marks, and must not find them
 * @opens: contexts; the adapter is there while there are any
 */
struct shim_device {
	struct ibv_device ib;
	const void *ops;
	u64 zero[16];

	u32 index;
	u64 guid;

	pthread_mutex_t lock; /* what follows */
	u32 opens;
	int maps;
	struct shim_wire wire;

	pthread_mutex_t gid_lock; /* what follows */
	struct shim_gid gid[HCA_GIDS];
	bool follows; /* the table, the addresses of interfaces */

	struct hca hca;
	struct hca_mem mem;
};

/** shim_life - counts forks: of the process, among its ancestors; atomic */
extern u32 shim_life;

/** shim_device() - the device with this index. Return: NULL: there are not so many, or a variable has a value that can't be. */
struct shim_device *shim_device(u32 index);

/** shim_device_of() - the device behind a program's pointer, which may be anything; NULL: it isn't one */
struct shim_device *shim_device_of(const struct ibv_device *ib);

/** shim_device_lid() - its port's; links of Ethernet have none: 0 */
static inline u32 shim_device_lid(const struct shim_device *dev)
{
	return shim_config()->infiniband ? shim_config()->lid + dev->index : 0;
}

/** shim_device_open() - one more context; the first one makes the adapter. Return: 0 or a positive errno. */
int shim_device_open(struct shim_device *dev);
void shim_device_close(struct shim_device *dev);

/* --- gids.c --- */

/** shim_gids_begin() - make the table, which follows the interfaces from now on */
void shim_gids_begin(struct shim_device *dev);

/** shim_gids_end() - when this returns no call changes the table any more */
void shim_gids_end(struct shim_device *dev);

/** shim_gids_socket() - Return: a descriptor that is readable when addresses have changed; -1: there is none to be had */
int shim_gids_socket(void);

/** shim_gids_follow() - @fd, from shim_gids_socket(), is readable. No lock is held. */
void shim_gids_follow(struct shim_device *dev, int fd);

/** shim_gid() - a copy of an entry of the table. Return: is there one? */
bool shim_gid(struct shim_device *dev, u32 index, struct shim_gid *gid);

/** shim_gid_index() - of an address; -1: the port doesn't have it */
int shim_gid_index(struct shim_device *dev, const union ibv_gid *gid);

/* --- wire.c: which wire the adapter is on --- */

/** shim_wire_open() - become a node. Return: 0 or an errno; with it, the wire, and the event queue that belongs to it. */
int shim_wire_open(struct shim_device *dev, struct hca_wire **wire, struct hca_eq **eq);
void shim_wire_close(struct shim_device *dev);

/** shim_wire_poll() - take in what came for a device */
static inline void shim_wire_poll(struct hca_shm *node)
{
	hca_shm_poll(node);
}

/** shim_wire_arm() - the program may sleep now: what comes is to be taken in without its calls */
static inline void shim_wire_arm(struct hca_shm *node)
{
	hca_shm_arm(node);
}

/** shim_wire_lid() - the wire's address of the device that has a queue pair of this number */
static inline u32 shim_wire_lid(u32 qpn)
{
	return qpn >> HCA_FABRIC_QPN_BITS;
}

/* No device has this address. */
#define SHIM_NO_LID 0xbfffu

/** shim_wire_leads() - is the queue pair behind the port that has this LID? Yes, if that can't be known; so too on RoCE. May sleep. */
bool shim_wire_leads(struct shim_device *dev, u32 lid, u32 qpn);

/** shim_wire_index() - which of its process's devices has the wire's address @lid; 0, if that isn't known */
u32 shim_wire_index(const struct hca_shm *node, u32 lid);

/** shim_wire_count() - what the program has polled, for those who look from outside */
void shim_wire_count(struct hca_shm *node, const struct hca_wc *wc, int n);

/** shim_wire_connect() - a queue pair is about to be connected to one of the process at @lid. May sleep. */
void shim_wire_connect(struct shim_qp *q, u32 lid);

/** shim_wire_groups() - queue pairs joined a group, or left one. May sleep. */
void shim_wire_groups(struct shim_device *dev);

/** shim_wire_forget() - in a forked child: a lock of the parent's may be held for ever */
void shim_wire_forget(struct shim_device *dev);

/* --- context.c --- */

/** struct shim_context - @life: the process that @device is open in; another one in a forked child */
struct shim_context {
	struct shim_object obj;
	struct shim_device *device;
	u32 life;
	struct shim_queue async;
	struct shim_event port;
	u32 objects; /* atomic */
	struct verbs_context verbs; /* last, as its own last field is what programs have */
};

static inline struct shim_context *shim_context(const struct ibv_context *ib)
{
	return SHIM_OF(ib, struct shim_context, verbs.context);
}

/** shim_context_renew() - the first use in a forked child: an adapter and a descriptor of its own. Return: could they be made? */
bool shim_context_renew(struct shim_context *c);

/** shim_context_get() - of a call that makes something. Return: NULL: it isn't open. */
static inline struct shim_context *shim_context_get(const struct ibv_context *ib)
{
	struct shim_context *c = ib ? shim_context(ib) : NULL;

	if (!c || !shim_known(&c->obj, SHIM_CONTEXT))
		return NULL;
	return hca_likely(hca_load(&c->life) == hca_load(&shim_life)) || shim_context_renew(c) ? c : NULL;
}

/** shim_set_ops() - fill in the calls that verbs.h makes through the context */
void shim_set_ops(struct verbs_context *v);

int shim_query_device_ex(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
			 struct ibv_device_attr_ex *attr, size_t size);
int shim_query_port(struct ibv_context *context, uint8_t port_num, struct ibv_port_attr *attr, size_t size);
int shim_query_rt_values(struct ibv_context *context, struct ibv_values_ex *values);

/* --- pd_mr.c --- */

/**
 * struct shim_pd - a protection domain, or a parent domain
 * @parent: of a parent domain: the domain that it stands for; else itself
 * @pd: @parent's is the one that the engine's objects are of; it counts them
 * @users: atomic: of a parent domain: objects that were made under it
 */
struct shim_pd {
	struct shim_object obj;
	struct ibv_pd ib;
	struct shim_pd *parent;
	struct shim_td *td;
	struct hca_pd pd;
	u32 users;
};

static inline struct shim_pd *shim_pd(const struct ibv_pd *ib)
{
	return SHIM_OF(ib, struct shim_pd, ib);
}

/** shim_pd_get() - the domain behind a program's pointer, which may be a parent domain's; NULL: it isn't one */
struct shim_pd *shim_pd_get(const struct ibv_pd *ib);

/** shim_parent() - what counts an object that is made under a domain for which shim_pd_get() found one: a parent domain, or NULL */
static inline struct shim_pd *shim_parent(const struct ibv_pd *ib)
{
	struct shim_pd *p = shim_pd(ib);

	return p->parent == p ? NULL : p;
}

struct shim_td {
	struct shim_object obj;
	struct ibv_td ib;
	u32 users; /* atomic */
};

struct shim_mr {
	struct shim_object obj;
	struct ibv_mr ib;
	struct hca_mr *mr;
	struct shim_pd *pd;
	struct shim_dm *dm;
	u32 access;
	struct hca_mr_attr attr; /* what the engine was given; @ib is the program's to write to */
};

static inline struct shim_mr *shim_mr(const struct ibv_mr *ib)
{
	return SHIM_OF(ib, struct shim_mr, ib);
}

struct ibv_td *shim_alloc_td(struct ibv_context *context, struct ibv_td_init_attr *attr);
int shim_dealloc_td(struct ibv_td *td);
struct ibv_pd *shim_alloc_parent_domain(struct ibv_context *context, struct ibv_parent_domain_init_attr *attr);
int shim_advise_mr(struct ibv_pd *pd, enum ibv_advise_mr_advice advice, uint32_t flags, struct ibv_sge *sg_list,
		   uint32_t num_sge);
int shim_end_pd(struct shim_object *o, bool abandon);
int shim_end_td(struct shim_object *o, bool abandon);
int shim_end_mr(struct shim_object *o, bool abandon);

/** shim_reg() - a memory region of @length bytes at @addr. Return: NULL and errno. */
struct ibv_mr *shim_reg(struct ibv_pd *pd, void *addr, size_t length, u64 iova, u32 access, struct shim_dm *dm);

/* --- dm_mw.c --- */

struct shim_dm {
	struct shim_object obj;
	struct ibv_dm ib;
	void *bytes;
	size_t length;
	u32 users; /* atomic: memory regions */
};

struct shim_mw {
	struct shim_object obj;
	struct ibv_mw ib;
	enum ibv_mw_type type;
	struct hca_mw *mw;
	struct shim_pd *pd;
};

static inline struct shim_mw *shim_mw(const struct ibv_mw *ib)
{
	return SHIM_OF(ib, struct shim_mw, ib);
}

struct ibv_dm *shim_alloc_dm(struct ibv_context *context, struct ibv_alloc_dm_attr *attr);
int shim_free_dm(struct ibv_dm *dm);
struct ibv_mr *shim_reg_dm_mr(struct ibv_pd *pd, struct ibv_dm *dm, uint64_t offset, size_t length,
			      unsigned int access);
struct ibv_mw *shim_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type);
int shim_dealloc_mw(struct ibv_mw *mw);
int shim_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind);
int shim_end_dm(struct shim_object *o, bool abandon);
int shim_end_mw(struct shim_object *o, bool abandon);

/* --- cq.c, cq_ex.c --- */

struct shim_channel {
	struct shim_object obj;
	struct ibv_comp_channel ib;
	struct shim_queue queue;
	u32 users; /* atomic: completion queues */
};

static inline struct shim_channel *shim_channel(const struct ibv_comp_channel *ib)
{
	return SHIM_OF(ib, struct shim_channel, ib);
}

/**
 * struct shim_cq - a completion queue
 * @node: its device's, which is there as long as it is
 * @poll_lock: from start_poll to end_poll, unless the program promised to be one thread
 * @current: the completion that read_*() tell of; @current_ns, @current_wall: when it was polled
 */
struct shim_cq {
	struct shim_object obj;
	union {
		struct ibv_cq ib;
		struct ibv_cq_ex ex;
	};
	struct hca_cq cq;
	struct hca_shm *node;
	struct shim_channel *channel;
	struct shim_event comp;
	struct shim_event async;

	pthread_mutex_t poll_lock;
	bool one_thread;
	u64 wc_flags;
	struct hca_wc current;
	u64 current_ns;
	u64 current_wall;
};

static inline struct shim_cq *shim_cq(const struct ibv_cq *ib)
{
	return SHIM_OF(ib, struct shim_cq, ib);
}

struct ibv_cq_ex *shim_create_cq_ex(struct ibv_context *context, struct ibv_cq_init_attr_ex *attr);
int shim_modify_cq(struct ibv_cq *cq, struct ibv_modify_cq_attr *attr);
int shim_poll_cq(struct ibv_cq *cq, int n, struct ibv_wc *wc);
int shim_req_notify_cq(struct ibv_cq *cq, int solicited_only);

/** shim_cq_take() - up to @n completions. Return: how many; negative: the queue is in error. */
int shim_cq_take(struct shim_cq *cq, struct hca_wc *wc, int n);

/** shim_wc_lid() - a completion's source address as the program knows it */
u32 shim_wc_lid(const struct shim_cq *cq, const struct hca_wc *wc);

/** shim_wc_sl() - its service level; Ethernet has none, so on RoCE a datagram's is the type of its network's header */
u8 shim_wc_sl(const struct hca_wc *wc);

/** shim_wc_flags() - a completion's flags as user verbs have them */
unsigned int shim_wc_flags(const struct hca_wc *wc);

/** shim_cq_ex_init() - the calls of an extended queue */
void shim_cq_ex_init(struct shim_cq *cq);
int shim_end_cq(struct shim_object *o, bool abandon);
int shim_end_channel(struct shim_object *o, bool abandon);

/* --- srq.c --- */

struct shim_srq {
	struct shim_object obj;
	struct ibv_srq ib;
	struct hca_srq srq;
	struct shim_pd *pd;
	struct shim_xrcd *xrcd; /* or NULL */
	struct shim_event async;
};

static inline struct shim_srq *shim_srq(const struct ibv_srq *ib)
{
	return SHIM_OF(ib, struct shim_srq, ib);
}

struct ibv_srq *shim_create_srq_ex(struct ibv_context *context, struct ibv_srq_init_attr_ex *attr);
int shim_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr);
int shim_end_srq(struct shim_object *o, bool abandon);

/* --- qp.c, post.c, qp_ex.c --- */

/**
 * struct shim_qp - a queue pair
 * @ah: the path as the program gave it; the engine's leads to the peer's process
 * @build: of the ibv_wr_*() calls; NULL: it has none
 * @gone: atomic: when the process of its peer ended; 0: it hasn't
 * @process: atomic: which process that is, of all that ever had its number; 0: unknown
 * @target: of IBV_QPT_XRC_RECV: what this and other handles stand for; else NULL, as are @xrcd and @next_handle
 */
struct shim_qp {
	struct shim_object obj;
	union {
		struct ibv_qp ib;
		struct ibv_qp_ex ex;
	};
	struct hca_qp *qp;
	struct shim_pd *pd;
	enum ibv_qp_type type;
	bool sq_sig_all;
	struct ibv_qp_cap cap;
	struct ibv_ah_attr ah;
	struct shim_event async;
	struct shim_build *build;
	u64 gone HCA_ALIGNED(8);
	u64 process HCA_ALIGNED(8);
	struct shim_target *target;
	struct shim_xrcd *xrcd;
	struct shim_qp *next_handle;
};

static inline struct shim_qp *shim_qp(const struct ibv_qp *ib)
{
	return SHIM_OF(ib, struct shim_qp, ib);
}

struct ibv_qp *shim_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr);
int shim_end_qp(struct shim_object *o, bool abandon);

int shim_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad_wr);
int shim_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr);

/** shim_fill_ud() - the path of a datagram. Return: 0 or EINVAL. */
int shim_fill_ud(const struct shim_qp *qp, const struct ibv_ah *ah, u32 qpn, u32 qkey, struct hca_send_wr *to);

/** shim_fill_bind() - a bind of a memory window. Return: 0 or EINVAL. */
int shim_fill_bind(const struct shim_qp *qp, const struct ibv_mw *mw, u32 rkey, const struct ibv_mw_bind_info *info,
		   struct hca_send_wr *to);

/** shim_build_init() - the ibv_wr_*() calls of a queue pair. Return: 0 or ENOMEM. */
int shim_build_init(struct shim_qp *qp, u64 ops);
void shim_build_fini(struct shim_qp *qp);

/* --- xrc.c --- */

struct shim_domain;

/**
 * struct shim_xrcd - a handle of a domain, which other handles of this process may have as well
 * @users: queue pairs and shared receive queues that were made with this handle
 */
struct shim_xrcd {
	struct shim_object obj;
	struct ibv_xrcd ib;
	struct shim_domain *domain;
	u32 users;
};

struct ibv_xrcd *shim_open_xrcd(struct ibv_context *context, struct ibv_xrcd_init_attr *attr);
int shim_close_xrcd(struct ibv_xrcd *xrcd);
int shim_end_xrcd(struct shim_object *o, bool abandon);

/** shim_xrc_forget() - in a forked child: what there was is the parent's */
void shim_xrc_forget(void);

/** shim_xrc_srq_init() - the engine's part of a shared receive queue of a domain. Return: 0 or an errno. */
int shim_xrc_srq_init(struct shim_srq *srq, struct shim_pd *pd, const struct ibv_srq_init_attr_ex *attr,
		      const struct hca_srq_attr *sizes);

/** shim_xrc_srq_fini() - it ends. Return: 0; EBUSY: a message is coming in; with @abandon, that message's queue pair ends instead. */
int shim_xrc_srq_fini(struct shim_srq *srq, bool abandon);
int shim_get_srq_num(struct ibv_srq *srq, uint32_t *number);

/**
 * shim_xrc_mask() - what counts of the attributes that a program sets
 *
 * Of XRC, those of the side that a queue pair doesn't have are ignored, as Linux does for user space (modify_qp_mask() in
 * drivers/infiniband/core/uverbs_cmd.c).
 */
static inline u32 shim_xrc_mask(enum ibv_qp_type type, u32 mask)
{
	if (type == IBV_QPT_XRC_SEND)
		return mask & ~(u32)(IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	if (type == IBV_QPT_XRC_RECV)
		return mask & ~(u32)(IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY);
	return mask;
}

/** shim_create_target() - a queue pair of type IBV_QPT_XRC_RECV. Return: NULL and errno. */
struct ibv_qp *shim_create_target(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr);
struct ibv_qp *shim_open_qp(struct ibv_context *context, struct ibv_qp_open_attr *attr);

/** shim_target_end() - this handle stands for the queue pair no more, which ends with its last one */
void shim_target_end(struct shim_qp *qp);

/** shim_target_set_path() - the path as the program gave it, for each handle */
void shim_target_set_path(struct shim_qp *qp, const struct ibv_ah_attr *ah);

/** shim_target_event() - each handle gets the event */
void shim_target_event(struct hca_qp *qp, enum hca_event_type type);

/* --- ah.c --- */

struct shim_ah {
	struct shim_object obj;
	struct ibv_ah ib;
	struct shim_pd *pd;
	struct hca_ah_attr path;
};

static inline struct shim_ah *shim_ah(const struct ibv_ah *ib)
{
	return SHIM_OF(ib, struct shim_ah, ib);
}

/** shim_lid_is_ours() - does a path lead to a port of this host's? Those of one index all have the same LID; those of RoCE have none. */
bool shim_lid_is_ours(const struct ibv_ah_attr *attr);

/** shim_path() - a path as the engine has it; dlid isn't set. Return: 0; EINVAL: the port's link layer knows no such path. */
int shim_path(struct shim_device *dev, const struct ibv_ah_attr *attr, struct hca_ah_attr *to);
int shim_end_ah(struct shim_object *o, bool abandon);

#endif
