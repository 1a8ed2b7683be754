#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/deps.sh SET [VARIANT...] - see that the Debian packages of a set are there, and
# install those that are not; of the set `check`, what these variants need, or all of them.
# Called by every make target; says nothing and touches nothing when all is there, else how far
# it is. Never fetches from anywhere but the machine's own Debian sources. SOFTHCA_DEPS=skip leaves
# the machine alone. SOFTHCA_DEPS=list only prints the names, a line each.
set -uo pipefail

# shellcheck source=tools/progress.sh
. "$(dirname "$0")/progress.sh"

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

[ "${SOFTHCA_DEPS:-}" = skip ] && exit 0

die() {
	echo "deps: $*" >&2
	exit 1
}

build='gcc libc6-dev libibverbs-dev librdmacm-dev make meson ninja-build pkg-config liburcu-dev nettle-dev nbdkit-plugin-dev'
run="$build coreutils e2fsprogs"
bench="$build nbdkit libnbd-bin valgrind ibverbs-utils perftest ucx-utils libfabric-bin rdmacm-utils fio"
# The unit and thread tests, and those of the softhca command and of the plugin.
tests="$build libcmocka-dev binutils ccache"
cli="$tests coreutils e2fsprogs util-linux nbdkit libnbd-bin libiscsi-bin qemu-utils fio strace ibverbs-utils"
clang='clang libclang-rt-dev'
native=$(dpkg --print-architecture 2>/dev/null)

# variant NAME - what a variant of the check needs
variant() {
	case $1 in
	gcc)
		echo "$cli spin perftest qperf curl iperf3 socat python3-pyverbs rdmacm-utils iproute2 ucx-utils libfabric-bin openmpi-bin"
		echo "python3-mpi4py mpich libmpich-dev dapl2-utils librpma-dev qemu-system-x86 lighttpd haproxy memcached libmemcached-tools"
		;;
	clang) echo "$tests $clang" ;;
	joined | classic) echo "$cli" ;;
	asan | tsan) echo "$cli $clang" ;;
	# A compiler and libraries that only this architecture has beside its own.
	m32) [ "$native" != amd64 ] || echo "$cli gcc-multilib libc6-dev-i386 libcmocka-dev:i386 liburcu-dev:i386 nettle-dev:i386" ;;
	lint) echo "$tests sparse cppcheck clang clang-tidy clang-format shellcheck perl" ;;
	install) echo "$run binutils g++ iproute2 libnbd-bin mandoc nbdkit perftest util-linux" ;;
	fuzz) echo "$build $clang ccache" ;;
	run) echo "$run" ;;
	# Machines to boot the module on, and what the kernel's own build tools need.
	kernel) [ "$native" != amd64 ] || echo "$build sparse qemu-system-x86 libelf1 pahole perl xz-utils" ;;
	*) die "no packages are known for the variant '$1'" ;;
	esac
}

set=${1:-}
shift $(($# < 1 ? $# : 1))
case $set in
build) want=$build ;;
run) want=$run ;;
check | soak)
	# shellcheck disable=SC2046 # a list of names
	[ $# -gt 0 ] || set -- $("$(dirname "$0")/check.sh" --names)
	want=
	for v in "$@"; do
		want="$want $(variant "$v" | tr '\n' ' ')" || exit 1
	done
	[ "$set" = check ] || want="$want valgrind"
	;;
bench) want="$bench $(variant kernel)" ;;
*) die 'usage: tools/deps.sh build|run|check|bench|soak [VARIANT...]' ;;
esac
want=$(tr ' ' '\n' <<<"$want" | grep . | awk '!seen[$0]++' | tr '\n' ' ')
if [ "${SOFTHCA_DEPS:-}" = list ]; then
	tr ' ' '\n' <<<"${want% }"
	exit
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	die 'this is not a Debian system; install the packages named in tools/deps.sh your own way, then set SOFTHCA_DEPS=skip'
fi
# The packages of $want that aren't installed, one a line. A name without an architecture means this machine's own.
missing() {
	# shellcheck disable=SC2086 # a list of names
	dpkg-query -W -f='${Package} ${Architecture} ${db:Status-Status}\n' $want 2>/dev/null |
		awk -v want="$want" -v native="$native" '
			$3 == "installed" { have[$1 ":" ($2 == "all" ? native : $2)] = 1 }
			END {
				n = split(want, w, " ")
				for (i = 1; i <= n; i++)
					if (!((w[i] ~ /:/ ? w[i] : w[i] ":" native) in have))
						print w[i]
			}'
}

todo=$(missing | tr '\n' ' ')
[ -z "$todo" ] && exit 0

if [ "$(id -u)" = 0 ]; then
	as_root=()
elif command -v sudo >/dev/null; then
	as_root=(sudo)
else
	die "these packages are missing, and only root can install them: $todo"
fi

log=$(mktemp) || die 'no temporary file'
trap 'rm -f "$log"' EXIT
apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
		-o Acquire::Retries=3 -o APT::Status-Fd=1 "$@" </dev/null 2>&1 | progress_apt "$log"
}

# shellcheck disable=SC2086 # a list of names
set -- $todo
echo "deps: make $set needs $# packages that are not installed: ${todo% }"
case $todo in
*:i386*)
	dpkg --print-foreign-architectures | grep -qx i386 || "${as_root[@]}" dpkg --add-architecture i386 ||
		die 'dpkg --add-architecture i386 failed'
	# Both architectures of a library must be of one version, so apt is told of both.
	for p in $todo; do
		case $p in *:i386) todo="$todo ${p%:i386}" ;; esac
	done
	;;
esac
# Another source of this machine may be out of reach; what counts is whether the packages can be installed.
echo "deps: reading the package lists"
apt update || echo 'deps: apt-get update had errors; trying to install all the same' >&2
# shellcheck disable=SC2086 # a list of names
if ! apt install --no-install-recommends $todo; then
	cat "$log" >&2
	die "apt-get could not install: $todo"
fi
echo "deps: done ($SECONDS s)"
todo=$(missing | tr '\n' ' ')
[ -z "$todo" ] || die "still missing after installing: $todo"
