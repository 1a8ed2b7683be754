/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a range of addresses is mapped for, asked of the kernel: no page of it is touched.
 * Registration asks, as an adapter's driver would be refused the pages.
 */
#include "shim.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Linux, include/uapi/linux/fs.h, from 6.11 on. */
struct map_query {
	u64 size;
	u64 query_flags;
	u64 query_addr;
	u64 vma_start;
	u64 vma_end;
	u64 vma_flags;
	u64 vma_page_size;
	u64 vma_offset;
	u64 inode;
	u32 dev_major;
	u32 dev_minor;
	u32 vma_name_size;
	u32 build_id_size;
	u64 vma_name_addr;
	u64 build_id_addr;
};

#define QUERY _IOWR('f', 17, struct map_query)
#define READABLE 1u
#define WRITABLE 2u
#define COVERING_OR_NEXT 0x10u

/** struct range - what is left to look at: from @at on; @answer: enum shim_mapped */
struct range {
	uintptr_t at;
	uintptr_t end;
	u32 rights;
	enum shim_mapped answer;
};

/* The next mapping above those that were seen. Return: is more to be looked at? */
static bool see(struct range *r, u64 start, u64 end, u32 rights)
{
	if (end <= r->at)
		return true;
	if (start > r->at) {
		r->answer = SHIM_MAPPED_NOT;
		return false;
	}
	if (r->rights & ~rights) {
		r->answer = SHIM_MAPPED_WITHOUT_RIGHTS;
		return false;
	}
	r->at = (uintptr_t)end;
	if (r->at < r->end)
		return true;
	r->answer = SHIM_MAPPED;
	return false;
}

int shim_mapped_open(void)
{
	return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
}

/* Return: false: this kernel can't be asked so, or the descriptor is another one. */
static bool ask(int fd, struct range *r)
{
	struct map_query q;

	do {
		q = (struct map_query){ .size = sizeof(q), .query_flags = COVERING_OR_NEXT, .query_addr = r->at };
		if (ioctl(fd, QUERY, &q)) {
			if (errno != ENOENT)
				return false;
			r->answer = SHIM_MAPPED_NOT;
			return true;
		}
	} while (see(r, q.vma_start, q.vma_end, (u32)q.vma_flags & (READABLE | WRITABLE)));
	return true;
}

/* A line of /proc/self/maps: "start-end rwxp ...", by ascending addresses. Return: is more to be looked at? */
static bool see_line(struct range *r, const char *line)
{
	char *at;
	u64 start = strtoull(line, &at, 16), end;

	if (*at != '-')
		return false;
	end = strtoull(at + 1, &at, 16);
	if (at[0] != ' ' || !at[1] || !at[2])
		return false;
	return see(r, start, end, (at[1] == 'r' ? READABLE : 0) | (at[2] == 'w' ? WRITABLE : 0));
}

/* The text, in parts. Of a line that is longer than the room for it, the start is enough. */
static void read_text(int fd, struct range *r)
{
	char text[4096 + 1], *line, *end;
	size_t have = 0;
	bool more = true, skip = false;
	ssize_t n;

	while (more && (n = read(fd, text + have, sizeof(text) - 1 - have)) > 0) {
		have += (size_t)n;
		text[have] = 0;
		for (line = text; more && (end = strchr(line, '\n')); line = end + 1) {
			if (!skip)
				more = see_line(r, line);
			skip = false;
		}
		have -= (size_t)(line - text);
		if (have == sizeof(text) - 1) {
			if (!skip)
				more = more && see_line(r, line);
			skip = true;
			have = 0;
		}
		memmove(text, line, have);
	}
	/* Above the last mapping there is nothing. */
	if (more && !n)
		r->answer = SHIM_MAPPED_NOT;
}

/* Without /proc: whether there is memory can be known all the same. */
static enum shim_mapped ask_little(const struct range *r)
{
	return msync((void *)r->at, r->end - r->at, MS_ASYNC) && errno == ENOMEM ? SHIM_MAPPED_NOT : SHIM_MAPPED;
}

enum shim_mapped shim_mapped(int maps, const void *addr, size_t length, bool writable)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1, end = (uintptr_t)addr + length;
	struct range r = { .at = (uintptr_t)addr & ~page, .rights = READABLE | (writable ? WRITABLE : 0) };
	int saved = errno, fd;

	if (end < (uintptr_t)addr || (end + page) < end)
		return SHIM_MAPPED_NOT;
	r.end = (end + page) & ~page;
	r.answer = SHIM_MAPPED_UNKNOWN;
	fd = maps >= 0 && ask(maps, &r) ? -1 : shim_mapped_open();
	if (fd >= 0) {
		if (!ask(fd, &r))
			read_text(fd, &r);
		close(fd);
	}
	if (r.answer == SHIM_MAPPED_UNKNOWN)
		r.answer = ask_little(&r);
	errno = saved;
	return r.answer;
}
