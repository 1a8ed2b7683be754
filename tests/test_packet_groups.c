/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Datagrams and groups under seeded schedules over packets: the same test. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_groups.c" /* NOLINT(bugprone-suspicious-include) */
