/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Clean-up at the end of a scope, as sources since Linux 6.5 use it: __free(), guard() and scoped_guard() for the
 * locks of softhca/kernel.h, which includes this.
 */
#ifndef SOFTHCA_KERNEL_CLEANUP_H
#define SOFTHCA_KERNEL_CLEANUP_H

#include "softhca/err.h"
#include "softhca/kernel/rcu.h"
#include "softhca/kernel/rwlock.h"

#define __cleanup(fn) __attribute__((cleanup(fn), unused))

/** DEFINE_FREE() - what __free(@name) does with a variable of @type, which is _T in @free */
#define DEFINE_FREE(name, type, free) \
	static inline __maybe_unused void __free_##name(void *p) \
	{ \
		type _T = *(type *)p; \
		free; \
	}
#define __free(name) __cleanup(__free_##name)
/** no_free_ptr() - the pointer, which its variable loses; return_ptr(): returned; retain_and_null_ptr(): somebody else has it now */
#define no_free_ptr(p) \
	({ \
		__auto_type kept_ = (p); \
		(p) = NULL; \
		kept_; \
	})
#define return_ptr(p) return no_free_ptr(p)
#define retain_and_null_ptr(p) ((void)no_free_ptr(p))

DEFINE_FREE(kfree, void *, if (!IS_ERR_OR_NULL(_T)) kfree(_T))
DEFINE_FREE(kvfree, void *, if (!IS_ERR_OR_NULL(_T)) kvfree(_T))
DEFINE_FREE(kfree_sensitive, void *, if (!IS_ERR_OR_NULL(_T)) kfree_sensitive(_T))

/** DEFINE_CLASS() - variables that CLASS() makes by @init of its arguments and @exit ends; both see one as _T */
#define DEFINE_CLASS(name, type, exit, init, ...) \
	typedef type class_##name##_t; \
	static inline __maybe_unused void class_##name##_destructor(type *p) \
	{ \
		type _T = *p; \
		exit; \
	} \
	static inline __maybe_unused type class_##name##_constructor(__VA_ARGS__) \
	{ \
		type t = init; \
		return t; \
	}
#define CLASS(name, var) class_##name##_t var __cleanup(class_##name##_destructor) = class_##name##_constructor

/** DEFINE_GUARD() - a lock of @type (a pointer), taken by @lock and given back by @unlock, where it is _T */
#define DEFINE_GUARD(name, type, lock, unlock) \
	DEFINE_CLASS( \
		name, type, if (_T) { unlock; }, ({ \
			lock; \
			_T; \
		}), \
		type _T) \
	static inline __maybe_unused void *class_##name##_lock_ptr(class_##name##_t *t) \
	{ \
		return (void *)(uintptr_t)*t; \
	}
/** DEFINE_GUARD_COND() - @ext: a kind of it that may fail: @condlock is false then, and the scope isn't entered */
#define DEFINE_GUARD_COND(name, ext, condlock) \
	typedef class_##name##_t class_##name##ext##_t; \
	static inline __maybe_unused void class_##name##ext##_destructor(class_##name##_t *p) \
	{ \
		class_##name##_destructor(p); \
	} \
	static inline __maybe_unused class_##name##_t class_##name##ext##_constructor(class_##name##_t _T) \
	{ \
		return (condlock) ? _T : NULL; \
	} \
	static inline __maybe_unused void *class_##name##ext##_lock_ptr(class_##name##_t *t) \
	{ \
		return class_##name##_lock_ptr(t); \
	}

/** DEFINE_LOCK_GUARD_0() - a lock without an object; DEFINE_LOCK_GUARD_1(): with one, _T->lock, and what else the guard keeps */
#define softhca_lock_guard_(name, type, unlock, ...) \
	typedef struct { \
		type *lock; \
		__VA_ARGS__; \
	} class_##name##_t; \
	static inline __maybe_unused void class_##name##_destructor(class_##name##_t *_T) \
	{ \
		if (_T->lock) { \
			unlock; \
		} \
	} \
	static inline __maybe_unused void *class_##name##_lock_ptr(class_##name##_t *_T) \
	{ \
		return (void *)(uintptr_t)_T->lock; \
	}
#define DEFINE_LOCK_GUARD_1(name, type, take, unlock, ...) \
	softhca_lock_guard_( \
		name, type, unlock, \
		__VA_ARGS__) static inline __maybe_unused class_##name##_t class_##name##_constructor(type *l) \
	{ \
		class_##name##_t t = { .lock = l }, *_T = &t; \
		take; \
		return t; \
	}
#define DEFINE_LOCK_GUARD_0(name, take, unlock, ...) \
	softhca_lock_guard_( \
		name, void, unlock, \
		__VA_ARGS__) static inline __maybe_unused class_##name##_t class_##name##_constructor(void) \
	{ \
		class_##name##_t t = { .lock = (void *)1 }, *_T __maybe_unused = &t; \
		take; \
		return t; \
	}

#define softhca_paste_(a, b) a##b
#define softhca_unique_(a, b) softhca_paste_(a, b)
/** guard() - taken here, and given back at the end of the block: guard(mutex)(&lock) */
#define guard(name) CLASS(name, softhca_unique_(guard_, __COUNTER__))
/** scoped_guard() - taken for the statement that follows: scoped_guard (mutex, &lock) ... */
#define scoped_guard(name, args...) softhca_scoped_(softhca_unique_(once_, __COUNTER__), name, args)
#define softhca_scoped_(once, name, args...) \
	for (CLASS(name, scope)(args), *once = NULL; class_##name##_lock_ptr(&scope) && !once; once = (void *)&scope)
/** scoped_cond_guard() - the same; @fail is done if the lock can't be had */
#define scoped_cond_guard(name, fail, args...) \
	softhca_scoped_cond_(softhca_unique_(once_, __COUNTER__), name, fail, args)
#define softhca_scoped_cond_(once, name, fail, args...) \
	for (CLASS(name, scope)(args), *once = NULL; !once; once = (void *)&scope) \
		if (!class_##name##_lock_ptr(&scope)) { \
			fail; \
		} else

DEFINE_GUARD(mutex, struct mutex *, mutex_lock(_T), mutex_unlock(_T))
DEFINE_GUARD_COND(mutex, _try, mutex_trylock(_T))
DEFINE_GUARD_COND(mutex, _intr, mutex_lock_interruptible(_T) == 0)
DEFINE_GUARD(rwsem_read, struct rw_semaphore *, down_read(_T), up_read(_T))
DEFINE_GUARD(rwsem_write, struct rw_semaphore *, down_write(_T), up_write(_T))
DEFINE_GUARD_COND(rwsem_read, _try, down_read_trylock(_T))
DEFINE_GUARD_COND(rwsem_write, _try, down_write_trylock(_T))
DEFINE_LOCK_GUARD_1(spinlock, spinlock_t, spin_lock(_T->lock), spin_unlock(_T->lock))
DEFINE_LOCK_GUARD_1(spinlock_irq, spinlock_t, spin_lock_irq(_T->lock), spin_unlock_irq(_T->lock))
DEFINE_LOCK_GUARD_1(spinlock_bh, spinlock_t, spin_lock_bh(_T->lock), spin_unlock_bh(_T->lock))
DEFINE_LOCK_GUARD_1(spinlock_irqsave, spinlock_t, spin_lock_irqsave(_T->lock, _T->flags),
		    spin_unlock_irqrestore(_T->lock, _T->flags), unsigned long flags)
DEFINE_LOCK_GUARD_1(raw_spinlock, raw_spinlock_t, raw_spin_lock(_T->lock), raw_spin_unlock(_T->lock))
DEFINE_LOCK_GUARD_1(read_lock, rwlock_t, read_lock(_T->lock), read_unlock(_T->lock))
DEFINE_LOCK_GUARD_1(write_lock, rwlock_t, write_lock(_T->lock), write_unlock(_T->lock))
DEFINE_LOCK_GUARD_0(rcu, rcu_read_lock(), rcu_read_unlock())
DEFINE_LOCK_GUARD_1(srcu, struct srcu_struct, _T->idx = srcu_read_lock(_T->lock), srcu_read_unlock(_T->lock, _T->idx),
		    int idx)

#endif
