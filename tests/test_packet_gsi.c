/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Queue pair 1 over a wire of packets: the same tests, each by itself. */
#define ENGINE_FIXTURE_PACKETS
#include "test_cm_gsi.c" /* NOLINT(bugprone-suspicious-include) */
