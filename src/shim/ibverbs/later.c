/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls that versions of libibverbs after 44 brought: a program that was built with one
 * of them starts, and gets the error that the device can't do it. No argument is read, so none is declared.
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
/* Those that return -1 with errno, as calls that give a descriptor do. */
#define GIVES_NO_DESCRIPTOR(name) \
	int name(void); \
	SHIM_EXPORT int name(void) \
	{ \
		errno = EOPNOTSUPP; \
		return -1; \
	}

FAILS(_ibv_query_comp_cntr_caps)
GIVES_NULL(ibv_alloc_buf)
GIVES_NULL(ibv_alloc_dmah)
GIVES_NULL(ibv_create_comp_cntr)
FAILS(ibv_dealloc_dmah)
FAILS(ibv_destroy_comp_cntr)
GIVES_NO_DESCRIPTOR(ibv_dm_export_dmabuf_fd)
GIVES_NO_DESCRIPTOR(ibv_export_buf_dmabuf_fd)
FAILS(ibv_free_buf)
FAILS(ibv_inc_comp_cntr)
FAILS(ibv_inc_err_comp_cntr)
FAILS(ibv_qp_attach_comp_cntr)
FAILS(ibv_query_port_speed)
FAILS(ibv_read_comp_cntr)
FAILS(ibv_read_err_comp_cntr)
GIVES_NULL(ibv_reg_buf_mr)
GIVES_NULL(ibv_reg_mr_ex)
FAILS(ibv_set_comp_cntr)
FAILS(ibv_set_err_comp_cntr)
