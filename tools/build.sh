#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/build.sh DIR PREFIX [DESTDIR [MESON_OPTION...]] - configure DIR, build
# there, and install into PREFIX. DIR is set up anew when the tree has moved or
# an option differs; another PREFIX alone compiles nothing. Says how far it is, and at
# the end what is where. What meson installed goes to the file BUILD_INSTALLED, if that is set.
set -uo pipefail

dir=$1 prefix=$2 destdir=${3:-}
shift $(($# < 3 ? $# : 3))
src=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/progress.sh
. "$src/tools/progress.sh"
began=$SECONDS

if ! mkdir -p "$dir" || ! [ -w "$dir" ]; then
	echo "build: you can't write to $dir; if root has made it, remove it as root: sudo make clean" >&2
	exit 1
fi
exec 9>"$dir.lock"
flock 9

setup="$src $* ${CC:-} ${CFLAGS:-} ${LDFLAGS:-}"
if [ "$(cat "$dir/.setup" 2>/dev/null)" != "$setup" ]; then
	echo 'build: configuring'
	rm -rf "$dir"
	if ! out=$(meson setup "$dir" "$src" -Dprefix="$prefix" -Dlibdir=lib -Dmandir=share/man -Dtests=false "$@" 2>&1); then
		echo "$out" >&2
		echo 'build: meson setup FAILED' >&2
		exit 1
	fi
	echo "$setup" >"$dir/.setup"
	echo "$prefix" >"$dir/.prefix"
fi
if [ "$(cat "$dir/.prefix" 2>/dev/null)" != "$prefix" ]; then
	if ! out=$(meson configure "$dir" -Dprefix="$prefix" 2>&1); then
		echo "$out" >&2
		echo 'build: meson configure FAILED' >&2
		exit 1
	fi
	echo "$prefix" >"$dir/.prefix"
fi
if ! NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j2 -k 20 2>&1 | progress_ninja build "$dir.log"; then
	cat "$dir.log" >&2
	echo 'build: FAILED' >&2
	exit 1
fi
if ! out=$(meson install -C "$dir" --no-rebuild ${destdir:+--destdir "$destdir"} 2>&1); then
	echo "$out" >&2
	echo 'build: install FAILED' >&2
	exit 1
fi
[ -z "${BUILD_INSTALLED:-}" ] || cp "$dir/meson-logs/install-log.txt" "$BUILD_INSTALLED" || exit 1
# A library in a folder that the loader keeps a cache of is found only after this.
if [ -z "$destdir" ] && [ "$(id -u)" = 0 ] && [ "$prefix" != "$src/build" ]; then
	PATH=$PATH:/usr/sbin:/sbin ldconfig || true
fi
echo "build: ok, $destdir$prefix ($((SECONDS - began)) s)"
