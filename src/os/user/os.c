/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user os layer's words, chance, slots, and what its locks do when they must wait.
 * Memory is in memory.c, timers in timer.c, grace periods in rcu.c. Called by every
 * room through os.h. A call that may be made in any context takes no lock here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC 1000000000ull
#define SPINS 64
#define YIELDS 64 /* before a wait sleeps */
#define NAP_NS 50000
#define LINE_MAX_BYTES 512
#define WARN_PLACES 256u
#define REFUSAL_PLACES 1024u
/* Lines of one place in our code: then it is silent, but for a program whose log is asked for in full. */
#define REFUSALS_A_PLACE 10u

/* ---- locks and completions ---- */

static void nap(void)
{
	const struct timespec ts = { .tv_nsec = NAP_NS };
	int saved = errno;

	nanosleep(&ts, NULL);
	errno = saved;
}

/* A holder of lower priority on this processor never runs while we only yield. */
void hca_spin_wait(struct hca_spinlock *l)
{
	int i, yields = 0;

	for (;;) {
		/* Only look: an exchange would take the line from the holder each time. */
		for (i = 0; i < SPINS; i++) {
			if (!__atomic_load_n(&l->held, __ATOMIC_RELAXED) && hca_spin_try(l))
				return;
			raw_pause();
		}
		if (++yields < YIELDS)
			sched_yield();
		else
			nap();
	}
}

void hca_relax(u32 *turns)
{
	u32 turn = (*turns)++;

	if (turn < SPINS)
		raw_pause();
	else if (turn < SPINS + YIELDS)
		sched_yield();
	else
		nap();
}

void hca_pause(void)
{
	static _Thread_local u32 pauses __attribute__((tls_model("initial-exec")));

	raw_pause();
	if (!(++pauses % SPINS))
		sched_yield();
}

enum { INCOMPLETE, AWAITED, COMPLETE };

void hca_complete(struct hca_completion *c)
{
	int saved = errno;

	/* After the exchange *c may be freed: the wake needs only its address, and a stray wake does no harm. */
	if (__atomic_exchange_n(&c->state, COMPLETE, __ATOMIC_SEQ_CST) == AWAITED)
		syscall(SYS_futex, &c->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

/* The next change of a state that is AWAITED, until @when of hca_now_ns(), or a second more or less of nothing. */
static void sleep_on(struct hca_completion *c, u64 when)
{
	u64 soon = hca_now_ns() + 60 * NS_PER_SEC; /* so that a 32-bit second count can't overflow */
	long ts[2]; /* the kernel's old timespec, whatever libc's time_t is */

	if (when > soon)
		when = soon;
	ts[0] = (long)(when / NS_PER_SEC);
	ts[1] = (long)(when % NS_PER_SEC);
	syscall(SYS_futex, &c->state, FUTEX_WAIT_BITSET_PRIVATE, AWAITED, ts, NULL, FUTEX_BITSET_MATCH_ANY);
}

int hca_wait(struct hca_completion *c, u64 timeout_ns)
{
	int saved = errno;
	u64 now, when = 0;
	u32 none;
	int ret = 0;

	for (;;) {
		none = INCOMPLETE;
		if (__atomic_load_n(&c->state, __ATOMIC_ACQUIRE) == COMPLETE)
			break;
		now = hca_now_ns();
		if (!when)
			when = timeout_ns > ~0ull - now ? ~0ull : now + timeout_ns;
		if (now >= when) {
			ret = -ETIMEDOUT;
			break;
		}
		if (__atomic_compare_exchange_n(&c->state, &none, AWAITED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
		    none == AWAITED)
			sleep_on(c, when);
	}
	errno = saved;
	return ret;
}

/* ---- barriers of which one side is rare ---- */

static bool no_barrier; /* the system can't make one in every thread */

#ifndef HCA_TSAN

static long membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
}

/* Before any thread asks for a slot. */
__attribute__((constructor)) static void register_barrier(void)
{
	no_barrier = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
}

void hca_mb_heavy(void)
{
	int saved = errno;

	raw_mb();
	if (!no_barrier)
		HCA_ASSERT(!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
	errno = saved;
}
#endif

/* ---- slots ---- */

_Thread_local int hca_thread_slot __attribute__((tls_model("initial-exec"))) = -1;

static pthread_once_t slot_once = PTHREAD_ONCE_INIT;
static pthread_key_t slot_key;
static bool slot_key_ok;
static u64 slots_taken HCA_ALIGNED(8);
static u32 slots_shared;

_Static_assert(HCA_SLOTS == 64 && HCA_SHARED_SLOTS < 64, "slots_taken has a bit for each");

#define OWN_SLOTS ((1ull << HCA_SHARED_SLOTS) - 1)

/* A destructor that runs later may ask again; then that slot's destructor runs in the next round. */
static void slot_give(void *key_value)
{
	u64 bit = 1ull << ((uintptr_t)key_value - 1);

	hca_thread_slot = -1;
	hca_fetch_and(&slots_taken, ~bit);
}

static void slot_init(void)
{
	slot_key_ok = !pthread_key_create(&slot_key, slot_give);
}

/* Threads beyond the slots are spread over them by turns. They own nothing, and have nothing to give back. */
static int slot_share(void)
{
	return HCA_SHARED_SLOTS + (int)(hca_fetch_add(&slots_shared, 1) % (HCA_SLOTS - HCA_SHARED_SLOTS));
}

int hca_slot_take(void)
{
	u64 taken = hca_load(&slots_taken);
	u64 found;
	int slot;

	pthread_once(&slot_once, slot_init);
	for (;;) {
		if (!slot_key_ok || taken == OWN_SLOTS || no_barrier) {
			slot = slot_share();
			break;
		}
		slot = __builtin_ctzll(~taken);
		found = hca_cmpxchg(&slots_taken, taken, taken | 1ull << slot);
		if (found == taken) {
			if (!pthread_setspecific(slot_key, (void *)(uintptr_t)(slot + 1)))
				break;
			/* It couldn't be given back: don't keep it. */
			hca_fetch_and(&slots_taken, ~(1ull << slot));
			slot = slot_share();
			break;
		}
		taken = found;
	}
	hca_thread_slot = slot;
	return slot;
}

/* ---- chance ---- */

u32 hca_random_u32(void)
{
	static u64 state HCA_ALIGNED(8);
	u64 x;
	u32 v;

	if (hca_likely(getrandom(&v, sizeof(v), 0) == (ssize_t)sizeof(v)))
		return v;
	/* Forbidden to us: a sequence (splitmix64) from the clock and where we were loaded is what remains. */
	x = hca_fetch_add(&state, 0x9e3779b97f4a7c15ull) + hca_now_ns() + (uintptr_t)&state;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (u32)(x >> 32);
}

/* ---- words ---- */

size_t hca_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!size)
		return 0;
	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	if (n < 0) {
		buf[0] = 0;
		return 0;
	}
	return (size_t)n < size ? (size_t)n : size - 1;
}

static const char *const level_name[] = { "error", "warning", "info", "debug" };

/*
 * SOFTHCA_LOG=error|warning|info|debug (or 0..3) says how much is printed; without it, warnings and worse. Areas may follow
 * a colon: what is said here is of none, and of all of them.
 */
static int log_limit(void)
{
	static int limit = -1;
	int now = __atomic_load_n(&limit, __ATOMIC_RELAXED);
	const char *env;
	size_t len;
	int i;

	if (hca_likely(now >= 0))
		return now;
	now = HCA_LOG_WARN;
	env = secure_getenv("SOFTHCA_LOG");
	len = env ? strcspn(env, ":") : 0;
	for (i = HCA_LOG_ERR; len && i <= HCA_LOG_DEBUG; i++) {
		if ((len == strlen(level_name[i]) && !memcmp(env, level_name[i], len)) ||
		    (len == 1 && env[0] == '0' + i))
			now = i;
	}
	__atomic_store_n(&limit, now, __ATOMIC_RELAXED);
	return now;
}

/* One write() a line, so that the lines of threads and processes don't mix. @more: behind it; may be "". */
static HCA_PRINTF(3, 0) void say(enum hca_log_level level, const char *more, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	size_t n = hca_snprintf(line, sizeof(line) - 1, "softhca: %s: ", level_name[level]);
	int len = vsnprintf(line + n, sizeof(line) - 1 - n, fmt, ap);

	if (len > 0)
		n = HCA_MIN(n + (size_t)len, sizeof(line) - 2);
	n += hca_snprintf(line + n, sizeof(line) - 1 - n, "%s", more);
	line[n++] = '\n';
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
		;
	errno = saved;
}

void hca_log(enum hca_log_level level, const char *fmt, ...)
{
	va_list ap;

	if ((int)level > log_limit())
		return;
	va_start(ap, fmt);
	say(level, "", fmt, ap);
	va_end(ap);
}

void hca_bug(const char *cond, const char *file, int line)
{
	hca_log(HCA_LOG_ERR, "bug: %s at %s:%d", cond, file, line);
	abort();
}

static u32 hash_of(const char *text, u32 hash)
{
	for (; *text; text++)
		hash = (hash ^ (u8)*text) * 0x01000193u;
	return hash | 1;
}

/* How often a place has refused something before, by the hash of its text; a full table counts nothing. */
static u32 said_before(const char *fmt)
{
	static struct {
		u32 hash;
		u32 said;
	} place[REFUSAL_PLACES];
	u32 hash = hash_of(fmt, 0);
	u32 found, i;

	for (i = 0; i < REFUSAL_PLACES; i++) {
		u32 at = (hash + i) % REFUSAL_PLACES;

		found = hca_cmpxchg(&place[at].hash, 0u, hash);
		if (found && found != hash)
			continue;
		/* It stops where it no longer matters: a count that wraps would speak again. */
		return hca_load(&place[at].said) < REFUSALS_A_PLACE ? hca_fetch_add(&place[at].said, 1) :
								      REFUSALS_A_PLACE;
	}
	return 0;
}

static u32 mistake_level = HCA_LOG_WARN;

void hca_mistakes_are(int level)
{
	hca_store(&mistake_level, (u32)level);
}

int hca_say_refusal(int err, const char *fmt, ...)
{
	u32 level = hca_is_mistake(err) ? hca_load(&mistake_level) : (u32)HCA_LOG_INFO;
	bool all = log_limit() == HCA_LOG_DEBUG;
	u32 before;
	va_list ap;

	if ((int)level > log_limit())
		return err;
	before = all ? 0 : said_before(fmt);
	if (before >= REFUSALS_A_PLACE)
		return err;
	va_start(ap, fmt);
	say((enum hca_log_level)level,
	    before + 1 == REFUSALS_A_PLACE ? " (more of this kind are said with SOFTHCA_LOG=debug alone)" : "", fmt,
	    ap);
	va_end(ap);
	return err;
}

/* The places that have spoken, by their hash; two with one hash count as one, and a full table speaks each time. */
static bool first_time(const char *file, int line)
{
	static u32 spoken[WARN_PLACES];
	u32 hash = hash_of(file, (u32)line * 0x9e3779b1u);
	u32 found, i;

	for (i = 0; i < WARN_PLACES; i++) {
		found = hca_cmpxchg(&spoken[(hash + i) % WARN_PLACES], 0u, hash);
		if (!found)
			return true;
		if (found == hash)
			return false;
	}
	return true;
}

bool hca_warned(const char *cond, const char *file, int line)
{
	if (first_time(file, line))
		hca_log(HCA_LOG_WARN, "broken rule: %s at %s:%d", cond, file, line);
	return true;
}
