/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets over RDMA: not there yet. Programs that were linked with them start, and each
 * call says ENOSYS. No argument is looked at, so none is declared.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

#define NOT_YET(type, name) \
	type name(void); \
	__attribute__((visibility("default"))) type name(void) \
	{ \
		errno = ENOSYS; \
		return (type)-1; \
	}

NOT_YET(int, raccept)
NOT_YET(int, rbind)
NOT_YET(int, rclose)
NOT_YET(int, rconnect)
NOT_YET(int, rfcntl)
NOT_YET(int, rgetpeername)
NOT_YET(int, rgetsockname)
NOT_YET(int, rgetsockopt)
NOT_YET(int, riounmap)
NOT_YET(int, rlisten)
NOT_YET(int, rpoll)
NOT_YET(int, rselect)
NOT_YET(int, rsetsockopt)
NOT_YET(int, rshutdown)
NOT_YET(int, rsocket)
NOT_YET(ssize_t, rread)
NOT_YET(ssize_t, rreadv)
NOT_YET(ssize_t, rrecv)
NOT_YET(ssize_t, rrecvfrom)
NOT_YET(ssize_t, rrecvmsg)
NOT_YET(ssize_t, rsend)
NOT_YET(ssize_t, rsendmsg)
NOT_YET(ssize_t, rsendto)
NOT_YET(ssize_t, rwrite)
NOT_YET(ssize_t, rwritev)
NOT_YET(off_t, riomap)
NOT_YET(size_t, riowrite)

/* Of later versions. */
NOT_YET(int, repoll_create)
NOT_YET(int, repoll_ctl)
NOT_YET(int, repoll_wait)
