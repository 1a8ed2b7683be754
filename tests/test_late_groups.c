/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Datagrams and groups under seeded schedules over a wire that answers later: the same test. */
#define ENGINE_FIXTURE_LATE
#include "test_engine_groups.c" /* NOLINT(bugprone-suspicious-include) */
