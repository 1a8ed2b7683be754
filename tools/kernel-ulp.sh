#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # verdict, devices and LINKS are in tools/kernel-init.sh, which reads this file
#
# The kernel's own upper layers over softhca_ib.ko, in the machine that tools/kernel-boot.sh boots: unmodified modules,
# programs and file systems of Debian's packages. /modules and /tools are what tools/kernel-fetch.sh got.

MIB=8 # of each disk

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

gid_of() {
	cat /sys/class/infiniband/softhca0/ports/1/gids/* 2>/dev/null
}

has_gid() {
	gid_of | grep -q "$1"
}

has_no_gid() {
	if has_gid "$1"; then return 1; else return 0; fi
}

# A device of the platform's and a folder of debugfs.
one_is_left() {
	[ "$(devices)" = 2 ]
}

# --- links ---

links() {
	ip link add d0 type dummy && ip addr add 10.9.0.1/24 dev d0 && ip link set d0 up
	verdict $? 'a network device to put an adapter on'
	rdma link add softhca0 type softhca netdev d0
	verdict $? 'rdma link add'
	rdma link show | grep -q 'link softhca0/1 state ACTIVE physical_state LINK_UP netdev d0'
	verdict $? 'rdma link show'
	until_true has_gid 'ffff:0a09:0001'
	verdict $? 'the address of the network device is a GID'
	ip addr add 10.9.0.2/24 dev d0 && until_true has_gid 'ffff:0a09:0002' && ip addr del 10.9.0.2/24 dev d0 &&
		until_true has_no_gid 'ffff:0a09:0002'
	verdict $? 'GIDs come and go with addresses'
	[ "$(cat /sys/class/infiniband/softhca0/ports/1/rate)" = '100 Gb/sec (4X EDR)' ] &&
		[ "$(cat /sys/class/infiniband/softhca0/ports/1/link_layer)" = Ethernet ] &&
		grep -q 'RoCE v2' /sys/class/infiniband/softhca0/ports/1/gid_attrs/types/0
	verdict $? 'the port is one of RoCE v2'
	refused rdma link add softhca1 type softhca netdev d0
	verdict $? 'a second adapter on one network device is refused'
	refused rdma link add softhca1 type softhca netdev nothere
	verdict $? 'an adapter on no network device is refused'
	refused rdma link add 'a/b' type softhca netdev lo
	verdict $? 'a bad name is refused'
	refused rdma link add softhca0 type softhca netdev lo
	verdict $? 'a name that there is is refused'
	ip link set d0 down && rdma link show | grep -q 'link softhca0/1 state DOWN'
	verdict $? 'the port goes down with the network device'
	ip link set d0 up && rdma link add softhca1 type softhca netdev lo && [ "$(rdma_devices)" = 2 ] &&
		rdma link delete softhca1 && [ "$(rdma_devices)" = 1 ]
	verdict $? 'a second adapter comes and goes'
	ip link add d1 type dummy && ip link set d1 up && rdma link add softhca1 type softhca netdev d1 &&
		ip link del d1 && until_true is_gone /sys/class/infiniband/softhca1
	verdict $? 'an adapter goes with its network device'
	until_true one_is_left
	verdict $? 'and its device with it'
	other_netdevs
	n=0
	while [ $n -lt "$LINKS" ] && rdma link add softhca1 type softhca netdev lo && rdma link delete softhca1; do
		n=$((n + 1))
	done
	[ $n = "$LINKS" ] && [ "$(rdma_devices)" = 1 ] && one_is_left
	verdict $? "an adapter comes and goes $n times"
}

other_netdevs() {
	ip link add v0 type veth peer name v1 && ip link add br0 type bridge && rdma link add softhca1 type softhca netdev v0 &&
		rdma link add softhca2 type softhca netdev v1 && rdma link add softhca3 type softhca netdev br0 &&
		[ "$(rdma_devices)" = 4 ]
	verdict $? 'adapters on veth devices and on a bridge'
	mkdir -p /run && ip netns add other && ip link set v1 netns other && until_true is_gone /sys/class/infiniband/softhca2
	verdict $? 'an adapter goes with a network device that moves to another network namespace'
	ip netns exec other rdma link add softhca2 type softhca netdev v1 && [ "$(rdma_devices)" = 4 ]
	verdict $? 'and is added in that one'
	ip link del v0 && ip link del br0 && until_true one_is_left
	verdict $? 'they go with their network devices'
	ip netns del other
}

# The verbs as a ULP has them, by a module that knows ib_core alone.
verbs() {
	echo 8 >/proc/sys/kernel/printk
	echo '    # Subtest: verbs'
	insmod /softhca_ib_test.ko && rmmod softhca_ib_test
	status=$?
	echo 5 >/proc/sys/kernel/printk
	verdict $status 'verbs: tests load and unload'
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
	cat /tmp/misuses
	verdict $status "ledger: $1 breaks no rule"
}

# A ULP that breaks each rule once, on an adapter of its own time.
faulty() {
	rdma link add softhca0 type softhca netdev d0 && insmod /softhca_ib_test.ko faulty=1 && rmmod softhca_ib_test
	misuses >/tmp/misuses
	[ "$(cat /tmp/misuses)" = 'double-unmap 1
unmap-unknown 1
unmap-size 1
unmap-direction 1
use-after-unmap 1
sync-outside 1
sync-direction 1' ]
	status=$?
	[ $status = 0 ] || cat /tmp/misuses
	verdict $status 'ledger: each mistake of a ULP is reported once'
	dmesg | grep -q 'double-unmap: 256 at .* by ib_dma_unmap_single\|double-unmap: 256 at .* by .*\[softhca_ib_test\]' &&
		dmesg | grep -q 'mapped: 256 at .* by .*\[softhca_ib_test\].*, unmapped by .*\[softhca_ib_test\]'
	verdict $? 'ledger: with the places that mapped and unmapped'
	rdma link delete softhca0
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
	dd if="$1" bs="${2:-1M}" iflag=direct 2>/tmp/dd | md5sum | cut -d' ' -f1
}

# carries NAME DISK BACKEND - what a disk over the adapter must do
carries() {
	pattern /tmp/pattern 4711
	want=$(md5sum </tmp/pattern | cut -d' ' -f1)
	dd if=/tmp/pattern of="$2" bs=1M conv=fsync 2>/tmp/dd && [ "$(digest "$2")" = "$want" ] && [ "$(digest "$3")" = "$want" ]
	verdict $? "$1: what was written is read at both ends, in blocks of 1 MiB"
	pattern /tmp/pattern 815
	want=$(md5sum </tmp/pattern | cut -d' ' -f1)
	dd if=/tmp/pattern of="$2" bs=4k oflag=direct 2>/tmp/dd && [ "$(digest "$2" 64k)" = "$want" ] &&
		[ "$(digest "$3")" = "$want" ]
	verdict $? "$1: the same with direct I/O, of 4 KiB and 64 KiB"
	rm -f /tmp/pattern
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

# --- NVMe ---

CONFIG=/sys/kernel/config
NQN=nqn.2026-01.org.softhca:disk

nvme_target() {
	subsystem=$CONFIG/nvmet/subsystems/$NQN port=$CONFIG/nvmet/ports/1
	mkdir "$subsystem" && echo 1 >"$subsystem/attr_allow_any_host" && mkdir "$subsystem/namespaces/1" &&
		echo "$1" >"$subsystem/namespaces/1/device_path" && echo 1 >"$subsystem/namespaces/1/enable" &&
		mkdir "$port" && echo rdma >"$port/addr_trtype" && echo ipv4 >"$port/addr_adrfam" &&
		echo 10.9.0.1 >"$port/addr_traddr" && echo 4420 >"$port/addr_trsvcid" && ln -s "$subsystem" "$port/subsystems/$NQN"
}

nvme_target_end() {
	rm "$port/subsystems/$NQN" && echo 0 >"$subsystem/namespaces/1/enable" && rmdir "$subsystem/namespaces/1" "$subsystem" "$port"
}

nvme_connect() {
	echo "nqn=$NQN,transport=rdma,traddr=10.9.0.1,trsvcid=4420,hostnqn=nqn.2026-01.org.softhca:host,hostid=5f7a9c1e-0000-4000-8000-736f66746863,nr_io_queues=4" \
		>/dev/nvme-fabrics || return 1
	until_true [ -b /dev/nvme0n1 ]
}

nvme_disconnect() {
	for c in /sys/class/nvme/nvme*; do
		[ ! -e "$c/delete_controller" ] || echo 1 >"$c/delete_controller"
	done
	until_true is_gone /dev/nvme0n1
}

# The adapter goes while the disk is read and written: what was under way fails, and nothing else does.
nvme_loses_adapter() {
	while dd if=/dev/nvme0n1 of=/dev/null bs=4k iflag=direct; do :; done 2>/tmp/dd1 &
	reader=$!
	dd if=/bin/busybox of=/dev/nvme0n1 bs=4k oflag=direct 2>/tmp/dd2 &
	writer=$!
	until_true reads_some
	rdma link delete softhca0 || return 1
	wait $reader $writer
	until_true is_gone /dev/nvme0n1
}

# A port of the target whose adapter went listens no more before it was disabled and enabled.
nvme_adapter_is_back() {
	rdma link add softhca0 type softhca netdev d0 && until_true has_gid 'ffff:0a09:0001' && rm "$port/subsystems/$NQN" &&
		ln -s "$subsystem" "$port/subsystems/$NQN" && nvme_connect
}

# The path to the disk counts, the disk that stands for all paths doesn't.
reads_done() {
	cat /sys/block/nvme0c*n1/stat | awk '{ print $1 }'
}

reads_some() {
	[ "$(reads_done)" -gt "$reads" ]
}

nvme() {
	load nvmet_rdma && load nvme_rdma
	verdict $? 'nvme: modules load'
	nvme_target /dev/ram0
	verdict $? 'nvme: a target'
	nvme_connect
	verdict $? 'nvme: a host connects'
	[ -b /dev/nvme0n1 ] || return
	carries nvme /dev/nvme0n1 /dev/ram0
	nvme_disconnect && nvme_connect && [ "$(digest /dev/nvme0n1)" = "$(digest /dev/ram0)" ]
	verdict $? 'nvme: disconnects and connects again'
	silent nvme
	reads=$(($(reads_done) + 100))
	nvme_loses_adapter
	verdict $? 'nvme: the adapter is deleted under load'
	nvme_adapter_is_back && [ "$(digest /dev/nvme0n1)" = "$(digest /dev/ram0)" ]
	verdict $? 'nvme: a new one in its place serves the same disk'
	rmmod softhca_ib && until_true is_gone /dev/nvme0n1 && [ "$(rdma_devices)" = 0 ]
	verdict $? 'nvme: the module is unloaded under a connection'
	insmod /softhca_ib.ko ledger=1 && nvme_adapter_is_back
	verdict $? 'nvme: and serves when it is back'
	nvme_disconnect && nvme_target_end
	verdict $? 'nvme: host and target end'
	unload nvme_rdma nvmet_rdma
	verdict $? 'nvme: modules unload'
}

# --- SRP ---

SRP_PORT=5555

# srp_target BACKEND - a disk of LIO's, and the port that leads to it
srp_target() {
	disk=$CONFIG/target/core/iblock_0/disk
	# A port of that name knows initiators by their IP address, one that is named by its whole GID does not.
	port=$CONFIG/target/srpt/$(cut -d: -f5-8 /sys/class/infiniband/softhca0/ports/1/gids/0)
	tpg=$port/tpg acl=$port/tpg/acls/10.9.0.1
	mkdir -p "$disk" && echo "udev_path=$1" >"$disk/control" && echo 1 >"$disk/enable" &&
		mkdir -p "$CONFIG/target/srpt" && echo $SRP_PORT >"$CONFIG/target/srpt/discovery_auth/rdma_cm_port" &&
		mkdir "$port" && mkdir "$tpg" && mkdir "$tpg/lun/lun_0" &&
		ln -s "$disk" "$tpg/lun/lun_0/disk" && mkdir "$acl" && mkdir "$acl/lun_0" &&
		ln -s "$tpg/lun/lun_0" "$acl/lun_0/disk" && echo 1 >"$tpg/enable"
}

srp_target_end() {
	echo 0 >"$tpg/enable"
	rm "$acl/lun_0/disk" "$tpg/lun/lun_0/disk" && rmdir "$acl/lun_0" "$acl" "$tpg/lun/lun_0" "$tpg" "$port" "$CONFIG/target/srpt" "$disk" \
		"$CONFIG/target/core/iblock_0"
}

srp_connect() {
	guid=$(sed 's/^0x//' /sys/module/ib_srpt/parameters/srpt_service_guid)
	echo "id_ext=$guid,ioc_guid=$guid,dest=10.9.0.1:$SRP_PORT" 2>/dev/null \
		>/sys/class/infiniband_srp/srp-softhca0-1/add_target || return 1
	until_true [ -b /dev/sda ]
}

srp_disconnect() {
	for c in /sys/class/srp_remote_ports/port-*; do
		[ ! -e "$c/delete" ] || echo 1 >"$c/delete"
	done
	until_true is_gone /dev/sda
}

srp() {
	load sd_mod && load target_core_iblock && load ib_srpt && load ib_srp
	verdict $? 'srp: modules load'
	srp_target /dev/ram1
	verdict $? 'srp: a target'
	srp_connect
	verdict $? 'srp: an initiator logs in'
	[ -b /dev/sda ] || return
	carries srp /dev/sda /dev/ram1
	# A worker logs out, and there is no second login to a target before it has ended.
	srp_disconnect && until_true srp_connect && [ "$(digest /dev/sda)" = "$(digest /dev/ram1)" ]
	verdict $? 'srp: logs out and in again'
	srp_disconnect && srp_target_end
	verdict $? 'srp: initiator and target end'
	silent srp
	unload ib_srp ib_srpt
	verdict $? 'srp: modules unload'
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
	insmod /softhca.ko && load rdma_cm && insmod /softhca_ib.ko ledger=1
	verdict $? 'softhca_ib: loads'
	load dummy && load veth && load bridge && load brd rd_nr=2 rd_size=$((MIB * 1024)) && load crc32c_generic && load crct10dif_generic && load ext4
	verdict $? 'disks and file systems load'
}

ulps() {
	ulps_load
	links
	verbs
	nvme
	srp
	rdma link delete softhca0
	verdict $? 'rdma link delete'
	if dmesg | grep -q ': leak: '; then false; else true; fi
	verdict $? 'ledger: nothing that was mapped is left'
	faulty
	unload softhca_ib softhca
	verdict $? 'softhca_ib: unloads'
	ip link del d0
}
