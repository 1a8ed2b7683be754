/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options and addresses from text; see softhca/kernel/text.h. */
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "os.h"
#include "softhca/kernel/text.h"

/* --- options --- */

/* The end of the longest number of @base at @s; @s itself: there is none. */
static char *number_end(char *s, int base, bool sign)
{
	char *end;

	if (sign && *s == '-' ? !isdigit((unsigned char)s[1]) : !isxdigit((unsigned char)*s))
		return s;
	(void)strtoull(s, &end, base);
	return end;
}

/*
 * One conversion of a pattern: *@p is behind the percent sign, and goes on behind it. Return: the rest of @s behind what was
 * matched; NULL: it doesn't match.
 */
static char *convert(const char **p, char *s, substring_t *arg)
{
	size_t most = ~(size_t)0;
	char *end;

	if (isdigit((unsigned char)**p))
		most = strtoul(*p, (char **)(uintptr_t)p, 10);
	switch (*(*p)++) {
	case 's':
		end = s + strnlen(s, most);
		break;
	case 'd':
		end = number_end(s, 0, true);
		break;
	case 'u':
		end = number_end(s, 0, false);
		break;
	case 'o':
		end = number_end(s, 8, false);
		break;
	case 'x':
		end = number_end(s, 16, false);
		break;
	default:
		return NULL;
	}
	*arg = (substring_t){ .from = s, .to = end };
	return end == s ? NULL : end;
}

static bool matches(char *s, const char *p, substring_t args[])
{
	int n = 0;

	while (*p) {
		if (p[0] == '%' && p[1] != '%') {
			p++;
			if (n == MAX_OPT_ARGS)
				return false;
			s = convert(&p, s, &args[n++]);
			if (!s)
				return false;
			continue;
		}
		p += p[0] == '%';
		if (*p++ != *s++)
			return false;
	}
	return !*s;
}

int match_token(char *s, const struct match_token *table, substring_t args[])
{
	for (; table->pattern; table++)
		if (s && matches(s, table->pattern, args))
			break;
	return table->token;
}

size_t match_strlcpy(char *to, const substring_t *from, size_t size)
{
	size_t len = (size_t)(from->to - from->from), n;

	if (size) {
		n = HCA_MIN(len, size - 1);
		memcpy(to, from->from, n);
		to[n] = 0;
	}
	return len;
}

char *match_strdup(const substring_t *s)
{
	return kmemdup_nul(s->from, (size_t)(s->to - s->from), GFP_KERNEL);
}

/* A number is short: what is longer than this is none. */
static const char *short_text(const substring_t *s, char *buf, size_t size)
{
	return match_strlcpy(buf, s, size) < size ? buf : "";
}

int match_u64(substring_t *s, u64 *res)
{
	char buf[32];

	return kstrtou64(short_text(s, buf, sizeof(buf)), 0, res);
}

int match_uint(substring_t *s, unsigned int *res)
{
	char buf[32];

	return kstrtouint(short_text(s, buf, sizeof(buf)), 10, res);
}

static int match_base(const substring_t *s, unsigned int base, int *res)
{
	char buf[32];

	return kstrtoint(short_text(s, buf, sizeof(buf)), base, res);
}

int match_int(substring_t *s, int *res)
{
	return match_base(s, 0, res);
}

int match_octal(substring_t *s, int *res)
{
	return match_base(s, 8, res);
}

int match_hex(substring_t *s, int *res)
{
	return match_base(s, 16, res);
}

char *skip_spaces(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return (char *)(uintptr_t)s;
}

char *strim(char *s)
{
	size_t n = strlen(s);

	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = 0;
	return skip_spaces(s);
}

bool sysfs_streq(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	a += *a == '\n';
	b += *b == '\n';
	return !*a && !*b;
}

int match_string(const char *const *array, size_t n, const char *s)
{
	size_t i;

	for (i = 0; i < n && array[i]; i++)
		if (!strcmp(array[i], s))
			return (int)i;
	return -EINVAL;
}

/* --- addresses --- */

static int address(int af, const char *src, int len, u8 *to, int delim, const char **end)
{
	char buf[INET6_ADDRSTRLEN];
	size_t n = 0, most = len < 0 ? SIZE_MAX : (size_t)len;

	while (n < most && src[n] && (unsigned char)src[n] != delim)
		n++;
	if (end)
		*end = src + n;
	if (n >= sizeof(buf))
		return 0;
	strscpy(buf, src, n + 1);
	return inet_pton(af, buf, to) == 1;
}

int in4_pton(const char *src, int len, u8 *to, int delim, const char **end)
{
	return address(AF_INET, src, len, to, delim, end);
}

int in6_pton(const char *src, int len, u8 *to, int delim, const char **end)
{
	return address(AF_INET6, src, len, to, delim, end);
}

static int to_ipv4(const char *src, u16 port, struct sockaddr_storage *addr)
{
	struct sockaddr_in *in = (struct sockaddr_in *)addr;

	if (!in4_pton(src, -1, (u8 *)&in->sin_addr, -1, NULL))
		return -EINVAL;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	return 0;
}

static int to_ipv6(const char *src, u16 port, struct sockaddr_storage *addr)
{
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)addr;
	const char *end;

	if (!in6_pton(src, -1, (u8 *)&in->sin6_addr, '%', &end))
		return -EINVAL;
	if (*end && kstrtou32(end + 1, 10, &in->sin6_scope_id)) {
		in->sin6_scope_id = if_nametoindex(end + 1);
		if (!in->sin6_scope_id)
			return -EINVAL;
	}
	in->sin6_family = AF_INET6;
	in->sin6_port = htons(port);
	return 0;
}

int inet_pton_with_scope(struct net *net, unsigned short af, const char *src, const char *port,
			 struct sockaddr_storage *addr)
{
	u16 number = 0;

	(void)net;
	if (port && kstrtou16(port, 0, &number))
		return -EINVAL;
	memset(addr, 0, sizeof(*addr));
	if ((af == AF_INET || af == AF_UNSPEC) && !to_ipv4(src, number, addr))
		return 0;
	return af == AF_INET6 || af == AF_UNSPEC ? to_ipv6(src, number, addr) : -EINVAL;
}
