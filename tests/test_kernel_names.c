/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* softhca/kernel.h: numbers, bits, byte order, lists, and memory. What needs threads is in thread_kernel.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "no_leaks.h"
#include "softhca/kernel.h"

static void numbers(void **state)
{
	int i = 3, j = 3, k;

	(void)state;
	assert_int_equal(min(2, 3), 2);
	assert_int_equal(max(2u, 3u), 3);
	assert_int_equal(min_t(u8, 0x101, 2), 1);
	assert_int_equal(max_t(u32, 1, 2), 2);
	assert_int_equal(min3(4, 2, 3), 2);
	assert_int_equal(max3(4, 2, 3), 4);
	assert_int_equal(min_not_zero(0, 7), 7);
	assert_int_equal(min_not_zero(7, 0), 7);
	assert_int_equal(min_not_zero(7, 3), 3);
	assert_int_equal(clamp(9, 1, 5), 5);
	assert_int_equal(clamp_t(u8, 0, 1, 5), 1);
	/* An argument is computed once. */
	k = min(i++, 10) + max(j++, 1);
	assert_int_equal(k, 6);
	assert_int_equal(i + j, 8);
	swap(i, k);
	assert_int_equal(i, 6);
	assert_int_equal(k, 4);
	assert_int_equal(DIV_ROUND_UP(4097, 4096), 2);
	assert_int_equal(ALIGN(4097, 4096), 8192);
	assert_int_equal(ALIGN_DOWN(8191, 4096), 4096);
	assert_true(IS_ALIGNED(8192, 4096));
	assert_int_equal(roundup(10, 3), 12);
	assert_int_equal(rounddown(10, 3), 9);
	assert_int_equal(PAGE_ALIGN(1), 4096);
	assert_int_equal(SZ_64K, 65536);
	assert_int_equal(upper_32_bits(0x123456789abcull), 0x1234);
	assert_int_equal(lower_32_bits(0x123456789abcull), 0x56789abc);
	assert_true(size_mul(SIZE_MAX, 2) == SIZE_MAX);
	assert_true(size_add(SIZE_MAX, 2) == SIZE_MAX);
	assert_int_equal(size_mul(3, 4), 12);
	assert_int_equal(get_order(1), 0);
	assert_int_equal(get_order(4096), 0);
	assert_int_equal(get_order(4097), 1);
	assert_int_equal(get_order(12288), 2);
	assert_int_equal(ilog2(4096), 12);
	assert_int_equal(ilog2(4095), 11);
	assert_int_equal(roundup_pow_of_two(65), 128);
	assert_int_equal(roundup_pow_of_two(64), 64);
	assert_int_equal(rounddown_pow_of_two(127), 64);
	assert_true(is_power_of_2(64) && !is_power_of_2(0) && !is_power_of_2(65));
	assert_int_equal(fls(0), 0);
	assert_int_equal(fls(0x80000000u), 32);
	assert_int_equal(__ffs(8), 3);
	assert_int_equal(hweight32(0xf0f0), 8);
	assert_true(GENMASK(7, 4) == 0xf0);
	assert_true(GENMASK_ULL(63, 0) == ~0ull);
	assert_true(BIT_ULL(40) == 1ull << 40);
}

static void bits(void **state)
{
	DECLARE_BITMAP(map, 200);
	unsigned long bit;
	u32 n = 0;

	(void)state;
	bitmap_zero(map, 200);
	assert_int_equal(find_first_bit(map, 200), 200);
	set_bit(0, map);
	set_bit(130, map);
	__set_bit(199, map);
	assert_true(test_bit(130, map) && !test_bit(131, map));
	assert_true(test_and_set_bit(130, map));
	assert_false(test_and_set_bit(131, map));
	for_each_set_bit(bit, map, 200) n = n * 1000 + (u32)bit;
	assert_int_equal(n, (130u * 1000 + 131) * 1000 + 199);
	assert_true(test_and_clear_bit(0, map));
	clear_bit(130, map);
	set_bit(130, map);
	clear_bit_unlock(130, map);
	__clear_bit(131, map);
	assert_int_equal(find_first_bit(map, 200), 199);
	assert_int_equal(find_first_zero_bit(map, 200), 0);
}

static void byte_order(void **state)
{
	static const __be32 constant = cpu_to_be32(0x01020304);
	u8 raw[9] = { 0 };
	__be16 counter = cpu_to_be16(0x00ff);

	(void)state;
	memcpy(raw, &constant, 4);
	assert_int_equal(raw[0], 1);
	assert_int_equal(raw[3], 4);
	assert_int_equal(be32_to_cpu(constant), 0x01020304);
	assert_int_equal(be32_to_cpup(&constant), 0x01020304);
	assert_true(be64_to_cpu(cpu_to_be64(0x0102030405060708ull)) == 0x0102030405060708ull);
	assert_int_equal(le16_to_cpu(cpu_to_le16(0x1234)), 0x1234);
	be16_add_cpu(&counter, 1);
	assert_int_equal(be16_to_cpu(counter), 0x100);
	put_unaligned_be64(0x1122334455667788ull, raw + 1);
	assert_int_equal(raw[1], 0x11);
	assert_true(get_unaligned_be64(raw + 1) == 0x1122334455667788ull);
	put_unaligned_le32(0x11223344, raw + 1);
	assert_int_equal(raw[1], 0x44);
	assert_int_equal(get_unaligned_le32(raw + 1), 0x11223344);
	put_unaligned_be24(0x123456, raw);
	assert_int_equal(raw[0], 0x12);
	assert_int_equal(get_unaligned_be24(raw), 0x123456);
	put_unaligned_le16(0x1234, raw + 3);
	assert_int_equal(get_unaligned_be16(raw + 3), 0x3412);
}

struct item {
	int n;
	struct list_head link;
};

static int digits(struct list_head *head)
{
	struct item *it;
	int n = 0;

	list_for_each_entry(it, head, link)
		n = n * 10 + it->n;
	return n;
}

static void lists(void **state)
{
	struct item item[4] = { { .n = 1 }, { .n = 2 }, { .n = 3 }, { .n = 4 } }, *it, *next;
	LIST_HEAD(a);
	LIST_HEAD(b);
	int n = 0;

	(void)state;
	assert_true(list_empty(&a));
	assert_null(list_first_entry_or_null(&a, struct item, link));
	list_add(&item[1].link, &a);
	assert_true(list_is_singular(&a));
	list_add(&item[0].link, &a);
	list_add_tail(&item[2].link, &a);
	assert_int_equal(digits(&a), 123);
	assert_true(list_is_first(&item[0].link, &a));
	assert_true(list_is_last(&item[2].link, &a));
	assert_ptr_equal(list_next_entry(&item[0], link), &item[1]);
	assert_ptr_equal(list_prev_entry(&item[1], link), &item[0]);
	list_for_each_entry_reverse(it, &a, link) n = n * 10 + it->n;
	assert_int_equal(n, 321);
	list_move(&item[2].link, &a);
	assert_int_equal(digits(&a), 312);
	list_move_tail(&item[2].link, &a);
	assert_int_equal(digits(&a), 123);
	list_replace(&item[1].link, &item[3].link);
	assert_int_equal(digits(&a), 143);
	list_add(&item[1].link, &b);
	list_splice_tail_init(&b, &a);
	assert_true(list_empty(&b));
	assert_int_equal(digits(&a), 1432);
	list_splice_init(&a, &b);
	assert_true(list_empty(&a));
	list_for_each_entry_safe(it, next, &b, link)
		if (it->n & 1)
			list_del_init(&it->link);
	assert_int_equal(digits(&b), 42);
	assert_true(list_empty(&item[0].link));
	list_del(&item[3].link);
	assert_int_equal(digits(&b), 2);
}

static void strings(void **state)
{
	int many = 12345;
	char buf[4];

	(void)state;
	assert_int_equal(strscpy(buf, "abc", sizeof(buf)), 3);
	assert_int_equal(strscpy(buf, "abcd", sizeof(buf)), -E2BIG);
	assert_string_equal(buf, "abc");
	assert_int_equal(scnprintf(buf, sizeof(buf), "%d", *(volatile int *)&many), 3);
	assert_int_equal(scnprintf(buf, sizeof(buf), "%d", 7), 1);
}

static void chance(void **state)
{
	u8 buf[64] = { 0 };
	u32 seen = 0, i, bits = 0;

	(void)state;
	for (i = 0; i < 1000; i++) {
		u32 n = get_random_u32_below(5);

		assert_true(n < 5);
		seen |= 1u << n;
	}
	assert_int_equal(seen, 31);
	get_random_bytes(buf, sizeof(buf));
	for (i = 0; i < sizeof(buf); i++)
		bits += hweight32(buf[i]);
	assert_true(bits > 128 && bits < 384);
	assert_true(get_random_u64() != get_random_u64());
}

static void messages(void **state)
{
	(void)state;
	test_log_take();
	pr_err("one %d\n", 1);
	assert_string_equal(test_log_take(), "error: one 1\n");
	printk(KERN_INFO "two\n");
	assert_non_null(strstr(test_log_take(), "two"));
	pr_debug("nothing\n");
	assert_string_equal(test_log_take(), "");
}

/* --- atomics and references --- */

static int released;

static void release(struct kref *k)
{
	(void)k;
	released++;
}

static void references(void **state)
{
	atomic_t a = ATOMIC_INIT(5);
	atomic64_t b = ATOMIC64_INIT(1ll << 40);
	u64 word = 7;
	struct kref k;

	(void)state;
	assert_int_equal(atomic_inc_return(&a), 6);
	assert_int_equal(atomic_fetch_add(4, &a), 6);
	assert_int_equal(atomic_sub_return(9, &a), 1);
	assert_true(atomic_dec_and_test(&a));
	assert_false(atomic_inc_not_zero(&a));
	atomic_set(&a, 3);
	assert_true(atomic_add_unless(&a, 2, 4));
	assert_false(atomic_add_unless(&a, 2, 5));
	assert_int_equal(atomic_cmpxchg(&a, 5, 9), 5);
	assert_int_equal(atomic_cmpxchg(&a, 5, 1), 9);
	assert_int_equal(atomic_xchg(&a, 2), 9);
	atomic64_inc(&b);
	assert_true(atomic64_read(&b) == (1ll << 40) + 1);
	assert_int_equal(cmpxchg(&word, 7, 8), 7);
	assert_int_equal(xchg(&word, 9), 8);
	released = 0;
	kref_init(&k);
	kref_get(&k);
	assert_int_equal(kref_put(&k, release), 0);
	assert_true(kref_get_unless_zero(&k));
	assert_int_equal(kref_put(&k, release), 0);
	assert_int_equal(kref_put(&k, release), 1);
	assert_int_equal(released, 1);
	assert_false(kref_get_unless_zero(&k));
}

/* --- locks: what a thread may not do --- */

static DEFINE_SPINLOCK(spin);
static DEFINE_MUTEX(mutex);

static void mutex_under_spin(void *arg)
{
	(void)arg;
	spin_lock(&spin);
	mutex_lock(&mutex);
	mutex_unlock(&mutex);
	spin_unlock(&spin);
}

static void kmalloc_under_spin(void *arg)
{
	spin_lock(&spin);
	kfree(kmalloc(100, arg ? GFP_KERNEL : GFP_ATOMIC));
	spin_unlock(&spin);
}

static void wait_under_spin(void *arg)
{
	DECLARE_COMPLETION_ONSTACK(done);

	(void)arg;
	complete(&done);
	spin_lock(&spin);
	wait_for_completion(&done);
	spin_unlock(&spin);
}

static void not_held(void *arg)
{
	(void)arg;
	lockdep_assert_held(&mutex);
}

static void unlocks_what_it_has_not(void *arg)
{
	(void)arg;
	mutex_unlock(&mutex);
}

static void locks_twice(void *arg)
{
	(void)arg;
	spin_lock(&spin);
}

static void lock_rules(void **state)
{
	(void)state;
	test_log_take();
	assert_int_equal(test_expect_warn(mutex_under_spin, NULL), 1);
	assert_non_null(strstr(test_log_take(), "test_kernel_names.c:"));
	assert_int_equal(test_expect_warn(kmalloc_under_spin, &spin), 1);
	assert_int_equal(test_expect_warn(kmalloc_under_spin, NULL), 0);
	assert_int_equal(test_expect_warn(wait_under_spin, NULL), 1);
	assert_int_equal(test_expect_warn(not_held, NULL), 1);
	assert_int_equal(test_expect_warn(unlocks_what_it_has_not, NULL), 1);
	mutex_lock(&mutex);
	assert_int_equal(test_expect_warn(not_held, NULL), 0);
	mutex_unlock(&mutex);
	spin_lock(&spin);
	assert_true(test_expect_bug(locks_twice, NULL));
	spin_unlock(&spin);
	assert_false(in_atomic());
}

/* --- memory --- */

static struct machine *m;

static int memory_setup(void **state)
{
	const struct machine_attr attr = { .name = "heap", .low_bytes = 4 << 20 };

	note_live(state);
	return machine_create(&attr, &m);
}

static int memory_teardown(void **state)
{
	return machine_destroy(m) || no_leaks(state);
}

static void allocations(void **state)
{
	static const size_t sizes[] = { 1, 8, 16, 17, 100, 512, 1000, 1024, 2048, 2049, 4096, 5000, 16384 };
	u8 *p[ARRAY_SIZE(sizes)][20];
	const struct machine_map *map = machine_map(m);
	u64 before = machine_free_pages(m);
	u32 i, j;

	(void)state;
	machine_set_current(m);
	for (j = 0; j < 20; j++)
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			p[i][j] = kmalloc(sizes[i], GFP_KERNEL);
			assert_non_null(p[i][j]);
			assert_true((uintptr_t)p[i][j] - map->virt < map->low_bytes);
			if (is_power_of_2(sizes[i]))
				assert_true(IS_ALIGNED((uintptr_t)p[i][j], min_t(size_t, sizes[i], 4096)));
			assert_true(IS_ALIGNED((uintptr_t)p[i][j], ARCH_KMALLOC_MINALIGN));
			assert_int_equal(ksize(p[i][j]), sizes[i]);
			memset(p[i][j], (int)(i + j), sizes[i]);
		}
	assert_int_equal(softhca_kmalloc_live(m), 20 * ARRAY_SIZE(sizes));
	/* No two share a byte. */
	for (j = 0; j < 20; j++)
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			assert_int_equal(p[i][j][0], (u8)(i + j));
			assert_int_equal(p[i][j][sizes[i] - 1], (u8)(i + j));
			kfree(p[i][j]);
		}
	assert_int_equal(softhca_kmalloc_live(m), 0);
	assert_int_equal(machine_free_pages(m), before);
}

static void can_be_mapped(void **state)
{
	const struct device_attr da = { .name = "dev" };
	struct ib_device *ib;
	struct scatterlist sg;
	struct device *dev;
	dma_addr_t addr;
	u8 *p;

	(void)state;
	machine_set_current(m);
	assert_int_equal(device_create(m, &da, &dev), 0);
	assert_int_equal(dmahca_create(dev, "dma", NULL, &ib), 0);
	p = kzalloc(3000, GFP_KERNEL);
	addr = ib_dma_map_single(ib, p, 3000, DMA_TO_DEVICE);
	assert_int_equal(ib_dma_mapping_error(ib, addr), 0);
	ib_dma_unmap_single(ib, addr, 3000, DMA_TO_DEVICE);
	sg_init_one(&sg, p + 100, 200);
	assert_int_equal(ib_dma_map_sg(ib, &sg, 1, DMA_TO_DEVICE), 1);
	assert_int_equal(sg_dma_len(&sg), 200);
	ib_dma_unmap_sg(ib, &sg, 1, DMA_TO_DEVICE);
	kfree(p);
	dmahca_destroy(ib);
	device_destroy(dev);
}

/* What a driver keeps of its mappings, and a table given back as a whole. */
static void kept_for_the_unmap(void **state)
{
	const struct machine_attr attr = { .name = "iommu", .low_bytes = 2 << 20, .platform = MACHINE_IOMMU };
	const struct device_attr da = { .name = "dev" };
	struct {
		DEFINE_DMA_UNMAP_ADDR(addr);
		DEFINE_DMA_UNMAP_LEN(len);
	} kept;
	struct device_stats st;
	struct machine *other;
	struct scatterlist *sg;
	struct sg_table sgt;
	struct device *dev;
	unsigned int i;
	void *p;

	(void)state;
	assert_int_equal(machine_create(&attr, &other), 0);
	assert_int_equal(device_create(other, &da, &dev), 0);
	machine_set_current(other);
	p = kmalloc(64, GFP_NOIO);
	assert_non_null(p);
	dma_unmap_addr_set(&kept, addr, dma_map_single(dev, p, 64, DMA_TO_DEVICE));
	dma_unmap_len_set(&kept, len, 64);
	assert_int_equal(dma_mapping_error(dev, dma_unmap_addr(&kept, addr)), 0);
	dma_unmap_single(dev, dma_unmap_addr(&kept, addr), dma_unmap_len(&kept, len), DMA_TO_DEVICE);
	assert_int_equal(sg_alloc_table(&sgt, 3, GFP_KERNEL), 0);
	for_each_sgtable_sg(&sgt, sg, i)
		sg_set_buf(sg, p, 64);
	assert_int_equal(dma_map_sgtable(dev, &sgt, DMA_TO_DEVICE, 0), 0);
	device_get_stats(dev, &st);
	assert_true(st.iova_pages > 0);
	dma_unmap_sgtable(dev, &sgt, DMA_TO_DEVICE, 0);
	device_get_stats(dev, &st);
	assert_int_equal(st.iova_pages, 0);
	sg_free_table(&sgt);
	kfree(p);
	device_destroy(dev);
	assert_int_equal(machine_destroy(other), 0);
	machine_set_current(m);
}

static void family(void **state)
{
	struct kmem_cache *cache;
	unsigned long page;
	char *s, *t;
	u8 *p;
	u32 i;

	(void)state;
	machine_set_current(m);
	assert_ptr_equal(kmalloc(0, GFP_KERNEL), ZERO_SIZE_PTR);
	kfree(ZERO_SIZE_PTR);
	kfree(NULL);
	assert_null(kcalloc(SIZE_MAX / 2, 3, GFP_KERNEL));
	assert_null(kmalloc(8ull << 20, GFP_KERNEL));
	p = kmalloc(64, GFP_KERNEL);
	memset(p, 0xff, 64);
	kfree(p);
	p = kzalloc(64, GFP_ATOMIC);
	for (i = 0; i < 64; i++)
		assert_int_equal(p[i], 0);
	memset(p, 7, 64);
	p = krealloc(p, 5000, GFP_KERNEL);
	assert_int_equal(ksize(p), 5000);
	assert_int_equal(p[63], 7);
	p = krealloc(p, 10, GFP_KERNEL);
	assert_int_equal(p[9], 7);
	s = kstrdup("softhca", GFP_KERNEL);
	t = kmemdup(s, 8, GFP_KERNEL);
	assert_string_equal(t, "softhca");
	kfree_sensitive(s);
	kvfree(t);
	vfree(p);
	cache = kmem_cache_create("things", 96, 0, SLAB_HWCACHE_ALIGN, NULL);
	p = kmem_cache_zalloc(cache, GFP_KERNEL);
	assert_int_equal(p[95], 0);
	kmem_cache_free(cache, p);
	kmem_cache_destroy(cache);
	page = get_zeroed_page(GFP_KERNEL);
	assert_true(page && !offset_in_page(page));
	free_page(page);
	assert_int_equal(softhca_kmalloc_live(m), 0);
}

static void *wrong;

static void free_it(void *arg)
{
	(void)arg;
	kfree(wrong);
}

static void wrong_frees(void **state)
{
	u8 *p, local = 0;

	(void)state;
	machine_set_current(m);
	p = kmalloc(100, GFP_KERNEL);
	wrong = p + 16;
	assert_int_equal(test_expect_warn(free_it, NULL), 1);
	wrong = &local;
	assert_int_equal(test_expect_warn(free_it, NULL), 1);
	kfree(kmalloc(100, GFP_KERNEL));
	wrong = p;
	kfree(p);
	test_log_take();
	assert_int_equal(test_expect_warn(free_it, NULL), 1);
	assert_non_null(strstr(test_log_take(), "was freed already"));
}

/* What wasn't freed is named by its line. */
static void leaks_are_told(void **state)
{
	const struct machine_attr attr = { .name = "leaky", .low_bytes = 2 << 20 };
	struct machine *leaky;
	void *p, *q;

	(void)state;
	assert_int_equal(machine_create(&attr, &leaky), 0);
	machine_set_current(leaky);
	p = kmalloc(33, GFP_KERNEL);
	q = kmalloc(9000, GFP_KERNEL);
	test_log_take();
	assert_int_equal(machine_destroy(leaky), -EBUSY);
	assert_non_null(strstr(test_log_take(), "leaky: 33 bytes of kmalloc() weren't freed; allocated at"));
	assert_int_equal(machine_destroy(leaky), -EBUSY);
	assert_non_null(strstr(test_log_take(), "test_kernel_names.c:"));
	kfree(p);
	kfree(q);
	assert_int_equal(machine_destroy(leaky), 0);
	machine_set_current(m);
}

static void without_memory(void **state)
{
	(void)state;
	machine_set_current(m);
	kfree(kmalloc(8, GFP_KERNEL)); /* the heap is there */
	TEST_FAIL_LOOP(fail)
	{
		void *p = kmalloc(100, GFP_KERNEL), *q = kmalloc(10000, GFP_KERNEL);

		kfree(p);
		kfree(q);
	}
	machine_set_current(NULL);
	assert_null(kmalloc(100, GFP_KERNEL));
	machine_set_current(m);
}

#define M(f) cmocka_unit_test_setup_teardown(f, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(numbers),	   T(bits),	T(byte_order), T(lists),       T(strings),
		T(chance),	   T(messages), T(references), M(allocations), M(kept_for_the_unmap),
		M(can_be_mapped),  M(family),	T(lock_rules), M(wrong_frees), M(leaks_are_told),
		M(without_memory),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
