#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# Adapters that come and go by "rdma link", the verbs of one, and a faulty ULP.

links() {
	rdma link show | grep -q 'link softhca0/1 state ACTIVE physical_state LINK_UP netdev d0'
	verdict $? 'rdma link show'
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

# A ULP that breaks each rule once, on an adapter of its own time.
faulty() {
	# The module limits how many reports it prints in 5 s, for all adapters together; others may have used them up.
	sleep 6
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
