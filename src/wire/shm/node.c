/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The fabric's directory and the files of nodes; see node.h. */
#include "wire/shm/node.h"

#include "wire/shm/share.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIES 100

const char *shm_remedy(int err)
{
	return err == -ENOSPC || err == -EDQUOT ?
		       "; mount a larger /dev/shm (docker run --shm-size), or set SOFTHCA_FABRIC to a "
		       "directory of your own with room" :
		       "";
}

/* --- files --- */

static void node_name(char *name, u32 number)
{
	snprintf(name, SHM_NAME_BYTES, "node.%u", number);
}

void shm_ring_name(char *name, u32 from, u32 to)
{
	snprintf(name, SHM_NAME_BYTES, "ring.%u.%u", from, to);
}

static bool is_number(unsigned long n)
{
	return n >= 1 && n < HCA_FABRIC_NODES;
}

/* What a file of the directory is of: @to 0: a node; else a ring. Return: is it one of ours? */
static bool parse_name(const char *name, u32 *from, u32 *to)
{
	bool ring = !strncmp(name, "ring.", 5);
	char again[SHM_NAME_BYTES], *end;
	unsigned long number;

	if (!ring && strncmp(name, "node.", 5) != 0)
		return false;
	number = strtoul(name + 5, &end, 10);
	if (!is_number(number))
		return false;
	*from = (u32)number;
	*to = 0;
	node_name(again, *from);
	if (ring) {
		number = *end == '.' ? strtoul(end + 1, &end, 10) : 0;
		if (!is_number(number))
			return false;
		*to = (u32)number;
		shm_ring_name(again, *from, *to);
	}
	/* Written in no other way, as with zeros in front. */
	return !strcmp(name, again);
}

/* --- the directory --- */

static int check_dir(int dir, const char *path)
{
	struct stat st;

	if (fstat(dir, &st)) {
		hca_log(HCA_LOG_ERR, "fabric: %s: %s", path, strerror(errno));
		return -errno;
	}
	if (st.st_uid == geteuid() && !(st.st_mode & 077))
		return 0;
	hca_log(HCA_LOG_ERR,
		"fabric: %s must be yours, and closed to other users (owner %u, mode %03o): chmod 700 it, or set "
		"SOFTHCA_FABRIC to another directory",
		path, (unsigned int)st.st_uid, (unsigned int)(st.st_mode & 0777));
	return -EACCES;
}

int shm_dir_open(const char *path, int *dir)
{
	char standard[64];
	int err;

	if (!path)
		path = secure_getenv("SOFTHCA_FABRIC");
	if (!path || !*path) {
		snprintf(standard, sizeof(standard), "/dev/shm/softhca-%u", (unsigned int)geteuid());
		path = standard;
	}
	if (mkdir(path, 0700) && errno != EEXIST) {
		err = -errno;
		hca_log(HCA_LOG_ERR, "fabric: can't make the directory %s: %s%s", path, strerror(-err),
			*shm_remedy(err) ? shm_remedy(err) : "; set SOFTHCA_FABRIC to another one");
		return err;
	}
	*dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*dir < 0) {
		err = -errno;
		hca_log(HCA_LOG_ERR, "fabric: can't open the directory %s: %s", path, strerror(-err));
		return err;
	}
	err = check_dir(*dir, path);
	if (err)
		close(*dir);
	return err;
}

static void each_name(int dir, void (*fn)(void *ctx, const char *name), void *ctx)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)))
		fn(ctx, e->d_name);
	closedir(d);
}

struct file_walk {
	void (*fn)(void *ctx, u32 from, u32 to);
	void *ctx;
};

static void walk_file(void *ctx, const char *name)
{
	const struct file_walk *w = ctx;
	u32 from, to;

	if (parse_name(name, &from, &to))
		w->fn(w->ctx, from, to);
}

/* @fn gets each node with @to 0, and each ring. */
static void each_file(int dir, void (*fn)(void *ctx, u32 from, u32 to), void *ctx)
{
	struct file_walk w = { fn, ctx };

	each_name(dir, walk_file, &w);
}

struct node_walk {
	void (*fn)(void *ctx, u32 number);
	void *ctx;
};

static void walk_node(void *ctx, u32 from, u32 to)
{
	const struct node_walk *w = ctx;

	if (!to)
		w->fn(w->ctx, from);
}

void shm_dir_nodes(int dir, void (*fn)(void *ctx, u32 number), void *ctx)
{
	struct node_walk w = { fn, ctx };

	each_file(dir, walk_node, &w);
}

/* --- locks and numbers --- */

static int lock_file(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &whole) ? -errno : 0;
}

static bool is_locked(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return !fcntl(fd, F_OFD_GETLK, &whole) && whole.l_type != F_UNLCK;
}

/* Is the file of that name this one still? */
static bool is_named(int dir, const char *name, int fd, struct stat *st)
{
	struct stat named;

	return !fstat(fd, st) && !fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) && st->st_ino == named.st_ino &&
	       st->st_dev == named.st_dev;
}

/* Own a number: its file, locked, @bytes of which are a leftover's. Return: a descriptor; -EBUSY: the node lives; other errors */
static int own_number(int dir, u32 number, off_t *bytes)
{
	char name[SHM_NAME_BYTES];
	struct stat st;
	int err, fd, i;

	node_name(name, number);
	for (i = 0; i < TRIES; i++) {
		fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
		if (fd < 0)
			return -errno;
		err = lock_file(fd);
		if (!err && is_named(dir, name, fd, &st)) {
			*bytes = st.st_size;
			return fd;
		}
		close(fd);
		if (err)
			return err == -EAGAIN || err == -EACCES ? -EBUSY : err;
	}
	return -EBUSY;
}

/* --- leftovers --- */

struct leftovers {
	u64 seen[HCA_FABRIC_NODES / 64]; /* numbers of nodes, and of rings' writers */
	u32 (*ring)[2];
	size_t rings;
	size_t room;
};

static void note_file(void *ctx, u32 from, u32 to)
{
	struct leftovers *l = ctx;
	void *larger;

	l->seen[from / 64] |= 1ull << (from % 64);
	if (!to)
		return;
	if (l->rings == l->room) {
		larger = realloc(l->ring, (2 * l->room + 64) * sizeof(*l->ring));
		if (!larger)
			return; /* those go the next time */
		l->ring = larger;
		l->room = 2 * l->room + 64;
	}
	l->ring[l->rings][0] = from;
	l->ring[l->rings++][1] = to;
}

static void remove_node(int dir, u32 number, const struct leftovers *l)
{
	char name[SHM_NAME_BYTES];
	off_t bytes;
	size_t i;
	int fd = own_number(dir, number, &bytes);

	if (fd < 0)
		return;
	for (i = 0; i < l->rings; i++) {
		if (l->ring[i][0] != number)
			continue;
		shm_ring_name(name, number, l->ring[i][1]);
		(void)unlinkat(dir, name, 0);
	}
	node_name(name, number);
	(void)unlinkat(dir, name, 0);
	close(fd);
}

/* A table of ports (softhca/abi/ports.h): each process that uses it has a lock of it. */
static void remove_ports(void *ctx, const char *name)
{
	const int *dir = ctx;
	struct stat st;
	int fd;

	if (strncmp(name, "ports.", 6) != 0)
		return;
	fd = openat(*dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (!lock_file(fd) && is_named(*dir, name, fd, &st))
		(void)unlinkat(*dir, name, 0);
	close(fd);
}

void shm_dir_clean(int dir)
{
	struct leftovers l = { .ring = NULL };
	u32 n;

	each_file(dir, note_file, &l);
	for (n = 1; n < HCA_FABRIC_NODES; n++)
		if (l.seen[n / 64] >> (n % 64) & 1)
			remove_node(dir, n, &l);
	free(l.ring);
	each_name(dir, remove_ports, &dir);
}

void shm_dir_bury(int dir, u32 number, u32 own)
{
	u32 ring[1][2] = { { number, own } };
	const struct leftovers l = { .ring = ring, .rings = 1 };

	remove_node(dir, number, &l);
}

/* --- the own node --- */

static u64 start_time(s32 pid)
{
	char path[40], text[1024], *at;
	u64 start = 0;
	ssize_t n = -1;
	int fd, i;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = 0;
	/* The second field is a name in brackets, with anything in it; the 22nd is the 20th behind it. */
	at = strrchr(text, ')');
	for (i = 2; at && i < 22; i++)
		at = strchr(at + 1, ' ');
	if (at)
		start = strtoull(at, NULL, 10);
	return start;
}

static u64 random_stamp(void)
{
	u64 stamp = (u64)hca_random_u32() << 32 | hca_random_u32();

	return stamp && stamp != HCA_FABRIC_STAMP_UNKNOWN ? stamp : 1;
}

static int fill_node(int fd, u32 number, struct shm_node *node)
{
	int err = shm_file_fill(fd, 0, sizeof(struct hca_fabric_node));
	void *at;

	node->bytes = (size_t)shm_share_bytes(SHM_SHARE_KEYS);
	if (!err && ftruncate(fd, (off_t)node->bytes))
		err = -errno;
	if (err)
		return err;
	at = mmap(NULL, node->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	node->head = at;
	node->fd = fd;
	node->number = number;
	node->head->version = HCA_FABRIC_VERSION;
	node->head->number = number;
	node->head->pid = getpid();
	node->head->start = start_time(getpid());
	node->head->stamp = random_stamp();
	return 0;
}

/* The first number that is free. Return: the locked, empty file; -ENOSPC: there is none; other errors */
static int take_number(int dir, u32 max, u32 *number)
{
	static const struct leftovers none;
	off_t bytes = 0;
	int fd;

	for (*number = 1; *number <= max; (*number)++) {
		fd = own_number(dir, *number, &bytes);
		/* A file that others may have mapped isn't used again. */
		if (fd >= 0 && bytes) {
			close(fd);
			remove_node(dir, *number, &none);
			fd = own_number(dir, *number, &bytes);
			if (fd >= 0 && bytes) {
				close(fd);
				fd = -EBUSY;
			}
		}
		if (fd != -EBUSY)
			return fd;
	}
	return -ENOSPC;
}

int shm_node_create(int dir, u32 max, struct shm_node *node)
{
	char name[SHM_NAME_BYTES];
	u32 number = 0;
	int fd = take_number(dir, max, &number), err;

	if (fd == -ENOSPC && number > max) {
		hca_log(HCA_LOG_ERR, "fabric: all numbers up to %u are taken by processes that live", max);
		return fd;
	}
	if (fd < 0) {
		hca_log(HCA_LOG_ERR, "fabric: can't make a node's file: %s%s", strerror(-fd), shm_remedy(fd));
		return fd;
	}
	err = fill_node(fd, number, node);
	if (!err)
		return 0;
	hca_log(HCA_LOG_ERR, "fabric: no memory for a node's file: %s%s", strerror(-err), shm_remedy(err));
	node_name(name, number);
	(void)unlinkat(dir, name, 0);
	close(fd);
	return err;
}

void shm_node_ready(struct shm_node *node)
{
	hca_store_release(&node->head->magic, HCA_FABRIC_MAGIC);
}

void shm_node_remove(int dir, struct shm_node *node)
{
	char name[SHM_NAME_BYTES];

	node_name(name, node->number);
	(void)unlinkat(dir, name, 0);
	munmap(node->head, node->bytes);
	close(node->fd);
	node->head = NULL;
}

/* --- other nodes --- */

/* Return: a descriptor of a node's file, opened */
static int open_node(int dir, u32 number)
{
	char name[SHM_NAME_BYTES];
	int fd;

	node_name(name, number);
	fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : -errno;
}

static bool table_fits(u64 at, u64 slots, u64 each, u64 bytes)
{
	return !(at & 63) && at >= sizeof(struct hca_fabric_node) && at <= bytes && slots <= (bytes - at) / each;
}

static bool is_node(const struct hca_fabric_node *n, u64 bytes, u32 number)
{
	return hca_load_acquire(&n->magic) == HCA_FABRIC_MAGIC && n->version == HCA_FABRIC_VERSION &&
	       n->number == number && table_fits(n->qps, n->qp_slots, sizeof(struct hca_fabric_qp), bytes) &&
	       table_fits(n->keys, n->key_slots, sizeof(struct hca_fabric_key), bytes);
}

static int map_node(int fd, u32 number, struct shm_node *node)
{
	struct stat st;
	void *at;

	if (!is_locked(fd) || fstat(fd, &st) || st.st_size < (off_t)sizeof(struct hca_fabric_node) ||
	    (u64)st.st_size > SIZE_MAX / 2)
		return -ESRCH;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	if (!is_node(at, (u64)st.st_size, number)) {
		munmap(at, (size_t)st.st_size);
		return -ESRCH;
	}
	*node = (struct shm_node){ .head = at, .bytes = (size_t)st.st_size, .number = number, .fd = -1 };
	return 0;
}

int shm_node_open(int dir, u32 number, struct shm_node *node)
{
	int fd = is_number(number) ? open_node(dir, number) : -ESRCH;
	int err;

	if (fd < 0)
		return fd;
	err = map_node(fd, number, node);
	close(fd);
	return err;
}

/* Read, not mapped: whoever comes asks all that are there. Return: 0: the node is there and alive; -ESRCH: it isn't; another: who knows? */
static int read_head(int dir, u32 number, struct hca_fabric_node *head)
{
	const size_t bytes = offsetof(struct hca_fabric_node, bell);
	int fd = is_number(number) ? open_node(dir, number) : -ESRCH;
	bool there;

	if (fd < 0)
		return fd;
	there = is_locked(fd) && pread(fd, head, bytes, 0) == (ssize_t)bytes && head->magic == HCA_FABRIC_MAGIC &&
		head->version == HCA_FABRIC_VERSION && head->number == number;
	close(fd);
	return there ? 0 : -ESRCH;
}

bool shm_node_has_joined(int dir, u32 number)
{
	struct hca_fabric_node head;

	return !read_head(dir, number, &head) && head.joined;
}

u64 shm_node_stamp(int dir, u32 number)
{
	struct hca_fabric_node head;
	int err = read_head(dir, number, &head);

	if (err)
		return err == -ESRCH ? 0 : HCA_FABRIC_STAMP_UNKNOWN;
	return head.stamp;
}

bool shm_node_is_locked(int dir, const struct shm_node *node)
{
	u64 stamp = 0;
	bool alive;
	int fd = open_node(dir, node->number);

	if (fd < 0)
		return fd != -ESRCH;
	alive = is_locked(fd) && pread(fd, &stamp, sizeof(stamp), offsetof(struct hca_fabric_node, stamp)) > 0 &&
		stamp == hca_load(&node->head->stamp);
	close(fd);
	return alive;
}

int shm_node_pidfd(const struct shm_node *node)
{
	s32 pid = hca_load(&node->head->pid);
	u64 start = hca_load(&node->head->start);
	int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (fd < 0)
		return pid > 0 ? -errno : -ENOENT;
	if (start && start == start_time(pid))
		return fd;
	close(fd);
	return -ENOENT;
}

void shm_node_unmap(struct shm_node *node)
{
	if (node->head)
		munmap(node->head, node->bytes);
	*node = (struct shm_node){ .fd = -1 };
}

void shm_node_wake(struct hca_fabric_node *to)
{
	int saved = errno;

	syscall(SYS_futex, &to->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}
