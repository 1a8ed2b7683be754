/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Shared receive queues, where requests are carried out at once. */
#define ENGINE_FIXTURE_FLAT
#include "test_engine_srq.c" /* NOLINT(bugprone-suspicious-include) */
