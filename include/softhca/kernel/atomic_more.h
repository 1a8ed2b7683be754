/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rarer calls on atomic numbers, for atomic_t and atomic64_t alike, and atomic_long_t. The ending of a name says its
 * ordering: _relaxed, _acquire, _release; without one it is full. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_ATOMIC_MORE_H
#define SOFTHCA_KERNEL_ATOMIC_MORE_H

#include "softhca/kernel/atomic.h"

/* name_op(), name_fetch_op() and name_op_return(), each with one ordering. */
#define softhca_atomic_op_(name, type, number, op, how) \
	static inline number name##_fetch_##op##how(number n, type *a) \
	{ \
		return __atomic_fetch_##op(&a->counter, n, softhca_order##how); \
	} \
	static inline number name##_##op##_return##how(number n, type *a) \
	{ \
		return __atomic_##op##_fetch(&a->counter, n, softhca_order##how); \
	}
#define softhca_order_relaxed __ATOMIC_RELAXED
#define softhca_order_acquire __ATOMIC_ACQUIRE
#define softhca_order_release __ATOMIC_RELEASE

#define softhca_atomic_ordered_(name, type, number, how) \
	softhca_atomic_op_(name, type, number, add, how) softhca_atomic_op_( \
		name, type, number, sub, how) static inline number name##_xchg##how(type *a, number n) \
	{ \
		return __atomic_exchange_n(&a->counter, n, softhca_order##how); \
	} \
	static inline bool name##_try_cmpxchg##how(type *a, number *old, number to) \
	{ \
		return __atomic_compare_exchange_n(&a->counter, old, to, false, softhca_order##how, __ATOMIC_RELAXED); \
	} \
	static inline number name##_cmpxchg##how(type *a, number old, number to) \
	{ \
		name##_try_cmpxchg##how(a, &old, to); \
		return old; \
	}

#define softhca_atomic_bits_(name, type, number, op) \
	static inline void name##_##op(number n, type *a) \
	{ \
		__atomic_fetch_##op(&a->counter, n, __ATOMIC_RELAXED); \
	} \
	static inline number name##_fetch_##op(number n, type *a) \
	{ \
		return __atomic_fetch_##op(&a->counter, n, __ATOMIC_SEQ_CST); \
	}

#define softhca_atomic_more_(name, type, number) \
	softhca_atomic_ordered_(name, type, number, _relaxed) softhca_atomic_ordered_(name, type, number, _acquire) \
		softhca_atomic_ordered_(name, type, number, _release) softhca_atomic_bits_(name, type, number, and) \
			softhca_atomic_bits_(name, type, number, or) \
				softhca_atomic_bits_(name, type, number, \
						     xor) static inline number name##_read_acquire(const type *a) \
	{ \
		return __atomic_load_n(&a->counter, __ATOMIC_ACQUIRE); \
	} \
	static inline void name##_set_release(type *a, number n) \
	{ \
		__atomic_store_n(&a->counter, n, __ATOMIC_RELEASE); \
	} \
	static inline void name##_andnot(number n, type *a) \
	{ \
		name##_and(~n, a); \
	} \
	static inline number name##_fetch_sub(number n, type *a) \
	{ \
		return __atomic_fetch_sub(&a->counter, n, __ATOMIC_SEQ_CST); \
	} \
	static inline number name##_fetch_inc(type *a) \
	{ \
		return name##_fetch_add(1, a); \
	} \
	static inline number name##_fetch_dec(type *a) \
	{ \
		return name##_fetch_sub(1, a); \
	} \
	static inline bool name##_add_negative(number n, type *a) \
	{ \
		return name##_add_return(n, a) < 0; \
	} \
	/* Return: true: it was *@old, and is @to; else *@old is what it is. */ \
	static inline bool name##_try_cmpxchg(type *a, number *old, number to) \
	{ \
		return __atomic_compare_exchange_n(&a->counter, old, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	} \
	/* Return: what was found, @unless: nothing was added. */ \
	static inline number name##_fetch_add_unless(type *a, number n, number unless) \
	{ \
		number was = name##_read(a); \
\
		while (was != unless && !name##_try_cmpxchg(a, &was, was + n)) \
			; \
		return was; \
	} \
	static inline bool name##_inc_unless_negative(type *a) \
	{ \
		number was = name##_read(a); \
\
		while (was >= 0 && !name##_try_cmpxchg(a, &was, was + 1)) \
			; \
		return was >= 0; \
	} \
	static inline bool name##_dec_unless_positive(type *a) \
	{ \
		number was = name##_read(a); \
\
		while (was <= 0 && !name##_try_cmpxchg(a, &was, was - 1)) \
			; \
		return was <= 0; \
	} \
	/* Return: the number less 1; below 0: it stays as it was. */ \
	static inline number name##_dec_if_positive(type *a) \
	{ \
		number was = name##_read(a); \
\
		while (was > 0 && !name##_try_cmpxchg(a, &was, was - 1)) \
			; \
		return was - 1; \
	}

softhca_atomic_more_(atomic, atomic_t, int) softhca_atomic_more_(atomic64, atomic64_t, s64)
#undef softhca_atomic_more_

#define ATOMIC_LONG_INIT(n) ATOMIC_INIT(n)

	/** atomic_long_t - as wide as long is */
	typedef struct {
	long counter;
} atomic_long_t;

static inline long atomic_long_read(const atomic_long_t *a)
{
	return __atomic_load_n(&a->counter, __ATOMIC_RELAXED);
}

static inline void atomic_long_set(atomic_long_t *a, long n)
{
	__atomic_store_n(&a->counter, n, __ATOMIC_RELAXED);
}

static inline void atomic_long_add(long n, atomic_long_t *a)
{
	__atomic_fetch_add(&a->counter, n, __ATOMIC_RELAXED);
}

static inline long atomic_long_add_return(long n, atomic_long_t *a)
{
	return __atomic_add_fetch(&a->counter, n, __ATOMIC_SEQ_CST);
}

#define atomic_long_sub(n, a) atomic_long_add(-(long)(n), a)
#define atomic_long_inc(a) atomic_long_add(1, a)
#define atomic_long_dec(a) atomic_long_add(-1, a)
#define atomic_long_sub_return(n, a) atomic_long_add_return(-(long)(n), a)
#define atomic_long_inc_return(a) atomic_long_add_return(1, a)
#define atomic_long_dec_return(a) atomic_long_add_return(-1, a)
#define atomic_long_dec_and_test(a) (!atomic_long_dec_return(a))
#define atomic_long_xchg(a, n) __atomic_exchange_n(&(a)->counter, (long)(n), __ATOMIC_SEQ_CST)
#define atomic_long_cmpxchg(a, old, to) cmpxchg(&(a)->counter, (long)(old), (long)(to))

#define cmpxchg_relaxed(p, old, to) cmpxchg(p, old, to)
#define cmpxchg_acquire(p, old, to) cmpxchg(p, old, to)
#define cmpxchg_release(p, old, to) cmpxchg(p, old, to)
#define cmpxchg64(p, old, to) cmpxchg(p, old, to)
#define xchg_relaxed(p, v) xchg(p, v)
#define xchg_acquire(p, v) xchg(p, v)
#define xchg_release(p, v) xchg(p, v)
/** try_cmpxchg() - Return: true: *@p was *@oldp, and is @to; else *@oldp is what it is */
#define try_cmpxchg(p, oldp, to) __atomic_compare_exchange_n(p, oldp, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/* --- reference counts --- */

static inline void refcount_add(int n, refcount_t *r)
{
	WARN_ON(atomic_fetch_add(n, &r->refs) <= 0);
}

static inline bool refcount_add_not_zero(int n, refcount_t *r)
{
	return atomic_add_unless(&r->refs, n, 0);
}

static inline bool refcount_sub_and_test(int n, refcount_t *r)
{
	int left = atomic_sub_return(n, &r->refs);

	WARN_ON(left < 0);
	return !left;
}

/** refcount_dec_not_one() - Return: false: it is 1, and stays so */
static inline bool refcount_dec_not_one(refcount_t *r)
{
	return atomic_add_unless(&r->refs, -1, 1);
}

/** refcount_dec_if_one() - from 1 to 0. Return: true: it was 1. */
static inline bool refcount_dec_if_one(refcount_t *r)
{
	int one = 1;

	return atomic_try_cmpxchg(&r->refs, &one, 0);
}

#endif
