#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/image.sh [--may] FILE [MIB] - an ext4 file system of exactly MIB MiB (96), about
# two thirds full of this machine's own programs and documentation: bytes
# that nobody made up for the test. Made once; another size makes it anew. A FILE
# that this script has not made, or a block device, is left as it is. --may only says what is
# wrong with the arguments.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C
may=
if [ "$1" = --may ]; then
	may=1
	shift
fi
file=$1 mib=${2:-96}
uuid=8a1f0d52-6c1e-4b5e-9a1d-5f2c3e4d5b6a

die() {
	echo "image: $*" >&2
	exit 2
}

# ours FILE - has this script made it? An ext4 superblock has its UUID 104 bytes behind byte 1,024.
ours() {
	[ "$(od -An -tx1 -j1128 -N16 "$1" 2>/dev/null | tr -d ' \n')" = "${uuid//-/}" ]
}

if ! [[ $mib =~ ^[1-9][0-9]{0,5}$ ]] || [ "$mib" -lt 8 ]; then
	die "IMAGE_MIB='$mib' is no size; use a number of MiB from 8 to 999999, such as IMAGE_MIB=96"
fi
bytes=$((mib << 20))
if [ -d "$file" ]; then
	die "IMAGE='$file' is a directory; use a file or a block device, or a name for a new image"
elif [ -b "$file" ]; then
	exit 0
elif [ -e "$file" ] && [ ! -f "$file" ]; then
	die "IMAGE='$file' is neither a file nor a block device; use one of these, or a name for a new image"
elif [ -f "$file" ]; then
	[ -r "$file" ] || die "IMAGE='$file' can't be read"
	if ! ours "$file"; then
		[ -n "$may" ] || echo "image: $file is a file of yours; it is carried as it is"
		exit 0
	fi
	[ "$(stat -c %s "$file")" != "$bytes" ] || exit 0
fi
folder=$(dirname "$file")
case $file in
build/*) mkdir -p "$folder" ;;
*) [ -d "$folder" ] || die "IMAGE='$file' can't be made: there is no folder $folder" ;;
esac
[ -w "$folder" ] || die "IMAGE='$file' can't be made: you can't write to $folder"
[ -z "$may" ] || exit 0

echo "image: making $file of $mib MiB from files of this machine"
work=$(mktemp -d "$file.XXXXXX")
trap 'rm -rf "$work" "$file.new"' EXIT
mkdir "$work/root"

# Regular files that anybody may read, none larger than an eighth of the image, the same choice at every run.
find /usr/share/doc /usr/bin /usr/lib/gcc /usr/include -xdev -type f -readable -size -$((mib << 7))k -printf '%s %p\n' 2>/dev/null |
	sort -k2 |
	awk -v mib="$mib" -v room=$((bytes * 2 / 3)) '{
		size = $1; sub(/^[0-9]+ /, "")
		need = int((size + 4095) / 4096) * 4096 + 512
		if (files >= mib * 40 || need > room) next
		room -= need; files++; print }' >"$work/list"
tar -cf - --no-recursion -T "$work/list" 2>/dev/null | tar -xf - -C "$work/root"

rm -f "$file.new"
truncate -s "$bytes" "$file.new"
mke2fs -q -F -t ext4 -O ^has_journal -b 4096 -I 256 -m 0 -N $((mib * 64)) -L softhca -U $uuid \
	-E hash_seed=$uuid,lazy_itable_init=0 -d "$work/root" "$file.new"
mv "$file.new" "$file"
echo "image: $file, $mib MiB, $(wc -l <"$work/list") files of this machine"
