#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/kernel-try.sh [KERNELS] - see the kernel's NVMe/RDMA work over softhca: boots a machine under QEMU's emulation, with an
# IOMMU and Debian's kernel, makes an adapter, a target and a host, puts a file system on the disk that
# comes of it, and shows each command with what it said. Touches nothing of this machine; what it fetches and builds goes to
# KERNELS (build/kernel).
set -u

cd "$(dirname "$0")/.." || exit 1
mkdir -p "${1:-build/kernel}" || exit 1
kernels=$(cd "${1:-build/kernel}" && pwd)

for p in qemu-system-x86_64 make gcc; do
	command -v "$p" >/dev/null || {
		echo "kernel-try: $p is missing (tools/deps.sh check installs it)" >&2
		exit 1
	}
done
echo 'kernel-try: kernel and modules ...'
if ! tools/kernel-fetch.sh "$kernels" >"$kernels/try.out" 2>&1 ||
	! tools/kernel-build.sh "$kernels" amd64 >>"$kernels/try.out" 2>&1; then
	cat "$kernels/try.out" >&2
	exit 1
fi
echo 'kernel-try: booting ...'
log=$kernels/amd64-strict.log
: >"$log"
ULPS=try tools/kernel-boot.sh "$kernels" amd64-strict 900 >"$kernels/try.out" 2>&1 &
boot=$!
tail -f --pid=$boot "$log" 2>/dev/null | sed -un '/^softhca-init: try/,/^softhca-init: end/{/^softhca-init/d;p}'
wait $boot || {
	grep '^not ok' "$kernels/try.out" >&2
	exit 1
}
