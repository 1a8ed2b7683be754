#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# The counters of an adapter as an administrator sees them: in sysfs, and by "rdma statistic".

HW_COUNTERS=/sys/class/infiniband/softhca0/ports/1/hw_counters

# counter NAME - its value
counter() {
	cat "$HW_COUNTERS/$1"
}

# Traffic of every kind, and mistakes: the verbs' tests, whose verdicts are told elsewhere.
some_traffic() {
	insmod /softhca_ib_test.ko && rmmod softhca_ib_test
}

# The names are the files', and each value lies between two looks at its file.
statistic_agrees() {
	for f in "$HW_COUNTERS"/*; do
		name=${f##*/}
		[ "$name" != lifespan ] || continue
		before=$(cat "$f")
		value=$(rdma statistic show link softhca0/1 | tr ' ' '\n' | grep -A 1 "^$name\$" | tail -n 1)
		if [ "${value:--1}" -lt "$before" ] || [ "$value" -gt "$(cat "$f")" ]; then
			echo "$name: $before, then $value by rdma statistic"
			return 1
		fi
	done
}

counters() {
	[ "$(find "$HW_COUNTERS" -type f | wc -l)" -gt 10 ]
	verdict $? 'counters: sysfs has them'
	sent=$(counter sent_requests) bytes=$(counter sent_bytes) messages=$(counter rcvd_messages)
	refused=$(counter resp_remote_access_errors) exceeded=$(counter retry_exceeded_err)
	some_traffic
	verdict $? 'counters: some traffic'
	# As often as the counters may be read.
	usleep 50000
	[ "$(counter sent_requests)" -ge $((sent + 15)) ] && [ "$(counter sent_bytes)" -ge $((bytes + 40000)) ] &&
		[ "$(counter rcvd_messages)" -ge $((messages + 3)) ]
	verdict $? 'counters: requests, bytes and messages'
	[ "$(counter resp_remote_access_errors)" -ge $((refused + 3)) ] &&
		[ "$(counter retry_exceeded_err)" -ge $((exceeded + 1)) ]
	verdict $? 'counters: keys that were refused, and requests that nothing answered'
	statistic_agrees
	verdict $? 'counters: rdma statistic shows the same'
}
