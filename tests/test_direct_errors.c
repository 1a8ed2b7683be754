/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Errors, where requests are carried out at once. */
#define ENGINE_FIXTURE_FLAT
#include "test_engine_errors.c" /* NOLINT(bugprone-suspicious-include) */
