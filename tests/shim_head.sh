# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# tests/shim_head.sh LIBRARY - how scripts begin that run programs over the drop-in LIBRARY and the libibverbs beside it: sourced by
# them with their arguments. It gives root up, in a network of its own, and leaves the script in an empty directory, with
# "${run[@]}" to run a program, "verdict" and "skip" for a line of TAP, "port" for a number, and children that end with the script.

lib=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
export LC_ALL=C

if readelf -d "$lib" 2>/dev/null | grep -qE 'NEEDED.*lib[a-z]*san' || nm -D "$lib" | grep -qE ' U __(a|t|ub)san_'; then
	echo '1..0 # SKIP a program that is not sanitized does not load a sanitized library'
	exit 0
fi

# --- an ordinary user, in a network of its own ---
if [ "$(id -u)" = 0 ]; then
	if [ -z "${SHIM_OWN_NETWORK:-}" ] && unshare -n true 2>/dev/null; then
		exec env SHIM_OWN_NETWORK=1 unshare -n "$self" "$lib"
	fi
	[ -z "${SHIM_OWN_NETWORK:-}" ] || ip link set lo up
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
else
	as_user=()
fi

dir=$(mktemp -d)
children=()
# shellcheck disable=SC2317 # called by the trap
clean_up() {
	for c in "${children[@]}"; do kill "$c" 2>/dev/null; done
	wait
	rm -rf "$dir"
}
trap clean_up EXIT
mkdir "$dir/lib" "$dir/fabric"
cp "$lib" "$dir/lib"
[ -e "$dir/lib/libibverbs.so.1" ] || cp "$(dirname "$lib")/libibverbs.so.1" "$dir/lib"
chmod 755 "$dir" "$dir/lib"
chmod 700 "$dir/fabric"
[ ${#as_user[@]} -eq 0 ] || chown 65534:65534 "$dir/fabric"
cd "$dir" || exit 1
# shellcheck disable=SC2034 # for the script
run=("${as_user[@]}" env "LD_LIBRARY_PATH=$dir/lib" "SOFTHCA_FABRIC=$dir/fabric")
number=0 failures=0
# shellcheck disable=SC2034 # for the script
port=$((20000 + RANDOM % 20000))

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
	echo "ok $number - $1 # SKIP ${2:-not installed}"
}

# device_file - afterwards "${with_file[@]}" runs a program in a mount namespace in which the device has a file, whichever: here /dev/null.
# UCX uses a device only if it finds one. Fails if there is no such namespace.
device_file() {
	cat >with_file.sh <<'END'
set -e
mount -t tmpfs none "$1"
cd "$1"
shift
for f in null zero full random urandom tty ptmx; do
	[ -e "/dev/$f" ] || continue
	: >"$f"
	mount --bind "/dev/$f" "$f"
done
for d in shm pts; do
	mkdir "$d"
	[ ! -d "/dev/$d" ] || mount --rbind "/dev/$d" "$d"
done
ln -s /proc/self/fd fd
mkdir infiniband
: >infiniband/uverbs0
mount --bind /dev/null infiniband/uverbs0
mount --rbind . /dev
cd "$OLDPWD"
exec "$@"
END
	mkdir -p dev
	with_file=(unshare -m bash "$dir/with_file.sh" "$dir/dev")
	[ ${#as_user[@]} -gt 0 ] || with_file=(unshare -rm bash "$dir/with_file.sh" "$dir/dev")
	"${with_file[@]}" true 2>/dev/null
}

# gid_of_loopback - the index of the device's GID that 127.0.0.1 has
gid_of_loopback() {
	"${run[@]}" ibv_devinfo -v | sed -n 's/.*GID\[ *\([0-9]*\)\]:[[:space:]]*::ffff:127\.0\.0\.1,.*/\1/p'
}
