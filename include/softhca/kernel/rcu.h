/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RCU: readers without locks, and writers that wait until the readers of what they took out have ended. A
 * thread may read without having been registered. A reader that sleeps is reported, as the holder of
 * a spin lock is. Sleepable RCU has readers that may sleep. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_RCU_H
#define SOFTHCA_KERNEL_RCU_H

#include "softhca/kernel/alloc.h"
#include "softhca/kernel/hlist.h"
#include "softhca/kernel/wait.h"

#pragma GCC visibility push(default)

struct rcu_head;
typedef void (*rcu_callback_t)(struct rcu_head *head);

/** struct rcu_head - what call_rcu() needs of an object; embedded in it */
struct rcu_head {
	struct rcu_head *next;
	rcu_callback_t func;
};

#define callback_head rcu_head

/* @at: the line of the call. */
void softhca_rcu_read_lock(const char *at);
void softhca_rcu_read_unlock(void);

/** rcu_read_lock_held() - does this thread read? */
int rcu_read_lock_held(void);

/** synchronize_rcu() - every reader that had begun has ended. May sleep; not by a reader. */
void synchronize_rcu(void);

/** call_rcu() - @func is called after that, in a thread of the library; it may not sleep. Any context. */
void call_rcu(struct rcu_head *head, rcu_callback_t func);

/** rcu_barrier() - every call that call_rcu() was asked for has ended, and kfree_rcu() has freed. May sleep. */
void rcu_barrier(void);

/* kfree() of what lies @offset bytes before @head; without @head it waits itself. */
void softhca_kfree_rcu(void *ptr, struct rcu_head *head, size_t offset);

/* --- readers that may sleep --- */

/** struct srcu_struct - readers by the parity in which they began. The library's. */
struct srcu_struct {
	pthread_mutex_t lock; /* the next two */
	u32 parity;
	u32 readers[2];
	struct wait_queue_head ended;
	struct mutex writer;
};

/** init_srcu_struct() - Return: 0 */
int init_srcu_struct(struct srcu_struct *s);
void cleanup_srcu_struct(struct srcu_struct *s);

/** srcu_read_lock() - Return: what srcu_read_unlock() gets */
int srcu_read_lock(struct srcu_struct *s);
void srcu_read_unlock(struct srcu_struct *s, int idx);

/** synchronize_srcu() - every reader of @s that had begun has ended. May sleep; not by such a reader. */
void synchronize_srcu(struct srcu_struct *s);

#pragma GCC visibility pop

#define DEFINE_STATIC_SRCU(name) \
	static struct srcu_struct name = { .lock = PTHREAD_MUTEX_INITIALIZER, \
					   .ended = __WAIT_QUEUE_HEAD_INITIALIZER(name.ended), \
					   .writer = __MUTEX_INITIALIZER(name.writer) }

/* --- readers --- */

#define __rcu
#define RCU_INITIALIZER(v) (v)
#define RCU_INIT_POINTER(p, v) __atomic_store_n(&(p), v, __ATOMIC_RELAXED)
#define rcu_read_lock() softhca_rcu_read_lock(SOFTHCA_AT_)
#define rcu_read_unlock() softhca_rcu_read_unlock()
#define rcu_read_lock_bh() rcu_read_lock()
#define rcu_read_unlock_bh() rcu_read_unlock()
#define synchronize_net() synchronize_rcu()
#define synchronize_rcu_expedited() synchronize_rcu()

/** rcu_dereference() - what a reader follows; rcu_access_pointer(): what is compared, and not followed */
#define rcu_dereference(p) __atomic_load_n(&(p), __ATOMIC_CONSUME)
#define rcu_dereference_bh(p) rcu_dereference(p)
#define rcu_dereference_raw(p) rcu_dereference(p)
#define rcu_dereference_check(p, c) rcu_dereference(p)
#define rcu_dereference_protected(p, c) ((void)WARN_ON(!(c)), __atomic_load_n(&(p), __ATOMIC_RELAXED))
#define rcu_access_pointer(p) __atomic_load_n(&(p), __ATOMIC_RELAXED)
#define rcu_pointer_handoff(p) (p)
#define srcu_dereference(p, s) ((void)(s), rcu_dereference(p))
/** rcu_assign_pointer() - readers that see @v see what it points to */
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), v, __ATOMIC_RELEASE)
/** rcu_replace_pointer() - the same. Return: what was there before. */
#define rcu_replace_pointer(p, v, c) \
	({ \
		__typeof__(p) was_ = rcu_dereference_protected(p, c); \
		rcu_assign_pointer(p, v); \
		was_; \
	})

/** kfree_rcu() - kfree() after a grace period; @member: its struct rcu_head. Any context. kfree_rcu_mightsleep(): without one, and waits. */
#define kfree_rcu(ptr, member) \
	({ \
		__typeof__(ptr) freed_ = (ptr); \
		if (freed_) \
			softhca_kfree_rcu(freed_, &freed_->member, offsetof(__typeof__(*freed_), member)); \
	})
#define kvfree_rcu(ptr, member) kfree_rcu(ptr, member)
#define kfree_rcu_mightsleep(ptr) softhca_kfree_rcu(ptr, NULL, 0)
#define kvfree_rcu_mightsleep(ptr) softhca_kfree_rcu(ptr, NULL, 0)

/* --- lists that are read meanwhile: writers lock --- */

/* The pointer to the new entry is stored last. */
static inline void softhca_list_put_rcu(struct list_head *entry, struct list_head *before, struct list_head *after)
{
	entry->next = after;
	entry->prev = before;
	rcu_assign_pointer(before->next, entry);
	after->prev = entry;
}

static inline void list_add_rcu(struct list_head *entry, struct list_head *head)
{
	softhca_list_put_rcu(entry, head, head->next);
}

static inline void list_add_tail_rcu(struct list_head *entry, struct list_head *head)
{
	softhca_list_put_rcu(entry, head->prev, head);
}

/** list_del_rcu() - a reader that stands on @entry still finds the next one: it may be freed after a grace period */
static inline void list_del_rcu(struct list_head *entry)
{
	entry->next->prev = entry->prev;
	/* A reader that comes this way hasn't met the store that published the next one. */
	rcu_assign_pointer(entry->prev->next, entry->next);
	entry->prev = NULL;
}

static inline void list_replace_rcu(struct list_head *from, struct list_head *to)
{
	to->next = from->next;
	to->prev = from->prev;
	rcu_assign_pointer(to->prev->next, to);
	to->next->prev = to;
	from->prev = NULL;
}

#define list_entry_rcu(ptr, type, member) container_of(rcu_dereference(ptr), type, member)
#define list_next_rcu(list) (*(struct list_head **)(&(list)->next))
/** list_first_or_null_rcu() - list_next_or_null_rcu(): the entry after the one that @ptr is in */
#define list_first_or_null_rcu(head, type, member) list_next_or_null_rcu(head, head, type, member)
#define list_next_or_null_rcu(head, ptr, type, member) \
	({ \
		struct list_head *head_ = (head), *next_ = rcu_dereference((ptr)->next); \
		next_ != head_ ? list_entry(next_, type, member) : (type *)NULL; \
	})
#define list_for_each_entry_rcu(pos, head, member, ...) \
	for (pos = list_entry_rcu((head)->next, __typeof__(*(pos)), member); &pos->member != (head); \
	     pos = list_entry_rcu(pos->member.next, __typeof__(*(pos)), member))
#define list_for_each_entry_srcu(pos, head, member, cond) list_for_each_entry_rcu(pos, head, member)
#define list_for_each_entry_continue_rcu(pos, head, member) \
	for (pos = list_entry_rcu(pos->member.next, __typeof__(*(pos)), member); &pos->member != (head); \
	     pos = list_entry_rcu(pos->member.next, __typeof__(*(pos)), member))

static inline void hlist_add_head_rcu(struct hlist_node *n, struct hlist_head *head)
{
	softhca_hlist_put(n, &head->first);
}

/** hlist_del_rcu() - as list_del_rcu(); hlist_del_init_rcu(): it is unhashed then, and readers go on all the same */
static inline void hlist_del_rcu(struct hlist_node *n)
{
	softhca_hlist_cut(n);
	n->pprev = NULL;
}

static inline void hlist_del_init_rcu(struct hlist_node *n)
{
	if (!hlist_unhashed(n))
		hlist_del_rcu(n);
}

#define hlist_first_rcu(head) ((head)->first)
#define hlist_for_each_entry_rcu(pos, head, member, ...) \
	for (pos = hlist_entry_safe(rcu_dereference((head)->first), __typeof__(*(pos)), member); pos; \
	     pos = hlist_entry_safe(rcu_dereference((pos)->member.next), __typeof__(*(pos)), member))

#define hash_add_rcu(table, node, key) hlist_add_head_rcu(node, softhca_bucket_(table, key))
#define hash_for_each_possible_rcu(table, obj, member, key, ...) \
	hlist_for_each_entry_rcu(obj, softhca_bucket_(table, key), member)
#define hash_for_each_rcu(table, bkt, obj, member) \
	for ((bkt) = 0, obj = NULL; obj == NULL && (size_t)(bkt) < HASH_SIZE(table); (bkt)++) \
	hlist_for_each_entry_rcu(obj, &(table)[bkt], member)

static inline void hash_del_rcu(struct hlist_node *n)
{
	hlist_del_init_rcu(n);
}

#endif
