#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# SMC-R, version 2, of two network namespaces, each with an adapter on its end of a veth pair. It wants an ID that both ends know,
# which tools/kernel-ulp/sockets.pl sets, as smc-tools would.

# smc_side NUMBER - a namespace with an adapter, 10.8.0.NUMBER
smc_side() {
	ip link set "s$1" netns "smc$1" && ip netns exec "smc$1" /tools/bin/ip addr add "10.8.0.$1/24" dev "s$1" &&
		ip netns exec "smc$1" /tools/bin/ip link set "s$1" up &&
		ip netns exec "smc$1" /tools/bin/rdma link add "softhca-smc$1" type softhca netdev "s$1"
}

smc_namespaces() {
	mkdir -p /run && ip netns add smc1 && ip netns add smc2 && ip link add s1 type veth peer name s2 && smc_side 1 && smc_side 2
}

# smc_talk NUMBER - a client in that namespace, a server in the second
smc_talk() {
	ip netns exec smc2 /tools/bin/perl /ulps/sockets.pl smc-server 10.8.0.2 >/tmp/server 2>&1 &
	server=$!
	until_true grep -q listening /tmp/server && ip netns exec "smc$1" /tools/bin/perl /ulps/sockets.pl smc-client 10.8.0.2
	status=$?
	wait $server && return $status
	cat /tmp/server
	return 1
}


smc() {
	echo 3 >/proc/sys/kernel/printk
	load smc && load smc_diag && smc_namespaces
	verdict $? 'smc: modules load, two namespaces have adapters'
	smc_talk 1 && ! has_connections 1
	verdict $? 'smc: without an ID it stays with TCP'
	perl /ulps/sockets.pl smc-id
	verdict $? 'smc: an ID'
	smc_talk 1
	verdict $? 'smc: what was sent comes back'
	has_connections 2 && dmesg | grep -q 'smc: SMC-R lg .* link added: .* ibdev softhca-smc1'
	verdict $? 'smc: by a connection of the adapters'
	ip netns del smc1 && ip netns del smc2 && until_true is_gone /sys/class/infiniband/softhca-smc1 &&
		until_true is_gone /sys/class/infiniband/softhca-smc2
	verdict $? 'smc: the adapters go with their namespaces'
	unload smc_diag smc
	verdict $? 'smc: modules unload'
	echo 5 >/proc/sys/kernel/printk
}
