/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The calls that verbs.h makes through the context. What the device can't do has an
 * entry that says so: a program that doesn't look for NULL gets an error, not a crash.
 */
#include "shim.h"

#define NOT_SUPPORTED_POINTER(name, type, ...) \
	static type *name(__VA_ARGS__) \
	{ \
		return shim_null(shim_why(EOPNOTSUPP, SHIM_LOG_DEVICE, #name)); \
	}
#define NOT_SUPPORTED(name, ...) \
	static int name(__VA_ARGS__) \
	{ \
		return shim_why(EOPNOTSUPP, SHIM_LOG_DEVICE, #name); \
	}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
NOT_SUPPORTED_POINTER(alloc_null_mr, struct ibv_mr, struct ibv_pd *pd)
NOT_SUPPORTED_POINTER(create_counters, struct ibv_counters, struct ibv_context *c, struct ibv_counters_init_attr *a)
NOT_SUPPORTED_POINTER(create_flow_action_esp, struct ibv_flow_action, struct ibv_context *c,
		      struct ibv_flow_action_esp_attr *a)
NOT_SUPPORTED_POINTER(create_rwq_ind_table, struct ibv_rwq_ind_table, struct ibv_context *c,
		      struct ibv_rwq_ind_table_init_attr *a)
NOT_SUPPORTED_POINTER(create_wq, struct ibv_wq, struct ibv_context *c, struct ibv_wq_init_attr *a)
NOT_SUPPORTED_POINTER(create_flow, struct ibv_flow, struct ibv_qp *qp, struct ibv_flow_attr *a)
NOT_SUPPORTED(read_counters, struct ibv_counters *c, uint64_t *values, uint32_t n, uint32_t flags)
NOT_SUPPORTED(attach_counters_point_flow, struct ibv_counters *c, struct ibv_counter_attach_attr *a, struct ibv_flow *f)
NOT_SUPPORTED(destroy_counters, struct ibv_counters *c)
NOT_SUPPORTED(modify_flow_action_esp, struct ibv_flow_action *f, struct ibv_flow_action_esp_attr *a)
NOT_SUPPORTED(destroy_flow_action, struct ibv_flow_action *f)
NOT_SUPPORTED(modify_qp_rate_limit, struct ibv_qp *qp, struct ibv_qp_rate_limit_attr *a)
NOT_SUPPORTED(destroy_rwq_ind_table, struct ibv_rwq_ind_table *t)
NOT_SUPPORTED(destroy_wq, struct ibv_wq *wq)
NOT_SUPPORTED(modify_wq, struct ibv_wq *wq, struct ibv_wq_attr *a)
NOT_SUPPORTED(destroy_flow, struct ibv_flow *f)
#pragma GCC diagnostic pop

static int post_srq_ops(struct ibv_srq *srq, struct ibv_ops_wr *op, struct ibv_ops_wr **bad_op)
{
	(void)srq;
	*bad_op = op;
	return EOPNOTSUPP;
}

/* What programs of before 2008 call through the context stands in places of their own; now they are functions. */
static void *old_call(void)
{
	return shim_null(EOPNOTSUPP);
}

static const struct ibv_context_ops context_ops = {
	._compat_query_device = ibv_query_device,
	._compat_query_port = ibv_query_port,
	._compat_alloc_pd = old_call,
	._compat_dealloc_pd = old_call,
	._compat_reg_mr = old_call,
	._compat_rereg_mr = old_call,
	._compat_dereg_mr = old_call,
	.alloc_mw = shim_alloc_mw,
	.bind_mw = shim_bind_mw,
	.dealloc_mw = shim_dealloc_mw,
	._compat_create_cq = old_call,
	.poll_cq = shim_poll_cq,
	.req_notify_cq = shim_req_notify_cq,
	._compat_cq_event = old_call,
	._compat_resize_cq = old_call,
	._compat_destroy_cq = old_call,
	._compat_create_srq = old_call,
	._compat_modify_srq = old_call,
	._compat_query_srq = old_call,
	._compat_destroy_srq = old_call,
	.post_srq_recv = shim_post_srq_recv,
	._compat_create_qp = old_call,
	._compat_query_qp = old_call,
	._compat_modify_qp = old_call,
	._compat_destroy_qp = old_call,
	.post_send = shim_post_send,
	.post_recv = shim_post_recv,
	._compat_create_ah = old_call,
	._compat_destroy_ah = old_call,
	._compat_attach_mcast = old_call,
	._compat_detach_mcast = old_call,
	._compat_async_event = old_call,
};

void shim_set_ops(struct verbs_context *v)
{
	*v = (struct verbs_context){
		.query_port = shim_query_port,
		.advise_mr = shim_advise_mr,
		.alloc_null_mr = alloc_null_mr,
		.read_counters = read_counters,
		.attach_counters_point_flow = attach_counters_point_flow,
		.create_counters = create_counters,
		.destroy_counters = destroy_counters,
		.reg_dm_mr = shim_reg_dm_mr,
		.alloc_dm = shim_alloc_dm,
		.free_dm = shim_free_dm,
		.modify_flow_action_esp = modify_flow_action_esp,
		.destroy_flow_action = destroy_flow_action,
		.create_flow_action_esp = create_flow_action_esp,
		.modify_qp_rate_limit = modify_qp_rate_limit,
		.alloc_parent_domain = shim_alloc_parent_domain,
		.dealloc_td = shim_dealloc_td,
		.alloc_td = shim_alloc_td,
		.modify_cq = shim_modify_cq,
		.post_srq_ops = post_srq_ops,
		.destroy_rwq_ind_table = destroy_rwq_ind_table,
		.create_rwq_ind_table = create_rwq_ind_table,
		.destroy_wq = destroy_wq,
		.modify_wq = modify_wq,
		.create_wq = create_wq,
		.query_rt_values = shim_query_rt_values,
		.create_cq_ex = shim_create_cq_ex,
		.query_device_ex = shim_query_device_ex,
		.ibv_destroy_flow = destroy_flow,
		.ibv_create_flow = create_flow,
		.open_qp = shim_open_qp,
		.create_qp_ex = shim_create_qp_ex,
		.get_srq_num = shim_get_srq_num,
		.create_srq_ex = shim_create_srq_ex,
		.open_xrcd = shim_open_xrcd,
		.close_xrcd = shim_close_xrcd,
		.context.ops = context_ops,
	};
}
