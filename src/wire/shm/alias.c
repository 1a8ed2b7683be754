/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory of another process that this one maps as well, or can; see alias.h.
 *
 * The system alone is believed: what it says of both processes' mappings. The peer's
 * must be one shared mapping of a file over all of the key's bytes, and one of ours must have the
 * same part of the same file. If none has, and the file has a name by which we may open it, we map it (remap.c). We don't store through the program's mapping, which it may
 * unmap at any time and map something else in its place, but through one that the system
 * makes of it (mremap() of nothing). Between our look and this the program may have been
 * faster, so we look at what was made.
 *
 * Two mappings with the numbers of one file are of the same memory where each file has
 * numbers of its own and pages that all its mappings share. That holds for memfd and
 * anonymous shared memory, for large pages, and for regular files of the file systems below; not for
 * devices, for files of the system's own that all have one number, for segments of System
 * V (whose numbers another file may have), or where layers of file systems hide each other's.
 */
#include "wire/shm/alias.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "wire/shm/maps.h"
#include "wire/shm/remap.h"

#define USE_BYTES 8192u /* of a piece cost as much as one more use */
#define LOOK 128u
#define LOOK_MAX (1u << 24)
#define ALIASES 64u
#define NAME_BYTES 512u

/* --- when to look --- */

bool shm_alias_count(struct shm_alias_peer *p, const struct hca_fabric_key *key, u32 bytes)
{
	struct shm_alias_count *c = &p->count[(key->key >> 8) & (SHM_ALIAS_KEYS - 1)];
	u32 used = hca_load(&c->used) + 1 + bytes / USE_BYTES, enough = hca_load(&c->enough);

	/* Keys that share a count are looked at in turn: the count goes on. */
	if (hca_load(&c->seq) != key->seq || !enough) {
		hca_store(&c->seq, key->seq);
		hca_store(&c->enough, LOOK);
		enough = LOOK;
	}
	if (hca_likely(used < enough)) {
		hca_store(&c->used, used);
		return false;
	}
	hca_store(&c->used, 0u);
	hca_store(&c->enough, HCA_MIN(2 * enough, LOOK_MAX));
	return true;
}

/* --- which files --- */

static bool begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

/* Of a name that says so the part in front. */
static bool is_deleted(const char *name, size_t *len)
{
	static const char end[] = " (deleted)";
	size_t n = strlen(name);

	if (n < sizeof(end) || strcmp(name + n - (sizeof(end) - 1), end) != 0)
		return false;
	*len = n - (sizeof(end) - 1);
	return true;
}

static u64 dev_of(const struct stat *st)
{
	return (u64)major(st->st_dev) << 32 | minor(st->st_dev);
}

/* The file system that the system itself has for memory. */
static bool is_of_memory(const struct shm_mapping *m)
{
	struct stat st;
	bool same;
	int fd;

	if (!begins(m->name, "/memfd:") && strcmp(m->name, "/dev/zero (deleted)") != 0)
		return false;
	fd = memfd_create("softhca", MFD_CLOEXEC);
	if (fd < 0)
		return false;
	same = !fstat(fd, &st) && dev_of(&st) == m->dev;
	close(fd);
	return same;
}

/* Each of its files has numbers of its own, and one set of pages. */
static bool is_plain_file_system(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs))
		return false;
	return fs.f_type == TMPFS_MAGIC || fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC;
}

/* A file that has no name any more: its directory has one, and isn't where devices are. */
static bool was_regular(const struct shm_mapping *m, size_t len)
{
	char dir[NAME_BYTES];
	struct stat st;

	while (len > 1 && m->name[len - 1] != '/')
		len--;
	memcpy(dir, m->name, len);
	dir[len] = 0;
	if (stat(dir, &st) || !S_ISDIR(st.st_mode) || dev_of(&st) != m->dev || !is_plain_file_system(dir))
		return false;
	return stat("/dev", &st) || dev_of(&st) != m->dev;
}

/* Does its name lead to it? */
static bool is_named(const struct shm_mapping *m)
{
	struct stat st;

	return m->name[0] == '/' && !stat(m->name, &st) && S_ISREG(st.st_mode) && dev_of(&st) == m->dev &&
	       st.st_ino == m->ino && is_plain_file_system(m->name);
}

static bool is_regular(const struct shm_mapping *m)
{
	size_t len;

	if (m->name[0] != '/' || strlen(m->name) >= NAME_BYTES)
		return false;
	return is_of_memory(m) || is_named(m) || (is_deleted(m->name, &len) && was_regular(m, len));
}

/* --- what the peer has --- */

/**
 * struct part - where in a file a key's bytes are
 * @first, @last: their addresses in the peer
 * @guard: an address that the peer must have; @is_peer: it has
 * @file: the mapping of the file, if there is one over all bytes; its name is @name
 */
struct part {
	u64 first;
	u64 last;
	u64 guard;
	bool is_peer;
	bool found;
	struct shm_mapping file;
	char name[NAME_BYTES];
};

static bool look_at_peer(void *ctx, const struct shm_mapping *m)
{
	size_t bytes = strlen(m->name) + 1;
	struct part *p = ctx;

	if (p->guard >= m->start && p->guard < m->end)
		p->is_peer = m->reads && m->writes && !m->shared;
	if (p->first >= m->start && p->last < m->end && m->shared && m->reads && bytes <= NAME_BYTES) {
		p->found = true;
		p->file = *m;
		memcpy(p->name, m->name, bytes);
		p->file.name = p->name;
	}
	return false;
}

static bool find_in_peer(struct part *p, s32 pid, const struct hca_fabric_key *key, u64 guard)
{
	int err;

	p->first = key->base;
	p->last = key->base + key->length - 1;
	p->guard = guard;
	p->is_peer = p->found = false;
	err = shm_maps_each(pid, look_at_peer, p);
	return (!err || err == -E2BIG) && p->is_peer && p->found;
}

static bool same_file(const struct shm_mapping *a, const struct shm_mapping *b)
{
	return a->shared && b->shared && a->dev == b->dev && a->ino == b->ino && !strcmp(a->name, b->name);
}

/* Are all bytes of the key in the mapping @m? */
static bool covers(const struct shm_mapping *m, const struct part *p)
{
	u64 off = p->file.off + (p->first - p->file.start), bytes = p->last - p->first + 1, room = m->end - m->start;

	return bytes <= room && off - m->off <= room - bytes;
}

/* --- what we have --- */

/**
 * struct own - a mapping of the program's
 * @best: one that can be written is better
 */
struct own {
	const struct part *part;
	bool found;
	struct shm_mapping best;
};

static bool look_at_own(void *ctx, const struct shm_mapping *m)
{
	struct own *o = ctx;

	if (!m->reads || !same_file(m, &o->part->file) || !covers(m, o->part) || (o->found && !m->writes))
		return false;
	o->found = true;
	o->best = *m;
	o->best.name = o->part->name;
	return m->writes;
}

/* struct made - what the system says of the mapping that it made; @ok: it is what we wanted */
struct made {
	const struct shm_mapping *wanted;
	u64 at;
	bool ok;
};

/* The system joins mappings that go on in each other. */
static bool look_at_made(void *ctx, const struct shm_mapping *m)
{
	struct made *d = ctx;
	u64 len = d->wanted->end - d->wanted->start;

	if (d->at < m->start || d->at >= m->end)
		return false;
	d->ok = same_file(m, d->wanted) && m->end - d->at >= len && m->off + (d->at - m->start) == d->wanted->off &&
		m->reads && m->writes == d->wanted->writes;
	return true;
}

/* Children don't get it, and it is in no core file: the program's own mapping is. */
static u8 *keep(const struct shm_mapping *of, void *at)
{
	size_t len = (size_t)(of->end - of->start);
	struct made d = { .wanted = of, .at = (uintptr_t)at };

	if (at == MAP_FAILED)
		return NULL;
	if (!madvise(at, len, MADV_DONTFORK)) {
		(void)madvise(at, len, MADV_DONTDUMP);
		shm_maps_each(0, look_at_made, &d);
	}
	if (d.ok)
		return at;
	munmap(at, len);
	return NULL;
}

static u8 *make(const struct shm_mapping *of)
{
	size_t len = (size_t)(of->end - of->start);

	return keep(of, mremap((void *)(uintptr_t)of->start, 0, len, MREMAP_MAYMOVE));
}

/* --- large pages, of which the system makes no second mapping: there is one of the file, if that can be opened --- */

static bool is_file_of(const struct shm_mapping *m, const struct stat *st)
{
	return S_ISREG(st->st_mode) && dev_of(st) == m->dev && st->st_ino == m->ino;
}

/* Asked before it is opened: who closes a file loses all locks of the process on it. keep() sees if the path leads elsewhere by then. */
static int open_large_at(const struct shm_mapping *m, const char *path)
{
	struct statfs fs;
	struct stat st;

	if (statfs(path, &fs) || (u32)fs.f_type != HUGETLBFS_MAGIC || stat(path, &st) || !is_file_of(m, &st))
		return -1;
	return open(path, (m->writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* By a descriptor of the program: a memfd has no name. Files of other names aren't asked, and so don't keep us waiting. */
static int open_by_descriptor(const struct shm_mapping *m)
{
	char path[NAME_MAX + sizeof("/proc/self/fd/")], name[PATH_MAX];
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	ssize_t len;
	int fd = -1;

	while (fd < 0 && d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		len = readlink(path, name, sizeof(name));
		if (len > 0 && (size_t)len == strlen(m->name) && !memcmp(name, m->name, (size_t)len))
			fd = open_large_at(m, path);
	}
	if (d)
		closedir(d);
	return fd;
}

static int open_large(const struct shm_mapping *m)
{
	int fd = m->name[0] == '/' ? open_large_at(m, m->name) : -1;

	return fd >= 0 ? fd : open_by_descriptor(m);
}

static u8 *make_large(const struct shm_mapping *of)
{
	int fd = open_large(of);
	void *at;

	if (fd < 0)
		return NULL;
	/* The program's mapping has reserved what it needs. */
	at = mmap(NULL, (size_t)(of->end - of->start), PROT_READ | (of->writes ? PROT_WRITE : 0),
		  MAP_SHARED | MAP_NORESERVE, fd, (off_t)of->off);
	close(fd);
	return keep(of, at);
}

/* One of the program's. */
static u8 *make_of_own(const struct shm_mapping *of)
{
	return is_regular(of) ? make(of) : make_large(of);
}

/* One of the peer's. */
static u8 *make_of_peers(const struct shm_mapping *of)
{
	return is_named(of) ? keep(of, shm_remap(of)) : NULL;
}

static struct shm_alias *new_alias(struct shm_aliases *a, const struct shm_mapping *of,
				   u8 *(*make_of)(const struct shm_mapping *of))
{
	size_t bytes = strlen(of->name) + 1;
	struct shm_alias *n;

	if (a->n >= ALIASES)
		return NULL;
	n = hca_alloc(sizeof(*n) + bytes, HCA_MAY_SLEEP);
	if (!n)
		return NULL;
	n->at = make_of(of);
	if (!n->at) {
		hca_free(n);
		return NULL;
	}
	n->len = of->end - of->start;
	n->off = of->off;
	n->dev = of->dev;
	n->ino = of->ino;
	n->writes = of->writes;
	memcpy(n->name, of->name, bytes);
	n->next = a->all;
	a->all = n;
	a->n++;
	return n;
}

/* The one that there is for the part; one that can be written is better. */
static struct shm_alias *old_alias(const struct shm_aliases *a, const struct part *p)
{
	struct shm_alias *n, *best = NULL;

	for (n = a->all; n && !(best && best->writes); n = n->next) {
		const struct shm_mapping m = {
			.end = n->len, .off = n->off, .dev = n->dev, .ino = n->ino, .shared = true, .name = n->name
		};

		if (same_file(&m, &p->file) && covers(&m, p) && (!best || n->writes))
			best = n;
	}
	return best;
}

static struct shm_alias *get_alias(struct shm_aliases *a, const struct part *p)
{
	struct shm_alias *n = old_alias(a, p), *made;
	struct own o = { .part = p };
	struct shm_mapping m;
	int err;

	if (n && n->writes >= p->file.writes)
		return n;
	err = shm_maps_each(0, look_at_own, &o);
	if (err && err != -E2BIG)
		return n;
	if (o.found) {
		if (n && !o.best.writes)
			return n;
		made = new_alias(a, &o.best, make_of_own);
		return made ? made : n;
	}
	if (err || n)
		return n;
	m = p->file;
	made = new_alias(a, &m, make_of_peers);
	if (!made && m.writes) {
		m.writes = false;
		made = new_alias(a, &m, make_of_peers);
	}
	return made;
}

static void put_alias(struct shm_aliases *a, struct shm_alias *n, bool child)
{
	struct shm_alias **at;

	if (n->refs)
		return;
	for (at = &a->all; *at != n; at = &(*at)->next)
		;
	*at = n->next;
	a->n--;
	if (!child)
		munmap(n->at, (size_t)n->len);
	hca_free(n);
}

/* --- keys --- */

/* The alias keeps the file from being replaced by one with its numbers: so what the peer has now is the same one. */
static bool still_has(struct part *now, const struct part *was, s32 pid, const struct hca_fabric_key *key)
{
	return find_in_peer(now, pid, key, was->guard) && same_file(&now->file, &was->file) &&
	       now->file.off + (now->first - now->file.start) == was->file.off + (was->first - was->file.start);
}

struct shm_alias_key *shm_alias_look(struct shm_aliases *a, u32 number, s32 pid, u64 guard,
				     const struct hca_fabric_key *entry, const struct hca_fabric_key *key)
{
	struct part *p = hca_alloc(2 * sizeof(*p), HCA_MAY_SLEEP);
	struct shm_alias_key *k = hca_alloc(sizeof(*k), HCA_MAY_SLEEP);
	struct shm_alias *n = NULL;

	if (p && k && key->length && key->base + (key->length - 1) >= key->base && find_in_peer(p, pid, key, guard))
		n = get_alias(a, p);
	if (n && !still_has(p + 1, p, pid, key)) {
		put_alias(a, n, false);
		n = NULL;
	}
	if (!n) {
		hca_free(k);
		hca_free(p);
		return NULL;
	}
	*k = (struct shm_alias_key){
		.alias = n,
		.entry = entry,
		.peer = number,
		.key = key->key,
		.seq = key->seq,
		.base = key->base,
		.length = key->length,
		.reads = true,
		.writes = n->writes && p[0].file.writes && p[1].file.writes,
		.at = n->at + (p->file.off + (p->first - p->file.start) - n->off),
	};
	n->refs++;
	hca_free(p);
	return k;
}

static void unlink_key(struct shm_alias_key **at)
{
	struct shm_alias_key *k = *at;

	hca_store(at, k->next);
	hca_store(k->slot, NULL);
}

struct shm_alias_key *shm_alias_publish(struct shm_aliases *a, struct shm_alias_peer *p, struct shm_alias_key *k)
{
	struct shm_alias_key **slot = &p->known[(k->key >> 8) & (SHM_ALIAS_KEYS - 1)], *was = *slot, **at;

	if (was) {
		for (at = &a->keys; *at != was; at = &(*at)->next)
			;
		unlink_key(at);
	}
	k->slot = slot;
	k->next = a->keys;
	hca_store(&a->keys, k);
	hca_store_release(slot, k);
	return was;
}

struct shm_alias_key *shm_alias_stale(struct shm_aliases *a, u32 peer)
{
	struct shm_alias_key **at, *k;

	for (at = &a->keys; (k = *at); at = &k->next) {
		if (peer ? k->peer != peer : hca_load(&k->entry->seq) == k->seq)
			continue;
		unlink_key(at);
		return k;
	}
	return NULL;
}

void shm_alias_free(struct shm_aliases *a, struct shm_alias_key *k, bool child)
{
	k->alias->refs--;
	put_alias(a, k->alias, child);
	hca_free(k);
}
