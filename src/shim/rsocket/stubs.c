/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Calls that fail with ENOSYS: those that versions of librdmacm after 44 added. They read no argument, so they declare none. */
#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

#define NOT_SUPPORTED(type, name) \
	type name(void); \
	__attribute__((visibility("default"))) type name(void) \
	{ \
		errno = ENOSYS; \
		return (type)-1; \
	}

NOT_SUPPORTED(int, repoll_create)
NOT_SUPPORTED(int, repoll_ctl)
NOT_SUPPORTED(int, repoll_wait)
