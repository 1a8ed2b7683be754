/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls that versions of librdmacm after 44 added: a program that was built on a newer
 * system starts, and each says ENOSYS. No argument is looked at, so none is declared.
 */
#include "rdmacm.h"

#define NOT_HERE(name) \
	int name(void); \
	CM_EXPORT int name(void) \
	{ \
		return cm_fail(ENOSYS); \
	}

NOT_HERE(rdma_query_addrinfo)
NOT_HERE(rdma_resolve_addrinfo)
NOT_HERE(rdma_write_cm_event)
NOT_HERE(repoll_create)
NOT_HERE(repoll_ctl)
NOT_HERE(repoll_wait)
