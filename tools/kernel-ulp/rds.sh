#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# RDS over RDMA. Its address is the adapter's, and its connection to itself goes through the adapter. Debian has no package of
# programs for it: tools/kernel-ulp/sockets.pl is one.

rds() {
	load rds_rdma
	verdict $? 'rds: modules load'
	ip addr add 10.9.9.9/32 dev lo && refused perl /ulps/sockets.pl rds 10.9.9.9 && grep -q '^bind: Cannot assign' /tmp/refused
	verdict $? 'rds: an address that no adapter has is refused'
	ip addr del 10.9.9.9/32 dev lo
	perl /ulps/sockets.pl rds 10.9.0.1
	verdict $? 'rds: messages of 1 to 131,071 B arrive as they were sent'
	has_connections 2
	verdict $? 'rds: by a connection of the adapter'
	unload rds_rdma
	verdict $? 'rds: modules unload'
	# Headers are mapped in one direction and unmapped in the other.
	silent_but rds rds_rdma unmap-direction
	new_adapter
}
