#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/shim_programs.sh LIBRARY - programs from Debian's packages, unmodified, over the drop-in libibverbs, as an ordinary
# user; two processes of each, where it has two ends. As TAP. Run by root it takes a network of its own, and gives root up.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/shim_head.sh
. "$(dirname "$0")/shim_head.sh"

# await_port PORT PID - until somebody listens there, or the process has ended
await_port() {
	local hex
	hex=$(printf ':%04X' "$1")
	while kill -0 "$2" 2>/dev/null; do
		awk -v p="$hex" '$4 == "0A" && substr($2, length($2) - 4) == p { f = 1 } END { exit !f }' /proc/net/tcp /proc/net/tcp6 && return
		sleep 0.05
	done
}

# says WORDS COMMAND... - a program of one end says that
says() {
	local words=$1 out status
	shift
	if ! command -v "$1" >/dev/null; then
		skip "$*"
		return
	fi
	out=$(timeout 60 "${run[@]}" "$@" 2>&1)
	status=$?
	grep -qF -- "$words" <<<"$out" || status=1
	verdict "$*" "$status" "$out"
}

client_only=() # more arguments of the client

# pair PROGRAM ARGUMENT... - a server, and a client of it with the same arguments; both must succeed
pair() {
	local server client status
	if ! command -v "$1" >/dev/null; then
		skip "$*"
		return
	fi
	port=$((port + 1))
	timeout 120 "${run[@]}" "$@" -p "$port" >server.out 2>&1 &
	server=$!
	await_port "$port" "$server"
	timeout 120 "${run[@]}" "$@" "${client_only[@]}" -p "$port" 127.0.0.1 >client.out 2>&1
	client=$?
	wait "$server"
	status=$?
	[ "$client" -eq 0 ] && [ "$status" -eq 0 ]
	verdict "$*${client_only[*]:+ to it with ${client_only[*]}}" $? "client $client, server $status; $(tail -n 60 client.out server.out)"
}

# across PROGRAM ARGUMENT... - a server on ipath0 and a client on ipath1
across() {
	local client_only=(-d ipath1)
	pair "$@"
}

# clients N PROGRAM ARGUMENT... - a server of N clients at once
clients() {
	local n=$1 server pids=() status i
	shift
	if ! command -v "$1" >/dev/null; then
		skip "$* with $n clients"
		return
	fi
	port=$((port + 1))
	timeout 120 "${run[@]}" "$@" -c "$n" -p "$port" >server.out 2>&1 &
	server=$!
	await_port "$port" "$server"
	for ((i = 0; i < n; i++)); do
		timeout 120 "${run[@]}" "$@" -p "$port" 127.0.0.1 >"client$i.out" 2>&1 &
		pids+=($!)
	done
	wait "$server"
	status=$?
	for i in "${pids[@]}"; do
		wait "$i" || status=$?
	done
	verdict "$* with $n clients" "$status" "$(tail -n 4 client[0-9].out server.out)"
}

# --- the device ---
says ipath0 ibv_devices
says 'GID[  0]' ibv_devinfo -v
says PORT_ACTIVE ibv_devinfo -d ipath0 -i 1
SOFTHCA_LINK=ib says 'link_layer:		InfiniBand' ibv_devinfo
SOFTHCA_DEVICES=2 says ipath1 ibv_devices
SOFTHCA_DEVICES=2 SOFTHCA_LINK=ib says 'port_lid:		2' ibv_devinfo -d ipath1

# --- ibv_asyncwatch ---
# A program that waits for events: of an address that an interface gets, in a network of its own.
# shellcheck disable=SC2016 # that shell expands them
watch_events() {
	local own=(unshare -n) out
	[ "$(id -u)" = 0 ] || own=(unshare -rn)
	if ! command -v ibv_asyncwatch >/dev/null || ! command -v ip >/dev/null; then
		skip 'ibv_asyncwatch'
		return
	fi
	if ! "${own[@]}" true 2>/dev/null; then
		skip 'ibv_asyncwatch' 'no network namespace of its own'
		return
	fi
	mkdir -m 700 own_fabric
	out=$(timeout 60 "${own[@]}" env "LD_LIBRARY_PATH=$dir/lib" "SOFTHCA_FABRIC=$dir/own_fabric" bash -c '
		ip link set lo up
		stdbuf -oL ibv_asyncwatch >watch.out 2>&1 &
		until grep -q "async event FD" watch.out; do kill -0 $! || exit 1; sleep 0.05; done
		ip addr add 10.9.9.1/32 dev lo
		until grep -qi "event_type.*GID" watch.out; do kill -0 $! || exit 1; sleep 0.05; done
		kill $!' 2>&1)
	verdict 'ibv_asyncwatch: an address comes' $? "$out $(cat watch.out)"
}
watch_events

out=$(SOFTHCA_LINK=token "${run[@]}" ibv_devinfo 2>&1)
grep -qF 'SOFTHCA_LINK=token: must be' <<<"$out"
verdict 'a bad value of a variable is named' $? "$out"

# --- pyverbs, and rdma-core's own tests, where the package brings them ---
python=/usr/bin/python3
suite=/usr/share/doc/rdma-core/tests
if [ -x $python ] && $python -c 'import importlib.util as u; exit(not u.find_spec("pyverbs"))'; then
	cat >one_of_each.py <<-'END'
		import pyverbs.device, pyverbs.pd, pyverbs.mr, pyverbs.cq
		ctx = pyverbs.device.Context(name="ipath0")
		pd = pyverbs.pd.PD(ctx)
		mr = pyverbs.mr.MR(pd, 4096, 1)
		cq = pyverbs.cq.CQ(ctx, 10)
		print(ctx.name, ctx.query_device().max_qp, cq.poll()[0])
	END
	says ipath0 $python one_of_each.py
	if [ -d $suite ]; then
		cp -r $suite tests
		gunzip -f tests/*.gz
		rm -f tests/test_mlx5* tests/test_efa* tests/test_cuda*
		chmod -R a+rX tests
		out=$(timeout 300 "${run[@]}" $python -B tests/run_tests.py -v 2>&1)
		[[ $out =~ $'\nOK' ]]
		verdict "rdma-core's own tests" $? "$(awk '/^(ERROR|FAIL):/ { on = 1 } on' <<<"$out" | tail -n 60)"
	else
		skip "rdma-core's own tests"
	fi
else
	skip 'pyverbs'
fi

# --- ibverbs-utils ---
for t in rc uc srq; do
	pair "ibv_${t}_pingpong" -g 0
	pair "ibv_${t}_pingpong" -g 0 -e
done
pair ibv_ud_pingpong -g 0
pair ibv_ud_pingpong -g 0 -e
pair ibv_ud_pingpong -g 0 -c -s 1024
for t in rc srq; do
	pair "ibv_${t}_pingpong" -g 0 -c -n 100
done
pair ibv_uc_pingpong -g 0 -c -n 100
pair ibv_rc_pingpong -g 0 -t
pair ibv_rc_pingpong -g 0 -o
pair ibv_rc_pingpong -g 0 -o -P
pair ibv_rc_pingpong -g 0 -j
pair ibv_rc_pingpong -g 0 -N
pair ibv_rc_pingpong -g 0 -N -t
pair ibv_srq_pingpong -g 0 -q 16 -n 500
for s in 1 7 64 4095 65536 65537 1048576 8388608; do
	pair ibv_rc_pingpong -g 0 -c -n 20 -s "$s"
done
# The second device, and from the first one to it.
SOFTHCA_DEVICES=2 pair ibv_rc_pingpong -d ipath1 -g 0
SOFTHCA_DEVICES=2 pair ibv_rc_pingpong -d ipath1 -g 1 -e -c -n 100
SOFTHCA_DEVICES=2 SOFTHCA_LINK=ib pair ibv_rc_pingpong -d ipath1
SOFTHCA_DEVICES=2 pair ibv_ud_pingpong -d ipath1 -g 0
SOFTHCA_DEVICES=2 across ibv_rc_pingpong -g 0
SOFTHCA_DEVICES=2 SOFTHCA_LINK=ib across ibv_rc_pingpong
SOFTHCA_LINK=ib pair ibv_rc_pingpong
SOFTHCA_LINK=ib pair ibv_ud_pingpong

# --- perftest ---
for t in write read send; do
	pair "ib_${t}_bw" -F -a -n 20
	pair "ib_${t}_bw" -F -b -n 100
	pair "ib_${t}_bw" -F -q 16 -n 50
	pair "ib_${t}_lat" -F -a -n 5
done
for t in ib_read_bw ib_send_bw ib_read_lat ib_send_lat; do
	pair "$t" -F -e -n 50
done
for t in ib_write_bw ib_send_bw ib_write_lat ib_send_lat; do
	pair "$t" -F -I 64 -s 32 -n 100
	pair "$t" -F -c UC -n 50
done
for t in ib_send_bw ib_send_lat; do
	pair "$t" -F -c UD -n 50
	pair "$t" -F --use-srq -n 50
done
pair ib_send_bw -F -r 16 -t 8 -n 100
pair ib_write_bw -F -t 1 -n 100
pair ib_write_bw -F -D 1
pair ib_send_bw -F -D 1
pair ib_write_bw -F -l 4 -n 100
for t in ib_atomic_bw ib_atomic_lat; do
	pair "$t" -F -n 50
	pair "$t" -F -A CMP_AND_SWAP -n 50
done
pair ib_atomic_bw -F -q 16 -n 20
pair ib_atomic_bw -F -b -n 20

# --- XRC. The programs name their domains by files in /tmp, which may be another user's. ---
xrc_files=() xrc_strange=
for f in /tmp/xrc_domain /tmp/xrc_domain_client /tmp/xrc_domain_server; do
	if [ ! -e "$f" ]; then
		xrc_files+=("$f")
	elif ! "${as_user[@]}" test -O "$f"; then
		xrc_strange=$f
	fi
done
pair ibv_xsrq_pingpong -g 0
pair ibv_xsrq_pingpong -g 0 -n 200
pair ibv_xsrq_pingpong -g 0 -n 100 -e
pair ibv_xsrq_pingpong -g 0 -n 100 -o
pair ibv_xsrq_pingpong -g 0 -n 20 -s 1048577
SOFTHCA_LINK=ib pair ibv_xsrq_pingpong
clients 3 ibv_xsrq_pingpong -g 0 -n 50
clients 3 ibv_xsrq_pingpong -g 0 -n 50 -e
xrc_pair() {
	if [ -n "$xrc_strange" ]; then
		skip "$*" "$xrc_strange is another user's"
	else
		pair "$@"
	fi
}
for t in send write read; do
	xrc_pair "ib_${t}_bw" -F -c XRC -n 100
	xrc_pair "ib_${t}_bw" -F -c XRC -b -n 50
	xrc_pair "ib_${t}_bw" -F -c XRC -s 1048577 -n 10
	xrc_pair "ib_${t}_lat" -F -c XRC -n 50
done
xrc_pair ib_send_bw -F -c XRC -q 4 -n 50
xrc_pair ib_send_bw -F -c XRC -e -n 50
xrc_pair ib_send_lat -F -c XRC -e -n 50
for t in ib_atomic_bw ib_atomic_lat; do
	xrc_pair "$t" -F -c XRC -n 50
	xrc_pair "$t" -F -c XRC -A CMP_AND_SWAP -n 50
done
[ ${#xrc_files[@]} -eq 0 ] || rm -f "${xrc_files[@]}"

# --- qperf, which knows LIDs alone ---
if command -v qperf >/dev/null; then
	port=$((port + 1))
	SOFTHCA_LINK=ib timeout 300 "${run[@]}" qperf -lp "$port" >qperf.out 2>&1 &
	children+=($!)
	await_port "$port" $!
	for t in rc_bw rc_bi_bw rc_lat rc_rdma_read_bw rc_rdma_read_lat rc_rdma_write_bw rc_rdma_write_lat rc_rdma_write_poll_lat \
		rc_compare_swap_mr rc_fetch_add_mr uc_bw uc_bi_bw uc_lat uc_rdma_write_bw uc_rdma_write_lat uc_rdma_write_poll_lat \
		ud_bw ud_bi_bw ud_lat ver_rc_compare_swap ver_rc_fetch_add; do
		out=$(SOFTHCA_LINK=ib timeout 60 "${run[@]}" qperf -lp "$port" -t 1 127.0.0.1 "$t" 2>&1)
		status=$?
		[ "$status" -eq 0 ] && ! grep -q fail <<<"$out"
		verdict "qperf $t" $? "$out"
	done
else
	skip qperf
fi

# --- UCX, alone and under two MPIs ---
# ucx TRANSPORTS PAIR... - both ends between addresses of IPv4
ucx() {
	local gid status plain=("${run[@]}")
	if ! device_file; then
		skip "UCX_TLS=$1 ${*:2}" 'no mount namespace of its own'
		return
	fi
	gid=$(gid_of_loopback)
	run=("${with_file[@]}" "${run[@]}" "UCX_TLS=$1" "UCX_IB_GID_INDEX=$gid" UCX_WARN_UNUSED_ENV_VARS=n HOME=/
		OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
	"${@:2}"
	run=("${plain[@]}")
}

for t in tag_lat tag_bw ucp_am_bw stream_bw ucp_put_lat ucp_put_bw ucp_get ucp_fadd ucp_cswap; do
	ucx rc_v,ud_v,self pair ucx_perftest -t "$t" -n 200 -w 10
done
ucx rc_v,ud_v,self pair ucx_perftest -t tag_bw -s 65537 -n 50 -w 10
ucx rc_v,ud_v,self pair ucx_perftest -t ucp_put_bw -s 1048577 -n 10 -w 10
ucx ud_v,self pair ucx_perftest -t tag_lat -n 200 -w 10
ucx ud_v,self pair ucx_perftest -t tag_bw -s 65537 -n 50 -w 10
if [ -x $python ] && $python -c 'import importlib.util as u; exit(not u.find_spec("mpi4py"))'; then
	cp "$tests/shim_sum.py" sum.py
	chmod 644 sum.py
	ucx rc_v,ud_v,self says 'the sum is 6' mpirun -n 3 --oversubscribe --mca pml ucx $python -B sum.py
else
	skip mpirun
fi

if command -v mpicc.mpich >/dev/null; then
	out=$(mpicc.mpich -o sum "$tests/shim_sum.c" 2>&1)
	verdict 'MPICH: the program builds' $? "$out"
	ucx rc_v,ud_v,self says 'the sum is 6, the counter 300' mpirun.mpich -launcher fork -n 3 ./sum
	ucx ud_v,self says 'the sum is 6, the counter 300' mpirun.mpich -launcher fork -n 3 ./sum
else
	skip mpirun.mpich
fi

# --- a peer that dies is told of ---
if command -v ibv_rc_pingpong >/dev/null; then
	port=$((port + 1))
	timeout 120 "${run[@]}" ibv_rc_pingpong -g 0 -n 100000000 -p "$port" >server.out 2>&1 &
	server=$!
	await_port "$port" "$server"
	"${as_user[@]}" env "LD_LIBRARY_PATH=$dir/lib" "SOFTHCA_FABRIC=$dir/fabric" \
		ibv_rc_pingpong -g 0 -n 100000000 -p "$port" 127.0.0.1 >client.out 2>&1 &
	client=$!
	sleep 1
	kill -9 "$client"
	wait "$client" 2>/dev/null
	wait "$server"
	status=$?
	[ "$status" -ne 124 ] && grep -q 'Failed status' server.out
	verdict 'ibv_rc_pingpong whose peer is killed' $? "status $status; $(tail -n 5 server.out)"
	says ipath0 ibv_devices
	# The next process takes away what is left of the dead one.
	timeout 60 "${run[@]}" ibv_devinfo >/dev/null 2>&1
	out=$(ls -A "$dir/fabric")
	[ -z "$out" ]
	verdict 'nothing is left in the fabric' $? "$out"
fi

echo "1..$number"
[ "$failures" -eq 0 ]
