/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Contexts: opening and closing the device, and what can be asked of it and its port. */
#include "shim.h"

#include <fcntl.h>
#include <unistd.h>

#define NO_VENDOR 0xffffffu /* as other software adapters say; no organisation has it */
#define MAX_OBJECTS (1u << 20)
#define MAX_DM_BYTES (64ull << 20)
#define FIRST_PAGE_SIZE 4096ull
#define SPEED_EDR 32 /* the fastest that the field's byte can name, and */
#define WIDTH_4X 2
#define PHYS_LINK_UP 5
#define SUBNET_TIMEOUT 18
#define NS_PER_SEC 1000000000u
#define NS_CLOCK_KHZ 1000000u

/* --- life --- */

SHIM_NOT_OLD(ibv_open_device);
SHIM_EXPORT struct ibv_context *ibv_open_device(struct ibv_device *ib)
{
	struct shim_device *dev = shim_device_of(ib);
	struct shim_context *c;
	int err;

	if (!dev)
		return shim_null(shim_why(ENODEV, SHIM_LOG_DEVICE, "ibv_open_device: not a device of this library"));
	err = shim_device_open(dev);
	if (err)
		return shim_null(err);
	c = shim_object_new(SHIM_CONTEXT, sizeof(*c), NULL);
	err = c ? shim_queue_init(&c->async) : ENOMEM;
	if (err)
		goto close;
	c->device = dev;
	c->life = hca_load(&shim_life);
	shim_set_ops(&c->verbs);
	c->verbs.sz = sizeof(c->verbs);
	c->verbs.context.device = &dev->ib;
	c->verbs.context.cmd_fd = c->async.fd;
	c->verbs.context.async_fd = c->async.fd;
	c->verbs.context.num_comp_vectors = (int)HCA_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
	c->verbs.context.abi_compat = __VERBS_ABI_IS_EXTENDED;
	pthread_mutex_init(&c->verbs.context.mutex, NULL);
	shim_object_publish(&c->obj);
	return &c->verbs.context;
close:
	if (c)
		shim_object_free(&c->obj);
	shim_device_close(dev);
	return shim_null(shim_why(err, SHIM_LOG_DEVICE, "ibv_open_device"));
}

/* The descriptor keeps its number, which the program knows; what the parent waits on is left alone. */
bool shim_context_renew(struct shim_context *c)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct shim_queue q;
	bool ok = true;

	pthread_mutex_lock(&lock);
	if (c->life != hca_load(&shim_life)) {
		ok = !shim_device_open(c->device) && !shim_queue_init(&q);
		if (ok) {
			dup3(q.fd, c->async.fd, O_CLOEXEC);
			close(q.fd);
			q.fd = c->async.fd;
			q.last = &c->async.first;
			c->async = q;
			c->port = (struct shim_event){ 0 };
			hca_store_release(&c->life, shim_life);
		}
	}
	pthread_mutex_unlock(&lock);
	return ok;
}

/* What the program left behind goes with the context, as it would with a kernel's descriptor. */
static void end_objects(struct shim_context *c)
{
	static int (*const end[SHIM_TYPES])(struct shim_object * o, bool abandon) = {
		[SHIM_QP] = shim_end_qp,     [SHIM_MW] = shim_end_mw,	  [SHIM_MR] = shim_end_mr,
		[SHIM_AH] = shim_end_ah,     [SHIM_SRQ] = shim_end_srq,	  [SHIM_CQ] = shim_end_cq,
		[SHIM_XRCD] = shim_end_xrcd, [SHIM_DM] = shim_end_dm,	  [SHIM_CHANNEL] = shim_end_channel,
		[SHIM_TD] = shim_end_td,     [SHIM_PARENT] = shim_end_pd, [SHIM_PD] = shim_end_pd,
	};
	struct shim_object *o;
	u32 type;

	for (type = 0; type < SHIM_CONTEXT; type++) {
		while ((o = shim_claim_any((enum shim_type)type, c))) {
			(void)HCA_WARN_ON(end[type](o, true));
			shim_object_free(o);
		}
	}
}

SHIM_NOT_OLD(ibv_close_device);
SHIM_EXPORT int ibv_close_device(struct ibv_context *context)
{
	struct shim_context *c = context ? shim_context(context) : NULL;
	u32 left;

	if (!c || !shim_claim(&c->obj, SHIM_CONTEXT))
		return shim_minus_one(shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_close_device: no such context"));
	left = hca_load(&c->objects);
	if (left)
		shim_log(HCA_LOG_INFO, SHIM_LOG_DEVICE, "closed with %u objects that were not destroyed", left);
	end_objects(c);
	shim_queue_fini(&c->async);
	pthread_mutex_destroy(&c->verbs.context.mutex);
	if (c->life == hca_load(&shim_life))
		shim_device_close(c->device);
	shim_object_free(&c->obj);
	return 0;
}

SHIM_EXPORT struct ibv_context *ibv_import_device(int cmd_fd)
{
	(void)cmd_fd;
	return shim_null(shim_why(EOPNOTSUPP, SHIM_LOG_DEVICE, "ibv_import_device"));
}

/* --- the device --- */

static void fill_device(const struct shim_device *dev, struct ibv_device_attr *a)
{
	const struct hca_attr *h = &dev->hca.attr;

	*a = (struct ibv_device_attr){
		.fw_ver = "0.1.0",
		.node_guid = shim_be64(dev->guid),
		.sys_image_guid = shim_be64(dev->guid),
		.max_mr_size = ~0ull,
		.vendor_id = NO_VENDOR,
		.vendor_part_id = 1,
		.page_size_cap = ~(FIRST_PAGE_SIZE - 1) & 0xffffffffull,
		.max_qp = (int)h->max_qp,
		.max_qp_wr = (int)h->max_wr,
		.device_cap_flags = IBV_DEVICE_CURR_QP_STATE_MOD | IBV_DEVICE_SYS_IMAGE_GUID |
				    IBV_DEVICE_RC_RNR_NAK_GEN | IBV_DEVICE_SRQ_RESIZE | IBV_DEVICE_MEM_WINDOW |
				    IBV_DEVICE_MEM_MGT_EXTENSIONS | IBV_DEVICE_MEM_WINDOW_TYPE_2B | IBV_DEVICE_XRC,
		.max_sge = (int)h->max_sge,
		.max_sge_rd = (int)h->max_sge,
		.max_cq = MAX_OBJECTS,
		.max_cqe = (int)h->max_cqe - 1,
		.max_mr = (int)(h->max_keys - h->max_keys / 4),
		.max_pd = MAX_OBJECTS,
		.max_qp_rd_atom = (int)h->max_rd_atomic,
		.max_res_rd_atom = (int)(h->max_rd_atomic * h->max_qp),
		.max_qp_init_rd_atom = (int)h->max_rd_atomic,
		.atomic_cap = IBV_ATOMIC_HCA,
		.max_mw = (int)(h->max_keys / 4),
		.max_mcast_grp = (int)h->max_mcast,
		.max_mcast_qp_attach = (int)h->max_mcast,
		.max_total_mcast_qp_attach = (int)h->max_mcast,
		.max_ah = MAX_OBJECTS,
		.max_srq = MAX_OBJECTS,
		.max_srq_wr = (int)h->max_srq_wr,
		.max_srq_sge = (int)h->max_sge,
		.max_pkeys = (uint16_t)dev->hca.limits.pkeys,
		.local_ca_ack_delay = 15,
		.phys_port_cnt = (uint8_t)dev->hca.limits.ports,
	};
}

SHIM_NOT_OLD(ibv_query_device);
SHIM_EXPORT int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
	struct shim_context *c = shim_context_get(context);

	if (!c || !attr)
		return shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_device: no %s", c ? "attributes" : "such context");
	fill_device(c->device, attr);
	return 0;
}

int shim_query_device_ex(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
			 struct ibv_device_attr_ex *attr, size_t size)
{
	const u32 both = IBV_ODP_SUPPORT_SEND | IBV_ODP_SUPPORT_RECV;
	const u32 all = both | IBV_ODP_SUPPORT_WRITE | IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_ATOMIC |
			IBV_ODP_SUPPORT_SRQ_RECV;
	struct shim_context *c = shim_context_get(context);
	struct ibv_device_attr_ex a = {
		.odp_caps.general_caps = IBV_ODP_SUPPORT | IBV_ODP_SUPPORT_IMPLICIT,
		.odp_caps.per_transport_caps = { .rc_odp_caps = all,
						 .uc_odp_caps = both | IBV_ODP_SUPPORT_WRITE | IBV_ODP_SUPPORT_SRQ_RECV,
						 .ud_odp_caps = both | IBV_ODP_SUPPORT_SRQ_RECV },
		.completion_timestamp_mask = ~0ull,
		.hca_core_clock = NS_CLOCK_KHZ,
		.cq_mod_caps = { .max_cq_count = HCA_CQ_MAX_MODERATION, .max_cq_period = HCA_CQ_MAX_MODERATION },
		.max_dm_size = MAX_DM_BYTES,
		.xrc_odp_caps = all,
		.phys_port_cnt_ex = 1,
	};

	if (!c || !attr || (input && input->comp_mask) || size < sizeof(a.orig_attr))
		return shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_device_ex: mask 0x%x, %zu bytes",
				input ? input->comp_mask : 0, size);
	fill_device(c->device, &a.orig_attr);
	a.device_cap_flags_ex = a.orig_attr.device_cap_flags;
	memset(attr, 0, size);
	memcpy(attr, &a, HCA_MIN(size, sizeof(a)));
	return 0;
}

int shim_query_rt_values(struct ibv_context *context, struct ibv_values_ex *values)
{
	u64 now = hca_now_ns();

	if (!shim_context_get(context) || !values)
		return shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_rt_values_ex: no %s",
				values ? "such context" : "values");
	/* The clock of completions, which counts nanoseconds. */
	if (values->comp_mask & IBV_VALUES_MASK_RAW_CLOCK) {
		values->raw_clock.tv_sec = (time_t)(now / NS_PER_SEC);
		values->raw_clock.tv_nsec = (long)(now % NS_PER_SEC);
	}
	values->comp_mask &= IBV_VALUES_MASK_RAW_CLOCK;
	return 0;
}

/* --- the port --- */

static bool port_valid(const struct shim_context *c, u32 port_num)
{
	return c && port_num >= 1 && port_num <= c->device->hca.limits.ports;
}

int shim_query_port(struct ibv_context *context, uint8_t port_num, struct ibv_port_attr *attr, size_t size)
{
	struct shim_context *c = shim_context_get(context);
	bool ib = shim_config()->infiniband;
	struct ibv_port_attr a = {
		.state = IBV_PORT_ACTIVE,
		.max_mtu = IBV_MTU_4096,
		.active_mtu = IBV_MTU_4096,
		.gid_tbl_len = HCA_GIDS,
		.port_cap_flags = IBV_PORT_CM_SUP | (ib ? 0 : IBV_PORT_IP_BASED_GIDS),
		.max_msg_sz = HCA_MAX_MSG,
		.pkey_tbl_len = 1,
		.lid = (uint16_t)(c ? shim_device_lid(c->device) : 0),
		.sm_lid = (uint16_t)(ib ? shim_config()->lid : 0),
		.max_vl_num = 1,
		.subnet_timeout = SUBNET_TIMEOUT,
		.active_width = WIDTH_4X,
		.active_speed = SPEED_EDR,
		.phys_state = PHYS_LINK_UP,
		.link_layer = ib ? IBV_LINK_LAYER_INFINIBAND : IBV_LINK_LAYER_ETHERNET,
		.flags = ib ? 0 : IBV_QPF_GRH_REQUIRED,
	};

	if (!port_valid(c, port_num) || !attr)
		return shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_port: port %u", port_num);
	memset(attr, 0, size);
	memcpy(attr, &a, HCA_MIN(size, sizeof(a)));
	return 0;
}

/* Programs that were built before there was port_cap_flags2 have room for what stands before it. */
SHIM_NOT_OLD(ibv_query_port);
SHIM_EXPORT int ibv_query_port(struct ibv_context *context, uint8_t port_num, struct _compat_ibv_port_attr *attr)
{
	return shim_query_port(context, port_num, (struct ibv_port_attr *)attr,
			       offsetof(struct ibv_port_attr, port_cap_flags2));
}

SHIM_NOT_OLD(ibv_query_gid);
SHIM_EXPORT int ibv_query_gid(struct ibv_context *context, uint8_t port_num, int index, union ibv_gid *gid)
{
	struct shim_context *c = shim_context_get(context);
	struct shim_gid g;

	if (!port_valid(c, port_num) || index < 0 || (u32)index >= HCA_GIDS || !gid)
		return shim_minus_one(
			shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_gid: port %u, index %d", port_num, index));
	/* Of a place without an address all zeros are read, as sysfs has them. */
	*gid = shim_gid(c->device, (u32)index, &g) ? g.gid : (union ibv_gid){ .raw = { 0 } };
	return 0;
}

static u32 gid_type(void)
{
	return shim_config()->infiniband ? IBV_GID_TYPE_IB : IBV_GID_TYPE_ROCE_V2;
}

static void fill_gid(const struct shim_gid *g, u32 index, struct ibv_gid_entry *e, size_t size)
{
	const struct ibv_gid_entry full = {
		.gid = g->gid, .gid_index = index, .port_num = 1, .gid_type = gid_type(), .ndev_ifindex = g->ifindex
	};

	memset(e, 0, size);
	memcpy(e, &full, HCA_MIN(size, sizeof(full)));
}

SHIM_EXPORT int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port_num, uint32_t gid_index,
				  struct ibv_gid_entry *entry, uint32_t flags, size_t entry_size)
{
	struct shim_context *c = shim_context_get(context);
	struct shim_gid g;

	if (!port_valid(c, port_num) || flags || gid_index >= HCA_GIDS || !entry || entry_size < sizeof(union ibv_gid))
		return shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_gid_ex: port %u, index %u, flags 0x%x", port_num,
				gid_index, flags);
	if (!shim_gid(c->device, gid_index, &g))
		return ENODATA; /* programs look at all places */
	fill_gid(&g, gid_index, entry, entry_size);
	return 0;
}

SHIM_EXPORT ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries, size_t max_entries,
					 uint32_t flags, size_t entry_size)
{
	struct shim_context *c = shim_context_get(context);
	size_t n = 0;
	u32 i;

	if (!c || flags || (!entries && max_entries) || entry_size < sizeof(union ibv_gid))
		return -shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_gid_table: flags 0x%x, entries of %zu bytes",
				 flags, entry_size);
	for (i = 0; i < HCA_GIDS; i++) {
		struct shim_gid g;

		if (!shim_gid(c->device, i, &g))
			continue;
		if (n == max_entries)
			return -shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_gid_table: more than %zu entries",
					 max_entries);
		fill_gid(&g, i, (struct ibv_gid_entry *)((u8 *)entries + n++ * entry_size), entry_size);
	}
	return (ssize_t)n;
}

/* As the providers' interface has it: 0 is IB or RoCE v1, 1 RoCE v2. */
int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num, unsigned int index, unsigned int *type);

SHIM_EXPORT int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num, unsigned int index,
				   unsigned int *type)
{
	if (!port_valid(shim_context_get(context), port_num) || index >= HCA_GIDS || !type)
		return shim_minus_one(
			shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_gid_type: port %u, index %u", port_num, index));
	*type = gid_type() == IBV_GID_TYPE_ROCE_V2;
	return 0;
}

SHIM_NOT_OLD(ibv_query_pkey);
SHIM_EXPORT int ibv_query_pkey(struct ibv_context *context, uint8_t port_num, int index, __be16 *pkey)
{
	if (!port_valid(shim_context_get(context), port_num) || index || !pkey)
		return shim_minus_one(
			shim_why(EINVAL, SHIM_LOG_DEVICE, "ibv_query_pkey: port %u, index %d", port_num, index));
	*pkey = (HCA_FORCE __be16)0xffff; /* the same in either order */
	return 0;
}

SHIM_EXPORT int ibv_get_pkey_index(struct ibv_context *context, uint8_t port_num, __be16 pkey)
{
	__be16 have;

	return !ibv_query_pkey(context, port_num, 0, &have) && have == pkey ? 0 : -1;
}
