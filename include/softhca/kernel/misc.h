/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is small and belongs nowhere else: more of the compiler's words and of numbers, bits, UUIDs, trace points that are
 * off, and names of the network. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_MISC_H
#define SOFTHCA_KERNEL_MISC_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "softhca/kernel/base.h"
#include "softhca/kernel/byteorder.h"
#include "softhca/kernel/work.h"

/* --- hints for the compiler --- */

#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)
#define __same_type(a, b) __builtin_types_compatible_p(__typeof__(a), __typeof__(b))
#define __must_be_array(a) BUILD_BUG_ON_ZERO(__same_type((a), &(a)[0]))
#define BUILD_BUG_ON_ZERO(c) ((int)(sizeof(struct { int : (-!!(c)); })))
#define BUILD_BUG_ON_MSG(c, msg) _Static_assert(!(c), msg)
#define BUILD_BUG_ON_NOT_POWER_OF_2(n) BUILD_BUG_ON((n) == 0 || (((n) & ((n)-1)) != 0))
#define __pure __attribute__((pure))
#define __noreturn __attribute__((noreturn))
#define __weak __attribute__((weak))
#define __visible
#define __malloc __attribute__((malloc))
#define __counted_by(member)
#define __nonstring
#define __ref
#define __refdata
#define __initconst
#define __exitdata
#define __ro_after_init
#define __cacheline_aligned ____cacheline_aligned
#define __cacheline_aligned_in_smp ____cacheline_aligned
#define ____cacheline_internodealigned_in_smp ____cacheline_aligned
#define L1_CACHE_BYTES 64
#define SMP_CACHE_BYTES L1_CACHE_BYTES
#define cache_line_size() L1_CACHE_BYTES
#define L1_CACHE_ALIGN(x) ALIGN(x, L1_CACHE_BYTES)
#define data_race(x) (x)
#define prefetch(p) __builtin_prefetch(p)
#define prefetchw(p) __builtin_prefetch(p, 1)
#define typecheck(type, x) ((void)((type *)0 == (__typeof__(x) *)0), 1)
#define ACCESS_PRIVATE(p, member) ((p)->member)
#define struct_size_t(type, member, n) struct_size((type *)NULL, member, n)
/** struct_group() - members that are also a struct of their own, @name */
#define struct_group(name, members...) struct_group_tagged(/* none */, name, members)
#define struct_group_attr(name, attrs, members...) \
	union { \
		struct { \
			members \
		} attrs; \
		struct { \
			members \
		} attrs name; \
	}
#define struct_group_tagged(tag, name, members...) \
	union { \
		struct { \
			members \
		}; \
		struct tag { \
			members \
		} name; \
	}
/** DECLARE_FLEX_ARRAY() - a last array of no length, where C allows none: in a union, or alone */
#undef DECLARE_FLEX_ARRAY
#define DECLARE_FLEX_ARRAY(type, name) \
	struct { \
		struct { \
		} none_##name; \
		type name[]; \
	}

/** IS_ENABLED() - 1 if @option is defined as 1; also in #if */
#define IS_ENABLED(option) softhca_defined_(option)
#define IS_BUILTIN(option) softhca_defined_(option)
#define IS_REACHABLE(option) softhca_defined_(option)
#define IS_MODULE(option) softhca_defined_(option##_MODULE)
#define softhca_defined_(x) softhca_defined_1_(x)
#define softhca_defined_1_(x) softhca_defined_2_(softhca_comma_##x)
#define softhca_comma_1 0,
#define softhca_defined_2_(comma_or_not) softhca_second_(comma_or_not 1, 0, 0)
#define softhca_second_(a, b, ...) b

/* --- numbers and bits --- */

#define S8_MAX ((s8)127)
#define S8_MIN ((s8)-128)
#define S16_MAX ((s16)32767)
#define S16_MIN ((s16)-32768)
#define S32_MIN (-S32_MAX - 1)
#define S64_MIN (-S64_MAX - 1)
#define abs_diff(a, b) ((a) > (b) ? (a) - (b) : (b) - (a))
#define DIV_ROUND_CLOSEST(n, d) (((n) + (d) / 2) / (d))
#define mult_frac(x, n, d) ((x) / (d) * (n) + (x) % (d) * (n) / (d))
#define do_div(n, base) \
	({ \
		u32 base_ = (base), rest_ = (u32)((u64)(n) % base_); \
		(n) = (u64)(n) / base_; \
		rest_; \
	})
#define div_u64(n, d) ((u64)(n) / (u32)(d))
#define div64_u64(n, d) ((u64)(n) / (u64)(d))
#define div_u64_rem(n, d, rest) (*(rest) = (u32)((u64)(n) % (u32)(d)), div_u64(n, d))
#define PFN_DOWN(x) ((x) >> PAGE_SHIFT)
#define PFN_UP(x) (((x) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define PAGE_ALIGNED(x) IS_ALIGNED((unsigned long)(uintptr_t)(x), PAGE_SIZE)
#define PAGE_ALIGN_DOWN(x) ALIGN_DOWN(x, PAGE_SIZE)
#define PTR_ALIGN_DOWN(p, a) ((__typeof__(p))ALIGN_DOWN((unsigned long)(p), a))
#define PTR_IF(c, p) ((c) ? (p) : NULL)
#define array3_size(a, b, c) size_mul(size_mul(a, b), c)
#define size_sub(a, b) ((size_t)(a) < (size_t)(b) ? SIZE_MAX : (size_t)(a) - (size_t)(b))
#define BITS_PER_LONG_LONG 64
#define BIT_MASK(n) (1ul << ((n) % BITS_PER_LONG))
#define BIT_WORD(n) ((n) / BITS_PER_LONG)

/** order_base_2() - the least n with @n <= 2^n */
#define order_base_2(n) ((n) > 1 ? fls64((u64)(n)-1) : 0)

/** fls_long() - as fls() */
#define fls_long(x) fls64((u64)(unsigned long)(x))
/** __fls() - the number of the highest bit, from 0; one is set */
#define __fls(x) ((unsigned long)fls_long(x) - 1)
#define ffz(x) __ffs(~(x))

static inline u16 swab16(u16 x)
{
	return __builtin_bswap16(x);
}

static inline u32 swab32(u32 x)
{
	return __builtin_bswap32(x);
}

static inline u64 swab64(u64 x)
{
	return __builtin_bswap64(x);
}

static inline u8 hweight8(u8 x)
{
	return (u8)__builtin_popcount(x);
}

#define hweight_long(x) ((unsigned long)__builtin_popcountl(x))

static inline bool __test_and_set_bit(long nr, volatile unsigned long *addr)
{
	bool was = *softhca_bit_word_(nr, addr) & softhca_bit_mask_(nr);

	*softhca_bit_word_(nr, addr) |= softhca_bit_mask_(nr);
	return was;
}

static inline bool __test_and_clear_bit(long nr, volatile unsigned long *addr)
{
	bool was = *softhca_bit_word_(nr, addr) & softhca_bit_mask_(nr);

	*softhca_bit_word_(nr, addr) &= ~softhca_bit_mask_(nr);
	return was;
}

static inline void change_bit(long nr, volatile unsigned long *addr)
{
	__atomic_fetch_xor(softhca_bit_word_(nr, addr), softhca_bit_mask_(nr), __ATOMIC_RELAXED);
}

#define assign_bit(nr, addr, value) ((value) ? set_bit(nr, addr) : clear_bit(nr, addr))
#define for_each_clear_bit(bit, map, size) \
	for ((bit) = find_first_zero_bit(map, size); (bit) < (size); (bit) = find_next_zero_bit(map, size, (bit) + 1))

static inline void bitmap_fill(unsigned long *map, unsigned int bits)
{
	unsigned int i;

	bitmap_zero(map, bits);
	for (i = 0; i < bits; i++)
		__set_bit((long)i, map);
}

static inline unsigned int bitmap_weight(const unsigned long *map, unsigned int bits)
{
	unsigned int i, n = 0;

	for (i = 0; i < bits; i++)
		n += test_bit((long)i, map);
	return n;
}

#define bitmap_empty(map, bits) (find_first_bit(map, bits) >= (bits))
#define bitmap_full(map, bits) (find_first_zero_bit(map, bits) >= (bits))
#define bitmap_zalloc(bits, gfp) ((unsigned long *)kcalloc(BITS_TO_LONGS(bits), sizeof(long), gfp))
#define bitmap_alloc(bits, gfp) bitmap_zalloc(bits, gfp)
#define bitmap_free(map) kfree(map)

/** get_random_u32_inclusive() - from @floor to @ceil */
static inline u32 get_random_u32_inclusive(u32 floor, u32 ceil)
{
	return floor + (u32)((u64)get_random_u32() * ((u64)(ceil - floor) + 1) >> 32);
}

#define get_random_u8() ((u8)get_random_u32())
#define get_random_u16() ((u16)get_random_u32())
#define get_random_long() ((unsigned long)get_random_u64())
#define prandom_u32() get_random_u32()
#define prandom_u32_max(ceil) get_random_u32_below(ceil)
#define get_random_once(buf, len) get_random_bytes(buf, len)

/* --- memory is not reclaimed: who is allowed what when it is, is nothing --- */

#define __GFP_NOWARN 0u
#define __GFP_NORETRY 0u
#define __GFP_RETRY_MAYFAIL 0u
#define __GFP_NOFAIL 0u
#define __GFP_NOMEMALLOC 0u
#define __GFP_MEMALLOC 0u
#define __GFP_HIGH 0u
#define __GFP_COMP 0u
#define __GFP_ACCOUNT 0u
#define __GFP_IO 0u
#define __GFP_FS 0u
#define __GFP_RECLAIM GFP_KERNEL
#define __GFP_DIRECT_RECLAIM GFP_KERNEL
#define GFP_KERNEL_ACCOUNT GFP_KERNEL
#define GFP_USER GFP_KERNEL
#define gfpflags_allow_blocking(gfp) (((gfp)&GFP_KERNEL) != 0)
#define memalloc_noio_save() 0u
#define memalloc_noio_restore(flags) ((void)(flags))
#define memalloc_nofs_save() 0u
#define memalloc_nofs_restore(flags) ((void)(flags))
#define memalloc_noreclaim_save() 0u
#define memalloc_noreclaim_restore(flags) ((void)(flags))

/* --- UUIDs --- */

#define UUID_SIZE 16
#define UUID_STRING_LEN 36

typedef struct {
	u8 b[UUID_SIZE];
} uuid_t;

typedef struct {
	u8 b[UUID_SIZE];
} guid_t;

#define softhca_uuid_(name, kind) \
	static inline bool name##_equal(const kind *a, const kind *b) \
	{ \
		return !memcmp(a, b, sizeof(*a)); \
	} \
	static inline void name##_copy(kind *to, const kind *from) \
	{ \
		*to = *from; \
	} \
	static inline void import_##name(kind *to, const u8 *from) \
	{ \
		memcpy(to, from, sizeof(*to)); \
	} \
	static inline void export_##name(u8 *to, const kind *from) \
	{ \
		memcpy(to, from, sizeof(*from)); \
	} \
	static inline bool name##_is_null(const kind *a) \
	{ \
		static const kind null; \
\
		return name##_equal(a, &null); \
	}
softhca_uuid_(uuid, uuid_t) softhca_uuid_(guid, guid_t)
#undef softhca_uuid_

	/** uuid_gen() - at random (RFC 4122, version 4) */
	static inline void uuid_gen(uuid_t *u)
{
	get_random_bytes(u, sizeof(*u));
	u->b[6] = (u8)((u->b[6] & 0x0f) | 0x40);
	u->b[8] = (u8)((u->b[8] & 0x3f) | 0x80);
}

/** guid_gen() - the same, in the order of bytes of EFI's */
static inline void guid_gen(guid_t *u)
{
	get_random_bytes(u, sizeof(*u));
	u->b[7] = (u8)((u->b[7] & 0x0f) | 0x40);
	u->b[8] = (u8)((u->b[8] & 0x3f) | 0x80);
}

/* --- users: all are the program's --- */

typedef unsigned short umode_t;

#define S_IRUGO 0444
#define S_IWUGO 0222

typedef struct {
	uid_t val;
} kuid_t;

typedef struct {
	gid_t val;
} kgid_t;

#define KUIDT_INIT(v) ((kuid_t){ v })
#define KGIDT_INIT(v) ((kgid_t){ v })
#define GLOBAL_ROOT_UID KUIDT_INIT(0)
#define GLOBAL_ROOT_GID KGIDT_INIT(0)
#define INVALID_UID KUIDT_INIT((uid_t)-1)
#define INVALID_GID KGIDT_INIT((gid_t)-1)
#define uid_eq(a, b) ((a).val == (b).val)
#define gid_eq(a, b) ((a).val == (b).val)
#define uid_valid(u) ((u).val != (uid_t)-1)
#define gid_valid(g) ((g).val != (gid_t)-1)

/* --- time, timers and work, as later kernels name it --- */

typedef s64 time64_t;

#define NSEC_PER_JIFFY (NSEC_PER_SEC / HZ)
#define USEC_PER_JIFFY (USEC_PER_SEC / HZ)
#define jiffies_to_usecs(j) ((unsigned int)((j) * (unsigned long)USEC_PER_JIFFY))
#define jiffies_to_nsecs(j) ((u64)(j)*NSEC_PER_JIFFY)
#define nsecs_to_jiffies(ns) ((unsigned long)((u64)(ns) / NSEC_PER_JIFFY))
#define round_jiffies(j) (j)
#define round_jiffies_relative(j) (j)
#define time_is_before_jiffies(a) time_after(jiffies, a)
#define time_is_after_jiffies(a) time_before(jiffies, a)
#define time_in_range(a, b, c) (time_after_eq(a, b) && time_before_eq(a, c))
#define jiffies_64 get_jiffies_64()
#define ktime_add(a, b) ((a) + (b))
#define ktime_add_ns(t, ns) ((t) + (s64)(ns))
#define ktime_add_us(t, us) ((t) + (s64)(us)*1000)
#define ktime_add_ms(t, ms) ((t) + (s64)(ms)*1000000)
#define ktime_compare(a, b) ((a) < (b) ? -1 : (a) > (b))
#define ktime_before(a, b) ((a) < (b))
#define ktime_after(a, b) ((a) > (b))
#define ms_to_ktime(ms) ((ktime_t)(ms)*1000000)
#define ns_to_ktime(ns) ((ktime_t)(ns))
#define ktime_set(s, ns) ((ktime_t)(s)*NSEC_PER_SEC + (ktime_t)(ns))
#define KTIME_MAX INT64_MAX
#define KTIME_SEC_MAX (KTIME_MAX / NSEC_PER_SEC)
#define ktime_get_real_seconds() ((time64_t)time(NULL))
#define ktime_get_seconds() ((time64_t)(softhca_now_ns() / NSEC_PER_SEC))
#define local_clock() softhca_now_ns()
#define sched_clock() softhca_now_ns()
#define get_cycles() softhca_now_ns()
#define udelay(us) softhca_sleep_ns((u64)(us)*1000)
#define mdelay(ms) softhca_sleep_ns((u64)(ms)*1000000)
#define msleep_interruptible(ms) (msleep(ms), 0ul)
#define cpu_to_mem(cpu) ((void)(cpu), NUMA_NO_NODE)
#define numa_node_id() 0
#define try_to_del_timer_sync(t) del_timer_sync(t)
#define timer_container_of(var, callback_timer, field) from_timer(var, callback_timer, field)
#define queue_work_on(cpu, wq, w) ((void)(cpu), queue_work(wq, w))
#define queue_delayed_work_on(cpu, wq, dw, delay) ((void)(cpu), queue_delayed_work(wq, dw, delay))
#define schedule_work_on(cpu, w) ((void)(cpu), schedule_work(w))
#define queue_work_node(node, wq, w) ((void)(node), queue_work(wq, w))
#define INIT_WORK_ONSTACK(w, fn) INIT_WORK(w, fn)
#define INIT_DELAYED_WORK_ONSTACK(w, fn) INIT_DELAYED_WORK(w, fn)
#define INIT_DEFERRABLE_WORK(w, fn) INIT_DELAYED_WORK(w, fn)
#define destroy_work_on_stack(w) ((void)(w))
#define system_power_efficient_wq softhca_system_wq()
#define system_freezable_wq softhca_system_wq()
#define WQ_POWER_EFFICIENT (1u << 7)
#define WQ_MAX_ACTIVE 512
#define WQ_UNBOUND_MAX_ACTIVE WQ_MAX_ACTIVE
#define WQ_DFL_ACTIVE (WQ_MAX_ACTIVE / 2)

/* --- signals: none comes --- */

#define fatal_signal_pending(task) ((void)(task), false)
#define flush_signals(task) ((void)(task))
#define allow_signal(sig) ((void)(sig))
#define need_resched() false
#define freezing(task) ((void)(task), false)
#define try_to_freeze() false
#define set_freezable() false

/* --- trace points, which are off: a call of one does nothing, as in a kernel without them --- */

#define TP_PROTO(args...) args
#define TP_ARGS(args...) args
#define TRACE_EVENT(name, proto, args...) softhca_trace_point_(name, proto)
#define TRACE_EVENT_CONDITION(name, proto, args...) softhca_trace_point_(name, proto)
#define DEFINE_EVENT(class, name, proto, args...) softhca_trace_point_(name, proto)
#define DEFINE_EVENT_PRINT(class, name, proto, args...) softhca_trace_point_(name, proto)
#define DECLARE_TRACE(name, proto, args...) softhca_trace_point_(name, proto)
#define DECLARE_EVENT_CLASS(name, args...)
#define DECLARE_TRACEPOINT(name) struct softhca_trace_##name
#define tracepoint_enabled(name) false
#define TRACE_DEFINE_ENUM(name)
#define softhca_trace_point_(name, proto...) \
	_Pragma("GCC diagnostic push") _Pragma( \
		"GCC diagnostic ignored \"-Wunused-parameter\"") static inline __maybe_unused void trace_##name(proto) \
	{ \
	} \
	_Pragma("GCC diagnostic pop") static inline __maybe_unused bool trace_##name##_enabled(void) \
	{ \
		return false; \
	} \
	_Static_assert(1, "")

/* --- the network --- */

struct net_device;
struct sk_buff;

typedef sa_family_t __kernel_sa_family_t;

/** possible_net_t - a reference to the one network namespace that there is */
typedef struct {
	struct net *net;
} possible_net_t;

#define read_pnet(p) ((p)->net)
#define write_pnet(p, n) ((void)((p)->net = (n)))
#define get_net(n) (n)
#define put_net(n) ((void)(n))
#define net_eq(a, b) ((a) == (b))

static inline bool ipv6_addr_equal(const struct in6_addr *a, const struct in6_addr *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static inline bool ipv6_addr_any(const struct in6_addr *a)
{
	return IN6_IS_ADDR_UNSPECIFIED(a);
}

static inline bool ipv6_addr_v4mapped(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a);
}

/** ipv6_addr_set_v4mapped() - an IPv4 address (network order) as an IPv6 one */
static inline void ipv6_addr_set_v4mapped(__be32 addr, struct in6_addr *to)
{
	memset(to, 0, 10);
	memset(to->s6_addr + 10, 0xff, 2);
	memcpy(to->s6_addr + 12, &addr, 4);
}

#endif
