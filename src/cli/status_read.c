/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads a fabric's files for softhca status; see status.h. */
#include "status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* So often an entry or a lane is read that changes meanwhile; its writer needs a few stores. */
#define TRIES 64u
/* A key's index has 24 bits. */
#define KEYS_MAX (1u << 24)
#define CHUNK_BYTES 65536u
#define NAME_BYTES 32u

/* --- files --- */

int status_open(const char *path, int *dir)
{
	struct stat st;

	*dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*dir < 0 && errno == ENOENT)
		return 0;
	if (*dir < 0 || fstat(*dir, &st)) {
		cli_error("status", "%s: %s", path, strerror(errno));
		if (*dir >= 0)
			close(*dir);
		return -1;
	}
	if (st.st_uid == geteuid() && !(st.st_mode & 077))
		return 1;
	cli_error("status", "%s is no directory of yours with mode 0700", path);
	close(*dir);
	return -1;
}

static bool is_number(unsigned long n)
{
	return n >= 1 && n < HCA_FABRIC_NODES;
}

static void ring_name(char *name, u32 from, u32 to)
{
	snprintf(name, NAME_BYTES, "ring.%u.%u", from, to);
}

/* A name that is written in another way, such as with zeros in front, isn't the one that these numbers have. */
static void note_name(struct status_files *out, const char *name)
{
	char again[NAME_BYTES], *end;
	unsigned long from, to;

	if (strncmp(name, "ring.", 5) != 0)
		return;
	from = strtoul(name + 5, &end, 10);
	if (*end != '.' || !is_number(from))
		return;
	to = strtoul(end + 1, NULL, 10);
	if (!is_number(to))
		return;
	ring_name(again, (u32)from, (u32)to);
	if (!strcmp(name, again))
		out->ring[from][to / 64] |= (u64)1 << (to % 64);
}

bool status_list(int dir, struct status_files *out)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	memset(out, 0, sizeof(*out));
	if (!d) {
		cli_error("status", "the directory can't be read: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((e = readdir(d)))
		note_name(out, e->d_name);
	closedir(d);
	return true;
}

/*
 * Return: a descriptor; -1: there is no such file, or *@why says what is wrong with it. A name may be anything's: a pipe isn't waited
 * for, a link isn't followed.
 */
static int open_file(int dir, const char *name, u64 *bytes, const char **why)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	*why = NULL;
	if (fd < 0) {
		if (errno != ENOENT)
			*why = errno == ELOOP ? "it is no plain file" : strerror(errno);
		return -1;
	}
	if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
		*bytes = (u64)st.st_size;
		return fd;
	}
	*why = "it is no plain file";
	close(fd);
	return -1;
}

static bool read_at(int fd, u64 at, void *to, size_t bytes)
{
	ssize_t n;

	do
		n = pread(fd, to, bytes, (off_t)at);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)bytes;
}

static bool is_locked(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return !fcntl(fd, F_OFD_GETLK, &whole) && whole.l_type != F_UNLCK;
}

/* --- the process --- */

/* For a terminal: the program chose its name. */
static void copy_printable(char *to, size_t size, const char *from, const char *end)
{
	size_t i;

	for (i = 0; from + i < end && i + 1 < size; i++)
		to[i] = (char)(from[i] >= ' ' && from[i] <= '~' ? from[i] : '?');
	to[i] = 0;
}

/* @ticks after the machine started */
static time_t since(unsigned long long ticks)
{
	struct timespec now, up;
	long hz = sysconf(_SC_CLK_TCK);

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return now.tv_sec - up.tv_sec + (time_t)(ticks / (unsigned long long)(hz > 0 ? hz : 100));
}

/* The name and the start come from one read, so they are of one process: that which wrote the file, if the start is the same. */
static void look_at_process(struct status_node *n)
{
	char path[40], text[1024], *name, *end, *at;
	unsigned long long start;
	ssize_t got = -1;
	int fd, i;

	if (n->head.pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/stat", n->head.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[got > 0 ? got : 0] = 0;
	/* The second field is the name in brackets, with anything in it; the 22nd is the 20th behind it. */
	name = strchr(text, '(');
	end = strrchr(text, ')');
	for (at = end, i = 2; at && i < 22; i++)
		at = strchr(at + 1, ' ');
	if (!name || !at)
		return;
	start = strtoull(at, NULL, 10);
	if (!start || start != n->head.start)
		return;
	copy_printable(n->command, sizeof(n->command), name + 1, end);
	n->started = since(start);
	n->known = true;
}

/* --- tables --- */

/* What the entries of both tables begin with. */
struct entry {
	u32 seq;
	u32 id;
};

/**
 * struct table - one of a node's, and what becomes of its entries
 * @take: gets each entry that has a number. Return: 1: taken; 0: it makes no sense; -1: no memory
 */
struct table {
	u64 at;
	u32 slots;
	u32 each;
	int (*take)(struct status_node *n, u32 slot, const void *entry, void *ctx);
	void *ctx;
};

static struct entry entry_of(const void *e)
{
	struct entry head;

	memcpy(&head, e, sizeof(head));
	return head;
}

/*
 * Read twice, the same, and not in the middle of a change: then nothing was written during the first read, as a writer makes the
 * number odd before it and another one after it.
 */
static bool is_whole(const void *once, const void *again, size_t each)
{
	return !(entry_of(once).seq & 1) && !memcmp(once, again, each);
}

static bool read_entry(int fd, u64 at, void *once, size_t each)
{
	u64 again[sizeof(struct hca_fabric_key) / sizeof(u64)];
	u32 tries;

	for (tries = 0; tries < TRIES; tries++)
		if (read_at(fd, at, once, each) && read_at(fd, at, again, each) && is_whole(once, again, each))
			return true;
	return false;
}

/* Slots @first and on, of which @count were read twice. Return: false: no memory */
static bool take_chunk(int fd, struct status_node *n, const struct table *t, u32 first, u32 count, char *once,
		       const char *again)
{
	u32 i;
	int took;

	for (i = 0; i < count; i++) {
		char *e = once + (size_t)i * t->each;
		bool whole = is_whole(e, again + (size_t)i * t->each, t->each) ||
			     read_entry(fd, t->at + (u64)(first + i) * t->each, e, t->each);

		if (whole && !entry_of(e).id)
			continue;
		took = whole ? t->take(n, first + i, e, t->ctx) : 0;
		if (took < 0)
			return false;
		if (!took)
			n->damaged++;
	}
	return true;
}

/* Where nothing was written, there is nothing to read. Return: the next slot that may have been written */
static u32 skip_hole(int fd, const struct table *t, u32 slot)
{
	u64 at = t->at + (u64)slot * t->each;
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? t->slots : slot;
	if ((u64)data <= at)
		return slot;
	return ((u64)data - t->at) / t->each < t->slots ? (u32)(((u64)data - t->at) / t->each) : t->slots;
}

/* Return: NULL, or what is wrong */
static const char *read_table(int fd, struct status_node *n, const struct table *t)
{
	static u64 once[CHUNK_BYTES / sizeof(u64)], again[CHUNK_BYTES / sizeof(u64)];
	u32 per_chunk = CHUNK_BYTES / t->each, slot = 0, count;

	while ((slot = skip_hole(fd, t, slot)) < t->slots) {
		u64 at = t->at + (u64)slot * t->each;

		count = t->slots - slot < per_chunk ? t->slots - slot : per_chunk;
		if (!read_at(fd, at, once, (size_t)count * t->each) || !read_at(fd, at, again, (size_t)count * t->each))
			return "it became shorter while it was read";
		if (!take_chunk(fd, n, t, slot, count, (char *)once, (const char *)again))
			return strerror(ENOMEM);
		slot += count;
	}
	return NULL;
}

/* Room for one more in an array that grows by doubling: @have of a power of two, or none, are full. */
static void *grown(void *array, size_t have, size_t each)
{
	if (have & (have - 1))
		return array;
	return reallocarray(array, have ? 2 * have : 1, each);
}

static int take_qp(struct status_node *n, u32 slot, const void *entry, void *ctx)
{
	struct hca_fabric_qp qp, *more;

	(void)ctx;
	memcpy(&qp, entry, sizeof(qp));
	if (qp.qpn >> HCA_FABRIC_QPN_BITS != n->number || (qp.qpn & (n->head.qp_slots - 1)) != slot ||
	    qp.state >= HCA_QPS_COUNT || !status_type_name(qp.type))
		return 0;
	/* It was destroyed, or might as well have been. */
	if (qp.state == HCA_QPS_RESET)
		return 1;
	more = grown(n->qp, n->qps, sizeof(qp));
	if (!more)
		return -1;
	n->qp = more;
	n->qp[n->qps++] = qp;
	return 1;
}

static int take_key(struct status_node *n, u32 slot, const void *entry, void *ctx)
{
	const bool *with_keys = ctx;
	struct hca_fabric_key key, *more;

	memcpy(&key, entry, sizeof(key));
	if (key.key >> 8 != slot)
		return 0;
	if (*with_keys) {
		more = grown(n->key, n->keys, sizeof(key));
		if (!more)
			return -1;
		n->key = more;
		n->key[n->keys] = key;
	}
	n->keys++;
	n->key_bytes = key.length > UINT64_MAX - n->key_bytes ? UINT64_MAX : n->key_bytes + key.length;
	return 1;
}

/* --- nodes --- */

static bool fits(const struct table *t, u64 bytes)
{
	return !(t->at & 63) && t->at >= sizeof(struct hca_fabric_node) && t->at <= bytes &&
	       t->slots <= (bytes - t->at) / t->each;
}

/* Whatever is in the file. Return: NULL, or what is wrong; @n->head can be used then */
static const char *check_head(const struct status_node *n)
{
	const struct hca_fabric_node *h = &n->head;

	if (h->magic != HCA_FABRIC_MAGIC)
		return "it is no node's file";
	if (h->version != HCA_FABRIC_VERSION)
		return "it is of another version of softhca";
	if (h->number != n->number)
		return "it is another node's";
	if (!h->qp_slots || h->qp_slots & (h->qp_slots - 1) || h->qp_slots > HCA_FABRIC_QPNS || h->key_slots > KEYS_MAX)
		return "its tables make no sense";
	return NULL;
}

/*
 * Counters change one by one, and no number says when: each is what it was at some moment. Of a queue pair that has none, or shares its
 * place with another one, they aren't known.
 */
static bool read_counts(int fd, struct status_node *n)
{
	const struct hca_fabric_node *h = &n->head;
	size_t i;

	n->count = calloc(n->qps ? n->qps : 1, sizeof(*n->count));
	if (!n->count)
		return false;
	for (i = 0; i < n->qps && h->counts; i++) {
		struct hca_fabric_count *c = &n->count[i];
		u64 slot = n->qp[i].qpn & (h->qp_slots - 1);

		if (!read_at(fd, h->counts + slot * sizeof(*c), c, sizeof(*c)) || c->qpn != n->qp[i].qpn)
			memset(c, 0, sizeof(*c));
	}
	return true;
}

static const char *read_tables(int fd, struct status_node *n, u64 bytes, bool with_keys)
{
	const struct hca_fabric_node *h = &n->head;
	const struct table qps = { h->qps, h->qp_slots, sizeof(struct hca_fabric_qp), take_qp, NULL };
	const struct table keys = { h->keys, h->key_slots, sizeof(struct hca_fabric_key), take_key, &with_keys };
	const struct table counts = { h->counts, h->qp_slots, sizeof(struct hca_fabric_count), NULL, NULL };
	const char *why;

	if (!fits(&qps, bytes) || !fits(&keys, bytes) || (h->counts && !fits(&counts, bytes)))
		return "its tables are beyond its end";
	why = read_table(fd, n, &qps);
	if (!why && !read_counts(fd, n))
		why = strerror(ENOMEM);
	return why ? why : read_table(fd, n, &keys);
}

/* The magic is written last: what is read after it was seen is complete. Return: is the node ready? */
static bool read_head(int fd, struct status_node *n)
{
	return read_at(fd, 0, &n->head, sizeof(n->head)) && n->head.magic &&
	       read_at(fd, 0, &n->head, sizeof(n->head)) && n->head.magic;
}

static void read_live(int fd, u64 bytes, bool with_keys, struct status_node *n)
{
	if (!read_head(fd, n)) {
		n->state = STATUS_STARTING;
		return;
	}
	n->why = check_head(n);
	if (!n->why)
		n->why = read_tables(fd, n, bytes, with_keys);
	n->state = n->why ? STATUS_UNREADABLE : STATUS_LIVE;
	if (!n->why)
		look_at_process(n);
}

bool status_read_node(int dir, u32 number, bool with_keys, struct status_node *n)
{
	char name[NAME_BYTES];
	u64 bytes;
	int fd;

	memset(n, 0, sizeof(*n));
	n->number = number;
	n->state = STATUS_UNREADABLE;
	snprintf(name, sizeof(name), "node.%u", number);
	fd = open_file(dir, name, &bytes, &n->why);
	if (fd < 0)
		return n->why;
	if (is_locked(fd)) {
		read_live(fd, bytes, with_keys, n);
	} else {
		n->state = STATUS_LEFTOVER;
		if (!read_head(fd, n) || check_head(n))
			n->head.pid = 0;
	}
	close(fd);
	return true;
}

u64 status_plain(const struct hca_fabric_node *h)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < h->marks && i < HCA_FABRIC_MARKS; i++)
		n += h->uses[i].plain;
	return n;
}

void status_free_node(struct status_node *n)
{
	free(n->qp);
	free(n->count);
	free(n->key);
	n->qp = NULL;
	n->key = NULL;
}

/* --- rings --- */

static bool good_size(u32 size)
{
	return size >= HCA_FABRIC_LANE_MIN && size <= HCA_FABRIC_LANE_MAX && !(size & (size - 1));
}

static const char *check_ring(const struct hca_fabric_ring *h, const struct status_ring *r, u64 bytes)
{
	if (h->magic != HCA_FABRIC_MAGIC)
		return "it is no ring's file";
	if (h->version != HCA_FABRIC_VERSION)
		return "it is of another version of softhca";
	if (h->from != r->from || h->to != r->to)
		return "it is another ring's";
	if (!good_size(h->size[0]) || !good_size(h->size[1]) ||
	    bytes < HCA_FABRIC_RING_DATA + (u64)h->size[0] + h->size[1])
		return "its sizes make no sense";
	return NULL;
}

/* Both numbers move while they are read. */
static void read_lane(int fd, unsigned int which, struct status_lane *out)
{
	u64 at = offsetof(struct hca_fabric_ring, lane) + which * sizeof(struct hca_fabric_lane);
	struct hca_fabric_lane lane;
	u32 tries;

	for (tries = 0; tries < TRIES && !out->sane; tries++) {
		if (!read_at(fd, at, &lane, sizeof(lane)))
			return;
		out->written = lane.head;
		out->waiting = lane.head - lane.tail;
		out->blocked = lane.wanted;
		out->sane = lane.tail <= lane.head && out->waiting <= out->size;
	}
}

bool status_read_ring(int dir, u32 from, u32 to, const u64 *stamp, struct status_ring *r)
{
	struct hca_fabric_ring head;
	char name[NAME_BYTES];
	unsigned int i;
	u64 bytes;
	int fd;

	*r = (struct status_ring){ .from = from, .to = to, .state = STATUS_UNREADABLE };
	ring_name(name, from, to);
	fd = open_file(dir, name, &bytes, &r->why);
	if (fd < 0)
		return r->why;
	if (!read_at(fd, 0, &head, sizeof(head)))
		r->why = "it is too short";
	else
		r->why = check_ring(&head, r, bytes);
	if (!r->why) {
		bool live = stamp[from] && stamp[from] == head.from_stamp && stamp[to] && stamp[to] == head.to_stamp;

		r->state = live ? STATUS_LIVE : STATUS_LEFTOVER;
		for (i = 0; i < HCA_FABRIC_LANES; i++) {
			r->lane[i].size = head.size[i];
			read_lane(fd, i, &r->lane[i]);
		}
	}
	close(fd);
	return true;
}
