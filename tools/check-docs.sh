#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# tools/check-docs.sh DIR [PAGE...] - run the commands of the pages that a reader begins with, in a copy of this tree in
# DIR, as TAP: one line for each block of commands. A block begins with ```sh; one with ```console has a command after
# `$ ` and what it prints, in which numbers may be others. A comment <!-- not run: REASON --> before a block keeps it from being
# run. Other blocks name another language; one that names none is an error. A page's blocks share one shell, as a reader's do.
set -u

cd "$(dirname "$0")/.." || exit 1
pages=("${@:2}")
[ ${#pages[@]} -gt 0 ] || pages=(README.md docs/building.md docs/tutorial-ulp.md)
rm -rf "$1"
mkdir -p "$1/home" || exit 1
dir=$(cd "$1" && pwd)

# Its own network, so that a server's port is free; its own fabric; no package is installed.
if [ -z "${DOCS_OWN_NETWORK:-}" ] && unshare -n true 2>/dev/null; then
	exec env DOCS_OWN_NETWORK=1 unshare -n "$PWD/tools/check-docs.sh" "$dir" "${pages[@]}"
fi
[ -z "${DOCS_OWN_NETWORK:-}" ] || ip link set lo up
export LC_ALL=C HOME=$dir/home SOFTHCA_DEPS=skip SOFTHCA_FABRIC=$dir/fabric IMAGE_MIB=16
unset MAKEFLAGS MAKELEVEL

# What a build makes stays outside.
mkdir "$dir/tree"
tar -c --exclude=./build --exclude=./.git . | tar -x -C "$dir/tree" || exit 1
cd "$dir/tree" || exit 1

# blocks PAGE - each block into $dir/block.N, with its language and the line before it in $dir/block.N.about
blocks() {
	rm -f "$dir"/block.*
	awk -v dir="$dir" '
		/^```/ && !inside { inside = 1; n++; file = sprintf("%s/block.%03d", dir, n); printf "" >file
			print FNR "\n" substr($0, 4) "\n" before >(file ".about"); next }
		/^```/ { inside = 0; before = ""; next }
		inside { print >file; next }
		/./ { before = $0 }' "$1"
}

# as_printed FILE LINES - each line of LINES is in FILE; a number may be another one, and ... is anything
as_printed() {
	perl -e '
		my ($file, $lines) = @ARGV;
		open my $h, "<", $file or die; my @got = <$h>;
		open $h, "<", $lines or die;
		my $bad = 0;
		while (my $want = <$h>) {
			chomp $want;
			next if $want =~ /^\s*(\.\.\.)?\s*$/;
			my $p = join ".*", map { join "[0-9a-fx.]+", map { quotemeta } split /(?:0x)?[0-9][0-9a-fx.]*/, $_, -1 } split /\.\.\./, $want, -1;
			next if grep { /^$p\s*$/ } @got;
			print "not printed: $want\n";
			$bad = 1;
		}
		exit $bad;' "$1" "$2"
}

# A server needs a while to listen: longer on a busy machine than a page says.
patience=
# shellcheck disable=SC2016 # for the page's shell
[ -z "${DOCS_OWN_NETWORK:-}" ] || patience='sleep() { local i; for ((i = 0; i < 600; i++)); do [ -n "$(ss -Hltn)" ] && return; command sleep 0.1; done; }'

number=0 failures=0
for page in "${pages[@]}"; do
	blocks "$page"
	printf '%s\nset -e\n' "$patience" >"$dir/shell"
	for about in "$dir"/block.*.about; do
		block=${about%.about}
		{ read -r line && read -r language; read -r before; } <"$about"
		number=$((number + 1))
		case $language/$before in
		sh/'<!-- not run: '* | console/'<!-- not run: '*)
			before=${before#<!-- }
			echo "# $page:$line: ${before% -->}"
			number=$((number - 1))
			continue
			;;
		sh/*) cp "$block" "$dir/commands" && : >"$dir/wanted" ;;
		console/*)
			sed -n 's/^\$ //p' "$block" >"$dir/commands"
			sed '/^\$ /d' "$block" >"$dir/wanted"
			;;
		/*)
			echo "not ok $number - $page:$line: a block without a language"
			failures=$((failures + 1))
			continue
			;;
		*)
			number=$((number - 1))
			continue
			;;
		esac
		# What earlier blocks set, a later one uses: all assignments come again, all else doesn't.
		rm -f "$dir/missed"
		cat "$dir/shell" "$dir/commands" - >"$dir/run" <<<'wait'
		if bash "$dir/run" >"$dir/out" 2>&1 </dev/null && as_printed "$dir/out" "$dir/wanted" >"$dir/missed"; then
			echo "ok $number - $page:$line"
		else
			tail -n 40 "$dir/out" "$dir/missed" 2>&1 | sed 's/^/# /'
			echo "not ok $number - $page:$line"
			failures=$((failures + 1))
		fi
		grep -E '^(export )?[A-Z_]+=[^ ]*$' "$dir/commands" >>"$dir/shell"
	done
done
echo "1..$number"
exit $((failures > 0))
