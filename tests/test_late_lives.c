/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Objects that come and go, over a wire of messages that answers later. */
#define ENGINE_FIXTURE_LATE
#include "test_engine_lives.c" /* NOLINT(bugprone-suspicious-include) */
