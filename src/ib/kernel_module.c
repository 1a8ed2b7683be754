/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Modules of kernel sources; see softhca/kernel/module.h. One thread loads and unloads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "softhca/kernel/module.h"

static struct softhca_module_part *parts; /* as they are linked */

void softhca_module_add(struct softhca_module_part *part)
{
	struct softhca_module_part **at;

	for (at = &parts; *at; at = &(*at)->next)
		;
	*at = part;
}

static void call_exit(const char *file)
{
	const struct softhca_module_part *p;

	for (p = parts; p; p = p->next)
		if (p->exit && !strcmp(p->file, file))
			p->exit();
}

void softhca_unload_modules(void)
{
	struct softhca_module_part *p, *last;

	do {
		for (last = NULL, p = parts; p; p = p->next)
			if (p->loaded)
				last = p;
		if (last) {
			last->loaded = false;
			call_exit(last->file);
		}
	} while (last);
}

int softhca_load_modules(void)
{
	struct softhca_module_part *p;
	int err;

	for (p = parts; p; p = p->next) {
		if (!p->init || p->loaded)
			continue;
		err = p->init();
		if (err) {
			hca_log(HCA_LOG_ERR, "%s: module not loaded: error %d", p->file, err);
			softhca_unload_modules();
			return err;
		}
		p->loaded = true;
	}
	return 0;
}

static int bad_value(const struct softhca_module_part *p, const char *value)
{
	return hca_refuse(-EINVAL, "module parameter %s not set: \"%s\" isn't a value of type %s", p->param, value,
			  p->type);
}

static int set_number(const struct softhca_module_part *p, const char *value)
{
	bool is_signed = p->type[0] != 'u' && p->type[0] != 'b';
	unsigned long long u;
	long long n;
	char *end;

	errno = 0;
	n = strtoll(value, &end, 0);
	u = strtoull(value, &end, 0);
	if (errno || end == value || *end || (!is_signed && value[0] == '-'))
		return bad_value(p, value);
	if (!strcmp(p->type, "int") && n == (int)n)
		*(int *)p->value = (int)n;
	else if (!strcmp(p->type, "uint") && u == (unsigned int)u)
		*(unsigned int *)p->value = (unsigned int)u;
	else if (!strcmp(p->type, "short") && n == (short)n)
		*(short *)p->value = (short)n;
	else if (!strcmp(p->type, "ushort") && u == (unsigned short)u)
		*(unsigned short *)p->value = (unsigned short)u;
	else if (!strcmp(p->type, "long") && n == (long)n)
		*(long *)p->value = (long)n;
	else if (!strcmp(p->type, "ulong") && u == (unsigned long)u)
		*(unsigned long *)p->value = (unsigned long)u;
	else if (!strcmp(p->type, "ullong"))
		*(unsigned long long *)p->value = u;
	else
		return bad_value(p, value);
	return 0;
}

static int set_bool(const struct softhca_module_part *p, const char *value)
{
	if (strlen(value) != 1 || !strchr("01yYnN", *value))
		return bad_value(p, value);
	*(bool *)p->value = strchr("1yY", *value);
	return 0;
}

int softhca_module_param(const char *name, const char *value)
{
	const struct softhca_module_part *p;

	for (p = parts; p && (!p->param || strcmp(p->param, name) != 0); p = p->next)
		;
	if (!p)
		return hca_refuse(-ENOENT, "no module parameter has the name %s", name);
	if (p->ops) {
		struct kernel_param kp = { .name = name, .ops = p->ops, .arg = p->value };

		return p->ops->set(value, &kp);
	}
	if (!strcmp(p->type, "bool"))
		return set_bool(p, value);
	if (!strcmp(p->type, "charp")) {
		*(const char **)p->value = value;
		return 0;
	}
	return set_number(p, value);
}

static int set_as(const char *type, const char *val, const struct kernel_param *kp)
{
	struct softhca_module_part p = { .type = type, .value = kp->arg };

	return set_number(&p, val);
}

int param_set_int(const char *val, const struct kernel_param *kp)
{
	return set_as("int", val, kp);
}

int param_set_uint(const char *val, const struct kernel_param *kp)
{
	return set_as("uint", val, kp);
}

int param_set_ulong(const char *val, const struct kernel_param *kp)
{
	return set_as("ulong", val, kp);
}

int param_set_bool(const char *val, const struct kernel_param *kp)
{
	return set_bool(kp->arg, val);
}

int param_get_int(char *buffer, const struct kernel_param *kp)
{
	return sprintf(buffer, "%d\n", *(const int *)kp->arg);
}

int param_get_uint(char *buffer, const struct kernel_param *kp)
{
	return sprintf(buffer, "%u\n", *(const unsigned int *)kp->arg);
}

int param_get_ulong(char *buffer, const struct kernel_param *kp)
{
	return sprintf(buffer, "%lu\n", *(const unsigned long *)kp->arg);
}

int param_get_bool(char *buffer, const struct kernel_param *kp)
{
	return sprintf(buffer, "%c\n", *(const bool *)kp->arg ? 'Y' : 'N');
}
