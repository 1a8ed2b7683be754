#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/install.sh install|uninstall PREFIX [DESTDIR] - `make install` and `make uninstall`. What was installed
# stands in PREFIX/share/softhca/installed, a path a line without DESTDIR; removing needs nothing else.
set -u

what=$1 prefix=$2 destdir=${3:-}
src=$(cd "$(dirname "$0")/.." && pwd)

die() {
	echo "$what: $*" >&2
	exit 1
}

case $prefix in
/*) ;;
*) die "PREFIX=$prefix is no absolute path; for example: make $what PREFIX=\$HOME/.local" ;;
esac
prefix=${prefix%/}
case $destdir in
'' | /*) ;;
*) destdir=$PWD/$destdir ;;
esac
destdir=${destdir%/}
there=$destdir$prefix
list=$there/share/softhca/installed

# may_write DIR - may this user make files there? DIR or the nearest folder above it that exists must be writable.
may_write() {
	local at=$1
	while [ ! -e "$at" ]; do
		at=$(dirname "$at")
	done
	[ -d "$at" ] && [ -w "$at" ]
}

refuse_unwritable() {
	local d
	for d in "$there" "$there/bin" "$there/lib" "$there/share" "$there/include"; do
		may_write "$d" && continue
		echo "$what: you can't write to $d. Either:" >&2
		echo "    sudo make $what${1:-}" >&2
		if [ "$what" = install ]; then
			echo "    make install PREFIX=\$HOME/.local" >&2
			echo "    make install DESTDIR=/some/folder     (for a package: files go below that folder)" >&2
		fi
		exit 1
	done
}

# paths - what meson's log of the last installation names: files, links, and the folders that were made
paths() {
	grep -v '^#' "$work/log" | awk -v d="$destdir" \
		'd == "" || index($0, d "/") == 1 { print substr($0, length(d) + 1) }'
}

# remove - the paths on standard input, deepest first; a folder only if it's empty
remove() {
	local path
	sort -ru | while IFS= read -r path; do
		path=$destdir$path
		if [ -d "$path" ] && [ ! -L "$path" ]; then
			rmdir "$path" 2>/dev/null || true
		else
			rm -f "$path"
		fi
	done
}

tell() {
	local plugin
	echo "install: softhca is in $there; 'make uninstall${1:-}' removes it"
	echo "  command         $prefix/bin/softhca"
	case :$PATH: in
	*":$prefix/bin:"*) ;;
	*) echo "                  PATH does not have it yet: export PATH=\"$prefix/bin:\$PATH\"" ;;
	esac
	echo "  library         cc prog.c \$(pkg-config --cflags --libs softhca)"
	if ! pkg-config --exists softhca 2>/dev/null; then
		echo "                  first: export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib"
	fi
	plugin=$(PKG_CONFIG_PATH=$there/lib/pkgconfig pkg-config --variable=nbdkit_plugin softhca 2>/dev/null)
	if [ -n "$plugin" ]; then
		echo "  nbdkit plugin   nbdkit $plugin FILE"
	fi
	echo "  manual          man -M $prefix/share/man 7 softhca"
	echo "  documents       $prefix/share/doc/softhca"
}

given=
[ "$prefix" = /usr/local ] || given=" PREFIX=$prefix"
[ -z "$destdir" ] || given="$given DESTDIR=$destdir"

case $what in
install)
	refuse_unwritable "$given"
	"$src/tools/deps.sh" build || exit 1
	before=$(cat "$list" 2>/dev/null)
	work=$(mktemp -d) || exit 1
	trap 'rm -rf "$work"' EXIT
	# Where make build builds: what that has compiled isn't compiled again.
	BUILD_INSTALLED=$work/log "$src/tools/build.sh" "$src/build/obj" "$prefix" "$destdir" || exit 1
	now=$(paths)
	# Files that an older version had, and this one hasn't, go; folders that it made are still ours.
	comm -23 <(grep . <<<"$before" | sort) <(sort <<<"$now") | while IFS= read -r path; do
		if [ -d "$destdir$path" ]; then echo "$path" >&3; else rm -f "$destdir$path"; fi
	done 3>"$work/folders"
	made=$([ -d "${list%/*}" ] || echo "$prefix/share/softhca")
	mkdir -p "${list%/*}" || exit 1
	{
		echo "$now"
		cat "$work/folders"
		[ -z "$made" ] || echo "$made"
		echo "$prefix/share/softhca/installed"
	} | sort -u >"$list"
	# Built as root on behalf of a user, who goes on building.
	if [ "$(id -u)" = 0 ] && [ -n "${SUDO_UID:-}" ]; then
		chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$src/build"
	fi
	tell "$given"
	;;
uninstall)
	[ -f "$list" ] || die "there is no softhca in $there (no $list); give the PREFIX and DESTDIR of its installation"
	refuse_unwritable "$given"
	n=$(wc -l <"$list")
	remove <"$list"
	if [ -z "$destdir" ] && [ "$(id -u)" = 0 ]; then
		PATH=$PATH:/usr/sbin:/sbin ldconfig || true
	fi
	echo "uninstall: $n files and folders of softhca are gone from $there"
	;;
*) die 'usage: tools/install.sh install|uninstall PREFIX [DESTDIR]' ;;
esac
