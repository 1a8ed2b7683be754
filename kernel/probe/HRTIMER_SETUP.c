/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A high-resolution timer is set up with its function in one call. Compiled by ../Kbuild, never linked. */
#include <linux/hrtimer.h>

void probe(struct hrtimer *t, enum hrtimer_restart (*fn)(struct hrtimer *t));

void probe(struct hrtimer *t, enum hrtimer_restart (*fn)(struct hrtimer *t))
{
	hrtimer_setup(t, fn, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
}
