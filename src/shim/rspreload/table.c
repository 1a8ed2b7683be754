/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which rsocket stands behind a number. Looking is without a lock, as every read() and write() of a program does it.
 *
 * A child made by vfork() has the parent's memory until it calls exec: what it does to its numbers must not change the table.
 * A child made by fork() has a table of its own; its parent's rsockets refuse to work there (rsocket/table.c).
 */
#include "preload.h"

#include <pthread.h>

static int map[NUMBERS]; /* the rsocket's number, and one; 0: none */
static int highest; /* number that was ever in the table */

/* By the rsocket's number */
static struct {
	int users;
	bool bound;
} rsockets[NUMBERS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t owner;

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	owner = getpid();
	epoll_in_child();
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
	owner = getpid();
	pthread_atfork(before_fork, in_parent, in_child);
}

int rs_of(int fd)
{
	return fd >= 0 && fd < NUMBERS ? __atomic_load_n(&map[fd], __ATOMIC_ACQUIRE) - 1 : -1;
}

/* The lock is held. */
static void set(int fd, int rs)
{
	rsockets[rs].users++;
	if (fd > highest)
		highest = fd;
	__atomic_store_n(&map[fd], rs + 1, __ATOMIC_RELEASE);
}

bool map_add(int fd, int rs)
{
	if (fd >= NUMBERS || rs >= NUMBERS)
		return false;
	pthread_mutex_lock(&lock);
	rsockets[rs].users = 0;
	rsockets[rs].bound = false;
	set(fd, rs);
	pthread_mutex_unlock(&lock);
	return true;
}

void map_share(int fd, int copy)
{
	if (rs_of(fd) < 0 || copy < 0 || copy >= NUMBERS || getpid() != owner)
		return;
	pthread_mutex_lock(&lock);
	if (map[fd])
		set(copy, map[fd] - 1);
	pthread_mutex_unlock(&lock);
}

bool map_is_owner(void)
{
	return getpid() == owner;
}

int map_drop(int fd)
{
	int rs = rs_of(fd);

	if (rs < 0 || getpid() != owner)
		return -1;
	pthread_mutex_lock(&lock);
	rs = map[fd] - 1;
	__atomic_store_n(&map[fd], 0, __ATOMIC_RELEASE);
	if (rs >= 0 && --rsockets[rs].users)
		rs = -1;
	pthread_mutex_unlock(&lock);
	return rs;
}

void map_drop_all(int rs)
{
	int fd;

	pthread_mutex_lock(&lock);
	for (fd = 0; fd <= highest; fd++) {
		if (map[fd] != rs + 1)
			continue;
		__atomic_store_n(&map[fd], 0, __ATOMIC_RELEASE);
		epoll_left(fd, true);
	}
	rsockets[rs].users = 0;
	pthread_mutex_unlock(&lock);
}

void map_set_bound(int rs)
{
	pthread_mutex_lock(&lock);
	rsockets[rs].bound = true;
	pthread_mutex_unlock(&lock);
}

bool map_is_bound(int rs)
{
	bool bound;

	pthread_mutex_lock(&lock);
	bound = rsockets[rs].bound;
	pthread_mutex_unlock(&lock);
	return bound;
}

/*
 * The system delivers what a process wrote before it exited; an rsocket does so when it is closed. Only connections, and
 * sockets of datagrams, have anything.
 */
__attribute__((destructor)) static void end(void)
{
	struct sockaddr_storage peer;
	int fd, rs, type = 0;
	socklen_t len, size;

	for (fd = 0; fd <= highest; fd++) {
		rs = rs_of(fd);
		len = sizeof(peer);
		size = sizeof(type);
		if (rs < 0 || rgetsockopt(rs, SOL_SOCKET, SO_TYPE, &type, &size) ||
		    (type != SOCK_DGRAM && rgetpeername(rs, (struct sockaddr *)&peer, &len)))
			continue;
		rs = map_drop(fd);
		if (rs >= 0)
			rclose(rs);
	}
}
