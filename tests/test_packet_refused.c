/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a responder refuses over packets: the same tests. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_refused.c" /* NOLINT(bugprone-suspicious-include) */
