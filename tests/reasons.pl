#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# reasons.pl SOURCE FOLDER - each reason that the library can give is provoked by a test that reads it.
#
# The reasons are the string literals with which src/ explains a refusal, and the codes of enum hca_vendor_err. The programs
# in FOLDER are run with SOFTHCA_WHY_SEEN; each line of that file is a refusal, or a vendor_err, that a test has read the words of.
# tests/reasons.txt lists the reasons that no program of these provokes, and why. An entry too many is an error as well.
# Called by meson.
use strict;
use warnings;
use Cwd;

my ($source, $built) = map { Cwd::abs_path($_) } @ARGV;
my $bad = 0;

sub fail {
	print "# $_[0]\n";
	$bad++;
}

sub slurp {
	my ($path) = @_;
	open my $h, '<', $path or die "$path: $!";
	local $/;
	return scalar <$h>;
}

# literals TEXT - with what is adjacent joined, as a compiler does
sub literals {
	my ($text) = @_;
	my @found;
	$text =~ s/\bHCA_SITE\b/"%s"/g;
	while ($text =~ /((?:"(?:\\.|[^"\\])*"\s*)+)/gs) {
		my $s = $1;
		$s =~ s/"\s*"//gs;
		$s =~ s/^\s*"|"\s*$//gs;
		$s =~ s/\\(.)/$1/g;
		push @found, $s;
	}
	return @found;
}

# --- what the source has ---

# Words of a refusal stand in: calls that refuse; what such a call puts together; a variable why; a function of words.
my $string = qr/"(?:\\.|[^"\\])*"/;
my $nested = qr/(?<p>\((?:[^()"]|$string|(?&p))*\))/;
my $call = qr/\b(?:\w*refuse\w*|bad_\w+|hca_snprintf(?=\((?:why|words)\b))$nested/;
my $set = qr/\bwhy\s*=\s*(?:[^;"]|$string)*;/;
my (%where, %whole, @order);

sub reason {
	my ($place, $text, $is_whole) = @_;
	return if $text !~ /[a-z].* .*[a-z]/; # no sentence: a name, or a separator
	$whole{$text} = 1 if $is_whole;
	if ($where{$text}) {
		push @{ $where{$text} }, $place;
		return;
	}
	$where{$text} = [$place];
	push @order, $text;
}

for my $path (sort glob("$source/src/{hca,ib,platform,transport,transport/*,dma,cm,os/user}/*.[ch]")) {
	my $t = slurp($path);
	(my $name = $path) =~ s{^\Q$source\E/}{};
	$t =~ s{(/\*.*?\*/)|($string)}{ defined $1 ? "\n" x ($1 =~ tr/\n//) : $2 }gse;
	while ($t =~ /$call|$set/g) {
		my ($found, $line) = ($&, 1 + (substr($t, 0, $-[0]) =~ tr/\n//));
		my @words = literals($found);
		# The first one is the line, the others are words that it may be given.
		reason("$name:$line", shift @words, 1) if @words && $found =~ /^hca_refuse\b/;
		reason("$name:$line", $_) for @words;
	}
	# A function of words: each that it returns, or puts together.
	while ($t =~ /^const char \*(\w+_refusal_str|\w+_why)\(.*?^}/gms) {
		my ($found, $line) = ($&, 1 + (substr($t, 0, $-[0]) =~ tr/\n//));
		reason("$name:$line", $_) for literals($found);
	}
}

# Codes of vendor_err. why.c has words for those that the peer can find as well.
my (%code, %vendor);
slurp("$source/include/softhca/hca_verbs.h") =~ /enum hca_vendor_err \{(.*?)HCA_VENDOR_ERRS,/s or die 'no enum hca_vendor_err';
my @codes = $1 =~ /(HCA_VENDOR_\w+)/g;
@code{@codes} = 0 .. $#codes;
my @tables = slurp("$source/src/hca/why.c") =~ /^\t\t\{\n(.*?)^\t\t\},/gms;
die 'not two tables of words' if @tables != 2;
for my $remote (0, 1) {
	$vendor{ $code{$_} + 0x80 * $remote } = $remote ? "$_ at the peer" : $_ for $tables[$remote] =~ /\[(HCA_VENDOR_\w+)\]/g;
}
die 'a code without words' if grep { !$vendor{$_} } values %code;

# --- what the tests read ---

# Those that can tell what they have read.
my @sources = grep { slurp($_) =~ /"why_(?:fixture|seen)\.h"/ } glob "$source/tests/test_*.c";
my @programs = map { m{/(test_\w+)\.c$} ? "$built/$1" : () } @sources;
die 'no such programs' if !@programs;
my $seen = "$built/reasons.$$.seen";
my (@lines, %vendor_seen);
for my $program (@programs) {
	unlink $seen;
	local $ENV{SOFTHCA_WHY_SEEN} = $seen;
	system("$program >/dev/null 2>&1") == 0 or fail("$program fails");
	-e $seen or fail("$program reads no reason");
	push @lines, split /\n/, slurp($seen) if -e $seen;
}
unlink $seen;
$vendor_seen{$_}++ for map { /^vendor_err (\d+)$/ } @lines;
my %once = map { $_ => 1 } grep { !/^vendor_err/ } @lines;

# How a line with this reason looks.
sub pattern {
	my ($text) = @_;
	return join '.*?', map { quotemeta } split /%[-0-9]*(?:ll|z)?[a-zA-Z]/, $text, -1;
}

# How much a reason says by itself: of two that a line may be, it is the one that says more.
sub weight {
	(my $rest = $_[0]) =~ s/%[-0-9]*(?:ll|z)?[a-zA-Z]//g;
	return length $rest;
}

my %provoked;
my @heaviest = sort { weight($b) <=> weight($a) } grep { $whole{$_} } @order;
my %re = map { my $p = pattern($_); $_ => $whole{$_} ? qr/^(?:mistake|refused): $p$/ : qr/$p/ } @order;
for my $line (keys %once) {
	for (@heaviest) {
		$provoked{$_}++, last if $line =~ $re{$_};
	}
	$provoked{$_}++ for grep { !$whole{$_} && $line =~ $re{$_} } @order;
}

# --- what can't be provoked there ---

my %listed;
for (split /\n/, slurp("$source/tests/reasons.txt")) {
	next if /^#/ || !/\S/;
	my ($text, $reason) = /^(.*?) \| (\S.*)$/ or die "tests/reasons.txt: $_";
	fail("tests/reasons.txt: no such reason: $text") if !$where{$text} && !grep { $_ eq $text } values %vendor;
	$listed{$text} = $reason;
	# "FILE has WORDS": another test provokes it.
	next if $reason !~ /^(\S+) has (.*)$/;
	my ($file, $words) = ($1, $2);
	fail("tests/reasons.txt: $file hasn't: $words") if index(slurp("$source/$file"), $words) < 0;
}

my $all = @order + keys %vendor;
for (@order) {
	fail("@{$where{$_}}: no test reads: $_") if !$provoked{$_} && !$listed{$_};
	fail("tests/reasons.txt: a test reads it after all: $_") if $provoked{$_} && $listed{$_};
}
for (sort { $a <=> $b } keys %vendor) {
	my $name = $vendor{$_};
	fail("no test reads a vendor_err of $_, $name") if !$vendor_seen{$_} && !$listed{$name};
	fail("tests/reasons.txt: a test reads it after all: $name") if $vendor_seen{$_} && $listed{$name};
}
print "1..1\n", $bad ? 'not ok' : 'ok', " 1 - $all reasons, ", scalar(keys %listed), " of them listed in tests/reasons.txt\n";
exit($bad ? 1 : 0);
