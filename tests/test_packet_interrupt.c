/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Contexts that interrupt each other, over packets: the same tests. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_interrupt.c" /* NOLINT(bugprone-suspicious-include) */
