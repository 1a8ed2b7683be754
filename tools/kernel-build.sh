#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/kernel-build.sh KERNELS FLAVOUR [MAKE_ARGUMENT...] - softhca.ko and softhca_test.ko for a kernel that
# tools/kernel-fetch.sh got, in KERNELS/FLAVOUR/tree, from a copy of the tree: kbuild leaves its objects beside the sources.
set -u

kernels=$1 flavour=$2
shift 2
cd "$(dirname "$0")/.." || exit 1
tree=$kernels/$flavour/tree
arch=x86_64
[ "$flavour" = amd64 ] || arch=i386

mkdir -p "$tree"
# Only what changed gets a new time, so that only that is built again.
for d in kernel src include; do
	(cd "$d" && find . -type f \( -name '*.[chS]' -o -name Kbuild -o -name Makefile -o -name meson.build \)) |
		while read -r f; do
			cmp -s "$d/$f" "$tree/$d/$f" || install -D -m 644 "$d/$f" "$tree/$d/$f"
		done
	# And what is gone, goes.
	(cd "$tree/$d" && find . -type f \( -name '*.[ch]' ! -name '*.mod.c' \)) | while read -r f; do
		[ -f "$d/$f" ] || rm -f "$tree/$d/$f"
	done
done
exec make -s -C "$kernels/$flavour/build" M="$tree/kernel" ARCH="$arch" -j2 "$@" TESTS=y modules
