/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Atomic numbers, reference counts and barriers, with Linux's ordering: a call that returns a
 * value is fully ordered, other calls are not ordered. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_ATOMIC_H
#define SOFTHCA_KERNEL_ATOMIC_H

#include "softhca/hca_types.h"
#include "softhca/kernel/print.h"

#define smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#define mb() smp_mb()
#define rmb() smp_rmb()
#define wmb() smp_wmb()
#define smp_mb__before_atomic() smp_mb()
#define smp_mb__after_atomic() smp_mb()
#define smp_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define smp_store_mb(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define xchg(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
/** cmpxchg() - Return: the previous value; the exchange was made if it is @old */
#define cmpxchg(p, old, new) \
	({ \
		__typeof__(*(p)) found_ = (old); \
		__atomic_compare_exchange_n(p, &found_, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		found_; \
	})

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter __attribute__((aligned(8)));
} atomic64_t;

#define ATOMIC_INIT(n) \
	{ \
		(n) \
	}
#define ATOMIC64_INIT(n) \
	{ \
		(n) \
	}

#define softhca_atomic_(name, type, number) \
	static inline number name##_read(const type *a) \
	{ \
		return __atomic_load_n(&a->counter, __ATOMIC_RELAXED); \
	} \
	static inline void name##_set(type *a, number n) \
	{ \
		__atomic_store_n(&a->counter, n, __ATOMIC_RELAXED); \
	} \
	static inline void name##_add(number n, type *a) \
	{ \
		__atomic_fetch_add(&a->counter, n, __ATOMIC_RELAXED); \
	} \
	static inline void name##_sub(number n, type *a) \
	{ \
		__atomic_fetch_sub(&a->counter, n, __ATOMIC_RELAXED); \
	} \
	static inline void name##_inc(type *a) \
	{ \
		name##_add(1, a); \
	} \
	static inline void name##_dec(type *a) \
	{ \
		name##_sub(1, a); \
	} \
	static inline number name##_add_return(number n, type *a) \
	{ \
		return __atomic_add_fetch(&a->counter, n, __ATOMIC_SEQ_CST); \
	} \
	static inline number name##_sub_return(number n, type *a) \
	{ \
		return __atomic_sub_fetch(&a->counter, n, __ATOMIC_SEQ_CST); \
	} \
	static inline number name##_fetch_add(number n, type *a) \
	{ \
		return __atomic_fetch_add(&a->counter, n, __ATOMIC_SEQ_CST); \
	} \
	static inline number name##_inc_return(type *a) \
	{ \
		return name##_add_return(1, a); \
	} \
	static inline number name##_dec_return(type *a) \
	{ \
		return name##_sub_return(1, a); \
	} \
	static inline bool name##_dec_and_test(type *a) \
	{ \
		return !name##_sub_return(1, a); \
	} \
	static inline bool name##_inc_and_test(type *a) \
	{ \
		return !name##_add_return(1, a); \
	} \
	static inline bool name##_sub_and_test(number n, type *a) \
	{ \
		return !name##_sub_return(n, a); \
	} \
	static inline number name##_xchg(type *a, number n) \
	{ \
		return __atomic_exchange_n(&a->counter, n, __ATOMIC_SEQ_CST); \
	} \
	static inline number name##_cmpxchg(type *a, number old, number to) \
	{ \
		__atomic_compare_exchange_n(&a->counter, &old, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		return old; \
	} \
	static inline bool name##_add_unless(type *a, number n, number unless) \
	{ \
		number was = name##_read(a); \
\
		while (was != unless) \
			if (__atomic_compare_exchange_n(&a->counter, &was, was + n, false, __ATOMIC_SEQ_CST, \
							__ATOMIC_RELAXED)) \
				return true; \
		return false; \
	} \
	static inline bool name##_inc_not_zero(type *a) \
	{ \
		return name##_add_unless(a, 1, 0); \
	}
softhca_atomic_(atomic, atomic_t, int) softhca_atomic_(atomic64, atomic64_t, s64)
#undef softhca_atomic_

	/** refcount_t - a number of users, which reports an underflow or overflow */
	typedef struct {
	atomic_t refs;
} refcount_t;

#define REFCOUNT_INIT(n) \
	{ \
		.refs = ATOMIC_INIT(n) \
	}

static inline void refcount_set(refcount_t *r, int n)
{
	atomic_set(&r->refs, n);
}

static inline unsigned int refcount_read(const refcount_t *r)
{
	return (unsigned int)atomic_read(&r->refs);
}

static inline void refcount_inc(refcount_t *r)
{
	WARN_ON(atomic_fetch_add(1, &r->refs) <= 0);
}

static inline bool refcount_inc_not_zero(refcount_t *r)
{
	return atomic_inc_not_zero(&r->refs);
}

static inline bool refcount_dec_and_test(refcount_t *r)
{
	int left = atomic_dec_return(&r->refs);

	WARN_ON(left < 0);
	return !left;
}

static inline void refcount_dec(refcount_t *r)
{
	WARN_ON(atomic_dec_return(&r->refs) <= 0);
}

/** struct kref - the number of users of an object, which is released by the last one */
struct kref {
	refcount_t refcount;
};

#define KREF_INIT(n) \
	{ \
		.refcount = REFCOUNT_INIT(n) \
	}

static inline void kref_init(struct kref *k)
{
	refcount_set(&k->refcount, 1);
}

static inline unsigned int kref_read(const struct kref *k)
{
	return refcount_read(&k->refcount);
}

static inline void kref_get(struct kref *k)
{
	refcount_inc(&k->refcount);
}

/** kref_get_unless_zero() - Return: 0: it is being released */
static inline int kref_get_unless_zero(struct kref *k)
{
	return refcount_inc_not_zero(&k->refcount);
}

/** kref_put() - Return: 1: @release was called */
static inline int kref_put(struct kref *k, void (*release)(struct kref *k))
{
	if (!refcount_dec_and_test(&k->refcount))
		return 0;
	release(k);
	return 1;
}

#endif
