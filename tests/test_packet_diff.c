/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The engine against its model once more, over a wire of packets: one that loses nothing,
 * and one that loses, repeats and delays by seed.
 */
#define ENGINE_FIXTURE_PACKETS
#define PACKETS_IN_ORDER /* a model has no other order */
#include "test_engine_diff.c" /* NOLINT(bugprone-suspicious-include) */
