#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC1091,SC2154 # /job is written by tools/kernel-boot.sh
#
# The first process of the machine that tools/kernel-boot.sh boots: loads the modules, runs the suites, and says on the
# console, line by line, what it finds. /job tells what to do: IOMMU (for softhca_test.ko), TURNS (how often all is
# loaded and unloaded), ULPS (if the kernel's upper layers run over it; "only": and nothing else; "try": see
# tools/kernel-try.sh; "bench": see tools/kernel-bench.sh).
/bin/busybox mkdir -p /proc /sys /dev /tmp /bin
/bin/busybox --install -s /bin
PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t debugfs none /sys/kernel/debug
. /job

# verdict STATUS NAME
verdict() {
	if [ "$1" = 0 ]; then echo "    ok - $2"; else echo "    not ok - $2"; fi
}

# Unreclaimable slab, vmalloc and page tables, KiB; and what the IOMMU has given away.
memory() {
	awk '/^(SUnreclaim|VmallocUsed|PageTables|Percpu):/ { kb += $2 } END { print kb + 0 }' /proc/meminfo
}
mappings() {
	awk '$1 == "iommu_iova" { print $2; n++ } END { if (!n) print 0 }' /proc/slabinfo
}
devices() {
	find /sys/bus/platform/devices/ /sys/kernel/debug/softhca/ -mindepth 1 -maxdepth 1 -name 'softhca*' 2>/dev/null | wc -l
}

echo "softhca-init: $(uname -r), iommu $IOMMU"

# The kernel's upper layers, where the machine has them.
if [ "$ULPS" ]; then
	. /ulp
	case $ULPS in
	try | bench) "ulps_$ULPS" ;;
	*) ulps ;;
	esac
	if [ "$ULPS" != yes ]; then
		echo 'softhca-init: end'
		poweroff -f
	fi
fi
echo 8 >/proc/sys/kernel/printk

before=$(memory)
insmod /softhca.ko
verdict $? 'module loads'
[ "$(devices)" = 0 ]
verdict $? 'loaded without a user it has no device'
echo "    # loaded without a user it takes $(($(memory) - before)) KiB"

insmod /softhca_test.ko "iommu=$IOMMU"
verdict $? 'tests load'
rmmod softhca_test
verdict $? 'tests unload'

# The ledger on demand.
insmod /softhca_test.ko hold=1
file=$(echo /sys/kernel/debug/softhca/*/ledger)
[ "$(cat "$file")" = off ]
verdict $? 'debugfs: no ledger at first'
echo 1 >"$file" && [ "$(head -n 1 "$file")" = on ] && grep -q '^use-after-unmap 0$' "$file"
verdict $? 'debugfs: a ledger on demand'
echo 0 >"$file" && [ "$(cat "$file")" = off ]
verdict $? 'debugfs: and off again'
if rmmod softhca 2>/dev/null; then false; else true; fi
verdict $? 'the module stays while an adapter is there'
rmmod softhca_test && rmmod softhca
verdict $? 'module unloads'

echo "softhca-init: faults $(dmesg | grep -c 'DMAR:.*fault addr')"

# Again and again; the first turns may fill caches. What passes is not told each time.
n=0
echo 5 >/proc/sys/kernel/printk
dmesg -c >/dev/null
turn() {
	insmod /softhca.ko && insmod /softhca_test.ko "iommu=$IOMMU" suites=mapping,loop,ledger,alloc,bus && rmmod softhca_test &&
		rmmod softhca
}
while [ $n -lt "$TURNS" ] && turn; do
	dmesg -c >/tmp/turn
	if grep -q '^not ok' /tmp/turn || [ "$(grep -c '^ok' /tmp/turn)" != 5 ]; then
		cat /tmp/turn
		break
	fi
	n=$((n + 1))
	if [ $n = 5 ]; then
		m5=$(memory) i5=$(mappings)
	fi
done
[ $n = "$TURNS" ]
verdict $? "loaded, tested and unloaded $n times"
if [ "$TURNS" -gt 5 ]; then
	echo "    # memory $m5 KiB, then $(memory) KiB; I/O addresses $i5, then $(mappings)"
	[ $(($(memory) - m5)) -le 512 ] && [ $(($(mappings) - i5)) -le 256 ] &&
		case $IOMMU in strict | lazy) [ "$i5" -gt 0 ] ;; esac
	verdict $? 'no growth of slab or mappings'
fi
[ "$(devices)" = 0 ]
verdict $? 'nothing is left of it'

echo 'softhca-init: end'
sync
poweroff -f
