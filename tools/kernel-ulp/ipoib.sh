#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# ib_ipoib, which makes a network device for a port of InfiniBand's own link layer and for no other.

ipoib() {
	before=$(echo /sys/class/net/*) && load ib_ipoib && grep -q '^ib_ipoib ' /proc/modules && [ "$(echo /sys/class/net/*)" = "$before" ]
	verdict $? "ipoib: the module loads and leaves a port of Ethernet's alone"
	unload ib_ipoib
	verdict $? 'ipoib: module unloads'
}
