/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An arena by the system's calls: a sealed memfd and mappings of it. arena.c of the
 * user os layer hands these on; that of the test os layer counts, checks and fails them first.
 * Every one returns 0 or -errno as arena.h says, and none of them prints.
 */
#ifndef HCA_ARENA_OS_H
#define HCA_ARENA_OS_H

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"

/* An arena may be larger than a 32-bit process can address; offsets into it may not be cut. */
_Static_assert(sizeof(off_t) == 8, "build with -D_FILE_OFFSET_BITS=64");

#define ARENA_HUGE ((size_t)2 << 20)

static inline u64 arena_page(void)
{
	return (u64)sysconf(_SC_PAGESIZE);
}

/* A range of whole pages that doesn't wrap. */
static inline bool arena_range_ok(u64 start, u64 bytes)
{
	u64 mask = arena_page() - 1;

	return bytes && !((start | bytes) & mask) && bytes <= (u64)INT64_MAX && start <= (u64)INT64_MAX - bytes;
}

/*
 * As ftruncate(). Beyond the process's limit of a file's size (ulimit -f) the kernel sends SIGXFSZ besides, which
 * would end a program that knows nothing of our file: the signal is taken back, and -EFBIG says it.
 */
static inline int arena_os_set_size(int fd, u64 bytes)
{
	const struct timespec no_time = { 0 };
	sigset_t xfsz, before, pending;
	int err;

	sigemptyset(&xfsz);
	sigaddset(&xfsz, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &xfsz, &before);
	sigpending(&pending);
	err = ftruncate(fd, (off_t)bytes) ? -errno : 0;
	/* One that was pending before is the program's, and stays. */
	if (err == -EFBIG && !sigismember(&pending, SIGXFSZ))
		sigtimedwait(&xfsz, NULL, &no_time);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static inline int arena_os_open(const char *name, u64 bytes)
{
	int fd, err;

	if (!arena_range_ok(0, bytes))
		return -EINVAL;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* The last seal: no process that gets the descriptor can add a seal that makes it read-only for us. */
	err = arena_os_set_size(fd, bytes);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static inline void *arena_os_reserve(size_t bytes)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	size_t mask = (size_t)arena_page() - 1;
	size_t lead, slack;
	char *at;

	if (!bytes || bytes > SIZE_MAX - mask - ARENA_HUGE)
		return NULL;
	bytes = (bytes + mask) & ~mask;
	slack = bytes >= ARENA_HUGE ? ARENA_HUGE - mask - 1 : 0;
	at = mmap(NULL, bytes + slack, PROT_NONE, flags, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	if (!slack)
		return at;
	lead = -(uintptr_t)at & (ARENA_HUGE - 1);
	if (lead)
		munmap(at, lead);
	if (lead < slack)
		munmap(at + lead + bytes, slack - lead);
	return at + lead;
}

static inline int arena_os_prot(enum hca_prot prot)
{
	switch (prot) {
	case HCA_PROT_READ:
		return PROT_READ;
	case HCA_PROT_RW:
		return PROT_READ | PROT_WRITE;
	default:
		return PROT_NONE;
	}
}

static inline int arena_os_show(void *at, int fd, u64 offset, size_t bytes, enum hca_prot prot)
{
	/* mmap() itself rounds up, and would cover the neighbour. */
	if (!arena_range_ok(offset, bytes) || !arena_range_ok((uintptr_t)at, bytes) || prot == HCA_PROT_NONE)
		return -EINVAL;
	if (mmap(at, bytes, arena_os_prot(prot), MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED)
		return -errno;
	return 0;
}

/* In a signal handler, whose caller keeps its errno. */
static inline int arena_os_cover(void *at, int fd, u64 offset, size_t bytes)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
	int saved = errno, err = 0;

	if (mmap(at, bytes, prot, flags, fd, (off_t)offset) == MAP_FAILED)
		err = -errno;
	errno = saved;
	return err;
}

static inline void arena_os_hide(void *at, size_t bytes)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

	if (mmap(at, bytes, PROT_NONE, flags, -1, 0) != MAP_FAILED)
		return;
	/* No memory for another mapping's record. Taking access away does the same for the CPU. */
	HCA_ASSERT(!mprotect(at, bytes, PROT_NONE));
}

static inline int arena_os_protect(void *at, size_t bytes, enum hca_prot prot)
{
	int saved = errno; /* a signal handler's caller keeps its own */
	int err = mprotect(at, bytes, arena_os_prot(prot)) ? -errno : 0;

	errno = saved;
	return err;
}

static inline void arena_os_release(void *at, size_t bytes)
{
	size_t mask = (size_t)arena_page() - 1;

	munmap(at, (bytes + mask) & ~mask);
}

static inline int arena_os_discard(int fd, u64 offset, u64 bytes)
{
	if (!arena_range_ok(offset, bytes))
		return -EINVAL;
	while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes)) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

#endif
