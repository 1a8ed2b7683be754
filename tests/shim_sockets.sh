#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/shim_sockets.sh LIBRARY - programs of plain sockets, unmodified, over the librspreload that lies beside the drop-in librdmacm
# LIBRARY, as an ordinary user. As TAP. Run by root it takes a network of its own, and gives root up.
set -u

tests=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/shim_head.sh
. "$(dirname "$0")/shim_head.sh"

ours=$dir/lib/librspreload.so.1
cp "$(dirname "$lib")/librspreload.so.1" "$ours"
cp "$tests/shim_sockets.py" program.py
chmod 644 program.py
mkdir work
chmod 777 work
sockets=("${run[@]}" "LD_PRELOAD=$ours")
python=/usr/bin/python3

# start FILE COMMAND... - a server over RDMA, its pid in $server
start() {
	local out=$1
	shift
	timeout 60 "${sockets[@]}" "$@" >"$out" 2>&1 &
	server=$!
	children+=("$server")
}

# as_client COMMAND... - a client over RDMA, which comes again while the server doesn't listen yet; what it says is in client.out
as_client() {
	local status
	while :; do
		timeout 60 "${sockets[@]}" "$@" >client.out 2>&1
		status=$?
		[ "$status" -eq 0 ] || ! kill -0 "$server" 2>/dev/null && return "$status"
		grep -qE 'refused|Failed to connect' client.out || return "$status"
		sleep 0.1
	done
}

# no_tcp - the system has no socket of $port
no_tcp() {
	! grep -q "$(printf ':%04X ' "$port")" /proc/net/tcp /proc/net/tcp6 /proc/net/udp
}

# --- its names ---
names() {
	nm -D "$1" | awk '$2 == "T" { print $3 }' | sort
}
theirs=$(dirname "$(env -u LD_LIBRARY_PATH gcc -print-file-name=librdmacm.so.1)")/rsocket/librspreload.so.1
if [ -f "$theirs" ]; then
	out=$(comm -23 <(names "$theirs") <(names "$ours"))
	[ -z "$out" ] && [ "$(names "$theirs" | wc -l)" -gt 20 ]
	verdict "each name of the system's librspreload" $? "$out"
else
	skip "each name of the system's librspreload"
fi

# --- calls of sockets, from Python ---
for case in stream one_thread waiting epoll options numbers files datagrams several_messages children; do
	port=$((port + 10))
	out=$(cd work && timeout 60 "${sockets[@]}" $python ../program.py $case "$port" 2>&1)
	verdict "sockets: $case" $? "$out"
done

port=$((port + 10))
out=$(timeout 60 "${sockets[@]}" RDMAV_FORK_SAFE=1 $python program.py forks "$port" 2>&1)
verdict 'a server that forks for each connection' $? "$out"

port=$((port + 1))
start server.out $python program.py receiver "$port"
as_client $python program.py exits "$port"
client=$?
wait "$server"
status=$?
[ "$client" -eq 0 ] && [ "$status" -eq 0 ]
verdict 'what is sent arrives if the program exits without closing' $? "client $client, server $status; $(cat client.out server.out)"

port=$((port + 1))
"${run[@]}" $python -c '
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); print("listening", flush=True)
c = s.accept()[0]
while part := c.recv(100): c.sendall(part)' "$port" >server.out 2>&1 &
server=$!
children+=("$server")
until grep -q listening server.out || ! kill -0 "$server" 2>/dev/null; do sleep 0.05; done
out=$(timeout 60 "${sockets[@]}" $python program.py falls_back "$port" 2>&1)
verdict 'a connection to a program without the library is TCP' $? "$out$(cat server.out)"

# --- HTTP ---
if command -v curl >/dev/null; then
	port=$((port + 1))
	head -c 20000000 /dev/urandom >work/from.bin
	chmod 644 work/from.bin
	start server.out $python -m http.server -b 127.0.0.1 -d work "$port"
	as_client curl -sS --noproxy '*' -o work/to.bin "http://127.0.0.1:$port/from.bin"
	cmp work/from.bin work/to.bin && no_tcp
	verdict 'python3 -m http.server and curl, 20 MB' $? "$(tail -n 5 client.out server.out)"
	timeout 60 "${run[@]}" curl -sS --noproxy '*' "http://127.0.0.1:$port/" >client.out 2>&1
	[ $? -eq 7 ]
	verdict 'curl without the library is refused' $? "$(cat client.out)"
	kill "$server"
	wait "$server" 2>/dev/null
else
	skip 'python3 -m http.server and curl'
fi

# --- iperf3 ---
if command -v iperf3 >/dev/null; then
	for t in '' -R; do
		port=$((port + 1))
		start server.out iperf3 -s -1 -p "$port"
		# shellcheck disable=SC2086 # a word or none
		as_client iperf3 -c 127.0.0.1 -p "$port" -n 20M $t &
		client=$!
		while kill -0 "$client" 2>/dev/null && no_tcp; do sleep 0.02; done
		no_tcp
		tcp=$?
		wait "$client" && wait "$server" && [ "$tcp" -eq 0 ] && grep -q 'receiver' client.out
		verdict "iperf3 $t" $? "$(tail -n 5 client.out server.out)"
	done
else
	skip iperf3
fi

# --- socat ---
if command -v socat >/dev/null; then
	head -c 3000000 /dev/urandom >work/from.bin
	port=$((port + 1))
	start server.out socat -u "TCP4-LISTEN:$port" CREATE:work/socat.bin
	as_client socat -u FILE:work/from.bin "TCP4:127.0.0.1:$port"
	wait "$server" && cmp work/from.bin work/socat.bin
	verdict 'socat, a file over IPv4' $? "$(tail -n 5 client.out server.out)"

	port=$((port + 1))
	start server.out socat -t 30 "TCP6-LISTEN:$port" EXEC:cat
	as_client socat -t 30 'FILE:work/from.bin!!CREATE:work/back.bin' "TCP6:[::1]:$port"
	status=$?
	wait "$server" && [ "$status" -eq 0 ] && cmp work/from.bin work/back.bin
	verdict 'socat, an echo over IPv6' $? "$(tail -n 5 client.out server.out)"
else
	skip socat
fi

# --- servers that wait by epoll or by poll(): one alone, one before it, one of several threads ---
if command -v lighttpd >/dev/null && command -v curl >/dev/null; then
	port=$((port + 1))
	printf '%s\n' "server.document-root = \"$dir/work\"" "server.port = $port" 'server.bind = "127.0.0.1"' \
		'server.event-handler = "poll"' >lighttpd.conf
	chmod 644 lighttpd.conf
	start lighttpd.out lighttpd -D -f lighttpd.conf
	as_client curl -sS --noproxy '*' -o work/to.bin "http://127.0.0.1:$port/from.bin"
	cmp work/from.bin work/to.bin && no_tcp
	verdict 'lighttpd and curl' $? "$(tail -n 5 client.out lighttpd.out)"
	echo program >work/program
	as_client curl -sS --noproxy '*' -Z --parallel-max 8 -f -o 'work/part#1' "http://127.0.0.1:$port/program?[1-40]"
	status=$?
	for i in {1..40}; do cmp work/program "work/part$i" || status=1; done
	verdict 'lighttpd and curl, eight connections at once' "$status" "$(tail -n 5 client.out lighttpd.out)"
	if command -v haproxy >/dev/null; then
		behind=$port port=$((port + 1))
		printf '%s\n' defaults 'mode http' 'timeout connect 20s' 'timeout client 60s' 'timeout server 60s' 'frontend f' \
			"bind 127.0.0.1:$port" 'default_backend b' 'backend b' "server s 127.0.0.1:$behind" >haproxy.cfg
		chmod 644 haproxy.cfg
		start haproxy.out haproxy -db -f haproxy.cfg
		as_client curl -sS --noproxy '*' -f -o work/to.bin "http://127.0.0.1:$port/from.bin"
		cmp work/from.bin work/to.bin && no_tcp
		verdict 'haproxy, before lighttpd' $? "$(tail -n 5 client.out haproxy.out)"
	else
		skip 'haproxy'
	fi
else
	skip 'lighttpd and curl'
fi
if command -v memcached >/dev/null && command -v memcslap >/dev/null; then
	port=$((port + 1))
	start server.out memcached -l 127.0.0.1 -p "$port" -U 0 -t 2
	until "${sockets[@]}" memcping --servers="127.0.0.1:$port" >client.out 2>&1 || ! kill -0 "$server" 2>/dev/null; do sleep 0.1; done
	for t in set get; do
		as_client memcslap --servers="127.0.0.1:$port" --concurrency=4 --execute-number=200 --test=$t && no_tcp &&
			grep -q "800 keys by" client.out
		verdict "memcached and memcslap --test=$t" $? "$(tail -n 5 client.out server.out)"
	done
else
	skip 'memcached and memcslap'
fi
if command -v nginx >/dev/null && command -v ab >/dev/null; then
	port=$((port + 1))
	echo program >work/program
	{
		printf '%s\n' 'daemon off; master_process off; error_log stderr;' "pid $dir/work/nginx.pid;" 'events { use epoll; }' 'http {' 'access_log off;'
		for t in client_body proxy fastcgi uwsgi scgi; do echo "${t}_temp_path $dir/work/nginx;"; done
		printf '%s\n' "server { listen 127.0.0.1:$port; root $dir/work; } }"
	} >nginx.conf
	chmod 644 nginx.conf
	start nginx.out nginx -e stderr -c "$dir/nginx.conf"
	for t in '' -k; do
		# shellcheck disable=SC2086 # a word or none
		as_client ab $t -n 300 -c 8 "http://127.0.0.1:$port/program" && no_tcp && grep -q 'Complete requests: *300' client.out &&
			grep -q 'Failed requests: *0' client.out
		verdict "nginx and ab $t" $? "$(tail -n 5 client.out nginx.out)"
	done
else
	skip 'nginx and ab'
fi
if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
	port=$((port + 1))
	start redis.out redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$dir/work"
	as_client redis-cli -p "$port" set a b
	as_client redis-benchmark -p "$port" -n 2000 -c 10 -q -t set,get,lrange_300 && no_tcp && grep -q 'GET: [0-9.]* requests per second' client.out
	verdict 'redis-server and redis-benchmark' $? "$(tail -n 5 client.out redis.out)"
else
	skip 'redis-server and redis-benchmark'
fi

echo "1..$number"
[ "$failures" -eq 0 ]
