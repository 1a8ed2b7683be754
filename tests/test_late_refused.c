/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a responder refuses over a wire that answers later: the same tests. */
#define ENGINE_FIXTURE_LATE
#include "test_engine_refused.c" /* NOLINT(bugprone-suspicious-include) */
