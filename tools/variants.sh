# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# How each variant is configured, built and run. Sourced by tools/check.sh and
# tools/soak.sh with the top of the tree as the working directory.

. tools/progress.sh

CHECK=$PWD/build/check
export TAP_LOGS=$CHECK/log TAP_TOTALS=$CHECK/totals

export ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=0:die_after_fork=0:second_deadlock_stack=1:exitcode=66:suppressions=$PWD/tools/tsan.supp
unset CC CFLAGS LDFLAGS DESTDIR MAKEFLAGS MAKELEVEL

# What two variants compile alike is compiled once: most sources know nothing of scatterlists. The folder of a build, which
# debug information names, doesn't count.
export CCACHE_DIR=$CHECK/ccache CCACHE_NOHASHDIR=1
ccache=
if command -v ccache >/dev/null; then ccache='ccache '; fi

about() {
	case $1 in
	gcc) echo 'all tests, gcc, split scatterlist' ;;
	clang) echo 'clang without a sanitizer: the build, thread tests' ;;
	joined) echo 'tests that depend on it, scatterlist without a mapped length' ;;
	classic) echo 'tests that depend on it, scatterlist of 2006' ;;
	asan) echo 'all tests, address and undefined-behaviour sanitizers' ;;
	tsan) echo 'thread tests, thread sanitizer' ;;
	m32) echo 'all tests, 32-bit' ;;
	lint) echo 'format, static analysis, the rules of the house' ;;
	install) echo 'install, then use the library from C and C++; run what the pages say' ;;
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
	local v=$1 dir=$CHECK/$1 began=$SECONDS cc=gcc opts=(-Dwerror=true) setup
	case $v in
	gcc) ;;
	clang) cc=clang ;;
	joined | classic) opts+=("-Dsg_layout=$v" -Dbench=false) ;;
	asan) cc=clang opts+=('-Db_sanitize=address,undefined' -Db_lundef=false -Dbench=false) ;;
	tsan) cc=clang opts+=(-Db_sanitize=thread -Db_lundef=false -Dbench=false) ;;
	m32) cc='gcc -m32' opts+=(-Dbench=false) ;;
	fuzz) cc=clang opts+=('-Db_sanitize=address,undefined' -Db_lundef=false -Dfuzz=true -Dtests=false -Dbench=false) ;;
	esac
	case $v in
	asan | fuzz) opts+=('-Dc_args=-fno-sanitize-recover=all -fno-omit-frame-pointer') ;;
	tsan) opts+=('-Dc_args=-fno-omit-frame-pointer') ;;
	m32) local -x PKG_CONFIG_LIBDIR=/usr/lib/i386-linux-gnu/pkgconfig:/usr/share/pkgconfig ;;
	esac
	# What no other variant compiles alike need not be preprocessed to be compared.
	case $v in clang | tsan | m32) local -x CCACHE_DEPEND=1 ;; esac
	setup="$PWD $ccache$cc ${opts[*]}"
	if [ "$(cat "$dir/.setup" 2>/dev/null)" != "$setup" ]; then
		rm -rf "$dir"
		mkdir -p "$dir"
		if ! CC=$ccache$cc meson setup "$dir" . --prefix=/usr --libdir=lib "${opts[@]}" >"$dir.build.log" 2>&1; then
			build_failed "$v"
			return 1
		fi
		echo "$setup" >"$dir/.setup"
	fi
	# shellcheck disable=SC2046 # a list of names
	if ! (set -o pipefail && NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j2 -k 20 $(targets "$v") 2>&1 |
		progress_ninja "  $v/build" "$dir.build.log"); then
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

# targets VARIANT - what to build: all, or what is run where unit tests aren't; asan's clang has compiled those
targets() {
	case $1 in tsan | clang) ;; *) return ;; esac
	ninja -C "$CHECK/$1" -t targets all | sed -nE 's/: c_LINKER.*//p' |
		grep -vxFf <(programs "$1" unit | sed 's|^|tests/|')
}

# beside COMMAND... - run it as soon as fewer than two of its kind run; `wait` waits for the last ones
beside() {
	while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
		wait -n
	done
	late || "$@" &
}

# two_at_a_time VARIANT SUFFIX SUITE - its programs, each by the command in run_tests's wrap
two_at_a_time() {
	local v=$1 p
	for p in $(programs_of "$v" "$3"); do
		beside "${wrap[@]}" tools/tap.sh "$v/$p$2" "${TEST_SECONDS:-300}" "$CHECK/$v/tests/$p"
	done
	wait
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

# shim_tests VARIANT [SUFFIX] - begin those of the drop-in libibverbs, which scatterlists don't matter to; programs from
# packages once, first and alone
shim_tests() {
	local v=$1 p wrap=()
	case $v in joined | classic) return ;; esac
	[ -f "$CHECK/$v/src/libibverbs.so.1" ] || return
	[ "$v" != tsan ] || wrap=(without_aslr)
	# They die as often as they are to with gcc.
	[ "$v" = gcc ] || local -x SHIM_KILL_ROUNDS=${SHIM_KILL_ROUNDS:-10}
	for p in $(programs "$v" shim | sort -t_ -k1,1 -k2,2r); do
		case $v/$p in
		# Two processes that wait for each other without sleeping: a third one would cost more than it gains.
		gcc/shim_programs) late || tap "$v/$p${2:-}" "${TEST_SECONDS:-1200}" "tests/$p.sh" "$CHECK/$v/src/libibverbs.so.1" ;;
		gcc/shim_cm_programs | gcc/shim_sockets)
			beside tap "$v/$p${2:-}" "${TEST_SECONDS:-1200}" "tests/$p.sh" "$CHECK/$v/src/librdmacm.so.1"
			;;
		*/shim_cm_abi)
			beside tap "$v/$p${2:-}" "${TEST_SECONDS:-1200}" tests/shim_abi.sh "$CHECK/$v/src/librdmacm.so.1"
			;;
		gcc/shim_luck | */shim_abi)
			beside tap "$v/$p${2:-}" "${TEST_SECONDS:-1200}" "tests/$p.sh" "$CHECK/$v/src/libibverbs.so.1"
			;;
		*/shim_*) ;;
		*) beside "${wrap[@]}" tools/tap.sh "$v/$p${2:-}" "${TEST_SECONDS:-300}" "$CHECK/$v/tests/$p" ;;
		esac
	done
}

# loaded FILE - what of a program is loaded, without what names its build
loaded() {
	objcopy -O binary --strip-all -R .note.gnu.build-id "$1" "$CHECK/loaded" && sha256sum <"$CHECK/loaded"
}

# as_gcc VARIANT PROGRAM - is it to the byte what gcc's run has tested before? Most programs know nothing of scatterlists.
as_gcc() {
	case $1 in joined | classic) ;; *) return 1 ;; esac
	local ours
	grep -q "^gcc/$2 " "$TAP_TOTALS" && ours=$(loaded "$CHECK/$1/tests/$2") &&
		[ "$ours" = "$(loaded "$CHECK/gcc/tests/$2")" ]
}

# programs_of VARIANT SUITE - those that are run
programs_of() {
	local p
	for p in $(programs "$1" "$2"); do
		as_gcc "$1" "$p" || echo "$p"
	done
}

# begin_scsi VARIANT SUFFIX - the suite of SCSI takes long and waits most of the time: whole, it runs beside all other tests. In no
# job table, for they wait for their jobs; it has a lock for as long as it runs.
begin_scsi() {
	exec 7>"$CHECK/scsi"
	flock 7
	(tap "$1/cli_iscsi$2" "${TEST_SECONDS:-1200}" tests/cli_iscsi.sh "$CHECK/$1/src/softhca" &)
	exec 7>&-
}

end_scsi() {
	exec 7>"$CHECK/scsi"
	flock 7
	exec 7>&-
}

# run_tests VARIANT [SUFFIX] - unit tests two at a time, and those that have a clock of their own; then thread tests alone, which
# want both processors; then, two at a time again, the drop-in's, models, and the scripts that call the softhca
# program; none of them once it's late
run_tests() {
	local v=$1 p n wrap=()
	[ "$v" != tsan ] || wrap=(without_aslr)
	n=$(($(for p in unit deliver thread; do programs "$v" $p; done | wc -l) - $(for p in unit deliver thread; do programs_of "$v" $p; done | wc -l)))
	[ "$n" = 0 ] || echo "  $n programs are to the byte those that gcc's run has tested, and aren't run again"
	[ "$v" != gcc ] || late || begin_scsi "$v" "${2:-}"
	# The address sanitizer's run is clang's, too.
	if [ "$v" != tsan ] && [ "$v" != clang ]; then
		two_at_a_time "$v" "${2:-}" unit
	fi
	two_at_a_time "$v" "${2:-}" deliver
	for p in $(programs_of "$v" thread); do
		late && break
		if [ "$v" = tsan ]; then
			without_aslr tools/tap.sh "$v/$p${2:-}" "${TEST_SECONDS:-300}" "$CHECK/$v/tests/$p"
		else
			tap "$v/$p${2:-}" "${TEST_SECONDS:-300}" "$CHECK/$v/tests/$p"
		fi
	done
	shim_tests "$v" "${2:-}"
	# Models and words are the same whatever compiles the library.
	if [ "$v" = gcc ]; then
		beside tap "$v/reasons${2:-}" "${TEST_SECONDS:-600}" tests/reasons.pl "$PWD" "$CHECK/$v/tests"
		for p in $(programs "$v" model); do
			beside tap "$v/$p${2:-}" "${TEST_SECONDS:-600}" tests/spin.sh "tests/model/${p#model_}.pml"
		done
	fi
	# The suite of SCSI in each way, too, once.
	[ "$v" = gcc ] || local -x CLI_ISCSI_SHORT=1
	for p in tests/cli_*.sh; do
		[ "$v" != clang ] || break
		case $v/$p in
		gcc/*_iscsi.sh) continue ;; # it has begun
		joined/*_devices.sh | joined/*_run.sh | joined/*_status.sh) continue ;; # as with the drop-in libibverbs
		classic/*_devices.sh | classic/*_run.sh | classic/*_status.sh) continue ;;
		esac
		beside "${wrap[@]}" tools/tap.sh "$v/$(basename "$p" .sh)${2:-}" "${TEST_SECONDS:-600}" "$p" "$CHECK/$v/src/softhca"
	done
	wait
	end_scsi
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
		beside tap "fuzz/$f" 120 tools/fuzz-one.sh "$CHECK/fuzz/fuzz/$f" "fuzz/corpus/$f" "$CHECK/fuzz-found/$f" \
			-seed=1 -runs=200000 -max_total_time=8
	done
	wait
}

# kernel_tests - build the module for every kernel, then boot the machines (or those in KERNEL_MACHINES) two at a time
kernel_tests() {
	local m kernels=$PWD/build/kernel
	tap kernel/build 1800 tools/kernel-check.sh "$kernels"
	for m in ${KERNEL_MACHINES:-$(tools/kernel-boot.sh "$kernels" list)}; do
		beside tap "kernel/$m" "$((${KERNEL_SECONDS:-900} + 20))" tools/kernel-boot.sh "$kernels" "$m" "${KERNEL_SECONDS:-900}"
	done
	wait
}
