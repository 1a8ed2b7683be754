/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A process's mappings; see maps.h. */
#include "wire/shm/maps.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The system writes whole lines, a page of them at a time. */
#define TEXT_BYTES 16384u
/* Some 10,000 mappings: who has more isn't looked through by a thread that posts a request. */
#define MAX_BYTES (1u << 20)

struct text {
	char bytes[TEXT_BYTES];
	size_t have;
};

/* A number, and the character behind it. Return: false: it isn't there. */
static bool number(char **at, int base, char behind, u64 *out)
{
	char *end;

	*out = strtoull(*at, &end, base);
	if (end == *at || *end != behind)
		return false;
	*at = end + 1;
	return true;
}

/* START-END rwxs OFFSET MAJOR:MINOR INODE  NAME */
static bool parse(char *at, struct shm_mapping *m)
{
	u64 major, minor;

	if (!number(&at, 16, '-', &m->start) || !number(&at, 16, ' ', &m->end) || strlen(at) < 5 || at[4] != ' ')
		return false;
	m->reads = at[0] == 'r';
	m->writes = at[1] == 'w';
	m->shared = at[3] == 's';
	at += 5;
	if (!number(&at, 16, ' ', &m->off) || !number(&at, 16, ':', &major) || !number(&at, 16, ' ', &minor))
		return false;
	m->dev = major << 32 | minor;
	m->ino = strtoull(at, &at, 10);
	m->name = at + strspn(at, " ");
	return true;
}

/* All lines that are complete. Return: @fn has had enough. */
static bool lines(struct text *t, bool (*fn)(void *ctx, const struct shm_mapping *m), void *ctx)
{
	char *at = t->bytes, *end;
	struct shm_mapping m;

	while ((end = memchr(at, '\n', t->have - (size_t)(at - t->bytes)))) {
		*end = 0;
		if (parse(at, &m) && fn(ctx, &m))
			return true;
		at = end + 1;
	}
	t->have -= (size_t)(at - t->bytes);
	memmove(t->bytes, at, t->have);
	return false;
}

static int read_lines(struct text *t, int fd, bool (*fn)(void *ctx, const struct shm_mapping *m), void *ctx)
{
	size_t all = 0;
	ssize_t n;

	while (all < MAX_BYTES && t->have < TEXT_BYTES) {
		n = read(fd, t->bytes + t->have, TEXT_BYTES - t->have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		all += (size_t)n;
		t->have += (size_t)n;
		if (lines(t, fn, ctx))
			return 0;
	}
	return -E2BIG;
}

int shm_maps_each(s32 pid, bool (*fn)(void *ctx, const struct shm_mapping *m), void *ctx)
{
	struct text *t = hca_alloc(sizeof(*t), HCA_MAY_SLEEP);
	char path[32] = "/proc/self/maps";
	int fd, err;

	if (!t)
		return -ENOMEM;
	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : read_lines(t, fd, fn, ctx);
	if (fd >= 0)
		close(fd);
	hca_free(t);
	return err;
}
