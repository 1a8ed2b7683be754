/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The engine against its model where requests are carried out at once. */
#define ENGINE_FIXTURE_FLAT
#include "test_engine_diff.c" /* NOLINT(bugprone-suspicious-include) */
