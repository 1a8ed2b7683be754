# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Rules for what users read: README, NEWS, CONTRIBUTING, docs/ and man/. As in tools/rules.sh, each function takes
# a list of files and prints what breaks the rule, a line each. Sourced by tools/lint.sh after that file.

# Phrases that readers had to read twice, as regular expressions of perl without regard to case. A blank is any white
# space, also the end of a line.
NOT_PLAIN=(
	'\b(is|are|was|were|be|been) told\b'
	'\bhears?\b'
	'\bnobody'\''s\b'
	'\bnone of (it|them)\b'
	'\b(that|which) (is|are) none\b'
	'[.:] who (isn'\''t |doesn'\''t |has |takes |comes |wants |knows )'
	'\bas it ought to\b'
	'\bthe old house\b'
)

rule_plain() {
	perl -0777 -e '
		my @words = map { s/ /\\s+/gr } split /\n/, shift;
		for my $f (@ARGV) {
			open my $h, "<", $f or die "$f: $!";
			my $t = <$h>;
			# Fenced blocks and literal displays show what programs print.
			$t =~ s{^```.*?^```}{"\n" x ($& =~ tr/\n//)}gems;
			$t =~ s{^\.Bd.*?^\.Ed}{"\n" x ($& =~ tr/\n//)}gems;
			for my $w (@words) {
				while ($t =~ /$w/gi) {
					my $line = 1 + (substr($t, 0, $-[0]) =~ tr/\n//);
					print "$f:$line: not plain: ", $& =~ s/\s+/ /gr, "\n";
				}
			}
		}' "$(printf '%s\n' "${NOT_PLAIN[@]}")" "$@"
}

# Calls that pages name and this tree doesn't have: the system's, Linux's, libibverbs', a line each.
FOREIGN_CALLS=tools/foreign-calls.txt

# Every NAME() of a page, in backquotes or behind .Fn, is in the code of the tree, or in the list of foreign calls.
rule_doc_calls() {
	{
		grep -v '^#' "$FOREIGN_CALLS"
		git -c safe.directory='*' ls-files -z -co --exclude-standard -- '*.c' '*.h' '*.map' '*.pml' |
			xargs -0 cat | perl -0777 -pe 's{/\*.*?\*/}{}gs' | grep -oE '\b[A-Za-z_][A-Za-z0-9_]*\b' | sort -u
	} | perl -0777 -e '
		my %known = map { $_ => 1 } split /\n/, <STDIN>;
		for my $f (@ARGV) {
			open my $h, "<", $f or die "$f: $!";
			my $t = <$h>;
			while ($t =~ /\b([A-Za-z_]\w*)\(\)|^\.(?:Fn|Fo)[ \t]+("[^"]*"|\S+)/gm) {
				my $line = 1 + (substr($t, 0, $-[0]) =~ tr/\n//);
				my $name = $1 // ($2 =~ /([A-Za-z_]\w*)\W*$/ ? $1 : next);
				print "$f:$line: no $name() in this tree, nor in its list of foreign calls\n" unless $known{$name};
			}
		}' "$@"
}

# Every path and file name that a page has in backquotes, and every link, leads to something in the tree; an anchor, to a heading.
rule_doc_paths() {
	git -c safe.directory='*' ls-files -co --exclude-standard | perl -0777 -e '
		my (%file, %dir, %base);
		for my $p (split /\n/, <STDIN>) {
			$file{$p} = 1;
			$base{$p =~ s{.*/}{}r} = 1;
			for (my $d = $p; $d =~ s{/[^/]*$}{}; ) { $dir{$d} = 1 }
		}
		my @all = keys %file;
		sub heads { # the anchors of a page
			open my $h, "<", shift or return ();
			local $/;
			my %a;
			for ((<$h> =~ s/^```.*?^```//gmsr) =~ /^#+ (.*)/gm) {
				my $s = lc; $s =~ s/[^\w\- ]//g; $s =~ s/ /-/g; $a{$s} = 1;
			}
			return %a;
		}
		for my $f (@ARGV) {
			open my $h, "<", $f or die "$f: $!";
			my $t = <$h>;
			my $say = sub { print "$f:", 1 + (substr($t, 0, $_[0]) =~ tr/\n//), ": $_[1]\n" };
			my $at = $f =~ m{^(.*)/} ? "$1/" : "";
			while ($t =~ /\]\(([^)\s]+?)(?:#([^)\s]*))?\)/g) {
				my ($to, $anchor, $pos) = ($1, $2, $-[0]);
				next if $to =~ /^https?:/;
				($to, $anchor) = ($f, $1) if $to =~ /^#(.*)/;
				my $p = $to eq $f ? $f : $at . $to;
				1 while $p =~ s{[^/]+/\.\./}{};
				$say->($pos, "a link to $to, which is not there") unless $file{$p} || $dir{$p};
				next unless defined $anchor && length $anchor && $file{$p};
				my %a = heads($p);
				$say->($pos, "$to has no heading for #$anchor") unless $a{$anchor};
			}
			while ($t =~ m{`((?:src|include|ulp|kernel|tests|fuzz|bench|tools|docs|man|examples)/[\w./*-]+)`|`([\w*]+\.(?:c|h|sh|md|pml))`}g) {
				my ($path, $name, $pos) = ($1, $2, $-[0]);
				my $p = ($path // $name) =~ s{/$}{}r;
				if ($p =~ /\*/) {
					my $rx = quotemeta($p) =~ s/\\\*/[^\/]*/gr;
					$rx = defined $path ? qr{^$rx$} : qr{(^|/)$rx$};
					$say->($pos, "no file is named $p") unless grep { /$rx/ } @all, keys %dir;
				} elsif (defined $path) {
					# A test is named without its ending; a module is built, not kept.
					$say->($pos, "there is no $p") unless $file{$p} || $dir{$p} || $file{"$p.c"} || $p =~ /\.ko$/;
				} else {
					$say->($pos, "no file is named $p") unless $base{$p};
				}
			}
		}' "$@"
}

# The commands that a page shows in its fenced blocks: each `make` target, each part of the check, each softhca command,
# each script and example is there.
rule_doc_commands() {
	local targets commands parts
	targets=$(sed -n 's/^\([a-z-]*\):.*/\1/p' Makefile)
	parts=$(sed -n "s/^all='\(.*\)'$/\1/p" tools/check.sh)' '$(sed -n "s/^machines='\(.*\)'$/\1/p" tools/kernel-boot.sh)
	commands="help $(find src/cli -name 'cmd_*.c' -printf '%f\n' | sed 's/^cmd_//; s/\.c$//; s/_/-/g')"
	perl -0777 -e '
		my ($targets, $parts, $commands) = map { my %h = map { $_ => 1 } split; \%h } splice @ARGV, 0, 3;
		for my $f (@ARGV) {
			open my $h, "<", $f or die "$f: $!";
			my $t = <$h>;
			while ($t =~ /^```\n(.*?)^```/gms) {
				my ($block, $at) = ($1, $-[1]);
				my $n = substr($t, 0, $at) =~ tr/\n//;
				for my $line (split /\n/, $block) {
					$n++;
					print "$f:$n: make has no target $1\n" if $line =~ /^make ([a-z-]+)/ && $1 !~ /^-/ && !$targets->{$1};
					if ($line =~ /^make check\S* .*ONLY="?([^"#]*[^"# ])"?/) {
						$parts->{$_} or print "$f:$n: there is no part $_\n" for split " ", $1;
					}
					print "$f:$n: softhca has no command $1\n" if $line =~ m{^(?:build/bin/)?softhca ([a-z][a-z-]*)} && !$commands->{$1};
					while ($line =~ m{(?:^|[ =])((?:tools|examples|tests)/[\w./-]+)}g) {
						print "$f:$n: there is no $1\n" unless -e $1;
					}
				}
			}
		}' "$targets" "$parts" "$commands" "$@"
}
