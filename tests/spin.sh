#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# spin.sh MODEL.pml - the model has no violation and no dead end; with each switch that its head names in capitals, it has
set -u
model=$(realpath "$1")
command -v spin >/dev/null || { echo '1..0 # SKIP spin is not installed'; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# errors [SWITCH] - how many pan finds, or what went wrong
errors() {
	spin -a "$@" "$model" >spin.out 2>&1 || { cat spin.out; return; }
	"${CC:-cc}" -O1 -w -DSAFETY -DCOLLAPSE -o pan pan.c || return
	./pan -m100000 -v >pan.out 2>&1
	sed -n 's/.*depth reached [0-9]*, errors: //p' pan.out
}

mapfile -t switches < <(sed -n '/^#if/s/.*\b\([A-Z][A-Z]*_[A-Z_]*\).*/\1/p' "$model" | sort -u)
echo "1..$((1 + ${#switches[@]}))"
n=1
if [ "$(errors)" = 0 ]; then
	echo "ok 1 - as it is"
else
	echo "not ok 1 - as it is"
	sed 's/^/# /' pan.out
fi
for s in "${switches[@]}"; do
	n=$((n + 1))
	if [ "$(errors "-D$s")" = 1 ]; then
		echo "ok $n - fails with $s"
	else
		echo "not ok $n - fails with $s"
	fi
done
