/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real threads on one machine: pages handed out to one at a time, temporary mappings that stay their thread's own,
 * the bounce pool and its copies, machines that come and go under address lookups, and guarded memory. What a thread
 * wrote it must read back; the thread sanitizer looks on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <errno.h>
#include <cmocka.h>

#include <sys/resource.h>

#include "platform/platform.h"
#include "os_child.h"

#define MIB (1ull << 20)
#define THREADS 4
#define STEPS 3000

static struct machine *m;
static struct device *dev;
static u32 failures; /* atomic: cmocka's asserts belong to the main thread */

#define CHECK(c) \
	do { \
		if (!(c)) \
			hca_fetch_add(&failures, 1); \
	} while (0)

static u32 next_random(u32 *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void run(void *(*fn)(void *), u32 threads)
{
	pthread_t t[8];
	u32 i;

	hca_store(&failures, 0);
	for (i = 0; i < threads; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fn, (void *)(uintptr_t)(i + 1)), 0);
	for (i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(hca_load(&failures), 0);
}

static void open_machine(enum machine_platform platform, bool guard)
{
	struct machine_attr ma = { .low_bytes = 8 * MIB, .high_bytes = 4 * MIB, .platform = platform, .guard = guard };
	struct device_attr da = { .name = "dev" };

	assert_int_equal(machine_create(&ma, &m), 0);
	assert_int_equal(device_create(m, &da, &dev), 0);
}

static void close_machine(void)
{
	device_destroy(dev);
	assert_int_equal(machine_destroy(m), 0);
}

/* --- pages and temporary mappings --- */

static u64 stamp_of(u64 who, u64 n)
{
	return who << 32 | n;
}

static bool stamp(struct page *page, u64 value)
{
	u64 *at = kmap_local_page(page);

	if (!at)
		return false;
	at[0] = value;
	at[511] = ~value;
	kunmap_local(at);
	return true;
}

static bool stamped(struct page *page, u64 value)
{
	u64 *at = kmap_local_page(page);
	bool ok;

	if (!at)
		return false;
	ok = at[0] == value && at[511] == ~value;
	kunmap_local(at);
	return ok;
}

static void *use_pages(void *arg)
{
	struct page *page[16] = { NULL };
	u64 value[16] = { 0 };
	unsigned int order[16] = { 0 };
	u32 who = (u32)(uintptr_t)arg, seed = who;
	int step;

	for (step = 0; step < STEPS; step++) {
		u32 i = next_random(&seed) % 16;

		if (page[i]) {
			CHECK(stamped(nth_page(page[i], (1u << order[i]) - 1), value[i]));
			__free_pages(page[i], order[i]);
			page[i] = NULL;
			continue;
		}
		order[i] = next_random(&seed) % 4;
		page[i] = machine_alloc_pages(m, next_random(&seed) % 2 ? GFP_HIGHUSER : GFP_KERNEL, order[i]);
		if (!page[i])
			continue;
		value[i] = stamp_of(who, (u64)step);
		CHECK(stamp(nth_page(page[i], (1u << order[i]) - 1), value[i]));
		if (page_address(page[i]))
			CHECK(virt_to_page(page_address(page[i])) == page[i]);
	}
	for (step = 0; step < 16; step++)
		if (page[step])
			__free_pages(page[step], order[step]);
	return NULL;
}

static void pages_and_mappings(void **state)
{
	(void)state;
	open_machine(MACHINE_DIRECT, false);
	run(use_pages, THREADS);
	assert_true(machine_free_pages(m) == 12 * MIB / PAGE_SIZE);
	close_machine();
}

/* --- mappings through the pool --- */

static void *use_pool(void *arg)
{
	u32 who = (u32)(uintptr_t)arg, seed = who;
	/* High memory lies beyond the device's mask. */
	struct page *page = machine_alloc_pages(m, GFP_HIGHUSER, 4);
	u8 *mem;
	int step;

	CHECK(page && PageHighMem(page));
	if (!page)
		return NULL;
	mem = machine_bus_ptr(m, page_index(page) * PAGE_SIZE);
	for (step = 0; step < STEPS; step++) {
		u32 offset = next_random(&seed) % 4096, size = 1 + next_random(&seed) % 30000;
		struct hca_mem_view w;
		dma_addr_t addr;

		mem[offset] = (u8)step;
		mem[offset + size - 1] = (u8)step;
		addr = dma_map_page(dev, page, offset, size, DMA_BIDIRECTIONAL);
		if (dma_mapping_error(dev, addr)) {
			CHECK(dma_mapping_error(dev, addr) == -ENOMEM);
			continue;
		}
		CHECK(!m->ops->open(dev, addr, size, HCA_MEM_WRITE, &w));
		CHECK(w.len == size && ((u8 *)w.ptr)[0] == (u8)step && ((u8 *)w.ptr)[size - 1] == (u8)step);
		((u8 *)w.ptr)[0] = (u8)(step + who);
		m->ops->close(dev, &w);
		if (step % 3 == 0) {
			dma_sync_single_for_cpu(dev, addr, size, DMA_BIDIRECTIONAL);
			CHECK(mem[offset] == (u8)(step + who));
		}
		dma_unmap_page(dev, addr, size, DMA_BIDIRECTIONAL);
		CHECK(mem[offset] == (u8)(step + who));
		/* A second time: it may by now be another thread's, but only if it begins at the same byte. */
		if (step % 100 == 0)
			m->ops->open(dev, hca_dma_addr(step), 1, HCA_MEM_READ, &w);
	}
	__free_pages(page, 4);
	return NULL;
}

static void mappings_through_the_pool(void **state)
{
	struct device_stats st;
	u64 faults;

	(void)state;
	open_machine(MACHINE_BOUNCE, false);
	run(use_pool, THREADS);
	device_get_stats(dev, &st);
	assert_int_equal(st.bounce_slots, 0);
	assert_int_equal(st.refused_unmaps, 0);
	assert_true(st.maps == st.unmaps && st.bounced == st.maps && st.maps > 0);
	machine_faults(m, NULL, 0, &faults);
	assert_true(faults > 0);
	close_machine();
}

/* One mapping, synced and unmapped by all at once: one unmap wins, no copy touches the next mapping's bytes. */
static dma_addr_t shared_addr;
static u32 unmapped; /* atomic */

static void *fight(void *arg)
{
	u64 part = (uintptr_t)arg - 1;
	int i;

	/* Each its own part: the bytes themselves aren't what is fought over. */
	for (i = 0; i < 50; i++)
		m->ops->sync(dev, shared_addr + part * 1024, 1024, DMA_TO_DEVICE, false);
	if (!m->ops->unmap(dev, shared_addr, 4096, DMA_TO_DEVICE, 0))
		hca_fetch_add(&unmapped, 1);
	return NULL;
}

static void one_mapping_fought_over(void **state)
{
	struct device_stats st;
	struct page *page;
	int round;

	(void)state;
	open_machine(MACHINE_BOUNCE, false);
	page = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	for (round = 0; round < 50; round++) {
		unmapped = 0;
		shared_addr = dma_map_page(dev, page, 0, 4096, DMA_TO_DEVICE);
		assert_int_equal(dma_mapping_error(dev, shared_addr), 0);
		run(fight, 1 + (u32)round % THREADS);
		assert_int_equal(unmapped, 1);
		device_get_stats(dev, &st);
		assert_int_equal(st.bounce_slots, 0);
	}
	__free_page(page);
	close_machine();
}

/* --- machines that come and go --- */

static void *come_and_go(void *arg)
{
	struct machine_attr attr = { .low_bytes = 2 * MIB, .high_bytes = 2 * MIB, .guard = (uintptr_t)arg % 2 };
	int i;

	for (i = 0; i < 60; i++) {
		struct machine *mine;
		struct page *page, *high;
		void *at;

		if (machine_create(&attr, &mine)) {
			CHECK(false);
			return NULL;
		}
		page = machine_alloc_pages(mine, GFP_KERNEL, 0);
		high = machine_alloc_pages(mine, GFP_HIGHUSER, 0);
		CHECK(virt_to_page(page_address(page)) == page);
		at = kmap_local_page(high);
		CHECK(at && !virt_to_page(at));
		kunmap_local(at);
		if (attr.guard) {
			guard_range(mine, page_index(page) * PAGE_SIZE, PAGE_SIZE, GUARD_MAP);
			*(volatile u8 *)page_address(page) = 1;
			guard_range(mine, page_index(page) * PAGE_SIZE, PAGE_SIZE, GUARD_UNMAP);
		}
		__free_page(page);
		__free_page(high);
		CHECK(!machine_destroy(mine));
	}
	return NULL;
}

static void machines_come_and_go(void **state)
{
	(void)state;
	run(come_and_go, THREADS);
	assert_null(machine_current());
}

/* --- limits and forks --- */

static void exit_with_create_error(void)
{
	struct machine_attr attr = { .low_bytes = 8 * MIB };
	struct rlimit limit = { 0, 0 };
	struct machine *mine;
	sigset_t pending;
	int err;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 1 * MIB;
	setrlimit(RLIMIT_FSIZE, &limit);
	err = machine_create(&attr, &mine);
	sigpending(&pending);
	_exit(err == -EFBIG && !sigismember(&pending, SIGXFSZ) ? 42 : 1);
}

/* setrlimit(2): ftruncate() past RLIMIT_FSIZE sends SIGXFSZ, whose default ends the process. */
static void a_limit_on_files_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(exit_of(exit_with_create_error), 42);
}

static struct page *low_page, *high_page, *guarded_page;
static char *high_at;

static char device_sees(const struct page *page)
{
	struct hca_mem_view w;
	dma_addr_t addr = dma_map_page(dev, (struct page *)page, 0, 4096, DMA_BIDIRECTIONAL);
	char c;

	if (m->ops->open(dev, addr, 1, HCA_MEM_READ, &w))
		return 0;
	c = *(const char *)w.ptr;
	m->ops->close(dev, &w);
	dma_unmap_page(dev, addr, 4096, DMA_BIDIRECTIONAL);
	return c;
}

/* All views of the child's memory are of one memory, and hold what they held at the fork. */
static void use_machine_in_child(void)
{
	struct page *fresh = machine_alloc_pages(m, GFP_KERNEL | __GFP_ZERO, 0);
	char *low = page_address(low_page), *again;

	if (*low != 'p' || *high_at != 'q' || *(char *)page_address(guarded_page) != 'g')
		_exit(1);
	if (!fresh || *(char *)page_address(fresh) || device_sees(low_page) != 'p')
		_exit(2);
	*low = 'c';
	*high_at = 'd';
	memset(page_address(fresh), 'f', PAGE_SIZE);
	again = kmap_local_page(high_page);
	if (!again || *again != 'd' || device_sees(low_page) != 'c' || device_sees(high_page) != 'd')
		_exit(3);
	kunmap_local(again);
	/* Its own children have their own in turn. */
	if (!fork()) {
		*low = 'e';
		_exit(0);
	}
	if (wait(NULL) < 0 || *low != 'c')
		_exit(4);
	*(volatile char *)page_address(guarded_page) = 'h'; /* caught as the parent's are */
	guard_range(m, page_index(guarded_page) * PAGE_SIZE, PAGE_SIZE, GUARD_UNMAP);
	_exit(42);
}

static void a_child_has_its_own_pages(void **state)
{
	struct page *fresh;

	(void)state;
	open_machine(MACHINE_DIRECT, true);
	low_page = machine_alloc_pages(m, GFP_KERNEL, 0);
	guarded_page = machine_alloc_pages(m, GFP_KERNEL, 0);
	high_page = machine_alloc_pages(m, GFP_HIGHUSER, 0);
	high_at = kmap_local_page(high_page);
	*(char *)page_address(low_page) = 'p';
	*(char *)page_address(guarded_page) = 'g';
	*high_at = 'q';
	guard_range(m, page_index(guarded_page) * PAGE_SIZE, PAGE_SIZE, GUARD_MAP);
	assert_int_equal(exit_of(use_machine_in_child), 42);
	assert_int_equal(*(char *)page_address(low_page), 'p');
	assert_int_equal(*high_at, 'q');
	assert_int_equal(*(char *)page_address(guarded_page), 'g');
	assert_int_equal(device_sees(high_page), 'q');
	fresh = machine_alloc_pages(m, GFP_KERNEL, 0);
	assert_int_equal(*(char *)page_address(fresh), 0);
	__free_page(fresh);
	guard_range(m, page_index(guarded_page) * PAGE_SIZE, PAGE_SIZE, GUARD_UNMAP);
	kunmap_local(high_at);
	__free_page(high_page);
	__free_page(guarded_page);
	__free_page(low_page);
	close_machine();
}

/* --- guarded memory --- */

#define GUARDED_PAGES 8

static u32 caught; /* atomic */

static void count_hit(void *ctx, u64 off, const void *code)
{
	(void)ctx;
	(void)code;
	CHECK(off < GUARDED_PAGES * PAGE_SIZE);
	hca_fetch_add(&caught, 1);
}

/* Each has its own byte of each page; whatever the others do to the guard, the write happens. */
static void *write_guarded(void *arg)
{
	u32 who = (u32)(uintptr_t)arg, seed = who;
	int i;

	for (i = 0; i < STEPS; i++) {
		u32 page = next_random(&seed) % GUARDED_PAGES;
		volatile u8 *at = (volatile u8 *)m->map.virt + page * PAGE_SIZE + who;

		switch (next_random(&seed) % 4) {
		case 0:
			guard_range(m, page * PAGE_SIZE, PAGE_SIZE, GUARD_MAP);
			break;
		case 1:
			guard_range(m, page * PAGE_SIZE, PAGE_SIZE, GUARD_UNMAP);
			break;
		case 2:
			guard_take_hits(m, count_hit, NULL);
			break;
		default:
			*at = (u8)i;
			CHECK(*at == (u8)i);
		}
	}
	return NULL;
}

static void guarded_memory(void **state)
{
	(void)state;
	open_machine(MACHINE_DIRECT, true);
	run(write_guarded, THREADS);
	guard_take_hits(m, count_hit, NULL);
	assert_true(hca_load(&caught) > 0);
	guard_range(m, 0, GUARDED_PAGES * PAGE_SIZE, GUARD_TO_CPU);
	close_machine();
}

/* --- threads of the library's --- */

static struct hca_work stray;
static u32 strays; /* atomic */

static void stray_write(void *arg)
{
	*(volatile u8 *)arg = 7;
	hca_fetch_add(&strays, 1);
}

static void stray_hit(void *ctx, u64 off, const void *code)
{
	(void)code;
	assert_int_equal(off, 5 * PAGE_SIZE);
	++*(u32 *)ctx;
}

/* sigprocmask(2): a fault whose signal is blocked kills the process. A worker's is caught as any other thread's. */
static void a_worker_writes_guarded_memory(void **state)
{
	u32 hits = 0;

	(void)state;
	open_machine(MACHINE_DIRECT, true);
	guard_range(m, 5 * PAGE_SIZE, PAGE_SIZE, GUARD_MAP);
	assert_int_equal(hca_work_init(&stray, stray_write, (u8 *)m->map.virt + 5 * PAGE_SIZE), 0);
	hca_work_start(&stray);
	while (!hca_load(&strays))
		sched_yield();
	hca_work_destroy(&stray);
	guard_take_hits(m, stray_hit, &hits);
	assert_int_equal(hits, 1);
	guard_range(m, 5 * PAGE_SIZE, PAGE_SIZE, GUARD_UNMAP);
	close_machine();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_and_mappings),
		cmocka_unit_test(mappings_through_the_pool),
		cmocka_unit_test(one_mapping_fought_over),
		cmocka_unit_test(machines_come_and_go),
		cmocka_unit_test(a_limit_on_files_is_an_error),
		cmocka_unit_test(a_child_has_its_own_pages),
		cmocka_unit_test(guarded_memory),
		cmocka_unit_test(a_worker_writes_guarded_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
