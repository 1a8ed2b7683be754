#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/shim_abi.sh LIBRARY - the drop-in libibverbs, or librdmacm, has each symbol of the system's own, in the same version, and each
# that later versions of it added; its versions inherit as the system's do, and it needs no library but libc, and librdmacm the
# other one. As TAP.
set -u

ours=$1
name=$(basename "$ours")
case $name in
librdmacm*) prefix=RDMACM_ needs='|libibverbs' ;;
*) prefix=IBVERBS_ needs= ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C
shopt -s lastpipe # verdict, at the end of a pipe, counts in this shell
number=0 failures=0

# verdict NAME - one TAP line; what stands on standard input is what's wrong
verdict() {
	local out
	out=$(cat)
	number=$((number + 1))
	if [ -z "$out" ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		awk '{ print "# " $0 }' <<<"$out"
		failures=$((failures + 1))
	fi
}

# defined LIBRARY - TYPE NAME@VERSION of each symbol that it defines; a default version has @@
defined() {
	nm -D --with-symbol-versions "$1" | awk '$(NF - 1) ~ /^[TBDRWV]$/ { print ($(NF - 1) == "T" ? "T" : "D"), $NF }' | sort
}

# chain LIBRARY - VERSION PARENT of each version
chain() {
	objdump -p "$1" | awk '/^Version definitions/ { on = 1; next } /^$/ { on = 0 }
		on && $1 ~ /^[0-9]+$/ && $2 == "0x00" { v = $4; parent[v] = "-"; order[++n] = v; next }
		on && NF == 1 && v { parent[v] = $1 }
		END { for (i = 1; i <= n; i++) print order[i], parent[order[i]] }'
}

# The system's, wherever the linker would find it without us.
theirs=$(env -u LD_LIBRARY_PATH gcc -print-file-name="$name")
[ -f "$theirs" ] || theirs=$(PATH=$PATH:/sbin ldconfig -p | awk -v name="$name" '$1 == name { print $NF; exit }')

if [ ! -f "$theirs" ]; then
	echo '1..0 # SKIP there is no library to compare with'
	exit 0
fi
{ [ "$(defined "$theirs" | wc -l)" -gt 60 ] || echo 'nm shows next to nothing'; } | verdict 'there is something to compare with'
comm -23 <(defined "$theirs") <(defined "$ours") | verdict 'each symbol of the system'\''s library'
comm -23 <(chain "$theirs" | sort) <(chain "$ours" | sort) | verdict 'each version, and what it inherits'
comm -23 <(grep "@$prefix" "$here/shim_abi.later" | sed 's/@/@@/; s/^/T /' | sort) <(defined "$ours") |
	verdict 'each symbol of later versions'
readelf -d "$ours" | grep -E 'NEEDED' | grep -vE "\[(libc|libpthread|ld-linux[^]]*|lib[atu]bsan|lib[a-z]*san|libgcc_s|librt|libdl|libm|libresolv$needs)\.so" |
	verdict 'it needs nothing but libc'
{ readelf -d "$ours" | grep -q "SONAME.*\[$name\]" || echo 'another SONAME'; } | verdict 'its name'

echo "1..$number"
[ "$failures" -eq 0 ]
