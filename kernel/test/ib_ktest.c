/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The running of suites once more, for a module of its own: an object belongs to one module. */
#include "ktest.c"
