#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/soak.sh - what takes too long for every day, in SOAK_SECONDS (3600) for the whole, builds included. Its stages
# share that time by the weights below; each gets its share of what the earlier ones have left. A program that has begun is
# waited for, so the end may come a minute late.
#
#   fuzz      each fuzzer; what they find by chance stays in build/check/soak/ from one soak to the next
#   tsan      the thread suite under the thread sanitizer, over and over, with another SOFTHCA_SEED each time
#   asan      the whole suite under the address sanitizer, the same
#   plain     tests/thread_soak, which gets SOAK_SECONDS of its own, and a seed
#   racing    the same under the thread sanitizer
#   valgrind  the unit tests, once; leaks are left to the test os layer, whose guard bytes make every block look as if it
#             were only pointed into
#   peers     processes of verbs whose peers are killed at any instant, 1,000 of them if there is time (SHIM_KILL_ROUNDS), and
#             one that is stopped for 10 s
#   kernel    the module on emulated machines, two at a time in random order, while there is time; SOAK_TURNS: how often it is
#             loaded and unloaded there
#
# What was not reached counts as skipped. A line each minute says how far it is; SOAK_STAGES="plain racing" runs a part.
# A seed that a failure's line names is set by SOFTHCA_SEED.
set -u

cd "$(dirname "$0")/.." || exit 1
. tools/variants.sh

total=${SOAK_SECONDS:-3600}
stages=${SOAK_STAGES:-fuzz tsan asan plain racing valgrind peers kernel}
unset SOAK_SECONDS
declare -A weight=([fuzz]=15 [tsan]=9 [asan]=9 [plain]=17 [racing]=17 [valgrind]=12 [peers]=9 [kernel]=21)

for stage in $stages; do
	if [ -z "${weight[$stage]:-}" ]; then
		echo "soak: no stage '$stage'; there are: ${!weight[*]}" >&2
		exit 2
	fi
done

mkdir -p "$CHECK"
exec 9>"$CHECK/.lock"
flock 9
rm -rf "$TAP_LOGS"
: >"$TAP_TOTALS"
SECONDS=0
current=$CHECK/soak.stage

# In no job table, for run_tests waits for all jobs; it ends when this script has.
progress() {
	(
		while sleep 1 && kill -0 $$ 2>/dev/null; do
			[ $((SECONDS % 60)) -eq 0 ] || continue
			awk -v now="$SECONDS" -v all="$total" -v stage="$(cat "$current")" \
				'{ p += $2; f += $3 } END { printf "soak: %d of %d min, %s: %d passed, %d failed\n",
					now / 60, all / 60, stage, p, f }' "$TAP_TOTALS"
		done &
	) 9>&-
}

seed() {
	echo $((RANDOM << 15 | RANDOM))
}

# again VARIANT - its tests, over and over, until UNTIL
again() {
	local v=$1 seed
	build_variant "$v" || return
	until late; do
		seed=$(seed)
		SOFTHCA_SEED=$seed run_tests "$v" "@$seed"
	done
}

# left - seconds of this stage
left() {
	echo $((UNTIL > SECONDS ? UNTIL - SECONDS : 0))
}

fuzz_long() {
	local f each
	build_variant fuzz || return
	each=$(($(left) * 2 / $(fuzzers | wc -l)))
	for f in $(fuzzers); do
		while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
			wait -n
		done
		tap "soak/$f" $((each + 300)) tools/fuzz-one.sh "$CHECK/fuzz/fuzz/$f" "fuzz/corpus/$f" "$CHECK/soak/$f" \
			-max_total_time=$((each > 0 ? each : 1)) &
	done
	wait
}

# soak_program VARIANT - with what it counted
soak_program() {
	local v=$1 seed name
	build_variant "$v" || return
	seed=$(seed)
	name="$v/thread_soak@$seed"
	SOFTHCA_SEED=$seed SOAK_SECONDS=$(left) without_aslr tools/tap.sh "$name" $(($(left) + 400)) "$CHECK/$v/tests/thread_soak"
	grep -E '^# [a-z]+, [0-9]+ s: ' "$TAP_LOGS/${name//\//.}.log" | awk '{ last[$2] = $0 } END { for (w in last) print "  " last[w] }'
}

# Those that a program's own seeds make long run a few of them.
under_valgrind() {
	local p
	build_variant gcc || return
	for p in $(programs gcc unit); do
		# Those whose job is to fault on purpose would be reported for doing it.
		case $p in test_guard | test_machine | test_misuse_guard) continue ;; esac
		while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
			wait -n
		done
		if late; then
			total "valgrind/$p" 0 0 1
			continue
		fi
		SOFTHCA_DIFF_SEEDS=2 tap "valgrind/$p" 3600 valgrind -q --error-exitcode=99 --leak-check=no --fair-sched=yes \
			"$CHECK/gcc/tests/$p" &
	done
	wait
}

# Ten of them die in some 3 s.
peers_die() {
	local seed rounds=${SHIM_KILL_ROUNDS:-$(($(left) * 3))}
	build_variant gcc || return
	seed=$(seed)
	[ "$rounds" -le 1000 ] || rounds=${SHIM_KILL_ROUNDS:-1000}
	[ "$rounds" -ge 50 ] || rounds=50
	echo "  $rounds peers die"
	SOFTHCA_SEED=$seed SHIM_KILL_ROUNDS=$rounds SHIM_STOP_MS=10000 tap "soak/test_shim_kill@$seed" $((rounds + 600)) \
		"$CHECK/gcc/tests/test_shim_kill"
}

# Two machines take up to KERNEL_SECONDS; more turns where there is time for them.
on_machines() {
	local KERNEL_SECONDS=380 machines m
	if [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ] || [ "$(left)" -lt $KERNEL_SECONDS ]; then
		total kernel/not-reached 0 0 1
		return
	fi
	tap kernel/build 900 tools/kernel-check.sh "$PWD/build/kernel"
	if [ "$(left)" -gt 5400 ]; then
		export TURNS=${SOAK_TURNS:-200} LINKS=1000
		KERNEL_SECONDS=1800
	elif [ -n "${SOAK_TURNS:-}" ]; then
		export TURNS=$SOAK_TURNS
	fi
	machines=$(tools/kernel-boot.sh "$PWD/build/kernel" list)
	for m in $(tr ' ' '\n' <<<"$machines" | shuf); do
		while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
			wait -n
		done
		if [ "$(left)" -lt $KERNEL_SECONDS ]; then
			total "kernel/$m" 0 0 1
			continue
		fi
		LOADS='nvme srp iser' tap "kernel/$m" $((KERNEL_SECONDS + 20)) tools/kernel-boot.sh "$PWD/build/kernel" "$m" $KERNEL_SECONDS &
	done
	wait
}

run_stage() {
	case $1 in
	fuzz) fuzz_long ;;
	tsan | asan) again "$1" ;;
	plain) soak_program gcc ;;
	racing) soak_program tsan ;;
	valgrind) under_valgrind ;;
	peers) peers_die ;;
	kernel) on_machines ;;
	esac
}

weights=0
for stage in $stages; do
	weights=$((weights + weight[$stage]))
done
export TEST_SECONDS=900
echo start >"$current"
progress
for stage in $stages; do
	rest=$((total > SECONDS ? total - SECONDS : 0))
	UNTIL=$((SECONDS + rest * weight[$stage] / weights))
	weights=$((weights - weight[$stage]))
	echo "$stage" >"$current"
	echo "soak: $stage, $(left) s"
	run_stage "$stage"
done
echo "soak: $SECONDS s of $total s"
summary
