/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Objects that end under traffic, where requests are carried out at once. */
#define ENGINE_FIXTURE_FLAT
#include "test_engine_life.c" /* NOLINT(bugprone-suspicious-include) */
