#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/cli_status.sh PROGRAM - softhca status from outside, as TAP: of programs over the drop-in libibverbs beside the
# command, of forged files whose contents are known, and of files that make no sense.
set -u

softhca=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
lib=$(dirname "$softhca")
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
children=()
# shellcheck disable=SC2317 # called by the trap
clean_up() {
	for c in "${children[@]}"; do kill -9 "$c" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap clean_up EXIT
export LC_ALL=C TZ=UTC
unset SOFTHCA_FABRIC SOFTHCA_LOG SOFTHCA_LINK SOFTHCA_NO_VM
fabric=$dir/fabric
mkdir -m 700 "$fabric"
status=("$softhca" status --fabric "$fabric")
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

skip() {
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# ends NAME STATUS WORDS COMMAND... - it ends with that status and says those words
ends() {
	local name=$1 want=$2 words=$3 got
	shift 3
	"$@" >"$dir/out" 2>&1 </dev/null
	got=$?
	[ "$got" -eq "$want" ] && grep -qF -- "$words" "$dir/out"
	verdict "$name" $? "status $got; $(tail -n 30 "$dir/out")"
}

# says NAME WORDS - the last command said that as well
says() {
	grep -qE -- "$2" "$dir/out"
	verdict "$1" $? "$(tail -n 30 "$dir/out")"
}

# json NAME PYTHON - of the fabric as it is, in f; by number, in node
json() {
	local out
	out=$("${status[@]}" -v --json 2>&1 | python3 -c 'import json, sys
f = json.load(sys.stdin)
node = {n["node"]: n for n in f["nodes"]}
ring = {(r["from"], r["to"]): r for r in f["rings"]}
'"$2" 2>&1)
	verdict "$1" $? "$out"
}

# await COMMAND... - until it succeeds, or half a minute is over
await() {
	local _
	for _ in {1..600}; do
		"$@" >/dev/null 2>&1 && return
		sleep 0.05
	done
	return 1
}

# stopped PID - has each of its threads stopped?
stopped() {
	! cut -d ')' -f 2- /proc/"$1"/task/*/stat | grep -qvE '^ [Tt] '
}

# --- words and refusals ---
ends '--help of all lists it' 0 'status ' "$softhca" --help
ends '--help' 0 '--fabric DIR' "$softhca" status --help
ends 'an option that there is not' 2 "no option '--all'" "${status[@]}" --all
ends 'an option without its argument' 2 '--fabric needs its argument' "$softhca" status --fabric
ends 'a word' 2 "can't make anything of" "${status[@]}" 1
# shellcheck disable=SC2016 # that shell expands them
ends 'its manual names each option' 0 '' bash -c '
	"$0" status --help | grep -o -- "--[a-z-]*" | sort -u | while read -r o; do
		grep -qE -- "(Fl|,) ${o#-}" "$1" || { echo "$o"; exit 1; }
	done; echo done' "$softhca" "$here/man/softhca-status.1"

# --- nothing there ---
ends 'an empty fabric' 0 "$fabric: no process has the device open" "${status[@]}"
json 'an empty fabric as JSON' "assert f == {'fabric': '$fabric', 'nodes': [], 'rings': []}, f"
ends 'no directory' 0 "$dir/none: no process has the device open" "$softhca" status --fabric "$dir/none"
[ ! -e "$dir/none" ]
verdict 'none is made' $?
ends 'the directory of the environment' 0 "$dir/none2: no process" env SOFTHCA_FABRIC="$dir/none2" "$softhca" status
mkdir -m 755 "$dir/open"
ends 'a directory that others may enter' 1 "$dir/open is no directory of yours" "$softhca" status --fabric "$dir/open"
: >"$dir/plain"
ends 'a file' 1 "$dir/plain: Not a directory" "$softhca" status --fabric "$dir/plain"
ln -s "$fabric" "$dir/link"
ends 'a link' 1 "$dir/link: " "$softhca" status --fabric "$dir/link"
if [ "$(id -u)" = 0 ]; then
	install -d -m 700 -o 65534 "$dir/theirs"
	ends "another user's directory" 1 "$dir/theirs is no directory of yours" "$softhca" status --fabric "$dir/theirs"
else
	skip "another user's directory" 'only root can make one'
fi
mkdir -m 700 "$dir/"$'a"\\\n\x01\xffb\xc3\xa9'
"$softhca" status --json --fabric "$dir/"$'a"\\\n\x01\xffb\xc3\xa9' |
	python3 -c 'import json, sys; assert json.load(sys.stdin)["fabric"].endswith("/a\"\\\n\x01\ufffdb\u00e9")'
verdict 'a directory with any name is a JSON string' $?
ends 'a full disk behind standard output' 1 "can't be written" bash -c "'$softhca' status --fabric '$fabric' >/dev/full"

# --- two programs ---
sanitized() {
	readelf -d "$lib/libibverbs.so.1" 2>/dev/null | grep -qE 'NEEDED.*lib[a-z]*san' ||
		nm -D "$lib/libibverbs.so.1" | grep -qE ' U __(a|t|ub)san_'
}

# Two ends that run until they are killed.
programs() {
	local port=$((20000 + RANDOM % 20000)) server client
	local run=(env "LD_LIBRARY_PATH=$lib" "SOFTHCA_FABRIC=$fabric" ibv_rc_pingpong -g 0 -n 2000000000 -p "$port")

	"${run[@]}" >"$dir/server.out" 2>&1 &
	server=$!
	children+=("$server")
	await grep -q 'local address' "$dir/server.out"
	ends 'a server that waits' 0 "pid $server, ibv_rc_pingpong, since 2" "${status[@]}"
	says 'its queue pair' '^ +16384 +RC +INIT +- +-$'
	says 'its helper' 'its helper sleeps$'
	says 'its device' '^  device: ipath0$'
	json 'the same as JSON' "
n = node[1]
assert list(node) == [1] and f['rings'] == [] and n['state'] == 'live'
assert n['pid'] == $server and n['command'] == 'ibv_rc_pingpong' and n['helper_asleep'] is True
import datetime
age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(n['started'].replace('Z', '+00:00'))
assert datetime.timedelta(seconds=-3) < age < datetime.timedelta(seconds=300), age
q, = n['queue_pairs']
assert (q['number'], q['type'], q['state'], q['peer_node'], q['peer_number']) == (16384, 'RC', 'INIT', None, None), q
assert n['device'] == 'ipath0' and n['keys'] == 0 and n['damaged'] == 0 and n['uses'] == []"

	SOFTHCA_DEVICES=2 "${run[@]}" -d ipath1 127.0.0.1 >"$dir/client.out" 2>&1 &
	client=$!
	children+=("$client")
	await test -e "$fabric/ring.1.2"
	await bash -c "'$softhca' status --fabric '$fabric' | grep -qE '^ +32768 +RC +RTS'"
	ends 'two that talk' 0 "pid $server, ibv_rc_pingpong" "${status[@]}"
	says 'the client' "^node 2: pid $client, ibv_rc_pingpong"
	says "the client's device" '^  device: ipath1$'
	says "the server's queue pair" '^ +16384 +RC +RTS +node 2, 32768 '
	says "the client's queue pair" '^ +32768 +RC +RTS +node 1, 16384 '
	says 'a ring' '^ +1 +2 +requests +[0-9]+ +[0-9]+ +[0-9]+$'
	json 'the same as JSON, bytes that were written' "
assert node[1]['users'] == [2] and node[2]['users'] == [1]
assert node[1]['device'] == 'ipath0' and node[2]['device'] == 'ipath1'
assert set(ring) == {(1, 2), (2, 1)}
for r in ring.values():
    assert r['state'] == 'live', r
    l = r['requests']
    assert l['written'] > 0 and 0 <= l['waiting'] <= l['size'] and l['blocked'] is False, r"
	says 'what the queue pairs have done' '^ +sent [1-9][0-9]* requests, [1-9][0-9]* bytes; received [1-9][0-9]*, [1-9][0-9]* bytes; 0 errors, 0 retries$'
	json 'the same as JSON: each message is received once' "
a, b = (node[i]['queue_pairs'][0]['counters'] for i in (1, 2))
for c in a, b:
    assert c['errors'] == 0 and c['received'] > 0 and c['requests'] > 0, c
    assert c['bytes'] % 4096 == 0 and c['received_bytes'] == 4096 * c['received'], c
    assert abs(c['bytes'] - 4096 * c['requests']) <= 4096, c"
	kill -0 "$server" && kill -0 "$client"
	verdict 'they go on' $?

	kill -STOP "$server"
	await stopped "$server"
	ends 'one that is stopped' 0 "pid $server, ibv_rc_pingpong" "${status[@]}"
	kill -CONT "$server"

	# The other end removes a dead peer's files: it is stopped meanwhile.
	kill -STOP "$client"
	await stopped "$client"
	kill -9 "$server"
	wait "$server" 2>/dev/null
	ends 'one that was killed' 0 "node 1: leftover of pid $server, which has ended" "${status[@]}"
	says 'the other one' "^node 2: pid $client, ibv_rc_pingpong"
	says 'their ring' '^ +1 +2 +requests .* leftover$'
	json 'the same as JSON' "
assert node[1] == {'node': 1, 'state': 'leftover', 'pid': $server}, node[1]
assert node[2]['state'] == 'live' and all(r['state'] == 'leftover' for r in ring.values())"
	kill -CONT "$client"
	kill -9 "$client"
	wait "$client" 2>/dev/null
	ends 'both killed' 0 "$fabric: no process has the device open" "${status[@]}"
	rm -f "$fabric"/*
}

if [ ! -e "$lib/libibverbs.so.1" ]; then
	skip 'programs' 'there is no drop-in libibverbs beside the command'
elif sanitized; then
	skip 'programs' 'a program that is not sanitized does not load a sanitized library'
elif ! command -v ibv_rc_pingpong >/dev/null; then
	skip 'programs' 'there is no ibv_rc_pingpong; it is in the package ibverbs-utils'
else
	programs
fi

# --- forged files ---
# forge.py MODE SEED - a fabric in the current directory by include/softhca/abi/fabric.h; then "ready", and it holds the
# locks until it is killed.
cat >"$dir/forge.py" <<'PY'
import fcntl, os, random, struct, sys, threading, time

MAGIC, MASK = 0x66616873, (1 << 64) - 1
START = int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[19])
held = []


def lock(name):
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.fcntl(fd, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
    held.append(fd)


def node(number, qps=(), keys=(), pid=None, start=START, stamp=None, magic=MAGIC, version=2, as_number=None,
         qps_at=8192, keys_at=8192 + 65536, qp_slots=2048, key_slots=1024, vm=1, joined=0, sleeping=0, marks=0, uses=(),
         plain=(), users=(), hold=True, size=None):
    head = bytearray(8192)
    struct.pack_into('<IIIi6QQ', head, 0, magic, version, as_number or number, pid or os.getpid(), start,
                     stamp or 1000 + number, qps_at, keys_at, qp_slots | key_slots << 32, vm | joined << 32, 0)
    struct.pack_into('<I', head, 80, marks)
    struct.pack_into('<I', head, 192, sleeping)
    for i, use in uses:
        struct.pack_into('<Q', head, 704 + 64 * i, use)
    for i, n in plain:
        struct.pack_into('<Q', head, 712 + 64 * i, n)
    for u in users:
        head[576 + u // 8] |= 1 << u % 8
    with open(f'node.{number}', 'wb') as f:
        f.write(head)
        for seq, qpn, type, state, rd, access, pd, peer in qps:
            f.seek(8192 + 32 * (qpn % 2048))
            f.write(struct.pack('<IIBBBBIQQ', seq, qpn, type, state, rd, 0, access, pd, peer))
        for slot, seq, key, access, qpn, iova, length, pd in keys:
            f.seek(8192 + 65536 + 64 * slot)
            f.write(struct.pack('<IIIIQQQQIIQ', seq, key, access, qpn, iova, length, 0, pd, 0, 0, 0))
        f.truncate(size or 8192 + 65536 + (1 << 24))
    if hold:
        lock(f'node.{number}')


def ring(a, b, lanes=((5, 5, 0), (0, 0, 0)), magic=MAGIC, version=2, from_=None, stamps=None, sizes=(1 << 17, 1 << 18),
         size=None):
    head = bytearray(4096)
    s = stamps or (1000 + a, 1000 + b)
    struct.pack_into('<IIIIQQII', head, 0, magic, version, from_ or a, b, s[0], s[1], *sizes)
    for i, (h, t, wanted) in enumerate(lanes):
        struct.pack_into('<Q', head, 64 + 128 * i, h)
        struct.pack_into('<QI', head, 128 + 128 * i, t, wanted)
    with open(f'ring.{a}.{b}', 'wb') as f:
        f.write(head)
        f.truncate(size or 4096 + sizes[0] + sizes[1])


def known():
    open('/proc/self/comm', 'w').write('a\x1b[31m"\\\n)')
    q = 1 << 14
    node(1, sleeping=1, joined=3, marks=3, uses=[(0, 0), (1, 7 << 32 | 2), (2, 9 << 32), (5, 4)],
         plain=[(0, 1 << 40), (2, 3), (3, 7)], users=[2, 1023],
         qps=[(2, q + 1, 2, 3, 16, 0xe, 5, 2 << 32 | 0x8001), (2, q + 2, 3, 2, 0, 2, 5, 0), (4, q + 3, 4, 6, 0, 0, 5, 0),
              (4, q + 4, 9, 1, 0, 0, 5, 0), (4, q + 5, 10, 4, 1, 1 << 20, 5, 0), (4, q + 6, 2, 5, 1, 0x1f, 5, 0),
              (2, q + 7, 2, 0, 0, 0, 5, 0),  # RESET
              (3, q + 8, 2, 3, 0, 0, 5, 0),  # its writer died in the middle of it
              (2, q + 9, 77, 3, 0, 0, 5, 0), (2, q + 10, 2, 99, 0, 0, 5, 0),
              (2, 2 * q + 11, 2, 3, 0, 0, 5, 0)],  # another node's
         keys=[(3, 2, 0x301, 0x6, 0xffffffff, 0x7f0000001000, 4096, 5), (1023, 2, 0x3ff42, 0x80000009, 3, 0, 8192, 6),
               (4, 2, 0x501, 6, 0, 0, 1, 5),  # in a wrong slot
               (5, 1, 0x501, 6, 0, 0, 1, 5), (6, 8, 0, 6, 0, 0, 1, 5),  # never written to the end; taken back
               (1024, 2, 0x40001, 6, 0, 0, 1, 5)])  # beyond what is told
    node(2, vm=0, start=START + 1, keys=[(1, 2, 0x101, 4, 0, 0, MASK, 1), (2, 2, 0x201, 4, 0, 0, 2, 1)])
    node(3, hold=False, pid=4242)
    node(1023, magic=0)
    ring(1, 2, lanes=((1 << 40, (1 << 40) - 808, 1), (16, 16, 0)))
    ring(2, 1, lanes=((5, 6, 0), (1 << 30, 0, 1)))  # read before it was written; more than there is room
    ring(1, 3)
    ring(2, 2, stamps=(1, 1002))


def nonsense():
    q, r = 1 << 14, 1 << 31
    node(1, magic=1)
    node(2, version=1)
    node(3, as_number=4)
    node(4, qp_slots=3)
    node(5, qp_slots=1 << 20)
    node(6, key_slots=0xffffffff)
    node(7, qps_at=MASK - 63)
    node(8, keys_at=1 << 40)
    node(9, qps_at=64)
    node(10, qps_at=8193)
    node(11, key_slots=1 << 24, size=8192 + 65536 + (1 << 30) - 64)
    node(12, size=100)
    node(13, size=8192)
    open('node.14', 'w').close()
    open('node.15', 'w').close()
    lock('node.15')
    os.mkdir('node.16')
    os.mkfifo('node.17')
    os.symlink('/etc/passwd', 'node.18')
    os.symlink('node.19', 'node.19')
    open('node.20', 'wb').write(os.urandom(5000))
    node(21, qp_slots=0)
    node(22, pid=-1)
    node(23, pid=0x7fffffff, marks=0xffffffff, uses=[(i, MASK) for i in range(64)],
         plain=[(i, MASK) for i in range(64)], users=range(1024))
    node(24, key_slots=1 << 24, size=8192 + 65536 + (1 << 30))  # as many as there may be, and nothing in them
    for name in ('node.0', 'node.1024', 'node.01', 'node.1x', 'node.-1', 'node.4294967297', 'ring.0.1', 'ring.1.1024',
                 'ring.1', 'ring.01.2', 'ring.1.2.3', 'other'):
        open(name, 'w').write('x')
    ring(1, 2, magic=0)
    ring(1, 3, version=7)
    ring(1, 4, from_=9)
    ring(1, 5, sizes=(0, 0))
    ring(1, 6, sizes=(r, r), size=10000)
    ring(1, 7, sizes=(131073, 1 << 17))
    ring(1, 8, size=5000)
    ring(1, 9, size=10)
    os.mkfifo('ring.1.10')


# Files of random bytes, or good ones with some of their bytes changed, which go on changing, shrinking and growing.
def restless(seed):
    rnd = random.Random(seed)
    for n in range(1, 9):
        node(n, qps=[(2, (n << 14) + i, 2, 3, 1, 6, 1, 0) for i in range(500)],
             keys=[(i, 2, i << 8, 6, 0, 0, 1, 1) for i in range(1, 1000)])
        ring(n, n % 8 + 1)
    names = [f'node.{n}' for n in range(1, 9)] + [f'ring.{n}.{n % 8 + 1}' for n in range(1, 9)]
    good = {n: open(n, 'rb').read(1 << 18) for n in names}

    def work():
        while True:
            name = rnd.choice(names)
            with open(name, 'r+b') as f:
                what = rnd.randrange(8)
                if what == 0:
                    f.truncate(rnd.choice((0, 10, 4096, 8192, 70000, 100000)))
                elif what == 1:
                    f.truncate(1 << 25)
                elif what == 2:
                    f.write(good[name])
                elif what == 3:
                    f.write(rnd.randbytes(rnd.choice((8, 100, 8192, 100000))))
                else:
                    f.seek(rnd.choice((rnd.randrange(96), rnd.randrange(8192), rnd.randrange(1 << 17))))
                    f.write(rnd.choice((rnd.randbytes(rnd.choice((1, 4, 8, 64))), b'\xff' * 8, bytes(8))))

    threading.Thread(target=work, daemon=True).start()


mode = sys.argv[1]
if mode == 'restless':
    restless(int(sys.argv[2]))
else:
    globals()[mode]()
print('ready', flush=True)
time.sleep(3600)
PY

# forge MODE [SEED] - in an emptied fabric; sets $forger
forge() {
	rm -rf "${fabric:?}"/* "$dir/forge.out" # the "ready" of another one isn't this one's
	(cd "$fabric" && exec python3 "$dir/forge.py" "$@") >"$dir/forge.out" 2>&1 &
	forger=$!
	children+=("$forger")
	await grep -q ready "$dir/forge.out" || verdict "the forger of $1" 1 "$(cat "$dir/forge.out")"
}

forget() {
	kill -9 "$forger"
	wait "$forger" 2>/dev/null
}

forge known
ends 'a forged node' 0 "node 1: pid $forger, a?[31m\"\\?), since 2" "${status[@]}" -v
says 'multicast groups' '^  multicast groups: 3$'
says 'a use' '^  thread 1 copies from or to node 2$'
says 'a key' '^ +0x00000301 +0x00007f0000001000 +4096 +remote_write,remote_read$'
says 'the sum of the keys' '^  keys that peers may use: 2, for 12288 bytes$'
says 'entries that make no sense' '^  entries that make no sense: 6$'
says 'a pid that is another process by now' "^node 2: pid $forger, which is no process that can be seen from here; its helper is awake; its memory"
says 'pieces that went by plain stores' '^ +memory that both processes map: 1099511627779 pieces$'
says 'a process that is not ready' '^node 1023: a process that opens the device'
says 'a ring whose writer waits' '^ +1 +2 +requests +131072 +808 +1099511627776 +node 1 waits for room$'
says 'a ring that cannot be' '^ +2 +1 +requests +131072 +\? +\?'
! grep -q $'\x1b' "$dir/out"
verdict "a program's name sends nothing to the terminal" $?
"${status[@]}" >"$dir/out"
! grep -q 0x00000301 "$dir/out"
verdict 'without -v no key by itself' $?
json 'the same as JSON' "
n, q = node[1], 1 << 14
assert sorted(node) == [1, 2, 3, 1023]
assert n['command'] == 'a?[31m\"\\\\?)' and n['helper_asleep'] and n['direct'] and n['groups'] == 3 and n['damaged'] == 6, n
assert [(p['number'] - q, p['type'], p['state'], p['access']) for p in n['queue_pairs']] == [
    (1, 'RC', 'RTS', ['remote_write', 'remote_read', 'remote_atomic']), (2, 'UC', 'RTR', ['remote_write']),
    (3, 'UD', 'ERR', []), (4, 'XRC_SEND', 'INIT', []), (5, 'XRC_RECV', 'SQD', []),
    (6, 'RC', 'SQE', ['local_write', 'remote_write', 'remote_read', 'remote_atomic', 'mw_bind'])], n
p = n['queue_pairs'][0]
assert (p['peer_node'], p['peer_number'], p['rd_limit'], p['pd']) == (2, 0x8001, 16, 5), p
assert n['queue_pairs'][1]['peer_node'] is None
assert n['keys'] == 2 and n['key_bytes'] == 12288
assert n['key_list'] == [
    {'rkey': 0x301, 'addr': '0x7f0000001000', 'length': 4096, 'access': ['remote_write', 'remote_read'], 'pd': 5},
    {'rkey': 0x3ff42, 'addr': '0x0', 'length': 8192, 'access': ['local_write', 'remote_atomic', 'mw'], 'pd': 6}], n
assert n['plain'] == (1 << 40) + 3, n
assert n['uses'] == [{'thread': 1, 'node': 2, 'count': 7}] and n['users'] == [2, 1023], n
m = node[2]
assert m['command'] is None and m['started'] is None and not m['direct'] and not m['helper_asleep'], m
assert m['keys'] == 2 and m['key_bytes'] == 2 ** 64 - 1, m
assert node[3] == {'node': 3, 'state': 'leftover', 'pid': 4242} and node[1023] == {'node': 1023, 'state': 'starting'}
assert {k: r['state'] for k, r in ring.items()} == {(1, 2): 'live', (2, 1): 'live', (1, 3): 'leftover', (2, 2): 'leftover'}
r = ring[1, 2]
assert r['requests'] == {'size': 131072, 'waiting': 808, 'written': 1 << 40, 'blocked': True}, r
assert r['replies'] == {'size': 262144, 'waiting': 0, 'written': 16, 'blocked': False}, r
for lane in ring[2, 1]['requests'], ring[2, 1]['replies']:
    assert lane['waiting'] is None and lane['written'] is None, lane"
(cd "$fabric" && find . -type f -exec sha256sum {} +) | sort >"$dir/before"
"${status[@]}" >/dev/null
(cd "$fabric" && find . -type f -exec sha256sum {} +) | sort | cmp - "$dir/before"
verdict 'nothing was written' $?
forget

forge nonsense
ends 'files that make no sense' 0 'node 1: unreadable: ' "${status[@]}" -v
json 'each says why' "
states = {n: node[n]['state'] for n in node}
want = {n: 'unreadable' for n in range(1, 25)}
want.update({12: 'starting', 15: 'starting', 14: 'leftover', 20: 'leftover', 22: 'live', 23: 'live', 24: 'live'})
assert states == want, {n: (states.get(n), want.get(n)) for n in set(states) | set(want) if states.get(n) != want.get(n)}
assert all(node[n]['why'] for n in node if states[n] == 'unreadable')
assert node[22]['command'] is None and node[23]['command'] is None and 'pid' not in node[14]
assert len(node[23]['uses']) == 64 and node[24]['keys'] == 0
assert set(ring) == {(1, n) for n in range(2, 11)} and all(r['state'] == 'unreadable' and r['why'] for r in ring.values())"
forget
ends 'all of them leftovers' 0 'no process has the device open' "${status[@]}"

# --- files that change all the time ---
for seed in 1 2 3; do
	forge restless "$seed"
	out=$(python3 -c 'import json, subprocess, sys
for i in range(20):
    for how in ["--json"], []:
        p = subprocess.run(sys.argv[1:] + ["-v"] + how, capture_output=True)
        assert p.returncode == 0 and p.stdout and not p.stderr, (i, p)
        if how:
            json.loads(p.stdout)' "${status[@]}" 2>&1)
	verdict "files that change, shrink and grow all the time, seed $seed" $? "$(tail -n 20 <<<"$out")"
	forget
done

echo "1..$number"
[ "$failures" -eq 0 ]
