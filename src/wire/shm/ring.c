/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The files and mappings of rings; see ring.h. Their memory is there before anybody uses it: a full file system is an error here. */
#include "wire/shm/ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/shm/file.h"

static size_t head_bytes(void)
{
	long page = sysconf(_SC_PAGESIZE);

	return page > (long)HCA_FABRIC_RING_DATA ? (size_t)page : HCA_FABRIC_RING_DATA;
}

static bool good_size(u32 size)
{
	return size >= HCA_FABRIC_LANE_MIN && size <= HCA_FABRIC_LANE_MAX && !(size & (size - 1));
}

static int map_at(int fd, u8 *at, size_t bytes, off_t off)
{
	void *got = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, off);

	return got == MAP_FAILED ? -errno : 0;
}

/* Each lane's data twice, so that an entry that begins near the end is in one piece. */
static int map_ring(int fd, const u32 size[HCA_FABRIC_LANES], struct shm_ring *ring)
{
	size_t head = head_bytes();
	off_t off = (off_t)head;
	u8 *at;
	int err, i;

	ring->mapped = head + 2 * ((size_t)size[0] + size[1]);
	ring->base = mmap(NULL, ring->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ring->base == MAP_FAILED)
		return -errno;
	at = ring->base;
	err = map_at(fd, at, head, 0);
	ring->head = ring->base;
	at += head;
	for (i = 0; i < HCA_FABRIC_LANES && !err; i++) {
		ring->lane[i] = (struct shm_lane){ .shared = &ring->head->lane[i], .data = at, .size = size[i] };
		err = map_at(fd, at, size[i], off);
		if (!err)
			err = map_at(fd, at + size[i], size[i], off);
		at += 2 * (size_t)size[i];
		off += size[i];
	}
	if (err)
		shm_ring_unmap(ring);
	return err;
}

int shm_ring_create(int dir, const char *name, const struct hca_fabric_ring *head, struct shm_ring *ring)
{
	size_t bytes = head_bytes() + head->size[0] + head->size[1];
	int err = 0, fd;

	if (!good_size(head->size[0]) || !good_size(head->size[1]))
		return -EINVAL;
	(void)unlinkat(dir, name, 0);
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = shm_file_fill(fd, 0, bytes);
	if (!err)
		err = map_ring(fd, head->size, ring);
	if (err) {
		(void)unlinkat(dir, name, 0);
	} else {
		*ring->head = *head;
		ring->head->version = HCA_FABRIC_VERSION;
		hca_store_release(&ring->head->magic, HCA_FABRIC_MAGIC);
	}
	close(fd);
	return err;
}

/* The sizes are read once: they may change. */
static int open_ring(int fd, struct shm_ring *ring)
{
	struct hca_fabric_ring head;
	struct stat st;

	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) || fstat(fd, &st))
		return -EPROTO;
	if (head.magic != HCA_FABRIC_MAGIC || head.version != HCA_FABRIC_VERSION || !good_size(head.size[0]) ||
	    !good_size(head.size[1]))
		return -EPROTO;
	if ((u64)st.st_size < head_bytes() + (u64)head.size[0] + head.size[1])
		return -EPROTO;
	return map_ring(fd, head.size, ring);
}

int shm_ring_open(int dir, const char *name, struct shm_ring *ring)
{
	int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0)
		return -errno;
	err = open_ring(fd, ring);
	close(fd);
	return err;
}

void shm_ring_unmap(struct shm_ring *ring)
{
	if (ring->head)
		munmap(ring->base, ring->mapped);
	*ring = (struct shm_ring){ 0 };
}
