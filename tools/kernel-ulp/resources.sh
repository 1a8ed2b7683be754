#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# The objects of an adapter as an administrator sees them, by "rdma -dd resource show": those of a module whose objects are
# known, and those of one whose objects come and go meanwhile.

# shows KIND WORD... - is there an object of the kind, of the test module, with all these words on its line?
shows() {
	rdma -dd resource show "$1" >/tmp/resources || return 1
	kind=$1
	shift
	sed -n '/softhca_ib_test/p' /tmp/resources >/tmp/lines
	for word in "$@"; do
		grep -F "$word" /tmp/lines >/tmp/left || {
			echo "$kind: no '$word'"
			cat /tmp/resources
			return 1
		}
		mv /tmp/left /tmp/lines
	done
}

# Without a pause, until told to stop. A dump that fails is told.
look_at_resources() {
	rm -f /tmp/stop /tmp/dump_failed
	while [ ! -f /tmp/stop ]; do
		for kind in qp cq mr; do
			rdma -dd resource show $kind >/tmp/dump 2>&1 || cp /tmp/dump /tmp/dump_failed
		done
	done
}

resources() {
	insmod /softhca_ib_test.ko show=1
	verdict $? 'resources: a module with objects'
	shows qp 'type RC' 'state RTS' 'drv_sq_size 16' 'drv_sq_used 0' 'drv_rq_size 16' 'drv_rq_used 3' 'drv_retries 0'
	verdict $? 'resources: a queue pair'
	shows cq 'cqe 256' 'drv_used 0' 'drv_queues 4' 'drv_overflowed 0'
	verdict $? 'resources: a completion queue'
	shows mr 'drv_kind pieces' 'drv_state invalid' 'drv_max_numbers 8'
	verdict $? 'resources: a memory region'
	shows srq 'type BASIC'
	verdict $? 'resources: a shared receive queue'
	rmmod softhca_ib_test
	verdict $? 'resources: they go'
	look_at_resources &
	insmod /softhca_ib_test.ko && rmmod softhca_ib_test && insmod /softhca_ib_test.ko && rmmod softhca_ib_test
	status=$?
	: >/tmp/stop
	wait
	if [ -f /tmp/dump_failed ]; then
		cat /tmp/dump_failed
		status=1
	fi
	verdict $status 'resources: shown while they come and go'
}
