/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What XRC does over the loop it does over a wire that answers later: the same tests, each by itself. */
#define ENGINE_FIXTURE_LATE
#include "test_xrc.c" /* NOLINT(bugprone-suspicious-include) */
