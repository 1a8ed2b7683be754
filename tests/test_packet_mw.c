/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What memory windows do over the loop, over a wire of packets: the same tests. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_mw.c" /* NOLINT(bugprone-suspicious-include) */
