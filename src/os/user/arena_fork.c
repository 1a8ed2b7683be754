/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fork() and arenas. An arena is a shared mapping, because one page of it is seen at
 * several addresses; so without this a child would write its parent's pages. Before the
 * fork every arena is copied, as far as it has been touched, and the child maps the
 * copy wherever it sees the arena. What the child does to its machine is its own, as
 * with all other memory of a process.
 *
 * The child's part runs between fork() and its return: system calls only, no
 * allocation. A copy that can't be made takes the child's views away: a fault is better
 * than the parent's memory. Programs that only run another one (posix_spawn(),
 * system()) don't come here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "user/arena_fork.h"
#include "user/arena_os.h"

struct arena {
	struct arena *next;
	u64 bytes;
	dev_t dev;
	ino_t ino;
	int fd;
	int copy; /* while a fork is under way; below 0: there is none */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the list */
static struct arena *arenas;

/* Bytes [@at, @end) of one file into another. */
static int copy_bytes(int to, int from, off_t at, off_t end)
{
	ssize_t n;

	if (lseek(to, at, SEEK_SET) < 0)
		return -errno;
	while (at < end) {
		n = sendfile(to, from, &at, (size_t)HCA_MIN(end - at, (off_t)1 << 30));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n)
			return -EIO;
	}
	return 0;
}

/* What was never touched is a hole, and stays one. Return: a descriptor, or -errno. */
static int copy_arena(const struct arena *a)
{
	int copy = arena_os_open("fork", a->bytes), err = 0;
	off_t from, end = 0;

	if (copy < 0)
		return copy;
	while (!err) {
		from = lseek(a->fd, end, SEEK_DATA);
		if (from < 0)
			err = errno == ENXIO ? 0 : -errno;
		if (from < 0)
			break;
		end = lseek(a->fd, from, SEEK_HOLE);
		err = end < 0 ? -errno : copy_bytes(copy, a->fd, from, end);
	}
	if (!err)
		return copy;
	close(copy);
	return err;
}

static void before_fork(void)
{
	struct arena *a;

	pthread_mutex_lock(&lock);
	for (a = arenas; a; a = a->next)
		a->copy = copy_arena(a);
}

static void after_fork_parent(void)
{
	struct arena *a;

	for (a = arenas; a; a = a->next)
		if (a->copy >= 0)
			close(a->copy);
	pthread_mutex_unlock(&lock);
}

/* A line of /proc/self/maps. */
struct line {
	u64 start;
	u64 end;
	u64 offset;
	dev_t dev;
	ino_t ino;
	int prot;
};

static u64 number(const char **s, unsigned int base)
{
	u64 v = 0;
	unsigned int digit;

	for (;; (*s)++) {
		digit = (unsigned int)(**s >= 'a' ? **s - 'a' + 10 : **s - '0');
		if (**s < '0' || (**s > '9' && **s < 'a') || digit >= base)
			return v;
		v = v * base + digit;
	}
}

/* "start-end rwxp offset major:minor inode name"; stdio may not be used here. */
static void parse(const char *s, struct line *l)
{
	unsigned int major;

	l->start = number(&s, 16);
	s += *s == '-';
	l->end = number(&s, 16);
	l->prot = 0;
	for (s += *s == ' '; *s && *s != ' '; s++)
		l->prot |= *s == 'r' ? PROT_READ : *s == 'w' ? PROT_WRITE : 0;
	s += *s == ' ';
	l->offset = number(&s, 16);
	s += *s == ' ';
	major = (unsigned int)number(&s, 16);
	s += *s == ':';
	l->dev = makedev(major, (unsigned int)number(&s, 16));
	s += *s == ' ';
	l->ino = (ino_t)number(&s, 10);
}

static void follow(const struct line *l)
{
	void *at = (void *)(uintptr_t)l->start;
	const struct arena *a;

	for (a = arenas; a; a = a->next)
		if (a->ino == l->ino && a->dev == l->dev)
			break;
	if (!a)
		return;
	if (a->copy < 0 || mmap(at, (size_t)(l->end - l->start), l->prot, MAP_SHARED | MAP_FIXED, a->copy,
				(off_t)l->offset) == MAP_FAILED)
		arena_os_hide(at, (size_t)(l->end - l->start));
}

/* All views of all arenas. Return: false if the system doesn't tell. */
static bool follow_all(void)
{
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char buf[4096], line[128];
	bool whole = true;
	struct line l;
	size_t n = 0;
	ssize_t got, i;

	if (maps < 0)
		return false;
	while ((got = read(maps, buf, sizeof(buf))) > 0 || (got < 0 && errno == EINTR)) {
		for (i = 0; i < got; i++) {
			if (buf[i] != '\n') {
				/* What counts stands in the first 80 characters or so. */
				if (n < sizeof(line) - 1)
					line[n++] = buf[i];
				continue;
			}
			line[n] = 0;
			n = 0;
			parse(line, &l);
			follow(&l);
		}
	}
	whole = !got;
	close(maps);
	return whole;
}

static void after_fork_child(void)
{
	bool told = !arenas || follow_all();
	struct arena *a;
	struct stat st;

	for (a = arenas; a; a = a->next) {
		if (a->copy < 0) {
			hca_log(HCA_LOG_ERR, "no copy of a machine's memory for a forked child: error %d", -a->copy);
			continue;
		}
		/* The number stays; the file behind it is the child's. */
		if (dup3(a->copy, a->fd, O_CLOEXEC) >= 0 && !fstat(a->fd, &st)) {
			a->dev = st.st_dev;
			a->ino = st.st_ino;
		}
		close(a->copy);
	}
	if (!told)
		hca_log(HCA_LOG_ERR, "no /proc: a forked child shares its parent's machine memory");
	pthread_mutex_unlock(&lock);
}

static void init_once(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int arena_fork_add(int fd, u64 bytes)
{
	struct arena *a = malloc(sizeof(*a));
	struct stat st;

	if (!a || fstat(fd, &st)) {
		free(a);
		return -ENOMEM;
	}
	pthread_once(&once, init_once);
	a->bytes = bytes;
	a->dev = st.st_dev;
	a->ino = st.st_ino;
	a->fd = fd;
	a->copy = -1;
	pthread_mutex_lock(&lock);
	a->next = arenas;
	arenas = a;
	pthread_mutex_unlock(&lock);
	return 0;
}

void arena_fork_del(int fd)
{
	struct arena **at, *a;

	pthread_mutex_lock(&lock);
	for (at = &arenas; *at && (*at)->fd != fd; at = &(*at)->next)
		;
	a = *at;
	if (a)
		*at = a->next;
	pthread_mutex_unlock(&lock);
	free(a);
}
