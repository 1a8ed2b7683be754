#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# ib_srp and ib_srpt.

SRP_PORT=5555

# srp_disk BACKEND - a disk of LIO's, and where its initiators ask
srp_disk() {
	disk=$CONFIG/target/core/iblock_0/disk
	mkdir -p "$disk" && echo "udev_path=$1" >"$disk/control" && echo 1 >"$disk/enable" &&
		mkdir -p "$CONFIG/target/srpt" && echo $SRP_PORT >"$CONFIG/target/srpt/discovery_auth/rdma_cm_port"
}

# srp_file - another disk of LIO's, in a file, as the second of that port
srp_file() {
	file=$CONFIG/target/core/fileio_0/disk
	dd if=/dev/zero of=/srp bs=1M count=4 2>/tmp/dd && mkdir -p "$file" && echo "fd_dev_name=/srp,fd_dev_size=$((4 << 20))" >"$file/control" &&
		echo 1 >"$file/enable" && mkdir "$tpg/lun/lun_1" && ln -s "$file" "$tpg/lun/lun_1/disk" && mkdir "$acl/lun_1" &&
		ln -s "$tpg/lun/lun_1" "$acl/lun_1/disk"
}

# srp_port ADAPTER ADDRESS - the adapter's port, which leads to that disk
srp_port() {
	# A port of that name knows initiators by their IP address, one that is named by its whole GID does not.
	port=$CONFIG/target/srpt/$(cut -d: -f5-8 "/sys/class/infiniband/$1/ports/1/gids/0")
	tpg=$port/tpg acl=$port/tpg/acls/$2
	mkdir "$port" && mkdir "$tpg" && mkdir "$tpg/lun/lun_0" && ln -s "$disk" "$tpg/lun/lun_0/disk" &&
		mkdir "$acl" && mkdir "$acl/lun_0" && ln -s "$tpg/lun/lun_0" "$acl/lun_0/disk" && echo 1 >"$tpg/enable"
}

srp_target() {
	srp_disk "$1" && srp_port softhca0 10.9.0.1 && srp_file
}

srp_target_end() {
	echo 0 >"$tpg/enable"
	rm "$acl"/lun_?/disk "$tpg"/lun/lun_?/disk && rmdir "$acl"/lun_? "$acl" "$tpg"/lun/lun_? "$tpg" "$port" "$CONFIG/target/srpt" "$disk" \
		"$file" "$CONFIG/target/core/iblock_0" "$CONFIG/target/core/fileio_0" && rm /srp
}

# srp_login ADAPTER ADDRESS [OPTION...]
srp_login() {
	guid=$(sed 's/^0x//' /sys/module/ib_srpt/parameters/srpt_service_guid)
	echo "id_ext=$guid,ioc_guid=$guid,dest=$2:$SRP_PORT${3:+,$3}" 2>/dev/null \
		>"/sys/class/infiniband_srp/srp-$1-1/add_target"
}

srp_connect() {
	srp_login softhca0 10.9.0.1 max_sect=2048,sg_tablesize=256 || return 1
	until_true has_luns
}

srp_disconnect() {
	for c in /sys/class/srp_remote_ports/port-*; do
		[ ! -e "$c/delete" ] || echo 1 >"$c/delete"
	done
	until_true has_no_lun
}

srp_state_is() {
	[ "$(cat /sys/class/srp_remote_ports/port-*/state)" = "$1" ]
}

# The target takes nobody any more, until the initiator has seen it.
srp_target_goes_and_comes() {
	echo 0 >"$tpg/enable" && until_true srp_state_is blocked && echo 1 >"$tpg/enable" && until_true srp_state_is running &&
		goes_on "$lun0" && goes_on "$lun1"
}

srp_under_load() {
	# LIO passes on what the disk in memory takes in one request, 127 KiB.
	takes_large srp "$lun1"
	carries_load srp "$lun0" "$lun1"
	load_begin "$lun0" "$lun1" && srp_target_goes_and_comes && load_end
	verdict $? 'srp: the target is disabled under load and comes back, and no block is lost'
	[ "$(digest "$lun0")" = "$(digest /dev/ram1)" ] && [ "$(digest "$lun1")" = "$(digest /srp)" ]
	verdict $? 'srp: both ends have the same'
	load_begin "$lun0" "$lun1" && srp_disconnect && load_fails
	verdict $? 'srp: logs out under load, which fails'
	until_true srp_connect && are_whole "$lun0" "$lun1"
	verdict $? 'srp: logs in again, and each block is a whole one'
}

srp() {
	load sd_mod && load target_core_iblock && load target_core_file && load ib_srpt && load ib_srp reconnect_delay=1
	verdict $? 'srp: modules load'
	srp_target /dev/ram1
	verdict $? 'srp: a target, of a disk in memory and of a file'
	srp_connect
	verdict $? 'srp: an initiator logs in'
	[ -b "$lun1" ] || return
	carries srp "$lun0" /dev/ram1
	# A worker logs out, and there is no second login to a target before it has ended.
	srp_disconnect && until_true srp_connect && [ "$(digest "$lun0")" = "$(digest /dev/ram1)" ]
	verdict $? 'srp: logs out and in again'
	! is_loaded srp || srp_under_load
	srp_disconnect && srp_target_end
	verdict $? 'srp: initiator and target end'
	silent srp
	unload ib_srp ib_srpt
	verdict $? 'srp: modules unload'
}
