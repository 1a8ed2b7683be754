# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# How each variant is configured, built and run. Sourced by tools/check.sh and
# tools/soak.sh with the top of the tree as the working directory.

CHECK=$PWD/build/check
export TAP_LOGS=$CHECK/log TAP_TOTALS=$CHECK/totals

export ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=0:second_deadlock_stack=1:exitcode=66:suppressions=$PWD/tools/tsan.supp
unset CC CFLAGS LDFLAGS DESTDIR MAKEFLAGS MAKELEVEL

about() {
	case $1 in
	gcc) echo 'all tests, gcc, split scatterlist' ;;
	clang) echo 'all tests, clang, split scatterlist' ;;
	joined) echo 'all tests, scatterlist without a mapped length' ;;
	classic) echo 'all tests, scatterlist of 2006' ;;
	asan) echo 'all tests, address and undefined-behaviour sanitizers' ;;
	tsan) echo 'thread tests, thread sanitizer' ;;
	m32) echo 'all tests, 32-bit' ;;
	lint) echo 'format, static analysis, the rules of the house' ;;
	install) echo 'install, then use the library from C and C++' ;;
	fuzz) echo 'each fuzzer for a moment' ;;
	run) echo 'make run over a small image' ;;
	kernel) echo 'the module, on emulated machines with and without an IOMMU and high memory' ;;
	esac
}

total() {
	printf '%s %d %d %d\n' "$1" "$2" "$3" "$4" >>"$TAP_TOTALS"
}

# summary - what failed, then the totals alone on a line; false if anything failed or nothing passed
summary() {
	awk '{ p += $2; f += $3; s += $4; if ($3) bad = bad "\n  " $1 }
		END {
			if (bad != "") print "failed:" bad
			printf "%d passed, %d failed, %d skipped\n", p, f, s
			exit f || !p
		}' "$TAP_TOTALS"
}

tap() {
	tools/tap.sh "$@"
}

# build_variant NAME - configure and build below build/check/NAME; a failure counts as one failed test
build_variant() {
	local v=$1 dir=$CHECK/$1 began=$SECONDS cc=gcc opts=() setup
	case $v in
	gcc) ;;
	clang) cc=clang ;;
	joined | classic) opts=("-Dsg_layout=$v") ;;
	asan) cc=clang opts=('-Db_sanitize=address,undefined' -Db_lundef=false -Dbench=false) ;;
	tsan) cc=clang opts=(-Db_sanitize=thread -Db_lundef=false -Dbench=false) ;;
	m32) cc='gcc -m32' ;;
	fuzz) cc=clang opts=('-Db_sanitize=address,undefined' -Db_lundef=false -Dfuzz=true -Dtests=false -Dbench=false) ;;
	esac
	case $v in
	asan | fuzz) opts+=('-Dc_args=-fno-sanitize-recover=all -fno-omit-frame-pointer') ;;
	tsan) opts+=('-Dc_args=-fno-omit-frame-pointer') ;;
	m32) local -x PKG_CONFIG_LIBDIR=/usr/lib/i386-linux-gnu/pkgconfig:/usr/share/pkgconfig ;;
	esac
	setup="$PWD $cc ${opts[*]}"
	if [ "$(cat "$dir/.setup" 2>/dev/null)" != "$setup" ]; then
		rm -rf "$dir"
		mkdir -p "$dir"
		if ! CC=$cc meson setup "$dir" . --prefix=/usr --libdir=lib "${opts[@]}" >"$dir.build.log" 2>&1; then
			build_failed "$v"
			return 1
		fi
		echo "$setup" >"$dir/.setup"
	fi
	if ! ninja -C "$dir" -j2 -k 20 >"$dir.build.log" 2>&1; then
		build_failed "$v"
		return 1
	fi
	printf '  %-40s %d s\n' "$v/build" $((SECONDS - began))
}

build_failed() {
	echo "    FAILED $1: the build; its log:"
	sed 's/^/    | /' "$CHECK/$1.build.log"
	total "$1/build" 0 1 0
}

# programs VARIANT SUITE - the test programs that this variant built
programs() {
	meson test -C "$CHECK/$1" --no-rebuild --list --suite "$2" 2>/dev/null | sed -n 's|^.* / ||p'
}

# without_aslr COMMAND... - the thread sanitizer doesn't run where the kernel randomizes more bits than it knows
without_aslr() {
	if setarch -R true 2>/dev/null; then
		setarch -R "$@"
	else
		"$@"
	fi
}

# late - is there no time to begin anything more? Until the second UNTIL of the script, if it's set.
late() {
	[ -n "${UNTIL:-}" ] && [ "$SECONDS" -ge "$UNTIL" ]
}

# run_tests VARIANT [SUFFIX] - unit tests two at a time, then thread tests alone, which want both processors, then the
# scripts that call the softhca program; none of them once it's late
run_tests() {
	local v=$1 p wrap=()
	[ "$v" != tsan ] || wrap=(without_aslr)
	if [ "$v" != tsan ]; then
		for p in $(programs "$v" unit); do
			while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
				wait -n
			done
			late || tap "$v/$p${2:-}" "${TEST_SECONDS:-300}" "$CHECK/$v/tests/$p" &
		done
		wait
	fi
	for p in $(programs "$v" thread); do
		late && return
		if [ "$v" = tsan ]; then
			without_aslr tools/tap.sh "$v/$p${2:-}" "${TEST_SECONDS:-300}" "$CHECK/$v/tests/$p"
		else
			tap "$v/$p${2:-}" "${TEST_SECONDS:-300}" "$CHECK/$v/tests/$p"
		fi
	done
	for p in tests/cli_*.sh; do
		late && return
		"${wrap[@]}" tools/tap.sh "$v/$(basename "$p" .sh)${2:-}" "${TEST_SECONDS:-300}" "$p" "$CHECK/$v/src/softhca"
	done
}

fuzzers() {
	find "$CHECK/fuzz/fuzz" -maxdepth 1 -type f -executable -name 'fuzz_*' -printf '%f\n' | sort |
		while read -r f; do
			# Left over from a fuzzer that is no more.
			if [ -f "fuzz/$f.c" ]; then echo "$f"; fi
		done
}

# One TAP line a fuzzer: a fixed seed and number of runs, from the seeds that the repository keeps.
fuzz_short() {
	local f
	for f in $(fuzzers); do
		tap "fuzz/$f" 120 tools/fuzz-one.sh "$CHECK/fuzz/fuzz/$f" "fuzz/corpus/$f" "$CHECK/fuzz-found/$f" \
			-seed=1 -runs=200000 -max_total_time=8
	done
}

# kernel_tests - build the module for every kernel, then boot the machines (or those in KERNEL_MACHINES) two at a time
kernel_tests() {
	local m kernels=$PWD/build/kernel
	tap kernel/build 900 tools/kernel-check.sh "$kernels"
	for m in ${KERNEL_MACHINES:-$(tools/kernel-boot.sh "$kernels" list)}; do
		while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
			wait -n
		done
		tap "kernel/$m" "$((${KERNEL_SECONDS:-380} + 20))" tools/kernel-boot.sh "$kernels" "$m" "${KERNEL_SECONDS:-380}" &
	done
	wait
}
