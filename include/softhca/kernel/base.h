/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Words, sizes, numbers and bits that every kernel source uses. Included by softhca/kernel.h. */
#ifndef SOFTHCA_KERNEL_BASE_H
#define SOFTHCA_KERNEL_BASE_H

#ifdef __cplusplus
#error "softhca/kernel.h is for C, as kernel sources are"
#endif

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
/* __u32, __be32 and so on are the C library's kernel headers'. */
#include <linux/types.h>

#include "softhca/err.h"
#include "softhca/list.h"
#include "softhca/machine.h"

/* Errors that no system call returns. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ENOIOCTLCMD 515
#define EPROBE_DEFER 517
#define ENOTSUPP 524

/* --- attributes and hints for the compiler --- */

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier() __asm__ volatile("" : : : "memory")
#define __maybe_unused __attribute__((unused))
#define __always_unused __attribute__((unused))
#define __must_check __attribute__((warn_unused_result))
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __printf(f, a) __attribute__((format(printf, f, a)))
#define __used __attribute__((used))
#define __cold __attribute__((cold))
/* The C library defines it, too. */
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define fallthrough __attribute__((fallthrough))
#define __init
#define __exit
#define __initdata
#define __read_mostly
#define __user
#define __iomem
#define __force
#ifndef __bitwise
#define __bitwise
#endif
#define __acquires(x)
#define __releases(x)
#define ____cacheline_aligned __attribute__((aligned(64)))
#define ____cacheline_aligned_in_smp __attribute__((aligned(64)))
#define BUILD_BUG_ON(c) _Static_assert(!(c), "BUILD_BUG_ON(" #c ")")
#ifndef static_assert
#define static_assert(c, ...) _Static_assert(c, #c)
#endif

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)

/* --- numbers --- */

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define sizeof_field(type, member) sizeof(((type *)0)->member)
#define offsetofend(type, member) (offsetof(type, member) + sizeof_field(type, member))

/* Each argument is evaluated once. */
#define softhca_pick_(type, a, op, b) \
	({ \
		type a_ = (type)(a); \
		type b_ = (type)(b); \
		a_ op b_ ? a_ : b_; \
	})
#define min_t(type, a, b) softhca_pick_(type, a, <, b)
#define max_t(type, a, b) softhca_pick_(type, a, >, b)
/** min() - the smaller of two numbers of one type; min_t() names the type for numbers of two types */
#define min(a, b) \
	({ \
		__typeof__(a) x_ = (a); \
		__typeof__(b) y_ = (b); \
		(void)(&x_ == &y_); \
		x_ < y_ ? x_ : y_; \
	})
#define max(a, b) \
	({ \
		__typeof__(a) x_ = (a); \
		__typeof__(b) y_ = (b); \
		(void)(&x_ == &y_); \
		x_ > y_ ? x_ : y_; \
	})
#define min3(a, b, c) min(min(a, b), c)
#define max3(a, b, c) max(max(a, b), c)
#define min_not_zero(a, b) \
	({ \
		__typeof__(a) m_ = (a); \
		__typeof__(b) n_ = (b); \
		!m_ ? n_ : !n_ ? m_ : min(m_, n_); \
	})
#define clamp(v, low, high) min(max(v, low), high)
#define clamp_t(type, v, low, high) min_t(type, max_t(type, v, low), high)
#define clamp_val(v, low, high) clamp_t(__typeof__(v), v, low, high)
#define swap(a, b) \
	do { \
		__typeof__(a) swapped_ = (a); \
		(a) = (b); \
		(b) = swapped_; \
	} while (0)

#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))
#define DIV_ROUND_UP_ULL(n, d) DIV_ROUND_UP((unsigned long long)(n), (unsigned long long)(d))
#define ALIGN(x, a) (((x) + (__typeof__(x))(a)-1) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define PTR_ALIGN(p, a) ((__typeof__(p))ALIGN((unsigned long)(p), a))
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a)-1)) == 0)
/** round_up() - to a multiple of a power of two; roundup(): to a multiple of any number */
#define round_up(x, y) ALIGN(x, y)
#define round_down(x, y) ALIGN_DOWN(x, y)
#define roundup(x, y) (DIV_ROUND_UP(x, y) * (y))
#define rounddown(x, y) ((x) / (y) * (y))
#define PAGE_ALIGN(x) ALIGN(x, PAGE_SIZE)
#define offset_in_page(p) ((unsigned long)(uintptr_t)(p) & ~PAGE_MASK)

#define upper_32_bits(n) ((u32)((u64)(n) >> 32))
#define lower_32_bits(n) ((u32)(n))

#define U8_MAX ((u8)~0u)
#define U16_MAX ((u16)~0u)
#define U32_MAX (~(u32)0)
#define U64_MAX (~(u64)0)
#define S32_MAX ((s32)(U32_MAX >> 1))
#define S64_MAX ((s64)(U64_MAX >> 1))

#define check_add_overflow(a, b, d) __builtin_add_overflow(a, b, d)
#define check_sub_overflow(a, b, d) __builtin_sub_overflow(a, b, d)
#define check_mul_overflow(a, b, d) __builtin_mul_overflow(a, b, d)

/** size_mul(), size_add() - the result, or the largest number, with which every allocation fails */
static inline size_t size_mul(size_t a, size_t b)
{
	size_t n;

	return __builtin_mul_overflow(a, b, &n) ? SIZE_MAX : n;
}

static inline size_t size_add(size_t a, size_t b)
{
	size_t n;

	return __builtin_add_overflow(a, b, &n) ? SIZE_MAX : n;
}

#define array_size(n, size) size_mul(n, size)
#define struct_size(p, member, n) size_add(sizeof(*(p)), size_mul(n, sizeof((p)->member[0])))
#define flex_array_size(p, member, n) size_mul(n, sizeof((p)->member[0]))

#define SZ_1 0x1
#define SZ_64 0x40
#define SZ_128 0x80
#define SZ_256 0x100
#define SZ_512 0x200
#define SZ_1K 0x400
#define SZ_2K 0x800
#define SZ_4K 0x1000
#define SZ_8K 0x2000
#define SZ_16K 0x4000
#define SZ_32K 0x8000
#define SZ_64K 0x10000
#define SZ_128K 0x20000
#define SZ_256K 0x40000
#define SZ_512K 0x80000
#define SZ_1M 0x100000
#define SZ_2M 0x200000
#define SZ_4M 0x400000
#define SZ_8M 0x800000
#define SZ_16M 0x1000000
#define SZ_32M 0x2000000
#define SZ_64M 0x4000000
#define SZ_128M 0x8000000
#define SZ_256M 0x10000000
#define SZ_512M 0x20000000
#define SZ_1G 0x40000000

#define NUMA_NO_NODE (-1)

/* --- bits --- */

#define BITS_PER_BYTE 8
#define BITS_PER_LONG ((int)(8 * sizeof(long)))
#define BIT(n) (1ul << (n))
#define BIT_ULL(n) (1ull << (n))
#define GENMASK(high, low) ((~0ul << (low)) & (~0ul >> (BITS_PER_LONG - 1 - (high))))
#define GENMASK_ULL(high, low) ((~0ull << (low)) & (~0ull >> (63 - (high))))
#define BITS_TO_LONGS(n) DIV_ROUND_UP(n, BITS_PER_LONG)
#define DECLARE_BITMAP(name, bits) unsigned long name[BITS_TO_LONGS(bits)]

/** fls() - the number of the highest set bit, from 1; 0: none */
static inline int fls(unsigned int x)
{
	return x ? 32 - __builtin_clz(x) : 0;
}

static inline int fls64(u64 x)
{
	return x ? 64 - __builtin_clzll(x) : 0;
}

static inline unsigned int hweight32(u32 x)
{
	return (unsigned int)__builtin_popcount(x);
}

static inline unsigned int hweight64(u64 x)
{
	return (unsigned int)__builtin_popcountll(x);
}

/** __ffs() - the number of the lowest set bit, from 0; at least one must be set */
#define __ffs(x) ((unsigned long)__builtin_ctzl(x))

static inline bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}

/** ilog2() - of a number that isn't 0, rounded down */
#define ilog2(n) (fls64((u64)(n)) - 1)

static inline unsigned long roundup_pow_of_two(unsigned long n)
{
	return n <= 1 ? 1 : 1ul << fls64(n - 1);
}

static inline unsigned long rounddown_pow_of_two(unsigned long n)
{
	return 1ul << (fls64(n) - 1);
}

/** get_order() - the order of the fewest pages that hold @size bytes */
static inline int get_order(unsigned long size)
{
	return size <= PAGE_SIZE ? 0 : fls64((size - 1) >> PAGE_SHIFT);
}

#define softhca_bit_word_(nr, addr) ((addr) + (nr) / BITS_PER_LONG)
#define softhca_bit_mask_(nr) (1ul << ((nr) % BITS_PER_LONG))

/** set_bit() - atomic, as clear_bit() and test_and_*(); those with underscores are not */
static inline void set_bit(long nr, volatile unsigned long *addr)
{
	__atomic_fetch_or(softhca_bit_word_(nr, addr), softhca_bit_mask_(nr), __ATOMIC_RELAXED);
}

static inline void clear_bit(long nr, volatile unsigned long *addr)
{
	__atomic_fetch_and(softhca_bit_word_(nr, addr), ~softhca_bit_mask_(nr), __ATOMIC_RELAXED);
}

/** clear_bit_unlock() - clear_bit() with release ordering, for a bit that is used as a lock */
static inline void clear_bit_unlock(long nr, volatile unsigned long *addr)
{
	__atomic_fetch_and(softhca_bit_word_(nr, addr), ~softhca_bit_mask_(nr), __ATOMIC_RELEASE);
}

static inline bool test_bit(long nr, const volatile unsigned long *addr)
{
	return __atomic_load_n(softhca_bit_word_(nr, addr), __ATOMIC_RELAXED) & softhca_bit_mask_(nr);
}

static inline bool test_and_set_bit(long nr, volatile unsigned long *addr)
{
	return __atomic_fetch_or(softhca_bit_word_(nr, addr), softhca_bit_mask_(nr), __ATOMIC_SEQ_CST) &
	       softhca_bit_mask_(nr);
}

static inline bool test_and_clear_bit(long nr, volatile unsigned long *addr)
{
	return __atomic_fetch_and(softhca_bit_word_(nr, addr), ~softhca_bit_mask_(nr), __ATOMIC_SEQ_CST) &
	       softhca_bit_mask_(nr);
}

static inline void __set_bit(long nr, volatile unsigned long *addr)
{
	*softhca_bit_word_(nr, addr) |= softhca_bit_mask_(nr);
}

static inline void __clear_bit(long nr, volatile unsigned long *addr)
{
	*softhca_bit_word_(nr, addr) &= ~softhca_bit_mask_(nr);
}

static inline void bitmap_zero(unsigned long *map, unsigned int bits)
{
	memset(map, 0, BITS_TO_LONGS(bits) * sizeof(long));
}

/** find_next_bit() - the number of the first set bit from @from on; @size: there is none */
static inline unsigned long find_next_bit(const unsigned long *map, unsigned long size, unsigned long from)
{
	while (from < size && !test_bit((long)from, map))
		from++;
	return from < size ? from : size;
}

static inline unsigned long find_next_zero_bit(const unsigned long *map, unsigned long size, unsigned long from)
{
	while (from < size && test_bit((long)from, map))
		from++;
	return from < size ? from : size;
}

#define find_first_bit(map, size) find_next_bit(map, size, 0)
#define find_first_zero_bit(map, size) find_next_zero_bit(map, size, 0)
#define for_each_set_bit(bit, map, size) \
	for ((bit) = find_first_bit(map, size); (bit) < (size); (bit) = find_next_bit(map, size, (bit) + 1))

/** get_random_bytes() - unpredictable bytes from the system */
static inline void get_random_bytes(void *buf, size_t len)
{
	u8 *at = (u8 *)buf;

	while (len) {
		ssize_t n = getrandom(at, len, 0);

		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

static inline u32 get_random_u32(void)
{
	u32 n;

	get_random_bytes(&n, sizeof(n));
	return n;
}

static inline u64 get_random_u64(void)
{
	u64 n;

	get_random_bytes(&n, sizeof(n));
	return n;
}

/** get_random_u32_below() - from 0 to @ceil - 1, equally likely up to one part in 2^32 / @ceil */
static inline u32 get_random_u32_below(u32 ceil)
{
	return (u32)((u64)get_random_u32() * ceil >> 32);
}

/** strscpy() - Return: bytes copied, without the final 0; -E2BIG: the string was truncated */
static inline ssize_t strscpy(char *to, const char *from, size_t size)
{
	size_t n = strnlen(from, size);

	if (!size)
		return -E2BIG;
	if (n == size) {
		memcpy(to, from, size - 1);
		to[size - 1] = 0;
		return -E2BIG;
	}
	memcpy(to, from, n + 1);
	return (ssize_t)n;
}

#endif
