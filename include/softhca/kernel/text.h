/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Numbers and options from text, addresses from text, and text that is made: kstrto*(), match_token(),
 * in4_pton(), kasprintf(), seq_printf(). Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_TEXT_H
#define SOFTHCA_KERNEL_TEXT_H

#include <stdarg.h>

#include "softhca/kernel/alloc.h"
#include "softhca/kernel/base.h"
#include "softhca/kernel/byteorder.h"

#pragma GCC visibility push(default)

/* --- numbers --- */

/**
 * kstrtoull(), kstrtoll() - a whole text as a number
 * @base: 2 to 36; 0: as the text says, by 0x or 0; a sign is allowed, and one newline at the end
 *
 * Return: 0; -EINVAL: no number, or something else too; -ERANGE: it doesn't fit. Any context.
 */
int kstrtoull(const char *s, unsigned int base, unsigned long long *res);
int kstrtoll(const char *s, unsigned int base, long long *res);

/* The same, and it lies between @min and @max. */
int softhca_kstrto_s(const char *s, unsigned int base, long long min, long long max, long long *res);
int softhca_kstrto_u(const char *s, unsigned int base, unsigned long long max, unsigned long long *res);

/** kstrtobool() - from y, n, 1, 0, t, f, on, off. Return: 0 or -EINVAL. */
int kstrtobool(const char *s, bool *res);

/** simple_strtoul() and its like - what stands at the beginning of a text; @end: what follows, or NULL */
unsigned long long simple_strtoull(const char *s, char **end, unsigned int base);
long long simple_strtoll(const char *s, char **end, unsigned int base);

/** memparse() - a number and K, M, G, T, P or E behind it, upper or lower case */
unsigned long long memparse(const char *s, char **end);

/** hex_to_bin() - a digit's value; -1: it is none */
int hex_to_bin(unsigned char c);

/** hex2bin() - @count bytes of two digits each. Return: 0 or -EINVAL. */
int hex2bin(u8 *to, const char *from, size_t count);

/** bin2hex() - two digits for each byte; no final 0. Return: the end of them. */
char *bin2hex(char *to, const void *from, size_t count);

/* --- options --- */

/** struct match_token - a pattern with %s, %Ns (N characters at most), %d, %u, %x, %o or %%; the last of a table has none */
struct match_token {
	int token;
	const char *pattern;
};

typedef struct match_token match_table_t[];

#define MAX_OPT_ARGS 3

/** substring_t - from @from to before @to; not ended by a 0 */
typedef struct {
	char *from;
	char *to;
} substring_t;

/** match_token() - Return: the token of the first pattern that all of @s matches, whose conversions are in @args; or the last one's */
int match_token(char *s, const struct match_token *table, substring_t args[]);

/** match_int(), match_octal(), match_hex(), match_uint(), match_u64() - Return: 0; -EINVAL; -ERANGE; -ENOMEM */
int match_int(substring_t *s, int *res);
int match_uint(substring_t *s, unsigned int *res);
int match_u64(substring_t *s, u64 *res);
int match_octal(substring_t *s, int *res);
int match_hex(substring_t *s, int *res);

/** match_strlcpy() - a copy that ends with 0. Return: the length that it would have had. */
size_t match_strlcpy(char *to, const substring_t *from, size_t size);

/** match_strdup() - a copy for kfree(), or NULL */
char *match_strdup(const substring_t *s);

/** strim() - without white space at both ends, which become 0; skip_spaces(): the first other character */
char *strim(char *s);
char *skip_spaces(const char *s);

/** sysfs_streq() - equal, but for one newline at the end */
bool sysfs_streq(const char *a, const char *b);

/** match_string() - Return: where @s stands among @n texts (or before a NULL); -EINVAL: nowhere */
int match_string(const char *const *array, size_t n, const char *s);

/* --- addresses --- */

struct net;
struct sockaddr_storage;

/**
 * in4_pton(), in6_pton() - an address from text
 * @len: of @src; -1: up to the final 0
 * @to: 4 or 16 bytes, in network order
 * @delim: a character that ends it; -1: none
 * @end: where it ended, or NULL
 *
 * Return: 1; 0: it is none.
 */
int in4_pton(const char *src, int len, u8 *to, int delim, const char **end);
int in6_pton(const char *src, int len, u8 *to, int delim, const char **end);

/** inet_pton_with_scope() - @af: AF_INET, AF_INET6, AF_UNSPEC: either; @port: a number, or NULL. Return: 0 or -EINVAL. */
int inet_pton_with_scope(struct net *net, unsigned short af, const char *src, const char *port,
			 struct sockaddr_storage *addr);

/* --- text that is made --- */

/** kvasprintf(), kasprintf() - a text for kfree(); NULL: no memory */
char *softhca_kvasprintf(gfp_t gfp, hca_site_t site, const char *fmt, va_list ap);
char *softhca_kasprintf(gfp_t gfp, hca_site_t site, const char *fmt, ...);

/** sysfs_emit() - into the page at @buf, whose first byte it is; sysfs_emit_at(): from byte @at on. Return: bytes written. */
int sysfs_emit(char *buf, const char *fmt, ...);
int sysfs_emit_at(char *buf, int at, const char *fmt, ...);

/** struct seq_file - a text that grows in @buf, of @size bytes, which the program gives. What doesn't fit sets @count to @size. */
struct seq_file {
	char *buf;
	size_t size;
	size_t count;
	void *private;
};

void seq_printf(struct seq_file *m, const char *fmt, ...);
void seq_puts(struct seq_file *m, const char *s);
void seq_putc(struct seq_file *m, char c);
bool seq_has_overflowed(const struct seq_file *m);

enum {
	DUMP_PREFIX_NONE,
	DUMP_PREFIX_ADDRESS,
	DUMP_PREFIX_OFFSET,
};

/** print_hex_dump() - bytes as lines of the log; @rowsize: 16 or 32 in a line; @groupsize: 1, 2, 4 or 8 stand together */
void print_hex_dump(const char *level, const char *prefix, int prefix_type, int rowsize, int groupsize, const void *buf,
		    size_t len, bool ascii);

/** dump_stack() - the calls that led here, as lines of the log */
void dump_stack(void);

#pragma GCC visibility pop

/* kstrtoint() and its like: @s or @u, and the limits of the type. */
#define softhca_strto_s_(name, type, min, max) \
	static inline int name(const char *s, unsigned int base, type *res) \
	{ \
		long long v; \
		int err = softhca_kstrto_s(s, base, min, max, &v); \
\
		if (!err) \
			*res = (type)v; \
		return err; \
	}
#define softhca_strto_u_(name, type, max) \
	static inline int name(const char *s, unsigned int base, type *res) \
	{ \
		unsigned long long v; \
		int err = softhca_kstrto_u(s, base, max, &v); \
\
		if (!err) \
			*res = (type)v; \
		return err; \
	}
softhca_strto_s_(kstrtoint, int, INT_MIN, INT_MAX) softhca_strto_s_(kstrtol, long, LONG_MIN,
								    LONG_MAX) softhca_strto_s_(kstrtos8, s8, -128, 127)
	softhca_strto_s_(kstrtos16, s16, -32768, 32767) softhca_strto_s_(kstrtos32, s32, INT_MIN, INT_MAX)
		softhca_strto_s_(kstrtos64, s64, LLONG_MIN, LLONG_MAX) softhca_strto_u_(kstrtouint, unsigned int,
											UINT_MAX)
			softhca_strto_u_(kstrtoul, unsigned long, ULONG_MAX) softhca_strto_u_(kstrtou8, u8, U8_MAX)
				softhca_strto_u_(kstrtou16, u16, U16_MAX) softhca_strto_u_(kstrtou32, u32, U32_MAX)
					softhca_strto_u_(kstrtou64, u64, U64_MAX)
#undef softhca_strto_s_
#undef softhca_strto_u_

#define simple_strtoul(s, end, base) ((unsigned long)simple_strtoull(s, end, base))
#define simple_strtol(s, end, base) ((long)simple_strtoll(s, end, base))

#define kvasprintf(gfp, fmt, ap) softhca_kvasprintf(gfp, IB_DMA_HERE, fmt, ap)
#define kasprintf(gfp, ...) softhca_kasprintf(gfp, IB_DMA_HERE, __VA_ARGS__)
#define kstrndup(s, max, gfp) softhca_kstrndup(s, max, gfp, IB_DMA_HERE)
#define kmemdup_nul(s, len, gfp) softhca_kstrndup(s, len, gfp, IB_DMA_HERE)
#define kstrdup_const(s, gfp) kstrdup(s, gfp)
#define kfree_const(s) kfree(s)

						static inline char *softhca_kstrndup(const char *s, size_t max,
										     gfp_t gfp, hca_site_t site)
{
	size_t len = s ? strnlen(s, max) : 0;
	char *to = s ? (char *)softhca_alloc(len + 1, gfp, site) : NULL;

	if (to) {
		memcpy(to, s, len);
		to[len] = 0;
	}
	return to;
}

#define print_hex_dump_bytes(prefix, prefix_type, buf, len) \
	print_hex_dump(KERN_DEBUG, prefix, prefix_type, 16, 1, buf, len, true)
#define print_hex_dump_debug(prefix, prefix_type, rowsize, groupsize, buf, len, ascii) \
	do { \
		if (softhca_debug_) \
			print_hex_dump(KERN_DEBUG, prefix, prefix_type, rowsize, groupsize, buf, len, ascii); \
	} while (0)

/** strlcpy() - Return: the length of @from, which may be more than was copied */
#define strlcpy(to, from, size) softhca_strlcpy(to, from, size)
static inline size_t softhca_strlcpy(char *to, const char *from, size_t size)
{
	strscpy(to, from, size);
	return strlen(from);
}

/** strscpy_pad() - as strscpy(), and zeros behind it */
static inline ssize_t strscpy_pad(char *to, const char *from, size_t size)
{
	ssize_t n = strscpy(to, from, size);

	if (n >= 0)
		memset(to + n, 0, size - (size_t)n);
	return n;
}

/** strstarts() - does @s begin with @prefix? */
static inline bool strstarts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/** memchr_inv() - the first byte that isn't @c, or NULL */
static inline void *memchr_inv(const void *p, int c, size_t size)
{
	const u8 *at = (const u8 *)p;

	for (; size; at++, size--)
		if (*at != (u8)c)
			return (void *)(uintptr_t)at;
	return NULL;
}

#endif
