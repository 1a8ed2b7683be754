/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file of ports; see table.h. Each process that uses it has a lock for reading of it (fcntl), by which
 * shm_dir_clean() knows that it isn't a leftover, and takes turns with the others by another lock (flock).
 */
#include "table.h"

#include "rdmacm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim/hooks.h"

#define LOCK_NS 4000000000ull

static int file = -1;
static u64 birth; /* of the table that this process uses; 0: it has seen none yet */
static struct hca_ports_head head; /* as the file has it, while the table is locked */
static int fault; /* 0, or the errno of the first access that failed */
static int logged; /* the fault that was logged last */

static void pause_turn(void)
{
	static const struct timespec turn = { .tv_nsec = 1000000 };

	(void)nanosleep(&turn, NULL);
}

/* --- access --- */

static void fail(int err)
{
	if (!fault)
		fault = err;
	if (logged == err)
		return;
	logged = err;
	if (err == -EPROTO)
		hca_log(HCA_LOG_ERR, "fabric: another process has damaged the table of ports; end all programs "
				     "that connect by address, and the next one that starts makes a new table");
	else
		hca_log(HCA_LOG_ERR, "fabric: the table of ports: %s", strerror(-err));
}

/* Where the file was cut, there is nothing to read. */
static bool get(u64 off, void *to, size_t bytes)
{
	ssize_t n = -1;

	if (fault)
		return false;
	do
		n = pread(file, to, bytes, (off_t)off);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)bytes)
		fail(n < 0 ? -errno : -EPROTO);
	return !fault;
}

static bool put(u64 off, const void *from, size_t bytes)
{
	ssize_t n;

	if (fault)
		return false;
	do
		n = pwrite(file, from, bytes, (off_t)off);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)bytes)
		fail(n < 0 ? -errno : -ENOSPC);
	return !fault;
}

static void put_link(u64 at, u32 index)
{
	(void)put(at, &index, sizeof(index));
}

static u64 entry_at(u32 index)
{
	return sizeof(struct hca_ports) + (u64)(index - 1) * sizeof(struct hca_ports_entry);
}

static u64 bucket_at(u32 port)
{
	return offsetof(struct hca_ports, first) + port % HCA_PORTS_BUCKETS * sizeof(u32);
}

static u64 closed_at(u32 port)
{
	return offsetof(struct hca_ports, closed) + port % HCA_PORTS_BUCKETS * sizeof(u64);
}

/* --- the file --- */

/* Is it one of ours, and the one that has the name? */
static bool is_named(int dir, const char *name, int fd)
{
	struct stat st, at;

	return !fstat(fd, &st) && !fstatat(dir, name, &at, AT_SYMLINK_NOFOLLOW) && st.st_ino == at.st_ino &&
	       st.st_dev == at.st_dev;
}

/* While somebody removes a leftover of that name, it is locked: on a busy machine for long. Return: a descriptor, or a negative errno */
static int open_named(int dir, const char *name)
{
	struct flock whole = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	u64 end = hca_now_ns() + LOCK_NS;
	int fd, err;

	do {
		fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
		if (fd < 0)
			return -errno;
		err = fcntl(fd, F_OFD_SETLK, &whole) ? -errno : 0;
		if (!err && is_named(dir, name, fd))
			return fd;
		close(fd);
		if (err && err != -EAGAIN && err != -EACCES)
			return err;
		if (err)
			pause_turn();
	} while (hca_now_ns() < end);
	return -EBUSY;
}

static int open_file(void)
{
	int dir = softhca_fabric_dir(), fd;
	struct stat net = { .st_ino = 0 };
	char name[32];

	if (dir < 0)
		return dir;
	(void)stat("/proc/self/ns/net", &net);
	snprintf(name, sizeof(name), "ports.%llu", (unsigned long long)net.st_ino);
	fd = open_named(dir, name);
	close(dir);
	if (fd < 0)
		hca_log(HCA_LOG_ERR, "fabric: no table of ports: %s: %s", name, strerror(-fd));
	return fd;
}

/* The lock of a dead process is free; that of a stopped one isn't, so a wait for it has an end. */
static int lock_file(void)
{
	u64 end = hca_now_ns() + LOCK_NS;
	int err;

	while ((err = flock(file, LOCK_EX | LOCK_NB) ? -errno : 0) == -EWOULDBLOCK || err == -EINTR) {
		if (hca_now_ns() >= end) {
			hca_log(HCA_LOG_WARN, "fabric: a process holds the table of ports, and seems to be stopped");
			return -ETIMEDOUT;
		}
		pause_turn();
	}
	return err;
}

/* The head is written last, by one call, so that a process that dies here leaves a file that counts as new. */
static void make_new(void)
{
	int err;

	do
		err = ftruncate(file, 0) || ftruncate(file, sizeof(struct hca_ports)) ? -errno : 0;
	while (err == -EINTR);
	if (err)
		fail(err);
	head = (struct hca_ports_head){
		.magic = HCA_PORTS_MAGIC,
		.version = HCA_PORTS_VERSION,
		.birth = (u64)hca_random_u32() << 32 | hca_random_u32() | 1,
	};
	if (put(0, &head, sizeof(head)))
		birth = head.birth;
}

/* Is it new: empty, or without a head? One that this process has used isn't. */
static bool is_new(void)
{
	struct stat st;
	u32 magic = 0;

	if (birth || fstat(file, &st))
		return false;
	return !st.st_size || (pread(file, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && !magic);
}

static bool is_whole(void)
{
	struct stat st;

	return !fstat(file, &st) &&
	       (u64)st.st_size >= sizeof(struct hca_ports) + (u64)head.room * sizeof(struct hca_ports_entry);
}

static void read_head(void)
{
	if (!get(0, &head, sizeof(head)))
		return;
	if (head.magic == HCA_PORTS_MAGIC && head.version != HCA_PORTS_VERSION && logged != -EPROTO) {
		logged = -EPROTO;
		hca_log(HCA_LOG_ERR,
			"fabric: the table of ports is of version %u of its layout, must be %u; end the programs "
			"that run over another version of the library",
			head.version, HCA_PORTS_VERSION);
	}
	if (head.magic != HCA_PORTS_MAGIC || head.version != HCA_PORTS_VERSION || head.room > HCA_PORTS_MAX ||
	    head.free > head.room || !head.birth || (birth && head.birth != birth) || !is_whole())
		fail(-EPROTO);
	else
		birth = head.birth;
}

int cm_table_enter(void)
{
	int err;

	if (file < 0) {
		int fd = open_file();

		if (fd < 0)
			return fd;
		file = fd;
	}
	err = lock_file();
	if (err)
		return err;
	fault = 0;
	if (is_new())
		make_new();
	else
		read_head();
	if (!fault)
		return 0;
	err = cm_table_leave(0);
	/* A table that was never good isn't kept: the number may be another file's at the next call. */
	if (!birth)
		cm_table_forget();
	return err;
}

int cm_table_leave(int err)
{
	(void)flock(file, LOCK_UN);
	return fault ? fault : err;
}

void cm_table_forget(void)
{
	if (file >= 0)
		close(file);
	file = -1;
	birth = 0;
}

/* --- lists --- */

struct cm_walk cm_table_list(u32 port)
{
	return (struct cm_walk){ .link = bucket_at(port), .bucket = port % HCA_PORTS_BUCKETS };
}

static bool look(struct cm_walk *w)
{
	if (!get(w->link, &w->index, sizeof(w->index)) || !w->index)
		return false;
	if (w->index > head.room || w->index == w->mark) {
		fail(-EPROTO);
		return false;
	}
	if (!get(entry_at(w->index), &w->e, sizeof(w->e)))
		return false;
	/* A free entry, or one of another list. */
	if (!w->e.port || w->e.port % HCA_PORTS_BUCKETS != w->bucket)
		fail(-EPROTO);
	return !fault;
}

/*
 * A list that comes back to an entry would have no end. So one that was passed is kept in mind, ever later ones; and an entry that was
 * taken out is free, and so isn't looked at again.
 */
bool cm_walk_look(struct cm_walk *w)
{
	if (!look(w))
		return false;
	if (!(w->steps & (w->steps - 1)))
		w->mark = w->index;
	return true;
}

void cm_walk_pass(struct cm_walk *w)
{
	w->link = entry_at(w->index) + offsetof(struct hca_ports_entry, next);
	w->steps++;
}

static void set_free(u32 index)
{
	put_link(offsetof(struct hca_ports, head.free), index);
	head.free = index;
}

void cm_walk_take_out(struct cm_walk *w)
{
	const struct hca_ports_entry empty = { .next = head.free };

	put_link(w->link, w->e.next);
	(void)put(entry_at(w->index), &empty, sizeof(empty));
	set_free(w->index);
}

/* Return: the index of an entry that is in no list; 0: there is none */
static u32 new_entry(void)
{
	struct hca_ports_entry e;
	u32 index = head.free;

	if (!index)
		return head.room < HCA_PORTS_MAX ? head.room + 1 : 0;
	if (!get(entry_at(index), &e, sizeof(e)))
		return 0;
	/* Somebody's, or one of no table. */
	if (e.port || e.next > head.room || e.next == index) {
		fail(-EPROTO);
		return 0;
	}
	set_free(e.next);
	return index;
}

u32 cm_table_put_in(struct hca_ports_entry *e)
{
	u64 first = bucket_at(e->port);
	u32 index = new_entry();

	if (!index || !get(first, &e->next, sizeof(e->next)))
		return 0;
	(void)put(entry_at(index), e, sizeof(*e));
	if (index > head.room) {
		put_link(offsetof(struct hca_ports, head.room), index);
		head.room = index;
	}
	put_link(first, index);
	return fault ? 0 : index;
}

void cm_table_set_flags(u32 index, u8 flags)
{
	(void)put(entry_at(index) + offsetof(struct hca_ports_entry, flags), &flags, sizeof(flags));
}

u64 cm_table_closed(u32 port)
{
	u64 ns;

	return get(closed_at(port), &ns, sizeof(ns)) ? ns : 0;
}

void cm_table_set_closed(u32 port, u64 ns)
{
	(void)put(closed_at(port), &ns, sizeof(ns));
}
