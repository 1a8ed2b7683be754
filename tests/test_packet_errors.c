/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What goes wrong over the loop, over a wire of packets: the same tests. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_errors.c" /* NOLINT(bugprone-suspicious-include) */
