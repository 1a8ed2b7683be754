/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The test os layer's half of the contract: a process whose clock, threads, randomness
 * and failures belong to the test. Every call that orders something may hand over to
 * another thread of test_run_threads(), and every rule of the kernel is asserted.
 * Tests drive it by test_os.h. Nothing here may depend on real time.
 */
#ifndef HCA_TEST_OS_IMPL_H
#define HCA_TEST_OS_IMPL_H

#include <errno.h>
#include <stdint.h>

#include "user/compiler.h"

#define HCA_OS_COUNTS 1

#ifndef TEST_NO_SITES /* this folder defines the functions that the macros hide */
#define HCA_OS_SITES 1 /* os.h and arena.h include os_sites.h and arena_sites.h */
#endif

/* What is about to be done; part of a schedule's trace. */
enum test_op {
	TEST_LOAD,
	TEST_STORE,
	TEST_RMW,
	TEST_CMPXCHG,
	TEST_MB,
	TEST_PAUSE,
	TEST_LOCK,
	TEST_UNLOCK,
	TEST_RCU,
	TEST_MEMORY,
	TEST_WAIT,
	TEST_COMPLETE,
	TEST_TIMER,
	TEST_CLOCK,
	TEST_BEGIN,
	TEST_END,
};

extern bool test_scheduled; /* threads of test_run_threads() are running */
extern _Thread_local const char *test_site_file;
extern _Thread_local int test_site_line;

extern bool test_weak; /* stores are seen late */
void test_buffer(volatile void *at, size_t size, const void *value, bool release);
void test_forward(const volatile void *at, size_t size, void *value);
void test_drain_all(void);

void test_switch(enum test_op op);
void test_moved(void);
void test_misaligned(const volatile void *p, size_t size, const char *file, int line);

/* A note of where the next call is made, for reports. */
static inline void test_at(const char *file, int line)
{
	test_site_file = file;
	test_site_line = line;
}

#define TEST_HERE() test_at(__FILE__, __LINE__)

static inline void test_step(enum test_op op, const volatile void *p, size_t size, const char *file, int line)
{
	test_at(file, line);
	if (hca_unlikely((uintptr_t)p & (size - 1)))
		test_misaligned(p, size, file, line);
	if (hca_unlikely(test_scheduled))
		test_switch(op);
}

/* The pointer is evaluated once, and before the step: what it takes to find it isn't part of the operation. */
#define TEST_STEP(op, p, operation) \
	({ \
		__typeof__(&*(p)) hca_step_ = (p); \
		test_step(op, hca_step_, sizeof(*hca_step_), __FILE__, __LINE__); \
		operation; \
	})

/* What this thread has stored it sees, even if nobody else does yet (weak.c). */
#define TEST_SEEN(loaded) \
	({ \
		__auto_type hca_seen_ = loaded; \
		if (hca_unlikely(test_weak)) \
			test_forward(hca_step_, sizeof(hca_seen_), &hca_seen_); \
		hca_seen_; \
	})
#define TEST_KEEP(order) \
	(hca_unlikely(test_weak) ? \
		 test_buffer(hca_step_, sizeof(hca_value_), &hca_value_, (order) == __ATOMIC_RELEASE) : \
		 (void)raw_store(hca_step_, hca_value_, order))

#define hca_load(p) TEST_STEP(TEST_LOAD, p, TEST_SEEN(raw_load(hca_step_, __ATOMIC_RELAXED)))
#define hca_load_acquire(p) TEST_STEP(TEST_LOAD, p, TEST_SEEN(raw_load(hca_step_, __ATOMIC_ACQUIRE)))
#define TEST_VALUE(op, p, v, operation) \
	({ \
		__typeof__(*(p)) hca_value_ = (v); \
		TEST_STEP(op, p, operation); \
	})
#define hca_store(p, v) TEST_VALUE(TEST_STORE, p, v, TEST_KEEP(__ATOMIC_RELAXED))
#define hca_store_release(p, v) TEST_VALUE(TEST_STORE, p, v, TEST_KEEP(__ATOMIC_RELEASE))
#define hca_xchg(p, v) TEST_VALUE(TEST_RMW, p, v, raw_xchg(hca_step_, hca_value_))
#define hca_fetch_add(p, n) TEST_VALUE(TEST_RMW, p, n, raw_fetch_add(hca_step_, hca_value_))
#define hca_fetch_or(p, m) TEST_VALUE(TEST_RMW, p, m, raw_fetch_or(hca_step_, hca_value_))
#define hca_fetch_and(p, m) TEST_VALUE(TEST_RMW, p, m, raw_fetch_and(hca_step_, hca_value_))
#define hca_cmpxchg(p, old, new) \
	({ \
		__typeof__(*(p)) hca_was_ = (old); \
		__typeof__(*(p)) hca_got_ = \
			TEST_VALUE(TEST_CMPXCHG, p, new, raw_cmpxchg(hca_step_, hca_was_, hca_value_)); \
		if (hca_got_ == hca_was_ && test_scheduled) \
			test_moved(); \
		hca_got_; \
	})

#define hca_mb() \
	({ \
		test_step(TEST_MB, NULL, 1, __FILE__, __LINE__); \
		raw_mb(); \
	})
#define hca_pause() test_step(TEST_PAUSE, NULL, 1, __FILE__, __LINE__)
#define hca_relax(turns) ((void)++*(turns), hca_pause())
/* Every slot is one thread's own, and light. With weak memory a thread that comes in is seen late. */
#define hca_slot_light(slot) ((void)(slot), true)
#define hca_slot_enter(p, slot) ((void)(slot), test_weak ? hca_store(p, hca_load(p) + 1) : (void)hca_fetch_add(p, 1u))
#define hca_slot_leave(p, slot) \
	((void)(slot), test_weak ? hca_store_release(p, hca_load(p) - 1) : (void)hca_fetch_add(p, (uint32_t)-1))
#define hca_mb_heavy() \
	({ \
		hca_mb(); \
		if (hca_unlikely(test_weak)) \
			test_drain_all(); \
	})

struct test_ctx;

/* @ready tells an initialised object from zeroed or freed memory. */
struct hca_spinlock {
	uint32_t ready;
	uint32_t flags; /* of the holder */
	struct test_ctx *owner;
};

/* What hca_spin_lock() gave must come back to the same lock: a kernel keeps its interrupt state there. */
typedef unsigned long hca_irqflags_t;

void hca_spin_init(struct hca_spinlock *l);
hca_irqflags_t test_spin_lock(struct hca_spinlock *l);
void test_spin_unlock(struct hca_spinlock *l, hca_irqflags_t flags);
void test_spin_assert(const struct hca_spinlock *l);

#define hca_spin_lock(l, flags) ((void)(TEST_HERE(), (flags) = test_spin_lock(l)))
#define hca_spin_unlock(l, flags) (TEST_HERE(), test_spin_unlock(l, flags))
#define hca_spin_assert(l) (TEST_HERE(), test_spin_assert(l))

struct hca_mutex {
	uint32_t ready;
	struct test_ctx *owner;
};

void hca_mutex_init(struct hca_mutex *m);
void test_mutex_lock(struct hca_mutex *m);
void test_mutex_unlock(struct hca_mutex *m);
void test_mutex_destroy(struct hca_mutex *m);
void test_mutex_assert(const struct hca_mutex *m);

#define hca_mutex_lock(m) (TEST_HERE(), test_mutex_lock(m))
#define hca_mutex_unlock(m) (TEST_HERE(), test_mutex_unlock(m))
#define hca_mutex_destroy(m) (TEST_HERE(), test_mutex_destroy(m))
#define hca_mutex_assert(m) (TEST_HERE(), test_mutex_assert(m))

struct hca_completion {
	uint32_t ready;
	bool done;
};

void hca_completion_init(struct hca_completion *c);
void hca_completion_destroy(struct hca_completion *c);

/* A line of the leak report. */
struct test_obj {
	int kind;
	const void *key;
	uint64_t size;
	const char *file;
	int line;
	struct test_obj *prev, *next; /* all that live, oldest first */
	struct test_obj *chain; /* of the same hash */
};

struct hca_timer {
	struct test_obj obj;
	void (*fn)(void *arg);
	void *arg;
	uint64_t when; /* ns */
	bool armed;
	bool dying;
	bool work; /* of a struct hca_work: it may sleep */
	struct hca_timer *prev, *next; /* armed ones by time, then by start */
};

/* Due at once: the timers' thread calls it when it may run, and outside a run whoever lets time pass. */
struct hca_work {
	struct hca_timer timer;
};

void test_rcu_read_lock(void);
void test_rcu_read_unlock(void);

#define hca_rcu_read_lock() (TEST_HERE(), test_rcu_read_lock())
#define hca_rcu_read_unlock() (TEST_HERE(), test_rcu_read_unlock())
#define hca_rcu_deref(p) hca_load_acquire(&(p))

/* What hca_pin() gave must come back from the same thread. */
typedef struct test_ctx *hca_pin_t;
hca_pin_t test_pin(void);
void test_unpin(hca_pin_t p);

#define hca_pin(p) (TEST_HERE(), (p) = test_pin())
#define hca_unpin(p) (TEST_HERE(), test_unpin(p))

unsigned int test_slot(void);

#define hca_slot() test_slot()

uintptr_t test_context(void);

#define hca_context() test_context()

bool test_may_carry(void);

#define hca_may_carry() test_may_carry()

#endif
