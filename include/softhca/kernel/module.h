/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Modules: softhca_load_modules() and softhca_unload_modules() call the functions of module_init()
 * and module_exit(). Call them when the program's machine and adapters exist. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_MODULE_H
#define SOFTHCA_KERNEL_MODULE_H

#include "softhca/hca_types.h"

/** struct kernel_param - a parameter whose module sets it by calls; @arg: what the module gave */
struct kernel_param {
	const char *name;
	const struct kernel_param_ops *ops;
	u16 perm;
	void *arg;
};

/** struct kernel_param_ops - @set: Return: 0 or a negative errno; @get: a line into a page, Return: its bytes */
struct kernel_param_ops {
	unsigned int flags;
	int (*set)(const char *val, const struct kernel_param *kp);
	int (*get)(char *buffer, const struct kernel_param *kp);
	void (*free)(void *arg);
};

#pragma GCC visibility push(default)

/** struct softhca_module_part - part of a module: @init, @exit or a parameter; parts with the same @file belong together */
struct softhca_module_part {
	const char *file;
	int (*init)(void);
	void (*exit)(void);
	const char *param;
	const char *type;
	void *value;
	const struct kernel_param_ops *ops;
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

/** param_set_int() and its like - what a module's own @set and @get may call; @kp->arg points to the number. Return: as there; -EINVAL: no such value. */
int param_set_int(const char *val, const struct kernel_param *kp);
int param_set_uint(const char *val, const struct kernel_param *kp);
int param_set_ulong(const char *val, const struct kernel_param *kp);
int param_set_bool(const char *val, const struct kernel_param *kp);
int param_get_int(char *buffer, const struct kernel_param *kp);
int param_get_uint(char *buffer, const struct kernel_param *kp);
int param_get_ulong(char *buffer, const struct kernel_param *kp);
int param_get_bool(char *buffer, const struct kernel_param *kp);

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
/** module_param_cb() - set by @ops; what its @set says, softhca_module_param() returns */
#define module_param_cb(name, how, argument, perm) \
	softhca_part_(param_##name, .param = #name, .ops = (how), .value = (argument))

struct module;
#define try_module_get(m) ((void)(m), true)
#define module_put(m) ((void)(m))
#define __module_get(m) ((void)(m))
#define MODULE_SOFTDEP(s) _Static_assert(1, s)
#define MODULE_ALIAS_NET_PF_PROTO(pf, proto) _Static_assert(1, "")
#define MODULE_IMPORT_NS(ns) _Static_assert(1, "")
#define MODULE_INFO(tag, s) _Static_assert(1, s)
#define MODULE_DEVICE_TABLE(type, name) _Static_assert(1, "")
#define THIS_MODULE ((struct module *)NULL)
#ifndef KBUILD_MODNAME
#define KBUILD_MODNAME "module"
#endif
#define MODULE_LICENSE(s) _Static_assert(1, s)
#define MODULE_AUTHOR(s) _Static_assert(1, s)
#define MODULE_DESCRIPTION(s) _Static_assert(1, s)
#define MODULE_VERSION(s) _Static_assert(1, s)
#define MODULE_ALIAS(s) _Static_assert(1, s)
#define MODULE_PARM_DESC(name, s) _Static_assert(1, s)
#define EXPORT_SYMBOL(s) _Static_assert(1, #s)
#define EXPORT_SYMBOL_GPL(s) _Static_assert(1, #s)

#endif
