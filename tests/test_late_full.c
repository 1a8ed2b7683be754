/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The engine's schedules over a wire that answers later and has room for one piece: messages wait between their pieces. */
#define LEN (65536u + 5000u)
#define SLOT (65536u + 8192u)
#define BYTES (16u * SLOT)
#define SEEDS 300u
#define LATE_ROOM 1u
#define ENGINE_FIXTURE_LATE
#include "test_engine_schedule.c" /* NOLINT(bugprone-suspicious-include) */
