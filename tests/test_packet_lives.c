/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Objects that come and go, over a wire of packets. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_lives.c" /* NOLINT(bugprone-suspicious-include) */
