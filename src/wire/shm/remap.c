/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A mapping of our own of what another process maps; see remap.h.
 *
 * A process that closes any descriptor of a file loses the locks (fcntl(2), "record locks") that it has on the file, and descriptors are
 * the program's to count. So the file is opened by a thread that has left the process's table of descriptors for an empty one: what
 * this one closes, at its end, is nobody's lock.
 */
#include "wire/shm/remap.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_BYTES (128u << 10)

struct job {
	const struct shm_mapping *m;
	void *at;
};

/* Raw calls: a program may have put others in the place of the C library's, that count descriptors. */
static void *open_and_map(void *arg)
{
	struct job *j = arg;
	const struct shm_mapping *m = j->m;
	long fd;

	if (syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_UNSHARE))
		return NULL;
	fd = syscall(SYS_openat, AT_FDCWD, m->name,
		     (m->writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	if (fd >= 0)
		j->at = mmap(NULL, (size_t)(m->end - m->start), PROT_READ | (m->writes ? PROT_WRITE : 0),
			     MAP_SHARED | MAP_NORESERVE, (int)fd, (off_t)m->off);
	return NULL;
}

void *shm_remap(const struct shm_mapping *m)
{
	struct job j = { .m = m, .at = MAP_FAILED };
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	err = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (!err)
		err = pthread_create(&thread, &attr, open_and_map, &j);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		pthread_join(thread, NULL);
	return j.at;
}
