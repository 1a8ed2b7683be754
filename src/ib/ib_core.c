/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The engine behind a verbs device: made when it is registered, on a wire that all
 * devices of the process share; its limits, its port, and the way of its events to the ULP.
 */
#include "ib_core.h"

#include "softhca/config.h"
#include "hca/why.h"
#include "wire/loop.h"

#define MAX_QPS 65536
#define MAX_KEYS (1 << 20)
#define MAX_OBJECTS (1 << 20)
#define MAX_FMR_MAPS 255 /* before a key comes again */

/* --- the wire --- */

#define CHANGING (~0u)

static struct hca_loop fabric;
static struct hca_eq events;
static u32 fabric_users; /* atomic: devices; CHANGING: the first one comes, or the last one goes */

/* The wire and its event queue are there while there are devices. Return: 0 or -ENOMEM. */
static int fabric_get(void)
{
	u32 turns = 0, users;
	int err;

	for (;;) {
		users = hca_load_acquire(&fabric_users);
		if (users == CHANGING)
			hca_relax(&turns);
		else if (hca_cmpxchg(&fabric_users, users, users ? users + 1 : CHANGING) == users)
			break;
	}
	if (users)
		return 0;
	hca_loop_init(&fabric);
	err = hca_eq_init(&events);
	if (err)
		hca_loop_fini(&fabric);
	hca_store_release(&fabric_users, err ? 0u : 1u);
	return err;
}

static void fabric_put(void)
{
	u32 turns = 0, users;

	for (;;) {
		users = hca_load_acquire(&fabric_users);
		if (users == CHANGING)
			hca_relax(&turns);
		else if (hca_cmpxchg(&fabric_users, users, users > 1 ? users - 1 : CHANGING) == users)
			break;
	}
	if (users > 1)
		return;
	hca_eq_fini(&events);
	hca_loop_fini(&fabric);
	hca_store_release(&fabric_users, 0u);
}

/* --- events --- */

static void tell_qp(struct ib_event *e, struct hca_qp *qp)
{
	struct ib_qp_priv *p = qp->user;

	e->element.qp = &p->ib;
	if (p->ib.event_handler)
		p->ib.event_handler(e, p->ib.qp_context);
}

static void tell_cq(struct ib_event *e, struct hca_cq *cq)
{
	struct ib_cq_priv *p = hca_container_of(cq, struct ib_cq_priv, cq);

	e->element.cq = &p->ib;
	if (p->ib.event_handler)
		p->ib.event_handler(e, p->ib.cq_context);
}

static void tell_srq(struct ib_event *e, struct hca_srq *srq)
{
	struct ib_srq_priv *p = hca_container_of(srq, struct ib_srq_priv, srq);

	e->element.srq = &p->ib;
	if (p->ib.event_handler)
		p->ib.event_handler(e, p->ib.srq_context);
}

static void on_event(struct hca *hca, enum hca_event_type type, void *object)
{
	struct ib_core *core = hca_container_of(hca, struct ib_core, hca);
	struct ib_event e = { .device = core->device, .event = (enum ib_event_type)type };

	switch (type) {
	case HCA_EVENT_CQ_ERR:
		tell_cq(&e, object);
		break;
	case HCA_EVENT_SRQ_ERR:
	case HCA_EVENT_SRQ_LIMIT_REACHED:
		tell_srq(&e, object);
		break;
	default:
		tell_qp(&e, object);
		break;
	}
}

/* --- limits --- */

static void fill_attrs(struct ib_device *dev)
{
	const struct hca *hca = &dev->core->hca;

	dev->phys_port_cnt = hca->limits.ports;
	dev->attrs = (struct ib_device_attr){
		.fw_ver = 1ull << 32,
		.sys_image_guid = 0x0200ull << 48 | hca->lid,
		.node_guid = 0x0200ull << 48 | hca->lid,
		.max_mr_size = ~0ull,
		.page_size_cap = (2ull << HCA_MR_MAX_SHIFT) - (1ull << HCA_MR_MIN_SHIFT),
		.device_cap_flags = IB_DEVICE_CURR_QP_STATE_MOD | IB_DEVICE_SYS_IMAGE_GUID | IB_DEVICE_RC_RNR_NAK_GEN |
				    IB_DEVICE_SRQ_RESIZE | IB_DEVICE_MEM_WINDOW | IB_DEVICE_MEM_MGT_EXTENSIONS |
				    IB_DEVICE_MEM_WINDOW_TYPE_2B,
		.kernel_cap_flags = IBK_LOCAL_DMA_LKEY | IBK_SG_GAPS_REG | IBK_BLOCK_MULTICAST_LOOPBACK,
		.max_qp = MAX_QPS,
		.max_qp_wr = (int)hca->attr.max_wr,
		.max_send_sge = (int)hca->attr.max_sge,
		.max_recv_sge = (int)hca->attr.max_sge,
		.max_sge_rd = (int)hca->attr.max_sge,
		.max_cq = MAX_OBJECTS,
		.max_cqe = (int)hca->attr.max_cqe,
		.max_mr = MAX_KEYS / 2,
		.max_mw = MAX_KEYS / 4,
		.max_fmr = MAX_KEYS / 4,
		.max_map_per_fmr = MAX_FMR_MAPS,
		.max_pd = MAX_OBJECTS,
		.max_ah = MAX_OBJECTS,
		.max_srq = MAX_OBJECTS,
		.max_srq_wr = (int)hca->attr.max_srq_wr,
		.max_srq_sge = (int)hca->attr.max_sge,
		.max_qp_rd_atom = hca->limits.max_dest_rd_atomic,
		.max_qp_init_rd_atom = hca->limits.max_rd_atomic,
		.max_mcast_grp = (int)hca->attr.max_mcast,
		.max_mcast_qp_attach = (int)hca->attr.max_mcast,
		.max_total_mcast_qp_attach = (int)hca->attr.max_mcast,
		.max_inline_data = hca->attr.max_inline,
		.max_fast_reg_page_list_len = HCA_MR_MAX_PAGES,
		.max_pkeys = hca->limits.pkeys,
	};
}

static const char *const object_names[IB_OBJECTS] = { "PD", "CQ", "SRQ", "QP", "MR", "MW", "FMR", "AH" };

int ib_core_take(struct ib_device *dev, enum ib_object what)
{
	const struct ib_device_attr *a = &dev->attrs;
	const int limit[IB_OBJECTS] = {
		[IB_OBJ_PD] = a->max_pd, [IB_OBJ_CQ] = a->max_cq, [IB_OBJ_SRQ] = a->max_srq, [IB_OBJ_QP] = a->max_qp,
		[IB_OBJ_MR] = a->max_mr, [IB_OBJ_MW] = a->max_mw, [IB_OBJ_FMR] = a->max_fmr, [IB_OBJ_AH] = a->max_ah,
	};

	if (hca_fetch_add(&dev->core->made[what], 1) < (u32)limit[what])
		return 0;
	ib_core_give(dev, what);
	return hca_refuse(-ENOSPC, "%s: no more %ss: there are %u, as many as there may be", dev->name,
			  object_names[what], limit[what]);
}

/* --- life --- */

/* The device as others see it. */
static void fill_device(struct ib_device *dev)
{
	u64 guid = dev->attrs.node_guid;
	u8 *to = (u8 *)&dev->node_guid;
	u32 i;

	for (i = 0; i < 8; i++)
		to[i] = (u8)(guid >> (56 - 8 * i));
	dev->num_comp_vectors = 1;
	dev->node_type = RDMA_NODE_IB_CA;
	dev->dev = (struct device){
		.machine = dev->dma_device->machine,
		.dma_mask = dev->dma_device->dma_mask,
		.max_seg_size = dev->dma_device->max_seg_size,
		.seg_boundary_mask = dev->dma_device->seg_boundary_mask,
		.parent = dev->dma_device,
	};
	hca_snprintf(dev->dev.name, sizeof(dev->dev.name), "%s", dev->name);
}

static int open_lists(struct ib_core *core)
{
	hca_spin_init(&core->lock);
	core->last_event = &core->events;
	INIT_LIST_HEAD(&core->handlers);
	INIT_LIST_HEAD(&core->pool);
	hca_mutex_init(&core->handler_lock);
	hca_mutex_init(&core->pool_lock);
	return hca_work_init(&core->tell, ib_tell_events, core);
}

static void close_lists(struct ib_core *core)
{
	hca_mutex_destroy(&core->pool_lock);
	hca_mutex_destroy(&core->handler_lock);
}

int ib_core_open(struct ib_device *dev)
{
	const struct hca_attr attr = { .max_qp = MAX_QPS, .max_keys = MAX_KEYS + 2 * MAX_OBJECTS };
	struct ib_core *core = hca_alloc(sizeof(*core), HCA_MAY_SLEEP);
	int err;

	if (!core)
		return -ENOMEM;
	/* A domain's own key comes on top of what a ULP registers. */
	err = fabric_get();
	if (err)
		goto free_core;
	err = hca_open(&core->hca, &fabric.wire, &events, dev->mem, &attr);
	if (err)
		goto put;
	core->hca.name = dev->name;
	core->hca.event = on_event;
	core->device = dev;
	err = open_lists(core);
	if (err)
		goto close;
	dev->core = core;
	fill_attrs(dev);
	fill_device(dev);
	return 0;
close:
	close_lists(core);
	hca_close(&core->hca);
put:
	fabric_put();
free_core:
	hca_free(core);
	return err;
}

int ib_core_close(struct ib_device *dev)
{
	struct ib_core *core = dev->core;
	bool left = false;
	u32 i;

	/* Waiting events are reported now. */
	hca_work_destroy(&core->tell);
	ib_tell_events(core);
	for (i = 0; i < IB_OBJECTS; i++) {
		u32 n = hca_load(&core->made[i]);

		if (n)
			hca_log(HCA_LOG_ERR, "%s: unregistered with %u %s%s that %s not destroyed", dev->name, n,
				object_names[i], n == 1 ? "" : "s", n == 1 ? "was" : "were");
		left |= n > 0;
	}
	if (left || hca_close(&core->hca))
		return -EBUSY; /* the log says why: what is left */
	fabric_put();
	dev->core = NULL;
	close_lists(core);
	hca_free(core);
	return 0;
}

/* --- the port --- */

static int check_port(const struct ib_device *dev, u32 port_num)
{
	if (port_num < 1 || port_num > dev->phys_port_cnt)
		return hca_refuse(-EINVAL, "%s: port %u, must be from 1 to %u", dev->name, port_num,
				  dev->phys_port_cnt);
	return 0;
}

int ib_query_port(struct ib_device *device, u32 port_num, struct ib_port_attr *attr)
{
	const struct hca *hca = &device->core->hca;

	if (check_port(device, port_num))
		return -EINVAL;
	*attr = (struct ib_port_attr){
		.state = IB_PORT_ACTIVE,
		.max_mtu = (enum ib_mtu)hca->limits.max_mtu,
		.active_mtu = (enum ib_mtu)hca->limits.max_mtu,
		.gid_tbl_len = (int)hca->limits.gids,
		.max_msg_sz = HCA_MAX_MSG,
		.pkey_tbl_len = hca->limits.pkeys,
		.lid = hca->lid,
		.max_vl_num = 1,
		.active_speed = 32, /* EDR, the fastest that the field's first byte can name */
		.active_width = 2, /* 4X */
		.phys_state = 5, /* link up */
	};
	return 0;
}

int rdma_query_gid(struct ib_device *device, u32 port_num, int index, union ib_gid *gid)
{
	const struct hca_gid *entry;

	if (check_port(device, port_num))
		return -EINVAL;
	if (index < 0 || (u32)index >= device->core->hca.limits.gids)
		return hca_refuse(-EINVAL, "%s: GID %d, must be from 0 to %u", device->name, index,
				  device->core->hca.limits.gids - 1);
	entry = hca_gid_at(&device->core->hca.gids, (u32)index);
	if (!entry)
		return -ENOENT; /* who reads the table asks for each entry, and nothing says why */
	hca_memcpy(gid, entry, sizeof(*gid));
	return 0;
}

int ib_query_pkey(struct ib_device *device, u32 port_num, u16 index, u16 *pkey)
{
	if (check_port(device, port_num))
		return -EINVAL;
	if (index >= device->core->hca.limits.pkeys)
		return hca_refuse(-EINVAL, "%s: P_Key %u, must be from 0 to %u", device->name, index,
				  device->core->hca.limits.pkeys - 1);
	*pkey = HCA_DEFAULT_PKEY;
	return 0;
}

/* --- words --- */

const char *ib_event_msg(enum ib_event_type event)
{
	static const char *const words[] = {
		[IB_EVENT_CQ_ERR] = "completion queue overflowed",
		[IB_EVENT_QP_FATAL] = "queue pair: completion lost",
		[IB_EVENT_QP_REQ_ERR] = "queue pair: peer's request invalid",
		[IB_EVENT_QP_ACCESS_ERR] = "queue pair: peer's access refused",
		[IB_EVENT_COMM_EST] = "communication established",
		[IB_EVENT_SQ_DRAINED] = "send queue drained",
		[IB_EVENT_PATH_MIG] = "path migrated",
		[IB_EVENT_PATH_MIG_ERR] = "path migration failed",
		[IB_EVENT_DEVICE_FATAL] = "device failed",
		[IB_EVENT_PORT_ACTIVE] = "port active",
		[IB_EVENT_PORT_ERR] = "port down",
		[IB_EVENT_LID_CHANGE] = "LID changed",
		[IB_EVENT_PKEY_CHANGE] = "P_Key table changed",
		[IB_EVENT_SM_CHANGE] = "subnet manager changed",
		[IB_EVENT_SRQ_ERR] = "shared receive queue failed",
		[IB_EVENT_SRQ_LIMIT_REACHED] = "shared receive queue below its limit",
		[IB_EVENT_QP_LAST_WQE_REACHED] = "last request of a shared receive queue taken",
		[IB_EVENT_CLIENT_REREGISTER] = "client reregistration asked for",
		[IB_EVENT_GID_CHANGE] = "GID table changed",
	};

	return (u32)event < HCA_ARRAY_SIZE(words) ? words[event] : "unknown event";
}

const char *ib_wc_status_msg(enum ib_wc_status status)
{
	return hca_wc_status_msg((enum hca_wc_status)status);
}

const char *ib_vendor_err_msg(u32 vendor_err)
{
	return hca_vendor_err_msg(vendor_err);
}
