/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The preload library: socket calls of an unmodified program, as calls of sockets over RDMA. What the files of this room share.
 *
 * A program's socket is two: the number that the program has is a socket of the system's, unconnected, and a table says which socket
 * over RDMA (rsocket) stands behind it. So the number stays the same if the connection falls back to TCP, and the system
 * answers what rsockets don't know. A number that isn't in the table goes to the C library: those of files, and all that the
 * libraries below this one open for themselves.
 */
#ifndef SHIM_RSPRELOAD_PRELOAD_H
#define SHIM_RSPRELOAD_PRELOAD_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rdma/rsocket.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PRELOAD_EXPORT __attribute__((visibility("default")))

/* The system's headers take these addresses by a union of pointers, which sparse doesn't hold for a pointer. */
int preload_bind(int fd, const struct sockaddr *addr, socklen_t len) __asm__("bind");
int preload_accept(int fd, struct sockaddr *addr, socklen_t *len) __asm__("accept");
int preload_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags) __asm__("accept4");
int preload_connect(int fd, const struct sockaddr *addr, socklen_t len) __asm__("connect");
int preload_getsockname(int fd, struct sockaddr *addr, socklen_t *len) __asm__("getsockname");
int preload_getpeername(int fd, struct sockaddr *addr, socklen_t *len) __asm__("getpeername");
ssize_t preload_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
			 socklen_t *from_len) __asm__("recvfrom");
ssize_t preload_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
		       socklen_t to_len) __asm__("sendto");

/* --- real.c --- */

#define PRELOAD_CALLS(X) \
	X(socket) \
	X(bind) \
	X(listen) \
	X(accept4) \
	X(connect) \
	X(shutdown) \
	X(close) \
	X(getpeername) \
	X(getsockname) \
	X(setsockopt) \
	X(getsockopt) \
	X(fcntl) \
	X(ioctl) \
	X(dup) \
	X(dup2) \
	X(dup3) \
	X(recv) \
	X(recvfrom) \
	X(recvmsg) \
	X(recvmmsg) \
	X(read) \
	X(readv) \
	X(send) \
	X(sendto) \
	X(sendmsg) \
	X(sendmmsg) \
	X(write) \
	X(writev) \
	X(sendfile) \
	X(poll) \
	X(ppoll) \
	X(select) \
	X(pselect) \
	X(epoll_ctl) \
	X(epoll_wait) \
	X(epoll_pwait)

#define PRELOAD_MEMBER(name) __typeof__(&name) name;

/** struct real - the C library's functions */
struct real {
	PRELOAD_CALLS(PRELOAD_MEMBER)
};

/** real() - them */
const struct real *real(void);

/* --- table.c --- */

#define NUMBERS (1 << 20) /* as many descriptors as a process may have by default of the system's */

/** rs_of() - the rsocket behind a number. Return: -1: none */
int rs_of(int fd);

/** map_add() - @rs stands behind @fd from now on. Return: false: the number is too large */
bool map_add(int fd, int rs);

/** map_share() - what stands behind @fd, if anything, stands behind @copy, too */
void map_share(int fd, int copy);

/** map_drop() - nothing stands behind @fd any more. Return: the rsocket, which no number has now; -1: some has it, or none was there */
int map_drop(int fd);

/** map_drop_all() - no number has @rs any more */
void map_drop_all(int rs);

/** map_set_bound(), map_is_bound() - the program has bound it */
void map_set_bound(int rs);
bool map_is_bound(int rs);

/** map_is_owner() - not in a child, which may have the parent's memory (vfork) */
bool map_is_owner(void);

/* --- epoll.c: what calls of a number mean for those that watch it --- */

/** epoll_read() - the program has read, or accepted */
void epoll_read(int fd);

/** epoll_wrote() - it has sent; @full: not as much as it wanted */
void epoll_wrote(int fd, bool full);

/** epoll_changed() - it connects, or shuts down */
void epoll_changed(int fd);

/** epoll_left() - no rsocket stands behind it any more; @to_system: it is a socket of the system's */
void epoll_left(int fd, bool to_system);

/** epoll_closed() - of any number, which may be an epoll's */
void epoll_closed(int epfd);

/** epoll_in_child() - after fork() */
void epoll_in_child(void);

#endif
