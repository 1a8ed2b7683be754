/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * os.h's calls with a note of where they are made, so that a leak, a bug or a
 * deadlock names the line. os.h includes this last, when the functions have been
 * declared; a call through a pointer goes without the note. Nothing else belongs here.
 */
#ifndef HCA_TEST_OS_SITES_H
#define HCA_TEST_OS_SITES_H

#define hca_alloc(size, flags) (TEST_HERE(), hca_alloc(size, flags))
#define hca_free(mem) (TEST_HERE(), hca_free(mem))
#define hca_complete(c) (TEST_HERE(), hca_complete(c))
#define hca_wait(c, timeout_ns) (TEST_HERE(), hca_wait(c, timeout_ns))
#define hca_rcu_synchronize() (TEST_HERE(), hca_rcu_synchronize())
#define hca_timer_init(t, fn, arg) (TEST_HERE(), hca_timer_init(t, fn, arg))
#define hca_timer_start(t, when_ns) (TEST_HERE(), hca_timer_start(t, when_ns))
#define hca_timer_stop(t) (TEST_HERE(), hca_timer_stop(t))
#define hca_timer_destroy(t) (TEST_HERE(), hca_timer_destroy(t))
#define hca_work_init(w, fn, arg) (TEST_HERE(), hca_work_init(w, fn, arg))
#define hca_work_start(w) (TEST_HERE(), hca_work_start(w))
#define hca_work_destroy(w) (TEST_HERE(), hca_work_destroy(w))

#endif
