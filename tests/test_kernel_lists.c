/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* softhca/kernel.h: lists of all kinds, hash tables, trees, and pointers by number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "no_leaks.h"
#include "softhca/kernel.h"

struct item {
	int n;
	struct list_head link;
	struct hlist_node hash;
	struct llist_node chain;
	struct rb_node tree;
};

#define ITEMS 600

static struct item item[ITEMS];

static void number_items(void)
{
	int i;

	memset(item, 0, sizeof(item));
	for (i = 0; i < ITEMS; i++)
		item[i].n = i;
}

static int digits(struct list_head *head)
{
	struct item *it;
	int n = 0;

	list_for_each_entry(it, head, link)
		n = n * 10 + it->n;
	return n;
}

static void fill(struct list_head *head, int from, int to)
{
	for (; from <= to; from++)
		list_add_tail(&item[from].link, head);
}

static void rarer_list_calls(void **state)
{
	struct item *it, *next;
	LIST_HEAD(a);
	LIST_HEAD(b);
	int n = 0;

	(void)state;
	number_items();
	fill(&a, 1, 5);
	assert_int_equal(list_count_nodes(&a), 5);
	assert_false(list_empty_careful(&a));
	assert_true(list_is_head(item[5].link.next, &a));
	list_rotate_left(&a);
	assert_int_equal(digits(&a), 23451);
	list_bulk_move_tail(&a, &item[3].link, &item[4].link);
	assert_int_equal(digits(&a), 25134);
	list_cut_position(&b, &a, &item[5].link);
	assert_int_equal(digits(&b), 25);
	assert_int_equal(digits(&a), 134);
	list_cut_position(&b, &a, &a);
	assert_true(list_empty(&b));
	list_swap(&item[1].link, &item[3].link);
	assert_int_equal(digits(&a), 314);
	list_swap(&item[3].link, &item[4].link);
	assert_int_equal(digits(&a), 413);
	it = &item[4];
	list_for_each_entry_continue(it, &a, link) n = n * 10 + it->n;
	assert_int_equal(n, 13);
	it = &item[1];
	n = 0;
	list_for_each_entry_from(it, &a, link) n = n * 10 + it->n;
	assert_int_equal(n, 13);
	n = 0;
	list_for_each_entry_safe_reverse(it, next, &a, link)
	{
		n = n * 10 + it->n;
		list_del_init(&it->link);
	}
	assert_int_equal(n, 314);
	assert_true(list_empty(&a));
}

static void hlists(void **state)
{
	struct hlist_node *tmp;
	struct item *it;
	HLIST_HEAD(a);
	HLIST_HEAD(b);
	int n = 0;

	(void)state;
	number_items();
	assert_true(hlist_empty(&a));
	assert_true(hlist_unhashed(&item[1].hash));
	hlist_add_head(&item[1].hash, &a);
	hlist_add_before(&item[2].hash, &item[1].hash);
	hlist_add_behind(&item[3].hash, &item[1].hash);
	hlist_for_each_entry(it, &a, hash) n = n * 10 + it->n;
	assert_int_equal(n, 213);
	hlist_del_init(&item[1].hash);
	hlist_del_init(&item[1].hash); /* it is in none */
	assert_true(hlist_unhashed(&item[1].hash));
	hlist_move_list(&a, &b);
	assert_true(hlist_empty(&a));
	n = 0;
	hlist_for_each_entry_safe(it, tmp, &b, hash)
	{
		n = n * 10 + it->n;
		hlist_del(&it->hash);
	}
	assert_int_equal(n, 23);
	assert_true(hlist_empty(&b));
}

static void hash_tables(void **state)
{
	DEFINE_HASHTABLE(table, 4);
	struct hlist_node *tmp;
	struct item *it;
	u32 used = 0;
	int i, n = 0;

	(void)state;
	number_items();
	assert_int_equal(HASH_SIZE(table), 16);
	assert_true(hash_empty(table));
	for (i = 0; i < 64; i++)
		hash_add(table, &item[i].hash, item[i].n);
	hash_for_each_possible(table, it, hash, 17) n += it->n == 17;
	assert_int_equal(n, 1);
	for (i = 0; i < 16; i++)
		used += !hlist_empty(&table[i]);
	assert_true(used > 8);
	hash_del(&item[17].hash);
	assert_false(hash_hashed(&item[17].hash));
	n = 0;
	hash_for_each_safe(table, i, tmp, it, hash)
	{
		hash_del(&it->hash);
		n++;
	}
	assert_int_equal(n, 63);
	assert_true(hash_empty(table));
	assert_true(hash_32(1, 8) < 256 && hash_64(1, 8) < 256 && hash_ptr(&n, 8) < 256);
}

static void llists(void **state)
{
	struct llist_node *chain;
	struct item *it, *next;
	LLIST_HEAD(head);
	int n = 0;

	(void)state;
	number_items();
	assert_true(llist_add(&item[1].chain, &head));
	assert_false(llist_add(&item[2].chain, &head));
	llist_add(&item[3].chain, &head);
	assert_ptr_equal(llist_del_first(&head), &item[3].chain);
	chain = llist_reverse_order(llist_del_all(&head));
	assert_true(llist_empty(&head));
	llist_for_each_entry_safe(it, next, chain, chain) n = n * 10 + it->n;
	assert_int_equal(n, 12);
	assert_null(llist_del_first(&head));
}

/* --- trees --- */

static void insert(struct rb_root *root, struct item *new)
{
	struct rb_node **link = &root->rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = new->n < rb_entry(parent, struct item, tree)->n ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&new->tree, parent, link);
	rb_insert_color(&new->tree, root);
}

static int depth(const struct rb_node *n)
{
	return n ? 1 + max(depth(n->rb_left), depth(n->rb_right)) : 0;
}

static void is_sorted(const struct rb_root *root, const bool *in)
{
	struct rb_node *n = rb_first(root), *last = NULL;
	int i;

	for (i = 0; i < ITEMS; i++)
		if (in[i]) {
			assert_ptr_equal(n, &item[i].tree);
			assert_ptr_equal(rb_prev(n), last);
			last = n;
			n = rb_next(n);
		}
	assert_null(n);
	assert_ptr_equal(rb_last(root), last);
}

static void trees(void **state)
{
	struct rb_root root = RB_ROOT;
	struct item *it, *next, other = { .n = 300 };
	bool in[ITEMS] = { false };
	int i, n = 0;

	(void)state;
	number_items();
	assert_true(RB_EMPTY_ROOT(&root));
	for (i = 0; i < ITEMS; i++) {
		insert(&root, &item[i]); /* in order: without balance it would be a list */
		in[i] = true;
	}
	is_sorted(&root, in);
	assert_true(depth(root.rb_node) < 60);
	rb_replace_node(&item[300].tree, &other.tree, &root);
	assert_ptr_equal(rb_next(&item[299].tree), &other.tree);
	assert_ptr_equal(rb_prev(&item[301].tree), &other.tree);
	rb_erase(&other.tree, &root);
	in[300] = false;
	is_sorted(&root, in);
	for (i = 0; i < ITEMS; i += 3)
		if (in[i]) {
			rb_erase(&item[i].tree, &root);
			RB_CLEAR_NODE(&item[i].tree);
			in[i] = false;
		}
	assert_true(RB_EMPTY_NODE(&item[3].tree));
	is_sorted(&root, in);
	rbtree_postorder_for_each_entry_safe(it, next, &root, tree)
	{
		n++;
		memset(it, 0xff, sizeof(*it)); /* as if it were freed */
	}
	assert_int_equal(n, 400);
}

/* --- pointers by number --- */

static void xarrays(void **state)
{
	static const unsigned long at[] = { 0, 63, 64, 4095, 4096, 1ul << 20, ~0ul };
	struct xarray xa;
	unsigned long index, n = 0;
	void *entry;
	u32 i;

	(void)state;
	number_items();
	xa_init(&xa);
	assert_true(xa_empty(&xa));
	assert_null(xa_load(&xa, 0));
	for (i = 0; i < ARRAY_SIZE(at); i++)
		assert_null(xa_store(&xa, at[i], &item[i], GFP_KERNEL));
	xa_for_each(&xa, index, entry)
	{
		assert_int_equal(index, at[n]);
		assert_ptr_equal(entry, &item[n]);
		n++;
	}
	assert_int_equal(n, ARRAY_SIZE(at));
	assert_null(xa_load(&xa, 65));
	assert_ptr_equal(xa_store(&xa, 64, &item[9], GFP_KERNEL), &item[2]);
	assert_int_equal(xa_insert(&xa, 64, &item[1], GFP_KERNEL), -EBUSY);
	assert_int_equal(xa_insert(&xa, 65, &item[1], GFP_KERNEL), 0);
	assert_ptr_equal(xa_cmpxchg(&xa, 65, &item[2], &item[3], GFP_KERNEL), &item[1]);
	assert_ptr_equal(xa_cmpxchg(&xa, 65, &item[1], &item[3], GFP_KERNEL), &item[1]);
	assert_ptr_equal(xa_load(&xa, 65), &item[3]);
	assert_int_equal(xa_err(xa_store(&xa, 1, (void *)2, GFP_KERNEL)), -EINVAL);
	assert_true(xa_is_value(xa_mk_value(77)));
	assert_int_equal(xa_to_value(xa_mk_value(77)), 77);
	n = 0;
	xa_for_each_range(&xa, index, entry, 63, 4095) n++;
	assert_int_equal(n, 4);
	xa_lock(&xa);
	assert_ptr_equal(__xa_erase(&xa, 65), &item[3]);
	assert_null(xa_load(&xa, 65));
	xa_unlock(&xa);
	xa_for_each(&xa, index, entry) assert_non_null(xa_erase(&xa, index));
	assert_true(xa_empty(&xa));
	xa_store(&xa, 12345, &item[0], GFP_KERNEL);
	xa_destroy(&xa);
	assert_true(xa_empty(&xa));
}

static void lowest_free_number(void **state)
{
	DEFINE_XARRAY_ALLOC1(xa);
	u32 id, i, next = 0;

	(void)state;
	number_items();
	for (i = 1; i <= 200; i++) {
		assert_int_equal(xa_alloc(&xa, &id, &item[i], xa_limit_32b, GFP_KERNEL), 0);
		assert_int_equal(id, i);
	}
	xa_erase(&xa, 64);
	xa_erase(&xa, 130);
	assert_int_equal(xa_alloc(&xa, &id, &item[0], XA_LIMIT(65, 1000), GFP_KERNEL), 0);
	assert_int_equal(id, 130);
	assert_int_equal(xa_alloc(&xa, &id, &item[0], xa_limit_32b, GFP_KERNEL), 0);
	assert_int_equal(id, 64);
	assert_int_equal(xa_alloc(&xa, &id, &item[0], XA_LIMIT(1, 200), GFP_KERNEL), -EBUSY);
	xa_erase(&xa, 7);
	next = 200;
	assert_int_equal(xa_alloc_cyclic(&xa, &id, &item[0], XA_LIMIT(1, 200), &next, GFP_KERNEL), 1);
	assert_int_equal(id, 7);
	assert_int_equal(next, 8);
	xa_destroy(&xa);
}

static int add_up(int id, void *p, void *data)
{
	(void)p;
	*(int *)data += id;
	return id == 20 ? -EINTR : 0;
}

static void idrs(void **state)
{
	DEFINE_IDR(idr);
	struct item *it;
	int id, n = 0;
	u32 big = 70000;

	(void)state;
	number_items();
	assert_int_equal(idr_alloc(&idr, &item[0], 0, 0, GFP_KERNEL), 0);
	assert_int_equal(idr_alloc(&idr, &item[1], 10, 12, GFP_KERNEL), 10);
	assert_int_equal(idr_alloc(&idr, &item[2], 10, 12, GFP_KERNEL), 11);
	assert_int_equal(idr_alloc(&idr, &item[3], 10, 12, GFP_KERNEL), -ENOSPC);
	assert_int_equal(idr_alloc_u32(&idr, &item[4], &big, 80000, GFP_KERNEL), 0);
	assert_int_equal(big, 70000);
	assert_ptr_equal(idr_find(&idr, 10), &item[1]);
	assert_ptr_equal(idr_replace(&idr, &item[5], 10), &item[1]);
	assert_int_equal(PTR_ERR(idr_replace(&idr, &item[5], 9)), -ENOENT);
	idr_for_each_entry(&idr, it, id) n += it->n;
	assert_int_equal(n, 0 + 5 + 2 + 4);
	assert_ptr_equal(idr_remove(&idr, 70000), &item[4]);
	assert_int_equal(idr_alloc(&idr, &item[6], 20, 0, GFP_KERNEL), 20);
	assert_int_equal(idr_alloc(&idr, &item[7], 20, 0, GFP_KERNEL), 21);
	n = 0;
	assert_int_equal(idr_for_each(&idr, add_up, &n), -EINTR);
	assert_int_equal(n, 10 + 11 + 20);
	assert_int_equal(idr_alloc_cyclic(&idr, &item[8], 0, 0, GFP_KERNEL), 1);
	idr_remove(&idr, 1);
	assert_int_equal(idr_alloc_cyclic(&idr, &item[8], 0, 0, GFP_KERNEL), 2);
	idr_destroy(&idr);
	assert_true(idr_is_empty(&idr));
}

static struct ida ids = IDA_INIT(ids);

static void free_one_that_is_free(void *arg)
{
	(void)arg;
	ida_free(&ids, 3);
}

static void idas(void **state)
{
	(void)state;
	assert_int_equal(ida_alloc(&ids, GFP_KERNEL), 0);
	assert_int_equal(ida_alloc(&ids, GFP_KERNEL), 1);
	assert_int_equal(ida_alloc_range(&ids, 5, 5, GFP_KERNEL), 5);
	assert_int_equal(ida_alloc_range(&ids, 5, 5, GFP_KERNEL), -ENOSPC);
	ida_free(&ids, 0);
	assert_int_equal(ida_simple_get(&ids, 0, 0, GFP_KERNEL), 0);
	assert_int_equal(test_expect_warn(free_one_that_is_free, NULL), 1);
	ida_destroy(&ids);
	assert_true(ida_is_empty(&ids));
}

/* No memory: nothing is stored, nothing is left over, and what was there stays. */
static void without_memory(void **state)
{
	(void)state;
	number_items();
	TEST_FAIL_LOOP(fail)
	{
		DEFINE_XARRAY_ALLOC(xa);
		u32 id;

		if (!xa_is_err(xa_store(&xa, 5000, &item[1], GFP_KERNEL)))
			assert_ptr_equal(xa_load(&xa, 5000), &item[1]);
		else
			assert_null(xa_load(&xa, 5000));
		if (xa_is_err(xa_store(&xa, 70, &item[2], GFP_KERNEL)))
			assert_null(xa_load(&xa, 70));
		if (!xa_alloc(&xa, &id, &item[3], XA_LIMIT(1u << 25, ~0u), GFP_KERNEL))
			assert_int_equal(id, 1u << 25);
		xa_erase(&xa, 5000);
		xa_erase(&xa, 70);
		xa_erase(&xa, 1ul << 25);
		assert_true(xa_empty(&xa));
	}
}

/* --- where a thread may not sleep --- */

static DEFINE_RWLOCK(rw);
static DEFINE_PER_CPU(int, counter);

static void sleeps_as_a_reader(void *arg)
{
	rcu_read_lock();
	rcu_read_lock();
	rcu_read_unlock();
	if (arg)
		might_sleep();
	rcu_read_unlock();
	might_sleep();
}

static void sleeps_under_read_lock(void *arg)
{
	(void)arg;
	read_lock(&rw);
	might_sleep();
	read_unlock(&rw);
	might_sleep();
}

static void sleeps_on_its_cpu(void *arg)
{
	(void)arg;
	(void)get_cpu();
	might_sleep();
	put_cpu();
	might_sleep();
}

static void has_no_cpu(void *arg)
{
	(void)arg;
	(*this_cpu_ptr(&counter))++;
}

static void unlocks_what_it_has_not(void *arg)
{
	(void)arg;
	write_unlock(&rw);
}

static void writes_twice(void *arg)
{
	(void)arg;
	write_lock(&rw);
}

static void sleep_rules(void **state)
{
	(void)state;
	assert_int_equal(test_expect_warn(sleeps_as_a_reader, NULL), 0);
	test_log_take();
	assert_int_equal(test_expect_warn(sleeps_as_a_reader, &rw), 1);
	assert_non_null(strstr(test_log_take(), "inside rcu_read_lock()"));
	assert_int_equal(test_expect_warn(sleeps_under_read_lock, NULL), 1);
	assert_int_equal(test_expect_warn(sleeps_on_its_cpu, NULL), 1);
	assert_int_equal(test_expect_warn(has_no_cpu, NULL), 1);
	assert_int_equal(test_expect_warn(unlocks_what_it_has_not, NULL), 1);
	preempt_disable();
	assert_int_equal(test_expect_warn(has_no_cpu, NULL), 0);
	preempt_enable();
	write_lock(&rw);
	assert_false(read_trylock(&rw));
	assert_true(test_expect_bug(writes_twice, NULL));
	write_unlock(&rw);
	assert_true(write_trylock(&rw));
	write_unlock(&rw);
	assert_false(in_atomic());
	assert_false(rcu_read_lock_held());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(rarer_list_calls),   T(hlists), T(hash_tables), T(llists),	     T(trees),	     T(xarrays),
		T(lowest_free_number), T(idrs),	  T(idas),	  T(without_memory), T(sleep_rules),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
