#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/check.sh [VARIANT...] - build and test the tree in every variant, or in
# those named. Prints a line for each program, and in the end the totals alone on
# a line. A variant without a single test is a failure.
# tools/check.sh --names prints the variants' names, --list what each is, and
# --known [VARIANT...] only says whether there are such variants.
set -u

cd "$(dirname "$0")/.." || exit 1
. tools/variants.sh

all='gcc clang joined classic asan tsan m32 lint install fuzz run kernel'
case ${1:-} in
--names)
	echo "$all"
	exit
	;;
--list)
	for v in $all; do
		printf '%-9s %s\n' "$v" "$(about "$v")"
	done
	exit
	;;
--known)
	known=1
	shift
	;;
esac
for v in "$@"; do
	case " $all " in
	*" $v "*) ;;
	*)
		echo "check: no variant '$v'; there are: $all" >&2
		exit 2
		;;
	esac
done

[ -z "${known:-}" ] || exit 0

mkdir -p "$CHECK"
exec 9>"$CHECK/.lock"
flock -n 9 || {
	echo 'check: another check runs in this tree; waiting for it'
	flock 9
}
rm -rf "$TAP_LOGS"
: >"$TAP_TOTALS"

# wanted VARIANT... - are all of these asked for?
wanted() {
	local v
	for v in "$@"; do
		case " $asked " in *" $v "*) ;; *) return 1 ;; esac
	done
}
asked=${*:-$all}

# runs_32_bit - can the kernel? Without a loader of theirs the build says what is missing.
runs_32_bit() {
	[ ! -x /lib/ld-linux.so.2 ] || /lib/ld-linux.so.2 --version >/dev/null 2>&1
}

# Kernels come by the network while others compile: in no job table, for variants wait for their jobs. What fails here is
# tried again, and told, when the kernel's turn comes.
if wanted kernel && [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
	(nice -n 5 tools/kernel-fetch.sh "$PWD/build/kernel" >"$CHECK/kernel-fetch.log" 2>&1 </dev/null 9>&- &)
fi

for v in $all; do
	wanted "$v" || continue
	began=$SECONDS
	before=$(wc -l <"$TAP_TOTALS")
	echo "$v: $(about "$v")"
	case $v in
	lint) build_variant gcc && tap lint 1500 tools/lint.sh ;;
	install)
		beside tap docs 1800 tools/check-docs.sh "$CHECK/docs"
		# Both do one thing after the other; the two beside each other leave no processor idle.
		if wanted install run; then
			beside tap run 600 tools/check-run.sh "$CHECK/run"
		fi
		beside tap install 900 tools/check-install.sh "$CHECK/install"
		wait
		;;
	fuzz) build_variant fuzz && fuzz_short ;;
	run) wanted install run || tap run 600 tools/check-run.sh "$CHECK/run" ;;
	kernel)
		if [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
			kernel_tests
		else
			total kernel/no-kernels-for-this-machine 0 0 1
		fi
		;;
	m32)
		if [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
			total m32/no-32-bit-libraries-for-this-machine 0 0 1
		elif ! runs_32_bit; then
			echo '  skipped: the kernel of this machine runs no 32-bit programs; one of Debian does'
			total m32/a-kernel-without-32-bit-programs 0 0 1
		else
			build_variant m32 && run_tests m32
		fi
		;;
	*) build_variant "$v" && run_tests "$v" ;;
	esac
	if [ "$(wc -l <"$TAP_TOTALS")" = "$before" ] && ! grep -q "^$v " "$TAP_TOTALS"; then
		echo "    FAILED $v: the variant ran no test"
		total "$v/no-test" 0 1 0
	fi
	echo "$v: $((SECONDS - began)) s"
done

summary
