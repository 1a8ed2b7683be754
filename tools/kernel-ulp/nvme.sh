#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# nvme-rdma and nvmet-rdma.

NQN=nqn.2026-01.org.softhca:disk

# nvme_target DISK [ADDRESS PORT TRANSPORT] - a subsystem named $NQN, and a port that leads to it
nvme_target() {
	subsystem=$CONFIG/nvmet/subsystems/$NQN port=$CONFIG/nvmet/ports/${3:-1}
	mkdir "$subsystem" && echo 1 >"$subsystem/attr_allow_any_host" && mkdir "$subsystem/namespaces/1" &&
		echo "$1" >"$subsystem/namespaces/1/device_path" && echo 1 >"$subsystem/namespaces/1/enable" &&
		mkdir "$port" && echo "${4:-rdma}" >"$port/addr_trtype" && echo ipv4 >"$port/addr_adrfam" &&
		echo "${2:-10.9.0.1}" >"$port/addr_traddr" && echo 4420 >"$port/addr_trsvcid" && ln -s "$subsystem" "$port/subsystems/$NQN"
}

# nvme_file - a second disk of that subsystem, in a file on a file system
nvme_file() {
	mkdir -p /srv && mkfs.ext4 -q -F /dev/ram1 && mount -t ext4 /dev/ram1 /srv && dd if=/dev/zero of=/srv/disk bs=1M count=4 2>/tmp/dd &&
		mkdir "$subsystem/namespaces/2" && echo /srv/disk >"$subsystem/namespaces/2/device_path" &&
		echo 1 >"$subsystem/namespaces/2/enable"
}

nvme_target_end() {
	rm "$port/subsystems/$NQN" || return 1
	for namespace in "$subsystem/namespaces/"*; do
		echo 0 >"$namespace/enable" && rmdir "$namespace" || return 1
	done
	rmdir "$subsystem" "$port"
}

# nvme_login OPTIONS - to the target that has $NQN
nvme_login() {
	echo "nqn=$NQN,$1,hostnqn=nqn.2026-01.org.softhca:host,hostid=5f7a9c1e-0000-4000-8000-736f66746863,nr_io_queues=4" \
		>/dev/nvme-fabrics
}

# nvme_connect [OPTION...] - queues that write apart from those that read: two for each processor, up to eight
nvme_connect() {
	nvme_login "transport=rdma,traddr=10.9.0.1,trsvcid=4420,nr_write_queues=4,reconnect_delay=1${1:+,$1}" || return 1
	until_true nvme_has_disks
}

# Later kernels look for namespaces in parallel: the first disk may be any. A controller that is just going still has its number.
nvme_has_disks() {
	in_memory='' in_file=''
	controller=$(echo /sys/class/nvme/nvme?)
	for d in /sys/block/nvme?n?; do
		case $(cat "$d/nsid" 2>/dev/null) in
		1) in_memory=/dev/${d##*/} ;;
		2) in_file=/dev/${d##*/} ;;
		esac
	done
	[ -b "$in_memory" ] && { [ -b "$in_file" ] || [ ! -e "$subsystem/namespaces/2" ]; }
}

nvme_has_no_disk() {
	for d in /dev/nvme?n?; do
		is_gone "$d" || return 1
	done
}

# Both ends of each queue of data, and of the one for the controller. Depth is 128 if nobody asks for another.
nvme_has_queues() {
	queues=$((2 * $(nproc)))
	[ "$(cat "$controller/sqsize")" = 127 ] && [ "$(cat "$controller/queue_count")" = $((queues + 1)) ] &&
		has_connections $((2 * (queues + 1)))
}

nvme_disconnect() {
	for c in /sys/class/nvme/nvme*; do
		[ ! -e "$c/delete_controller" ] || echo 1 >"$c/delete_controller"
	done
	until_true nvme_has_no_disk
}

nvme_state_is() {
	[ "$(cat "$controller/state")" = "$1" ]
}

# The host leaves its target and comes back, by itself.
nvme_resets() {
	echo 1 >"$controller/reset_controller" && until_true nvme_state_is live && goes_on "$in_memory" &&
		echo 1 >"$controller/reset_controller" && until_true nvme_state_is live && goes_on "$in_file"
}

# The target is gone until the host has seen it.
nvme_target_goes_and_comes() {
	rm "$port/subsystems/$NQN" && until_true nvme_state_is connecting && ln -s "$subsystem" "$port/subsystems/$NQN" &&
		until_true nvme_state_is live && goes_on "$in_memory" && goes_on "$in_file"
}

# A host with an adapter of its own. rdma_cm looks for a route from the target's device to the host's address, which is a local one.
nvme_connect_across() {
	ip link add d2 type dummy && ip addr add 10.9.2.1/24 dev d2 && ip link set d2 up && ip route add 10.9.2.1 dev d0 &&
		rdma link add softhca2 type softhca netdev d2 && until_true has_gid 'ffff:0a09:0201' softhca2 && nvme_connect host_traddr=10.9.2.1 &&
		rdma resource show qp | grep -q 'softhca2.*type RC state RTS'
}

# The target's adapter goes, with all that was under way, and another comes in its place.
nvme_target_changes_adapter() {
	rdma link delete softhca0 && until_true nvme_state_is connecting && rdma link add softhca0 type softhca netdev d0 &&
		until_true has_gid 'ffff:0a09:0001' && rm "$port/subsystems/$NQN" && ln -s "$subsystem" "$port/subsystems/$NQN" &&
		until_true nvme_state_is live && goes_on "$in_memory" && goes_on "$in_file"
}

nvme_across_ends() {
	nvme_disconnect && rdma link delete softhca2 && ip link del d2 && nvme_connect
}

# The adapter goes while the disk is read and written: what was under way fails, and nothing else does.
nvme_loses_adapter() {
	while dd if="$in_memory" of=/dev/null bs=4k iflag=direct; do :; done 2>/tmp/dd1 &
	reader=$!
	dd if=/bin/busybox of="$in_memory" bs=4k oflag=direct 2>/tmp/dd2 &
	writer=$!
	goes_on "$in_memory"
	rdma link delete softhca0 || return 1
	wait $reader $writer
	until_true nvme_has_no_disk
}

# A port of the target whose adapter went listens no more before it was disabled and enabled.
nvme_adapter_is_back() {
	rdma link add softhca0 type softhca netdev d0 && until_true has_gid 'ffff:0a09:0001' && rm "$port/subsystems/$NQN" &&
		ln -s "$subsystem" "$port/subsystems/$NQN" && nvme_connect
}

nvme_under_load() {
	takes_large nvme "$in_memory"
	carries_load nvme "$in_memory" "$in_file"
	load_begin "$in_memory" "$in_file" && nvme_resets && load_end
	verdict $? 'nvme: disconnects and connects under load, and no block is lost'
	load_begin "$in_memory" "$in_file" && nvme_target_goes_and_comes && load_end
	verdict $? 'nvme: the target is removed under load and comes back, and no block is lost'
	[ "$(digest "$in_memory")" = "$(digest /dev/ram0)" ] && [ "$(digest "$in_file")" = "$(digest /srv/disk)" ]
	verdict $? 'nvme: both ends have the same'
}

nvme_between_adapters() {
	nvme_disconnect && nvme_connect_across && load_begin "$in_memory" "$in_file" && nvme_target_changes_adapter && load_end
	verdict $? "nvme: the target's adapter is deleted under load, and no block is lost over another"
	nvme_across_ends
	verdict $? 'nvme: back to one adapter'
}

nvme_is_whole() {
	are_whole "$in_file"
	verdict $? 'nvme: each block of the file is a whole one'
}

nvme() {
	load nvmet_rdma && load nvme_rdma
	verdict $? 'nvme: modules load'
	nvme_target /dev/ram0 && nvme_file
	verdict $? 'nvme: a target, of a disk in memory and of a file'
	nvme_connect
	verdict $? 'nvme: a host connects'
	[ -b "$in_file" ] || return
	nvme_has_queues
	verdict $? "nvme: $queues queues of 128"
	carries nvme "$in_memory" /dev/ram0
	nvme_disconnect && nvme_connect && [ "$(digest "$in_memory")" = "$(digest /dev/ram0)" ]
	verdict $? 'nvme: disconnects and connects again'
	! is_loaded nvme || nvme_under_load
	silent nvme
	! is_loaded nvme || nvme_between_adapters
	nvme_loses_adapter
	verdict $? 'nvme: the adapter is deleted under load'
	nvme_adapter_is_back && [ "$(digest "$in_memory")" = "$(digest /dev/ram0)" ]
	verdict $? 'nvme: a new one in its place serves the same disk'
	rmmod softhca_ib && until_true nvme_has_no_disk && [ "$(rdma_devices)" = 0 ]
	verdict $? 'nvme: the module is unloaded under a connection'
	insmod /softhca_ib.ko ledger=1 && nvme_adapter_is_back
	verdict $? 'nvme: and serves when it is back'
	! is_loaded nvme || nvme_is_whole
	nvme_disconnect && nvme_target_end && umount /srv
	verdict $? 'nvme: host and target end'
	unload nvme_rdma nvmet_rdma
	verdict $? 'nvme: modules unload'
}
