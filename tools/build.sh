#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/build.sh DIR PREFIX [DESTDIR [MESON_OPTION...]] - configure DIR, build
# there, and install into PREFIX. DIR is set up anew when the tree has moved or
# an option differs. Quiet, unless something fails.
set -u

dir=$1 prefix=$2 destdir=${3:-}
shift $(($# < 3 ? $# : 3))
src=$(cd "$(dirname "$0")/.." && pwd)
began=$SECONDS

mkdir -p "$dir"
exec 9>"$dir.lock"
flock 9

setup="$src $prefix $* ${CC:-} ${CFLAGS:-} ${LDFLAGS:-}"
if [ "$(cat "$dir/.setup" 2>/dev/null)" != "$setup" ]; then
	rm -rf "$dir"
	if ! out=$(meson setup "$dir" "$src" -Dprefix="$prefix" -Dlibdir=lib -Dmandir=share/man -Dtests=false "$@" 2>&1); then
		echo "$out" >&2
		echo 'build: meson setup FAILED' >&2
		exit 1
	fi
	echo "$setup" >"$dir/.setup"
fi
if ! out=$(ninja -C "$dir" -j2 -k 20 2>&1); then
	echo "$out" >&2
	echo 'build: FAILED' >&2
	exit 1
fi
if ! out=$(meson install -C "$dir" --no-rebuild ${destdir:+--destdir "$destdir"} 2>&1); then
	echo "$out" >&2
	echo 'build: install FAILED' >&2
	exit 1
fi
# A library in a folder that the loader keeps a cache of is found only after this.
if [ -z "$destdir" ] && [ "$(id -u)" = 0 ] && [ "$prefix" != "$src/build" ]; then
	PATH=$PATH:/usr/sbin:/sbin ldconfig || true
fi
echo "build: ok, $destdir$prefix ($((SECONDS - began)) s)"
