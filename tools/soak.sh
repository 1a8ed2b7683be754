#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/soak.sh - what takes too long for every day. SOAK_SECONDS (600) is the
# time for each fuzzer, and for each of the repetitions: the thread suite under
# the thread sanitizer, and the whole suite under the address sanitizer, with
# another SOFTHCA_SEED each time; tests also find SOAK_SECONDS in their
# environment. In the end the unit tests once under valgrind, which leaves leaks to
# the test os layer: its guard bytes make every block look as if it were only pointed into.
# Last, the module is loaded, tested and unloaded SOAK_TURNS (200) times on each emulated machine.
# Fuzzers keep their corpus in build/check/soak/ from one soak to the next.
set -u

cd "$(dirname "$0")/.." || exit 1
. tools/variants.sh
export SOAK_SECONDS=${SOAK_SECONDS:-600}

mkdir -p "$CHECK"
exec 9>"$CHECK/.lock"
flock 9
rm -rf "$TAP_LOGS"
: >"$TAP_TOTALS"

# again VARIANT - its tests, over and over, with a seed that a failure's line names
again() {
	local v=$1 until=$((SECONDS + SOAK_SECONDS)) seed
	build_variant "$v" || return
	while [ $SECONDS -lt $until ]; do
		seed=$((RANDOM << 15 | RANDOM))
		SOFTHCA_SEED=$seed run_tests "$v" "@$seed"
	done
}

echo "soak: $SOAK_SECONDS s for each fuzzer and each repetition"
export TEST_SECONDS=$((SOAK_SECONDS + 300))
if build_variant fuzz; then
	for f in $(fuzzers); do
		tap "soak/$f" $((SOAK_SECONDS + 300)) tools/fuzz-one.sh "$CHECK/fuzz/fuzz/$f" "fuzz/corpus/$f" \
			"$CHECK/soak/$f" -max_total_time="$SOAK_SECONDS"
	done
fi
again tsan
again asan
if build_variant gcc; then
	for p in $(programs gcc unit); do
		# Those whose job is to fault on purpose would be reported for doing it.
		case $p in test_guard | test_machine | test_misuse_guard) continue ;; esac
		SOAK_SECONDS=0 tap "valgrind/$p" 3600 valgrind -q --error-exitcode=99 --leak-check=no --fair-sched=yes \
			"$CHECK/gcc/tests/$p"
	done
fi
if [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
	TURNS=${SOAK_TURNS:-200} KERNEL_SECONDS=1800 kernel_tests
fi
summary
