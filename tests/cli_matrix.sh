#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/cli_matrix.sh PROGRAM - the softhca command from outside, as TAP: what it
# prints, what it refuses and how, and what it ends with.
set -u

softhca=$1
dir=$(mktemp -d)
trap 'chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
export TMPDIR=$dir LC_ALL=C
unset SOFTHCA_LEDGER
PATH=$PATH:/usr/sbin:/sbin
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

# ends NAME STATUS WORDS COMMAND... - it ends with that status and says those words, on standard error where it isn't 0
ends() {
	local name=$1 status=$2 words=$3 got
	shift 3
	"$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	if [ "$status" -eq 0 ]; then
		[ "$got" -eq 0 ] && grep -qF -- "$words" "$dir/out"
	else
		[ "$got" -eq "$status" ] && grep -qF -- "$words" "$dir/err"
	fi
	verdict "$name" $? "status $got; $(tail -n 20 "$dir/out" "$dir/err")"
}

# is NAME COMMAND... - the command succeeds
is() {
	local name=$1 out
	shift
	out=$("$@" 2>&1)
	verdict "$name" $? "$out"
}

# as_nobody COMMAND... - as a user who is refused things; root isn't
as_nobody() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		"$@"
	fi
}

# --- the command and its help ---
ends 'no command' 2 'a command is missing' "$softhca"
ends '--help' 0 'matrix' "$softhca" --help
ends 'help' 0 'matrix' "$softhca" help
ends 'help matrix' 0 '--machines LIST' "$softhca" help matrix
ends 'matrix --help' 0 '--machines LIST' "$softhca" matrix --help
is 'both are one text' cmp <("$softhca" help matrix) <("$softhca" matrix --help)
ends 'help help' 0 'usage: softhca help [COMMAND]' "$softhca" help help
ends 'help of --help' 0 'usage: softhca help [COMMAND]' "$softhca" help --help
is 'the list of commands has help, and what it does' grep -qE '^  help +print the help of a command' <("$softhca" --help)
ends '--version' 0 'softhca ' "$softhca" --version
ends 'a command that there is not' 2 "no command 'matrx'" "$softhca" matrx
ends 'help for a command that there is not' 2 "no command 'matrx'" "$softhca" help matrx
ends 'an option that there is not' 2 "no option '--verbose'" "$softhca" --verbose
ends 'a full disk behind standard output' 1 "can't be written" bash -c "'$softhca' --help >/dev/full"

# --- wrong options ---
head -c 300000 /dev/urandom >"$dir/random"
matrix=("$softhca" matrix)
ends 'no image' 2 '--image FILE is needed' "${matrix[@]}"
ends 'an option that matrix does not have' 2 "no option '--imag'" "${matrix[@]}" --imag x
ends 'a word too many' 2 "'x'" "${matrix[@]}" --image "$dir/random" x
ends 'an option without its argument' 2 '--image needs its argument FILE' "${matrix[@]}" --image
ends 'an argument too many' 2 '--json takes no argument' "${matrix[@]}" --image "$dir/random" --json=1
for bad in '' dmahca dmahca-rdma 'dmahca-dmahca,' 'dmahca-dmahca,,ipath-ipath' 'DMAHCA-DMAHCA' 'dmahca-dmahca ipath-ipath' dmahca-soft; do
	ends "--pairs '$bad'" 2 'use one or more of dmahca-dmahca, dmahca-ipath, ipath-dmahca, ipath-ipath, separated' "${matrix[@]}" --image "$dir/random" --pairs "$bad"
done
for bad in '' iommu 'direct,x' 'direct;bounce'; do
	ends "--machines '$bad'" 2 'direct, iommu-strict, iommu-lazy, bounce, highmem' "${matrix[@]}" --image "$dir/random" \
		--machines "$bad"
done
for bad in '' 0 0K -1 +1 x 1T 1KB 1.5M ' 1' 0x10 99999999999999999999 9223372036854775808 9999999999G; do
	ends "--size '$bad'" 2 'number of bytes' "${matrix[@]}" --image "$dir/random" --size "$bad"
done
for bad in '' -1 x 1K 0x 18446744073709551616; do
	ends "--memory '$bad'" 2 'is no kind of key' "${matrix[@]}" --image "$dir/random" --memory "$bad"
	ends "--seed '$bad'" 2 'is no number' "${matrix[@]}" --image "$dir/random" --seed "$bad"
done

# --- wrong files ---
: >"$dir/empty"
mkfifo "$dir/fifo"
python3 -c "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])" "$dir/socket"
cp "$dir/random" "$dir/secret"
chmod 0 "$dir/secret"
ends 'a file that there is not' 1 'No such file' "${matrix[@]}" --image "$dir/none"
ends 'an empty file' 1 'is empty' "${matrix[@]}" --image "$dir/empty"
ends 'a directory' 1 'is a directory; give a file or a block device' "${matrix[@]}" --image "$dir"
ends 'a pipe' 1 'fifo is a pipe; give a file or a block device' "${matrix[@]}" --image "$dir/fifo"
ends 'a character device that has bytes' 1 '/dev/zero is a character device; give a file or a block device' "${matrix[@]}" --image /dev/zero
ends 'a socket' 1 'socket is a socket; give a file or a block device' "${matrix[@]}" --image "$dir/socket"
ends 'a device that is no disk' 1 'is a character device' "${matrix[@]}" --image /dev/null
chmod 755 "$dir"
if as_nobody test -x "$softhca" 2>/dev/null && ! as_nobody test -r "$dir/secret" 2>/dev/null; then
	ends 'an unreadable file' 1 'Permission denied' as_nobody "${matrix[@]}" --image "$dir/secret"
else
	number=$((number + 1))
	echo "ok $number - an unreadable file # SKIP nobody to be refused"
fi

# --- rows ---
ends 'all of it' 0 '20 of 20 rows passed' "${matrix[@]}" --image "$dir/random"
is 'a row for each pair and machine' test "$(grep -cE '^(dmahca|ipath) .* 300000 .* 0 +0  pass$' "$dir/out")" = 20
is 'the first line says what is carried' test "$(head -n 1 "$dir/out")" = \
	"$dir/random: 300000 bytes, written to the target's disk and read back in each row; --seed 1"
is 'the second says what the adapters are' grep -q '^dmahca does DMA, ipath copies with the CPU; ' "$dir/out"
is 'the verdict is the last line' test "$(tail -n 1 "$dir/out")" = '20 of 20 rows passed'
is 'nothing on standard error' test ! -s "$dir/err"
for kind in fmr all; do
	ends "all of it, --memory $kind" 0 '20 of 20 rows passed' "${matrix[@]}" --image "$dir/random" --memory $kind --seed 3
done
for m in direct iommu-strict iommu-lazy bounce highmem; do
	for p in dmahca-dmahca dmahca-ipath ipath-dmahca ipath-ipath; do
		ends "$p on $m" 0 '1 of 1 rows passed' "${matrix[@]}" --image "$dir/random" --pairs $p --machines=$m --seed 2
	done
done
for size in 1 511 512 513 4095 4097 65537; do
	ends "$size bytes" 0 '4 of 4 rows passed' "${matrix[@]}" --image "$dir/random" --size $size \
		--machines highmem,iommu-strict --pairs ipath-ipath,dmahca-dmahca --seed $size
done
ends 'older names of the adapters' 0 '4 of 4 rows passed' "${matrix[@]}" --image "$dir/random" --size 4K --machines direct \
	--pairs dma-dma,dma-soft,soft-dma,soft-soft
is 'their rows have the names of today' test "$(awk '$NF == "pass" { printf "%s-%s ", $1, $2 }' "$dir/out")" = \
	'dmahca-dmahca dmahca-ipath ipath-dmahca ipath-ipath '
ends '--size beyond the end is all of it' 0 ' 300000 ' "${matrix[@]}" --image "$dir/random" --size 1G --pairs dmahca-dmahca \
	--machines direct
ends '--size 64K' 0 ' 65536 ' "${matrix[@]}" --image "$dir/random" --size 64K --pairs dmahca-dmahca --machines direct
ends 'more than the target holds' 0 '5 of 5 rows passed' "${matrix[@]}" --image <(:) --image "$softhca" --pairs dmahca-ipath
ends 'a sparse file of 5 MiB and a bit' 0 '2 of 2 rows passed' bash -c "truncate -s 5242881 '$dir/sparse' &&
	'$softhca' matrix --image '$dir/sparse' --pairs ipath-dmahca --machines bounce,iommu-lazy"

# --- JSON ---
"${matrix[@]}" --image "$dir/random" --json --size 100000 >"$dir/json" 2>"$dir/err"
verdict '--json ends with 0' $? "$(cat "$dir/err")"
is 'it is JSON' python3 -m json.tool "$dir/json"
is 'with the fields that it should have, and the right digest' python3 - "$dir/json" "$dir/random" <<'PY'
import hashlib, itertools, json, sys
rows = json.load(open(sys.argv[1]))
digest = hashlib.sha256(open(sys.argv[2], 'rb').read(100000)).hexdigest()
machines = ['direct', 'iommu-strict', 'iommu-lazy', 'bounce', 'highmem']
want = list(itertools.product(['dmahca', 'ipath'], ['dmahca', 'ipath'], machines))
assert [(r['initiator'], r['target'], r['machine']) for r in rows] == want, rows
for r in rows:
    assert list(r) == ['initiator', 'target', 'machine', 'bytes', 'seconds', 'mappings', 'faults', 'leaks',
                       'sha256_in', 'sha256_out', 'verdict'], r
    assert r['bytes'] == 100000 and r['seconds'] > 0 and r['mappings'] >= 4 and r['faults'] == r['leaks'] == 0, r
    assert r['sha256_in'] == r['sha256_out'] == digest and r['verdict'] == 'pass', r
PY
is 'nothing on standard error' test ! -s "$dir/err"

# --- rows that fail ---
ends 'without a ledger nothing passes' 1 'unset SOFTHCA_LEDGER' env SOFTHCA_LEDGER=0 "${matrix[@]}" --image "$dir/random" \
	--machines direct
is 'and the table says so' test "$(tail -n 1 "$dir/out")" = '0 of 4 rows passed'
SOFTHCA_LEDGER=0 "${matrix[@]}" --image "$dir/random" --machines direct --json >"$dir/json" 2>/dev/null
verdict 'a failed --json ends with 1' $(($? != 1))
is 'it is JSON all the same, and says fail' python3 -c "
import json, sys
rows = json.load(open('$dir/json'))
assert len(rows) == 4 and all(r['verdict'] == 'fail' and r['sha256_out'] == '' for r in rows), rows"

# --- file systems ---
if command -v mke2fs >/dev/null && command -v e2fsck >/dev/null; then
	truncate -s 2M "$dir/ext"
	mke2fs -q -F -t ext4 "$dir/ext"
	some=(--pairs dmahca-ipath --machines "iommu-strict,highmem")
	ends 'an ext4 image' 0 '2 of 2 rows passed' "${matrix[@]}" --image "$dir/ext" "${some[@]}"
	is 'without a note' test ! -s "$dir/err"
	mkdir "$dir/bin"
	# Says that all is well of the image itself, and not of what came back: that file has no name any more.
	cat >"$dir/bin/e2fsck" <<'SH'
#!/bin/sh
case $(readlink "$2") in *deleted*) exit 4 ;; esac
exit 0
SH
	chmod 755 "$dir/bin/e2fsck"
	ends 'e2fsck finds errors in what came back' 1 'e2fsck -fn says 4 of what came back, 0 of the image' \
		env PATH="$dir/bin:$PATH" "${matrix[@]}" --image "$dir/ext" "${some[@]}"
	is 'which fails every row' test "$(tail -n 1 "$dir/out")" = '0 of 2 rows passed'
	printf '\377\377\377\377' | dd of="$dir/ext" bs=1 seek=1036 conv=notrunc status=none
	ends 'an ext4 image with errors comes back with them' 0 '2 of 2 rows passed' "${matrix[@]}" --image "$dir/ext" "${some[@]}"
	is 'with a note' grep -q 'note: e2fsck -fn says [1-9]' "$dir/err"
	ends 'no room for what comes back' 1 'no temporary file' env TMPDIR=/nonexistent "${matrix[@]}" --image "$dir/ext" \
		--pairs dmahca-dmahca --machines direct
	ends 'part of a file system is not checked' 0 '2 of 2 rows passed' env PATH="$dir/bin:$PATH" "${matrix[@]}" \
		--image "$dir/ext" --size 1M "${some[@]}"
else
	number=$((number + 1))
	echo "ok $number - file systems # SKIP no e2fsprogs"
fi
# --- the scratch file ---
files() {
	find "$dir" -maxdepth 1 -name 'softhca-*'
}
head -c 33554432 /dev/zero >"$dir/large"
# open_scratch PID - it has its scratch file open: one in this folder that has no name
# shellcheck disable=SC2317 # called by is
open_scratch() {
	local i
	for ((i = 0; i < 600; i++)); do
		[ -z "$(find "/proc/$1/fd" \( -lname "$dir/#*" -o -lname "$dir/softhca-*" \) 2>/dev/null)" ] || return 0
		sleep 0.05
	done
	return 1
}
for signal in INT TERM HUP KILL; do
	# In a session of its own, as a background job of a script ignores SIGINT.
	setsid env --default-signal=INT "$softhca" matrix --image "$dir/large" >"$dir/out" 2>"$dir/err" </dev/null &
	run=$!
	is "a run that gets SIG$signal has a scratch file" open_scratch $run
	kill -s $signal $run
	wait $run 2>/dev/null
	is 'and leaves no file behind' test -z "$(files)"
done
truncate -s 96M "$dir/larger" # than a machine's memory, which is a file, too
# shellcheck disable=SC2016
ends 'a limit of file sizes' 1 'set TMPDIR to a folder that has' bash -c 'ulimit -f 81920; exec "$@"' - "${matrix[@]}" \
	--image "$dir/larger" --pairs dmahca-dmahca --machines direct
if unshare -rm true 2>/dev/null; then
	mkdir "$dir/full"
	# shellcheck disable=SC2016
	ends 'a full TMPDIR' 1 "$dir/full has no room for a file of 33554432 bytes (No space left on device); set TMPDIR" \
		unshare -rm bash -c 'mount -t tmpfs -o size=4M none "$1" && TMPDIR=$1 && shift && export TMPDIR && exec "$@"' - \
		"$dir/full" "${matrix[@]}" --image "$dir/large" --pairs dmahca-dmahca --machines direct
else
	number=$((number + 1))
	echo "ok $number - a full TMPDIR # SKIP no namespace of mounts"
fi
is 'no file is left behind' test "$(find "$dir" -maxdepth 1 -name 'softhca-*' | wc -l)" = 0

echo "1..$number"
exit $((failures > 0))
