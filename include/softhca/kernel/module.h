/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Modules: softhca_load_modules() and softhca_unload_modules() call the functions of module_init()
 * and module_exit(). Call them when the program's machine and adapters exist. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_MODULE_H
#define SOFTHCA_KERNEL_MODULE_H

#include "softhca/hca_types.h"

#pragma GCC visibility push(default)

/** struct softhca_module_part - part of a module: @init, @exit or a parameter; parts with the same @file belong together */
struct softhca_module_part {
	const char *file;
	int (*init)(void);
	void (*exit)(void);
	const char *param;
	const char *type;
	void *value;
	bool loaded;
	struct softhca_module_part *next;
};

/** softhca_module_add() - called before main(), by code that the macros generate */
void softhca_module_add(struct softhca_module_part *part);

/**
 * softhca_load_modules() - call the module_init() functions of the program's sources, in the order in which they are linked
 * Return: 0, or the error of the first function that failed; the modules before it have been unloaded.
 */
int softhca_load_modules(void);

/** softhca_unload_modules() - call the module_exit() functions in the reverse order */
void softhca_unload_modules(void);

/** softhca_module_param() - set a parameter before the module is loaded. Return: 0; -ENOENT: unknown name; -EINVAL: invalid value. */
int softhca_module_param(const char *name, const char *value);

#pragma GCC visibility pop

#define softhca_part_(id, ...) \
	static __attribute__((constructor)) void softhca_add_##id(void) \
	{ \
		static struct softhca_module_part part = { .file = __FILE__, __VA_ARGS__ }; \
\
		softhca_module_add(&part); \
	} \
	_Static_assert(1, "")
#define module_init(fn) softhca_part_(init_##fn, .init = fn)
#define late_initcall(fn) module_init(fn)
#define module_exit(fn) softhca_part_(exit_##fn, .exit = fn)
/** module_param() - @kind: int, uint, long, ulong, bool, charp, ...; @perm: without effect */
#define module_param(name, kind, perm) softhca_part_(param_##name, .param = #name, .type = #kind, .value = &name)
#define module_param_named(said, name, kind, perm) \
	softhca_part_(param_##name, .param = #said, .type = #kind, .value = &name)

struct module;
#define THIS_MODULE ((struct module *)NULL)
#define KBUILD_MODNAME "module"
#define MODULE_LICENSE(s) _Static_assert(1, s)
#define MODULE_AUTHOR(s) _Static_assert(1, s)
#define MODULE_DESCRIPTION(s) _Static_assert(1, s)
#define MODULE_VERSION(s) _Static_assert(1, s)
#define MODULE_ALIAS(s) _Static_assert(1, s)
#define MODULE_PARM_DESC(name, s) _Static_assert(1, s)
#define EXPORT_SYMBOL(s) _Static_assert(1, #s)
#define EXPORT_SYMBOL_GPL(s) _Static_assert(1, #s)

#endif
