#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/kernel-bench.sh [KERNELS [MACHINE]] - boot a machine under QEMU's emulation, with a strict IOMMU and Debian's kernel, and measure
# there what the kernel's upper layers reach over softhca_ib.ko, rdma_rxe and what has no wire. Prints a line for each turn of
# a contestant, which `make bench ONLY=kernel` makes a table of: FIGURE CONTESTANT VALUE, or FIGURE CONTESTANT - REASON. How far
# it is goes to standard error. Touches nothing of this machine; what it fetches and builds goes to KERNELS (build/kernel).
# MACHINE is amd64-strict, or amd64-6.12, whose kernel has nvme-loop.
set -u

cd "$(dirname "$0")/.." || exit 1
mkdir -p "${1:-build/kernel}" || exit 1
kernels=$(cd "${1:-build/kernel}" && pwd)
machine=${2:-amd64-strict}
flavour=amd64
[ "$machine" = amd64-strict ] || flavour=$machine
log=$kernels/$machine.log out=$kernels/bench.out

# step WORDS COMMAND... - one that says nothing if all is well
step() {
	local began=$SECONDS
	"${@:2}" >"$out" 2>&1 || {
		cat "$out" >&2
		echo "kernel-bench: $1 FAILED" >&2
		exit 1
	}
	echo "kernel-bench: $1 ($((SECONDS - began)) s)" >&2
}

# boot - in which a test that fails may be beside the point: what was measured counts
boot() {
	: >"$log"
	ULPS=bench tools/kernel-boot.sh "$kernels" "$machine" "${KERNEL_SECONDS:-1200}" || true
	grep -q '^softhca-init: end' "$log"
}

for p in qemu-system-x86_64 make gcc; do
	command -v "$p" >/dev/null || {
		echo "kernel-bench: $p is missing (tools/deps.sh bench installs it)" >&2
		exit 1
	}
done
step 'kernel' tools/kernel-fetch.sh "$kernels" amd64 "$flavour"
step 'modules' tools/kernel-build.sh "$kernels" "$flavour"
step 'load' gcc -O2 -D_GNU_SOURCE -static -o "$kernels/disk" tools/kernel-ulp/disk.c
step 'machine' boot
grep '^not ok' "$out" >&2
tr -d '\r' <"$log" | sed -n 's/^bench: //p'
