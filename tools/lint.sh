#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/lint.sh - everything that can be known without running the code, as TAP:
# format, static analysis, and the rules of tools/rules.sh and tools/arrows.sh. Needs
# build/check/gcc, which tools/check.sh builds: its config.h and its objects.
set -u

cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
shopt -s lastpipe # verdict, at the end of a pipe, counts in this shell
. tools/rules.sh
. tools/arrows.sh
. tools/rules-docs.sh

config=build/check/gcc/include
BARE=build/check/bare
OBJECTS=build/check/gcc
number=0 failures=0 since=0

# verdict NAME - one TAP line; what stands on standard input is what's wrong
verdict() {
	local out
	out=$(cat)
	number=$((number + 1))
	[ $((SECONDS - since)) -lt 5 ] || echo "# $((SECONDS - since)) s"
	since=$SECONDS
	if [ -z "$out" ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		awk 'NR <= 200 { print "# " $0 }' <<<"$out"
		failures=$((failures + 1))
	fi
}

# The files of the tree, also those not yet committed, without what was built.
tree() {
	git -c safe.directory='*' ls-files -co --exclude-standard 2>/dev/null | grep . ||
		find . -path ./build -prune -o -path ./.git -prune -o -type f -printf '%P\n'
}

mapfile -t all < <(tree | sort -u | while read -r f; do if [ -f "$f" ]; then echo "$f"; fi; done)

# pick REGEX - those files of the tree whose path matches
pick() {
	printf '%s\n' "${all[@]}" | grep -E "$1"
}

mapfile -t c < <(pick '\.[ch]$')
mapfile -t lib_c < <(pick '^(src|ulp)/.*\.c$' | grep -vE '^src/os/(test|kernel)/')
mapfile -t test_os_c < <(pick '^src/os/test/.*\.c$')
mapfile -t core < <(pick "^src/($CORE)/.*\.[ch]\$" | grep -v "^$NOT_CORE")
mapfile -t core_c < <(pick "^src/($CORE)/.*\.c\$" | grep -v "^$NOT_CORE")
mapfile -t rooms < <(pick '^(src|ulp|kernel|include)/.*\.[ch]$')
mapfile -t built_c < <(pick '^(src|ulp)/.*\.c$' | grep -v '^src/os/kernel/')
# Of the names of softhca/kernel.h an error is an answer: a text that is no number, an index that is taken.
mapfile -t refusing < <(pick '^src/(ib|platform|hca)/.*\.[ch]$' | grep -v '^src/ib/kernel_')
mapfile -t scripts < <(pick '\.sh$|^\.ci/run$')
mapfile -t pages < <(pick '^(README\.md|NEWS|docs/.*\.md|man/.*\.[1-9])$')
mapfile -t sources < <(pick '\.([chS]|sh|py|awk)$|(^|/)(meson\.build|meson_options\.txt|Makefile|Kbuild)$|^\.ci/run$')

flags=(-std=gnu11 -D_GNU_SOURCE= -Iinclude "-I$config" -Isrc -Isrc/os -Iulp)
user=("${flags[@]}" -Isrc/os/user)
test=("${flags[@]}" -Isrc/os/test)

# tidy_one FILE FLAG... - a finding in a header of the system, reached from a file of ours, is dropped with all its notes
# shellcheck disable=SC2317 # called by the inner shell of run_tidy
tidy_one() {
	clang-tidy --quiet --config-file=.clang-tidy "$1" -- "${@:2}" -Wall -Wextra 2>&1 |
		awk '/^[^ ]+:[0-9]+:[0-9]+: (error|warning): / { theirs = /^\/usr\// }
			!theirs && !/^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header-filter/'
}
export -f tidy_one

run_tidy() {
	# shellcheck disable=SC2016 # the inner shell's "$@"
	printf '%s\n' "$@" | xargs -r -P 2 -I{} bash -c 'tidy_one "$@"' tidy {} "${home[@]}"
}

# Only what it says of our own files: the system's headers are not ours to mend, nor is how their
# initializers (PTHREAD_MUTEX_INITIALIZER) write a null pointer.
run_sparse() {
	printf '%s\n' "$@" | xargs -r -P 2 -I{} sparse "${home[@]}" -Wno-unknown-attribute -Wno-non-pointer-null {} 2>&1 |
		grep -E "^(src|ulp|include|build|$bad)/" | grep -v ': note: in included file'
}

run_cppcheck() {
	cppcheck --enable=warning,performance,portability --inline-suppr --std=c11 --quiet -j2 --platform=unix64 \
		--suppressions-list=tools/cppcheck.supp --template='{file}:{line}: {severity}: {message} [{id}]' \
		"${user[@]:1}" "$@" 2>&1
}

# For what the rules must refuse, at the end.
bad=$(mktemp -d)
trap 'rm -rf "$bad"' EXIT

if [ ${#c[@]} -eq 0 ] || [ ${#core_c[@]} -eq 0 ] || [ ! -f "$config/softhca/config.h" ]; then
	echo "lint finds no sources, or no $config/softhca/config.h" | verdict 'sources are there'
	exit 1
fi

# clang-tidy takes longest by far; what else there is to know, of one file after the other, is found out beside it.
touch "$bad/tidy" "$bad/tidy.test"
(
	home=("${user[@]}")
	run_tidy "${lib_c[@]}" >"$bad/tidy" || exit 1
	home=("${test[@]}")
	run_tidy "${test_os_c[@]}" >"$bad/tidy.test"
) &
tidy=$!

clang-format --dry-run -Werror "${c[@]}" 2>&1 | verdict 'clang-format'
home=("${user[@]}")
run_sparse "${lib_c[@]}" | verdict 'sparse'
home=("${test[@]}")
run_sparse "${test_os_c[@]}" | verdict 'sparse, test os layer'
run_cppcheck -isrc/os/kernel src ulp include | verdict 'cppcheck'

rule_core_includes "${core[@]}" | verdict 'core: includes only the contract and itself'
rule_core_conditions "${core[@]}" | verdict 'core: no platform #if'
rule_core_floats "${core[@]}" | verdict 'core: no floating point'
rule_core_bare "${core_c[@]}" | verdict 'core: compiles in the bare os layer, small frames, no recursion'
rule_arrows_table | verdict 'rooms: no cycle in the table'
rule_includes "${rooms[@]}" | verdict 'rooms: no #include points up'
rule_calls "${built_c[@]}" | verdict 'rooms: no call points up'
rule_no_cycle "${built_c[@]}" | verdict 'rooms: no files of one call each other in a circle'
rule_picture docs/architecture.md | verdict 'rooms: the picture has those that there are'
rule_dma_fields "${c[@]}" | verdict 'mapped fields of a scatterlist only in the platform'
rule_reasons "${refusing[@]}" | verdict 'every refusal says why'
rule_spdx "${sources[@]}" | verdict 'an SPDX line in every source'
rule_length "${sources[@]}" | verdict 'no source over 1,000 lines'
rule_machine_paths "${all[@]}" | verdict 'no path of somebody'\''s machine'
rule_listed "${all[@]}" | verdict 'every source is in a meson.build'
rule_scripts "${scripts[@]}" | verdict 'scripts: bash -n and shellcheck'
rule_plain "${pages[@]}" | verdict 'pages: plain English'
rule_doc_calls CONTRIBUTING.md "${pages[@]}" | verdict 'pages: every call that is named exists'
rule_doc_calls "${rooms[@]}" | verdict 'comments: every call that is named exists'
rule_doc_paths CONTRIBUTING.md "${pages[@]}" | verdict 'pages: every file that is named, and every link, exists'
rule_doc_commands CONTRIBUTING.md "${pages[@]}" | verdict 'pages: every command that is shown exists'

# A rule that can't say no is worthless: each gets a file that breaks it, and one that doesn't.
# refuses RULE TEXT [FILE] - the rule must print something about the text
refuses() {
	local file=$bad/${3:-bad.c}
	mkdir -p "$(dirname "$file")"
	printf '%b\n' "$2" >"$file"
	[ -n "$("$1" "$file")" ] || echo "$1 lets this pass: $2"
}

# accepts RULE TEXT [FILE] - and here it must be silent
accepts() {
	local file=$bad/${3:-good.c} out
	mkdir -p "$(dirname "$file")"
	printf '%b\n' "$2" >"$file"
	out=$("$1" "$file")
	[ -z "$out" ] || echo "$1 refuses this: $2: $out"
}

{
	refuses rule_core_includes '#include <string.h>'
	refuses rule_core_includes '#include "softhca/ib_dma.h"'
	refuses rule_core_includes '#include "platform/iommu.h"'
	refuses rule_core_includes '#include "port.h"'
	refuses rule_core_includes '#include "wire/shm/shm.h"'
	accepts rule_core_includes '#include "os.h"\n#include "dma/check.h"\n#include "transport/transport.h"\n#include "wire/wire.h"\n#include "softhca/hca_types.h"'
	refuses rule_reasons '\tif (!dev)\n\t\treturn -EINVAL;'
	refuses rule_reasons '\treturn ERR_PTR(-EBUSY);'
	accepts rule_reasons '\tif (check_port(dev, 1))\n\t\treturn -EINVAL;\n\treturn hca_refuse(-EINVAL, "no");\n\treturn -EIO; /* dma_map() says why */\n\treturn -ENOMEM;'
	refuses rule_core_conditions '#ifdef __linux__\n#endif'
	refuses rule_core_conditions '#if defined(HCA_X) && defined(__x86_64__)\n#endif'
	refuses rule_core_conditions '#if 0\n#endif'
	accepts rule_core_conditions '#ifndef HCA_DMA_CHECK_H\n#define HCA_DMA_CHECK_H\n#endif'
	refuses rule_core_floats 'int f(void) { return (int)(double)1; }'
	accepts rule_core_floats '/* a double unmap */ const char *s = "double unmap"; int doubled;'
	refuses rule_dma_fields 'u64 f(struct scatterlist *sg) { return sg->dma_address; }'
	refuses rule_dma_fields 'u64 f(struct scatterlist *sg) { return sg_dma_len (sg); }'
	refuses rule_dma_fields 'u64 f(struct scatterlist *sg) { return sg[1].dma_length; }'
	accepts rule_dma_fields 'u64 f(void) { return dev->ops->sg_dma_address(dev, sg); }'
	accepts rule_dma_fields '/* sg_dma_len(sg) */ u64 f(void) { return ib_sg_dma_address(dev, sg); }'
	refuses rule_spdx 'int x;'
	accepts rule_spdx '/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */'
	refuses rule_length "$(seq 1001)"
	accepts rule_length "$(seq 1000)"
	refuses rule_machine_paths "cd /""work/main"
	refuses rule_machine_paths "x = '/""root/x'"
	accepts rule_machine_paths 'docs/work/x and a/root/b'
	refuses rule_plain 'The handler is\ntold.' bad.md
	refuses rule_plain 'Each is sent. Who has one answers.' bad.md
	# shellcheck disable=SC2016 # backquotes of Markdown
	{
		accepts rule_plain 'It is toldable.\n```\nwhat is told\n```' good.md
		refuses rule_doc_calls 'It calls `hca_''no_such()`.' bad.md
		refuses rule_doc_calls '.Fn hca_''no_such' bad.3
		accepts rule_doc_calls 'It calls `ib_post_send()` and `shm_open()`.' good.md
		refuses rule_doc_paths 'See `src/hca/nothing.c`.' bad.md
		refuses rule_doc_paths 'See `nothing.c`.' bad.md
		refuses rule_doc_paths '[it](nothing.md)' bad.md
		accepts rule_doc_paths 'See `qp.c`, `src/hca/qp.c`, `kernel_*.c`, `src/wire/shm/`.' good.md
		refuses rule_doc_commands '```\nmake nothing\n```' bad.md
		refuses rule_doc_commands '```\nmake check ONLY="gcc nothing"\n```' bad.md
		refuses rule_doc_commands '```\nbuild/bin/softhca nothing\n```' bad.md
		refuses rule_doc_commands '```\ncc examples/nothing.c\n```' bad.md
		accepts rule_doc_commands '```\nmake check ONLY=lint\nbuild/bin/softhca lint-demo\n```' good.md
	}
	refuses rule_scripts 'if true; then' bad.sh
	# shellcheck disable=SC2016 # the $1 is for the bad script
	refuses rule_scripts '#!/bin/bash\nrm $1' bad.sh
} | verdict 'the rules refuse what they must, and nothing else'

# Every kind of forbidden arrow, planted. FROM/bad.c gets an #include of TO.
includes() {
	refuses rule_includes "#include \"$2\"" "$1/bad.c"
}

{
	includes src/os/user dma/check.h
	includes src/os softhca/machine.h
	includes src/os softhca/ib_verbs.h
	includes src/dma hca/key.h
	includes src/dma ../platform/platform.h
	includes src/hca wire/wire.h
	includes src/hca transport/transport.h
	includes src/hca softhca/ib_verbs.h
	includes src/hca ../../include/softhca/ib_verbs.h
	includes src/wire hca/qp.h
	includes src/wire transport/transport.h
	includes src/wire wire/shm/shm.h
	includes src/transport wire/shm/shm.h
	includes src/wire/shm transport/transport.h
	includes src/wire/shm ib/ib_core.h
	includes src/transport ib/ib_core.h
	includes src/transport/packet platform/platform.h
	includes src/transport/message transport/packet/packet.h
	includes src/transport/packet ../message/message.h
	includes src/platform hca/hca.h
	includes src/platform softhca/ib_dma.h
	includes src/ib srp/srp.h
	includes src/ib cli/cli.h
	includes ulp/srp cli/cli.h
	includes ulp/srp ib/ib_core.h
	includes src/cli platform/platform.h
	includes kernel ib/ib_core.h
	includes include/softhca dma/mem.h
	includes src/nowhere os.h
	accepts rule_includes '#include "softhca/ib_dma.h"\n#include "softhca/machine.h"' include/softhca/good.h
	accepts rule_includes '#include <stdio.h>\n#include "os.h"\n#include "user/compiler.h"\n#include "softhca/hca_types.h"' src/os/good.c
	accepts rule_includes '#include "os.h"\n#include "dma/mem.h"\n#include "hca/qp.h"\n#include "softhca/hca_verbs.h"' src/hca/good.c
	accepts rule_includes '#include "hca/qp.h"\n#include "wire/wire.h"\n#include "../transport.h"\n#include "packet.h"' src/transport/packet/good.c
	accepts rule_includes '#include <unistd.h>\n#include "wire/wire.h"\n#include "hca/eq.h"\n#include "wire/shm/ring.h"' src/wire/shm/good.c
	accepts rule_includes '#include "transport/message/message.h"\n#include "transport/packet/packet.h"' src/transport/good.c
	accepts rule_includes '#include "softhca/ib_verbs.h"\n#include "srp/srp.h"\n#include "matrix/bed.h"' src/cli/good.c
	(ARROWS=('os:' 'hca: dma os' 'dma: os') && rule_arrows_table) | grep -q . || echo 'rule_arrows_table lets an arrow to a later line pass'
} | verdict 'a forbidden #include is seen'

# plant FILE.c TEXT - an object of the planted tree, from this text
plant() {
	local rest=${1#*/} dir=$OBJECTS/${1%%/*}
	if [ "${1%%/*}" = ulp ]; then
		dir=$OBJECTS/ulp/${rest%%/*} rest=${rest#*/}
	fi
	mkdir -p "$dir/planted.p"
	gcc -w -x c -c -o "$dir/planted.p/${rest//\//_}.o" - <<<"$2"
}

# calls_refused RULE FROM.c TO.c [BACK] - when FROM calls TO, and TO calls FROM if there is a BACK, the rule must say so
# by FROM's name; calls_accepted - it must be silent
calls_planted() {
	rm -rf "$OBJECTS"
	plant "$2" 'void to(void); void from(void) { to(); }'
	plant "$3" "void from(void); void to(void) { ${4:+from();} }"
	"$1" "$2" "$3"
}
calls_refused() {
	calls_planted "$@" | grep -qF "$2" || echo "$1 lets this pass: $2 calls $3${4:+, and back}"
}
calls_accepted() {
	[ -z "$(calls_planted "$@")" ] || echo "$1 refuses this: $2 calls $3"
}

(
	OBJECTS=$bad/planted
	calls_refused rule_calls src/os/user/a.c src/dma/a.c
	calls_refused rule_calls src/dma/a.c src/hca/a.c
	calls_refused rule_calls src/dma/a.c src/platform/a.c
	calls_refused rule_calls src/hca/a.c src/transport/a.c
	calls_refused rule_calls src/hca/a.c src/wire/a.c
	calls_refused rule_calls src/hca/a.c src/platform/a.c
	calls_refused rule_calls src/wire/a.c src/hca/a.c
	calls_refused rule_calls src/wire/a.c src/transport/a.c
	calls_refused rule_calls src/wire/a.c src/wire/shm/a.c
	calls_refused rule_calls src/transport/a.c src/wire/shm/a.c
	calls_refused rule_calls src/wire/shm/a.c src/transport/a.c
	calls_refused rule_calls src/transport/a.c src/ib/a.c
	calls_refused rule_calls src/transport/packet/a.c src/transport/message/a.c
	calls_refused rule_calls src/transport/message/a.c src/transport/packet/a.c
	calls_refused rule_calls src/platform/a.c src/ib/a.c
	calls_refused rule_calls src/ib/a.c ulp/srp/a.c
	calls_refused rule_calls src/ib/a.c src/cli/a.c
	calls_refused rule_calls ulp/srp/a.c src/hca/a.c
	calls_refused rule_calls ulp/srp/a.c src/cli/a.c
	calls_refused rule_calls src/cli/a.c src/shim/a.c
	calls_refused rule_calls src/shim/rspreload/a.c src/cli/a.c
	calls_accepted rule_calls src/cli/a.c src/shim/rspreload/a.c
	calls_accepted rule_calls src/hca/a.c src/dma/a.c
	calls_accepted rule_calls src/transport/message/a.c src/transport/a.c
	calls_accepted rule_calls src/wire/shm/a.c src/hca/a.c
	calls_accepted rule_calls src/wire/shm/a.c src/wire/a.c
	calls_accepted rule_calls src/transport/a.c src/transport/packet/a.c
	calls_accepted rule_calls src/cli/a.c ulp/srp/a.c
	for room in $NO_CYCLE; do
		calls_refused rule_no_cycle "src/$room/a.c" "src/$room/b.c" back
		calls_accepted rule_no_cycle "src/$room/a.c" "src/$room/b.c"
	done
	calls_refused rule_no_cycle src/transport/packet/a.c src/transport/a.c back
	rm -rf "$OBJECTS"
	[ -n "$(rule_calls src/hca/a.c)" ] || echo 'rule_calls lets a file without an object pass'
) | verdict 'a forbidden call, and calls in a circle, are seen'

(
	mkdir -p "$bad/drawn/src/dma" "$bad/drawn/src/hca" "$bad/drawn/ulp/srp" && cd "$bad/drawn" || exit
	# shellcheck disable=SC2016 # fences of Markdown
	accepts rule_picture '```\nulp/srp\n src/dma -> src/hca\n```\n```\nsrc/ib\n```' good.md
	# shellcheck disable=SC2016
	refuses rule_picture '```\nulp/srp src/dma\n```\nsrc/hca' bad.md
	# shellcheck disable=SC2016
	refuses rule_picture '```\nulp/srp src/dma src/hca src/ib\n```' bad.md
) | verdict 'a picture that lacks a room, or has one too many, is seen'

BARE=$bad/bare
{
	refuses rule_core_bare '#include <string.h>'
	refuses rule_core_bare 'int puts(const char *s);\nint f(void);\nint f(void)\n{\n\treturn puts("x") + 1;\n}'
	refuses rule_core_bare 'void hca_x(char *);\nvoid f(void);\nvoid f(void)\n{\n\tchar a[2000];\n\thca_x(a);\n\thca_x(a);\n}'
	refuses rule_core_bare 'int g(int);\nint f(int x);\nint f(int x)\n{\n\treturn x ? g(x - 1) * x + f(x - 2) : 1;\n}\nint g(int x)\n{\n\treturn x ? f(x - 1) * x + g(x - 3) : 2;\n}'
	[ "$(uname -m)" != x86_64 ] || refuses rule_core_bare 'int f(int x);\nint f(int x)\n{\n\treturn (int)(x * 1.5);\n}'
	[ "$(uname -m)" != x86_64 ] || refuses rule_core_bare '#include "os.h"\nu64 f(u64 a, u64 b);\nu64 f(u64 a, u64 b)\n{\n\treturn a / b;\n}'
	accepts rule_core_bare '#include "os.h"\n#include "dma/check.h"\nint hca_f(int);\nint hca_f(int x)\n{\n\treturn x + 1;\n}'
} | verdict 'the bare os layer refuses what it must, and nothing else'

(
	mkdir -p "$bad/tree/src/dma" && cd "$bad/tree" || exit
	echo "dma = files('dma/a.c')" >src/meson.build
	touch src/dma/a.c src/dma/b.c
	[ -z "$(rule_listed src/dma/a.c)" ] || echo 'rule_listed refuses a source that is listed'
	mkdir -p ulp/srp
	echo "srp = files('a.c')" >ulp/srp/meson.build
	touch ulp/srp/a.c ulp/srp/b.c
	[ -z "$(rule_listed ulp/srp/a.c)" ] || echo 'rule_listed refuses a source of a ULP that is listed'
	[ -n "$(rule_listed ulp/srp/b.c)" ] || echo 'rule_listed lets a forgotten source of a ULP pass'
	[ -n "$(rule_listed src/dma/b.c)" ] || echo 'rule_listed lets a forgotten source pass'
	mkdir -p kernel/test
	printf 'softhca-y := main.o\nsofthca_test-y := test/main.o test/rig.o\n' >kernel/Kbuild
	touch kernel/main.c kernel/lost.c kernel/test/rig.c kernel/test/lost.c
	[ -z "$(rule_listed kernel/main.c kernel/test/rig.c)" ] || echo 'rule_listed refuses a listed source of the module'
	[ "$(rule_listed kernel/lost.c kernel/test/lost.c | wc -l)" = 2 ] || echo 'rule_listed lets one of the module pass'
) | verdict 'a forgotten source is seen'

{
	home=("${user[@]}")
	refuses run_tidy 'int f(int *p);\nint f(int *p)\n{\n\tif (!p)\n\t\treturn *p;\n\treturn 0;\n}'
	accepts run_tidy 'int f(int x);\nint f(int x)\n{\n\treturn x;\n}'
	refuses run_cppcheck 'int f(void);\nint f(void)\n{\n\tint a[2] = { 0 };\n\treturn a[3];\n}'
	accepts run_cppcheck 'int f(int x);\nint f(int x)\n{\n\treturn x;\n}'
	accepts run_sparse 'int f(int x);\nint f(int x)\n{\n\treturn x;\n}'
	refuses run_sparse '#include "softhca/hca_types.h"\nu32 f(hca_dma_addr_t a);\nu32 f(hca_dma_addr_t a)\n{\n\treturn a;\n}'
} | verdict 'clang-tidy, cppcheck and sparse are awake'

wait "$tidy" || echo 'it failed' >>"$bad/tidy"
verdict 'clang-tidy' <"$bad/tidy"
verdict 'clang-tidy, test os layer' <"$bad/tidy.test"

echo "1..$number"
exit $((failures > 0))
