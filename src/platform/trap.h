/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Faults of the CPU that a machine takes care of. Included by the files that do,
 * guard.c and file.c, and by trap.c.
 */
#ifndef PLATFORM_TRAP_H
#define PLATFORM_TRAP_H

#include <signal.h>

#include "os.h"

enum trap { TRAP_SEGV, TRAP_BUS, TRAPS };

/** trap_judge - in a signal handler: is the fault ours? If it is, the access is tried again when this returns. */
typedef bool (*trap_judge)(const siginfo_t *info, const void *ucontext);

/**
 * trap_get() - have faults of one kind judged, from now on and until as many trap_put()
 * @judge: stays the process's for good: without a machine of its own it says no
 */
void trap_get(enum trap trap, trap_judge judge);

/** trap_put() - the last one gives the signal back */
void trap_put(enum trap trap);

#endif
