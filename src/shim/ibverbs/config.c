/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SOFTHCA_* variables, and what the library says. A program that runs with rights
 * that its caller doesn't have ignores the variables (secure_getenv).
 */
#include "shim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_BYTES 512

static const char *const level_names[] = { "error", "warning", "info", "debug" };
static const char *const area_names[SHIM_LOG_AREAS] = {
	[SHIM_LOG_DEVICE] = "device", [SHIM_LOG_MEMORY] = "memory", [SHIM_LOG_CQ] = "cq",
	[SHIM_LOG_QP] = "qp",	      [SHIM_LOG_EVENT] = "event",
};

static struct shim_config config;
static bool config_ok;
static u32 log_level = HCA_LOG_WARN;
static u32 log_areas = ~0u;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool complain(const char *name, const char *value, const char *wanted)
{
	fprintf(stderr, "softhca: %s=%s: must be %s\n", name, value, wanted);
	return false;
}

static bool read_link(void)
{
	const char *v = secure_getenv("SOFTHCA_LINK");

	if (!v || !strcmp(v, "roce"))
		return true;
	config.infiniband = !strcmp(v, "ib");
	return config.infiniband || complain("SOFTHCA_LINK", v, "roce or ib");
}

static bool read_lid(void)
{
	const char *v = secure_getenv("SOFTHCA_LID");
	unsigned long lid;
	char *end;

	config.lid = 1;
	if (!v)
		return true;
	errno = 0;
	lid = strtoul(v, &end, 0);
	if (errno || end == v || *end || v[0] == '-' || !lid || lid > SHIM_LAST_LID)
		return complain("SOFTHCA_LID", v, "a number from 1 to 49150");
	config.lid = (u32)lid;
	return true;
}

static bool read_devices(void)
{
	const char *v = secure_getenv("SOFTHCA_DEVICES");

	config.devices = 1;
	if (!v)
		return true;
	if (v[0] < '1' || v[0] > (char)('0' + HCA_FABRIC_DEVICES) || v[1])
		return complain("SOFTHCA_DEVICES", v, "a number from 1 to 8");
	config.devices = (u32)(v[0] - '0');
	if (!config.infiniband || config.lid + config.devices - 1 <= SHIM_LAST_LID)
		return true;
	return complain("SOFTHCA_DEVICES", v, "fewer: the last LID would be above 49150");
}

static bool read_no_vm(void)
{
	const char *v = secure_getenv("SOFTHCA_NO_VM");

	if (!v || !strcmp(v, "0"))
		return true;
	config.no_vm = !strcmp(v, "1");
	return config.no_vm || complain("SOFTHCA_NO_VM", v, "0 or 1");
}

/* Index of the first @len bytes of @word in @names; @n: it isn't there. */
static u32 index_of(const char *word, size_t len, const char *const *names, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], word, len))
			break;
	return i;
}

static bool read_log(void)
{
	const char *v = secure_getenv("SOFTHCA_LOG"), *at;
	u32 level, area, areas = 0;
	size_t len;

	if (!v)
		return true;
	len = strcspn(v, ":");
	level = len == 4 && !memcmp(v, "warn", len) ? (u32)HCA_LOG_WARN :
						      index_of(v, len, level_names, HCA_ARRAY_SIZE(level_names));
	if (level == HCA_ARRAY_SIZE(level_names) && len == 1 && v[0] >= '0' && v[0] <= '3')
		level = (u32)(v[0] - '0');
	if (level == HCA_ARRAY_SIZE(level_names))
		return complain("SOFTHCA_LOG", v, "error, warning, info or debug, and :AREA,... behind it if wanted");
	for (at = v + len; *at; at += len) {
		at++;
		len = strcspn(at, ",");
		area = index_of(at, len, area_names, SHIM_LOG_AREAS);
		if (area == SHIM_LOG_AREAS)
			return complain("SOFTHCA_LOG", v, "of the areas device, memory, cq, qp, event");
		areas |= 1u << area;
	}
	log_level = level;
	log_areas = areas ? areas : ~0u;
	return true;
}

static void read_all(void)
{
	bool link = read_link(), lid = read_lid(), devices = read_devices(), log = read_log(), vm = read_no_vm();

	config_ok = link && lid && devices && log && vm;
	/* Programs of verbs ask for what may not be there, and are used to silence: why is for those who want the log. */
	hca_mistakes_are(HCA_LOG_INFO);
}

const struct shim_config *shim_config(void)
{
	pthread_once(&once, read_all);
	return config_ok ? &config : NULL;
}

static HCA_PRINTF(2, 0) void write_line(enum shim_area area, const char *fmt, va_list ap)
{
	char line[LINE_BYTES];
	size_t n = hca_snprintf(line, sizeof(line) - 1, "softhca: %s: ", area_names[area]);
	int len = vsnprintf(line + n, sizeof(line) - 1 - n, fmt, ap);

	if (len > 0)
		n = HCA_MIN(n + (size_t)len, sizeof(line) - 2);
	line[n++] = '\n';
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
		;
}

static bool wanted(enum hca_log_level level, enum shim_area area)
{
	return (u32)level <= log_level && log_areas >> area & 1;
}

void shim_log(enum hca_log_level level, enum shim_area area, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!wanted(level, area))
		return;
	va_start(ap, fmt);
	write_line(area, fmt, ap);
	va_end(ap);
	errno = saved;
}

int shim_why(int err, enum shim_area area, const char *fmt, ...)
{
	char why[LINE_BYTES];
	va_list ap;

	err = err < 0 ? -err : err;
	if (!wanted(HCA_LOG_INFO, area))
		return err;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	shim_log(HCA_LOG_INFO, area, "%s: %s", why, strerror(err));
	return err;
}
