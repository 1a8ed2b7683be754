/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets over RDMA are not supported. A program that is linked with them starts, and
 * each call fails with ENOSYS. The calls read no argument, so they declare none.
 */
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

NOT_SUPPORTED(int, raccept)
NOT_SUPPORTED(int, rbind)
NOT_SUPPORTED(int, rclose)
NOT_SUPPORTED(int, rconnect)
NOT_SUPPORTED(int, rfcntl)
NOT_SUPPORTED(int, rgetpeername)
NOT_SUPPORTED(int, rgetsockname)
NOT_SUPPORTED(int, rgetsockopt)
NOT_SUPPORTED(int, riounmap)
NOT_SUPPORTED(int, rlisten)
NOT_SUPPORTED(int, rpoll)
NOT_SUPPORTED(int, rselect)
NOT_SUPPORTED(int, rsetsockopt)
NOT_SUPPORTED(int, rshutdown)
NOT_SUPPORTED(int, rsocket)
NOT_SUPPORTED(ssize_t, rread)
NOT_SUPPORTED(ssize_t, rreadv)
NOT_SUPPORTED(ssize_t, rrecv)
NOT_SUPPORTED(ssize_t, rrecvfrom)
NOT_SUPPORTED(ssize_t, rrecvmsg)
NOT_SUPPORTED(ssize_t, rsend)
NOT_SUPPORTED(ssize_t, rsendmsg)
NOT_SUPPORTED(ssize_t, rsendto)
NOT_SUPPORTED(ssize_t, rwrite)
NOT_SUPPORTED(ssize_t, rwritev)
NOT_SUPPORTED(off_t, riomap)
NOT_SUPPORTED(size_t, riowrite)

/* Of later versions. */
NOT_SUPPORTED(int, repoll_create)
NOT_SUPPORTED(int, repoll_ctl)
NOT_SUPPORTED(int, repoll_wait)
