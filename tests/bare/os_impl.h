/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An os layer that has nothing but the contract: every item of os.h's "Need:" list as
 * a declaration or a builtin of the compiler, and no header of any system. Nothing
 * runs here. tools/lint.sh compiles the core in it, so a call that the contract
 * doesn't promise, a system header or a system's constant doesn't get through.
 */
#ifndef HCA_BARE_OS_IMPL_H
#define HCA_BARE_OS_IMPL_H

/* errno.h's names with Linux's values; add one when the core begins to return it. */
enum {
	EPERM = 1,
	ENOENT = 2,
	EINTR = 4,
	EIO = 5,
	ENXIO = 6,
	E2BIG = 7,
	EBADF = 9,
	EAGAIN = 11,
	ENOMEM = 12,
	EACCES = 13,
	EFAULT = 14,
	EBUSY = 16,
	EEXIST = 17,
	EXDEV = 18,
	ENODEV = 19,
	EINVAL = 22,
	ENOSPC = 28,
	ERANGE = 34,
	EDEADLK = 35,
	ENODATA = 61,
	EREMOTEIO = 121,
	EPROTO = 71,
	EOVERFLOW = 75,
	EMSGSIZE = 90,
	EOPNOTSUPP = 95,
	EADDRINUSE = 98,
	EADDRNOTAVAIL = 99,
	ECONNRESET = 104,
	ENOBUFS = 105,
	EISCONN = 106,
	ENOTCONN = 107,
	ETIMEDOUT = 110,
	ECONNREFUSED = 111,
	EHOSTUNREACH = 113,
	EALREADY = 114,
	EINPROGRESS = 115,
	ESTALE = 116,
	ECANCELED = 125,
};

#define hca_likely(x) __builtin_expect(!!(x), 1)
#define hca_unlikely(x) __builtin_expect(!!(x), 0)
#define HCA_CACHE_LINE 64
#define HCA_OS_COUNTS 1
#define HCA_ALIGNED(n) __attribute__((aligned(n)))
#define HCA_ALWAYS_INLINE inline __attribute__((always_inline))
#define HCA_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define HCA_COLD __attribute__((cold))
#define HCA_SITE "%p"
#define hca_site(site) (site)

void *hca_memcpy(void *to, const void *from, size_t bytes);
void *hca_memmove(void *to, const void *from, size_t bytes);
void *hca_memset(void *to, int byte, size_t bytes);
int hca_memcmp(const void *a, const void *b, size_t bytes);

#define hca_load(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define hca_store(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define hca_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define hca_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define hca_xchg(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define hca_cmpxchg(p, old, new) \
	({ \
		__typeof__(*(p)) hca_found_ = (old); \
		__atomic_compare_exchange_n(p, &hca_found_, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		hca_found_; \
	})
#define hca_fetch_add(p, n) __atomic_fetch_add(p, n, __ATOMIC_SEQ_CST)
#define hca_fetch_or(p, m) __atomic_fetch_or(p, m, __ATOMIC_SEQ_CST)
#define hca_fetch_and(p, m) __atomic_fetch_and(p, m, __ATOMIC_SEQ_CST)
#define hca_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define hca_pause() __asm__ volatile("" ::: "memory")
void hca_relax(u32 *turns);
void hca_mb_heavy(void);

struct hca_spinlock {
	int held;
};
typedef unsigned long hca_irqflags_t;
hca_irqflags_t hca_bare_lock(struct hca_spinlock *l);
void hca_spin_init(struct hca_spinlock *l);
void hca_spin_unlock(struct hca_spinlock *l, hca_irqflags_t flags);
void hca_spin_assert(const struct hca_spinlock *l);
#define hca_spin_lock(l, flags) ((flags) = hca_bare_lock(l))

struct hca_mutex {
	int held;
};
void hca_mutex_init(struct hca_mutex *m);
void hca_mutex_lock(struct hca_mutex *m);
void hca_mutex_unlock(struct hca_mutex *m);
void hca_mutex_destroy(struct hca_mutex *m);
void hca_mutex_assert(const struct hca_mutex *m);

struct hca_completion {
	int done;
};
void hca_completion_init(struct hca_completion *c);
void hca_completion_destroy(struct hca_completion *c);

struct hca_timer {
	void (*fn)(void *arg);
	void *arg;
};

void hca_rcu_read_lock(void);
void hca_rcu_read_unlock(void);
#define hca_rcu_deref(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)

struct hca_work {
	void (*fn)(void *arg);
	void *arg;
};

unsigned int hca_slot(void);
bool hca_slot_light(unsigned int slot);
void hca_slot_enter(u32 *p, unsigned int slot);
void hca_slot_leave(u32 *p, unsigned int slot);
uintptr_t hca_context(void);
bool hca_may_carry(void);

typedef unsigned long hca_pin_t;
hca_pin_t hca_bare_pin(void);
void hca_unpin(hca_pin_t p);
#define hca_pin(p) ((p) = hca_bare_pin())

#endif
