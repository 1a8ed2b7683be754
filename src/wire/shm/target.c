/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Meeting another node; see target.h. */
#include "wire/shm/target.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORD 8u

/* Field 22 of /proc/PID/stat; 0: there is no such process. Its name, in brackets, may have anything in it. */
static u64 start_of(s32 pid)
{
	char path[32], text[1024], *p;
	ssize_t n;
	int fd, i;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	p = strrchr(text, ')');
	for (i = 0; p && i < 20; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* Its owner holds a lock on it as long as it lives. */
bool shm_target_lives(const struct shm_target *p)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return !fcntl(p->fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

void shm_target_free(struct shm_target *p)
{
	if (p->head)
		munmap(p->head, sizeof(*p->head));
	if (p->map)
		munmap(p->map, p->size);
	if (p->mem >= 0)
		close(p->mem);
	close(p->fd);
	hca_free(p->aliases);
	hca_free(p);
}

static bool map(struct shm_target *p, u32 number)
{
	struct stat st;
	void *at;

	if (fstat(p->fd, &st) || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(struct hca_fabric_node))
		return false;
	p->size = (size_t)st.st_size;
	at = mmap(NULL, p->size, PROT_READ, MAP_SHARED | MAP_NORESERVE, p->fd, 0);
	if (at == MAP_FAILED)
		return false;
	p->map = at;
	if (shm_view_init(&p->view, at, p->size, number))
		return false;
	at = mmap(NULL, sizeof(*p->head), PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (at == MAP_FAILED)
		return false;
	p->head = at;
	return true;
}

/*
 * Its memory can be reached, and is that of the process which the node says: the guard is there. Where the memory can't be opened
 * as a file, each call will see for itself.
 */
static bool reach(struct shm_target *p)
{
	char path[32];
	u64 word = 0;

	if (!hca_load(&p->head->vm) || !p->guard || p->guard > INTPTR_MAX || p->pid <= 0 ||
	    start_of(p->pid) != hca_load(&p->head->start))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/mem", p->pid);
	p->mem = open(path, O_RDWR | O_CLOEXEC);
	if (p->mem < 0)
		return true;
	return pread(p->mem, &word, WORD, (off_t)p->guard) == WORD && word == p->cookie;
}

struct shm_target *shm_target_meet(int dir, u32 number)
{
	struct shm_target *p;
	char name[16];
	int err;

	p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	if (!p) {
		errno = ENOMEM;
		return NULL;
	}
	snprintf(name, sizeof(name), "node.%u", number);
	p->refs = 1;
	p->mem = -1;
	p->fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (p->fd < 0) {
		err = errno;
		hca_free(p);
		errno = err;
		return NULL;
	}
	errno = 0;
	if (!map(p, number) || !shm_target_lives(p)) {
		err = errno;
		shm_target_free(p);
		errno = err;
		return NULL;
	}
	p->pid = hca_load(&p->head->pid);
	p->guard = hca_load(&p->head->guard);
	p->cookie = hca_load(&p->head->cookie);
	p->known = reach(p);
	p->vm = p->known;
	return p;
}
