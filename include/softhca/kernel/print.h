/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages and broken rules: a line goes to the library's log. Formats are C's;
 * Linux's own (%pI4, %pM, ...) print a pointer and the following characters. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_PRINT_H
#define SOFTHCA_KERNEL_PRINT_H

#include <stdio.h>

#include "softhca/ib_dma.h"

#pragma GCC visibility push(default)

/**
 * softhca_printk() - one line, with or without its newline
 * @level: 0 to 3: an error; 4: a warning; 5, 6: information; 7: for debugging. A level at the beginning of @fmt (KERN_ERR) overrides it.
 *
 * Any context. The compiler doesn't check the arguments, because kernel sources print a u64 by %llu on every machine.
 */
void softhca_printk(int level, const char *fmt, ...);

/** softhca_dev_printk() - the same, after the device's name; @name may be NULL */
void softhca_dev_printk(int level, const char *name, const char *fmt, ...);

/** softhca_broken() - a rule is broken: one message for each place. Return: true */
bool softhca_broken(const char *what, const char *file, int line);

/** softhca_bug() - the same, and the program is aborted */
__attribute__((noreturn)) void softhca_bug(const char *what, const char *file, int line);

#pragma GCC visibility pop

#define KERN_SOH "\001"
#define KERN_EMERG KERN_SOH "0"
#define KERN_ALERT KERN_SOH "1"
#define KERN_CRIT KERN_SOH "2"
#define KERN_ERR KERN_SOH "3"
#define KERN_WARNING KERN_SOH "4"
#define KERN_NOTICE KERN_SOH "5"
#define KERN_INFO KERN_SOH "6"
#define KERN_DEBUG KERN_SOH "7"
#define KERN_CONT KERN_SOH "c"

#ifndef pr_fmt
#define pr_fmt(fmt) fmt
#endif

#define printk(fmt, ...) softhca_printk(4, fmt, ##__VA_ARGS__)
#define pr_emerg(fmt, ...) softhca_printk(0, pr_fmt(fmt), ##__VA_ARGS__)
#define pr_err(fmt, ...) softhca_printk(3, pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warn(fmt, ...) softhca_printk(4, pr_fmt(fmt), ##__VA_ARGS__)
#define pr_notice(fmt, ...) softhca_printk(5, pr_fmt(fmt), ##__VA_ARGS__)
#define pr_info(fmt, ...) softhca_printk(6, pr_fmt(fmt), ##__VA_ARGS__)
#define pr_cont(fmt, ...) softhca_printk(6, fmt, ##__VA_ARGS__)

/* Without DEBUG nothing is printed, and the arguments are still compiled. */
#ifdef DEBUG
#define softhca_debug_ 1
#else
#define softhca_debug_ 0
#endif
#define pr_debug(fmt, ...) \
	do { \
		if (softhca_debug_) \
			softhca_printk(7, pr_fmt(fmt), ##__VA_ARGS__); \
	} while (0)
#define pr_devel(fmt, ...) pr_debug(fmt, ##__VA_ARGS__)

/* Only the first time at each place. */
#define softhca_once_(call) \
	do { \
		static u32 said_; \
		if (!__atomic_exchange_n(&said_, 1u, __ATOMIC_RELAXED)) \
			call; \
	} while (0)
#define pr_err_once(fmt, ...) softhca_once_(pr_err(fmt, ##__VA_ARGS__))
#define pr_warn_once(fmt, ...) softhca_once_(pr_warn(fmt, ##__VA_ARGS__))
#define pr_info_once(fmt, ...) softhca_once_(pr_info(fmt, ##__VA_ARGS__))

/* At most ten times from one place. */
#define softhca_limited_(call) \
	do { \
		static u32 said_; \
		if (__atomic_fetch_add(&said_, 1u, __ATOMIC_RELAXED) < 10) \
			call; \
	} while (0)
#define pr_err_ratelimited(fmt, ...) softhca_limited_(pr_err(fmt, ##__VA_ARGS__))
#define pr_warn_ratelimited(fmt, ...) softhca_limited_(pr_warn(fmt, ##__VA_ARGS__))
#define pr_info_ratelimited(fmt, ...) softhca_limited_(pr_info(fmt, ##__VA_ARGS__))

#define softhca_dev_name_(dev) ((dev) ? dev_name(dev) : NULL)
#define dev_err(dev, fmt, ...) softhca_dev_printk(3, softhca_dev_name_(dev), fmt, ##__VA_ARGS__)
#define dev_warn(dev, fmt, ...) softhca_dev_printk(4, softhca_dev_name_(dev), fmt, ##__VA_ARGS__)
#define dev_notice(dev, fmt, ...) softhca_dev_printk(5, softhca_dev_name_(dev), fmt, ##__VA_ARGS__)
#define dev_info(dev, fmt, ...) softhca_dev_printk(6, softhca_dev_name_(dev), fmt, ##__VA_ARGS__)
#define dev_dbg(dev, fmt, ...) \
	do { \
		if (softhca_debug_) \
			softhca_dev_printk(7, softhca_dev_name_(dev), fmt, ##__VA_ARGS__); \
	} while (0)
#define ibdev_err(ibdev, fmt, ...) softhca_dev_printk(3, (ibdev)->name, fmt, ##__VA_ARGS__)
#define ibdev_warn(ibdev, fmt, ...) softhca_dev_printk(4, (ibdev)->name, fmt, ##__VA_ARGS__)
#define ibdev_info(ibdev, fmt, ...) softhca_dev_printk(6, (ibdev)->name, fmt, ##__VA_ARGS__)
#define ibdev_dbg(ibdev, fmt, ...) \
	do { \
		if (softhca_debug_) \
			softhca_dev_printk(7, (ibdev)->name, fmt, ##__VA_ARGS__); \
	} while (0)

/** WARN_ON() - if a rule is broken, print a message, once for each place */
#define WARN_ON(c) (__builtin_expect(!!(c), 0) ? softhca_broken(#c, __FILE__, __LINE__) : false)
#define WARN_ON_ONCE(c) WARN_ON(c)
#define WARN(c, fmt, ...) \
	({ \
		bool broken_ = WARN_ON(c); \
		if (broken_) \
			softhca_printk(4, fmt, ##__VA_ARGS__); \
		broken_; \
	})
#define WARN_ONCE(c, fmt, ...) WARN(c, fmt, ##__VA_ARGS__)
#define BUG() softhca_bug("BUG()", __FILE__, __LINE__)
#define BUG_ON(c) (__builtin_expect(!!(c), 0) ? softhca_bug(#c, __FILE__, __LINE__) : (void)0)

#define scnprintf(buf, size, ...) \
	({ \
		size_t room_ = (size); \
		int n_ = snprintf(buf, room_, __VA_ARGS__); \
		(int)(n_ < 0 || !room_ ? 0 : (size_t)n_ < room_ ? (size_t)n_ : room_ - 1); \
	})

#endif
