#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/cli_lint_demo.sh PROGRAM - softhca lint-demo from outside, as TAP: the lines
# that it names are those of the source, and without a ledger it fails.
set -u

softhca=$1
here=$(cd "$(dirname "$0")/.." && pwd)
source=ulp/srp/broken.c
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export LC_ALL=C
unset SOFTHCA_LEDGER
demo=("$softhca" lint-demo)
number=0 failures=0

# verdict NAME STATUS [WHAT HAPPENED] - one TAP line
verdict() {
	number=$((number + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		awk '{ print "# " $0 }' <<<"${3:-}"
		failures=$((failures + 1))
	fi
}

# ends NAME STATUS WORDS COMMAND... - it ends with that status and says those words, on standard error where it isn't 0
ends() {
	local name=$1 status=$2 words=$3 got
	shift 3
	"$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	if [ "$status" -eq 0 ]; then
		[ "$got" -eq 0 ] && grep -qF -- "$words" "$dir/out"
	else
		[ "$got" -eq "$status" ] && grep -qF -- "$words" "$dir/err"
	fi
	verdict "$name" $? "status $got; $(tail -n 20 "$dir/out" "$dir/err")"
}

# is NAME COMMAND... - the command succeeds
is() {
	local name=$1 out
	shift
	out=$("$@" 2>&1)
	verdict "$name" $? "$out"
}

# --- help and refusals ---
ends '--help of all lists it' 0 'lint-demo ' "$softhca" --help
ends '--help' 0 '--json' "${demo[@]}" --help
is 'help lint-demo is the same' cmp <("$softhca" help lint-demo) <("${demo[@]}" --help)
ends 'an option that there is not' 2 "no option '--all'" "${demo[@]}" --all
ends 'a word' 2 "can't make anything of 'srp'" "${demo[@]}" srp
ends '--json with an argument' 2 '--json takes no argument' "${demo[@]}" --json=yes
ends 'a full disk behind standard output' 1 "can't be written" bash -c "'$softhca' lint-demo >/dev/full"

# --- the table ---
ends 'all of it' 0 '7 of 7 faults found, each at its line' "${demo[@]}"
is 'nothing on standard error' test ! -s "$dir/err"
is 'who breaks no rule is not blamed' grep -qE '^breaks no rule +nothing; data right +nothing$' "$dir/out"
is 'the plain adapter never says anything, and its data are right' \
	test "$(grep -c '  nothing; data right  ' "$dir/out")" = 8
is 'no row is wrong' bash -c "! grep WRONG '$dir/out'"

# named FAULT MISUSE CODE - this fault has its line named, below a mark in the source, and that line has this code
named() {
	local line
	line=$(sed -nE "s|.*$2, $source:([0-9]+)\$|\\1|p" "$dir/out")
	if [ -n "$line" ] && sed -n "$((line - 1))p" "$here/$source" | grep -q 'CULPRIT(b);' &&
		sed -n "${line}p" "$here/$source" | grep -qF "$3"; then
		verdict "$1" 0
	else
		verdict "$1" 1 "line '$line': $(sed -n "${line:-1}p" "$here/$source"); $(cat "$dir/out")"
	fi
}
named 'a forgotten unmap' leak 'ib_dma_map_page(b->dev, page, 0, len, dir)'
named 'an address after its unmap' use-after-unmap 'ib_dma_unmap_page(b->dev, addr, len, dir)'
named 'a map with the wrong direction' use-direction 'ib_dma_map_page(b->dev, page, 0, len, DMA_TO_DEVICE)'
named 'a map without the question for errors' unchecked-error 'ib_dma_map_page(b->dev, page, 0, len, dir)'
named 'a second unmap' double-unmap 'ib_dma_unmap_page(b->dev, addr, len, dir)'
named 'an unmap with another size' unmap-size 'ib_dma_unmap_page(b->dev, addr, len - BLOCK, dir)'
named 'an unmap with another direction' unmap-direction 'ib_dma_unmap_page(b->dev, addr, len, DMA_TO_DEVICE)'
is 'seven marks, seven lines' test "$(grep -oE 'broken.c:[0-9]+' "$dir/out" | sort -u | wc -l)" = \
	"$(grep -c '^\s*CULPRIT(b);' "$here/$source")"

# --- JSON ---
"${demo[@]}" --json >"$dir/json" 2>"$dir/err"
verdict '--json ends with 0' $? "$(cat "$dir/err")"
is 'it has an object for each fault' python3 - "$dir/json" <<'PY'
import json, sys
rows = json.load(open(sys.argv[1]))
assert [r['fault'] for r in rows] == ['nothing', 'no-unmap', 'early-unmap', 'map-direction', 'no-check', 'two-unmaps',
                                      'unmap-size', 'unmap-direction'], rows
for r in rows:
    assert list(r) == ['fault', 'plain_reports', 'plain_data_right', 'misuse', 'file', 'line', 'true_line',
                       'verdict'], r
    assert r['plain_reports'] == 0 and r['plain_data_right'] and r['verdict'] == 'pass', r
    assert r['line'] == r['true_line'] and (r['line'] > 0) == (r['fault'] != 'nothing'), r
    assert r['file'] == ('ulp/srp/broken.c' if r['line'] else ''), r
PY
is 'nothing on standard error' test ! -s "$dir/err"

# --- the environment decides nothing ---
"${demo[@]}" >"$dir/table" 2>/dev/null
for ledger in 0 1; do
	ends "SOFTHCA_LEDGER=$ledger" 0 '7 of 7 faults found, each at its line' env SOFTHCA_LEDGER=$ledger "${demo[@]}"
	is 'the table is the same' cmp "$dir/table" "$dir/out"
	is 'nothing on standard error' test ! -s "$dir/err"
done

# --- when it can't be shown ---
if (ulimit -v 40000 && "$softhca" --version) >/dev/null 2>&1; then
	ends 'no memory for a machine' 1 'Cannot allocate memory' bash -c "ulimit -v 12000; exec '$softhca' lint-demo"
	is 'the table says that nothing was found' test "$(tail -n 1 "$dir/out")" = '0 of 8 faults found, each at its line'
	(ulimit -v 12000 && "${demo[@]}" --json) >"$dir/json" 2>/dev/null
	verdict 'a failed --json ends with 1' $(($? != 1))
	is 'it is JSON all the same, and says fail' python3 -c "
import json
rows = json.load(open('$dir/json'))
assert [r['verdict'] for r in rows] == ['fail'] * 8, rows"
else
	number=$((number + 1))
	echo "ok $number - no memory for a machine # SKIP the program itself needs more"
fi

echo "1..$number"
exit $((failures > 0))
