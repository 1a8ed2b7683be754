#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/deps.sh SET - see that the Debian packages of a set are there, and
# install those that are not. Called by every make target; says nothing and
# touches nothing when all is there. Never fetches from anywhere but the
# machine's own Debian sources. SOFTHCA_DEPS=skip leaves the machine alone.
set -u

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

[ "${SOFTHCA_DEPS:-}" = skip ] && exit 0

die() {
	echo "deps: $*" >&2
	exit 1
}

build='gcc libc6-dev libibverbs-dev make meson ninja-build pkg-config liburcu-dev nettle-dev nbdkit-plugin-dev'
run="$build coreutils e2fsprogs"
check="$run nbdkit libnbd-bin libiscsi-bin qemu-utils fio strace g++ binutils clang libclang-rt-dev libcmocka-dev sparse cppcheck clang-tidy clang-format shellcheck mandoc spin ibverbs-utils perftest qperf python3-pyverbs iproute2 util-linux"
bench="$build nbdkit libnbd-bin valgrind ibverbs-utils perftest ucx-utils libfabric-bin"

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	die 'this is not a Debian system; install the packages named in tools/deps.sh your own way, then set SOFTHCA_DEPS=skip'
fi
native=$(dpkg --print-architecture)
# The 32-bit run of the suite needs a compiler and libraries that only this architecture has beside its own.
[ "$native" = amd64 ] && check="$check gcc-multilib libc6-dev-i386 libcmocka-dev:i386 liburcu-dev:i386 nettle-dev:i386"
# Machines to boot the module on, and what the kernel's own build tools need.
[ "$native" = amd64 ] && check="$check qemu-system-x86 libelf1 perl"
soak="$check valgrind"

case ${1:-} in
build) want=$build ;;
run) want=$run ;;
check) want=$check ;;
bench) want=$bench ;;
soak) want=$soak ;;
*) die 'usage: tools/deps.sh build|run|check|bench|soak' ;;
esac

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
		-o Acquire::Retries=3 "$@" </dev/null >>"$log" 2>&1
}

echo "deps: installing $todo"
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
apt update || echo 'deps: apt-get update had errors; trying to install all the same' >&2
# shellcheck disable=SC2086 # a list of names
if ! apt install --no-install-recommends $todo; then
	cat "$log" >&2
	die "apt-get could not install: $todo"
fi
todo=$(missing | tr '\n' ' ')
[ -z "$todo" ] || die "still missing after installing: $todo"
