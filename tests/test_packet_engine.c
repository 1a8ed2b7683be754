/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the engine does over the loop it does over a wire of packets: the same tests, each by itself. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine.c" /* NOLINT(bugprone-suspicious-include) */
