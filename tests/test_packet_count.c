/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an adapter counts, over a wire of packets: the same tests. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_count.c" /* NOLINT(bugprone-suspicious-include) */
