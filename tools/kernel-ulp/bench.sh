#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2034,SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# What the kernel's upper layers reach over softhca, over rdma_rxe and without a wire, in turns and in one boot, for
# tools/kernel-bench.sh. Each turn is a line: "bench: FIGURE CONTESTANT VALUE", or "bench: FIGURE CONTESTANT - REASON" where
# there is none; bench/bench_kernel.c reads them. Disks are in memory, and all transports of a figure lead to one disk.

TURN_MS=60
TURNS_EACH=5

# --- contestants ---

# none CONTESTANT REASON FIGURE... - these can't be measured
none() {
	who=$1 reason=$2
	shift 2
	for figure in "$@"; do
		echo "bench: $figure $who - $reason"
	done
}

# An adapter of each kind on a network device of its own, both with an address.
bench_adapters() {
	adapter
	ip link add d1 type dummy && ip addr add 10.9.1.1/24 dev d1 && ip link set d1 up && load crc32_generic && load rdma_rxe &&
		rdma link add rxe0 type rxe netdev d1 && until_true has_gid 'ffff:0a09:0101' rxe0
	verdict $? 'bench: an adapter of rdma_rxe'
}

disks() {
	echo /sys/block/sd* /sys/block/nvme[0-9]n1
}

# A disk that has just come may not have its size yet.
disk_is_new() {
	for d in $(disks); do
		case " $before " in
		*" $d "*) ;;
		*)
			DISK=/dev/${d##*/}
			[ -b "$DISK" ] && [ "$(cat "$d/size")" -gt 0 ] && return
			;;
		esac
	done
	return 1
}

# brings_disk COMMAND... - DISK is the one that came of it
brings_disk() {
	before=$(disks)
	"$@" && until_true disk_is_new
}

# --- turns ---

# turn FIGURE UNITS CONTESTANT DISK LOAD... - UNITS: what a thousand requests count for
turn() {
	figure=$1 units=$2 who=$3 file=$4
	shift 4
	if rate=$(/disk "$file" "$@" 2>&1); then
		echo "bench: $figure $who $(awk "BEGIN { printf \"%.3f\", $rate * $units / 1000 }")"
	else
		none "$who" "$rate" "$figure"
	fi
}

# turns FIGURE UNITS "LOAD" CONTESTANT=DISK... - all in turns; the first round isn't counted
turns() {
	figure=$1 units=$2 load=$3 round=0
	shift 3
	while [ $round -le $TURNS_EACH ]; do
		for c in "$@"; do
			# shellcheck disable=SC2086 # words
			if [ $round = 0 ]; then
				/disk "${c#*=}" $load $((TURN_MS / 3)) >/dev/null 2>&1
			else
				turn "$figure" "$units" "${c%%=*}" "${c#*=}" $load $TURN_MS
			fi
		done
		round=$((round + 1))
	done
}

READ_4K='read random 4096 32' READ_64K='read sequential 65536 4' READ_128K='read sequential 131072 4' WRITE_128K='write sequential 131072 4'
# MB in a thousand requests of that size, and a thousand.
MB_64K=65.536 MB_128K=131.072 EACH=1000

# --- NVMe ---

# bench_nvme_of NAME ADDRESS PORT TRANSPORT OPTIONS - a subsystem of that name, its port, and a host
bench_nvme_of() {
	NQN=nqn.2026-01.org.softhca:$1
	nvme_target /dev/ram0 "$2" "$3" "$4" && brings_disk nvme_login "$5"
}

bench_nvme() {
	load nvmet_rdma && load nvme_rdma && bench_nvme_of softhca 10.9.0.1 1 rdma transport=rdma,traddr=10.9.0.1,trsvcid=4420
	verdict $? 'bench: nvme over softhca'
	all=softhca=$DISK
	if bench_nvme_of rxe 10.9.1.1 2 rdma transport=rdma,traddr=10.9.1.1,trsvcid=4420; then
		all="$all rxe=$DISK"
	else
		none rxe 'no connection' nvme-random nvme-write nvme-read
	fi
	if [ ! -f /modules/nvme_loop.ko ]; then
		none nvme-loop 'this kernel has none (CONFIG_NVME_TARGET_LOOP)' nvme-random nvme-write nvme-read
	elif load nvme_loop && bench_nvme_of loop 10.9.0.1 3 loop transport=loop; then
		all="$all nvme-loop=$DISK"
	else
		none nvme-loop 'no connection' nvme-random nvme-write nvme-read
	fi
	# shellcheck disable=SC2086 # words
	{
		turns nvme-random $EACH "$READ_4K" $all disk=/dev/ram0
		turns nvme-write $MB_128K "$WRITE_128K" $all disk=/dev/ram0
		turns nvme-read $MB_128K "$READ_128K" $all disk=/dev/ram0
	}
}

# --- SRP ---

# tcm_loop's port to the disk of the SRP target
loop_port() {
	load tcm_loop || return 1
	wwn=$CONFIG/target/loopback/naa.5001405000000001
	mkdir -p "$wwn/tpgt_1/lun/lun_0" && echo naa.5001405000000002 >"$wwn/tpgt_1/nexus" &&
		ln -s "$disk" "$wwn/tpgt_1/lun/lun_0/disk"
}

bench_srp() {
	load sd_mod && load target_core_iblock && load ib_srpt && load ib_srp && srp_disk /dev/ram1 &&
		srp_port softhca0 10.9.0.1 && brings_disk srp_login softhca0 10.9.0.1
	verdict $? 'bench: srp over softhca'
	all=softhca=$DISK
	if srp_port rxe0 10.9.1.1 && brings_disk srp_login rxe0 10.9.1.1; then
		all="$all rxe=$DISK"
	else
		none rxe 'no login' srp-read srp-write
	fi
	brings_disk loop_port
	verdict $? "bench: LIO's loopback"
	all="$all tcm_loop=$DISK"
	# shellcheck disable=SC2086 # words
	{
		turns srp-write $MB_128K "$WRITE_128K" $all
		turns srp-read $MB_128K "$READ_128K" $all
	}
}

# --- iSER ---

bench_iser() {
	load target_core_file && load ib_isert && load ib_iser && load iscsi_tcp &&
		dd if=/dev/urandom of=/iser bs=1M count="$MIB" 2>/tmp/dd && iser_target /iser && mkdir "$tpg/np/10.9.0.1:3261" &&
		iser_initiator && brings_disk iser_node --login
	verdict $? 'bench: iser over softhca'
	all=softhca=$DISK
	PORTAL=10.9.0.1:3261
	iser_node -I default -o new && brings_disk iser_node --login
	verdict $? 'bench: iSCSI over TCP'
	turns iser-read $MB_64K "$READ_64K" "$all" "tcp=$DISK"
}

# --- what modules measure ---

bench_connect() {
	dmesg -c >/dev/null
	insmod /softhca_ib_bench.ko ours=10.9.0.1 other=10.9.1.1
	verdict $? 'bench: connections and softirqs'
	dmesg -c | sed -n 's/^.*bench: \(connect\|softirq\) /bench: \1 /p'
}

bench_lists() {
	dmesg -c >/dev/null
	insmod /softhca_test.ko iommu="$IOMMU" suites=timing
	verdict $? 'bench: lists of pages'
	dmesg -c | sed -n 's/^.*timing: map_unmap_list_of_32\.\([a-z_]*\) *\([0-9.]*\) ns.*/bench: map-list \1 \2/p'
}

# --- all ---

ulps_bench() {
	MIB=32 LEDGER=0
	ulps_load
	bench_adapters
	# Memory that was never written costs a disk in memory nothing to read.
	for d in /dev/ram0 /dev/ram1; do
		dd if=/dev/urandom of=$d bs=1M count=$MIB oflag=direct 2>/tmp/dd
	done
	bench_lists
	bench_connect
	bench_nvme
	bench_srp
	bench_iser
	# Nothing of all this is to be kept: the machine ends with its disks in use.
	echo 'softhca-init: end'
	sleep 1
	echo 1 >/proc/sys/kernel/sysrq
	echo b >/proc/sysrq-trigger
}
