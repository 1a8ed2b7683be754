#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/cli_iscsi.sh PROGRAM - the SCSI conformance suite of libiscsi (iscsi-test-cu, Debian's libiscsi-bin) against
# the device server, as TAP: alone, and behind SRP on dmahca adapters with a strict IOMMU; with blocks of 512 and of
# 4,096 bytes, and with a disk that may not be written. Each test is a process of its own. A test that needs what we
# don't have is skipped and counted. A test that fails must stand in explain() below.
set -u

build=$(dirname "$1")/..
front=$build/tests/iscsi_front
# In memory where that can be had: VERIFY flushes, thousands of times.
top=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$top"' EXIT
export LC_ALL=C

# Lines of TAP; their numbers come at the end.
verdict() {
	if [ "$2" -eq 0 ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
	fi
}

skip() {
	echo "ok - $1 # SKIP $2"
}

if ! command -v iscsi-test-cu >/dev/null; then
	echo 'ok 1 - conformance of SCSI # SKIP there is no iscsi-test-cu; it is in the package libiscsi-bin'
	echo 1..1
	exit 0
fi

# explain TEST BLOCK_SIZE - how many of its assertions fail, and why: the test is wrong itself, or needs what we don't have
# without asking first
explain() {
	case $1-$2 in
	SCSI.CompareAndWrite.Simple-* | SCSI.CompareAndWrite.Miscompare-*)
		echo '2 its 256 blocks are 0 in a field of one byte, which SBC-3 5.2 calls no error' ;;
	SCSI.GetLBAStatus.UnmapSingle-512)
		echo '1 it asks about block i + 1 and expects an answer that begins at i + 8; SBC-3 5.6 has it begin where it was asked' ;;
	SCSI.ProutReserve.AccessEA-4096 | SCSI.ProutReserve.AccessWE-4096)
		echo '1 it sends 512 bytes for a block of 4,096, which is half a block' ;;
	SCSI.ProutReserve.Access*-4096)
		echo '2 it sends 512 bytes for a block of 4,096, which is half a block' ;;
	SCSI.Sanitize.Readonly-*)
		echo '1 it sets SWP in the control page, which we do not offer, before it asks whether there is SANITIZE' ;;
	esac
}

# start NAME ARGUMENTS... - the front; sets $url
start() {
	: >"$dir/port"
	"$front" "$@" >"$dir/port" 2>"$dir/front" &
	server=$!
	while [ ! -s "$dir/port" ] && kill -0 "$server" 2>/dev/null; do
		sleep 0.02
	done
	url=iscsi://127.0.0.1:$(cat "$dir/port")/iqn.2026-01.softhca:disk/0
}

# stop NAME - it must end by itself, with nothing left behind and no rule of mapping broken
stop() {
	kill "$server" 2>/dev/null
	wait "$server"
	local status=$?
	server=
	verdict "$1: the target ends with nothing left behind, status $status" $status
	sed 's/^/# /' "$dir/front"
}

# What the suite says is skipped.
skipped() {
	grep -F '[SKIPPED]' "$dir/out" | head -n 1 | sed 's/.*\[SKIPPED\] *//'
}

# one NAME BLOCK_SIZE TEST - one process
one() {
	local urls=("$url") status why
	# Tests of several paths get a second one, to the same unit.
	[ "${3#*.MultipathIO.}" = "$3" ] || urls+=("$url")
	timeout 60 iscsi-test-cu -d -S -f -n -t "$3" "${urls[@]}" >"$dir/out" 2>&1 </dev/null
	status=$?
	if [ $status -eq 0 ]; then
		why=$(skipped)
		if [ -n "$why" ]; then
			skip "$1: $3" "$why"
		else
			verdict "$1: $3" 0
		fi
		return
	fi
	why=$(explain "$3" "$2")
	# The suite's table ends with the assertions: total, run, passed, failed.
	if [ -n "$why" ] && [ "$(awk '$1 == "asserts" { print $5 }' "$dir/out")" = "${why%% *}" ]; then
		verdict "$1: $3 fails: ${why#* }" 0
	else
		verdict "$1: $3, status $status" 1
		tail -n 40 "$dir/out" | grep -v '^ *$' | awk '{ print "# " $0 }'
	fi
}

# families NAME BLOCK_SIZE PATTERN - all tests whose names match
families() {
	local t
	for t in $(iscsi-test-cu --list | grep -E "^($3)[^.]*\.[^.]+$"); do
		one "$1" "$2" "$t"
	done
}

# suite UNIT BLOCK_SIZE PATTERN [readonly] - in a shell of its own
suite() (
	name="$1, $2${4:+, $4}"
	dir=$top/$1$2${4:-} # what the functions above use
	server=
	trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null' EXIT
	mkdir "$dir"
	truncate -s 64M "$dir/disk"
	start "$1" "$dir/disk" "$2" ${4:+"$4"}
	families "$name" "$2" "$3"
	stop "$name"
)

# Sanitized and 32-bit programs are several times slower, and what runs below them is the same code. CLI_ISCSI_SHORT asks for it, too.
reduced() {
	[ -n "${CLI_ISCSI_SHORT:-}" ] || nm "$front" 2>/dev/null | grep -qE ' (__asan_init|__tsan_init)$' || ! readelf -h "$front" | grep -q ELF64
}

all='SCSI\.'
if reduced; then
	echo '# reduced: behind SRP with blocks of 512 bytes alone'
	suite srp 512 "$all|iSCSI\.iSCSIResiduals" >"$top/1"
else
	# Two at a time. Residuals are in another family, but the device server's business.
	{
		suite direct 512 "$all|iSCSI\.iSCSIResiduals"
		suite direct 4096 "$all"
		suite srp 512 "$all|iSCSI\.iSCSIResiduals"
	} >"$top/1" &
	{
		suite srp 4096 "$all|iSCSI\.iSCSIResiduals"
		suite srp 512 'SCSI\.(ReadOnly|Inquiry|Mandatory|Read|ModeSense6|Verify)' readonly
	} >"$top/2"
	wait
fi
cat "$top"/[12] | awk '
	/^(not )?ok - / {
		sub(/ok - /, "ok " ++n " - ")
		failed += /^not/
		skipped += /# SKIP/
		explained += / fails: /
	}
	{ print }
	END {
		printf "# %d ran as they should, %d skipped for want of a feature, %d failures explained, %d not\n",
			n - skipped - explained - failed, skipped, explained, failed
		print "1.." n
		exit failed || !n
	}'
