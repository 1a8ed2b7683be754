/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pieces of files as memory of a machine: what the CPU and a device find there, what
 * happens when the file has no bytes for an access (mmap(2): SIGBUS), writes to what may only
 * be read, limits, failures, and that other faults go where they would have gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "platform/platform.h"
#include "test_os.h"

#define MIB (1ull << 20)
#define P PAGE_SIZE
#define PIECES 3u

static struct machine *m;
static int fd;

static u8 byte_at(u64 at)
{
	return (u8)(at * 7 + at / P * 31 + 1);
}

/* A file of @bytes that says at each byte where it is. */
static void make_file(u64 bytes)
{
	u8 page[P];
	u64 at, i;

	fd = memfd_create("file", 0);
	assert_true(fd >= 0);
	for (at = 0; at < bytes; at += P) {
		for (i = 0; i < P; i++)
			page[i] = byte_at(at + i);
		assert_int_equal(pwrite(fd, page, P, (off_t)at), P);
	}
}

static void make_machine(enum machine_platform platform)
{
	struct machine_attr attr = {
		.low_bytes = 4 * MIB, .high_bytes = 2 * MIB, .file_bytes = PIECES * 2 * MIB, .platform = platform
	};

	test_os_reset(1);
	assert_int_equal(machine_create(&attr, &m), 0);
}

static void unmake(void)
{
	close(fd);
	assert_int_equal(machine_destroy(m), 0);
	assert_int_equal(test_leaks(), 0);
}

static struct page *map(u64 at, u64 bytes, bool write)
{
	struct page *page = NULL;

	assert_int_equal(machine_map_file(m, fd, at, bytes, write, &page), 0);
	assert_non_null(page);
	return page;
}

static u8 *cpu(struct page *page)
{
	return page_address(page);
}

static u8 *bus(struct page *page)
{
	return machine_bus_ptr(m, page_index(page) << PAGE_SHIFT);
}

static bool same(const u8 *mem, u64 at, u64 bytes)
{
	u64 i;

	for (i = 0; i < bytes; i++)
		if (mem[i] != byte_at(at + i))
			return false;
	return true;
}

static bool zeros(const u8 *mem, u64 bytes)
{
	u64 i;

	for (i = 0; i < bytes; i++)
		if (mem[i])
			return false;
	return true;
}

static void both_views_show_the_file(void **state)
{
	static const u8 word[] = "changed";
	const struct machine_map *map_of;
	struct page *page;

	(void)state;
	make_machine(MACHINE_DIRECT);
	make_file(3 * MIB);
	map_of = machine_map(m);
	assert_true(map_of->low_bytes == (4 + 2 * PIECES) * MIB && map_of->file_bytes == 2 * PIECES * MIB);
	assert_true(machine_free_pages(m) == 6 * MIB / P); /* addresses are no memory */
	page = map(MIB, 2 * MIB, true);
	assert_ptr_equal(virt_to_page(cpu(page) + 5), page);
	assert_false(PageHighMem(page));
	assert_true(same(cpu(page), MIB, 2 * MIB));
	assert_true(same(bus(page), MIB, 2 * MIB));
	/* The page cache's own pages: what one writes the others see. */
	assert_int_equal(pwrite(fd, word, sizeof(word), (off_t)(MIB + 100)), sizeof(word));
	assert_memory_equal(bus(page) + 100, word, sizeof(word));
	memcpy(bus(page) + 200, word, sizeof(word));
	assert_memory_equal(cpu(page) + 200, word, sizeof(word));
	assert_false(machine_file_failed(page));
	machine_unmap_file(page);
	assert_true(zeros(cpu(page), 2 * MIB));
	assert_true(zeros(bus(page), 2 * MIB));
	unmake();
}

/* mmap(2): SIGBUS for a page that lies wholly beyond the end of the file. */
static void a_file_that_became_shorter(void **state)
{
	struct page *page, *other;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		make_machine(MACHINE_DIRECT);
		make_file(2 * MIB);
		page = map(0, 2 * MIB, true);
		other = map(0, MIB, false);
		assert_int_equal(ftruncate(fd, MIB), 0);
		assert_true(same((i ? bus : cpu)(page), 0, MIB));
		assert_false(machine_file_failed(page));
		assert_true(zeros((i ? bus : cpu)(page) + MIB, MIB));
		assert_true(machine_file_failed(page));
		assert_false(machine_file_failed(other));
		/* A write finds a page, too, and the file stays as short as it is. */
		(i ? cpu : bus)(page)[MIB + 3 * P] = 5;
		assert_int_equal(lseek(fd, 0, SEEK_END), MIB);
		machine_unmap_file(page);
		/* The file as it is now is found again, and the failure is forgotten. */
		page = map(0, MIB, false);
		assert_true(same(bus(page), 0, MIB));
		assert_false(machine_file_failed(page));
		machine_unmap_file(page);
		machine_unmap_file(other);
		unmake();
	}
}

static void what_may_only_be_read(void **state)
{
	struct page *page;
	u8 byte;

	(void)state;
	make_machine(MACHINE_DIRECT);
	make_file(2 * MIB);
	page = map(0, 2 * MIB, false);
	bus(page)[10 * P] = 99;
	assert_true(machine_file_failed(page));
	assert_int_equal(pread(fd, &byte, 1, 10 * P), 1);
	assert_int_equal(byte, byte_at(10 * P));
	machine_unmap_file(page);
	/* Nothing of what was written meets the next one. */
	page = map(0, P, false);
	assert_true(same(cpu(page), 0, P));
	assert_true(zeros(bus(page) + 10 * P, P));
	machine_unmap_file(page);
	unmake();
}

static void limits(void **state)
{
	struct page *page[PIECES], *more = NULL;
	u32 i;

	(void)state;
	make_machine(MACHINE_IOMMU);
	make_file(2 * MIB);
	assert_int_equal(machine_map_file(m, fd, 1, P, false, &more), -EINVAL);
	assert_int_equal(machine_map_file(m, fd, 0, P + 1, false, &more), -EINVAL);
	assert_int_equal(machine_map_file(m, fd, 0, 0, false, &more), -EINVAL);
	assert_int_equal(machine_map_file(m, fd, 0, 2 * MIB + P, false, &more), -EINVAL);
	assert_int_equal(machine_map_file(m, fd, 0, P, false, NULL), -EINVAL);
	assert_int_equal(machine_map_file(NULL, fd, 0, P, false, &more), -EINVAL);
	assert_int_equal(machine_map_file(m, -1, 0, P, false, &more), -EBADF);
	for (i = 0; i < PIECES; i++)
		page[i] = map(0, P, false);
	assert_int_equal(machine_map_file(m, fd, 0, P, false, &more), -ENOSPC);
	assert_null(more);
	assert_int_equal(machine_destroy(m), -EBUSY);
	machine_unmap_file(page[1]);
	page[1] = map(P, P, false);
	assert_true(same(cpu(page[1]), P, P));
	for (i = 0; i < PIECES; i++)
		machine_unmap_file(page[i]);
	machine_unmap_file(NULL);
	unmake();
}

static void free_twice(void *arg)
{
	machine_unmap_file(arg);
}

static void wrong_pages(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB, .file_bytes = 2 * MIB, .platform = MACHINE_BOUNCE };
	struct machine *other = NULL;
	struct page *page;

	(void)state;
	assert_int_equal(machine_create(&attr, &other), -EINVAL);
	attr.platform = MACHINE_DIRECT;
	attr.file_bytes = MIB;
	assert_int_equal(machine_create(&attr, &other), -EINVAL);
	make_machine(MACHINE_DIRECT);
	make_file(P);
	page = map(0, P, false);
	assert_int_equal(test_expect_warn(free_twice, machine_pfn_to_page(m, page_to_pfn(page) + 1)), 1);
	assert_int_equal(test_expect_warn(free_twice, machine_pfn_to_page(m, machine_map(m)->phys >> PAGE_SHIFT)), 1);
	machine_unmap_file(page);
	assert_int_equal(test_expect_warn(free_twice, page), 1);
	assert_true(machine_file_failed(page));
	unmake();
}

/* A device maps the pages as any other, and finds the file there. */
static void devices_reach_it(void **state)
{
	static const enum machine_platform platforms[] = { MACHINE_DIRECT, MACHINE_IOMMU };
	struct device_attr da = { .name = "dev" };
	struct hca_mem_view w;
	struct device *dev;
	struct page *page;
	dma_addr_t addr;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(platforms); i++) {
		make_machine(platforms[i]);
		make_file(2 * MIB);
		assert_int_equal(device_create(m, &da, &dev), 0);
		page = map(0, 2 * MIB, false);
		addr = dma_map_page(dev, page, 0, 2 * MIB, DMA_TO_DEVICE);
		assert_int_equal(dma_mapping_error(dev, addr), 0);
		assert_int_equal(m->ops->open(dev, addr + 5 * P, P, HCA_MEM_READ, &w), 0);
		assert_true(w.len >= P && same(w.ptr, 5 * P, P));
		m->ops->close(dev, &w);
		dma_unmap_page(dev, addr, 2 * MIB, DMA_TO_DEVICE);
		machine_unmap_file(page);
		device_destroy(dev);
		unmake();
	}
}

static void every_step_may_fail(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB, .file_bytes = 2 * MIB };
	u32 most = 0;

	(void)state;
	test_os_reset(1);
	make_file(P);
	TEST_FAIL_LOOP(f)
	{
		struct page *page = NULL;
		int err;

		m = NULL;
		err = machine_create(&attr, &m);
		if (!err)
			err = machine_map_file(m, fd, 0, P, false, &page);
		assert_int_equal(!page, err != 0);
		if (page) {
			assert_true(same(bus(page), 0, P));
			machine_unmap_file(page);
		}
		if (m)
			assert_int_equal(machine_destroy(m), 0);
		most = f.n;
	}
	assert_true(most > 12);
	close(fd);
	assert_int_equal(test_leaks(), 0);
}

static sigjmp_buf back;

static void jump(int sig)
{
	siglongjmp(back, sig);
}

/* A SIGBUS that is none of ours: its handler hears of it while our machine lives, and after that. */
static void other_faults(void **state)
{
	struct sigaction sa = { .sa_handler = jump }, old, now;
	struct page *page;
	volatile u8 *alien;
	int i;

	(void)state;
	sigaction(SIGBUS, &sa, &old);
	make_machine(MACHINE_DIRECT);
	make_file(P);
	alien = mmap(NULL, 2 * P, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(alien != MAP_FAILED);
	page = map(0, P, false);
	for (i = 0; i < 2; i++) {
		int sig = sigsetjmp(back, 1);

		if (!sig) {
			(void)alien[P];
			fail();
		}
		assert_int_equal(sig, SIGBUS);
	}
	assert_false(machine_file_failed(page));
	munmap((void *)(uintptr_t)alien, 2 * P);
	machine_unmap_file(page);
	unmake();
	sigaction(SIGBUS, NULL, &now);
	assert_ptr_equal(now.sa_handler, jump);
	sigaction(SIGBUS, &old, NULL);
}

/* Two machines: the second one's end leaves the first one its handler. */
static void two_machines(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB, .file_bytes = 2 * MIB, .guard = true };
	struct machine *other;
	struct page *page;

	(void)state;
	make_machine(MACHINE_DIRECT);
	make_file(2 * P);
	assert_int_equal(machine_create(&attr, &other), 0);
	page = map(0, 2 * P, false);
	assert_int_equal(machine_destroy(other), 0);
	assert_int_equal(ftruncate(fd, P), 0);
	assert_true(zeros(bus(page) + P, P));
	assert_true(machine_file_failed(page));
	machine_unmap_file(page);
	unmake();
}

/* A guarded machine's pieces are no memory of its own: they aren't protected, and need not be. */
static void guard_leaves_files_alone(void **state)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB, .file_bytes = 2 * MIB, .guard = true };
	struct page *page;

	(void)state;
	test_os_reset(1);
	assert_int_equal(machine_create(&attr, &m), 0);
	make_file(2 * P);
	page = map(0, 2 * P, true);
	guard_range(m, 0, 4 * MIB, GUARD_MAP);
	cpu(page)[0] = 1;
	assert_false(machine_file_failed(page));
	guard_range(m, 0, 4 * MIB, GUARD_UNMAP);
	machine_unmap_file(page);
	unmake();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_views_show_the_file),
		cmocka_unit_test(a_file_that_became_shorter),
		cmocka_unit_test(what_may_only_be_read),
		cmocka_unit_test(limits),
		cmocka_unit_test(wrong_pages),
		cmocka_unit_test(devices_reach_it),
		cmocka_unit_test(every_step_may_fail),
		cmocka_unit_test(other_faults),
		cmocka_unit_test(two_machines),
		cmocka_unit_test(guard_leaves_files_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
