# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The rules of the house that a search can find out. Each function takes a list of
# files and prints what breaks the rule, a line each; nothing printed is good.
# Sourced by tools/lint.sh, which also feeds each of them a file that breaks it. What a
# room may include and call is in tools/arrows.sh.

# The core, which can be built into a kernel as it is: rooms of src/, as a regular expression.
CORE='dma|hca|wire|transport|cm'
# What lies below one of them and is no core.
NOT_CORE='src/wire/shm/'

# Where the platform's mapped fields of a scatterlist may be named; everybody else asks ib_sg_dma_address/len().
# ib_dma.h and ib_dma.c are where those two live. Extended regular expressions over the path.
DMA_FIELDS_ALLOWED=(
	'src/platform/.*'
	'include/softhca/scatterlist[^/]*\.h'
	'include/softhca/dma-mapping\.h'
	'include/softhca/ib_dma\.h'
	'src/ib/ib_dma\.c'
	'bench/bench_dma\.c'
	'tests/test_(sg_fill|kernel_names)\.c'
	'examples/rstore/.*'
	'tests/ulp/.*'
	'bench/rival_[^/]*'
	'kernel/(map|map_ledger|ib/mr)\.c'
	'kernel/test/[^/]*\.c'
	'tests/test_(platform|scatterlist)[^/]*\.c'
)

# code FILE... - FILE:LINE:TEXT without comments and without what stands in quotes
code() {
	[ $# -eq 0 ] || perl -e '
		for my $f (@ARGV) {
			open my $h, "<", $f or die "$f: $!";
			local $/;
			my $t = <$h>;
			$t =~ s{(/\*.*?\*/|//[^\n]*)|("(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])*\x27)}
				{ defined $1 ? " " . ("\n" x ($1 =~ tr/\n//)) : "\"\"" }gse;
			my $n = 0;
			print "$f:", ++$n, ":$_\n" for split /\n/, $t;
		}' "$@"
}

# The core includes its own headers and the contract, nothing else.
rule_core_includes() {
	grep -HnE '^[[:space:]]*#[[:space:]]*include' "$@" /dev/null |
		sed "s|\"${NOT_CORE#src/}|\"not core: &|" |
		grep -vE ':[[:space:]]*#[[:space:]]*include[[:space:]]+"(os\.h|('"$CORE"')/[^"]+|softhca/hca_[^"]+|softhca/abi/[^"]+)"'
}

# The core asks nothing about the platform: the only conditions are include guards and questions to the contract.
rule_core_conditions() {
	code "$@" | grep -E '^[^:]+:[0-9]+:[[:space:]]*#[[:space:]]*(el)?if' |
		grep -vE '#[[:space:]]*(el)?if(n?def)?[[:space:](!]+(defined[[:space:](]+)?HCA_[A-Z0-9_]+[)[:space:]]*([<>=!]+[[:space:]]*[0-9]+)?$'
}

rule_core_floats() {
	code "$@" | grep -E '\b(float|double|_Float[0-9]+x?|__float128)\b'
}

rule_dma_fields() {
	local f ask=() allowed
	allowed="^($(IFS='|' && echo "${DMA_FIELDS_ALLOWED[*]}"))\$"
	for f in "$@"; do
		[[ $f =~ $allowed ]] || ask+=("$f")
	done
	code "${ask[@]}" |
		grep -P '(->|\.)\s*(dma_address|dma_length)\b|(?<![>.\w])sg_dma_(address|len)\s*\('
}

# What a call returns to say no has its reason: hca_refuse(), a check_*() in the line before that said it, or a comment with "says
# why" that names who does. The os layer says it of memory that there isn't.
rule_reasons() {
	awk 'FNR == 1 { before = "" }
		/return (ERR_PTR\()?-E[A-Z]+/ && !/-ENOMEM/ && !/says why/ && before !~ /check_[a-z]*\(/ {
			print FILENAME ":" FNR ": " $0
		}
		{ before = $0 }' "$@"
}

rule_spdx() {
	local f
	for f in "$@"; do
		head -n 3 "$f" | grep -q 'SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause' || echo "$f: no SPDX line"
	done
}

rule_length() {
	local f n
	for f in "$@"; do
		n=$(wc -l <"$f")
		[ "$n" -le 1000 ] || echo "$f: $n lines, 1000 at most"
	done
}

# Nothing may lean on the machine that it was written on.
rule_machine_paths() {
	grep -HnIE '(^|[^A-Za-z0-9_.])/(work|root|home)/[A-Za-z0-9_.]' "$@" /dev/null
}

# A source that no meson.build names is built by nobody.
rule_listed() {
	local f room list
	for f in "$@"; do
		room=${f%%/*} list=${f%%/*}/meson.build
		case $f in
		src/os/kernel/*.c) grep -qF "../${f%.c}.o" kernel/Kbuild || echo "$f: not in kernel/Kbuild" ;;
		kernel/probe/*.c) grep -qF "call has,$(basename "$f" .c))" kernel/Kbuild || echo "$f: not in kernel/Kbuild" ;;
		kernel/*.c) grep -qE "[ =]${f#kernel/}o?( |\$)" <(sed 's/\.o\b/.c/g' kernel/Kbuild) || echo "$f: not in kernel/Kbuild" ;;
		src/*.c | bench/*.c) grep -qF "'${f#"$room"/}'" "$list" || echo "$f: not in $list" ;;
		ulp/*/*.c) grep -qF "'${f##*/}'" "${f%/*}/meson.build" || echo "$f: not in ${f%/*}/meson.build" ;;
		tests/test_*.c | tests/thread_*.c | fuzz/fuzz_*.c)
			grep -qE "'$(basename "$f" .c)(\.c)?'" "$list" || echo "$f: not in $list"
			;;
		man/*.[1-9]) grep -qF "'${f#"$room"/}'" "$list" || echo "$f: not in $list" ;;
		esac
	done
}

rule_scripts() {
	local f
	for f in "$@"; do
		bash -n "$f" 2>&1
	done
	shellcheck -x "$@" 2>&1
}

BARE_FLAGS=(-std=gnu11 -O2 -g -Wall -Wextra -ffreestanding -nostdinc
	-Iinclude -Isrc -Isrc/os -Itests/bare -Wframe-larger-than=1024)

# The core compiles where there is nothing but the contract: no system header, no libc, no large frame, no recursion.
# rule_core_bare FILE.c...; objects and call graphs go to $BARE.
rule_core_bare() {
	local f o own flags=("${BARE_FLAGS[@]}" -isystem "$(gcc -print-file-name=include)")
	[ "$(uname -m)" = x86_64 ] && flags+=(-mgeneral-regs-only)
	rm -rf "$BARE"
	mkdir -p "$BARE"
	for f in "$@"; do
		o=$BARE/$(tr '/' '.' <<<"${f#/}").o
		gcc "${flags[@]}" -fcallgraph-info=su -c "$f" -o "$o" 2>&1
	done
	own=$(find "$BARE" -name '*.o' -exec nm --defined-only -g {} + | awk 'NF == 3 { print $3 }')
	for o in "$BARE"/*.o; do
		[ -f "$o" ] || return
		nm -u "$o" | awk -v o="$(basename "$o" .o)" -v own="$own" '
			BEGIN { n = split(own, w, "\n"); for (i = 1; i <= n; i++) ok[w[i]] = 1 }
			!($2 in ok) && $2 !~ /^(hca_[a-z0-9_]+|mem(cpy|move|set|cmp)|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_)$/ {
				print o ": calls " $2 ", which the contract does not have" }'
	done
	# A 32-bit kernel has no such functions, and other machines don't tell.
	if [ "$(uname -m)" = x86_64 ]; then
		for f in "$@"; do
			gcc "${flags[@]}" -m32 -w -c "$f" -o "$BARE/32" && nm -u "$BARE/32" |
				awk -v f="$f" '/__u?(div|mod)di3/ { print f ": a 64-bit division (" $2 ")" }'
		done
	fi
	sed -n 's/^edge: { sourcename: "\([^"]*\)" targetname: "\([^"]*\)".*/\1 \2/p' "$BARE"/*.ci |
		grep -v __indirect_call >"$BARE/edges"
	awk '$1 == $2 { print $1 ": calls itself" }' "$BARE/edges"
	tsort "$BARE/edges" 2>&1 >/dev/null | sed 's/^tsort: -\?/recursion: /'
}
