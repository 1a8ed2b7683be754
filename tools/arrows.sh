# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The rules about the rooms of the tree, which are the folders of src/ and ulp/, and src/wire/shm: which room may include
# and call which.
# Each function prints what breaks the rule, a line each. Sourced by tools/lint.sh, which also feeds each of them every
# kind of forbidden arrow.

# A room, and the rooms that it may use. A line names only rooms that stand above it in this list, so there is no cycle.
# A public header belongs to a room as well: softhca/hca_*.h to os, those of the machine to platform, the rest to ib.
ARROWS=(
	'os:'
	'dma: os'
	'hca: dma os'
	'wire: os'
	'transport: wire hca dma os'
	'wire/shm: wire hca dma os'
	'cm: transport wire hca dma os'
	'platform: dma os'
	'ib: platform cm transport wire hca dma os'
	'srp: ib platform os'
	'cli: srp ib platform os'
	'shim: wire/shm cm wire transport hca dma os'
	'kernel: cm transport wire hca dma os'
)
# These include public headers and those of ulp/, no header of a room of the library; nor does a public header.
PUBLIC_ONLY='srp cli'
# Folders of one room that don't use each other.
APART='transport/message transport/packet'
# In these rooms no files call each other in a circle. Two files of another room may: they are one thing in two files.
NO_CYCLE='dma hca wire transport cm ib'

# arrows_judge - from lines WHERE|FROM|TO|WHAT on standard input, FROM and TO below src/ or ulp/ ("hca/qp.c"), those that
# the tables don't allow
arrows_judge() {
	awk -F'|' -v table="$(printf '%s\n' "${ARROWS[@]}")" -v apart="$APART" '
		# The longest of the table that the path begins with; else its first folder.
		function room(path,   two) {
			two = path
			sub(/\/[^\/]*$/, "", two)
			while (two ~ /\// && !(two in known))
				sub(/\/[^\/]*$/, "", two)
			if (two in known)
				return two
			sub(/\/.*/, "", path)
			return path
		}
		function part(path,   i) {
			for (i = 1; i in side; i++)
				if (index(path "/", side[i] "/") == 1)
					return side[i]
			return ""
		}
		BEGIN {
			n = split(table, line, "\n")
			for (i = 1; i <= n; i++) {
				m = split(line[i], word, "[: ]+")
				known[word[1]] = 1
				for (j = 1; j <= m; j++)
					ok[word[1], word[j]] = 1
			}
			split(apart, side, " ")
		}
		$2 == "" { print $1 ": " $4; next } # judged already
		!(room($2) in known) { print $1 ": the room " room($2) " is in no line of ARROWS"; next }
		!((room($2), room($3)) in ok) { print $1 ": " $4 ": " room($2) " may not use " room($3); next }
		part($2) != "" && part($3) != "" && part($2) != part($3) {
			print $1 ": " $4 ": " part($2) " may not use " part($3)
		}'
}

# rule_arrows_table - each line of ARROWS names only rooms of lines above it
rule_arrows_table() {
	printf '%s\n' "${ARROWS[@]}" | awk -F'[: ]+' '{
		for (i = 2; i <= NF; i++)
			if ($i != "" && !($i in seen))
				print "ARROWS: " $1 " uses " $i ", which no line above it has"
		seen[$1] = 1
	}'
}

# rule_includes FILE... - no #include of a room that the file's room may not use; a path may have anything before its
# src/, ulp/, include/ or kernel/
rule_includes() {
	perl -ne '
		BEGIN {
			%public_only = map { $_ => 1 } split " ", shift @ARGV;
			$rooms = join "|", split " ", shift @ARGV;
		}
		sub place { # a path as #include has it, with its room in front
			my ($p) = @_;
			return $p =~ m{^softhca/(hca_|abi/|config\.h)} ? "os/$p"
				: $p =~ m{^softhca/(machine|scatterlist|dma-mapping)} ? "platform/$p"
				: $p =~ m{^softhca/} ? "ib/$p"
				: $p =~ m{^((user|test|kernel)/.*|(os|os_impl|arena|test_os)\.h)$} ? "os/$p" : $p;
		}
		sub plain { # without . and ..
			my @p;
			for (split m{/}, $_[0]) {
				next if $_ eq ".";
				$_ eq ".." && @p && $p[-1] ne ".." ? pop @p : push @p, $_;
			}
			return join("/", @p) =~ s{^(\.\./)*((src|ulp|include)/)?(os/(?=(user|test|kernel)/))?}{}r;
		}
		if (/^\s*#\s*include\s+["<]([^">]+)[">]/) {
			my ($to, $file) = ($1, $ARGV);
			$file =~ s{^(.*/)?(src|ulp|include)/}{} || $file =~ s{^.*/(?=kernel/)}{};
			my $from = $file =~ m{^softhca/} ? place($file) : $file;
			$to = plain($file =~ s{[^/]*$}{}r . $to) if $to =~ m{^\.\.?/};
			my $target = place($to);
			my ($own) = $from =~ m{^([^/]+)/};
			my ($room) = $target =~ m{^($rooms)/}; # none: a file of the same folder, or of the system
			if (defined $room) {
				print "$ARGV:$.|$from|$target|$to\n";
				my $asks = $file =~ m{^softhca/} || $public_only{$own} && $room ne $own;
				print "$ARGV:$.||$target|$to is no public header\n" if $asks && $to !~ m{^(softhca|srp)/};
			}
		}
		close ARGV if eof;' "$PUBLIC_ONLY" "$(printf '%s ' "${ARROWS[@]%%:*}")" "$@" | arrows_judge
}

# This folder defines names of the C library: a file elsewhere that uses one means the C library's.
INTERPOSES=src/shim/rspreload/

# calls FILE.c... - "FROM TO SYMBOL" for each symbol that one of the files uses and another of them defines, from the
# objects in $OBJECTS, a directory that meson built
# shellcheck disable=SC2153 # lint.sh sets it
calls() {
	local f top rest o map=() objects=()
	for f in "$@"; do
		top=${f%%/*} rest=${f#*/}
		if [ "$top" = ulp ]; then
			top=ulp/${rest%%/*} rest=${rest#*/}
		fi
		map+=("$f") # a file, and behind it its objects
		for o in "$OBJECTS/$top"/*.p/"${rest//\//_}.o"; do
			[ ! -f "$o" ] || map+=("$o") objects+=("$o")
		done
	done
	{
		printf '%s\n' "${map[@]}"
		[ ${#objects[@]} -eq 0 ] || nm -A "${objects[@]}"
	} | awk -v interposes="$INTERPOSES" '
		# Two faces may have calls of one name: a file means that of its own, and a file above them that of the kernel-style
		# face, as the drop-in libraries are linked with nothing of ours.
		function room(path, part) { split(path, part, "/"); return part[1] "/" part[2] }
		function stands_aside(to, from) { return index(to, interposes) == 1 && index(from, interposes) != 1 }
		NF == 1 && /\.c$/ { file = $1; missing[file] = 1; next }
		NF == 1 { of[$1] = file; delete missing[file]; next }
		{ object = $1; sub(/:.*/, "", object); file = of[object] }
		$(NF - 1) ~ /^[TDBRGSVWC]$/ && !((file, $NF) in defined) { defined[file, $NF] = 1; owner[$NF] = owner[$NF] " " file }
		$(NF - 1) == "U" && !((file, $NF) in used) { used[file, $NF] = 1; from[++n] = file; what[n] = $NF }
		END {
			for (file in missing)
				print file, "-", "-"
			for (i = 1; i <= n; i++) {
				m = split(owner[what[i]], to, " ")
				own = ours = 0
				for (j = 1; j <= m; j++) {
					if (stands_aside(to[j], from[i]))
						continue
					own += room(to[j]) == room(from[i])
					ours += room(to[j]) != "src/shim"
				}
				for (j = 1; j <= m; j++)
					if (to[j] != from[i] && !stands_aside(to[j], from[i]) && (own ? room(to[j]) == room(from[i]) : !ours || room(to[j]) != "src/shim"))
						print from[i], to[j], what[i]
			}
		}'
}

# rule_calls FILE.c... - no call of a room that the file's room may not use, and an object for each file
rule_calls() {
	calls "$@" | awk '
		function below(path) { sub(/^(src|ulp)\//, "", path); return path }
		$2 == "-" { print $1 "|||has no object in the built tree"; next }
		{ print $1 "|" below($1) "|" below($2) "|" $3 "() of " $2 }' | arrows_judge
}

# rule_no_cycle FILE.c... - no circle of calls between the files of a room of NO_CYCLE. A call through a table of
# functions is none, as nm doesn't show it; the table itself uses its functions.
rule_no_cycle() {
	calls "$@" | awk -v rooms="$NO_CYCLE" '
		BEGIN { n = split(rooms, r, " ") }
		{ for (i = 1; i <= n; i++) if (index($1, "src/" r[i] "/") == 1 && index($2, "src/" r[i] "/") == 1) print $1, $2 }' |
		sort -u | tsort 2>&1 >/dev/null | sed 's/^tsort: -\?/calls in a circle: /' | grep -v 'input contains' | sort -u
}

# rule_picture FILE.md - the first picture of the page names each folder of src/ and ulp/, and no other
rule_picture() {
	local drawn there
	drawn=$(awk '/^```/ { if (++fence == 2) exit } fence == 1' "$1" | grep -oE '\b(src|ulp)/[a-z0-9_]+' | sort -u)
	there=$(find src ulp -mindepth 1 -maxdepth 1 -type d | sort -u)
	comm -3 <(echo "$drawn") <(echo "$there") |
		awk -F'\t' -v page="$1" '{ print page ": " ($1 != "" ? $1 " is drawn, but there is no such folder" : $2 " is not drawn") }'
}
