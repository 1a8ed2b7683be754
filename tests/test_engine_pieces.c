/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The engine's schedules over the loop, with messages of several pieces: what ends or goes does so between them. */
#define LEN (65536u + 5000u)
#define SLOT (65536u + 8192u)
#define BYTES (16u * SLOT)
#define SEEDS 300u
#include "test_engine_schedule.c" /* NOLINT(bugprone-suspicious-include) */
