#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/kernel-boot.sh KERNELS MACHINE [SECONDS] - boot one machine under QEMU's emulation with the modules that
# tools/kernel-build.sh built, and judge what its console said, as TAP. The whole console goes to KERNELS/MACHINE.log, and
# is shown if the machine hung, or a kernel complained. MACHINE list: which there are; known NAME...: whether there are these. TURNS is how often the modules
# are loaded and unloaded, in place of what the machine has for it. ULPS=only runs nothing but the kernel's upper layers, ULPS= none
# of them, ULPS=bench measures them (tools/kernel-bench.sh), ULP='NAME...' those of tools/kernel-ulp, LOADS='NAME...' those whose disks
# are also tested under load (nvme, srp, iser). LINKS is how often an adapter of theirs is added and deleted.
set -u

# Those that take longest first, as two run at a time.
machines='amd64-strict 686-pae-3g amd64-6.12 amd64-lazy amd64-pass amd64-off 686-pae-2g'
if [ "$2" = list ]; then
	echo "$machines"
	exit
fi
if [ "$2" = known ]; then
	for m in "${@:3}"; do
		case " $machines " in
		*" $m "*) ;;
		*)
			echo "check-kernel: no machine '$m'; there are: $machines" >&2
			exit 2
			;;
		esac
	done
	exit
fi
kernels=$1 machine=$2 limit=${3:-300}
cd "$(dirname "$0")/.." || exit 1
log=$kernels/$machine.log work=$kernels/$machine.work

flavour=amd64 iommu=off memory=2048 turns=6 ulps='' loads='' append='' args=()
strict='intel_iommu=on iommu=nopt iommu.strict=1'
case $machine in
amd64-strict) iommu=strict append=$strict turns=50 ulps=yes loads=nvme ;;
amd64-6.12) flavour=amd64-6.12 iommu=strict append=$strict args=(-smp 2) ulps=yes ;;
amd64-lazy) iommu=lazy append='intel_iommu=on iommu=nopt iommu.strict=0 preempt=full' ;;
amd64-pass) iommu=pass append='intel_iommu=on iommu=pt' args=(-smp 2) ;;
amd64-off) append='intel_iommu=off' ;;
686-pae-2g) flavour=686-pae args=(-smp 2) append='preempt=full' ;;
686-pae-3g) flavour=686-pae memory=3072 turns=20 ulps=yes ;; # the last GiB lies above 4 GiB
*)
	echo "kernel-boot: no machine '$machine'" >&2
	exit 2
	;;
esac
all='links verbs counters resources nvme srp rds smc ipoib'
loads=${LOADS-$loads}
# rpcrdma reads pages by addresses that pages of high memory don't have.
[ "$flavour" = 686-pae ] || all="$all iser nfs"
# iSER takes a minute there.
[ "$flavour" != 686-pae ] || [ "${loads#*iser}" = "$loads" ] || all="$all iser"
turns=${TURNS:-$turns} ulps=${ULPS-$ulps}
qemu='qemu-system-x86_64'
[ "$machine" = 686-pae-2g ] && qemu='qemu-system-i386'
# Its clock counts instructions, one in a nanosecond, whatever else this machine does; while it waits for a timer no time passes.
[ "$ulps" != bench ] || args+=(-icount 'shift=0,sleep=off')
[ "$iommu" = off ] || args+=(-machine kernel-irqchip=split -device 'intel-iommu,intremap=on')

# What the kernel's upper layers need: themselves, and programs, which look for their libraries in /lib.
pack_ulps() {
	[ "$ulps" ] || return 0
	cp -r "$kernels/$flavour/modules" "$kernels/$flavour/tools" "$work/root" &&
		install -m 755 tools/kernel-ulp.sh "$work/root/ulp" && cp -r tools/kernel-ulp "$work/root/ulps" &&
		mv "$work/root/tools/lib" "$work/root/lib" && ln -s lib "$work/root/lib64" &&
		strip -g -o "$work/root/softhca_ib.ko" "$kernels/$flavour/tree/kernel/softhca_ib.ko" &&
		strip -g -o "$work/root/softhca_ib_test.ko" "$kernels/$flavour/tree/kernel/softhca_ib_test.ko" || return 1
	[ "$ulps" != bench ] || {
		cp "$kernels/disk" "$work/root/disk" &&
			strip -g -o "$work/root/softhca_ib_bench.ko" "$kernels/$flavour/tree/kernel/softhca_ib_bench.ko"
	}
}

# The first process and what it needs, as a file system in memory.
pack() {
	rm -rf "$work"
	mkdir -p "$work/root/bin" &&
		cp "$kernels/$flavour/busybox" "$work/root/bin/busybox" &&
		install -m 755 tools/kernel-init.sh "$work/root/init" &&
		strip -g -o "$work/root/softhca.ko" "$kernels/$flavour/tree/kernel/softhca.ko" &&
		strip -g -o "$work/root/softhca_test.ko" "$kernels/$flavour/tree/kernel/softhca_test.ko" &&
		pack_ulps &&
		printf 'IOMMU=%s\nTURNS=%s\nULPS=%s\nLINKS=%s\nULP="%s"\nLOADS="%s"\n' "$iommu" "$turns" "$ulps" "${LINKS:-100}" "${ULP:-$all}" "$loads" >"$work/root/job" &&
		(cd "$work/root" && find . | "$kernels/amd64/busybox" cpio -o -H newc 2>/dev/null) >"$work/initrd"
}

pack || {
	echo "not ok 1 - $machine: nothing to boot: the modules were not built"
	exit 1
}
began=$SECONDS
# The oldest device to boot from that has a console is enough: no disk, no net, no display.
# A busy host brings an emulated timer too late for the kernel's check at boot, which panics: no_timer_check.
timeout -k 5 "$limit" "$qemu" -accel tcg -M q35 "${args[@]}" -device edu,dma_mask=0xffffffffffffffff -net none -m "$memory" \
	-display none -vga none -monitor none -serial "file:$log" -no-reboot -kernel "$kernels/$flavour/vmlinuz" \
	-initrd "$work/initrd" \
	-append "console=ttyS0 loglevel=4 printk.time=0 panic=-1 oops=panic softlockup_panic=1 slab_nomerge no_timer_check $append" </dev/null >"$work/qemu.log" 2>&1
status=$?
rm -rf "$work/root" "$work/initrd"
took=$((SECONDS - began))

# Verdicts lie under their suite's "# Subtest:"; anything that a kernel says of itself in earnest is a failure.
awk -v machine="$machine" -v status="$status" -v took="$took" -v strict="$([ "$iommu" = strict ] && [ "${ulps:-yes}" = yes ] && echo 1)" '
	function tell(good, name) {
		print (good ? "ok " : "not ok ") ++n " - " machine ": " name
		bad += !good
	}
	{ sub(/\r$/, "") }
	# One warning is let pass: at a logout the initiator of iSCSI, whatever it runs over, may wait for the work of power
	# management in a queue that must not. Its lines are those up to "end trace", and no more than 100.
	/WQ_MEM_RECLAIM iscsi_ctrl[^ ]*:__iscsi_unbind_session .*is flushing !WQ_MEM_RECLAIM pm:pm_runtime_work/ {
		print "# " machine ": " $0
		theirs = 100
	}
	/\[ end trace |\[ cut here / { theirs = 0 }
	theirs && theirs-- && /WARNING: .*check_flush_dependency|Call Trace/ { allowed = NR }
	allowed != NR && /WARNING:|BUG:|Oops|Call Trace|general protection|Kernel panic|soft lockup|stall|scheduling while atomic|sleeping function|lockdep|INFO: task|refcount_t|unable to handle/ {
		complaint = complaint "\n# " $0
	}
	/^ *# Subtest: / { suite = $3 "." }
	/^softhca-init: begin|^    (not )?ok - / { if ($0 ~ / ok - |^    ok - /) suite = "" }
	/^    # / { print "# " machine ": " substr($0, 7); next }
	/^    (not )?ok ([0-9]+|-) / {
		good = $1 == "ok"
		name = $0
		sub(/^    (not )?ok ([0-9]+ |- )/, "", name)
		if (name ~ / # SKIP /) {
			print "ok " ++n " - " machine ": " suite name
			skipped++
			next
		}
		tell(good, suite name)
	}
	/^not ok [0-9]+ / && /\(error/ { tell(0, substr($0, 8)) }
	/^softhca-init: faults / { faults = $3 }
	/^softhca-init: end/ { ended = 1 }
	END {
		tell(ended && !status, "came to its end (" took " s" (status ? ", status " status : "") ")")
		tell(complaint == "", "the kernel has no complaint" complaint)
		if (strict)
			tell(faults > 0, "the IOMMU reported what it blocked: " faults + 0)
		print "1.." n
		exit bad > 0
	}' "$log"
verdict=$?
if [ $verdict -ne 0 ]; then
	echo "# --- the console of $machine, its last 300 lines ---"
	tail -n 300 "$log" | sed 's/^/# | /'
	sed 's/^/# qemu: /' "$work/qemu.log"
fi
exit $verdict
