/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What libibverbs offers to the libraries of its providers (libmlx5, libefa, ...), which
 * programs such as perftest are linked with. They load and find no device of theirs here,
 * so none of these calls is ever made for one; a call that is made all the same fails.
 * No argument is looked at, so none is declared.
 */
#include "shim.h"

#define FAILS(name) \
	int name(void); \
	SHIM_EXPORT int name(void) \
	{ \
		return EOPNOTSUPP; \
	}
#define GIVES_NULL(name) \
	void *name(void); \
	SHIM_EXPORT void *name(void) \
	{ \
		return shim_null(EOPNOTSUPP); \
	}
#define DOES_NOTHING(name) \
	void name(void); \
	SHIM_EXPORT void name(void) \
	{ \
	}

/* A provider's constructor brings its driver: there is no hardware that it could be for. */
DOES_NOTHING(verbs_register_driver_34)
DOES_NOTHING(old_ibv_register_driver)
__asm__(".symver old_ibv_register_driver, ibv_register_driver@IBVERBS_1.1");

extern bool verbs_allow_disassociate_destroy;
SHIM_EXPORT bool verbs_allow_disassociate_destroy;

/* How many attributes a command has, all told: none. */
unsigned int __ioctl_final_num_attrs(void);
SHIM_EXPORT unsigned int __ioctl_final_num_attrs(void)
{
	return 0;
}

GIVES_NULL(_verbs_init_and_alloc_context)
GIVES_NULL(verbs_open_device)
DOES_NOTHING(__verbs_log)
DOES_NOTHING(verbs_set_ops)
DOES_NOTHING(verbs_uninit_context)
FAILS(execute_ioctl)
FAILS(ibv_cmd_advise_mr)
FAILS(ibv_cmd_alloc_dm)
FAILS(ibv_cmd_alloc_mw)
FAILS(ibv_cmd_alloc_pd)
FAILS(ibv_cmd_attach_mcast)
FAILS(ibv_cmd_close_xrcd)
FAILS(ibv_cmd_create_ah)
FAILS(ibv_cmd_create_counters)
FAILS(ibv_cmd_create_cq)
FAILS(ibv_cmd_create_cq_ex)
FAILS(ibv_cmd_create_flow)
FAILS(ibv_cmd_create_flow_action_esp)
FAILS(ibv_cmd_create_qp)
FAILS(ibv_cmd_create_qp_ex)
FAILS(ibv_cmd_create_qp_ex2)
FAILS(ibv_cmd_create_rwq_ind_table)
FAILS(ibv_cmd_create_srq)
FAILS(ibv_cmd_create_srq_ex)
FAILS(ibv_cmd_create_wq)
FAILS(ibv_cmd_dealloc_mw)
FAILS(ibv_cmd_dealloc_pd)
FAILS(ibv_cmd_dereg_mr)
FAILS(ibv_cmd_destroy_ah)
FAILS(ibv_cmd_destroy_counters)
FAILS(ibv_cmd_destroy_cq)
FAILS(ibv_cmd_destroy_flow)
FAILS(ibv_cmd_destroy_flow_action)
FAILS(ibv_cmd_destroy_qp)
FAILS(ibv_cmd_destroy_rwq_ind_table)
FAILS(ibv_cmd_destroy_srq)
FAILS(ibv_cmd_destroy_wq)
FAILS(ibv_cmd_detach_mcast)
FAILS(ibv_cmd_free_dm)
FAILS(ibv_cmd_get_context)
FAILS(ibv_cmd_modify_cq)
FAILS(ibv_cmd_modify_flow_action_esp)
FAILS(ibv_cmd_modify_qp)
FAILS(ibv_cmd_modify_qp_ex)
FAILS(ibv_cmd_modify_srq)
FAILS(ibv_cmd_modify_wq)
FAILS(ibv_cmd_open_qp)
FAILS(ibv_cmd_open_xrcd)
FAILS(ibv_cmd_poll_cq)
FAILS(ibv_cmd_post_recv)
FAILS(ibv_cmd_post_send)
FAILS(ibv_cmd_post_srq_recv)
FAILS(ibv_cmd_query_context)
FAILS(ibv_cmd_query_device_any)
FAILS(ibv_cmd_query_mr)
FAILS(ibv_cmd_query_port)
FAILS(ibv_cmd_query_qp)
FAILS(ibv_cmd_query_srq)
FAILS(ibv_cmd_read_counters)
FAILS(ibv_cmd_reg_dm_mr)
FAILS(ibv_cmd_reg_dmabuf_mr)
FAILS(ibv_cmd_reg_mr)
FAILS(ibv_cmd_req_notify_cq)
FAILS(ibv_cmd_rereg_mr)
FAILS(ibv_cmd_resize_cq)
FAILS(verbs_init_cq)
