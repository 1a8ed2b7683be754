#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/cli_nbd.sh PROGRAM - the nbdkit plugin that was built beside the softhca
# command, under the tools that it is for, as TAP: nbdinfo, nbdcopy, qemu-img, fio,
# a file system check; bad files, full ones and vanishing ones; a server that is killed.
set -u

plugin=$(dirname "$1")/nbdkit-softhca-plugin.so
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$dir"' EXIT
export TMPDIR=$dir LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
number=0 failures=0

# A sanitizer's runtime can't be brought into nbdkit by a plugin, nor 32-bit code: what is under it is tested with them elsewhere.
if nm "$plugin" 2>/dev/null | grep -qE ' (__asan_init|__tsan_init)$' || ! readelf -h "$1" | grep -q ELF64; then
	echo 'ok 1 - the plugin is for an nbdkit of its own kind'
	echo 1..1
	exit 0
fi

verdict() {
	number=$((number + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		tail -n 20 "$dir/out" "$dir/err" 2>/dev/null | awk '{ print "# " $0 }'
		failures=$((failures + 1))
	fi
}

# does NAME COMMAND... - it ends with status 0
does() {
	local name=$1
	shift
	"$@" >"$dir/out" 2>"$dir/err" </dev/null
	verdict "$name" $?
}

# quiet NAME - the command before wrote nothing to its standard error
quiet() {
	[ ! -s "$dir/err" ]
	verdict "$1" $?
}

# refuses NAME WORDS COMMAND... - it fails, and says those words
refuses() {
	local name=$1 words=$2
	shift 2
	! "$@" >"$dir/out" 2>"$dir/err" </dev/null && grep -qF -- "$words" "$dir/err"
	verdict "$name" $?
}

# on PARAMETERS COMMAND - run the shell command with $uri set
on() {
	# shellcheck disable=SC2086 # a list of parameters
	timeout 60 nbdkit -U - "$plugin" $1 --run "$2"
}

# --- what it is ---
does 'nbdkit loads it' nbdkit "$plugin" --dump-plugin
does 'and shows what it takes' nbdkit "$plugin" --help
truncate -s 16M "$dir/disk"
head -c 16777216 /dev/urandom >"$dir/random"
# shellcheck disable=SC2016 # $uri is nbdkit's
does 'nbdinfo' on "file=$dir/disk" 'nbdinfo "$uri"'
offered=$(grep -cE 'can_(multi_conn|fua|trim|zero|flush): true' "$dir/out")
! grep -q 'keeps no ledger' "$dir/err"
verdict 'nobody asks for a ledger that there is not' $?
does 'several connections, flush, FUA, trim and zero are offered' test "$offered" = 5

# --- nbdcopy both ways ---
# shellcheck disable=SC2016
both='nbdcopy "$1" "$uri" && nbdcopy "$uri" "$2" && cmp "$1" "$2"'
copy() {
	on "file=$dir/disk ledger=true $1" "set -- $dir/random $dir/back; $both"
}
for m in direct iommu-strict iommu-lazy bounce highmem; do
	for k in all fastreg fmr; do
		does "nbdcopy both ways, $m, $k" copy "machine=$m memory=$k initiator=dmahca target=ipath"
		quiet 'nothing was left'
	done
done
for i in dmahca ipath; do
	for t in dmahca ipath; do
		does "nbdcopy both ways, $i to $t" copy "initiator=$i target=$t machine=iommu-strict"
	done
done
does 'older names of the adapters' copy 'initiator=dma target=soft machine=iommu-strict'
does 'blocks of 4,096 bytes' copy 'blocksize=4096'
does 'one channel for all' copy 'channels=1'
does 'the file has it' cmp "$dir/random" "$dir/disk"

# --- pieces that are no whole blocks ---
cp "$dir/random" "$dir/disk"
# shellcheck disable=SC2016
odd='qemu-io -f raw -c "write -P 0x5a 513 700" -c "read -P 0x5a 513 700" -c "write -P 0xa5 1048570 20" \
	-c "read -P 0xa5 1048570 20" -c "write -P 1 16777213 3" "$uri"'
does 'reads and writes of odd pieces' on "file=$dir/disk" "$odd"
expect=$dir/expect
cp "$dir/random" "$expect"
printf '\132%.0s' $(seq 700) | dd of="$expect" bs=1 seek=513 conv=notrunc status=none
printf '\245%.0s' $(seq 20) | dd of="$expect" bs=1 seek=1048570 conv=notrunc status=none
printf '\001%.0s' 1 2 3 | dd of="$expect" bs=1 seek=16777213 conv=notrunc status=none
does 'leave what is around them' cmp "$expect" "$dir/disk"

# One request that is longer than what the platform maps in one piece.
# shellcheck disable=SC2016
long='qemu-io -f raw -c "write -P 0x3c 0 262656" -c "read -P 0x3c 0 262656" -c "write -P 0x3d 5 3000001" \
	-c "read -P 0x3d 5 3000001" "$uri" | tee /dev/stderr | grep -c "failed" | grep -qx 0'
for m in bounce iommu-strict highmem; do
	cp "$dir/random" "$dir/long"
	does "a long request, $m" on "file=$dir/long initiator=dmahca machine=$m" "$long"
done

# --- other tools ---
# shellcheck disable=SC2016
does 'qemu-img compares' on "file=$dir/disk" 'qemu-img compare -f raw -F raw "$uri" '"$expect"
# shellcheck disable=SC2016
does 'qemu-img converts' on "file=$dir/disk" 'qemu-img convert -f raw -O qcow2 "$uri" '"$dir/q && qemu-img compare -f raw -F qcow2 $expect $dir/q"
verify='--rw=randrw --bsrange=512-64k --blockalign=512 --size=8M --iodepth=16 --verify=crc32c --verify_fatal=1 --numjobs=1'
# shellcheck disable=SC2016
does 'fio with verify' on "file=$dir/disk ledger=true machine=iommu-strict initiator=dmahca" \
	"cd $dir && "'fio --name=v --ioengine=nbd --uri="$uri" --fsync=64 '"$verify"
if command -v mkfs.ext4 >/dev/null; then
	truncate -s 16M "$dir/fs"
	mkdir "$dir/tree"
	cp /bin/ls /bin/bash "$dir/tree"
	mkfs.ext4 -q -d "$dir/tree" "$dir/fs"
	truncate -s 0 "$dir/disk"
	truncate -s 16M "$dir/disk"
	# shellcheck disable=SC2016
	does 'a file system goes there and back' on "file=$dir/disk" "set -- $dir/fs $dir/back; $both"
	does 'and is in order' e2fsck -fn "$dir/back"
fi

# --- flush, FUA, trim, zero: what the file sees ---
cp "$dir/random" "$dir/disk"
before=$(stat -c %b "$dir/disk")
# shellcheck disable=SC2016
does 'discard' on "file=$dir/disk" 'qemu-io -f raw -d unmap -c "discard 1M 8M" "$uri"'
after=$(stat -c %b "$dir/disk")
does 'gives the space back' test "$after" -le $((before - 8192))
# shellcheck disable=SC2016
does 'zeros without a hole' on "file=$dir/disk" 'qemu-io -f raw -c "write -z 10M 1M" "$uri"'
does 'read as zeros' cmp -n 1048576 "$dir/disk" /dev/zero -i 10485760:0
if command -v strace >/dev/null; then
	# syncs FLAG - how often the file was synced for eight writes with that flag; qemu-io flushes at its end
	syncs() {
		local i commands=
		for i in 0 1 2 3 4 5 6 7; do
			commands="$commands -c \"write $1 ${i}k 1k\""
		done
		strace -f -e trace=fdatasync,fsync -o "$dir/trace" nbdkit -U - "$plugin" "file=$dir/disk" \
			--run "qemu-io -f raw -t writeback $commands \"\$uri\"" >"$dir/out" 2>"$dir/err" || return 1
		grep -cE 'f(data)?sync\([0-9]' "$dir/trace"
	}
	flushed=$(syncs '')
	does 'a flush reaches the file, and a write alone needs none' test "$flushed" -ge 1 -a "$flushed" -lt 8
	forced=$(syncs -f)
	does 'each write with FUA reaches it' test "$forced" -ge 8
fi

# --- files that don't do ---
refuses 'no file' 'file=FILE is needed' nbdkit -U - "$plugin" --run true
refuses 'a file that there is not' 'No such file' on "file=$dir/none" true
: >"$dir/empty"
refuses 'an empty file' 'empty' on "file=$dir/empty" true
head -c 1000 /dev/urandom >"$dir/short"
refuses 'no multiple of a block' 'multiple' on "file=$dir/short" true
refuses 'a parameter that there is not' 'no parameter' on "file=$dir/disk colour=blue" true
refuses 'a machine that there is not' 'use one of: direct' on "file=$dir/disk machine=toaster" true
refuses 'no time' 'from 1 to' on "file=$dir/disk timeout=0" true
# shellcheck disable=SC2016
does 'a timeout' on "file=$dir/disk timeout=30" 'nbdinfo --size "$uri"'
refuses 'no channels' 'from 1 to' on "file=$dir/disk channels=0" true
# shellcheck disable=SC2016
refuses 'a disk that may not be written' 'ermission denied' on "file=$dir/disk readonly=true" 'qemu-io -f raw -c "write 0 4k" "$uri" >&2'
# shellcheck disable=SC2016
does 'but read' on "file=$dir/disk readonly=true" "nbdcopy \"\$uri\" $dir/back && cmp $dir/back $dir/disk"

# --- a file that gets lost, or may not grow ---
# fails COMMAND... - for qemu-io, which ends with status 0 whatever happens
cat >"$dir/fails" <<'END'
#!/bin/sh
"$@" 2>&1 | tee -a "$0.log" | grep -qE 'failed|error'
END
chmod +x "$dir/fails"
# shellcheck disable=SC2016
does 'a file that is cut short is an error, not the end' on "file=$dir/disk" \
	'truncate -s 1M '"$dir/disk && $dir/fails"' qemu-io -f raw -c "read 2M 64k" "$uri" && nbdinfo --size "$uri"'
truncate -s 400M "$dir/sparse"
full() (
	ulimit -f 307200
	# shellcheck disable=SC2016
	on "file=$dir/sparse" "$dir/fails"' qemu-io -f raw -c "write 350M 64k" "$uri" && qemu-io -f raw -c "write -P 9 250M 64k" -c "read -P 9 250M 64k" "$uri"'
)
does 'a file that may not grow is an error, not the end' full
does 'which says that there is no space' grep -q 'No space left' "$dir/fails.log"
rm -f "$dir/sparse"

# --- the server is killed: what was flushed is there ---
starts=0
start() {
	starts=$((starts + 1))
	nbdkit -U "$dir/sock$starts" -P "$dir/pid$starts" "$plugin" "file=$dir/disk" || return 1
	# The file is there when the server is ready.
	for ((tries = 0; tries < 200; tries++)); do
		[ ! -s "$dir/pid$starts" ] || break
		sleep 0.05
	done
	server=$(cat "$dir/pid$starts")
	uri="nbd+unix:///?socket=$dir/sock$starts"
}
truncate -s 0 "$dir/disk"
truncate -s 16M "$dir/disk"
lost=0 acknowledged=0
for round in 1 2 3 4 5; do
	start || lost=1
	# Numbers, each with a flush behind it; what was acknowledged stands in the log.
	i=0
	while [ $i -lt 16 ]; do
		qemu-io -f raw -c "write -P $((round * 16 + i)) $((i * 65536)) 64k" -c flush "$uri" 2>/dev/null | grep -q 'wrote 65536' &&
			echo "$i $((round * 16 + i))"
		i=$((i + 1))
	done >"$dir/acks" &
	writer=$!
	# In mid-work, however slow the machine is.
	for _ in $(seq 100); do
		[ -s "$dir/acks" ] && break
		sleep 0.1
	done
	kill -9 "$server"
	wait $writer 2>/dev/null
	start || lost=1
	while read -r at value; do
		qemu-io -f raw -c "read -P $value $((at * 65536)) 64k" "$uri" 2>&1 | grep -q 'verification failed' && lost=1
		acknowledged=$((acknowledged + 1))
	done <"$dir/acks"
	kill "$server"
	while kill -0 "$server" 2>/dev/null; do sleep 0.1; done
	server=
done
does 'no flushed write is lost by a kill' test $lost = 0
does 'and there were some' test $acknowledged -gt 0

echo "1..$number"
[ $failures = 0 ]
