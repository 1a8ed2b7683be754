/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the test os layer share: the contexts that run (the test's own thread,
 * the scheduled ones, the timers'), how one waits, and the list of what lives. Only one
 * context runs at any time, so nothing here has a lock. Not for tests.
 */
#ifndef HCA_TEST_INTERNAL_H
#define HCA_TEST_INTERNAL_H

#define TEST_NO_SITES 1

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>

#include "test_os.h"

#define FOREVER (~0ull)
#define MAX_HELD 16u
#define MAX_STORES 8u
#define CONTEXTS (TEST_MAX_THREADS + 1)

enum wait_for { WAIT_NONE, WAIT_SPIN, WAIT_MUTEX, WAIT_COMPLETION, WAIT_GRACE, WAIT_TIMER_END, WAIT_CLOCK, WAIT_WORK };

struct held {
	bool spin;
	void *lock;
	const char *file;
	int line;
};

/* One that only its thread sees yet. */
struct test_store {
	volatile void *at;
	size_t size;
	u64 value;
	bool release;
};

struct test_ctx {
	int index; /* of the scheduled threads; their timers' comes last; -1: outside */
	const char *file; /* of the last os call */
	int line;

	enum wait_for wait;
	const void *what;
	u64 until; /* ns */
	bool late; /* @until came first */
	bool done;
	bool paused; /* turns in a loop; nothing has moved since */

	struct held held[MAX_HELD];
	u32 nheld;
	u32 nspins;
	u32 pins;
	u32 rcu_nest;
	u64 rcu_section; /* which one, of all */
	u64 grace[CONTEXTS]; /* the sections that a grace period waits for */
	bool in_timer;

	struct test_store store[MAX_STORES]; /* oldest first */
	u32 nstores;

	sem_t baton;
	pthread_t thread;
	void (*fn)(void *arg);
	void *arg;
	jmp_buf top; /* where an abandoned thread ends */
	jmp_buf *expected; /* where an expected bug goes */
};

extern struct test_ctx test_main, test_timer_ctx;

/* sched.c */
struct test_ctx *test_self(void);
struct test_ctx *test_enter(enum test_op op); /* the caller, after a decision; every os call begins with it */
void test_become(struct test_ctx *c);
bool test_block(enum wait_for wait, const void *what, u64 until); /* false: it got late */
void test_wake(const void *completion);
void test_abandon(int err) __attribute__((noreturn));
void test_atomic_check(const char *call); /* a bug unless the caller may sleep */
void test_hold(struct test_ctx *c, bool spin, void *lock);
bool test_drop(struct test_ctx *c, void *lock);
const struct held *test_held_within(const void *mem, size_t size); /* by whomever */
struct test_ctx *test_nth(u32 i); /* NULL after the last */

/* weak.c */
void test_drain(struct test_ctx *c);
void test_drain_some(struct test_ctx *c, u64 *chance, u32 of_8); /* each more with that chance */

/* timer.c */
extern u64 test_now;
u64 test_next_timer(void); /* ns or FOREVER */
bool test_timer_idle(void); /* nothing due, nothing running */
const struct hca_timer *test_timer_running(void);
void test_timer_run(struct test_ctx *c);
void test_timer_unwind(void);
void test_timer_reset(void);
const struct hca_timer *test_timer_within(const void *mem, size_t size); /* an armed one */

/* memory.c */
enum { OBJ_MEMORY, OBJ_ARENA, OBJ_SPACE, OBJ_TIMER };
void test_track(struct test_obj *o, int kind, const void *key, u64 size);
struct test_obj *test_find(int kind, const void *key);
void test_untrack(struct test_obj *o);
struct test_obj *test_oldest(void);
void test_arena_reset(void);
bool test_fails(void); /* a fallible call begins: shall it fail? */
void test_memory_reset(void);

/* words.c */
void test_bug(const char *fmt, ...) HCA_PRINTF(1, 2);
void test_say(const char *fmt, ...) HCA_PRINTF(1, 2);
bool test_bug_awaited(void); /* by the test's own thread */
void test_bug_pass(void) __attribute__((noreturn)); /* to the test's own thread, from a scheduled one's */
void test_words_reset(u64 seed);
u64 test_mix(u64 *state);

#endif
