#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/kernel-build.sh KERNELS FLAVOUR [MAKE_ARGUMENT...] - softhca.ko and softhca_test.ko for a kernel that
# tools/kernel-fetch.sh got, in KERNELS/FLAVOUR/tree/kernel, from a copy of the tree, for kbuild leaves its objects
# beside the sources. Says what kbuild says, less what it says of itself.
set -u -o pipefail

kernels=$(cd "$1" && pwd) || exit 1
flavour=$2
shift 2
cd "$(dirname "$0")/.." || exit 1
tree=$kernels/$flavour/tree
arch=x86_64
[ "$flavour" != 686-pae ] || arch=i386

# Only what changed gets a new time, so that only that is built again; and what is gone, goes.
for d in kernel src include; do
	find "$d" -type f \( -name '*.[chS]' -o -name Kbuild -o -name Makefile -o -name meson.build -o -name dkms.conf \) |
		while read -r f; do
			cmp -s "$f" "$tree/$f" || install -D -m 644 "$f" "$tree/$f"
		done
	(cd "$tree" && find "$d" -type f -name '*.[ch]' ! -name '*.mod.c') | while read -r f; do
		[ -f "$f" ] || rm -f "$tree/$f"
	done
done
# No debug information for BTF can be made without the kernel's own; that is no fault.
make -s -C "$tree/kernel" KDIR="$kernels/$flavour/build" ARCH="$arch" TESTS=y -j2 --no-print-directory "$@" modules 2>&1 |
	grep -v '^Skipping BTF generation for ' || [ "${PIPESTATUS[0]}" -eq 0 ]
