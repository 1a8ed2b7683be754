#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# examples/ci/try.sh - does RDMA work here? What a job runs before its own tests: the device, two programs of Debian's
# packages ibverbs-utils and perftest that reach each other, and what 'softhca doctor' says of this machine. No adapter, no
# kernel module, no root. Ends with status 0 if all of it worked.
set -eu

softhca=${SOFTHCA:-softhca}
SOFTHCA_FABRIC=$(mktemp -d)
export SOFTHCA_FABRIC
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi; rm -rf "$SOFTHCA_FABRIC"' EXIT

# pair PROGRAM WORD... - one as a server, and the same as its client, which is tried again until the server listens
pair() {
	"$softhca" run "$@" >"$SOFTHCA_FABRIC/server.log" 2>&1 &
	server=$!
	tries=0
	until "$softhca" run "$@" 127.0.0.1 >"$SOFTHCA_FABRIC/client.log" 2>&1; do
		tries=$((tries + 1))
		if [ "$tries" -ge 100 ] || ! kill -0 "$server" 2>/dev/null; then
			cat "$SOFTHCA_FABRIC/server.log" "$SOFTHCA_FABRIC/client.log"
			return 1
		fi
		sleep 0.1
	done
	wait "$server"
	server=
	cat "$SOFTHCA_FABRIC/client.log"
}

"$softhca" doctor || true # it says what this machine lacks, and what that costs
"$softhca" run ibv_devinfo
pair ibv_rc_pingpong -g 0 -c
pair ib_write_bw -F -n 1000
echo 'RDMA works here'
