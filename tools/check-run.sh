#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/check-run.sh DIR - `make run` over an image of 16 MiB, as one TAP test.
set -u

cd "$(dirname "$0")/.." || exit 1
dir=$1
rm -rf "$dir"
mkdir -p "$dir"
echo 1..1
if SOFTHCA_DEPS=skip make --no-print-directory run IMAGE="$dir/image.ext4" IMAGE_MIB=16 >"$dir/log" 2>&1 &&
	[ "$(stat -c %s "$dir/image.ext4")" = $((16 << 20)) ] && [ -s "$dir/log" ]; then
	sed 's/^/# /' "$dir/log"
	echo 'ok 1 - make run'
else
	sed 's/^/# /' "$dir/log"
	echo 'not ok 1 - make run'
	exit 1
fi
