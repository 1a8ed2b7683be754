/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Messages of kernel sources, as lines of the library's log; see softhca/kernel/print.h. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "softhca/kernel/print.h"

#define LINE 480

static void say(int level, const char *name, const char *fmt, va_list ap)
{
	enum hca_log_level to;
	char line[LINE];
	size_t n;

	if (fmt[0] == '\001' && fmt[1]) {
		level = fmt[1] >= '0' && fmt[1] <= '7' ? fmt[1] - '0' : level;
		fmt += 2;
	}
	to = level <= 3 ? HCA_LOG_ERR : level == 4 ? HCA_LOG_WARN : level <= 6 ? HCA_LOG_INFO : HCA_LOG_DEBUG;
	vsnprintf(line, sizeof(line), fmt, ap);
	n = strnlen(line, sizeof(line));
	if (n && line[n - 1] == '\n')
		line[n - 1] = 0;
	if (name)
		hca_log(to, "%s: %s", name, line);
	else
		hca_log(to, "%s", line);
}

void softhca_printk(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(level, NULL, fmt, ap);
	va_end(ap);
}

void softhca_dev_printk(int level, const char *name, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(level, name ? name : "(no device)", fmt, ap);
	va_end(ap);
}

bool softhca_broken(const char *what, const char *file, int line)
{
	return hca_warned(what, file, line);
}

void softhca_bug(const char *what, const char *file, int line)
{
	hca_bug(what, file, line);
	abort();
}
