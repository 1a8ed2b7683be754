/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The calls of IBVERBS_1.0, whose objects had other layouts. A program that was linked
 * with it, before 2007, starts, and finds no device.
 */
#include "shim.h"

#define OLD(name) __asm__(".symver old_" #name ", " #name "@IBVERBS_1.0")

#define FAILS(name) \
	int old_##name(void); \
	SHIM_EXPORT int old_##name(void) \
	{ \
		return EOPNOTSUPP; \
	} \
	OLD(name);
#define GIVES_NULL(name) \
	void *old_##name(void); \
	SHIM_EXPORT void *old_##name(void) \
	{ \
		return shim_null(EOPNOTSUPP); \
	} \
	OLD(name);
#define DOES_NOTHING(name) \
	void old_##name(void); \
	SHIM_EXPORT void old_##name(void) \
	{ \
	} \
	OLD(name);

void *old_ibv_get_device_list(int *num);

/* An empty list, which nobody needs to free. */
SHIM_EXPORT void *old_ibv_get_device_list(int *num)
{
	static void *none[1];

	if (num)
		*num = 0;
	return none;
}
OLD(ibv_get_device_list);

DOES_NOTHING(ibv_ack_async_event)
DOES_NOTHING(ibv_ack_cq_events)
GIVES_NULL(ibv_alloc_pd)
FAILS(ibv_attach_mcast)
FAILS(ibv_close_device)
GIVES_NULL(ibv_create_ah)
GIVES_NULL(ibv_create_cq)
GIVES_NULL(ibv_create_qp)
GIVES_NULL(ibv_create_srq)
FAILS(ibv_dealloc_pd)
FAILS(ibv_dereg_mr)
FAILS(ibv_destroy_ah)
FAILS(ibv_destroy_cq)
FAILS(ibv_destroy_qp)
FAILS(ibv_destroy_srq)
FAILS(ibv_detach_mcast)
DOES_NOTHING(ibv_free_device_list)
FAILS(ibv_get_async_event)
FAILS(ibv_get_cq_event)
FAILS(ibv_get_device_guid)
GIVES_NULL(ibv_get_device_name)
FAILS(ibv_modify_qp)
FAILS(ibv_modify_srq)
GIVES_NULL(ibv_open_device)
FAILS(ibv_query_device)
FAILS(ibv_query_gid)
FAILS(ibv_query_pkey)
FAILS(ibv_query_port)
FAILS(ibv_query_qp)
FAILS(ibv_query_srq)
GIVES_NULL(ibv_reg_mr)
FAILS(ibv_resize_cq)
