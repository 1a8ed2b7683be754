#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/shim_luck.sh LIBRARY - where the drop-in libibverbs may find itself: loaded and unloaded, beside another copy, under
# handlers of the program, with other rights than its caller, beside other users, without room. As TAP. What needs root, or a
# mount namespace, is skipped without. tests/shim_luck.c is the program that does it; test_shim_luck.c has what needs no such place.
set -u

lib=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
program=$(dirname "$lib")/../tests/shim_luck
self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
export LC_ALL=C
unset SOFTHCA_FABRIC SOFTHCA_LOG SOFTHCA_LINK SOFTHCA_LID SOFTHCA_NO_VM

if readelf -d "$lib" 2>/dev/null | grep -qE 'NEEDED.*lib[a-z]*san' || nm -D "$lib" | grep -qE ' U __(a|t|ub)san_'; then
	echo '1..0 # SKIP a program that is not sanitized does not load a sanitized library'
	exit 0
fi

# In a mount namespace of its own: fabrics that are too small, of each size. What doesn't work says so, and nobody is killed.
if [ "${2:-}" = small ]; then
	dir=$3 worked='' failed=''
	for size in 4k 64k 128k 600k 4m; do
		mount -t tmpfs -o "size=$size,mode=0700" tmpfs "$dir" || exit 77
		export SOFTHCA_FABRIC=$dir
		timeout 60 "$program" open "$lib" >"$dir.out" 2>&1
		status=$?
		case $status in
		0) ;;
		1)
			if ! grep -q 'No space left.*SOFTHCA_FABRIC' "$dir.out"; then
				echo "size $size: it doesn't say what to do: $(cat "$dir.out")"
				exit 1
			fi
			;;
		*)
			echo "size $size: open: status $status"
			exit 1
			;;
		esac
		if [ -n "$(ls -A "$dir")" ]; then
			echo "size $size: left: $(ls -A "$dir")"
			exit 1
		fi
		timeout 60 "$program" traffic "$lib" 16 >"$dir.out" 2>&1
		status=$?
		case $status in
		0) worked=$size ;;
		1) failed=$size ;;
		*)
			echo "size $size: traffic: status $status: $(cat "$dir.out")"
			exit 1
			;;
		esac
		if [ $status = 1 ] && [ -n "$worked" ]; then
			echo "size $size: more room, and less works: $(cat "$dir.out")"
			exit 1
		fi
		umount -l "$dir" || exit 77
	done
	echo "too small: $failed; enough: $worked"
	[ -n "$failed" ] && [ "$worked" = 4m ]
	exit
fi

dir=$(mktemp -d)
children=()
# shellcheck disable=SC2317 # called by the trap
clean_up() {
	for c in "${children[@]}"; do kill "$c" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap clean_up EXIT
chmod 755 "$dir"
mkdir "$dir/lib"
cp "$lib" "$dir/lib/one.so"
cp "$lib" "$dir/lib/other.so"
cp "$program" "$dir/program"
chmod -R go+rX "$dir"
mkdir -m 700 "$dir/fabric"
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

skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# says NAME STATUS WORDS COMMAND... - it ends with that status and says that
says() {
	local name=$1 want=$2 words=$3 out got
	shift 3
	out=$(timeout 120 "$@" 2>&1 </dev/null)
	got=$?
	[ "$got" -eq "$want" ] && grep -qE -- "$words" <<<"$out"
	verdict "$name" $? "status $got: $out"
}

one=("$dir/lib/one.so")
here=(env "SOFTHCA_FABRIC=$dir/fabric")
luck=("${here[@]}" "$dir/program")

# --- in one process ---
says 'loaded and unloaded again and again' 0 '^reloaded$' "${luck[@]}" reload "${one[@]}" 30
says 'unloaded while the device is open' 0 '^left$' "${luck[@]}" leave "${one[@]}"
says 'two copies in one process' 0 '^both$' "${luck[@]}" two "${one[@]}" "$dir/lib/other.so"
says 'a handler that hands on to the one below' 0 '^handled$' "${luck[@]}" faults "${one[@]}"
says 'handlers of two copies' 0 '^handled$' "${luck[@]}" faults "${one[@]}" "$dir/lib/other.so"
says 'the next start' 0 '^opened' "${luck[@]}" open "${one[@]}"
verdict 'nothing is left of all that' "$(find "$dir/fabric" -type f | wc -l)" "$(ls "$dir/fabric")"

# --- variables ---
says 'SOFTHCA_NO_VM=1: the memory of others is left alone' 0 'by 0 files' "${here[@]}" SOFTHCA_NO_VM=1 "$dir/program" traffic "${one[@]}"
says 'SOFTHCA_NO_VM=0: it is used, where the system allows it' 0 'by [1-9].* allows|by 0 .* forbids' "${here[@]}" SOFTHCA_NO_VM=0 \
	"$dir/program" traffic "${one[@]}"
for v in SOFTHCA_NO_VM=2 SOFTHCA_NO_VM= SOFTHCA_LOG=loud SOFTHCA_LOG=warn:everything SOFTHCA_LINK=eth SOFTHCA_LID=0 SOFTHCA_LID=49151; do
	says "$v is named, and there is no device" 1 "softhca: $v: must be " "${here[@]}" "$v" "$dir/program" open "${one[@]}"
done
says 'SOFTHCA_LINK=ib' 0 'link layer ib' "${here[@]}" SOFTHCA_LINK=ib "$dir/program" open "${one[@]}"
# silent NAME COMMAND... - it ends well, and says the one word that it says without a log
silent() {
	local name=$1 out
	shift
	out=$(timeout 120 "$@" 2>&1 </dev/null) && [ "$out" = left ]
	verdict "$name" $? "$out"
}
for level in error warn warning 1; do
	silent "SOFTHCA_LOG=$level: nothing is said of what is left open" "${here[@]}" "SOFTHCA_LOG=$level" "$dir/program" leave "${one[@]}"
done
says 'SOFTHCA_LOG=info: it is' 0 'objects that were not destroyed' "${here[@]}" SOFTHCA_LOG=info "$dir/program" leave "${one[@]}"
silent 'SOFTHCA_LOG=info:qp: nor in another area' "${here[@]}" SOFTHCA_LOG=info:qp "$dir/program" leave "${one[@]}"

# --- the directory ---
mkdir -m 755 "$dir/open"
says 'a directory that others may enter' 1 'closed to other users' env "SOFTHCA_FABRIC=$dir/open" "$dir/program" open "${one[@]}"
ln -s fabric "$dir/link"
says 'a symbolic link' 1 "can't open the directory" env "SOFTHCA_FABRIC=$dir/link" "$dir/program" open "${one[@]}"
: >"$dir/file"
says 'a file' 1 "can't open the directory" env "SOFTHCA_FABRIC=$dir/file" "$dir/program" open "${one[@]}"

# --- other users ---
others='other users can not open what is ours'
planted='a directory that another user has put there'
secure='a program with other rights than its caller: the variables are not looked at'
if [ "$(id -u)" != 0 ]; then
	for t in "$others" "$planted" "$secure"; do skip "$t" 'needs root'; done
else
	us=65534 them=65533
	as() { echo setpriv --reuid="$1" --regid="$1" --clear-groups; }
	install -d -m 700 -o $us -g $us "$dir/ours"
	mkfifo "$dir/in"
	: >"$dir/held"
	$(as $us) env "SOFTHCA_FABRIC=$dir/ours" "$dir/program" hold "${one[@]}" <"$dir/in" >"$dir/held" 2>&1 &
	children+=($!)
	exec 5>"$dir/in"
	until grep -q ready "$dir/held" || ! kill -0 "${children[-1]}" 2>/dev/null; do sleep 0.02; done
	out=$($(as $them) env "SOFTHCA_FABRIC=$dir/ours" "$dir/program" open "${one[@]}" 2>&1)
	out+=$($(as $them) cat "$dir/ours/node.1" 2>&1)
	out+=$(stat -c '%a %n' "$dir/ours" "$dir/ours"/*)
	grep -q ready "$dir/held" && grep -q 'not opened: Permission denied' <<<"$out" && grep -q 'cat: .*Permission denied' <<<"$out" &&
		grep -q '^600 .*node.1$' <<<"$out"
	verdict "$others" $? "$out; $(cat "$dir/held")"
	exec 5>&-
	wait "${children[-1]}"
	install -d -m 777 -o $us -g $us "$dir/planted"
	# shellcheck disable=SC2046 # words of a command
	says "$planted" 1 'must be yours' $(as $them) env "SOFTHCA_FABRIC=$dir/planted" "$dir/program" open "${one[@]}"

	# It belongs to them, and we start it: in a fabric of theirs, with nothing that we ask for.
	cp "$dir/program" "$dir/theirs"
	chown $them:$them "$dir/theirs"
	chmod 6755 "$dir/theirs"
	rights=$($(as $us) "$dir/theirs" 2>&1 >/dev/null; stat -fc %T "$dir" >/dev/null; findmnt -no OPTIONS -T "$dir" 2>/dev/null)
	if grep -q nosuid <<<"$rights"; then
		skip "$secure" 'temporary files have no such rights'
	else
		: >"$dir/secure"
		fresh=$(test -e /dev/shm/softhca-$them || echo yes)
		$(as $us) env "SOFTHCA_FABRIC=$dir/ours" SOFTHCA_LINK=ib SOFTHCA_LOG=debug SOFTHCA_NO_VM=nonsense SOFTHCA_LID=nonsense \
			"$dir/theirs" hold "${one[@]}" <"$dir/in" >"$dir/secure" 2>&1 &
		children+=($!)
		exec 5>"$dir/in"
		until grep -q ready "$dir/secure" || ! kill -0 "${children[-1]}" 2>/dev/null; do sleep 0.02; done
		[ "$(cat "$dir/secure")" = "$(printf 'opened: link layer roce\nready')" ] && [ -z "$(ls -A "$dir/ours")" ] &&
			[ "$(stat -c '%u %a' /dev/shm/softhca-$them)" = "$them 700" ]
		verdict "$secure" $? "$(cat "$dir/secure"); in the callers fabric: $(ls -A "$dir/ours"); $(stat -c '%u %a %n' /dev/shm/softhca-$them)"
		exec 5>&-
		wait "${children[-1]}"
		[ -z "$fresh" ] || rmdir /dev/shm/softhca-$them
	fi
fi

# --- descriptors ---
# Two processes, each with so many: where there are too few for what they want of each other, requests end in errors, and both go on.
pids=()
for ((n = 4; n <= 30; n++)); do
	(
		ulimit -n "$n"
		exec "${here[@]}" timeout 120 "$dir/program" traffic "${one[@]}" 16
	) >/dev/null 2>&1 </dev/null &
	pids+=($!)
done
ends=''
for p in "${pids[@]}"; do
	wait "$p"
	ends+=" $?"
done
# One is a failed call or request; then, from some number on, all works.
grep -qE '^( 1)+( 0)+$' <<<"$ends"
verdict 'two processes without descriptors, from 4 on' $? "ends:$ends"
says 'the next start removes what they left' 0 '^opened' "${luck[@]}" open "${one[@]}"
verdict 'and all of it' "$(find "$dir/fabric" -type f | wc -l)" "$(ls "$dir/fabric")"

# --- no room ---
mkdir -m 700 "$dir/small"
ns=(unshare -m)
[ "$(id -u)" = 0 ] || ns=(unshare -rm)
if "${ns[@]}" true 2>/dev/null; then
	out=$("${ns[@]}" "$self" "$lib" small "$dir/small" 2>&1)
	status=$?
	if [ $status = 77 ]; then
		skip 'fabrics that are too small' 'no mounts here'
	else
		verdict 'fabrics that are too small' $status "$out"
		echo "# $(tail -n 1 <<<"$out")"
	fi
else
	skip 'fabrics that are too small' 'no mount namespaces here'
fi

echo "1..$number"
exit $((failures > 0))
