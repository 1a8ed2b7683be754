#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # verdict, devices and LINKS are in tools/kernel-init.sh, which reads this file
#
# The kernel's own upper layers over softhca_ib.ko, in the machine that tools/kernel-boot.sh boots: unmodified modules,
# programs and file systems of Debian's packages. /modules and /tools are what tools/kernel-fetch.sh got.

MIB=8    # of each disk
LEDGER=1 # of each adapter
CONFIG=/sys/kernel/config

for f in /ulps/*.sh; do
	# shellcheck disable=SC1090 # each of them is checked by itself
	. "$f"
done

# The shell would take its own.
ip() {
	/tools/bin/ip "$@"
}

# load NAME [PARAMETER...] - insert a module, and first those that it needs. Return: it is there, or in the kernel's image.
load() {
	grep -q "^$1 " /proc/modules && return 0
	[ -f "/modules/$1.ko" ] || return 0
	# shellcheck disable=SC2013 # words
	for needed in $(sed -n "s/^$1: //p" /modules/deps); do
		load "$needed" || return 1
	done
	name=$1
	shift
	insmod "/modules/$name.ko" "$@"
}

# unload NAME... - remove modules that nothing uses any more: what was asked for last ends a moment after it is gone
unload() {
	for module in "$@"; do
		n=0
		while ! rmmod "$module" 2>/tmp/rmmod; do
			n=$((n + 1))
			if [ $n -gt 200 ]; then
				cat /tmp/rmmod
				return 1
			fi
			usleep 50000
		done
	done
}

# until_true COMMAND... - wait until a command succeeds. Return: it did, sooner or later.
until_true() {
	n=0
	while ! "$@"; do
		n=$((n + 1))
		[ $n -lt 1200 ] || return 1
		usleep 50000
	done
}

# refused COMMAND... - a command that must fail
refused() {
	if "$@" >/tmp/refused 2>&1; then return 1; else return 0; fi
}

is_gone() {
	[ ! -e "$1" ]
}

rdma_devices() {
	find /sys/class/infiniband -mindepth 1 -maxdepth 1 | wc -l
}

# has_gid PATTERN [ADAPTER]
has_gid() {
	cat "/sys/class/infiniband/${2:-softhca0}"/ports/1/gids/* 2>/dev/null | grep -q "$1"
}

has_no_gid() {
	if has_gid "$1"; then return 1; else return 0; fi
}

# A device of the platform's and a folder of debugfs for each.
one_is_left() {
	[ "$(devices)" = 2 ]
}

# --- the ledger ---

ledger_file() {
	echo /sys/kernel/debug/softhca/*/ledger
}

# What was broken since the adapter came, a rule and how often on each line.
misuses() {
	awk '/-|^leak/ && $2' "$(ledger_file)"
}

# silent NAME - so far every upper layer kept to the rules of mapping
silent() {
	grep -q '^on$' "$(ledger_file)" && misuses >/tmp/misuses && [ ! -s /tmp/misuses ]
	status=$?
	[ $status = 0 ] || {
		cat /tmp/misuses
		dmesg | grep 'softhca.*: \( \|[a-z-]*: \)' | tail -n 6
	}
	verdict $status "ledger: $1 breaks no rule"
}

# silent_but NAME MODULE RULE - an upper layer broke that one rule, and each time in that module
silent_but() {
	grep -q '^on$' "$(ledger_file)" && misuses >/tmp/misuses && dmesg | grep "softhca.*: $3: " >/tmp/sites &&
		[ "$(cut -d' ' -f1 /tmp/misuses)" = "$3" ] && if grep -v "\[$2\]" /tmp/sites; then false; else true; fi
	status=$?
	cat /tmp/misuses
	verdict $status "ledger: $1 breaks one rule, $3, in $2"
}

# has_connections N - so many RC queue pairs of the adapters are ready to send
has_connections() {
	[ "$(rdma resource show qp | grep -c 'type RC state RTS')" -ge "$1" ]
}

# --- disks ---

# pattern FILE SEED - a file of a disk's size, of bytes that don't repeat
pattern() {
	awk -v seed="$2" -v lines=$((MIB * 16384)) 'BEGIN {
		x = seed
		for (i = 0; i < lines; i++) {
			x = (x * 16807) % 2147483647
			printf "%010d %015d %s%026d\n", x, i, "softhca...", (x * 3) % 99999989
		}
	}' >"$1"
}

# digest FILE [BLOCK] - of what is on a disk, whatever the machine remembers of it
digest() {
	direct=
	[ ! -b "$1" ] || direct=iflag=direct
	# shellcheck disable=SC2086 # a word or none
	dd if="$1" bs="${2:-1M}" $direct 2>/tmp/dd | md5sum | cut -d' ' -f1
}

# have_pattern SEED - one that is made once: /tmp/SEED, and its digest in want
have_pattern() {
	[ -f "/tmp/$1" ] || pattern "/tmp/$1" "$1"
	want=$(digest "/tmp/$1")
}

# carries NAME DISK BACKEND - what a disk over the adapter must do
carries() {
	have_pattern 4711
	dd if=/tmp/4711 of="$2" bs=1M conv=fsync 2>/tmp/dd && [ "$(digest "$2")" = "$want" ] && [ "$(digest "$3")" = "$want" ]
	verdict $? "$1: what was written is read at both ends, in blocks of 1 MiB"
	have_pattern 815
	dd if=/tmp/815 of="$2" bs=4k oflag=direct 2>/tmp/dd && [ "$(digest "$2" 64k)" = "$want" ] &&
		[ "$(digest "$3")" = "$want" ]
	verdict $? "$1: the same with direct I/O, of 4 KiB and 64 KiB"
	filesystem "$2"
	verdict $? "$1: a file system, its files and its check"
}

FILES='/bin/busybox /modules/deps /modules/nvme_core.ko /modules/rdma_cm.ko'

# have_files DIRECTORY - are the files there, byte by byte?
have_files() {
	for f in $FILES; do
		cmp "$f" "$1/${f##*/}" || return 1
	done
}

# shellcheck disable=SC2086 # a list of names
filesystem() {
	mkfs.ext4 -q -F "$1" && mount -t ext4 "$1" /mnt && cp $FILES /mnt && umount /mnt && e2fsck -f -n "$1" >/tmp/fsck 2>&1 &&
		mount -t ext4 "$1" /mnt && have_files /mnt
	status=$?
	umount /mnt
	return $status
}

# has_luns - the disks of a target's two units are there, with their sizes: lun0 and lun1. The kernel names them in any order.
has_luns() {
	lun0='' lun1=''
	for d in /sys/block/sd?; do
		[ "$(cat "$d/size" 2>/dev/null)" != 0 ] || continue
		case $(readlink -f "$d/device") in
		*:0) lun0=/dev/${d##*/} ;;
		*:1) lun1=/dev/${d##*/} ;;
		esac
	done
	[ -b "$lun0" ] && [ -b "$lun1" ]
}

has_no_lun() {
	for d in /dev/sd?; do
		is_gone "$d" || return 1
	done
}

# --- disks under load ---

# is_loaded ULP - is it to be on this machine?
is_loaded() {
	case " $LOADS " in
	*" $1 "*) return 0 ;;
	*) return 1 ;;
	esac
}

# compared OPTION... - fio writes what it is told, with a number and a CRC in each block, and reads it again. Return: all was as it was
# written
compared() {
	fio --output=/tmp/fio --thread --ioengine=libaio --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randrepeat=0 "$@" \
		>/tmp/fio.err 2>&1
}

# on_each OPTIONS DISK... - a job of fio's for each of them, all at a time, after those that are named before
on_each() {
	options="$1 --stonewall"
	shift
	for d in "$@"; do
		echo "--name=${d##*/} --filename=$d $options"
		options=${options% --stonewall}
	done
}

# requests DISK - that it has ended. Of NVMe's, the path to a disk counts, the disk that stands for all paths doesn't.
requests() {
	case $1 in
	*nvme*) cat /sys/class/block/nvme?c*"n${1##*n}/stat" ;;
	*) cat "/sys/class/block/${1##*/}/stat" ;;
	esac 2>/dev/null | awk '{ print $1 + $5 }'
}

has_done() {
	done=$(requests "$1")
	[ "${done:-0}" -gt "$2" ]
}

# goes_on DISK - it ends requests
goes_on() {
	until_true has_done "$1" $(($(requests "$1") + 200))
}

# takes_large NAME DISK - what is asked for in one MiB goes to the other end in one request
takes_large() {
	at_first=$(requests "$2")
	dd if="$2" of=/dev/null bs=1M count=4 iflag=direct 2>/tmp/dd
	[ $(($(requests "$2") - at_first)) = 4 ]
	verdict $? "$1: requests of 1 MiB are carried as they are"
}

# carries_load NAME DISK... - large requests, the page cache, and many requests at a time
carries_load() {
	name=$1
	shift
	# shellcheck disable=SC2046 # words
	compared --size=2m $(on_each '--direct=1 --rw=write --bs=1m --iodepth=8' "$@") $(on_each '--rw=randwrite --bs=16k' "$@") \
		$(on_each '--direct=1 --rw=randwrite --bs=4k --iodepth=128' "$@")
	status=$?
	[ $status = 0 ] || tail -n 20 /tmp/fio /tmp/fio.err
	verdict $status "$name: fio compares blocks of 1 MiB, of 16 KiB through the page cache, and 128 of 4 KiB at a time"
}

# load_begin DISK... - until the end, blocks are written, read and compared, 32 at a time on each
load_begin() {
	# shellcheck disable=SC2046 # words
	set -- "$1" $(on_each '--direct=1 --rw=randwrite --bs=4k --iodepth=32' "$@")
	rm -f /tmp/enough
	(
		shift
		until [ -e /tmp/enough ]; do
			compared --size=2m "$@" || exit 1
		done
	) &
	loader=$!
	goes_on "$1"
}

# load_end - Return: all was as it was written, and nothing failed
load_end() {
	: >/tmp/enough
	wait "$loader" && return
	tail -n 20 /tmp/fio /tmp/fio.err
	return 1
}

# load_fails - an error came, sooner or later, and nothing waits for ever
load_fails() {
	if wait "$loader"; then return 1; else return 0; fi
}

# are_whole DISK... - each block that a load may have written is a whole one, whichever of those that were written there
are_whole() {
	# shellcheck disable=SC2046 # words
	compared --size=2m $(on_each '--direct=1 --rw=read --bs=4k --iodepth=32' "$@") && return
	tail -n 20 /tmp/fio /tmp/fio.err
	return 1
}

# --- to be looked at ---

# shown COMMAND... - show a command, do it, and end the machine if it fails
shown() {
	echo "# $*"
	"$@" || {
		verdict 1 "$*"
		echo 'softhca-init: end'
		poweroff -f
	}
}

# The quick start of docs/kernel.md, for tools/kernel-try.sh.
ulps_try() {
	echo 'softhca-init: try'
	ulps_load
	shown ip link add eth0 type dummy
	shown ip addr add 10.9.0.1/24 dev eth0
	shown ip link set eth0 up
	shown rdma link add softhca0 type softhca netdev eth0
	shown rdma link show
	load nvmet_rdma && load nvme_rdma
	echo "# a target for /dev/ram0: see docs/kernel.md"
	nvme_target /dev/ram0
	echo "# a host: nvme connect -t rdma -a 10.9.0.1 -s 4420 -n $NQN"
	nvme_connect
	shown mkfs.ext4 -q -F /dev/nvme0n1
	shown mount -t ext4 /dev/nvme0n1 /mnt
	# shellcheck disable=SC2086 # a list of names
	shown cp $FILES /mnt
	shown df -h /mnt
	shown have_files /mnt
	shown rdma resource show
	shown umount /mnt
	shown e2fsck -f -n /dev/nvme0n1
	nvme_disconnect && nvme_target_end
	shown rdma link delete softhca0
	verdict 0 'tried'
}

# --- all ---

ulps_load() {
	PATH=/tools/bin:$PATH
	# Warnings alone: ib_srpt has a line for each request that was flushed.
	echo 5 >/proc/sys/kernel/printk
	mkdir -p /mnt
	load configfs && mount -t configfs none "$CONFIG"
	insmod /softhca.ko && load rdma_cm && insmod /softhca_ib.ko ledger=$LEDGER
	verdict $? 'softhca_ib: loads'
	load dummy && load veth && load bridge && load brd rd_nr=2 rd_size=$((MIB * 1024)) && load crc32c_generic && load crct10dif_generic && load ext4
	verdict $? 'disks and file systems load'
}

# The adapter of all that follows.
adapter() {
	ip link add d0 type dummy && ip addr add 10.9.0.1/24 dev d0 && ip link set d0 up
	verdict $? 'a network device to put an adapter on'
	rdma link add softhca0 type softhca netdev d0
	verdict $? 'rdma link add'
	until_true has_gid 'ffff:0a09:0001'
	verdict $? 'the address of the network device is a GID'
}

# Another in its place, whose ledger is empty.
new_adapter() {
	rdma link delete softhca0 && until_true is_gone /sys/class/infiniband/softhca0 && rdma link add softhca0 type softhca netdev d0 &&
		until_true has_gid 'ffff:0a09:0001'
	verdict $? 'another adapter'
}

ulps() {
	ulps_load
	adapter
	for ulp in $ULP; do
		$ulp
	done
	rdma link delete softhca0
	verdict $? 'rdma link delete'
	if dmesg | grep -q ': leak: '; then false; else true; fi
	verdict $? 'ledger: nothing that was mapped is left'
	faulty
	unload softhca_ib softhca
	verdict $? 'softhca_ib: unloads'
	ip link del d0
}
