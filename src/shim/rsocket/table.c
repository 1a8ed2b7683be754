/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets by their numbers, and who uses them: a socket is freed when it is closed and the last call on it has returned. A forked
 * child has its parent's numbers, but can't use the connections: there every call but rclose() fails.
 */
#include "rsocket.h"

#include <stdlib.h>

#define ROW 1024
#define ROWS 1024 /* as many descriptors as a process may have by default of the system's, 2^20 */

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rsock **table[ROWS];

unsigned int rs_life;

static void before_fork(void)
{
	pthread_mutex_lock(&table_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&table_lock);
}

static void in_child(void)
{
	rs_life++;
	rs_serve_none();
	pthread_mutex_unlock(&table_lock);
}

__attribute__((constructor)) static void begin(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

/* Where a number's socket stands; NULL: there is none, and there may be none. */
static struct rsock **place(int fd)
{
	struct rsock **row = fd >= 0 && fd < ROW * ROWS ? table[fd / ROW] : NULL;

	return row ? &row[fd % ROW] : NULL;
}

int rs_add(struct rsock *rs)
{
	int err = 0;

	if (rs->fd >= ROW * ROWS)
		return EMFILE;
	pthread_mutex_lock(&table_lock);
	if (!table[rs->fd / ROW])
		table[rs->fd / ROW] = calloc(ROW, sizeof(struct rsock *));
	if (!table[rs->fd / ROW]) {
		err = ENOMEM;
	} else {
		rs->life = rs_life;
		rs->refs = 1;
		*place(rs->fd) = rs;
	}
	pthread_mutex_unlock(&table_lock);
	return err;
}

struct rsock *rs_get(int fd)
{
	struct rsock **at, *rs;

	pthread_mutex_lock(&table_lock);
	at = place(fd);
	rs = at ? *at : NULL;
	if (rs && rs->life != rs_life)
		rs = NULL;
	if (rs)
		rs->refs++;
	pthread_mutex_unlock(&table_lock);
	if (!rs)
		errno = EBADF;
	return rs;
}

void rs_put(struct rsock *rs)
{
	unsigned int left;

	pthread_mutex_lock(&table_lock);
	left = --rs->refs;
	pthread_mutex_unlock(&table_lock);
	if (!left)
		rs_destroy(rs);
}

struct rsock *rs_take(int fd)
{
	struct rsock **at, *rs;

	pthread_mutex_lock(&table_lock);
	at = place(fd);
	rs = at ? *at : NULL;
	if (rs)
		*at = NULL;
	pthread_mutex_unlock(&table_lock);
	if (!rs)
		errno = EBADF;
	return rs;
}
