#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/fuzz-one.sh PROGRAM SEEDS FOUND OPTION... - run one libFuzzer program as
# one TAP test. SEEDS is read only; what is found goes to FOUND.
set -u

program=$1 seeds=$2 found=$3
shift 3
mkdir -p "$found/corpus"
dirs=("$found/corpus")
[ -d "$seeds" ] && dirs+=("$seeds")
# Where a short run must be the same every time, it may not start from what the last one found.
case " $* " in *' -runs='*) rm -rf "$found/corpus" && mkdir "$found/corpus" ;; esac

echo 1..1
if "$program" -print_final_stats=1 -timeout=20 -rss_limit_mb=2048 -max_len=4096 -artifact_prefix="$found/" "$@" \
	"${dirs[@]}"; then
	echo "ok 1 - $(basename "$program")"
else
	echo "not ok 1 - $(basename "$program"): see $found/"
	exit 1
fi
