/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The engine's schedules over a wire of packets. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_schedule.c" /* NOLINT(bugprone-suspicious-include) */
