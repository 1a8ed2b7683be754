/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What gcc and clang bring for a os_impl.h: hints, attributes, bytes and raw
 * atomics. The user os layer hands them on as they are; the test os layer puts a decision
 * of its schedule before each. Only a os_impl.h includes this; nothing here may
 * need a function of the system, nor libatomic.
 */
#ifndef HCA_COMPILER_H
#define HCA_COMPILER_H

#define hca_likely(x) __builtin_expect(!!(x), 1)
#define hca_unlikely(x) __builtin_expect(!!(x), 0)

#define HCA_CACHE_LINE 64
#define HCA_ALIGNED(n) __attribute__((aligned(n)))
#define HCA_ALWAYS_INLINE inline __attribute__((always_inline))
#define HCA_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define HCA_COLD __attribute__((cold))

/* A hca_site_t in a format, and its argument. */
#define HCA_SITE "%s"
#define hca_site(site) ((site) ? (const char *)(site) : "?")

#define hca_memcpy(to, from, n) __builtin_memcpy(to, from, n)
#define hca_memmove(to, from, n) __builtin_memmove(to, from, n)
#define hca_memset(to, byte, n) __builtin_memset(to, byte, n)
#define hca_memcmp(a, b, n) __builtin_memcmp(a, b, n)

/* gcc says which sanitizer it builds for by a macro, clang by a feature. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HCA_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define HCA_ASAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define HCA_TSAN 1
#endif
#ifdef __SANITIZE_ADDRESS__
#define HCA_ASAN 1
#endif

/*
 * i386 aligns a u64 in a struct to 4 bytes, and clang then calls libatomic rather than
 * use cmpxchg8b. The contract asks for 8 (HCA_ALIGNED(8)); this tells the compiler.
 */
#define RAW_AT(p) \
	({ \
		typedef __typeof__(*(p)) hca_at_type_ __attribute__((aligned(sizeof(*(p))))); \
		(hca_at_type_ *)(p); \
	})

#define raw_load(p, order) __atomic_load_n(RAW_AT(p), order)
#define raw_store(p, v, order) __atomic_store_n(RAW_AT(p), v, order)
#define raw_xchg(p, v) __atomic_exchange_n(RAW_AT(p), v, __ATOMIC_SEQ_CST)
#define raw_cmpxchg(p, old, new) \
	({ \
		__typeof__(*(p)) hca_found_ = (old); \
		__atomic_compare_exchange_n(RAW_AT(p), &hca_found_, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		hca_found_; \
	})
#define raw_fetch_add(p, n) __atomic_fetch_add(RAW_AT(p), n, __ATOMIC_SEQ_CST)
#define raw_fetch_or(p, m) __atomic_fetch_or(RAW_AT(p), m, __ATOMIC_SEQ_CST)
#define raw_fetch_and(p, m) __atomic_fetch_and(RAW_AT(p), m, __ATOMIC_SEQ_CST)

#ifdef HCA_TSAN
/* The thread sanitizer knows no fences; it takes what all do to one variable, in turn, for the order they make. */
__attribute__((weak)) unsigned int hca_fence_seen;
#define raw_mb() ((void)__atomic_fetch_add(&hca_fence_seen, 1, __ATOMIC_SEQ_CST))
#else
#define raw_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* A locked instruction is a full barrier; elsewhere what follows it may be done before its store can be seen. */
#if defined(__x86_64__) || defined(__i386__)
#define raw_mb_after_rmw() __asm__ volatile("" ::: "memory")
#else
#define raw_mb_after_rmw() raw_mb()
#endif

#if defined(__x86_64__) || defined(__i386__)
#define raw_pause() __builtin_ia32_pause()
#elif defined(__aarch64__) || defined(__arm__)
#define raw_pause() __asm__ volatile("yield" ::: "memory")
#else
#define raw_pause() __asm__ volatile("" ::: "memory")
#endif

#endif
