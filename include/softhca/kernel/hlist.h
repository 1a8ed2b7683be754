/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * More of lists: the rarer calls on struct list_head, lists whose head is one pointer (hlist), tables of them, and
 * lists that are filled without a lock (llist). Those that are read under RCU are in rcu.h. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_HLIST_H
#define SOFTHCA_KERNEL_HLIST_H

#include "softhca/kernel/base.h"

/* --- struct list_head --- */

/** list_is_head() - has a walk come to the end? */
static inline int list_is_head(const struct list_head *list, const struct list_head *head)
{
	return list == head;
}

#define list_entry_is_head(pos, head, member) list_is_head(&(pos)->member, head)
#define list_for_each_prev(pos, head) for (pos = (head)->prev; pos != (head); pos = pos->prev)

/** list_count_nodes() - how many entries a list has */
static inline size_t list_count_nodes(struct list_head *head)
{
	struct list_head *pos;
	size_t n = 0;

	list_for_each(pos, head)
		n++;
	return n;
}

/** list_empty_careful() - as list_empty(), while another thread may take the last entry out */
static inline bool list_empty_careful(const struct list_head *head)
{
	const struct list_head *next = __atomic_load_n(&head->next, __ATOMIC_ACQUIRE);

	return next == head && next == READ_ONCE(head->prev);
}

/** list_replace_init() - @to takes the place of @from, which is an empty list then */
static inline void list_replace_init(struct list_head *from, struct list_head *to)
{
	list_replace(from, to);
	INIT_LIST_HEAD(from);
}

/** list_swap() - two entries change places, in one list or two */
static inline void list_swap(struct list_head *a, struct list_head *b)
{
	struct list_head *before = b->prev;

	list_del(b);
	list_replace(a, b);
	list_add(a, before == a ? b : before);
}

/** list_rotate_left() - the first entry becomes the last */
static inline void list_rotate_left(struct list_head *head)
{
	if (!list_empty(head))
		list_move_tail(head->next, head);
}

/** list_bulk_move_tail() - the entries @first to @last, which follow each other, become the last ones of @head */
static inline void list_bulk_move_tail(struct list_head *head, struct list_head *first, struct list_head *last)
{
	list_join_(first->prev, last->next);
	list_join_(head->prev, first);
	list_join_(last, head);
}

/** list_cut_position() - @list, whose own entries are lost, gets those of @head up to @entry; @entry == @head: none */
static inline void list_cut_position(struct list_head *list, struct list_head *head, struct list_head *entry)
{
	struct list_head *first = head->next, *rest = entry->next;

	INIT_LIST_HEAD(list);
	if (list_empty(head) || entry == head)
		return;
	list_join_(list, first);
	list_join_(entry, list);
	list_join_(head, rest);
}

/* From where @pos stands, or from the entry after it. */
#define list_prepare_entry(pos, head, member) ((pos) ? (pos) : list_entry(head, __typeof__(*(pos)), member))
#define list_for_each_entry_from(pos, head, member) \
	for (; !list_entry_is_head(pos, head, member); pos = list_next_entry(pos, member))
#define list_for_each_entry_from_reverse(pos, head, member) \
	for (; !list_entry_is_head(pos, head, member); pos = list_prev_entry(pos, member))
#define list_for_each_entry_continue(pos, head, member) \
	for (pos = list_next_entry(pos, member); !list_entry_is_head(pos, head, member); \
	     pos = list_next_entry(pos, member))
#define list_for_each_entry_continue_reverse(pos, head, member) \
	for (pos = list_prev_entry(pos, member); !list_entry_is_head(pos, head, member); \
	     pos = list_prev_entry(pos, member))
#define list_for_each_entry_safe_from(pos, n, head, member) \
	for (n = list_next_entry(pos, member); !list_entry_is_head(pos, head, member); \
	     pos = n, n = list_next_entry(n, member))
#define list_for_each_entry_safe_continue(pos, n, head, member) \
	for (pos = list_next_entry(pos, member), n = list_next_entry(pos, member); \
	     !list_entry_is_head(pos, head, member); pos = n, n = list_next_entry(n, member))
#define list_for_each_entry_safe_reverse(pos, n, head, member) \
	for (pos = list_last_entry(head, __typeof__(*(pos)), member), n = list_prev_entry(pos, member); \
	     !list_entry_is_head(pos, head, member); pos = n, n = list_prev_entry(n, member))

/* --- lists whose head is one pointer --- */

/** struct hlist_node - @pprev: the pointer that leads here; NULL: in no list */
struct hlist_node {
	struct hlist_node *next;
	struct hlist_node **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

#define HLIST_HEAD_INIT \
	{ \
		.first = NULL \
	}
#define HLIST_HEAD(name) struct hlist_head name = HLIST_HEAD_INIT
#define INIT_HLIST_HEAD(head) ((head)->first = NULL)

static inline void INIT_HLIST_NODE(struct hlist_node *n)
{
	n->next = NULL;
	n->pprev = NULL;
}

static inline bool hlist_unhashed(const struct hlist_node *n)
{
	return !n->pprev;
}

static inline bool hlist_empty(const struct hlist_head *head)
{
	return !READ_ONCE(head->first);
}

/* @n stands where @at leads. The pointer is stored last: RCU readers may follow it at once. */
static inline void softhca_hlist_put(struct hlist_node *n, struct hlist_node **at)
{
	n->next = *at;
	n->pprev = at;
	if (n->next)
		n->next->pprev = &n->next;
	__atomic_store_n(at, n, __ATOMIC_RELEASE);
}

static inline void hlist_add_head(struct hlist_node *n, struct hlist_head *head)
{
	softhca_hlist_put(n, &head->first);
}

static inline void hlist_add_before(struct hlist_node *n, struct hlist_node *next)
{
	softhca_hlist_put(n, next->pprev);
}

static inline void hlist_add_behind(struct hlist_node *n, struct hlist_node *prev)
{
	softhca_hlist_put(n, &prev->next);
}

static inline void softhca_hlist_cut(struct hlist_node *n)
{
	/* A reader, of hlist_del_rcu(), that comes this way hasn't met the store that published the next one. */
	__atomic_store_n(n->pprev, n->next, __ATOMIC_RELEASE);
	if (n->next)
		n->next->pprev = n->pprev;
}

/** hlist_del() - @n leaves its list; its links lead nowhere from then on */
static inline void hlist_del(struct hlist_node *n)
{
	softhca_hlist_cut(n);
	INIT_HLIST_NODE(n);
}

/** hlist_del_init() - the same; @n need not be in a list */
static inline void hlist_del_init(struct hlist_node *n)
{
	if (!hlist_unhashed(n))
		hlist_del(n);
}

/** hlist_move_list() - @to, which was empty, has the entries of @from, which is empty then */
static inline void hlist_move_list(struct hlist_head *from, struct hlist_head *to)
{
	to->first = from->first;
	if (to->first)
		to->first->pprev = &to->first;
	from->first = NULL;
}

#define hlist_entry(ptr, type, member) container_of(ptr, type, member)
#define hlist_entry_safe(ptr, type, member) \
	({ \
		__typeof__(ptr) node_ = (ptr); \
		node_ ? hlist_entry(node_, type, member) : (type *)NULL; \
	})
#define hlist_for_each(pos, head) for (pos = (head)->first; pos; pos = pos->next)
#define hlist_for_each_safe(pos, n, head) for (pos = (head)->first; pos && (n = pos->next, true); pos = n)
#define hlist_for_each_entry(pos, head, member) \
	for (pos = hlist_entry_safe((head)->first, __typeof__(*(pos)), member); pos; \
	     pos = hlist_entry_safe((pos)->member.next, __typeof__(*(pos)), member))
#define hlist_for_each_entry_safe(pos, n, head, member) \
	for (pos = hlist_entry_safe((head)->first, __typeof__(*(pos)), member); pos && (n = pos->member.next, true); \
	     pos = hlist_entry_safe(n, __typeof__(*(pos)), member))

/* --- hashes, and tables of 2^n hlists --- */

#define GOLDEN_RATIO_32 0x61C88647u
#define GOLDEN_RATIO_64 0x61C8864680B583EBull

/** hash_32(), hash_64(), hash_long(), hash_ptr() - a number of @bits bits, spread by multiplication */
static inline u32 hash_32(u32 val, unsigned int bits)
{
	return (val * GOLDEN_RATIO_32) >> (32 - bits);
}

static inline u32 hash_64(u64 val, unsigned int bits)
{
	return (u32)((val * GOLDEN_RATIO_64) >> (64 - bits));
}

static inline u32 hash_long(unsigned long val, unsigned int bits)
{
	return sizeof(val) == 4 ? hash_32((u32)val, bits) : hash_64(val, bits);
}

static inline u32 hash_ptr(const void *ptr, unsigned int bits)
{
	return hash_long((unsigned long)(uintptr_t)ptr, bits);
}

#define DECLARE_HASHTABLE(name, bits) struct hlist_head name[1 << (bits)]
#define DEFINE_HASHTABLE(name, bits) struct hlist_head name[1 << (bits)] = { HLIST_HEAD_INIT }
#define HASH_SIZE(table) ARRAY_SIZE(table)
#define HASH_BITS(table) ((unsigned int)ilog2(HASH_SIZE(table)))
#define hash_min(val, bits) (sizeof(val) <= 4 ? hash_32((u32)(val), bits) : hash_long((unsigned long)(val), bits))
#define softhca_bucket_(table, key) (&(table)[hash_min(key, HASH_BITS(table))])
#define hash_init(table) memset(table, 0, sizeof(table))
#define hash_add(table, node, key) hlist_add_head(node, softhca_bucket_(table, key))

static inline bool hash_hashed(const struct hlist_node *n)
{
	return !hlist_unhashed(n);
}

static inline void hash_del(struct hlist_node *n)
{
	hlist_del_init(n);
}

static inline bool softhca_hash_empty(const struct hlist_head *table, size_t size)
{
	while (size--)
		if (!hlist_empty(&table[size]))
			return false;
	return true;
}

#define hash_empty(table) softhca_hash_empty(table, HASH_SIZE(table))

/** hash_for_each() - all entries; @bkt: an integer for the bucket. hash_for_each_possible(): those that may have @key. */
#define hash_for_each(table, bkt, obj, member) \
	for ((bkt) = 0, obj = NULL; obj == NULL && (size_t)(bkt) < HASH_SIZE(table); (bkt)++) \
	hlist_for_each_entry(obj, &(table)[bkt], member)
#define hash_for_each_safe(table, bkt, tmp, obj, member) \
	for ((bkt) = 0, obj = NULL; obj == NULL && (size_t)(bkt) < HASH_SIZE(table); (bkt)++) \
	hlist_for_each_entry_safe(obj, tmp, &(table)[bkt], member)
#define hash_for_each_possible(table, obj, member, key) hlist_for_each_entry(obj, softhca_bucket_(table, key), member)
#define hash_for_each_possible_safe(table, obj, tmp, member, key) \
	hlist_for_each_entry_safe(obj, tmp, softhca_bucket_(table, key), member)

/* --- lists that any thread adds to without a lock, and one empties --- */

struct llist_node {
	struct llist_node *next;
};

struct llist_head {
	struct llist_node *first;
};

#define LLIST_HEAD_INIT(name) \
	{ \
		NULL \
	}
#define LLIST_HEAD(name) struct llist_head name = LLIST_HEAD_INIT(name)

static inline void init_llist_head(struct llist_head *head)
{
	head->first = NULL;
}

static inline bool llist_empty(const struct llist_head *head)
{
	return !READ_ONCE(head->first);
}

/** llist_add_batch() - the chain from @first to @last. Return: true: the list was empty. Any context. */
static inline bool llist_add_batch(struct llist_node *first, struct llist_node *last, struct llist_head *head)
{
	struct llist_node *old = READ_ONCE(head->first);

	do
		last->next = old;
	while (!__atomic_compare_exchange_n(&head->first, &old, first, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return !old;
}

static inline bool llist_add(struct llist_node *n, struct llist_head *head)
{
	return llist_add_batch(n, n, head);
}

/** llist_del_all() - the list is empty; Return: its entries, the last one first. Any context. */
static inline struct llist_node *llist_del_all(struct llist_head *head)
{
	return __atomic_exchange_n(&head->first, NULL, __ATOMIC_SEQ_CST);
}

/** llist_del_first() - the entry that was added last. One thread at a time, and none that calls llist_del_all() meanwhile. */
static inline struct llist_node *llist_del_first(struct llist_head *head)
{
	struct llist_node *first = __atomic_load_n(&head->first, __ATOMIC_ACQUIRE);

	while (first && !__atomic_compare_exchange_n(&head->first, &first, READ_ONCE(first->next), false,
						     __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
		;
	return first;
}

/** llist_reverse_order() - of a chain that llist_del_all() gave: the entry that was added first comes first */
static inline struct llist_node *llist_reverse_order(struct llist_node *chain)
{
	struct llist_node *done = NULL;

	while (chain) {
		struct llist_node *next = chain->next;

		chain->next = done;
		done = chain;
		chain = next;
	}
	return done;
}

static inline struct llist_node *llist_next(struct llist_node *n)
{
	return n->next;
}

#define llist_entry(ptr, type, member) container_of(ptr, type, member)
#define softhca_llist_entry_(ptr, type, member) \
	({ \
		struct llist_node *llnode_ = (ptr); \
		llnode_ ? llist_entry(llnode_, type, member) : (type *)NULL; \
	})
#define llist_for_each(pos, node) for ((pos) = (node); pos; (pos) = (pos)->next)
#define llist_for_each_safe(pos, n, node) for ((pos) = (node); (pos) && ((n) = (pos)->next, true); (pos) = (n))
#define llist_for_each_entry(pos, node, member) \
	for (pos = softhca_llist_entry_(node, __typeof__(*(pos)), member); pos; \
	     pos = softhca_llist_entry_((pos)->member.next, __typeof__(*(pos)), member))
#define llist_for_each_entry_safe(pos, n, node, member) \
	for (pos = softhca_llist_entry_(node, __typeof__(*(pos)), member); \
	     pos && (n = softhca_llist_entry_(pos->member.next, __typeof__(*(n)), member), true); pos = n)

#endif
