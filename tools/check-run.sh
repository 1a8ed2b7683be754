#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/check-run.sh DIR - `make run` over an image of 16 MiB, and what the Makefile's targets say to somebody who
# calls them for the first time, as TAP: help, refusals, progress, packages. Works in DIR, installs nothing.
set -u

cd "$(dirname "$0")/.." || exit 1
dir=$1
rm -rf "$dir"
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
export LC_ALL=C
number=0 failures=0

# verdict NAME STATUS [WHAT HAPPENED] - one TAP line
verdict() {
	number=$((number + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		awk '{ print "# " $0 }' <<<"${3:-}"
		failures=$((failures + 1))
	fi
}

# ends NAME STATUS WORDS COMMAND... - it ends with that status and says those words
ends() {
	local name=$1 status=$2 words=$3 got
	shift 3
	"$@" >"$dir/out" 2>&1 </dev/null
	got=$?
	[ "$got" -eq "$status" ] && grep -qF -- "$words" "$dir/out"
	verdict "$name" $? "status $got; $(tail -n 40 "$dir/out")"
}

# is NAME COMMAND... - the command succeeds
is() {
	local name=$1 out
	shift
	out=$("$@" 2>&1)
	verdict "$name" $? "$out"
}

make=(make --no-print-directory SOFTHCA_DEPS=skip)

# --- make run ---
ends 'make run' 0 '20 of 20 rows passed' "${make[@]}" run IMAGE="$dir/image.ext4" IMAGE_MIB=16
sed 's/^/# /' "$dir/out"
is 'the image is of that size' test "$(stat -c %s "$dir/image.ext4")" = $((16 << 20))
is 'it says what it makes' grep -q "^image: making $dir/image.ext4 of 16 MiB" "$dir/out"
is 'it says what it built' grep -qE '^build: ok, .* \([0-9]+ s\)$' "$dir/out"
before=$(stat -c '%i %Y' "$dir/image.ext4")
is 'the same image is not made again' tools/image.sh "$dir/image.ext4" 16
is 'and is the one that was there' test "$before" = "$(stat -c '%i %Y' "$dir/image.ext4")"
is 'another size is made' tools/image.sh "$dir/image.ext4" 8
is 'and is of that size' test "$(stat -c %s "$dir/image.ext4")" = $((8 << 20))
head -c 100000 /dev/urandom >"$dir/mine"
cp "$dir/mine" "$dir/mine.copy"
ends 'a file of somebody is carried as it is' 0 '20 of 20 rows passed' "${make[@]}" run IMAGE="$dir/mine" IMAGE_MIB=16
is 'and stays what it was' cmp "$dir/mine" "$dir/mine.copy"

# --- refusals, each before anything is installed or built ---
for bad in abc 0 -1 7 1.5 96M 1000000; do
	ends "IMAGE_MIB='$bad'" 2 "IMAGE_MIB='$bad' is no size; use a number of MiB" "${make[@]}" run IMAGE="$dir/new" "IMAGE_MIB=$bad"
done
mkfifo "$dir/fifo"
ends 'IMAGE is a directory' 2 "IMAGE='$dir' is a directory" "${make[@]}" run IMAGE="$dir"
ends 'IMAGE is a pipe' 2 'is neither a file nor a block device' "${make[@]}" run IMAGE="$dir/fifo"
ends 'IMAGE is a device' 2 'is neither a file nor a block device' "${make[@]}" run IMAGE=/dev/null
is 'the device is still there' test -c /dev/null
ends 'IMAGE in a folder that is not there' 2 "there is no folder $dir/none" "${make[@]}" run IMAGE="$dir/none/image"
ends 'a variant that is not there' 2 "no variant 'pdp11'; there are: gcc clang " "${make[@]}" check ONLY='lint pdp11'
ends 'a machine that is not there' 2 "no machine 'pdp11'; there are: amd64-strict " "${make[@]}" check-kernel ONLY=pdp11

# --- make help ---
"${make[@]}" help >"$dir/help" 2>&1
verdict 'make help' $? "$(cat "$dir/help")"
read -ra targets < <(sed -n 's/^\.PHONY: //p' Makefile)
for target in "${targets[@]}"; do
	[ "$target" = all ] && continue
	is "help has one line for $target" test "$(grep -cE "^make $target  " "$dir/help")" = 1
done
for v in $(tools/check.sh --names); do
	is "help has one line for $v" test "$(grep -cE "^  $v  +[^ ]" "$dir/help")" = 1
done
is 'help names the machines' grep -qE '^  amd64-strict .*686-pae' "$dir/help"
is 'no line is longer than 110' test -z "$(grep -E '.{111}' "$dir/help")"

# --- progress of a build ---
# shellcheck disable=SC1091 # the file that is tried
. tools/progress.sh
steps() {
	printf '%s\n' "ninja: Entering directory \`x'" '[1/40] Compiling C object a.c.o' '[10/40] Compiling C object b.c.o' \
		'a warning' '[40/40] Linking target c'
}
progress_seconds=0
steps | progress_ninja build "$dir/ninja.log" >"$dir/out"
is 'a build says how far it is' test "$(sed 's/, [0-9]* s$//' "$dir/out" | tr '\n' ';')" = \
	'build: 2%, 1 of 40 steps;build: 25%, 10 of 40 steps;build: 100%, 40 of 40 steps;'
is 'and all that it printed is in its log' cmp <(steps) "$dir/ninja.log"
progress_seconds=1000
is 'a short build says nothing' test -z "$(steps | progress_ninja build "$dir/ninja.log")"
is 'a failed build fails' bash -c "set -o pipefail; . tools/progress.sh; ! false | progress_ninja build '$dir/ninja.log'"
is 'on a terminal it is one line that is written over' python3 - "$dir" <<'PY'
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
script = f". tools/progress.sh; printf '[1/2] a\\n[2/2] b\\n' | progress_ninja build {sys.argv[1]}/ninja.log"
subprocess.run(['bash', '-c', script], stdout=theirs, check=True)
text = os.read(ours, 1000).decode()
assert text.startswith('\r\x1b[Kbuild: 50%, 1 of 2 steps') and text.endswith('\r\x1b[K') and '\n' not in text, repr(text)
PY

# --- progress of a test program ---
# It writes its second line when the first report of it is there: no matter how long that takes.
# shellcheck disable=SC2016
slow='echo "ok 1 - first"; until grep -q "slow .* 1 passed so far" "$0"; do sleep 0.1; done; echo "ok 2 - second"; echo 1..2'
# shellcheck disable=SC2094 # that is how the program sees its own report
TAP_LOGS=$dir/tap TAP_TOTALS=$dir/tap.totals TAP_SECONDS=1 tools/tap.sh slow 300 bash -c "$slow" "$dir/tap.out" >"$dir/tap.out" 2>&1
verdict 'a slow test program has lines before its end' $? "$(cat "$dir/tap.out")"
is 'and one at its end' grep -qE '^  slow +2 passed +0 failed' "$dir/tap.out"

# --- packages ---
# An apt-get and a dpkg-query of our own: nothing is installed at first, everything afterwards.
mkdir -p "$dir/bin"
cat >"$dir/bin/apt-get" <<'SH'
#!/bin/sh
echo "$*" >>"$FAKE/calls"
case " $* " in
*' install '*)
	echo 'Reading package lists...'
	printf 'dlstatus:%d:%d.5:Retrieving file\n' 1 10 2 90
	printf 'pmstatus:gcc:%d.3:Installing gcc\n' 20 80
	[ -z "${FAKE_FAILS:-}" ] || { echo 'E: no such package'; exit 100; }
	touch "$FAKE/done"
	;;
esac
SH
cat >"$dir/bin/dpkg-query" <<'SH'
#!/bin/sh
[ -e "$FAKE/done" ] || exit 1
shift 2
for p; do
	case $p in *:*) echo "${p%:*} ${p#*:} installed" ;; *) echo "$p all installed" ;; esac
done
SH
printf '#!/bin/sh\nexec "$@"\n' >"$dir/bin/sudo"
chmod 755 "$dir/bin"/*
# deps WORD... - tools/deps.sh on that machine
deps() {
	env -u SOFTHCA_DEPS FAKE="$dir" PATH="$dir/bin:$PATH" PROGRESS_SECONDS=0 tools/deps.sh "$@"
}
FAKE_FAILS=1 ends 'packages that cannot be installed' 1 'E: no such package' deps run
is 'are named' grep -q '^deps: apt-get could not install: .*e2fsprogs' "$dir/out"
ends 'packages that are missing are installed' 0 'deps: make run needs 13 packages that are not installed: gcc ' deps run
is 'it says how far it is' test "$(grep -oE '(downloading|installing): [0-9]+%' "$dir/out" | tr '\n' ' ')" = \
	'downloading: 10% downloading: 90% installing: 20% installing: 80% '
is 'without what apt-get says otherwise' bash -c "! grep -qE 'Reading package|status:' '$dir/out'"
: >"$dir/calls"
is 'nothing is said when all is there' test -z "$(deps check 2>&1)"
is 'and apt-get is not called' test ! -s "$dir/calls"

# names SET [VARIANT...] - a line each
names() {
	SOFTHCA_DEPS=list tools/deps.sh "$@" | sort
}
names check >"$dir/all"
for v in $(tools/check.sh --names); do
	names check "$v" >"$dir/packages.$v"
	is "the packages of $v are some of the check's" test -s "$dir/all" -a -z "$(comm -23 "$dir/packages.$v" "$dir/all")"
done
sort -u "$dir"/packages.* >"$dir/union"
is 'all packages of the check are those of its variants' cmp "$dir/all" "$dir/union"
ends 'a variant without packages is an error' 1 "no packages are known for the variant 'pdp11'" deps check pdp11
# not_in VARIANT PACKAGE... - what it doesn't need
not_in() {
	is "$1 does not need $2" test -z "$(grep -xE "${2// /|}" "$dir/packages.$1")"
}
not_in lint 'qemu-system-x86 nbdkit fio perftest spin gcc-multilib'
not_in run 'qemu-system-x86 nbdkit fio clang spin sparse libcmocka-dev'
not_in install 'qemu-system-x86 fio clang spin sparse libcmocka-dev'
not_in fuzz 'qemu-system-x86 nbdkit fio spin sparse libcmocka-dev'
not_in kernel 'nbdkit fio clang spin libcmocka-dev gcc-multilib'
not_in gcc 'clang cppcheck gcc-multilib'
not_in asan 'qemu-system-x86 cppcheck gcc-multilib spin'

# --- warnings are errors in the check alone ---
is 'a warning does not fail what make builds' test "$(meson introspect --buildoptions build/obj |
	python3 -c 'import json, sys; print(*(o["value"] for o in json.load(sys.stdin) if o["name"] == "werror"))')" = False

# --- docs/building.md has the check's own options ---
# opts_of VARIANT - the options that the page gives for a build in build/VARIANT
opts_of() {
	sed -n '/^CC=clang meson setup build\/'"$1"' /,/[^\\]$/p' docs/building.md | grep -oE -- "'-D[^']*'|-D[^ ]+" | tr -d "'" | sort
}
# sets VARIANT - those that the check gives to meson
sets() {
	(
		. tools/variants.sh
		CHECK=$dir/variants
		mkdir -p "$CHECK"
		# shellcheck disable=SC2317 # build_variant calls it
		meson() {
			printf '%s\n' "$@" | grep '^-D' | sort >"$CHECK/options"
			return 1
		}
		# shellcheck disable=SC2317
		build_failed() { :; }
		build_variant "$1"
		cat "$CHECK/options"
	)
}
for v in asan tsan; do
	is "the page has the options of $v" cmp <(opts_of $v) <(sets $v | grep -v '^-Dwerror=')
	is "which are some" test "$(opts_of $v | wc -l)" -ge 4
done

for v in gcc clang joined classic asan tsan m32 fuzz; do
	is "a warning fails $v" grep -qx -- -Dwerror=true <(sets $v)
done

# A variant of the check, with a meson and a ninja of our own.
out=$(
	. tools/variants.sh
	CHECK=$dir/variants progress_seconds=0
	# shellcheck disable=SC2317 # build_variant calls them
	meson() { :; }
	# shellcheck disable=SC2317
	ninja() { steps; }
	build_variant gcc
)
verdict 'a build of the check says so, too' $? "$out"
is 'with its percentage' grep -qE '^  gcc/build: 25%, 10 of 40 steps, ' <<<"$out"
is 'and what it took' grep -qE '^  gcc/build +[0-9]+ s$' <<<"$out"

echo "1..$number"
exit $((failures > 0))
