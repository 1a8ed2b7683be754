/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ports: who has which, in each port space, among the processes of a fabric that see
 * the same network. The table is a file that they all map (softhca/abi/ports.h). Two IDs
 * may have one port on different addresses of one version, or on different versions.
 */
#include "rdmacm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim/hooks.h"
#include "softhca/abi/ports.h"
#include "wire/shm/file.h"

/* Those that are chosen, as Linux has them by default. */
#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_COUNT 28232u

#define RECENT_NS 3000000000ull
#define LOCK_NS 4000000000ull

#define FILE_BYTES (sizeof(struct hca_ports) + HCA_PORTS_MAX * sizeof(struct hca_ports_entry))

/* All under cm_lock. */
static struct hca_ports *table; /* NULL: not mapped yet */
static struct hca_ports_entry *entries; /* index 1 is the first */
static int file = -1;

/* --- the file --- */

/* The lock of a dead process is free; that of a stopped one isn't, so a wait for it has an end. */
static int lock_table(void)
{
	static const struct timespec turn = { .tv_nsec = 1000000 };
	u64 end = hca_now_ns() + LOCK_NS;
	int err;

	while ((err = flock(file, LOCK_EX | LOCK_NB) ? -errno : 0) == -EWOULDBLOCK || err == -EINTR) {
		if (hca_now_ns() >= end) {
			hca_log(HCA_LOG_WARN, "fabric: a process holds the table of ports, and seems to be stopped");
			return -ETIMEDOUT;
		}
		(void)nanosleep(&turn, NULL);
	}
	return err;
}

static void unlock_table(void)
{
	(void)flock(file, LOCK_UN);
}

/* The lock is held: nobody else looks at what isn't ready. Nothing is grown below what there is memory for. */
static int prepare(int fd, struct hca_ports *t)
{
	int err;

	if (t->magic)
		return t->magic == HCA_PORTS_MAGIC && t->version == HCA_PORTS_VERSION ? 0 : -EPROTO;
	err = shm_file_fill(fd, 0, sizeof(*t));
	if (err)
		return err;
	t->version = HCA_PORTS_VERSION;
	hca_store_release(&t->magic, HCA_PORTS_MAGIC);
	return 0;
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
	fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = -errno;
	close(dir);
	return fd;
}

/* A file that is too short for its head is a new one, which the first who has the lock makes long enough. */
static int map_file(int fd)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < (off_t)FILE_BYTES) {
		int err = shm_file_fill(fd, 0, sizeof(struct hca_ports));

		if (err)
			return err;
		if (ftruncate(fd, (off_t)FILE_BYTES))
			return -errno;
	}
	at = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	if (prepare(fd, at)) {
		munmap(at, FILE_BYTES);
		return -EPROTO;
	}
	table = at;
	entries = (struct hca_ports_entry *)(table + 1) - 1;
	return 0;
}

/* Return: 0, and the table is locked; or a negative errno. */
static int enter(void)
{
	int err;

	if (file < 0) {
		int fd = open_file();

		if (fd < 0)
			return fd;
		file = fd;
	}
	err = lock_table();
	if (err || table)
		return err;
	err = map_file(file);
	if (err) {
		unlock_table();
		hca_log(HCA_LOG_ERR, "fabric: no table of ports: %s", strerror(-err));
	}
	return err;
}

void cm_port_forget(void)
{
	if (file >= 0)
		close(file);
	file = -1;
	if (table)
		munmap(table, FILE_BYTES);
	table = NULL;
}

/* --- entries --- */

static u32 room(void)
{
	return HCA_MIN(hca_load(&table->room), HCA_PORTS_MAX);
}

/* A number that can't be ends a list. */
static struct hca_ports_entry *at(u32 index)
{
	return index && index <= room() ? &entries[index] : NULL;
}

static u32 *bucket(u16 port)
{
	return &table->first[port % HCA_PORTS_BUCKETS];
}

static bool is_own(const struct hca_ports_entry *e)
{
	return e->stamp == cm_manager()->stamp;
}

static bool is_alive(const struct hca_ports_entry *e)
{
	return is_own(e) || softhca_node_stamp(e->node) == e->stamp;
}

static struct cm_addr addr_of(const struct hca_ports_entry *e)
{
	struct cm_addr a = { .scope = e->scope, .port = e->port, .version = e->version };

	memcpy(a.ip, e->ip, sizeof(a.ip));
	return a;
}

static void take_out(u32 *link, u32 index)
{
	struct hca_ports_entry *e = &entries[index];

	hca_store_release(link, e->next);
	e->port = 0;
	e->next = table->free;
	hca_store_release(&table->free, index);
}

static int grow(void)
{
	u32 have = room(), i;
	u64 from = sizeof(*table) + (u64)have * sizeof(*entries);
	int err;

	if (have + HCA_PORTS_CHUNK > HCA_PORTS_MAX)
		return -EADDRNOTAVAIL;
	err = shm_file_fill(file, from, HCA_PORTS_CHUNK * sizeof(*entries));
	if (err)
		return err;
	for (i = have + 1; i <= have + HCA_PORTS_CHUNK; i++)
		entries[i] = (struct hca_ports_entry){ .next = i < have + HCA_PORTS_CHUNK ? i + 1 : table->free };
	hca_store_release(&table->room, have + HCA_PORTS_CHUNK);
	hca_store_release(&table->free, have + 1);
	return 0;
}

/* The entries of processes that have ended. */
static void sweep(void)
{
	struct hca_ports_entry *e;
	u32 b, steps, *link;

	for (b = 0; b < HCA_PORTS_BUCKETS; b++) {
		link = &table->first[b];
		for (steps = room(); steps && (e = at(*link)); steps--) {
			if (is_alive(e))
				link = &e->next;
			else
				take_out(link, *link);
		}
	}
}

static int new_entry(u32 *index)
{
	int err = 0;

	if (!at(table->free) && room() == HCA_PORTS_MAX)
		sweep();
	if (!at(table->free))
		err = grow();
	if (err)
		return err;
	*index = table->free;
	hca_store_release(&table->free, at(*index)->next);
	return 0;
}

/* --- who has what --- */

static bool overlaps(const struct cm_addr *a, const struct cm_addr *b)
{
	return a->version == b->version && (cm_addr_is_any(a) || cm_addr_is_any(b) || cm_addr_same(a, b));
}

/* Does another one have the port, in a way that @judge objects to? What the dead had is taken out on the way. */
static bool taken(const struct cm_id *id, u16 port,
		  bool (*judge)(const struct cm_id *id, const struct hca_ports_entry *e))
{
	u32 *link = bucket(port), steps;
	struct hca_ports_entry *e;

	for (steps = room(); steps && (e = at(*link)); steps--) {
		if (e->space != id->ib.ps || e->port != port || *link == id->entry || !judge(id, e)) {
			link = &e->next;
			continue;
		}
		if (is_alive(e))
			return true;
		take_out(link, *link);
	}
	return false;
}

static bool objects_to_bind(const struct cm_id *id, const struct hca_ports_entry *e)
{
	const struct cm_addr a = addr_of(e);

	return overlaps(&a, &id->src) && !(id->reuse && e->flags & HCA_PORTS_REUSE);
}

/* Where one listens, nobody else does, whatever they say of sharing. */
static bool objects_to_listen(const struct cm_id *id, const struct hca_ports_entry *e)
{
	const struct cm_addr a = addr_of(e);

	return overlaps(&a, &id->src) && e->flags & HCA_PORTS_LISTENS;
}

/* A chosen port is nobody's. */
static bool objects_to_choice(const struct cm_id *id, const struct hca_ports_entry *e)
{
	(void)id;
	(void)e;
	return true;
}

static int choose(struct cm_id *id)
{
	u32 start = hca_random_u32() % EPHEMERAL_COUNT, i;
	u16 port;

	for (i = 0; i < EPHEMERAL_COUNT; i++) {
		port = (u16)(EPHEMERAL_FIRST + (start + i) % EPHEMERAL_COUNT);
		if (!taken(id, port, objects_to_choice)) {
			id->src.port = port;
			return 0;
		}
	}
	return -EADDRNOTAVAIL;
}

static int put_in(struct cm_id *id)
{
	const struct cm_manager *m = cm_manager();
	struct hca_ports_entry *e;
	u32 index, *first = bucket(id->src.port);
	int err = new_entry(&index);

	if (err)
		return err;
	e = &entries[index];
	*e = (struct hca_ports_entry){
		.next = *first,
		.space = (u16)id->ib.ps,
		.port = id->src.port,
		.version = id->src.version,
		.flags = id->reuse ? HCA_PORTS_REUSE : 0,
		.scope = id->src.scope,
		.node = m->node,
		.qpn = m->qpn,
		.stamp = m->stamp,
	};
	memcpy(e->ip, id->src.ip, sizeof(e->ip));
	hca_store_release(first, index);
	id->entry = index;
	return 0;
}

int cm_port_take(struct cm_id *id)
{
	bool chosen = !id->src.port;
	int err = enter();

	if (err)
		return err;
	if (chosen)
		err = choose(id);
	else if (taken(id, id->src.port, objects_to_bind))
		err = -EADDRINUSE;
	if (!err)
		err = put_in(id);
	if (err && chosen)
		id->src.port = 0;
	unlock_table();
	return err;
}

void cm_port_give(struct cm_id *id)
{
	struct hca_ports_entry *e;
	u32 *link, steps;

	if (!id->entry || id->life != cm_life || enter())
		return;
	link = bucket(id->src.port);
	for (steps = room(); steps && at(*link) && *link != id->entry; steps--)
		link = &at(*link)->next;
	e = at(*link);
	if (e && *link == id->entry && is_own(e)) {
		if (e->flags & HCA_PORTS_LISTENS)
			table->closed[id->src.port % HCA_PORTS_BUCKETS] = hca_now_ns();
		take_out(link, id->entry);
	}
	id->entry = 0;
	unlock_table();
}

int cm_port_listen(struct cm_id *id)
{
	int err = enter();

	if (err)
		return err;
	if (taken(id, id->src.port, objects_to_listen))
		err = -EADDRINUSE;
	else
		entries[id->entry].flags |= (u8)(HCA_PORTS_LISTENS | (id->afonly ? HCA_PORTS_AFONLY : 0));
	unlock_table();
	return err;
}

/* How well a listener fits: an address before a wildcard, and that before one of the other version; 0: not at all. */
static u32 fits(const struct hca_ports_entry *e, const struct cm_addr *a)
{
	const struct cm_addr has = addr_of(e);

	if (cm_addr_same(&has, a))
		return 3;
	if (!cm_addr_is_any(&has))
		return 0;
	if (has.version == a->version)
		return 2;
	return has.version == 6 && !(e->flags & HCA_PORTS_AFONLY);
}

/* The best of those that listen, or of those that don't. Return: its index; 0: there is none */
static u32 find(enum rdma_port_space ps, const struct cm_addr *a, bool listens)
{
	u32 best = 0, found = 0, steps, index = *bucket(a->port), fit;
	const struct hca_ports_entry *e;

	for (steps = room(); steps && (e = at(index)); steps--, index = e->next) {
		if (e->space != ps || e->port != a->port || !(e->flags & HCA_PORTS_LISTENS) == listens)
			continue;
		fit = fits(e, a);
		if (fit > best && is_alive(e)) {
			best = fit;
			found = index;
		}
	}
	return found;
}

u32 cm_port_find(enum rdma_port_space ps, const struct cm_addr *a, u64 *stamp)
{
	u32 found, qpn;

	if (enter())
		return 0;
	found = find(ps, a, true);
	qpn = found ? entries[found].qpn : 0;
	*stamp = found ? entries[found].stamp : 0;
	unlock_table();
	return qpn;
}

bool cm_port_may_open(enum rdma_port_space ps, const struct cm_addr *a)
{
	u64 closed;
	bool may;

	if (enter())
		return false;
	closed = table->closed[a->port % HCA_PORTS_BUCKETS];
	may = (closed && hca_now_ns() - closed < RECENT_NS) || find(ps, a, false);
	unlock_table();
	return may;
}
