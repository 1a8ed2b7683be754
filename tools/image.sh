#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/image.sh FILE [MIB] - an ext4 file system of exactly MIB MiB (96), about
# two thirds full of this machine's own programs and documentation: bytes
# that nobody made up for the test. Made once; remove FILE for another.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C
file=$1 mib=${2:-96}
bytes=$((mib << 20))

[ -f "$file" ] && [ "$(stat -c %s "$file")" = "$bytes" ] && exit 0

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
mke2fs -q -F -t ext4 -O ^has_journal -b 4096 -I 256 -m 0 -N $((mib * 64)) -L softhca -U 8a1f0d52-6c1e-4b5e-9a1d-5f2c3e4d5b6a \
	-E hash_seed=8a1f0d52-6c1e-4b5e-9a1d-5f2c3e4d5b6a,lazy_itable_init=0 -d "$work/root" "$file.new"
mv "$file.new" "$file"
echo "image: $file, $mib MiB, $(wc -l <"$work/list") files of this machine"
