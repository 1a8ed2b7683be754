/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* softhca/kernel.h: numbers, options and addresses from text, iterators over memory, pools, UUIDs, and small names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "no_leaks.h"
#include "softhca/kernel.h"
#include "softhca/rdma_cm.h"

static struct machine *m;

static int memory_setup(void **state)
{
	const struct machine_attr attr = { .name = "text", .low_bytes = 4 << 20, .high_bytes = 2 << 20 };

	note_live(state);
	if (machine_create(&attr, &m))
		return -1;
	machine_set_current(m);
	return 0;
}

static int memory_teardown(void **state)
{
	return machine_destroy(m) || no_leaks(state);
}

static void numbers(void **state)
{
	unsigned long long ull;
	char *end;
	u16 h = 1;
	bool b;
	int i;
	s8 c;
	u8 u;

	(void)state;
	assert_int_equal(kstrtoint("-12\n", 10, &i), 0);
	assert_int_equal(i, -12);
	assert_int_equal(kstrtoint("0x1f", 0, &i), 0);
	assert_int_equal(i, 31);
	assert_int_equal(kstrtoint("12a", 10, &i), -EINVAL);
	assert_int_equal(kstrtoint("", 10, &i), -EINVAL);
	assert_int_equal(kstrtoint(" 1", 10, &i), -EINVAL);
	assert_int_equal(kstrtoint("1\n\n", 10, &i), -EINVAL);
	assert_int_equal(kstrtoint("2147483648", 10, &i), -ERANGE);
	assert_int_equal(i, 31);
	assert_int_equal(kstrtou16("65536", 10, &h), -ERANGE);
	assert_int_equal(h, 1);
	assert_int_equal(kstrtou16("65535", 10, &h), 0);
	assert_int_equal(kstrtou8("-1", 10, &u), -EINVAL);
	assert_int_equal(kstrtos8("-128", 10, &c), 0);
	assert_int_equal(c, -128);
	assert_int_equal(kstrtoull("18446744073709551615", 10, &ull), 0);
	assert_true(ull == ~0ull);
	assert_int_equal(kstrtoull("18446744073709551616", 10, &ull), -ERANGE);
	assert_int_equal(kstrtobool("On", &b), 0);
	assert_true(b);
	assert_int_equal(kstrtobool("0", &b), 0);
	assert_false(b);
	assert_int_equal(kstrtobool("maybe", &b), -EINVAL);
	assert_int_equal(simple_strtoul("12,13", &end, 10), 12);
	assert_string_equal(end, ",13");
	assert_int_equal(simple_strtol("-7", NULL, 0), -7);
	assert_int_equal(simple_strtoul(" 7", &end, 0), 0);
	assert_string_equal(end, " 7");
	assert_true(memparse("4M,", &end) == 4 << 20);
	assert_string_equal(end, ",");
}

static void hex(void **state)
{
	char text[5] = { 0 };
	u8 raw[2];

	(void)state;
	assert_int_equal(hex2bin(raw, "aB09", 2), 0);
	assert_int_equal(raw[0], 0xab);
	assert_int_equal(raw[1], 9);
	assert_int_equal(hex2bin(raw, "0g", 1), -EINVAL);
	assert_ptr_equal(bin2hex(text, raw, 2), text + 4);
	assert_string_equal(text, "ab09");
}

enum { OPT_PORT, OPT_NAME, OPT_MODE, OPT_KEY, OPT_BIG, OPT_ERR };

static const match_table_t options = {
	{ OPT_PORT, "port=%d" },  { OPT_NAME, "name=%s" }, { OPT_MODE, "mode=%o" },
	{ OPT_KEY, "key=%x:%x" }, { OPT_BIG, "big=%u" },   { OPT_ERR, NULL },
};

static void option_tokens(void **state)
{
	substring_t args[MAX_OPT_ARGS];
	char port[] = "port=-564", name[] = "name=ib0", mode[] = "mode=755", key[] = "key=ff:1a",
	     big[] = "big=5000000000", none[] = "prt=1", more[] = "port=1x", to[3];
	char *s;
	u64 n;
	int i;

	(void)state;
	assert_int_equal(match_token(port, options, args), OPT_PORT);
	assert_int_equal(match_int(args, &i), 0);
	assert_int_equal(i, -564);
	assert_int_equal(match_token(name, options, args), OPT_NAME);
	s = match_strdup(args);
	assert_string_equal(s, "ib0");
	kfree(s);
	assert_int_equal(match_strlcpy(to, args, sizeof(to)), 3);
	assert_string_equal(to, "ib");
	assert_int_equal(match_token(mode, options, args), OPT_MODE);
	assert_int_equal(match_octal(args, &i), 0);
	assert_int_equal(i, 0755);
	assert_int_equal(match_token(key, options, args), OPT_KEY);
	assert_int_equal(match_hex(args + 1, &i), 0);
	assert_int_equal(i, 0x1a);
	assert_int_equal(match_token(big, options, args), OPT_BIG);
	assert_int_equal(match_int(args, &i), -ERANGE);
	assert_int_equal(match_u64(args, &n), 0);
	assert_true(n == 5000000000ull);
	assert_int_equal(match_token(none, options, args), OPT_ERR);
	assert_int_equal(match_token(more, options, args), OPT_ERR);
	assert_true(sysfs_streq("on\n", "on"));
	assert_false(sysfs_streq("on", "off"));
}

static void addresses(void **state)
{
	struct sockaddr_storage ss;
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	struct in6_addr mapped;
	const char *end;
	u8 raw[16];

	(void)state;
	assert_int_equal(in4_pton("10.1.2.3", -1, raw, -1, NULL), 1);
	assert_int_equal(raw[3], 3);
	assert_int_equal(in4_pton("10.1.2.3:20", -1, raw, ':', &end), 1);
	assert_string_equal(end, ":20");
	assert_int_equal(in4_pton("10.1.2", -1, raw, -1, NULL), 0);
	assert_int_equal(in6_pton("fe80::5%2", -1, raw, '%', &end), 1);
	assert_int_equal(raw[15], 5);
	assert_int_equal(inet_pton_with_scope(&init_net, AF_UNSPEC, "10.1.2.3", "5640", &ss), 0);
	assert_int_equal(ss.ss_family, AF_INET);
	assert_int_equal(ntohs(in->sin_port), 5640);
	assert_int_equal(rdma_addr_size_kss(&ss), sizeof(*in));
	assert_int_equal(inet_pton_with_scope(&init_net, AF_UNSPEC, "fe80::5%3", "1", &ss), 0);
	assert_int_equal(ss.ss_family, AF_INET6);
	assert_int_equal(in6->sin6_scope_id, 3);
	assert_int_equal(rdma_addr_size((struct sockaddr *)&ss), sizeof(*in6));
	assert_int_equal(inet_pton_with_scope(&init_net, AF_INET, "fe80::5", NULL, &ss), -EINVAL);
	assert_int_equal(inet_pton_with_scope(&init_net, AF_INET, "10.1.2.3", "70000", &ss), -EINVAL);
	ipv6_addr_set_v4mapped(htonl(0x0a010203), &mapped);
	assert_true(ipv6_addr_v4mapped(&mapped));
	assert_int_equal(mapped.s6_addr[15], 3);
}

static void made_text(void **state)
{
	unsigned long page = get_zeroed_page(GFP_KERNEL);
	char room[8];
	struct seq_file seq = { .buf = room, .size = sizeof(room) };
	char *s, text[] = "  two words \n";
	u8 raw[20];
	u32 i;

	(void)state;
	s = kasprintf(GFP_KERNEL, "%s-%d", "queue", 7);
	assert_string_equal(s, "queue-7");
	kfree(s);
	s = kstrndup("abcdef", 3, GFP_KERNEL);
	assert_string_equal(s, "abc");
	kfree(s);
	assert_int_equal(sysfs_emit((char *)(uintptr_t)page, "%d\n", 12), 3);
	assert_int_equal(sysfs_emit_at((char *)(uintptr_t)page, 3, "%s", "x"), 1);
	assert_string_equal((char *)(uintptr_t)page, "12\nx");
	free_page(page);
	seq_printf(&seq, ",a=%d", 1);
	assert_int_equal(seq.count, 4);
	assert_false(seq_has_overflowed(&seq));
	seq_puts(&seq, "too long");
	assert_true(seq_has_overflowed(&seq));
	assert_string_equal(strim(text), "two words");
	for (i = 0; i < sizeof(raw); i++)
		raw[i] = (u8)('A' + i);
	test_log_take();
	print_hex_dump(KERN_ERR, "b: ", DUMP_PREFIX_OFFSET, 16, 1, raw, sizeof(raw), true);
	s = (char *)(uintptr_t)test_log_take();
	assert_non_null(strstr(s, "b: 00000000: 41 42 43"));
	assert_non_null(strstr(s, "ABCDEFGHIJKLMNOP"));
	assert_non_null(strstr(s, "b: 00000010: 51 52 53 54"));
	dump_stack();
	assert_non_null(strstr(test_log_take(), "stack: "));
}

static void iterators(void **state)
{
	char a[4], b[6], text[16] = { 0 };
	const struct kvec vec[] = { { a, sizeof(a) }, { b, 0 }, { b, sizeof(b) } };
	struct page *page = alloc_pages(__GFP_HIGHMEM, 1);
	struct bio_vec bv[1];
	struct iov_iter it;

	(void)state;
	iov_iter_kvec(&it, ITER_DEST, vec, 3, 9);
	assert_int_equal(copy_to_iter("0123456789", 10, &it), 9);
	assert_int_equal(iov_iter_count(&it), 0);
	assert_memory_equal(a, "0123", 4);
	assert_memory_equal(b, "45678", 5);
	iov_iter_kvec(&it, ITER_SOURCE, vec, 3, 10);
	iov_iter_advance(&it, 3);
	assert_int_equal(copy_from_iter(text, 3, &it), 3);
	assert_string_equal(text, "345");
	/* Across two pages that need not be addressable. */
	bvec_set_page(&bv[0], page, 8, PAGE_SIZE - 4);
	iov_iter_bvec(&it, ITER_DEST, bv, 1, 8);
	assert_int_equal(copy_to_iter("abcdefgh", 8, &it), 8);
	iov_iter_bvec(&it, ITER_SOURCE, bv, 1, 8);
	assert_int_equal(copy_from_iter(text, 8, &it), 8);
	assert_string_equal(text, "abcdefgh");
	__free_pages(page, 1);
}

static void lists_page_by_page(void **state)
{
	struct page *page = alloc_pages(__GFP_HIGHMEM, 1);
	struct sg_mapping_iter it;
	struct scatterlist sg[2], inline_sg[2];
	struct sg_table table;
	char byte;
	u32 n = 0;

	(void)state;
	sg_init_table(sg, 2);
	sg_set_page(&sg[0], page, 100, PAGE_SIZE - 60);
	sg_set_page(&sg[1], page, 50, 7);
	sg_miter_start(&it, sg, 2, SG_MITER_TO_SG);
	while (sg_miter_next(&it)) {
		memset(it.addr, 'a' + (int)n, it.length);
		n++;
		assert_int_equal(it.length, n == 1 ? 60 : n == 2 ? 40 : 50);
	}
	sg_miter_stop(&it);
	assert_int_equal(n, 3);
	sg_pcopy_to_buffer(sg, 2, &byte, 1, 60);
	assert_int_equal(byte, 'b');
	sg_miter_start(&it, sg, 2, SG_MITER_FROM_SG);
	assert_true(sg_miter_skip(&it, 99));
	assert_true(sg_miter_next(&it));
	assert_int_equal(it.length, 1);
	it.consumed = 0;
	assert_true(sg_miter_next(&it));
	assert_int_equal(it.length, 1);
	sg_miter_stop(&it);
	assert_false(sg_miter_skip(&it, 50));
	assert_int_equal(sg_zero_buffer(sg, 2, 45, 58), 45);
	sg_pcopy_to_buffer(sg, 2, &byte, 1, 102);
	assert_int_equal(byte, 0);
	sg_pcopy_to_buffer(sg, 2, &byte, 1, 103);
	assert_int_equal(byte, 'c');
	assert_int_equal(sg_alloc_table_chained(&table, 2, inline_sg, 2), 0);
	assert_ptr_equal(table.sgl, inline_sg);
	sg_free_table_chained(&table, 2);
	assert_int_equal(sg_alloc_table_chained(&table, 3, inline_sg, 2), 0);
	assert_ptr_not_equal(table.sgl, inline_sg);
	sg_free_table_chained(&table, 2);
	__free_pages(page, 1);
}

static void pools_and_rings(void **state)
{
	struct kmem_cache *cache = kmem_cache_create("objects", 64, 0, 0, NULL);
	mempool_t *pool = mempool_create_slab_pool(2, cache);
	struct kfifo f;
	void *p[3];
	char out[16];
	u32 i;

	(void)state;
	assert_int_equal(pool->curr_nr, 2);
	for (i = 0; i < 2; i++)
		p[i] = mempool_alloc(pool, GFP_KERNEL);
	assert_int_equal(pool->curr_nr, 2); /* there was memory */
	machine_set_current(NULL);
	p[2] = mempool_alloc(pool, GFP_ATOMIC);
	assert_non_null(p[2]);
	assert_int_equal(pool->curr_nr, 1);
	machine_set_current(m);
	for (i = 0; i < 3; i++)
		mempool_free(p[i], pool);
	assert_int_equal(pool->curr_nr, 2);
	assert_int_equal(mempool_resize(pool, 4), 0);
	assert_int_equal(pool->curr_nr, 4);
	assert_int_equal(mempool_resize(pool, 1), 0);
	assert_int_equal(pool->curr_nr, 1);
	mempool_destroy(pool);
	kmem_cache_destroy(cache);

	assert_int_equal(kfifo_alloc(&f, 6, GFP_KERNEL), 0);
	assert_int_equal(kfifo_size(&f), 8);
	assert_int_equal(kfifo_in(&f, "abcde", 5), 5);
	assert_int_equal(kfifo_out(&f, out, 3), 3);
	assert_int_equal(kfifo_in(&f, "fghijkl", 7), 6);
	assert_true(kfifo_is_full(&f));
	assert_int_equal(kfifo_out_peek(&f, out, 2), 2);
	assert_int_equal(kfifo_out(&f, out, 16), 8);
	assert_memory_equal(out, "defghijk", 8);
	assert_true(kfifo_is_empty(&f));
	kfifo_free(&f);
}

/* --- what the compiler sees --- */

#define CONFIG_THAT_IS 1

#if !IS_ENABLED(CONFIG_THAT_IS) || IS_ENABLED(CONFIG_THAT_IS_NOT)
#error "IS_ENABLED() is wrong"
#endif

struct grouped {
	u8 before;
	struct_group(pair, u8 first; u8 second;);
	u8 after;
};

union flexible {
	u32 n;
	DECLARE_FLEX_ARRAY(u8, bytes);
};

struct counted {
	u32 n;
	u32 words[] __counted_by(n);
};

static void small_names(void **state)
{
	struct grouped g = { .first = 1, .second = 2, .after = 3 };
	uuid_t a, b;
	u64 n = 1000;
	u32 i, r;

	(void)state;
	memset(&g.pair, 9, sizeof(g.pair));
	assert_int_equal(g.second, 9);
	assert_int_equal(g.after, 3);
	assert_int_equal(offsetof(union flexible, bytes), 0);
	assert_int_equal(struct_size_t(struct counted, words, 3), 16);
	assert_string_equal(__stringify(CONFIG_THAT_IS), "1");
	assert_int_equal(order_base_2(1), 0);
	assert_int_equal(order_base_2(64), 6);
	assert_int_equal(order_base_2(65), 7);
	assert_int_equal(do_div(n, 7), 6);
	assert_int_equal(n, 142);
	for (i = 0; i < 200; i++) {
		r = get_random_u32_inclusive(5, 6);
		assert_true(r == 5 || r == 6);
	}
	(void)get_random_u32_inclusive(0, U32_MAX);
	uuid_gen(&a);
	uuid_gen(&b);
	assert_int_equal(a.b[6] & 0xf0, 0x40);
	assert_false(uuid_equal(&a, &b));
	uuid_copy(&a, &b);
	assert_true(uuid_equal(&a, &b));
}

static void more_atomics(void **state)
{
	atomic_long_t l = ATOMIC_LONG_INIT(3);
	atomic_t a = ATOMIC_INIT(5);
	refcount_t refs = REFCOUNT_INIT(1);
	int was = 4;

	(void)state;
	assert_false(atomic_try_cmpxchg(&a, &was, 9));
	assert_int_equal(was, 5);
	assert_true(atomic_try_cmpxchg_acquire(&a, &was, 9));
	assert_int_equal(atomic_fetch_or(6, &a), 9);
	assert_int_equal(atomic_fetch_and(12, &a), 15);
	atomic_andnot(4, &a);
	assert_int_equal(atomic_read_acquire(&a), 8);
	assert_int_equal(atomic_dec_if_positive(&a), 7);
	atomic_set(&a, 0);
	assert_int_equal(atomic_dec_if_positive(&a), -1);
	assert_int_equal(atomic_read(&a), 0);
	assert_true(atomic_dec_unless_positive(&a));
	assert_false(atomic_inc_unless_negative(&a));
	assert_int_equal(atomic_fetch_add_unless(&a, 5, -1), -1);
	assert_int_equal(atomic_long_sub_return(2, &l), 1);
	assert_true(atomic_long_dec_and_test(&l));
	assert_false(refcount_dec_not_one(&refs));
	assert_true(refcount_dec_if_one(&refs));
}

#define M(f) cmocka_unit_test_setup_teardown(f, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(numbers),	T(hex),		 M(option_tokens),	T(addresses),
		M(made_text),	M(iterators),	 M(lists_page_by_page), M(pools_and_rings),
		T(small_names), T(more_atomics),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
