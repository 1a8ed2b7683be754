/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Datagrams and groups over a wire of packets: the same tests, each by itself. */
#define ENGINE_FIXTURE_PACKETS
#include "test_engine_datagram.c" /* NOLINT(bugprone-suspicious-include) */
