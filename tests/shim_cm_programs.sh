#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/shim_cm_programs.sh LIBRARY - programs from Debian's packages that connect by address, unmodified, over the drop-in librdmacm
# and the libibverbs beside it, as an ordinary user; two processes of each. As TAP. Run by root it takes a network of its own, and
# gives root up.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/shim_head.sh
. "$(dirname "$0")/shim_head.sh"

# start FILE COMMAND... - a server, its pid in $server
start() {
	local out=$1
	shift
	timeout 60 "${run[@]}" "$@" >"$out" 2>&1 &
	server=$!
}

# as_client COMMAND... - a client, which comes again while the server doesn't listen yet; what it says is in client.out
as_client() {
	local status
	while :; do
		timeout 60 "${run[@]}" "$@" >client.out 2>&1
		status=$?
		grep -qE 'REJECTED|UNREACHABLE|refused|blka 8|rejected|ould not connect' client.out && kill -0 "$server" 2>/dev/null || return "$status"
		sleep 0.1
	done
}

# pair "SERVER'S WORDS" "CLIENT'S WORDS" - both must succeed. They begin again if a client with many connections, whose first ones came
# before the server listened, ended both of them; or if libfabric's ofi_rxm took the flush of its own end for an error: on a busy machine
# it does at times, after all has been transferred and compared.
pair() {
	local client status s c again
	read -ra s <<<"$1"
	read -ra c <<<"$2"
	if ! command -v "${s[0]}" >/dev/null; then
		skip "$2"
		return
	fi
	for again in 1 2 3 4 5; do
		start server.out "${s[@]}"
		as_client "${c[@]}"
		client=$?
		wait "$server"
		status=$?
		if [ "$client" -eq 0 ] && [ "$status" -eq 0 ]; then break; fi
		if [ $again = 5 ] || ! grep -qE 'REJECTED, error: 8|Work Request Flushed Error' client.out server.out; then break; fi
	done
	[ "$client" -eq 0 ] && [ "$status" -eq 0 ]
	verdict "$1, $2" $? "client $client, server $status; $(tail -n 8 client.out server.out)"
}

# same PORT_OPTION "WORDS" [ADDRESS...] - both ends have the same words, and a port of their own; the client the address behind them
same() {
	port=$((port + 1))
	pair "$2 $1 $port" "$2 $1 $port ${*:3}"
}

# --- rdmacm-utils ---
for a in 127.0.0.1 127.0.0.5 ::1; do
	port=$((port + 1))
	pair "rping -s -a $a -p $port -C 10 -V" "rping -c -a $a -p $port -C 10 -V"
done
port=$((port + 1))
pair "rping -s -a 0.0.0.0 -p $port -C 10 -S 60000" "rping -c -a 127.0.0.1 -p $port -C 10 -S 60000"
port=$((port + 1))
pair "rping -s -a :: -p $port -C 10" "rping -c -a 127.0.0.1 -p $port -C 10"
same -p 'ucmatose -c 1' -s 127.0.0.1
same -p 'ucmatose -c 50 -C 3 -S 4096' -s 127.0.0.1
same -p 'ucmatose -f ip -b 127.0.0.1' -s 127.0.0.1
same -p 'ucmatose -t 8' -s 127.0.0.1
same -p 'ucmatose -m' -s 127.0.0.1
pair udaddy 'udaddy -s 127.0.0.1'
pair 'udaddy -c 10 -C 3' 'udaddy -c 10 -C 3 -s 127.0.0.1'
pair 'udaddy -p 0x0002' 'udaddy -p 0x0002 -s 127.0.0.1'
port=$((port + 1))
pair "rdma_server -p $port" "rdma_client -s 127.0.0.1 -p $port"
for t in r x; do
	port=$((port + 1))
	pair "rdma_xserver -p $port -c $t" "rdma_xclient -s 127.0.0.1 -p $port -c $t"
done

# A server that stays, and clients at once.
if command -v rping >/dev/null; then
	port=$((port + 1))
	start server.out rping -s -P -a 127.0.0.1 -p "$port"
	children+=("$server")
	as_client rping -c -a 127.0.0.1 -p "$port" -C 3
	status=$?
	pids=()
	for i in 1 2 3 4 5 6; do
		timeout 60 "${run[@]}" rping -c -a 127.0.0.1 -p "$port" -C 20 -V >"client$i.out" 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || status=$?
	done
	verdict 'rping -s -P with six clients at once' "$status" "$(tail -n 4 client*.out server.out)"

	# One whose client is killed goes on with the next.
	: >killed.out
	timeout 60 "${run[@]}" rping -c -a 127.0.0.1 -p "$port" -C 1000000 -v >killed.out 2>&1 &
	killed=$!
	until grep -q rdma-ping-9: killed.out || ! kill -0 "$killed"; do sleep 0.05; done
	pkill -9 -P "$killed"
	wait "$killed" 2>/dev/null
	as_client rping -c -a 127.0.0.1 -p "$port" -C 3
	verdict 'rping -s -P whose client is killed' $? "$(tail -n 4 client.out server.out)"
	kill "$server"
	wait "$server" 2>/dev/null

	# One that waits for a peer which is killed is told, and ends.
	port=$((port + 1))
	: >killed.out # what it says of another client is over
	start server.out rping -s -a 127.0.0.1 -p "$port" -C 1000000 -d
	timeout 60 "${run[@]}" rping -c -a 127.0.0.1 -p "$port" -C 1000000 -v >killed.out 2>&1 &
	killed=$!
	until grep -q rdma-ping-9: killed.out; do
		if ! kill -0 "$killed" 2>/dev/null; then
			timeout 60 "${run[@]}" rping -c -a 127.0.0.1 -p "$port" -C 1000000 -v >killed.out 2>&1 &
			killed=$!
		fi
		sleep 0.05
	done
	pkill -9 -P "$killed"
	wait "$killed" 2>/dev/null
	wait "$server"
	status=$?
	[ "$status" -ne 124 ] && grep -q DISCONNECT server.out
	verdict 'rping -s whose client is killed is told so' $? "status $status; $(tail -n 5 server.out)"

	out=$(timeout 20 "${run[@]}" rping -c -a 127.0.0.1 -p 9 -C 1 2>&1)
	grep -q 'RDMA_CM_EVENT_REJECTED, error 8' <<<"$out"
	verdict 'nobody listens' $? "$out"
	out=$(timeout 20 "${run[@]}" rping -c -a 192.0.2.1 -p 9 -C 1 2>&1)
	grep -qE 'RDMA_CM_EVENT_ADDR_ERROR, error -1(10|13)' <<<"$out"
	verdict 'an address of another host' $? "$out"
else
	skip 'rping -s -P'
fi

# cmtime's server has no end.
if command -v cmtime >/dev/null; then
	port=$((port + 1))
	start server.out cmtime -p "$port"
	children+=("$server")
	as_client cmtime -s 127.0.0.1 -p "$port" -c 1000
	status=$?
	grep -q '^destroy' client.out || status=1
	verdict 'cmtime -c 1000' "$status" "$(cat client.out server.out)"
	kill "$server"
	wait "$server" 2>/dev/null
else
	skip cmtime
fi

# --- sockets; the numbers of transfers are small, but for one run of calls that wait. The others try again without an end, so that on
# a busy machine each message costs a slice of time ---
same -p 'rstream -T b' -s 127.0.0.1
for t in '-S 64' '-T b -T v -S 100000' '-T n -T v -S 100000' '-T a -T v -S 5000' '-T a -T n -S 64' '-T r -S 4096' '-B 8192 -T v -S 50000' \
	'-k 5 -i 128 -S 100' '-T v -S 1000000'; do
	same -p "rstream -C 50 $t" -s 127.0.0.1
done
port=$((port + 1))
pair "rstream -p $port -f ipv6 -b ::1 -C 50 -S 1000" "rstream -p $port -f ipv6 -s ::1 -C 50 -S 1000"
for t in '-S 4096' '-T b -T v -S 100000' '-T n -T v -S 5000' '-T a -T v -S 1000000'; do
	same -p "riostream -C 50 $t" -s 127.0.0.1
done

# Servers that have no end.
if command -v rcopy >/dev/null; then
	port=$((port + 1))
	start server.out rcopy -p "$port"
	children+=("$server")
	head -c 20000000 /dev/urandom >from.bin
	mkdir copies
	chmod 777 copies
	chmod 644 from.bin
	as_client rcopy from.bin "127.0.0.1:$dir/copies/to.bin" -p "$port"
	cmp from.bin copies/to.bin
	verdict 'rcopy of 20 MB' $? "$(tail -n 5 client.out server.out)"
	kill "$server"
	wait "$server" 2>/dev/null
else
	skip rcopy
fi
if command -v udpong >/dev/null; then
	for t in '-S 100 -C 200' '-T a -S 1000 -C 200' '-T b -T e -S 1000 -C 200'; do
		port=$((port + 1))
		read -ra words <<<"$t"
		start server.out udpong -b 127.0.0.1 -p "$port" "${words[@]}"
		children+=("$server")
		as_client udpong -s 127.0.0.1 -p "$port" "${words[@]}"
		verdict "udpong $t" $? "$(tail -n 5 client.out server.out)"
		kill "$server"
		wait "$server" 2>/dev/null
	done
else
	skip udpong
fi

# Datagrams to a group before it has members are lost, so the sender goes on until the receiver has all.
if command -v mckey >/dev/null; then
	for g in 239.1.2.3 ff0e::77; do
		a=127.0.0.1
		[[ $g != *:* ]] || a=::1
		start server.out mckey -m "$g" -b "$a"
		while kill -0 "$server" 2>/dev/null; do
			timeout 60 "${run[@]}" mckey -m "$g" -b "$a" -s >client.out 2>&1
		done
		wait "$server"
		status=$?
		verdict "mckey -m $g" "$status" "$(tail -n 5 client.out server.out)"
	done
else
	skip mckey
fi

# --- rdma-core's own tests, where the package brings them; the address that they look for in sysfs is named ---
python=/usr/bin/python3
suite=/usr/share/doc/rdma-core/tests
if [ -x $python ] && [ -d $suite ] && $python -c 'import importlib.util as u; exit(not u.find_spec("pyverbs"))'; then
	cp -r $suite tests
	gunzip -f tests/*.gz
	rm -f tests/test_mlx5* tests/test_efa* tests/test_cuda*
	sed -i "s/^        if not self.ip_addr:/        self.ip_addr = self.ip_addr or '127.0.0.1'\\n&/" tests/base.py
	chmod -R a+rX tests
	out=$(timeout 120 "${run[@]}" $python -B tests/run_tests.py -v tests.test_rdmacm 2>&1)
	[[ $out =~ $'\nOK' ]] && ! grep -q skipped <<<"$out"
	verdict "rdma-core's own tests of librdmacm" $? "$(awk '/^(ERROR|FAIL):|skipped/ { on = 1 } on' <<<"$out" | tail -n 60)"
else
	skip "rdma-core's own tests of librdmacm"
fi

# --- perftest ---
for t in write read send; do
	same -p "ib_${t}_bw -R -F -n 50" 127.0.0.1
	same -p "ib_${t}_lat -R -F -n 50" 127.0.0.1
done
same -p 'ib_send_bw -R -F -q 4 -n 50' 127.0.0.1
same -p 'ib_send_bw -R -F -c UD -n 50' 127.0.0.1

# --- qperf: only tests of RC connect by address ---
if command -v qperf >/dev/null; then
	port=$((port + 1))
	start server.out qperf -lp "$port"
	children+=("$server")
	until grep -q "$(printf ':%04X .* 0A ' "$port")" /proc/net/tcp /proc/net/tcp6 || ! kill -0 "$server"; do sleep 0.05; done
	for t in rc_lat rc_bw rc_rdma_write_lat rc_rdma_read_lat rc_fetch_add_mr; do
		timeout 60 "${run[@]}" qperf -lp "$port" -cm1 -t 1 127.0.0.1 "$t" >client.out 2>&1
		status=$?
		[ "$status" -eq 0 ] && ! grep -q fail client.out
		verdict "qperf -cm1 $t" $? "status $status; $(tail -n 8 client.out server.out)"
	done
	kill "$server"
	wait "$server" 2>/dev/null
else
	skip qperf
fi

# --- fio ---
# fio_pair VERB BYTES DEPTH
fio_pair() {
	local what="fio --ioengine=rdma --verb=$1 --bs=$2 --iodepth=$3"
	port=$((port + 1))
	start server.out fio --name=server --ioengine=rdma --port="$port" --rw=read --bs="$2" --size=4m --iodepth="$3"
	as_client fio --name=client --ioengine=rdma --hostname=127.0.0.1 --port="$port" --verb="$1" --rw=write --bs="$2" --size=4m \
		--iodepth="$3"
	status=$?
	wait "$server"
	verdict "$what" $((status + $?)) "$(tail -n 12 client.out server.out)"
}
if command -v fio >/dev/null && fio --enghelp 2>/dev/null | grep -qw rdma; then
	fio_pair write 4k 1
	fio_pair write 64k 16
	fio_pair write 1m 4
	fio_pair read 64k 16
	fio_pair send 64k 16
	fio_pair send 4k 64
else
	skip 'fio --ioengine=rdma'
fi

# --- libfabric, which compares what comes ---
# fi_pair TYPE PROVIDER
fi_pair() {
	port=$((port + 1))
	pair "fi_pingpong -p $2 -e $1 -I 100 -c -B $port" "fi_pingpong -p $2 -e $1 -I 100 -c -P $port 127.0.0.1"
}
fi_pair msg verbs
fi_pair rdm 'verbs;ofi_rxm'
fi_pair rdm 'verbs;ofi_rxd'
fi_pair dgram verbs
if command -v fi_info >/dev/null; then
	out=$("${run[@]}" fi_info -p verbs 2>&1)
	for t in FI_EP_MSG FI_EP_DGRAM FI_EP_RDM; do
		grep -q "$t" <<<"$out"
		verdict "fi_info -p verbs: $t" $? "$out"
	done
else
	skip fi_info
fi

# --- uDAPL, whose ports are its own ---
if command -v dapltest >/dev/null; then
	echo 'ofa-v2-lo u2.0 nonthreadsafe default libdaplofa.so.2 dapl.2.0 "lo 0" ""' >dat.conf
	plain=("${run[@]}")
	run+=("DAT_OVERRIDE=$dir/dat.conf")
	for t in 'dtest -b 4096' dtestsrq 'dtestcm -c 50'; do
		pair "$t -P ofa-v2-lo" "$t -P ofa-v2-lo -h 127.0.0.1"
	done
	start server.out dapltest -T S -D ofa-v2-lo
	children+=("$server")
	for t in 'T -i 20 -t 2 -w 4 -V client SR 4096 server SR 4096' 'T -i 20 -t 2 -w 2 -V client RW 4096 server RR 4096' \
		'P -i 100 -p 10 -m b RR 65536 3' 'P -i 100 -p 10 -m p RW 4096 2' Q; do
		read -ra words <<<"$t"
		as_client dapltest -T "${words[0]}" -s 127.0.0.1 -D ofa-v2-lo "${words[@]:1}"
		verdict "dapltest -T $t" $? "$(tail -n 8 client.out server.out)"
	done
	wait "$server"
	verdict 'dapltest -T S ends' $? "$(tail -n 8 server.out)"
	run=("${plain[@]}")
else
	skip dapltest
fi

# --- librpma: a program of ours, as the package has none ---
if [ -f /usr/include/librpma.h ]; then
	out=$(gcc -Wall -o rpma "$tests/shim_rpma.c" -lrpma -libverbs 2>&1)
	verdict 'librpma: the program builds' $? "$out"
	port=$((port + 1))
	start server.out ./rpma 127.0.0.1 "$port" server
	as_client ./rpma 127.0.0.1 "$port"
	client=$?
	wait "$server"
	status=$?
	[ "$client" -eq 0 ] && [ "$status" -eq 0 ]
	verdict 'librpma' $? "client $client, server $status; $(tail -n 8 client.out server.out)"
else
	skip 'librpma'
fi

# --- QEMU: live migration; the memory is compared ---
if command -v qemu-system-x86_64 >/dev/null && [ -x $python ]; then
	cp "$tests/shim_migrate.py" migrate.py
	mkdir machines
	chmod 777 machines
	chmod 644 migrate.py
	for t in '' rdma-pin-all source-dies destination-dies; do
		port=$((port + 1))
		# shellcheck disable=SC2086 # a word or none
		out=$(cd machines && rm -f ./* && timeout 120 "${run[@]}" $python -B ../migrate.py "$port" $t 2>&1)
		verdict "qemu-system-x86_64, live migration $t" $? "$out"
	done
else
	skip 'qemu-system-x86_64, live migration'
fi

# --- MPI over libfabric, and UCX with connections by address ---
if [ -x $python ] && $python -c 'import importlib.util as u; exit(not u.find_spec("mpi4py"))'; then
	cp "$tests/shim_sum.py" sum.py
	chmod 644 sum.py
	mpi=("${run[@]}" HOME=/ OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 'FI_PROVIDER=verbs;ofi_rxm')
	out=$(timeout 60 "${mpi[@]}" mpirun.openmpi -n 3 --oversubscribe --mca pml cm --mca mtl ofi \
		--mca mtl_ofi_provider_include 'verbs;ofi_rxm' $python -B sum.py 2>&1)
	grep -q 'the sum is 6' <<<"$out"
	verdict 'mpirun --mca mtl ofi, verbs;ofi_rxm' $? "$out"
else
	skip 'mpirun --mca mtl ofi'
fi
if ! command -v io_demo >/dev/null; then
	skip io_demo
elif ! device_file; then
	skip io_demo 'no mount namespace of its own'
else
	gid=$(gid_of_loopback)
	plain=("${run[@]}")
	run=("${with_file[@]}" "${run[@]}" "UCX_TLS=rc_v,ud_v,self" "UCX_IB_GID_INDEX=$gid" UCX_SOCKADDR_TLS_PRIORITY=rdmacm
		UCX_WARN_UNUSED_ENV_VARS=n)
	for t in '' ' -A'; do
		port=$((port + 1))
		words=(-p "$port" -d 64:300000 -q ${t:+-A})
		start server.out io_demo "${words[@]}"
		children+=("$server")
		as_client io_demo "${words[@]}" -i 200 -o read,write -c inf -y 0.1 "127.0.0.1:$port"
		verdict "io_demo -q$t" $? "$(tail -n 8 client.out server.out)"
		kill "$server"
		wait "$server" 2>/dev/null
	done
	run=("${plain[@]}")
fi

echo "1..$number"
[ "$failures" -eq 0 ]
