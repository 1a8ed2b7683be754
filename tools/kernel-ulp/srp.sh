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

# srp_port ADAPTER ADDRESS - the adapter's port, which leads to that disk
srp_port() {
	# A port of that name knows initiators by their IP address, one that is named by its whole GID does not.
	port=$CONFIG/target/srpt/$(cut -d: -f5-8 "/sys/class/infiniband/$1/ports/1/gids/0")
	tpg=$port/tpg acl=$port/tpg/acls/$2
	mkdir "$port" && mkdir "$tpg" && mkdir "$tpg/lun/lun_0" && ln -s "$disk" "$tpg/lun/lun_0/disk" &&
		mkdir "$acl" && mkdir "$acl/lun_0" && ln -s "$tpg/lun/lun_0" "$acl/lun_0/disk" && echo 1 >"$tpg/enable"
}

srp_target() {
	srp_disk "$1" && srp_port softhca0 10.9.0.1
}

srp_target_end() {
	echo 0 >"$tpg/enable"
	rm "$acl/lun_0/disk" "$tpg/lun/lun_0/disk" && rmdir "$acl/lun_0" "$acl" "$tpg/lun/lun_0" "$tpg" "$port" "$CONFIG/target/srpt" "$disk" \
		"$CONFIG/target/core/iblock_0"
}

# srp_login ADAPTER ADDRESS
srp_login() {
	guid=$(sed 's/^0x//' /sys/module/ib_srpt/parameters/srpt_service_guid)
	echo "id_ext=$guid,ioc_guid=$guid,dest=$2:$SRP_PORT" 2>/dev/null \
		>"/sys/class/infiniband_srp/srp-$1-1/add_target"
}

srp_connect() {
	srp_login softhca0 10.9.0.1 || return 1
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
