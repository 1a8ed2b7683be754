/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arena of a process: arena.h by the system's calls, see arena_os.h. Called by
 * the machine (src/platform). Never touches the memory itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "user/arena_fork.h"
#include "user/arena_os.h"

int hca_arena_open(const char *name, u64 bytes)
{
	int fd = arena_os_open(name, bytes), err;

	if (fd < 0)
		return fd;
	err = arena_fork_add(fd, bytes);
	if (!err)
		return fd;
	close(fd);
	return err;
}

void hca_arena_close(int fd)
{
	arena_fork_del(fd);
	close(fd);
}

void *hca_arena_reserve(size_t bytes)
{
	return arena_os_reserve(bytes);
}

int hca_arena_show(void *at, int fd, u64 offset, size_t bytes, enum hca_prot prot)
{
	return arena_os_show(at, fd, offset, bytes, prot);
}

int hca_arena_show_file(void *at, int fd, u64 offset, size_t bytes, enum hca_prot prot)
{
	return arena_os_show(at, fd, offset, bytes, prot);
}

int hca_arena_cover(void *at, int fd, u64 offset, size_t bytes)
{
	return arena_os_cover(at, fd, offset, bytes);
}

void hca_arena_hide(void *at, size_t bytes)
{
	arena_os_hide(at, bytes);
}

int hca_arena_protect(void *at, size_t bytes, enum hca_prot prot)
{
	return arena_os_protect(at, bytes, prot);
}

void hca_arena_release(void *at, size_t bytes)
{
	arena_os_release(at, bytes);
}

int hca_arena_discard(int fd, u64 offset, u64 bytes)
{
	return arena_os_discard(fd, offset, bytes);
}
