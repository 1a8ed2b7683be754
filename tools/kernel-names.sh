#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/kernel-names.sh KERNELS [NAME=VALUE...] - compare the constants of include/softhca with those of the kernel in
# KERNELS/amd64: every name that both have must have one value in both. Prints each name that differs, then nothing, or
# "# N names compared" with -v as first argument. NAME=VALUE: a value that is taken for ours, for the test of this script.
set -u

verbose=
[ "${1:-}" != -v ] || {
	verbose=1
	shift
}
kernels=$(cd "$1" && pwd) || exit 1
shift
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
work=$kernels/names
rm -rf "$work"
mkdir -p "$work"

# The bits of an allocation's flags change from one kernel to the next, the clock's rate and the number of CPUs from one
# configuration to the next, and no program may depend on them.
candidates() {
	find include/softhca include/softhca/kernel -maxdepth 1 -name '*.h' ! -name 'hca_*' -exec cat {} + |
		grep -oE '\b[A-Z_][A-Z0-9_]{2,}\b' | sort -u | grep -vE '^(__)?GFP_|__$|^HCA_|^(HZ|NR_CPUS|ARCH_KMALLOC_MINALIGN)$'
}

ours_asm() {
	"${CC:-gcc}" -S -O1 -w -std=gnu11 -D_GNU_SOURCE -Iinclude -Ibuild/names -I"$work" -o "$work/ours/names.s" "$work/ours/names.c" 2>&1
}

kernel_asm() {
	make -s -C "$kernels/amd64/build" M="$work/kernel" ARCH=x86_64 KCFLAGS=-w --no-print-directory names.s 2>&1
}

# What makes the compiler write a constant into its assembly.
statement='asm volatile("\n#=@ %0" : : "i"((long long)(@)));'

# source_of WHERE FORMAT - the headers, then a line for each name that is left, by FORMAT; statements in a function
source_of() {
	cat "$work/$1/head"
	[ "$2" != "$statement" ] || printf 'void names(void);\nvoid names(void)\n{\n'
	awk -v f="${2//\\/\\\\}" '{ line = f; gsub(/@/, $1, line); print line }' "$work/$1/list"
	[ "$2" != "$statement" ] || echo '}'
}

# values WHERE - the constants among the names on standard input, "NAME VALUE"
values() {
	local bad known
	cat >"$work/$1/list"
	known=$(wc -l <"$work/$1/head")
	# The compiler says by a line's number which name is no constant, or none that it knows; of a macro in a note. It may pass over what
	# follows an error, so it is asked until it says nothing.
	while :; do
		source_of "$1" 'static const long long v_@ = (long long)(@);' >"$work/$1/names.c"
		bad=$("$1_asm" | sed -nE 's/.*names\.c:([0-9]*):[0-9]*: (error|note: in expansion).*/\1/p' | sort -nu | awk -v k="$known" '{ printf "%dd;", $1 - k }')
		[ -n "$bad" ] || break
		sed -i "$bad" "$work/$1/list"
	done
	source_of "$1" "$statement" >"$work/$1/names.c"
	if ! "$1_asm" >"$work/$1/log"; then
		cat "$work/$1/log" >&2
		exit 1
	fi
	sed -n 's/^#=\([A-Z0-9_]*\) \$\{0,1\}\(-\{0,1\}[0-9][0-9]*\)[^0-9]*$/\1 \2/p' "$work/$1/names.s"
}

mkdir -p "$work/ours" "$work/kernel" "$work/softhca"
# Where no build was configured yet there is no config.h; any layout will do.
sed 's/#mesondefine SOFTHCA_SG_LAYOUT_SPLIT/#define SOFTHCA_SG_LAYOUT_SPLIT/; /#mesondefine/d' \
	include/softhca/config.h.in >"$work/softhca/config.h"
find include/softhca -maxdepth 1 -name '*.h' ! -name 'hca_*' -printf '#include "softhca/%f"\n' | sort >"$work/ours/head"
printf '#include <%s>\n' linux/module.h linux/sizes.h linux/dma-mapping.h linux/scatterlist.h linux/mm.h linux/wait.h \
	linux/workqueue.h linux/slab.h linux/timer.h linux/sched.h linux/jiffies.h linux/completion.h linux/kthread.h linux/kernel.h linux/fs.h linux/hash.h linux/uuid.h linux/uio.h linux/bvec.h linux/blkdev.h linux/parser.h linux/interrupt.h linux/xarray.h \
	linux/time64.h linux/errno.h linux/module.h rdma/ib_verbs.h rdma/rw.h rdma/mr_pool.h rdma/ib.h rdma/ib_cache.h rdma/rdma_cm.h >"$work/kernel/head"
echo 'obj-m := names.o' >"$work/kernel/Makefile"

candidates | values ours >"$work/ours.values" || exit 1
for v in "$@"; do
	sed -i "s/^${v%%=*} .*/${v%%=*} ${v#*=}/" "$work/ours.values"
done
cut -d' ' -f1 "$work/ours.values" | values kernel >"$work/kernel.values" || exit 1
join <(sort "$work/ours.values") <(sort "$work/kernel.values") >"$work/both"
awk '$2 != $3 { print $1 " is " $2 " here and " $3 " in the kernel" }' "$work/both"
n=$(wc -l <"$work/both")
[ -z "$verbose" ] || echo "# $n names compared"
# Far fewer than there are: then a header is no longer found, and nothing would be compared.
[ "$n" -ge 160 ] || echo "only $n names are known to both"
