/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Queue pair 1 over a wire that answers later: the same tests, each by itself. */
#define ENGINE_FIXTURE_LATE
#include "test_cm_gsi.c" /* NOLINT(bugprone-suspicious-include) */
