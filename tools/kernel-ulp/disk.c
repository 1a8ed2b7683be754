/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * disk FILE read|write random|sequential BLOCK DEPTH MILLISECONDS - keep DEPTH requests of BLOCK bytes under way for
 * that long, with direct I/O, by the system's own asynchronous calls, and print how many ended a second. The load of
 * tools/kernel-ulp/bench.sh: one static program, as the machine has nothing to link one with. Debian's fio brings the
 * libraries of Ceph and Gluster with it, which an emulated processor links for longer than a turn takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEPTH 128

/* struct load - what is asked, and how far it is */
struct load {
	int fd;
	bool writes, random;
	size_t block;
	uint64_t blocks, next, seed;
	long depth;
	aio_context_t aio;
	struct iocb requests[MAX_DEPTH];
};

static int fail(const char *what)
{
	fprintf(stderr, "disk: %s: %s\n", what, strerror(errno));
	return 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t next_block(struct load *l)
{
	if (!l->random)
		return l->next++ % l->blocks;
	/* xorshift: the same blocks in the same order, each time */
	l->seed ^= l->seed << 13;
	l->seed ^= l->seed >> 7;
	l->seed ^= l->seed << 17;
	return l->seed % l->blocks;
}

static int submit(struct load *l, struct iocb *r)
{
	r->aio_offset = (int64_t)(next_block(l) * l->block);
	return syscall(SYS_io_submit, l->aio, 1L, &r) == 1 ? 0 : -1;
}

static int open_load(struct load *l, const char *file)
{
	off_t size;
	uint8_t *room;
	long i;

	l->fd = open(file, (l->writes ? O_RDWR : O_RDONLY) | O_DIRECT);
	if (l->fd < 0)
		return fail(file);
	size = lseek(l->fd, 0, SEEK_END);
	l->blocks = size > 0 ? (uint64_t)size / l->block : 0;
	room = mmap(NULL, l->block * (size_t)l->depth, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!l->blocks || room == MAP_FAILED || syscall(SYS_io_setup, l->depth, &l->aio))
		return fail("no room");
	for (i = 0; i < l->depth; i++) {
		memset(room + (size_t)i * l->block, (int)i + 1, l->block);
		l->requests[i] = (struct iocb){ .aio_data = (uint64_t)i,
						.aio_lio_opcode = l->writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
						.aio_fildes = (uint32_t)l->fd,
						.aio_buf = (uint64_t)(uintptr_t)(room + (size_t)i * l->block),
						.aio_nbytes = l->block };
	}
	return 0;
}

/* What ends after that time isn't counted, but waited for. */
static int run(struct load *l, double seconds)
{
	struct io_event events[MAX_DEPTH];
	double began = now(), took = 0;
	uint64_t done = 0;
	long under_way = 0, n, i;

	while (under_way < l->depth)
		if (submit(l, &l->requests[under_way++]))
			return fail("io_submit");
	while (under_way) {
		n = syscall(SYS_io_getevents, l->aio, 1L, (long)MAX_DEPTH, events, NULL);
		if (n < 1)
			return fail("io_getevents");
		under_way -= n;
		for (i = 0; i < n; i++) {
			if (events[i].res != (int64_t)l->block) {
				errno = events[i].res < 0 ? (int)-events[i].res : EIO;
				return fail("a request");
			}
		}
		if (took >= seconds)
			continue;
		done += (uint64_t)n;
		took = now() - began;
		for (i = 0; i < n && took < seconds; i++, under_way++)
			if (submit(l, &l->requests[events[i].data]))
				return fail("io_submit");
	}
	printf("%.3f\n", (double)done / took);
	return 0;
}

int main(int argc, char **argv)
{
	static struct load l = { .seed = 88172645463325252u };

	if (argc != 7) {
		fputs("usage: disk FILE read|write random|sequential BLOCK DEPTH MILLISECONDS\n", stderr);
		return 2;
	}
	l.writes = !strcmp(argv[2], "write");
	l.random = !strcmp(argv[3], "random");
	l.block = strtoul(argv[4], NULL, 10);
	l.depth = strtol(argv[5], NULL, 10);
	if (l.block < 512 || l.depth < 1 || l.depth > MAX_DEPTH) {
		fputs("disk: blocks are of 512 bytes at least, and 1 to 128 requests are under way\n", stderr);
		return 2;
	}
	return open_load(&l, argv[1]) ? 1 : run(&l, strtod(argv[6], NULL) / 1e3);
}
