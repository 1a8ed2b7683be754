/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of part "srp" share: the file that is read and written.
 */
#ifndef BENCH_SRP_H
#define BENCH_SRP_H

#include "bench.h"

struct bench_file {
	char path[256];
	int fd;
	u64 bytes;
};

/**
 * bench_srp_nbd() - nbdcopy through our plugin for nbdkit and through nbdkit's own
 * @f: what both serve
 * @from: a file of the same size, which is written to it
 *
 * Return: 0, or -1 after bench_fail()
 */
int bench_srp_nbd(struct bench_file *f, const char *from);

#endif
