/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verbs device, and what a driver provides for it.
 *
 * A driver decides what a DMA address of its device is: it provides an ops table
 * (without one the platform decides), and a memory accessor by which the engine
 * reaches the memory at such an address.
 */
#ifndef SOFTHCA_IB_DEVICE_H
#define SOFTHCA_IB_DEVICE_H

#include "softhca/dma-mapping.h"
#include "softhca/hca_ledger.h"
#include "softhca/hca_verbs.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct ib_device;
struct hca_ledger;
struct hca_mem;
struct ib_core;

/**
 * struct ib_device_attr - what can be made on a device; every limit is enforced
 * @fw_ver: version of the engine, as 16.16.32 bits
 * @sys_image_guid, @node_guid: in host order
 * @max_mr_size: bytes of an MR
 * @page_size_cap: bit n: pages of 1 << n bytes can be registered
 * @max_qp_wr: requests of a queue; @max_srq_wr the same
 * @device_cap_flags: enum ib_device_cap_flags
 * @kernel_cap_flags: enum ib_kernel_cap_flags
 * @max_send_sge, @max_recv_sge, @max_srq_sge: pieces of a request
 * @max_qp_rd_atom, @max_qp_init_rd_atom: reads and atomics under way at the responder, at the requester
 * @max_fast_reg_page_list_len: pages of a fast registration
 * @max_map_per_fmr: maps between two unmaps
 * @max_inline_data: bytes
 */
struct ib_device_attr {
	u64 fw_ver;
	u64 sys_image_guid;
	u64 node_guid;
	u64 max_mr_size;
	u64 page_size_cap;
	u64 device_cap_flags;
	u64 kernel_cap_flags;
	u32 vendor_id;
	u32 vendor_part_id;
	u32 hw_ver;
	int max_qp;
	int max_qp_wr;
	int max_send_sge;
	int max_recv_sge;
	int max_sge_rd;
	int max_cq;
	int max_cqe;
	int max_mr;
	int max_mw;
	int max_fmr;
	int max_map_per_fmr;
	int max_pd;
	int max_ah;
	int max_srq;
	int max_srq_wr;
	int max_srq_sge;
	int max_qp_rd_atom;
	int max_qp_init_rd_atom;
	int max_mcast_grp;
	int max_mcast_qp_attach;
	int max_total_mcast_qp_attach;
	int max_inline_data;
	unsigned int max_fast_reg_page_list_len;
	unsigned int max_pi_fast_reg_page_list_len; /* 0: no MR has signatures */
	int sig_prot_cap; /* 0, for the same reason */
	int sig_guard_cap;
	int max_sgl_rd; /* 0: a read may have as many entries as max_sge_rd says */
	struct {
		u64 general_caps; /* 0: no memory is paged in when it is used */
		struct {
			u32 rc_odp_caps;
			u32 uc_odp_caps;
			u32 ud_odp_caps;
			u32 xrc_odp_caps;
		} per_transport_caps;
	} odp_caps;
	u16 max_pkeys;
	u8 local_ca_ack_delay;
};

/** enum ib_device_cap_flags - optional features of a device; values are Linux's */
enum ib_device_cap_flags {
	IB_DEVICE_RESIZE_MAX_WR = 1 << 0,
	IB_DEVICE_CURR_QP_STATE_MOD = 1 << 7,
	IB_DEVICE_PORT_ACTIVE_EVENT = 1 << 10,
	IB_DEVICE_SYS_IMAGE_GUID = 1 << 11,
	IB_DEVICE_RC_RNR_NAK_GEN = 1 << 12,
	IB_DEVICE_SRQ_RESIZE = 1 << 13,
	IB_DEVICE_MEM_WINDOW = 1 << 17,
	IB_DEVICE_MEM_MGT_EXTENSIONS = 1 << 21,
	IB_DEVICE_MEM_WINDOW_TYPE_2B = 1 << 24,
};

enum ib_odp_general_cap_bits {
	IB_ODP_SUPPORT = 1 << 0,
	IB_ODP_SUPPORT_IMPLICIT = 1 << 1,
};

enum ib_odp_transport_cap_bits {
	IB_ODP_SUPPORT_SEND = 1 << 0,
	IB_ODP_SUPPORT_RECV = 1 << 1,
	IB_ODP_SUPPORT_WRITE = 1 << 2,
	IB_ODP_SUPPORT_READ = 1 << 3,
	IB_ODP_SUPPORT_ATOMIC = 1 << 4,
	IB_ODP_SUPPORT_SRQ_RECV = 1 << 5,
};

enum rdma_node_type {
	RDMA_NODE_IB_CA = 1,
	RDMA_NODE_IB_SWITCH,
	RDMA_NODE_IB_ROUTER,
	RDMA_NODE_RNIC,
	RDMA_NODE_USNIC,
	RDMA_NODE_USNIC_UDP,
	RDMA_NODE_UNSPECIFIED,
};

/** enum ib_kernel_cap_flags - features for ULPs; values are Linux's */
enum ib_kernel_cap_flags {
	IBK_LOCAL_DMA_LKEY = 1 << 0, /* pd->local_dma_lkey */
	IBK_INTEGRITY_HANDOVER = 1 << 1,
	IBK_ON_DEMAND_PAGING = 1 << 2,
	IBK_SG_GAPS_REG = 1 << 3, /* IB_MR_TYPE_SG_GAPS */
	IBK_ALLOW_USER_UNREG = 1 << 4,
	IBK_BLOCK_MULTICAST_LOOPBACK = 1 << 5, /* IB_QP_CREATE_BLOCK_MULTICAST_LOOPBACK */
	IBK_UD_TSO = 1 << 6,
	IBK_VIRTUAL_FUNCTION = 1 << 7,
	IBK_RDMA_NETDEV_OPA = 1 << 8,
};

/**
 * struct ib_dma_ops - the mapping calls of a device with addresses of its own
 * @map_single, @unmap_single: low memory by its virtual address
 * @map_page, @unmap_page: a range of pages
 * @map_sg: returns the entries for the device (1 .. @nents), or -errno with no entry mapped
 * @unmap_sg: with the @nents of the map
 * @sg_dma_address, @sg_dma_len: of an entry of a mapped list; a mapping that fills the list stores their results
 * @sync_single_for_cpu, @sync_single_for_device: the bytes change owner
 * @alloc_coherent, @free_coherent: memory that both may access
 * @max_seg_size: longest entry of a list, bytes; 0: no limit but its 32 bits
 *
 * A map returns an address or hca_dma_error(). Its arguments were checked: bytes of this machine's memory, all
 * low or all high, at least one, a valid direction; a list's entries were not. Unmaps get the caller's arguments, or,
 * with a ledger, those of the map. Map, unmap and address calls are required; a NULL sync does nothing, NULL coherent calls
 * take low memory and map it with @map_single. Any context; only the coherent calls may sleep.
 */
struct ib_dma_ops {
	dma_addr_t (*map_single)(struct ib_device *dev, void *ptr, size_t size, enum dma_data_direction dir,
				 unsigned long attrs);
	void (*unmap_single)(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			     unsigned long attrs);
	dma_addr_t (*map_page)(struct ib_device *dev, struct page *page, unsigned long offset, size_t size,
			       enum dma_data_direction dir, unsigned long attrs);
	void (*unmap_page)(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
			   unsigned long attrs);
	int (*map_sg)(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
		      unsigned long attrs);
	void (*unmap_sg)(struct ib_device *dev, struct scatterlist *sgl, int nents, enum dma_data_direction dir,
			 unsigned long attrs);
	dma_addr_t (*sg_dma_address)(struct ib_device *dev, struct scatterlist *sg);
	unsigned int (*sg_dma_len)(struct ib_device *dev, struct scatterlist *sg);
	void (*sync_single_for_cpu)(struct ib_device *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir);
	void (*sync_single_for_device)(struct ib_device *dev, dma_addr_t addr, size_t size,
				       enum dma_data_direction dir);
	void *(*alloc_coherent)(struct ib_device *dev, size_t size, dma_addr_t *handle, gfp_t gfp);
	void (*free_coherent)(struct ib_device *dev, size_t size, void *cpu_addr, dma_addr_t handle);
	unsigned int max_seg_size;
};

/** enum ib_dma_style - which addresses can be computed without the device's ops */
enum ib_dma_style {
	IB_DMA_BY_OPS, /* none: call the ops */
	IB_DMA_VIRT, /* low memory: its virtual address; for other memory call the ops. Without a ledger unmap and sync aren't called. */
	IB_DMA_VIRT_LOW_ONLY, /* the same, and lists with high memory are refused */
};

/**
 * struct ib_device - a verbs device
 *
 * The first fields are read by the inline calls of softhca/ib_dma.h, all from one cache line. They are set when the device is
 * registered and constant from then on.
 *
 * @virt: first byte of the machine's low memory
 * @single_base: address of that byte, and by addition of the following bytes...
 * @single_bytes: ...for so many bytes of low memory without a further check: no state is kept for them, so unmapping does nothing
 *	either; 0: every map takes the slow path
 * @ops_bytes: bytes of low memory that may go to the device's own ops without a further check; 0: the slow path
 * @pages: the machine's first struct page
 * @sg_inline: bytes of struct page whose pages are in low memory, if ib_sg_dma_address() may compute with them; else 0
 * @sg_no_walk: mapping a list doesn't read its entries
 * @fill_sg: mapping a list sets sg_dma_address() and sg_dma_len() of its entries
 * @dma_ops: the device's own mapping, or NULL: the platform's
 * @ledger: every live mapping, or NULL
 * @dma_device: the device on the machine's bus
 * @mem: the accessor; NULL before registration
 * @name: given at registration
 * @dev: the verbs device as a device, for messages: its name, its machine, and @dma_device as its parent; not for dma_map_*()
 * @node_guid: in network order
 * @num_comp_vectors: 1
 * @node_type: RDMA_NODE_IB_CA
 */
struct ib_device {
	u64 single_base;
	uintptr_t virt;
	uintptr_t single_bytes;
	uintptr_t ops_bytes;
	uintptr_t pages;
	uintptr_t sg_inline;
	const struct ib_dma_ops *dma_ops;
	struct hca_ledger *ledger;
	struct device *dma_device;
	struct hca_mem *mem;
	bool sg_no_walk;
	bool fill_sg;
	bool guard; /* CPU writes into what it owns are caught */
	struct ib_core *core; /* its engine */
	struct ib_device_attr attrs;
	u32 phys_port_cnt;
	struct ib_device *next_guard;
	u32 guard_users; /* reports of such writes under way */
	enum ib_dma_style style;
	struct ib_dma_ops filled; /* the driver's ops without holes; what dma_ops points to */
	char name[32];
	struct device dev;
	u64 node_guid;
	int num_comp_vectors;
	u8 node_type;
} __attribute__((aligned(64)));

/**
 * struct ib_dma_config - options of a device's mappings and its ledger
 * @fill_sg: every ib_dma_map_sg() sets sg_dma_address() and sg_dma_len() of each entry, as in Linux since 5.1; else only
 *	the calls of sources that include softhca/kernel.h do; other calls store nothing and read no entry
 * @ledger: keep a ledger. The environment variable SOFTHCA_LEDGER overrides this: 1 turns it on for every device, 0 off.
 * @history: ended mappings remembered; 0: 1,024
 * @report: called for each misuse; NULL: a line on standard error, by ib_dma_report_str()
 * @ctx: passed to @report
 */
struct ib_dma_config {
	bool fill_sg;
	bool ledger;
	u32 history;
	void (*report)(void *ctx, const struct hca_misuse_report *r);
	void *ctx;
};

/**
 * ib_register_device() - make a driver's device usable
 * @dev: the driver's, zeroed but for @dma_ops, @style and @mem, which the driver has set
 * @name: copied
 * @dma_device: the device on the bus; must outlive it
 * @config: NULL: no ledger
 *
 * Context: may sleep. Return: 0; -EINVAL: a required op or the accessor is missing; -ENOMEM; -ENOSPC:
 * there are 255 devices already.
 */
int ib_register_device(struct ib_device *dev, const char *name, struct device *dma_device,
		       const struct ib_dma_config *config);

/**
 * ib_unregister_device() - end a device; the ledger reports mappings that still exist
 *
 * All objects of the device should be destroyed before; the others are named in the log, and their memory is kept.
 * Return: the leaked mappings that the ledger found; 0 without a ledger.
 */
u64 ib_unregister_device(struct ib_device *dev);

/**
 * struct ib_client - a ULP that uses every device
 * @name: for messages
 * @add: there is a device; not 0: this ULP doesn't use it, and @remove isn't called for it
 * @remove: the device or the client is being unregistered; @client_data: of ib_set_client_data()
 *
 * Both may sleep, and must not register or unregister a device or a client. @next and @registered are the library's.
 */
struct ib_client {
	const char *name;
	int (*add)(struct ib_device *device);
	void (*remove)(struct ib_device *device, void *client_data);
	void (*rename)(struct ib_device *device, void *client_data); /* never called: devices keep their names */
	struct ib_client *next;
	bool registered;
};

/** ib_register_client() - @add is called for each existing and each later device. May sleep. Return: 0; -ENOMEM; -EBUSY: registered already. */
int ib_register_client(struct ib_client *client);

/** ib_unregister_client() - when this has returned, @remove was called for each device. May sleep. */
void ib_unregister_client(struct ib_client *client);

/** ib_set_client_data() - between @add and the end of @remove; otherwise it is refused, with a warning. Any context. */
void ib_set_client_data(struct ib_device *device, struct ib_client *client, void *data);

/** ib_get_client_data() - Return: the data of ib_set_client_data(), or NULL. Any context. */
void *ib_get_client_data(struct ib_device *device, struct ib_client *client);

/** rdma_start_port() - the first port of a device; they are numbered from here to rdma_end_port() */
static inline u32 rdma_start_port(const struct ib_device *device)
{
	(void)device;
	return 1;
}

static inline u32 rdma_end_port(const struct ib_device *device)
{
	return device->phys_port_cnt;
}

#define rdma_for_each_port(device, iter) for (iter = rdma_start_port(device); iter <= rdma_end_port(device); iter++)

/** rdma_is_port_valid() - is there a port of this number? */
static inline bool rdma_is_port_valid(const struct ib_device *device, unsigned int port)
{
	return port >= rdma_start_port(device) && port <= rdma_end_port(device);
}

/** rdma_protocol_ib() - every port is InfiniBand; none is RoCE or iWARP */
static inline bool rdma_protocol_ib(const struct ib_device *device, u32 port_num)
{
	return rdma_is_port_valid(device, port_num);
}

static inline bool rdma_protocol_roce(const struct ib_device *device, u32 port_num)
{
	(void)device;
	(void)port_num;
	return false;
}

static inline bool rdma_protocol_iwarp(const struct ib_device *device, u32 port_num)
{
	(void)device;
	(void)port_num;
	return false;
}

/** rdma_cap_read_inv() - does a read need a key that its completion invalidates (iWARP)? No. */
static inline bool rdma_cap_read_inv(const struct ib_device *device, u32 port_num)
{
	(void)device;
	(void)port_num;
	return false;
}

/** enum ipath_highmem - how the copying adapter treats a page without a mapping */
enum ipath_highmem {
	IPATH_HIGHMEM_TAGGED, /* its DMA address is a tagged physical address */
	IPATH_HIGHMEM_REFUSE, /* the map fails with -EOPNOTSUPP */
};

/**
 * ipath_create() - an adapter whose DMA engine is the CPU
 * @dma_device: its device on the bus; it reaches the memory of that device's machine
 * @name: such as "ipath0"
 *
 * Return: 0 and the registered device in @out, for ipath_destroy(); errors as ib_register_device().
 */
int ipath_create(struct device *dma_device, const char *name, enum ipath_highmem highmem,
		 const struct ib_dma_config *config, struct ib_device **out);

/** ipath_destroy() - Return: as ib_unregister_device() */
u64 ipath_destroy(struct ib_device *dev);

/** dmahca_create() - an adapter that does DMA: it reaches memory only over @dma_device's bus. As ipath_create(). */
int dmahca_create(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		  struct ib_device **out);

/** dmahca_destroy() - as ipath_destroy() */
u64 dmahca_destroy(struct ib_device *dev);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
