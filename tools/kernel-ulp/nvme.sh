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

nvme_target_end() {
	rm "$port/subsystems/$NQN" && echo 0 >"$subsystem/namespaces/1/enable" && rmdir "$subsystem/namespaces/1" "$subsystem" "$port"
}

# nvme_login OPTIONS - to the target that has $NQN
nvme_login() {
	echo "nqn=$NQN,$1,hostnqn=nqn.2026-01.org.softhca:host,hostid=5f7a9c1e-0000-4000-8000-736f66746863,nr_io_queues=4" \
		>/dev/nvme-fabrics
}

nvme_connect() {
	nvme_login transport=rdma,traddr=10.9.0.1,trsvcid=4420 || return 1
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
