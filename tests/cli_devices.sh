#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/cli_devices.sh PROGRAM - softhca devices from outside, as TAP: the adapters
# that it lists, the addresses that it saw, that no limit is left out, and refusals.
set -u

softhca=$1
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export LC_ALL=C
unset SOFTHCA_LEDGER
devices=("$softhca" devices)
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
ends '--help of all lists it' 0 'devices ' "$softhca" --help
ends '--help' 0 '-v, --verbose' "${devices[@]}" --help
is 'help devices is the same' cmp <("$softhca" help devices) <("${devices[@]}" --help)
ends 'an option that there is not' 2 "no option '--all'" "${devices[@]}" --all
ends 'a letter that there is not' 2 "no option '-x'" "${devices[@]}" -x
ends 'a letter that another command has' 2 "no option '-v'" "$softhca" matrix -v
ends 'a word' 2 "can't make anything of 'ipath'" "${devices[@]}" ipath
ends 'a single dash' 2 "can't make anything of '-'" "${devices[@]}" -
ends 'letters in one word' 2 "can't make anything of '-vv'" "${devices[@]}" -vv
ends 'no adapter of that name' 2 "'mlx5' is no adapter; use one or more of ipath, ipath-refuse, dmahca" \
	"${devices[@]}" --adapters ipath,mlx5
ends 'no machine of that name' 2 "'pdp11' is no machine; use one or more of direct, iommu-strict, iommu-lazy, bounce, highmem" "${devices[@]}" --machines=pdp11
ends '--adapters without its argument' 2 '--adapters needs its argument LIST' "${devices[@]}" --adapters
ends '--json with an argument' 2 '--json takes no argument' "${devices[@]}" --json=yes
ends 'a full disk behind standard output' 1 "can't be written" bash -c "'$softhca' devices >/dev/full"
if (ulimit -v 40000 && "$softhca" --version) >/dev/null 2>&1; then
	ends 'no memory for a machine' 1 "ipath on direct: " bash -c "ulimit -v 12000; exec '$softhca' devices"
else
	number=$((number + 1))
	echo "ok $number - no memory for a machine # SKIP the program itself needs more"
fi

# --- the table ---
ends 'all of it' 0 'adapter ' "${devices[@]}"
is 'one line for each adapter and machine, and one above' test "$(wc -l <"$dir/out")" = 16
is 'nothing on standard error' test ! -s "$dir/err"
for m in direct iommu-strict iommu-lazy bounce highmem; do
	is "ipath on $m" grep -qE "^ipath +$m +virtual 0x[0-9a-f]+ +tagged 0x4d5[0-9a-f]{13}\$" "$dir/out"
	is "ipath-refuse on $m" grep -qE "^ipath-refuse +$m +virtual 0x[0-9a-f]+ +refused\$" "$dir/out"
	is "dmahca on $m" grep -qE "^dmahca +$m +bus +0x[0-9a-f]+ +bus 0x[0-9a-f]+\$" "$dir/out"
done
ends 'some of it' 0 'dmahca ' "${devices[@]}" --adapters dmahca --machines bounce,direct
is 'and no more' test "$(wc -l <"$dir/out")" = 3
ends '-v' 0 ' max_qp_wr  ' "${devices[@]}" -v --adapters ipath --machines direct
cp "$dir/out" "$dir/short"
ends '--verbose is the same word' 0 'GID[0] ' "${devices[@]}" --verbose --adapters ipath --machines direct
is 'but for where memory was' cmp <(tail -n +3 "$dir/short") <(tail -n +3 "$dir/out")

# --- JSON, and that nothing is left out ---
ends '--json' 0 '"adapter": "ipath"' "${devices[@]}" --json
is 'it is JSON, with every field of the two structures, and the limits are those of -v' \
	python3 - "$dir/out" "$dir/short" "$here/include/softhca" <<'PY'
import re, sys, json
rows = json.load(open(sys.argv[1]))
shown = dict(line.split(None, 1) for line in open(sys.argv[2]).read().splitlines() if line.startswith('        '))

def fields(header, name):
    body = re.search(r'\nstruct %s \{(.*?)\n\};' % name, open(sys.argv[3] + '/' + header).read(), re.S).group(1)
    return set(re.findall(r'(\w+);', body))

device = fields('ib_device.h', 'ib_device_attr') | {'phys_port_cnt'}
port = fields('ib_verbs.h', 'ib_port_attr')
assert len(device) > 30 and len(port) > 15
want = [(a, m) for a in ('ipath', 'ipath-refuse', 'dmahca') for m in ('direct', 'iommu-strict', 'iommu-lazy', 'bounce', 'highmem')]
assert [(r['adapter'], r['machine']) for r in rows] == want
for r in rows:
    extra = {'adapter', 'machine', 'low_memory', 'low_address', 'high_memory', 'high_address', 'ports'}
    assert set(r) == device | extra, set(r) ^ (device | extra)
    assert len(r['ports']) == r['phys_port_cnt'] == 1
    p = r['ports'][0]
    # Of the table of GIDs, the entries that are set.
    gids = {'GID[%d]' % i for i in range(p['gid_tbl_len'])} & set(p)
    tables = gids | {'P_Key[%d]' % i for i in range(p['pkey_tbl_len'])}
    assert 'GID[0]' in gids and set(p) == port | tables, set(p) ^ (port | tables)
    kinds = {'ipath': ('virtual', 'tagged'), 'ipath-refuse': ('virtual', 'refused'), 'dmahca': ('bus', 'bus')}
    assert (r['low_memory'], r['high_memory']) == kinds[r['adapter']], r
    assert (r['high_address'] == '') == (r['high_memory'] == 'refused')
    # Page sizes that a fast registration's 32-bit page_size can name, from 4,096 on.
    assert int(r['page_size_cap'], 16) == sum(1 << n for n in range(12, 32)), r['page_size_cap']
    assert r['max_qp'] > 0 and r['max_send_sge'] > 0 and p['state'] == 'ACTIVE' and p['lid'] > 0
both = {**rows[0], **rows[0]['ports'][0]}
for name in (device | port):
    assert shown[name] == str(both[name]), (name, shown[name], both[name])
PY
is 'nothing on standard error' test ! -s "$dir/err"

echo "1..$number"
exit $((failures > 0))
