/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many schedules a test explores. */
#ifndef SEEDS_H
#define SEEDS_H

#ifdef __has_feature
#define HAS_SANITIZER __has_feature(address_sanitizer)
#else
#define HAS_SANITIZER 0
#endif

/**
 * SEEDS_HERE() - @n of them, or a part: a sanitizer sees in the first ones what there is for it, and takes long for each;
 * a 32-bit machine meets the same schedules
 */
#define SEEDS_HERE(n) (HAS_SANITIZER || sizeof(void *) == 4 ? ((n) + 7) / 8 : (n))

#endif
