#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/kernel-check.sh KERNELS - all that can be known of the module without booting it, as TAP: it builds for every
# flavour without a warning of W=1 or sparse, checkpatch has nothing to say, DKMS would build it, a forgotten source
# is seen. Leaves the modules for tools/kernel-boot.sh.
set -u

mkdir -p "$1" || exit 1
kernels=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
number=0 failures=0

# verdict NAME STATUS OUTPUT - one TAP line; both must be nothing
verdict() {
	number=$((number + 1))
	if [ "$2" -eq 0 ] && [ -z "$3" ]; then
		echo "ok $number - $1"
	else
		awk 'NR <= 100 { print "# " $0 }' <<<"$3"
		echo "not ok $number - $1"
		failures=$((failures + 1))
	fi
}

# refuses NAME STATUS OUTPUT TEXT - the opposite: it failed or complained, and about this
refuses() {
	if grep -q "$4" <<<"$3"; then
		verdict "$1" 0 ''
	else
		verdict "$1" 1 "status $2, and not a word of $4: $3"
	fi
}

out=$(tools/kernel-fetch.sh "$kernels" 2>&1)
status=$?
echo "# $(cat "$kernels"/*/version 2>/dev/null | tr '\n' ' ')"
[ $status -eq 0 ] && out=
verdict 'kernels and headers are there' $status "$out"
if [ $status -ne 0 ]; then
	echo "1..$number"
	exit 1
fi

for flavour in amd64 686-pae amd64-6.12; do
	tree=$kernels/$flavour/tree
	rm -rf "$tree"
	out=$(tools/kernel-build.sh "$kernels" "$flavour" W=1)
	verdict "$flavour: builds without a warning, W=1" $? "$out"
	# The core hands held locks from function to function, and has no annotation for it: lockdep's business.
	out=$(tools/kernel-build.sh "$kernels" "$flavour" C=2 CF=-Wno-context)
	verdict "$flavour: sparse has nothing to say" $? "$out"
	out=$(nm "$tree/kernel/softhca.ko" "$tree/kernel/softhca_ib.ko" | awk '$2 == "U" && $3 ~ /^__(u|s)?(div|mod)(d|t)i3$/')
	verdict "$flavour: no 64-bit division that a kernel hasn't" 0 "$out"
done

# The library's constants are the kernel's.
out=$(tools/kernel-names.sh "$kernels" 2>&1)
verdict 'names that the library and the kernel have are equal' $? "$out"
out=$(tools/kernel-names.sh "$kernels" IB_WC_REG_MR=16 2>&1)
refuses 'a name with another value is seen' $? "$out" '^IB_WC_REG_MR is 16 here and 8 in the kernel$'

# The example of a ULP is one of the kernel's as well.
rm -rf "$kernels/rstore"
mkdir -p "$kernels/rstore"
cp examples/rstore/rstore*.[ch] "$kernels/rstore"
echo 'obj-m := rstore_server.o rstore_client.o' >"$kernels/rstore/Makefile"
out=$(make -s -C "$kernels/amd64/build" M="$kernels/rstore" ARCH=x86_64 W=1 --no-print-directory rstore_server.o \
	rstore_client.o 2>&1)
verdict 'examples/rstore compiles for the kernel, W=1' $? "$out"
rm -rf "$kernels/rstore"

# So are the sources in the style of ULPs, but for the one that is of a later kernel.
rm -rf "$kernels/ulps"
mkdir -p "$kernels/ulps"
cp tests/ulp/*.[ch] "$kernels/ulps"
# shellcheck disable=SC2016 # make's own dollars
printf 'ccflags-y := -I$(src)\nobj-m := conn.o fastreg.o options.o rds.o rtrs.o\n' >"$kernels/ulps/Makefile"
out=$(make -s -C "$kernels/amd64/build" M="$kernels/ulps" ARCH=x86_64 W=1 --no-print-directory conn.o fastreg.o options.o \
	rds.o rtrs.o 2>&1)
verdict 'the sources of tests/ulp compile for the kernel, W=1' $? "$out"
rm -rf "$kernels/ulps"

# The checks can say no.
tree=$kernels/bad.tree
rm -rf "$tree" "$kernels/bad"
mkdir -p "$kernels/bad"
ln -s ../amd64/build "$kernels/bad/build"
cp -r "$kernels/amd64/tree" "$kernels/bad/tree"
tree=$kernels/bad/tree
bad_build() {
	make -s -C "$kernels/bad/build" M="$tree/kernel" ARCH=x86_64 --no-print-directory "$@" memory.o 2>&1
}
printf '#include "softhca/hca_types.h"\nu32 f(hca_dma_addr_t a);\nu32 f(hca_dma_addr_t a)\n{\n\treturn a;\n}\n' >>"$tree/kernel/memory.c"
out=$(bad_build C=1)
refuses 'sparse is awake' $? "$out" 'implicit cast from nocast'
printf 'static int unused(void)\n{\n\treturn 0;\n}\n' >>"$tree/kernel/memory.c"
out=$(bad_build W=1)
refuses 'a warning is seen' $? "$out" 'defined but not used'
cp -r "$tree/kernel/probe" "$tree/probe"
echo '#error no operations here' >"$tree/kernel/probe/MAP_PAGE.c"
touch "$tree/kernel/map.c"
out=$(bad_build map.o)
refuses 'a kernel without DMA operations for each device is told so' $? "$out" 'softhca needs DMA operations for each device'
cp "$tree/probe/MAP_PAGE.c" "$tree/kernel/probe"
touch "$tree/src/hca/forgotten.c"
out=$(bad_build)
refuses 'a forgotten source is seen' $? "$out" 'src/hca disagree'
rm -rf "$kernels/bad"

# DKMS: what its file says, done as it does it.
out=$(
	tree=$kernels/dkms
	rm -rf "$tree"
	mkdir -p "$tree" && cp -r kernel src include "$tree" && cp kernel/dkms.conf "$tree" && cd "$tree" || exit
	kernel_source_dir=$kernels/amd64/build
	declare -a MAKE=() BUILT_MODULE_NAME=() BUILT_MODULE_LOCATION=()
	# shellcheck disable=SC1091 # the file that is tried
	. ./dkms.conf
	MAKEFLAGS=-j2 eval "${MAKE[0]}" >log 2>&1 || cat log
	[ "${#BUILT_MODULE_NAME[@]}" = 2 ] || echo "${#BUILT_MODULE_NAME[@]} modules are named"
	for i in "${!BUILT_MODULE_NAME[@]}"; do
		[ -f "${BUILT_MODULE_LOCATION[i]}/${BUILT_MODULE_NAME[i]}.ko" ] || echo "no ${BUILT_MODULE_NAME[i]} came of it"
	done
	[ ! -f kernel/softhca_test.ko ] || echo 'the tests were built too'
	grep -q "version: '$PACKAGE_VERSION'" "$OLDPWD/meson.build" || echo "its version $PACKAGE_VERSION isn't the tree's"
	for i in kernel/main.c kernel/ib/main.c; do
		grep -q "MODULE_VERSION(\"$PACKAGE_VERSION\")" "$i" || echo "nor that of $i"
	done
	: "$PACKAGE_NAME" "$kernel_source_dir"
)
verdict 'DKMS would build it' 0 "$out"
rm -rf "$kernels/dkms"

# What the house has otherwise: an SPDX line of its own kind, lines of 120, exports apart from the rooms.
checkpatch() {
	perl "$kernels/checkpatch.pl" --no-tree --terse --max-line-length=120 --no-summary \
		--ignore SPDX_LICENSE_TAG,EXPORT_SYMBOL,NEW_TYPEDEFS,FILE_PATH_CHANGES "$@" 2>&1 |
		grep -vE '^No (typos|structs|codespell)'
}
mapfile -t files < <(find kernel src/os/kernel -name '*.[ch]' | sort)
out=$(checkpatch -f "${files[@]}")
verdict "checkpatch has nothing to say of ${#files[@]} files" 0 "$out"
bad=$(mktemp -d)
printf 'int f(void)\n{\n  int a [2];\n  return a[0] ;\n}\n' >"$bad/bad.c"
out=$(checkpatch -f "$bad/bad.c")
refuses 'checkpatch is awake' 0 "$out" 'ERROR: space prohibited'
rm -rf "$bad"

echo "1..$number"
exit $((failures > 0))
