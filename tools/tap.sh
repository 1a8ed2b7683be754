#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/tap.sh NAME SECONDS COMMAND... - run a program that speaks TAP, print one
# line with its counts, and say what failed. Appends "NAME passed failed skipped"
# to $TAP_TOTALS, keeps the output in $TAP_LOGS. Called by tools/check.sh and
# tools/soak.sh. A crash, a time-out, a broken plan and an output without a
# single test are failures, each counted once. Exit status 1 if anything failed.
# A program that takes longer has a line each TAP_SECONDS (30), with how many tests have passed.
set -u

name=$1 limit=$2
shift 2
log=$TAP_LOGS/${name//\//.}.log
mkdir -p "$TAP_LOGS"

# still_runs - what is printed while it waits, until this script kills it. It waits by reading a pipe that says nothing:
# a sleep would outlive it.
still_runs() {
	local pipe seconds=0
	exec {pipe}<> <(:)
	until read -rt "${TAP_SECONDS:-30}" -u "$pipe"; do
		kill -0 $$ 2>/dev/null || return
		seconds=$((seconds + ${TAP_SECONDS:-30}))
		printf '  %-40s %5d passed so far %s %d s\n' "$name" "$(grep -c '^ *ok ' "$log")" '...' "$seconds"
	done
}

began=${EPOCHREALTIME/[.,]/}
: >"$log"
still_runs &
watch=$!
# The shell's own word about a killed program goes nowhere: what killed it is said below.
{ CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 "$limit" "$@" </dev/null >"$log" 2>&1; } 2>/dev/null
status=$?
{ kill "$watch" && wait "$watch"; } 2>/dev/null
took=$((${EPOCHREALTIME/[.,]/} - began))

# A cmocka test that was skipped says "not ok N # SKIP name".
result=$(awk -v status="$status" -v limit="$limit" '
	/^(not )?ok [0-9]+.*# SKIP/ { skipped++; next }
	/^ok [0-9]+/ { passed++; next }
	/^not ok [0-9]+/ { failed++; bad = bad "\n" $0; next }
	/^1\.\.[0-9]+/ { plan += substr($1, 4); planned = 1 }
	END {
		seen = passed + failed + skipped
		if (status == 124 || status == 137)
			why = "stopped after " limit " s, or killed"
		else if (status > 128)
			why = "killed by signal " status - 128
		else if (status && !failed)
			why = "exit status " status " although no test failed"
		else if (!status && failed)
			why = "exit status 0 although tests failed"
		else if (!seen)
			why = "no test at all"
		else if (planned && plan != seen)
			why = "planned " plan " tests, saw " seen
		if (why != "") {
			failed++
			bad = bad "\n" why
		}
		print passed + 0, failed + 0, skipped + 0 bad
	}' "$log")
read -r passed failed skipped <<<"${result%%$'\n'*}"

{
	flock 8
	printf '%s %d %d %d\n' "$name" "$passed" "$failed" "$skipped" >>"$TAP_TOTALS"
	printf '  %-40s %5d passed %3d failed %3d skipped %6d.%d s\n' "$name" "$passed" "$failed" "$skipped" \
		$((took / 1000000)) $((took / 100000 % 10))
	if [ "$failed" -gt 0 ]; then
		printf '%s\n' "$result" | sed -n "2,\$s|^|    FAILED $name: |p"
		echo "    --- the whole log of $name ---"
		sed 's/^/    | /' "$log"
		echo "    --- end of $name ---"
	fi
} 8>>"$TAP_TOTALS.lock"
[ "$failed" -eq 0 ]
