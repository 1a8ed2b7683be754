#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# ib_iser and ib_isert, with open-iscsi's programs as the initiator.

IQN=iqn.2026-01.org.softhca:disk
PORTAL=10.9.0.1:3260

# iser_target FILE - a disk of LIO's in a file, and a portal that leads to it by RDMA
iser_target() {
	disk=$CONFIG/target/core/fileio_0/disk target=$CONFIG/target/iscsi/$IQN
	tpg=$target/tpgt_1
	portal=$tpg/np/$PORTAL
	mkdir -p "$disk" && echo "fd_dev_name=$1,fd_dev_size=$((MIB << 20))" >"$disk/control" && echo 1 >"$disk/enable" &&
		mkdir -p "$CONFIG/target/iscsi" && mkdir "$target" && mkdir "$tpg" && mkdir "$portal" && echo 1 >"$portal/iser" &&
		mkdir "$tpg/lun/lun_0" && ln -s "$disk" "$tpg/lun/lun_0/disk" && echo 0 >"$tpg/attrib/authentication" &&
		echo 1 >"$tpg/attrib/generate_node_acls" && echo 0 >"$tpg/attrib/demo_mode_write_protect" && echo 1 >"$tpg/enable"
}

# iser_memory DISK - another disk of LIO's, as the second of that target
iser_memory() {
	memory=$CONFIG/target/core/iblock_0/disk
	mkdir -p "$memory" && echo "udev_path=$1" >"$memory/control" && echo 1 >"$memory/enable" && mkdir "$tpg/lun/lun_1" &&
		ln -s "$memory" "$tpg/lun/lun_1/disk"
}

# What a session that ends still holds goes a little later.
iser_target_end() {
	echo 0 >"$tpg/enable"
	rm "$tpg"/lun/lun_?/disk || return 1
	for dir in "$tpg"/lun/lun_? "$portal" "$tpg" "$target" "$CONFIG/target/iscsi" "$disk" "$memory" "${disk%/*}" "${memory%/*}"; do
		until_true rmdir "$dir" 2>/tmp/rmdir && continue
		tail -n 1 /tmp/rmdir
		return 1
	done
}

# The daemon that logs in, and what it knows of the target.
iser_initiator() {
	mkdir -p /etc/iscsi /run/lock/iscsi && echo 'InitiatorName=iqn.2026-01.org.softhca:host' >/etc/iscsi/initiatorname.iscsi &&
		echo 'node.startup = manual' >/etc/iscsi/iscsid.conf && ip link set lo up || return 1
	# It lets itself be told by users whose names it knows. The target must have the parameters of a session before it gets its first
	# command, which it does not wait for: the daemon, which takes a high priority, gets the lowest.
	echo root:x:0:0:root:/:/bin/sh >/etc/passwd
	iscsid -f >/tmp/iscsid 2>&1 &
	iscsid=$!
	until_true iser_daemon_is_ready && renice -n 39 -p $iscsid && iser_node -I iser -o new
}

iser_daemon_is_ready() {
	grep -q ISCSIADM /proc/net/unix && awk '{ exit $19 == 0 }' "/proc/$iscsid/stat"
}

# The daemon loses a signal that comes just before it waits for events.
iser_daemon_ended() {
	kill "$iscsid" 2>/dev/null || return 0
	[ "$(awk '{ print $3 }' "/proc/$iscsid/stat" 2>/dev/null)" = Z ]
}

iser_initiator_end() {
	until_true iser_daemon_ended || return 1
	wait "$iscsid"
	rm -r /etc/iscsi
}

iser_node() {
	iscsiadm -m node -T $IQN -p $PORTAL "$@" >/tmp/iscsiadm 2>&1 && return
	cat /tmp/iscsiadm
	return 1
}

iser_login() {
	iser_node --login && until_true has_luns
}

iser_logout() {
	iser_node --logout && until_true has_no_lun
}

iser_state_is() {
	[ "$(cat /sys/class/iscsi_session/session*/state)" = "$1" ]
}

# The target takes nobody any more, until the initiator has seen it.
iser_target_goes_and_comes() {
	echo 0 >"$tpg/enable" && until_true iser_state_is FAILED && echo 1 >"$tpg/enable" && until_true iser_state_is LOGGED_IN &&
		goes_on "$lun0" && goes_on "$lun1"
}

# A disk that has just come may not have its size yet.
iser_is_whole() {
	[ "$(digest "$lun0")" = "$(digest /iser)" ]
}

iser_under_load() {
	takes_large iser "$lun0"
	carries_load iser "$lun0" "$lun1"
	load_begin "$lun0" "$lun1" && iser_target_goes_and_comes && load_end
	verdict $? 'iser: the target is disabled under load and comes back, and no block is lost'
	[ "$(digest "$lun0")" = "$(digest /iser)" ] && [ "$(digest "$lun1")" = "$(digest /dev/ram1)" ]
	verdict $? 'iser: both ends have the same'
	load_begin "$lun0" "$lun1" && iser_logout && load_fails
	verdict $? 'iser: logs out under load, which fails'
	iser_login && until_true iser_is_whole && are_whole "$lun0" "$lun1"
	verdict $? 'iser: logs in again, and each block is a whole one'
}

iser() {
	load sd_mod && load target_core_file && load target_core_iblock && load ib_isert && load ib_iser max_sectors=2048
	verdict $? 'iser: modules load'
	dd if=/dev/zero of=/iser bs=1M count="$MIB" 2>/tmp/dd && iser_target /iser && iser_memory /dev/ram1
	verdict $? 'iser: a target, of a file and of a disk in memory'
	iser_initiator && iser_login
	verdict $? 'iser: an initiator logs in'
	[ -b "$lun1" ] || {
		cat /tmp/iscsid
		return
	}
	iscsiadm -m session -P 1 | grep -q 'Iface Transport: iser$' && has_connections 2
	verdict $? 'iser: the session is one of RDMA'
	carries iser "$lun0" /iser
	iser_logout && iser_login && until_true iser_is_whole
	verdict $? 'iser: logs out and in again'
	! is_loaded iser || iser_under_load
	iser_logout && iser_initiator_end && iser_target_end && rm /iser
	verdict $? 'iser: initiator and target end'
	unload ib_iser ib_isert
	verdict $? 'iser: modules unload'
	# Headers are synchronised before they are mapped.
	silent_but iser ib_isert sync-outside
	new_adapter
}
