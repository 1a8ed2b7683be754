#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/cli_run.sh PROGRAM - softhca run and softhca doctor from outside, as TAP: what a program is run with, words and
# refusals, and what the doctor says of a machine with something missing.
set -u

here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
export LC_ALL=C
unset LD_LIBRARY_PATH SOFTHCA_LINK SOFTHCA_DEVICES SOFTHCA_FABRIC SOFTHCA_LOG SOFTHCA_NO_VM
number=0 failures=0

# A command without the libraries, and one beside which they lie: none of the programs here loads them.
mkdir -p "$dir/bare/bin" "$dir/full/bin"
cp "$1" "$dir/bare/bin/softhca"
cp "$1" "$dir/full/bin/softhca"
: >"$dir/full/bin/libibverbs.so.1"
bare=$dir/bare/bin/softhca full=$dir/full/bin/softhca

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
	[ "$got" -eq "$status" ] && { [ -z "$words" ] || grep -qF -- "$words" "$dir/out"; }
	verdict "$name" $? "status $got; $(tail -n 20 "$dir/out")"
}

# --- words and refusals ---
ends '--help of all lists it' 0 'run a verbs program' "$full" --help
ends '--help' 0 '--fabric DIR' "$full" run --help
ends 'no program' 2 'a program is missing' "$full" run
ends 'no program behind the dashes' 2 'a program is missing' "$full" run --
ends 'an option that there is not' 2 "no option '--all'" "$full" run --all -- true
ends 'an option without its argument' 2 '--link needs its argument' "$full" run --link
ends 'without the libraries' 1 "isn't there" "$bare" run -- true

ends 'sockets without their library' 1 "librspreload.so.1 isn't there" "$full" run --sockets -- true

mkdir "$dir/sockets"
cp "$1" "$dir/sockets/softhca"
: >"$dir/sockets/libibverbs.so.1"
: >"$dir/sockets/librspreload.so.1"
LD_PRELOAD='' ends 'sockets' 0 "LD_PRELOAD='$dir/sockets/librspreload.so.1'" "$dir/sockets/softhca" run --sockets --print
ends 'without sockets nothing is preloaded' 1 '' sh -c "'$dir/sockets/softhca' run --print | grep LD_PRELOAD"

# --- the program ---
ends 'a program runs' 0 'hello' "$full" run -- echo hello
ends 'without dashes' 0 'hello' "$full" run echo hello
ends "an option behind the program is the program's" 0 '--link' "$full" run echo --link
ends 'its status is ours' 7 '' "$full" run -- sh -c 'exit 7'
ends 'a program that there is not' 127 "$dir/none: No such file" "$full" run -- "$dir/none"
: >"$dir/plain"
ends 'a file that is no program' 126 "$dir/plain: Permission denied" "$full" run -- "$dir/plain"

# --- what it is run with ---
# shellcheck disable=SC2016 # the program expands them
show='echo "$LD_LIBRARY_PATH|$SOFTHCA_LINK|$SOFTHCA_FABRIC|$SOFTHCA_LOG|$SOFTHCA_NO_VM"'
ends 'the path' 0 "$dir/full/bin||||" "$full" run -- sh -c "$show"
ends 'a path from before stays behind it' 0 "$dir/full/bin:/x:/y|" env LD_LIBRARY_PATH=/x:/y "$full" run -- sh -c "$show"
ends 'all options' 0 "|ib|/f|debug:qp|1" \
	"$full" run --link=ib --fabric /f --log debug:qp --no-vm -- sh -c "$show"
# shellcheck disable=SC2016 # the program expands it
number_of='echo "|$SOFTHCA_DEVICES|"'
ends 'several devices' 0 "|3|" "$full" run --devices 3 -- sh -c "$number_of"
ends 'how many devices is for the library to judge' 0 "|9|" "$full" run --devices=9 -- sh -c "$number_of"
ends 'devices without a number' 2 '--devices needs its argument' "$full" run --devices
ends 'a variable that no option sets stays' 0 '|roce|||' env SOFTHCA_LINK=roce "$full" run -- sh -c "$show"
ends 'an option counts more than a variable' 0 '|ib|' env SOFTHCA_LINK=roce "$full" run --link ib -- sh -c "$show"
(eval "$("$full" run --print --fabric "/a'b c")" && [ "$SOFTHCA_FABRIC" = "/a'b c" ] && [ "$LD_LIBRARY_PATH" = "$dir/full/bin" ])
verdict '--print gives what a shell can take' $?

# --- the doctor ---
ends 'without the libraries' 1 'broken  library' "$bare" doctor
ends 'what to do is said' 1 "mend:  install libibverbs-dev" "$bare" doctor
ends 'a word that it does not know' 2 "can't make anything of" "$bare" doctor all
mkdir -m 755 "$dir/open"
ends 'a directory that others may enter' 1 "$dir/open is no directory of yours" env SOFTHCA_FABRIC="$dir/open" "$bare" doctor
mkdir -m 700 "$dir/mine"
ends "one's own directory" 1 "ok      fabric         $dir/mine" env SOFTHCA_FABRIC="$dir/mine" "$bare" doctor
[ -z "$(ls -A "$dir/mine")" ]
verdict 'nothing is left there' $? "$(ls -A "$dir/mine")"
# shellcheck disable=SC2016 # that shell expands it
ends 'few descriptors' 1 'slow    descriptors' sh -c 'ulimit -n 64; exec "$0" doctor' "$bare"
"$bare" doctor --json | python3 -c 'import json, sys
found = {f["what"]: f for f in json.load(sys.stdin)}
assert found["library"]["verdict"] == "broken" and found["library"]["mend"]
assert all(f["verdict"] in ("ok", "slow", "broken") for f in found.values())
assert {"fabric", "room", "process_vm", "pidfd", "descriptors"} <= set(found)'
verdict '--json' $?
# shellcheck disable=SC2016 # that shell expands them
ends 'its manual names each option of run' 0 '' bash -c '
	"$0" run --help | grep -o -- "--[a-z-]*" | sort -u | while read -r o; do
		sed "s/\\\\//g" "$1" | grep -q -- "Fl ${o#-}" || { echo "$o"; exit 1; }
	done' "$full" "$here/man/softhca-run.1"

echo "1..$number"
[ "$failures" -eq 0 ]
