#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# sockets.pl WHAT [ADDRESS] - sockets that no program of Debian's opens, for rds.sh and smc.sh. It runs with perl-base alone.
#
#   rds ADDRESS         send messages from one socket of the address to another, and compare
#   smc-id              give SMC an ID by which two ends know that they may use RDMA
#   smc-server ADDRESS  send back what one connection sends
#   smc-client ADDRESS  send, and compare what comes back

my ($what, $address) = @ARGV;
my ($AF_INET, $AF_NETLINK, $AF_RDS, $AF_SMC) = (2, 16, 21, 43);
my ($SOCK_STREAM, $SOCK_RAW, $SOCK_SEQPACKET) = (1, 3, 5);
$| = 1;

sub address { return pack('S n C4 x8', $AF_INET, $_[0], split(/\./, $address)) }

# Bytes that don't repeat soon, others for each seed.
sub bytes {
	my ($seed, $length) = @_;
	return substr(pack('L*', map { $seed * 7919 + $_ * 2654435761 & 0xffffffff } 1 .. $length / 4 + 1), 0, $length);
}

sub rds_socket {
	socket(my $s, $AF_RDS, $SOCK_SEQPACKET, 0) or die "socket: $!\n";
	setsockopt($s, 1, $_, pack('l', 2 << 20)) or die "setsockopt: $!\n" for 7, 8;
	bind($s, address($_[0])) or die "bind: $!\n";
	return $s;
}

sub rds {
	my ($from, $to) = (rds_socket(4000), rds_socket(4001));
	for my $n (1, 100, 4096, 5000, 65536, 131071) {
		my $message = bytes($n, $n);
		defined(send($from, $message, 0, address(4001))) or die "send of $n: $!\n";
		defined(recv($to, my $got, 2 << 20, 0)) or die "recv of $n: $!\n";
		$got eq $message or die "$n bytes differ\n";
	}
}

# A request of generic netlink. Return: the answer's type and what follows its netlink header.
sub generic {
	my ($family, $command, $flags, $attribute, $value) = @_;
	socket(my $s, $AF_NETLINK, $SOCK_RAW, 16) or die "netlink: $!\n";
	my $body = pack('C C S S S', $command, 1, 0, 4 + length($value), $attribute) . $value;
	$body .= "\0" x (-length($body) & 3);
	send($s, pack('L S S L L', 16 + length($body), $family, 1 | $flags, 1, 0) . $body, 0, pack('S S L L', $AF_NETLINK, 0, 0, 0))
		or die "netlink: $!\n";
	defined(recv($s, my $answer, 65536, 0)) or die "netlink: $!\n";
	my $error = unpack('x4 S', $answer) == 2 ? unpack('x16 l', $answer) : 0;
	die "netlink: error $error\n" if $error;
	return substr($answer, 16);
}

sub smc_id {
	# CTRL_CMD_GETFAMILY by CTRL_ATTR_FAMILY_NAME; the answer has CTRL_ATTR_FAMILY_ID somewhere.
	my $attributes = substr(generic(16, 3, 0, 2, "SMC_GEN_NETLINK\0"), 4);
	my $family;
	while (length($attributes) >= 4) {
		my ($length, $type, $value) = unpack('S S S', $attributes);
		$family = $value if $type == 1;
		$attributes = substr($attributes, ($length + 3) & ~3);
	}
	# SMC_NETLINK_ADD_UEID, with SMC_NLA_EID_TABLE_ENTRY: 32 characters, padded.
	generic($family, 10, 4, 1, sprintf('%-32s', 'SOFTHCA') . "\0");
}

sub smc_server {
	socket(my $s, $AF_SMC, $SOCK_STREAM, 0) or die "socket: $!\n";
	setsockopt($s, 1, 2, pack('l', 1)) or die "setsockopt: $!\n";
	bind($s, address(5000)) && listen($s, 1) or die "listen: $!\n";
	print "listening\n";
	accept(my $c, $s) or die "accept: $!\n";
	while (my $n = sysread($c, my $piece, 65536)) {
		for (my $at = 0; $at < $n;) {
			$at += syswrite($c, $piece, $n - $at, $at) || die "write: $!\n";
		}
	}
}

sub smc_client {
	socket(my $s, $AF_SMC, $SOCK_STREAM, 0) or die "socket: $!\n";
	connect($s, address(5000)) or die "connect: $!\n";
	for my $n (1, 1000, 32768, 50001, (40000) x 20) {
		my ($message, $got) = (bytes($n, $n), '');
		for (my $at = 0; $at < $n;) {
			$at += syswrite($s, $message, $n - $at, $at) || die "write: $!\n";
		}
		while (length($got) < $n) {
			sysread($s, $got, $n - length($got), length($got)) or die "read of $n: $!\n";
		}
		$got eq $message or die "$n bytes differ\n";
	}
}

my %do = (rds => \&rds, 'smc-id' => \&smc_id, 'smc-server' => \&smc_server, 'smc-client' => \&smc_client);
$do{$what}->();
