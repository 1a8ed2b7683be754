/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers from text, and text that is made; see softhca/kernel/text.h. Options and addresses are in kernel_match.c. */
#include <ctype.h>
#include <errno.h>
#include <execinfo.h>
#include <stdlib.h>

#include "os.h"
#include "softhca/kernel/text.h"

/* --- numbers --- */

/* Without a sign, and with one newline at most behind it. */
static int whole_number(const char *s, unsigned int base, unsigned long long *res)
{
	char *end;

	if (!isalnum((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*res = strtoull(s, &end, (int)base);
	if (errno == ERANGE)
		return -ERANGE;
	if (errno || end == s)
		return -EINVAL;
	end += *end == '\n';
	return *end ? -EINVAL : 0;
}

int kstrtoull(const char *s, unsigned int base, unsigned long long *res)
{
	unsigned long long v;
	int err = whole_number(s + (*s == '+'), base, &v);

	if (!err)
		*res = v;
	return err;
}

int kstrtoll(const char *s, unsigned int base, long long *res)
{
	bool negative = *s == '-';
	unsigned long long v, most = (unsigned long long)LLONG_MAX + negative;
	int err = whole_number(s + (negative || *s == '+'), base, &v);

	if (err)
		return err;
	if (v > most)
		return -ERANGE;
	*res = (long long)(negative ? -v : v);
	return 0;
}

int softhca_kstrto_s(const char *s, unsigned int base, long long min, long long max, long long *res)
{
	int err = kstrtoll(s, base, res);

	return err ? err : *res < min || *res > max ? -ERANGE : 0;
}

int softhca_kstrto_u(const char *s, unsigned int base, unsigned long long max, unsigned long long *res)
{
	int err = kstrtoull(s, base, res);

	return err ? err : *res > max ? -ERANGE : 0;
}

int kstrtobool(const char *s, bool *res)
{
	char a = s ? (char)tolower((unsigned char)s[0]) : 0, b = a ? (char)tolower((unsigned char)s[1]) : 0;

	if (a && strchr("y1t", a))
		*res = true;
	else if (a && strchr("n0f", a))
		*res = false;
	else if (a == 'o' && (b == 'n' || b == 'f'))
		*res = b == 'n';
	else
		return -EINVAL;
	return 0;
}

unsigned long long simple_strtoull(const char *s, char **end, unsigned int base)
{
	/* No white space, and no sign, which C would allow. */
	if (isalnum((unsigned char)*s))
		return strtoull(s, end, (int)base);
	if (end)
		*end = (char *)(uintptr_t)s;
	return 0;
}

long long simple_strtoll(const char *s, char **end, unsigned int base)
{
	if (*s == '-')
		return (long long)-simple_strtoull(s + 1, end, base);
	return (long long)simple_strtoull(s, end, base);
}

unsigned long long memparse(const char *s, char **end)
{
	static const char units[] = "kmgtpe";
	char *at;
	unsigned long long n = simple_strtoull(s, &at, 0);
	const char *unit = *at ? strchr(units, tolower((unsigned char)*at)) : NULL;

	if (unit) {
		n <<= 10 * (unit - units + 1);
		at++;
	}
	if (end)
		*end = at;
	return n;
}

int hex_to_bin(unsigned char c)
{
	return !isxdigit(c) ? -1 : isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
}

int hex2bin(u8 *to, const char *from, size_t count)
{
	while (count--) {
		int high = hex_to_bin((unsigned char)from[0]), low = high < 0 ? -1 : hex_to_bin((unsigned char)from[1]);

		if (low < 0)
			return -EINVAL;
		*to++ = (u8)(high << 4 | low);
		from += 2;
	}
	return 0;
}

char *bin2hex(char *to, const void *from, size_t count)
{
	const u8 *at = from;

	for (; count--; at++) {
		*to++ = "0123456789abcdef"[*at >> 4];
		*to++ = "0123456789abcdef"[*at & 15];
	}
	return to;
}

/* --- text that is made --- */

char *softhca_kvasprintf(gfp_t gfp, hca_site_t site, const char *fmt, va_list ap)
{
	va_list again;
	char *s;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	s = n < 0 ? NULL : softhca_alloc((size_t)n + 1, gfp, site);
	if (s)
		vsnprintf(s, (size_t)n + 1, fmt, ap);
	return s;
}

char *softhca_kasprintf(gfp_t gfp, hca_site_t site, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = softhca_kvasprintf(gfp, site, fmt, ap);
	va_end(ap);
	return s;
}

/* Return: bytes written to @buf, without the final 0. */
static int into(char *buf, size_t room, const char *fmt, va_list ap)
{
	int n = vsnprintf(buf, room, fmt, ap);

	return n < 0 ? 0 : HCA_MIN(n, (int)room - 1);
}

int sysfs_emit(char *buf, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (HCA_WARN_ON(!buf || offset_in_page(buf)))
		return 0;
	va_start(ap, fmt);
	n = into(buf, PAGE_SIZE, fmt, ap);
	va_end(ap);
	return n;
}

int sysfs_emit_at(char *buf, int at, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (HCA_WARN_ON(!buf || offset_in_page(buf) || at < 0 || at >= (int)PAGE_SIZE))
		return 0;
	va_start(ap, fmt);
	n = into(buf + at, PAGE_SIZE - (size_t)at, fmt, ap);
	va_end(ap);
	return n;
}

bool seq_has_overflowed(const struct seq_file *m)
{
	return m->count == m->size;
}

void seq_printf(struct seq_file *m, const char *fmt, ...)
{
	size_t room = m->size - m->count;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(m->buf + m->count, room, fmt, ap);
	va_end(ap);
	m->count += n < 0 || (size_t)n >= room ? room : (size_t)n;
}

void seq_puts(struct seq_file *m, const char *s)
{
	seq_printf(m, "%s", s);
}

void seq_putc(struct seq_file *m, char c)
{
	seq_printf(m, "%c", c);
}

/* A number of @size bytes, as the machine has it. */
static unsigned long long number_at(const u8 *at, int size)
{
	unsigned long long v = 0;
	int i;

	for (i = 0; i < size; i++)
		v |= (unsigned long long)at[__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? i : size - 1 - i] << (8 * i);
	return v;
}

static void hex_line(struct seq_file *m, const u8 *at, int len, int row, int group, bool ascii)
{
	int i, column = 0, width = row * 2 + row / group;

	if (len % group)
		group = 1;
	for (i = 0; i < len; i += group) {
		seq_printf(m, "%0*llx ", group * 2, number_at(at + i, group));
		column += group * 2 + 1;
	}
	if (!ascii)
		return;
	seq_printf(m, "%*s", HCA_MAX(width - column, 0) + 1, "");
	for (i = 0; i < len; i++)
		seq_putc(m, (char)(isprint(at[i]) ? at[i] : '.'));
}

void print_hex_dump(const char *level, const char *prefix, int prefix_type, int rowsize, int groupsize, const void *buf,
		    size_t len, bool ascii)
{
	int row = rowsize == 32 ? 32 : 16;
	int group = groupsize == 2 || groupsize == 4 || groupsize == 8 ? groupsize : 1;
	const u8 *at = buf;
	size_t done;
	char line[200];

	for (done = 0; done < len; done += (size_t)row) {
		struct seq_file m = { .buf = line, .size = sizeof(line) - 1 };

		hex_line(&m, at + done, (int)HCA_MIN(len - done, (size_t)row), row, group, ascii);
		line[m.count] = 0;
		if (prefix_type == DUMP_PREFIX_OFFSET)
			printk("%s%s%.8zx: %s\n", level, prefix, done, line);
		else if (prefix_type == DUMP_PREFIX_ADDRESS)
			printk("%s%s%p: %s\n", level, prefix, (const void *)(at + done), line);
		else
			printk("%s%s%s\n", level, prefix, line);
	}
}

void dump_stack(void)
{
	void *frames[32];
	int i, n = backtrace(frames, (int)ARRAY_SIZE(frames));
	char **names = backtrace_symbols(frames, n);

	for (i = 1; names && i < n; i++)
		printk(KERN_INFO "stack: %s\n", names[i]);
	free(names);
}
