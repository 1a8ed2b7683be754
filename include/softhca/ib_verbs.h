/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel-style verbs: the objects that an upper layer makes on a device, the requests
 * that it posts, and its events. Names, arguments and meanings are those of Linux's in-kernel verbs
 * (rdma/ib_verbs.h); docs/ib_verbs.md lists the differences call by call. Devices and drivers are in
 * softhca/ib_device.h, mapping in softhca/ib_dma.h.
 *
 * Calls that make an object return it, or an error pointer (IS_ERR, PTR_ERR), and may sleep, as may those that
 * destroy it. Posting, polling, arming and fast mapping are allowed in any context, also in handlers.
 * Destroying an object that other objects use is refused with -EBUSY.
 *
 * Handlers run in the thread whose call made the event, when the engine holds no lock: a handler may
 * post, poll and modify, but not destroy the object that it is called for. The calls for one object are made one at a time.
 */
#ifndef SOFTHCA_IB_VERBS_H
#define SOFTHCA_IB_VERBS_H

#include "softhca/err.h"
#include "softhca/ib_dma.h"
#include "softhca/list_head.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* --- events and ports --- */

enum ib_event_type {
	IB_EVENT_CQ_ERR = HCA_EVENT_CQ_ERR,
	IB_EVENT_QP_FATAL = HCA_EVENT_QP_FATAL,
	IB_EVENT_QP_REQ_ERR = HCA_EVENT_QP_REQ_ERR,
	IB_EVENT_QP_ACCESS_ERR = HCA_EVENT_QP_ACCESS_ERR,
	IB_EVENT_COMM_EST = HCA_EVENT_COMM_EST,
	IB_EVENT_SQ_DRAINED = HCA_EVENT_SQ_DRAINED,
	IB_EVENT_PATH_MIG = HCA_EVENT_PATH_MIG,
	IB_EVENT_PATH_MIG_ERR = HCA_EVENT_PATH_MIG_ERR,
	IB_EVENT_DEVICE_FATAL = HCA_EVENT_DEVICE_FATAL,
	IB_EVENT_PORT_ACTIVE = HCA_EVENT_PORT_ACTIVE,
	IB_EVENT_PORT_ERR = HCA_EVENT_PORT_ERR,
	IB_EVENT_LID_CHANGE = HCA_EVENT_LID_CHANGE,
	IB_EVENT_PKEY_CHANGE = HCA_EVENT_PKEY_CHANGE,
	IB_EVENT_SM_CHANGE = HCA_EVENT_SM_CHANGE,
	IB_EVENT_SRQ_ERR = HCA_EVENT_SRQ_ERR,
	IB_EVENT_SRQ_LIMIT_REACHED = HCA_EVENT_SRQ_LIMIT_REACHED,
	IB_EVENT_QP_LAST_WQE_REACHED = HCA_EVENT_QP_LAST_WQE_REACHED,
	IB_EVENT_CLIENT_REREGISTER = HCA_EVENT_CLIENT_REREGISTER,
	IB_EVENT_GID_CHANGE = HCA_EVENT_GID_CHANGE,
};

struct ib_cq;
struct ib_qp;
struct ib_srq;
struct ib_mr;
struct ib_mw;
struct ib_pd;
struct ib_wc;

/** struct ib_event - an asynchronous event; @element by its type */
struct ib_event {
	struct ib_device *device;
	union {
		struct ib_cq *cq;
		struct ib_qp *qp;
		struct ib_srq *srq;
		u32 port_num;
	} element;
	enum ib_event_type event;
};

/** ib_event_msg() - the name of an event */
const char *ib_event_msg(enum ib_event_type event);

/**
 * struct ib_event_handler - called for each event of the device or a port that a driver reports
 * @handler: called in a thread of the library that holds no lock; may sleep, but must not unregister itself
 */
struct ib_event_handler {
	struct ib_device *device;
	void (*handler)(struct ib_event_handler *handler, struct ib_event *event);
	struct list_head list;
};

#define INIT_IB_EVENT_HANDLER(ptr, dev, func) \
	do { \
		(ptr)->device = (dev); \
		(ptr)->handler = (func); \
		(ptr)->list.next = (ptr)->list.prev = &(ptr)->list; \
	} while (0)

/** ib_register_event_handler() - until ib_unregister_event_handler(). May sleep. */
void ib_register_event_handler(struct ib_event_handler *handler);

/** ib_unregister_event_handler() - when this has returned, no call of it is under way. May sleep; not from a handler. */
void ib_unregister_event_handler(struct ib_event_handler *handler);

/**
 * ib_dispatch_event() - a driver reports an event of its device or port
 * @event: copied
 *
 * Handlers are called later, in the order of the events. If there is no memory, the event is dropped. Any context.
 */
void ib_dispatch_event(const struct ib_event *event);

enum ib_mtu {
	IB_MTU_256 = HCA_MTU_256,
	IB_MTU_512 = HCA_MTU_512,
	IB_MTU_1024 = HCA_MTU_1024,
	IB_MTU_2048 = HCA_MTU_2048,
	IB_MTU_4096 = HCA_MTU_4096,
};

static inline int ib_mtu_enum_to_int(enum ib_mtu mtu)
{
	return mtu >= IB_MTU_256 && mtu <= IB_MTU_4096 ? 128 << mtu : -1;
}

enum ib_port_state {
	IB_PORT_NOP,
	IB_PORT_DOWN,
	IB_PORT_INIT,
	IB_PORT_ARMED,
	IB_PORT_ACTIVE,
	IB_PORT_ACTIVE_DEFER,
};

/** struct ib_port_attr - a port; @max_msg_sz in bytes */
struct ib_port_attr {
	enum ib_port_state state;
	enum ib_mtu max_mtu;
	enum ib_mtu active_mtu;
	int gid_tbl_len;
	u32 port_cap_flags;
	u32 max_msg_sz;
	u32 bad_pkey_cntr;
	u32 qkey_viol_cntr;
	u16 pkey_tbl_len;
	u32 sm_lid;
	u32 lid;
	u8 lmc;
	u8 max_vl_num;
	u8 sm_sl;
	u16 active_speed;
	u8 active_width;
	u8 phys_state;
};

/** union ib_gid - a port's or group's address, in network order */
union ib_gid {
	u8 raw[16];
	struct {
		u64 subnet_prefix;
		u64 interface_id;
	} global;
};

/** ib_query_port() - Return: 0; -EINVAL: no such port */
int ib_query_port(struct ib_device *device, u32 port_num, struct ib_port_attr *attr);

/** rdma_query_gid() - Return: 0; -EINVAL: no such port or index; -ENOENT: the entry is empty */
int rdma_query_gid(struct ib_device *device, u32 port_num, int index, union ib_gid *gid);

/** ib_query_pkey() - Return: 0; -EINVAL: no such port or index */
int ib_query_pkey(struct ib_device *device, u32 port_num, u16 index, u16 *pkey);

/* --- completion queues --- */

enum ib_wc_status {
	IB_WC_SUCCESS = HCA_WC_SUCCESS,
	IB_WC_LOC_LEN_ERR = HCA_WC_LOC_LEN_ERR,
	IB_WC_LOC_QP_OP_ERR = HCA_WC_LOC_QP_OP_ERR,
	IB_WC_LOC_EEC_OP_ERR = HCA_WC_LOC_EEC_OP_ERR,
	IB_WC_LOC_PROT_ERR = HCA_WC_LOC_PROT_ERR,
	IB_WC_WR_FLUSH_ERR = HCA_WC_WR_FLUSH_ERR,
	IB_WC_MW_BIND_ERR = HCA_WC_MW_BIND_ERR,
	IB_WC_BAD_RESP_ERR = HCA_WC_BAD_RESP_ERR,
	IB_WC_LOC_ACCESS_ERR = HCA_WC_LOC_ACCESS_ERR,
	IB_WC_REM_INV_REQ_ERR = HCA_WC_REM_INV_REQ_ERR,
	IB_WC_REM_ACCESS_ERR = HCA_WC_REM_ACCESS_ERR,
	IB_WC_REM_OP_ERR = HCA_WC_REM_OP_ERR,
	IB_WC_RETRY_EXC_ERR = HCA_WC_RETRY_EXC_ERR,
	IB_WC_RNR_RETRY_EXC_ERR = HCA_WC_RNR_RETRY_EXC_ERR,
	IB_WC_LOC_RDD_VIOL_ERR = HCA_WC_LOC_RDD_VIOL_ERR,
	IB_WC_REM_INV_RD_REQ_ERR = HCA_WC_REM_INV_RD_REQ_ERR,
	IB_WC_REM_ABORT_ERR = HCA_WC_REM_ABORT_ERR,
	IB_WC_INV_EECN_ERR = HCA_WC_INV_EECN_ERR,
	IB_WC_INV_EEC_STATE_ERR = HCA_WC_INV_EEC_STATE_ERR,
	IB_WC_FATAL_ERR = HCA_WC_FATAL_ERR,
	IB_WC_RESP_TIMEOUT_ERR = HCA_WC_RESP_TIMEOUT_ERR,
	IB_WC_GENERAL_ERR = HCA_WC_GENERAL_ERR,
};

/** ib_wc_status_msg() - the name of a status */
const char *ib_wc_status_msg(enum ib_wc_status status);

/** ib_vendor_err_msg() - vendor_err of a completion that is an error, in words: why it is one (enum hca_vendor_err) */
const char *ib_vendor_err_msg(u32 vendor_err);

enum ib_wc_opcode {
	IB_WC_SEND = HCA_WC_SEND,
	IB_WC_RDMA_WRITE = HCA_WC_RDMA_WRITE,
	IB_WC_RDMA_READ = HCA_WC_RDMA_READ,
	IB_WC_COMP_SWAP = HCA_WC_COMP_SWAP,
	IB_WC_FETCH_ADD = HCA_WC_FETCH_ADD,
	IB_WC_BIND_MW = HCA_WC_BIND_MW,
	IB_WC_LOCAL_INV = HCA_WC_LOCAL_INV,
	IB_WC_REG_MR = HCA_WC_REG_MR,
	IB_WC_RECV = HCA_WC_RECV,
	IB_WC_RECV_RDMA_WITH_IMM = HCA_WC_RECV_RDMA_WITH_IMM,
};

enum ib_wc_flags {
	IB_WC_GRH = HCA_WC_GRH,
	IB_WC_WITH_IMM = HCA_WC_WITH_IMM,
	IB_WC_WITH_INVALIDATE = HCA_WC_WITH_INVALIDATE,
};

/** struct ib_cqe - identifies a work request by its completion function; embedded in the ULP's request */
struct ib_cqe {
	void (*done)(struct ib_cq *cq, struct ib_wc *wc);
};

/**
 * struct ib_wc - a work completion
 * @wr_id, @wr_cqe: the work request's
 * @vendor_err: of an error: why, an enum hca_vendor_err, with HCA_VENDOR_REMOTE if the peer says so; see ib_vendor_err_msg()
 * @byte_len: bytes received, read or fetched
 * @ex: immediate data in network order, or the key that was invalidated; @wc_flags says which
 * @src_qp, @slid, @sl, @pkey_index, @dlid_path_bits: of a datagram
 *
 * Unless @status is IB_WC_SUCCESS only @wr_id, @status, @qp and @vendor_err are valid.
 */
struct ib_wc {
	union {
		u64 wr_id;
		struct ib_cqe *wr_cqe;
	};
	enum ib_wc_status status;
	enum ib_wc_opcode opcode;
	u32 vendor_err;
	u32 byte_len;
	struct ib_qp *qp;
	union {
		u32 imm_data;
		u32 invalidate_rkey;
	} ex;
	u32 src_qp;
	u32 slid;
	int wc_flags;
	u16 pkey_index;
	u8 sl;
	u8 dlid_path_bits;
	u32 port_num;
};

/**
 * enum ib_poll_context - where a queue of ib_alloc_cq() is polled and the requests' done() is called
 * @IB_POLL_DIRECT: in ib_process_cq_direct(), which the ULP calls
 * @IB_POLL_SOFTIRQ: in the thread whose call completed the request, or in a worker
 * @IB_POLL_WORKQUEUE, @IB_POLL_UNBOUND_WORKQUEUE: in a worker thread of the library; done() may sleep
 */
enum ib_poll_context {
	IB_POLL_SOFTIRQ,
	IB_POLL_WORKQUEUE,
	IB_POLL_UNBOUND_WORKQUEUE,
	IB_POLL_LAST_POOL_TYPE = IB_POLL_UNBOUND_WORKQUEUE,
	IB_POLL_DIRECT,
};

enum ib_cq_notify_flags {
	IB_CQ_SOLICITED = 1 << 0,
	IB_CQ_NEXT_COMP = 1 << 1,
	IB_CQ_SOLICITED_MASK = IB_CQ_SOLICITED | IB_CQ_NEXT_COMP,
	IB_CQ_REPORT_MISSED_EVENTS = 1 << 2,
};

typedef void (*ib_comp_handler)(struct ib_cq *cq, void *cq_context);

/** struct ib_cq_init_attr - @cqe: the number of completions that it holds; @comp_vector: without effect; @flags: 0 */
struct ib_cq_init_attr {
	unsigned int cqe;
	u32 comp_vector;
	u32 flags;
};

/** struct rdma_restrack_entry - @id: tells an object from others of its kind, for messages and trace points */
struct rdma_restrack_entry {
	u32 id;
};

/** struct ib_cq - a completion queue; @cqe: the number of completions that it holds; @shared: of ib_cq_pool_get() */
struct ib_cq {
	struct ib_device *device;
	ib_comp_handler comp_handler;
	void (*event_handler)(struct ib_event *event, void *cq_context);
	void *cq_context;
	int cqe;
	enum ib_poll_context poll_ctx;
	u32 comp_vector;
	bool shared;
	struct rdma_restrack_entry res;
};

/** ib_create_cq() - a completion queue that the ULP polls; @comp_handler is called when it is armed, @event_handler when it overflows */
struct ib_cq *ib_create_cq(struct ib_device *device, ib_comp_handler comp_handler,
			   void (*event_handler)(struct ib_event *event, void *cq_context), void *cq_context,
			   const struct ib_cq_init_attr *attr);

/** ib_destroy_cq() - Return: 0; -EBUSY: queue pairs use it. Not from its handlers. */
int ib_destroy_cq(struct ib_cq *cq);

/** ib_alloc_cq() - a completion queue whose requests have a done(), called in @poll_ctx */
struct ib_cq *ib_alloc_cq(struct ib_device *device, void *priv, int nr_cqe, int comp_vector,
			  enum ib_poll_context poll_ctx);

/** ib_alloc_cq_any() - the same; there is only one completion vector */
static inline struct ib_cq *ib_alloc_cq_any(struct ib_device *device, void *priv, int nr_cqe,
					    enum ib_poll_context poll_ctx)
{
	return ib_alloc_cq(device, priv, nr_cqe, 0, poll_ctx);
}

/** ib_free_cq() - when it has returned, no done() is under way. Destroy its queue pairs before. Not from its done(). */
void ib_free_cq(struct ib_cq *cq);

/** ib_process_cq_direct() - call done() for up to @budget completions (-1: all). Return: their number. */
int ib_process_cq_direct(struct ib_cq *cq, int budget);

/** ib_resize_cq() - Return: 0; -EINVAL: it has more than @cqe completions, or the size is invalid; -ENOMEM */
int ib_resize_cq(struct ib_cq *cq, int cqe);

/** ib_poll_cq() - take up to @num_entries completions, oldest first. Return: their number; -EIO: it has overflowed and is empty. Any context. */
int ib_poll_cq(struct ib_cq *cq, int num_entries, struct ib_wc *wc);

/**
 * ib_req_notify_cq() - call comp_handler once at the next completion
 * @flags: IB_CQ_SOLICITED or IB_CQ_NEXT_COMP, and IB_CQ_REPORT_MISSED_EVENTS
 *
 * Return: 0; 1, with IB_CQ_REPORT_MISSED_EVENTS only: there are earlier completions, poll again; -EINVAL. Any context.
 */
int ib_req_notify_cq(struct ib_cq *cq, enum ib_cq_notify_flags flags);

/* --- protection domains, memory regions (MR), memory windows (MW) --- */

enum ib_access_flags {
	IB_ACCESS_LOCAL_WRITE = HCA_ACCESS_LOCAL_WRITE,
	IB_ACCESS_REMOTE_WRITE = HCA_ACCESS_REMOTE_WRITE,
	IB_ACCESS_REMOTE_READ = HCA_ACCESS_REMOTE_READ,
	IB_ACCESS_REMOTE_ATOMIC = HCA_ACCESS_REMOTE_ATOMIC,
	IB_ACCESS_MW_BIND = HCA_ACCESS_MW_BIND,
	IB_ZERO_BASED = HCA_ACCESS_ZERO_BASED,
	IB_ACCESS_ON_DEMAND = HCA_ACCESS_ON_DEMAND, /* without effect: memory is there */
	IB_ACCESS_FLUSH_GLOBAL = 1 << 8, /* refused, as is the next one */
	IB_ACCESS_FLUSH_PERSISTENT = 1 << 9,
	IB_ACCESS_RELAXED_ORDERING = 1 << 20, /* a hint, without effect */
};

/** enum ib_pd_flags - IB_PD_UNSAFE_GLOBAL_RKEY: also make a key by which peers reach all memory */
enum ib_pd_flags {
	IB_PD_UNSAFE_GLOBAL_RKEY = 1 << 0,
};

/** struct ib_pd - a protection domain; @local_dma_lkey: a local key for every mapped address of this device */
struct ib_pd {
	struct ib_device *device;
	u32 flags;
	u32 local_dma_lkey;
	u32 unsafe_global_rkey;
};

/** ib_alloc_pd() - @flags: enum ib_pd_flags */
struct ib_pd *ib_alloc_pd(struct ib_device *device, unsigned int flags);

/** ib_dealloc_pd() - Return: 0; -EBUSY: it still has objects */
int ib_dealloc_pd(struct ib_pd *pd);

/** enum ib_mr_type - IB_MR_TYPE_SG_GAPS: a registration of pieces that begin and end anywhere */
enum ib_mr_type {
	IB_MR_TYPE_MEM_REG,
	IB_MR_TYPE_SG_GAPS,
	IB_MR_TYPE_DMA = 4,
	IB_MR_TYPE_PHYS = 64, /* not a number of Linux, which has no such MRs any more */
};

/**
 * struct ib_mr - a memory region
 * @lkey, @rkey: the same number
 * @iova: the address of its first byte
 * @length: bytes
 * @page_size: of a fast-registered MR; set by ib_map_mr_sg()
 * @need_inval: for the ULP; initially false
 * @qp_entry: its entry in a queue pair's pool (ib_mr_pool_init()); else for the ULP
 */
struct ib_mr {
	struct ib_device *device;
	struct ib_pd *pd;
	u32 lkey;
	u32 rkey;
	u64 iova;
	u64 length;
	unsigned int page_size;
	enum ib_mr_type type;
	bool need_inval;
	struct list_head qp_entry;
	struct ib_sig_attrs *sig_attrs; /* NULL: no MR has signatures */
	struct rdma_restrack_entry res;
};

/** ib_get_dma_mr() - a key for every mapped address of the device; @access: enum ib_access_flags */
struct ib_mr *ib_get_dma_mr(struct ib_pd *pd, int access);

/** struct ib_phys_buf - @addr: a mapped address; @size: bytes */
struct ib_phys_buf {
	u64 addr;
	u64 size;
};

/**
 * ib_reg_phys_mr() - an MR of pages that stay
 * @buf: pieces by mapped address; all but the first begin, and all but the last end, on a page's border
 * @iova_start: in: the address of the first byte in the MR, with the same offset in its page as the mapped address; with IB_ZERO_BASED only that
 *	offset counts
 */
struct ib_mr *ib_reg_phys_mr(struct ib_pd *pd, const struct ib_phys_buf *buf, int num, int access, u64 *iova_start);

/** ib_alloc_mr() - an MR for fast registration of up to @max_num_sg pages (IB_MR_TYPE_MEM_REG) or pieces (IB_MR_TYPE_SG_GAPS) */
struct ib_mr *ib_alloc_mr(struct ib_pd *pd, enum ib_mr_type type, u32 max_num_sg);

/** ib_dereg_mr() - when it has returned, no byte is accessed by its keys. Return: 0; -EBUSY: MWs are bound to it. */
int ib_dereg_mr(struct ib_mr *mr);

/**
 * ib_map_mr_sg() - set the pages for the next IB_WR_REG_MR
 * @sg: a list that ib_dma_map_sg() mapped to @sg_nents entries
 * @sg_offset: in and out: bytes of the first entry to leave out; or NULL
 * @page_size: a power of two, at least 4,096
 *
 * Sets the MR's iova, length and page_size. Entries between the first and the last must begin and end on page borders, or the
 * mapping ends there; for an IB_MR_TYPE_SG_GAPS MR they may begin and end anywhere. Return: the number of entries that fit; -EINVAL.
 */
int ib_map_mr_sg(struct ib_mr *mr, struct scatterlist *sg, int sg_nents, unsigned int *sg_offset,
		 unsigned int page_size);

/** ib_update_fast_reg_key() - the MR's key with another low byte, for the next registration */
static inline void ib_update_fast_reg_key(struct ib_mr *mr, u8 newkey)
{
	mr->lkey = (mr->lkey & 0xffffff00) | newkey;
	mr->rkey = (mr->rkey & 0xffffff00) | newkey;
}

/** ib_inc_rkey() - the next key of the same MR or MW */
static inline u32 ib_inc_rkey(u32 rkey)
{
	return ((rkey + 1) & 0xff) | (rkey & ~0xffu);
}

enum ib_mw_type {
	IB_MW_TYPE_1 = 1,
	IB_MW_TYPE_2 = 2,
};

/** struct ib_mw - a memory window; @rkey: of type 1 the current key; of type 2 the last one, whose low byte the next bind chooses */
struct ib_mw {
	struct ib_device *device;
	struct ib_pd *pd;
	u32 rkey;
	enum ib_mw_type type;
};

/** struct ib_mw_bind_info - @addr: an address in the MR; @length: 0 unbinds */
struct ib_mw_bind_info {
	struct ib_mr *mr;
	u64 addr;
	u64 length;
	int mw_access_flags;
};

/** struct ib_mw_bind - a bind of a type 1 MW */
struct ib_mw_bind {
	u64 wr_id;
	int send_flags;
	struct ib_mw_bind_info bind_info;
};

struct ib_mw *ib_alloc_mw(struct ib_pd *pd, enum ib_mw_type type);
/** ib_dealloc_mw() - unbinds it too. Return: 0. */
int ib_dealloc_mw(struct ib_mw *mw);

/* --- fast memory regions: mapped by a call, without a work request --- */

/** struct ib_fmr_attr - @max_maps: maps of one FMR before it must be unmapped; @page_shift: log2 of a page in bytes */
struct ib_fmr_attr {
	int max_pages;
	int max_maps;
	u8 page_shift;
};

struct ib_fmr {
	struct ib_device *device;
	struct ib_pd *pd;
	u32 lkey;
	u32 rkey;
	struct ib_fmr *next; /* for the list of ib_unmap_fmr(); the ULP sets it */
};

struct ib_fmr *ib_alloc_fmr(struct ib_pd *pd, int mr_access_flags, const struct ib_fmr_attr *attr);
/** ib_map_phys_fmr() - map pages by their mapped addresses; @iova is the address of the first byte; makes new keys. Return: 0; -EINVAL, also if it was mapped max_maps times; -EBUSY: another thread maps or unmaps it. Any context. */
int ib_map_phys_fmr(struct ib_fmr *fmr, const u64 *page_list, int list_len, u64 iova);
/** ib_unmap_fmr() - unmap a list linked by @next: when it has returned, no byte is accessed by their keys. Return: 0. */
int ib_unmap_fmr(struct ib_fmr *list);
/** ib_dealloc_fmr() - Return: 0; -EBUSY: it is mapped */
int ib_dealloc_fmr(struct ib_fmr *fmr);

struct ib_fmr_pool;

/**
 * struct ib_fmr_pool_param - @pool_size: FMRs; @dirty_watermark: unmapped ones that wait, before all are unmapped at once; @cache: a page list
 * that was mapped before and isn't flushed yet is found again
 */
struct ib_fmr_pool_param {
	int max_pages_per_fmr;
	int page_shift;
	int access;
	int pool_size;
	int dirty_watermark;
	void (*flush_function)(struct ib_fmr_pool *pool, void *arg);
	void *flush_arg;
	bool cache;
};

/** struct ib_pool_fmr - a mapped FMR of a pool */
struct ib_pool_fmr {
	struct ib_fmr *fmr;
	struct ib_fmr_pool *pool;
	u64 io_virtual_address;
	int page_list_len;
	u64 *page_list;
};

struct ib_fmr_pool *ib_create_fmr_pool(struct ib_pd *pd, const struct ib_fmr_pool_param *params);
/** ib_destroy_fmr_pool() - Return: 0; -EBUSY: some are mapped */
int ib_destroy_fmr_pool(struct ib_fmr_pool *pool);
/** ib_flush_fmr_pool() - unmap every FMR that was returned to the pool. Return: 0. */
int ib_flush_fmr_pool(struct ib_fmr_pool *pool);
/** ib_fmr_pool_map_phys() - Return: a mapped FMR; -EAGAIN as an error pointer: none is free now; -EINVAL. Any context. */
struct ib_pool_fmr *ib_fmr_pool_map_phys(struct ib_fmr_pool *pool, const u64 *page_list, int list_len,
					 u64 io_virtual_address);
/** ib_fmr_pool_unmap() - return it to the pool. Any context. Return: 0. */
int ib_fmr_pool_unmap(struct ib_pool_fmr *fmr);

/* --- address handles --- */

enum ib_ah_flags { IB_AH_GRH = 1 };

struct ib_global_route {
	union ib_gid dgid;
	u32 flow_label;
	u8 sgid_index;
	u8 hop_limit;
	u8 traffic_class;
};

/** struct rdma_ah_attr - a path; @ah_flags: IB_AH_GRH: @grh is valid */
struct rdma_ah_attr {
	struct ib_global_route grh;
	u32 dlid;
	u8 sl;
	u8 src_path_bits;
	u8 static_rate;
	u8 ah_flags;
	u32 port_num;
};

struct ib_ah {
	struct ib_device *device;
	struct ib_pd *pd;
};

/** rdma_create_ah() - a path for datagrams; @flags: without effect */
struct ib_ah *rdma_create_ah(struct ib_pd *pd, const struct rdma_ah_attr *attr, u32 flags);
int rdma_modify_ah(struct ib_ah *ah, const struct rdma_ah_attr *attr);
int rdma_query_ah(struct ib_ah *ah, struct rdma_ah_attr *attr);
int rdma_destroy_ah(struct ib_ah *ah, u32 flags);

/* --- queue pairs --- */

enum ib_qp_type {
	IB_QPT_SMI = HCA_QPT_SMI,
	IB_QPT_GSI = HCA_QPT_GSI,
	IB_QPT_RC = HCA_QPT_RC,
	IB_QPT_UC = HCA_QPT_UC,
	IB_QPT_UD = HCA_QPT_UD,
};

enum ib_qp_state {
	IB_QPS_RESET = HCA_QPS_RESET,
	IB_QPS_INIT = HCA_QPS_INIT,
	IB_QPS_RTR = HCA_QPS_RTR,
	IB_QPS_RTS = HCA_QPS_RTS,
	IB_QPS_SQD = HCA_QPS_SQD,
	IB_QPS_SQE = HCA_QPS_SQE,
	IB_QPS_ERR = HCA_QPS_ERR,
};

enum ib_mig_state {
	IB_MIG_MIGRATED = HCA_MIG_MIGRATED,
	IB_MIG_REARM = HCA_MIG_REARM,
	IB_MIG_ARMED = HCA_MIG_ARMED,
};

enum ib_sig_type { IB_SIGNAL_ALL_WR, IB_SIGNAL_REQ_WR };

/** enum ib_rnr_timeout - the codes of min_rnr_timer, by their milliseconds and hundredths */
enum ib_rnr_timeout {
	IB_RNR_TIMER_655_36 = 0,
	IB_RNR_TIMER_000_01 = 1,
	IB_RNR_TIMER_000_02 = 2,
	IB_RNR_TIMER_000_03 = 3,
	IB_RNR_TIMER_000_04 = 4,
	IB_RNR_TIMER_000_06 = 5,
	IB_RNR_TIMER_000_08 = 6,
	IB_RNR_TIMER_000_12 = 7,
	IB_RNR_TIMER_000_16 = 8,
	IB_RNR_TIMER_000_24 = 9,
	IB_RNR_TIMER_000_32 = 10,
	IB_RNR_TIMER_000_48 = 11,
	IB_RNR_TIMER_000_64 = 12,
	IB_RNR_TIMER_000_96 = 13,
	IB_RNR_TIMER_001_28 = 14,
	IB_RNR_TIMER_001_92 = 15,
	IB_RNR_TIMER_002_56 = 16,
	IB_RNR_TIMER_003_84 = 17,
	IB_RNR_TIMER_005_12 = 18,
	IB_RNR_TIMER_007_68 = 19,
	IB_RNR_TIMER_010_24 = 20,
	IB_RNR_TIMER_015_36 = 21,
	IB_RNR_TIMER_020_48 = 22,
	IB_RNR_TIMER_030_72 = 23,
	IB_RNR_TIMER_040_96 = 24,
	IB_RNR_TIMER_061_44 = 25,
	IB_RNR_TIMER_081_92 = 26,
	IB_RNR_TIMER_122_88 = 27,
	IB_RNR_TIMER_163_84 = 28,
	IB_RNR_TIMER_245_76 = 29,
	IB_RNR_TIMER_327_68 = 30,
	IB_RNR_TIMER_491_52 = 31,
};

enum ib_qp_attr_mask {
	IB_QP_STATE = HCA_QP_STATE,
	IB_QP_CUR_STATE = HCA_QP_CUR_STATE,
	IB_QP_EN_SQD_ASYNC_NOTIFY = HCA_QP_EN_SQD_ASYNC_NOTIFY,
	IB_QP_ACCESS_FLAGS = HCA_QP_ACCESS_FLAGS,
	IB_QP_PKEY_INDEX = HCA_QP_PKEY_INDEX,
	IB_QP_PORT = HCA_QP_PORT,
	IB_QP_QKEY = HCA_QP_QKEY,
	IB_QP_AV = HCA_QP_AV,
	IB_QP_PATH_MTU = HCA_QP_PATH_MTU,
	IB_QP_TIMEOUT = HCA_QP_TIMEOUT,
	IB_QP_RETRY_CNT = HCA_QP_RETRY_CNT,
	IB_QP_RNR_RETRY = HCA_QP_RNR_RETRY,
	IB_QP_RQ_PSN = HCA_QP_RQ_PSN,
	IB_QP_MAX_QP_RD_ATOMIC = HCA_QP_MAX_QP_RD_ATOMIC,
	IB_QP_ALT_PATH = HCA_QP_ALT_PATH,
	IB_QP_MIN_RNR_TIMER = HCA_QP_MIN_RNR_TIMER,
	IB_QP_SQ_PSN = HCA_QP_SQ_PSN,
	IB_QP_MAX_DEST_RD_ATOMIC = HCA_QP_MAX_DEST_RD_ATOMIC,
	IB_QP_PATH_MIG_STATE = HCA_QP_PATH_MIG_STATE,
	IB_QP_CAP = HCA_QP_CAP,
	IB_QP_DEST_QPN = HCA_QP_DEST_QPN,
};

/** struct ib_qp_cap - the sizes of a queue pair; a creation sets the actual sizes */
struct ib_qp_cap {
	u32 max_send_wr;
	u32 max_recv_wr;
	u32 max_send_sge;
	u32 max_recv_sge;
	u32 max_inline_data;
	u32 max_rdma_ctxs;
};

/** enum ib_qp_create_flags - IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK: it doesn't receive its own multicast datagrams */
enum ib_qp_create_flags {
	IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK = 1 << 1,
	IB_QP_CREATE_INTEGRITY_EN = 1 << 6, /* refused */
};

/** struct ib_qp_init_attr - attributes of a new queue pair; @event_handler: for its asynchronous events; or NULL */
struct ib_qp_init_attr {
	void (*event_handler)(struct ib_event *event, void *qp_context);
	void *qp_context;
	struct ib_cq *send_cq;
	struct ib_cq *recv_cq;
	struct ib_srq *srq;
	struct ib_qp_cap cap;
	enum ib_sig_type sq_sig_type;
	enum ib_qp_type qp_type;
	u32 create_flags;
	u32 port_num;
};

/** struct ib_qp_attr - the attributes that ib_modify_qp() sets and ib_query_qp() reads; hca_verbs.h describes them */
struct ib_qp_attr {
	enum ib_qp_state qp_state;
	enum ib_qp_state cur_qp_state;
	enum ib_mtu path_mtu;
	enum ib_mig_state path_mig_state;
	u32 qkey;
	u32 rq_psn;
	u32 sq_psn;
	u32 dest_qp_num;
	int qp_access_flags;
	struct ib_qp_cap cap;
	struct rdma_ah_attr ah_attr;
	u16 pkey_index;
	u8 en_sqd_async_notify;
	u8 sq_draining;
	u8 max_rd_atomic;
	u8 max_dest_rd_atomic;
	u8 min_rnr_timer;
	u32 port_num;
	u8 timeout;
	u8 retry_cnt;
	u8 rnr_retry;
};

/** struct ib_qp - a queue pair; @qp_num: 24 bits */
struct ib_qp {
	struct ib_device *device;
	struct ib_pd *pd;
	struct ib_cq *send_cq;
	struct ib_cq *recv_cq;
	struct ib_srq *srq;
	void (*event_handler)(struct ib_event *event, void *qp_context);
	void *qp_context;
	u32 qp_num;
	u32 max_write_sge;
	u32 max_read_sge;
	enum ib_qp_type qp_type;
	u32 port;
	int mrs_used; /* taken from pools of this queue pair */
	struct list_head rdma_mrs;
	struct list_head sig_mrs;
};

/**
 * ib_create_qp() - a queue pair in RESET. @attr: its cap is set to the actual sizes. Errors: -EINVAL, -ENOMEM, -ENOSPC.
 *
 * With cap.max_rdma_ctxs, room for the requests of that many struct rdma_rw_ctx is added to cap.max_send_wr.
 */
struct ib_qp *ib_create_qp(struct ib_pd *pd, struct ib_qp_init_attr *attr);

/** ib_modify_qp() - @mask: enum ib_qp_attr_mask. Return: 0; -EINVAL, -EBUSY: nothing has changed. */
int ib_modify_qp(struct ib_qp *qp, struct ib_qp_attr *attr, int mask);

/** ib_query_qp() - sets every attribute, whatever @mask is. Return: 0. */
int ib_query_qp(struct ib_qp *qp, struct ib_qp_attr *attr, int mask, struct ib_qp_init_attr *init_attr);

/** ib_destroy_qp() - queued requests are dropped; when this has returned, no handler is called for it. Return: 0. */
int ib_destroy_qp(struct ib_qp *qp);

/**
 * ib_drain_qp() - move to the error state, and wait until every earlier request has completed and its done() has returned
 *
 * The CQs of both queues must be made by ib_alloc_cq(), with room for one more completion. For a CQ that overflowed, the completions
 * it still holds are waited for; for a shared receive queue, only the requests that this queue pair took. Not from a done(). ib_drain_sq()
 * and ib_drain_rq() do one queue.
 */
void ib_drain_qp(struct ib_qp *qp);
void ib_drain_sq(struct ib_qp *qp);
void ib_drain_rq(struct ib_qp *qp);

/**
 * ib_attach_mcast() - a UD queue pair gets a group's datagrams
 * Return: 0; -EINVAL: not UD, or not a multicast address; -ENOMEM; -ENOSPC: max_total_mcast_qp_attach are attached
 */
int ib_attach_mcast(struct ib_qp *qp, const union ib_gid *gid, u16 lid);
int ib_detach_mcast(struct ib_qp *qp, const union ib_gid *gid, u16 lid);

/* --- shared receive queues --- */

enum ib_srq_attr_mask {
	IB_SRQ_MAX_WR = 1 << 0,
	IB_SRQ_LIMIT = 1 << 1,
};

/** struct ib_srq_attr - @srq_limit: an event when fewer than this are left; 0: none */
struct ib_srq_attr {
	u32 max_wr;
	u32 max_sge;
	u32 srq_limit;
};

enum ib_srq_type {
	IB_SRQT_BASIC,
	IB_SRQT_XRC, /* refused, as is the next one */
	IB_SRQT_TM,
};

/** struct ib_srq_init_attr - what a shared receive queue is made with; @srq_type: IB_SRQT_BASIC */
struct ib_srq_init_attr {
	void (*event_handler)(struct ib_event *event, void *srq_context);
	void *srq_context;
	struct ib_srq_attr attr;
	enum ib_srq_type srq_type;
};

struct ib_srq {
	struct ib_device *device;
	struct ib_pd *pd;
	void (*event_handler)(struct ib_event *event, void *srq_context);
	void *srq_context;
};

struct ib_srq *ib_create_srq(struct ib_pd *pd, struct ib_srq_init_attr *attr);
int ib_modify_srq(struct ib_srq *srq, struct ib_srq_attr *attr, int mask);
int ib_query_srq(struct ib_srq *srq, struct ib_srq_attr *attr);
/** ib_destroy_srq() - Return: 0; -EBUSY: queue pairs use it */
int ib_destroy_srq(struct ib_srq *srq);

/* --- work requests --- */

/** struct ib_sge - bytes of an MR; @addr: an address in the MR */
struct ib_sge {
	u64 addr;
	u32 length;
	u32 lkey;
};

enum ib_wr_opcode {
	IB_WR_RDMA_WRITE = 0,
	IB_WR_RDMA_WRITE_WITH_IMM = 1,
	IB_WR_SEND = 2,
	IB_WR_SEND_WITH_IMM = 3,
	IB_WR_RDMA_READ = 4,
	IB_WR_ATOMIC_CMP_AND_SWP = 5,
	IB_WR_ATOMIC_FETCH_AND_ADD = 6,
	IB_WR_LOCAL_INV = 7,
	IB_WR_BIND_MW = 8,
	IB_WR_SEND_WITH_INV = 9,
	IB_WR_RDMA_READ_WITH_INV = 11, /* iWARP's: refused, as are the next four, and IB_WR_REG_MR_INTEGRITY */
	IB_WR_MASKED_ATOMIC_CMP_AND_SWP = 12,
	IB_WR_MASKED_ATOMIC_FETCH_AND_ADD = 13,
	IB_WR_FLUSH = 14,
	IB_WR_ATOMIC_WRITE = 15,
	IB_WR_REG_MR = 32,
	IB_WR_REG_MR_INTEGRITY = 33,
};

enum ib_send_flags {
	IB_SEND_FENCE = 1 << 0,
	IB_SEND_SIGNALED = 1 << 1,
	IB_SEND_SOLICITED = 1 << 2,
	IB_SEND_INLINE = 1 << 3,
};

/**
 * struct ib_send_wr - a send work request; the requests of other opcodes embed it
 * @next: the next one to post, or NULL
 * @sg_list: read by the call; with IB_SEND_INLINE an entry's addr is a pointer and the bytes are read too
 * @ex: immediate data in network order, or the key to invalidate (LOCAL_INV: at this end; SEND_WITH_INV: at the peer)
 */
struct ib_send_wr {
	struct ib_send_wr *next;
	union {
		u64 wr_id;
		struct ib_cqe *wr_cqe;
	};
	struct ib_sge *sg_list;
	int num_sge;
	enum ib_wr_opcode opcode;
	int send_flags;
	union {
		u32 imm_data;
		u32 invalidate_rkey;
	} ex;
};

struct ib_rdma_wr {
	struct ib_send_wr wr;
	u64 remote_addr;
	u32 rkey;
};

struct ib_atomic_wr {
	struct ib_send_wr wr;
	u64 remote_addr;
	u64 compare_add;
	u64 swap;
	u64 compare_add_mask; /* of the masked ones, which are refused; this one and the next */
	u64 swap_mask;
	u32 rkey;
};

struct ib_ud_wr {
	struct ib_send_wr wr;
	struct ib_ah *ah;
	u32 remote_qpn;
	u32 remote_qkey;
	u16 pkey_index;
	u32 port_num;
};

/** struct ib_reg_wr - makes the pages of ib_map_mr_sg() valid with the key @key, whose upper 24 bits are the MR's */
struct ib_reg_wr {
	struct ib_send_wr wr;
	struct ib_mr *mr;
	u32 key;
	int access;
};

/** struct ib_bind_mw_wr - binds a type 2 MW with the key @rkey, whose upper 24 bits are the MW's */
struct ib_bind_mw_wr {
	struct ib_send_wr wr;
	struct ib_mw *mw;
	u32 rkey;
	struct ib_mw_bind_info bind_info;
};

#define HCA_IB_WR_OF(type, ptr) ((const type *)((const char *)(ptr)-offsetof(type, wr)))

static inline const struct ib_rdma_wr *rdma_wr(const struct ib_send_wr *wr)
{
	return HCA_IB_WR_OF(struct ib_rdma_wr, wr);
}

static inline const struct ib_atomic_wr *atomic_wr(const struct ib_send_wr *wr)
{
	return HCA_IB_WR_OF(struct ib_atomic_wr, wr);
}

static inline const struct ib_ud_wr *ud_wr(const struct ib_send_wr *wr)
{
	return HCA_IB_WR_OF(struct ib_ud_wr, wr);
}

static inline const struct ib_reg_wr *reg_wr(const struct ib_send_wr *wr)
{
	return HCA_IB_WR_OF(struct ib_reg_wr, wr);
}

static inline const struct ib_bind_mw_wr *bind_mw_wr(const struct ib_send_wr *wr)
{
	return HCA_IB_WR_OF(struct ib_bind_mw_wr, wr);
}

/** struct ib_recv_wr - a receive work request */
struct ib_recv_wr {
	struct ib_recv_wr *next;
	union {
		u64 wr_id;
		struct ib_cqe *wr_cqe;
	};
	struct ib_sge *sg_list;
	int num_sge;
};

int ib_post_send_at(struct ib_qp *qp, const struct ib_send_wr *wr, const struct ib_send_wr **bad_wr, hca_site_t site);
int ib_post_recv_at(struct ib_qp *qp, const struct ib_recv_wr *wr, const struct ib_recv_wr **bad_wr, hca_site_t site);
int ib_post_srq_recv_at(struct ib_srq *srq, const struct ib_recv_wr *wr, const struct ib_recv_wr **bad_wr,
			hca_site_t site);
int ib_bind_mw_at(struct ib_qp *qp, struct ib_mw *mw, struct ib_mw_bind *bind, hca_site_t site);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

/**
 * ib_post_send() - post a chain of requests
 * @bad_wr: may be NULL; set to the first request that was not posted
 *
 * An adapter does the work in the caller's context, unless another thread is sending on this queue pair.
 * Return: 0; -EINVAL: state, opcode, pieces or length; -ENOMEM: the queue is full. Any context.
 */
#define ib_post_send(qp, wr, bad_wr) ib_post_send_at(qp, wr, bad_wr, IB_DMA_HERE)
/** ib_post_recv() - the same for receive requests */
#define ib_post_recv(qp, wr, bad_wr) ib_post_recv_at(qp, wr, bad_wr, IB_DMA_HERE)
#define ib_post_srq_recv(srq, wr, bad_wr) ib_post_srq_recv_at(srq, wr, bad_wr, IB_DMA_HERE)
/** ib_bind_mw() - bind a type 1 MW by a request to the queue pair's send queue; its new key is in mw->rkey at once. Return: as ib_post_send(). */
#define ib_bind_mw(qp, mw, bind) ib_bind_mw_at(qp, mw, bind, IB_DMA_HERE)

#endif
