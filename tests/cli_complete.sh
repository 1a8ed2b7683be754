#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tests/cli_complete.sh PROGRAM - the completion of the softhca command in bash, as TAP: commands, options, names,
# lists of names; and that each command, option and name that the program accepts is offered.
set -u

softhca=$1
here=$(cd "$(dirname "$0")/.." && pwd)
number=0 failures=0

# is NAME EXPECTED GOT - one TAP line
is() {
	number=$((number + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		printf '%s\n' "expected: $2" "got:      $3" | sed 's/^/# /'
		failures=$((failures + 1))
	fi
}

# What bash has for a completion of the program under this path, without a line editor.
# shellcheck disable=SC1091 # the file that is tried
. "$here/tools/completion/softhca.bash"

# offers WORD... - what it offers for the last word, on one line
offers() {
	# shellcheck disable=SC2034 # the completion reads them
	COMP_WORDS=("$softhca" "$@") COMP_CWORD=$#
	COMPREPLY=()
	_softhca
	echo "${COMPREPLY[*]}"
}

is 'it is what bash runs for softhca' 'complete -o default -F _softhca softhca' "$(complete -p softhca)"
commands=$("$softhca" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' | tr '\n' ' ')
is 'all commands' "$commands--help --version" "$(offers '')"
is 'commands that begin so' 'devices doctor' "$(offers d)"
is 'options before a command' '--help --version' "$(offers --)"
is 'one command' 'matrix' "$(offers ma)"
is 'no command begins so' '' "$(offers x)"
is 'help' "$commands" "$(offers help '') "
is 'one command behind help' 'matrix' "$(offers help m)"
is 'no third word behind help' '' "$(offers help matrix '')"
is 'an unknown command' '' "$(offers nothing --)"

# What the help has, in its order.
for c in $commands; do
	[ "$c" = help ] && continue
	is "options of $c" "$("$softhca" "$c" --help | sed -nE 's/^  (-., )?(--[a-z-]+).*/\2/p' | tr '\n' ' ')" "$(offers "$c" --) "
done
is 'options that begin so' '--machines --memory' "$(offers matrix --m)"
is 'a short option is not offered' '' "$(offers devices -v)"
is 'files, for an option that takes one' '' "$(offers matrix --image '')"
is 'files, for a program' '' "$(offers run '')"

# named COMMAND OPTION - the names that a refusal lists
named() {
	"$softhca" "$1" "$2" , 2>&1 | sed -E 's/.* use (one or more of )?//; s/, separated.*//; s/ or /, /; s/, / /g'
}
is 'pairs' "$(named matrix --pairs)" "$(offers matrix --pairs '')"
is 'machines' "$(named matrix --machines)" "$(offers matrix --machines '')"
is 'kinds of memory' "$(named matrix --memory)" "$(offers matrix --memory '')"
is 'adapters' "$(named devices --adapters)" "$(offers devices --adapters '')"
is 'machines of devices' "$(named devices --machines)" "$(offers devices --machines '')"
is 'layers' 'roce ib' "$(offers run --link '')"
is 'numbers of devices' '1 2 3 4 5 6 7 8' "$(offers run --devices '')"
is 'levels' 'error warn info debug' "$(offers run --log '')"
is 'a name that begins so' 'iommu-strict iommu-lazy' "$(offers matrix --machines io)"
is 'the second name of a list' 'direct,bounce' "$(offers matrix --machines direct,b)"
is 'behind other options' 'fastreg fmr' "$(offers matrix --json --image x --memory f)"
# bash breaks the word at the equals sign.
is '--option= and nothing yet' "$(named matrix --memory)" "$(offers matrix --memory =)"
is '--option=value' 'fastreg fmr' "$(offers matrix --memory = f)"

echo "1..$number"
exit $((failures > 0))
