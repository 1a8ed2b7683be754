/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the first ibv_open_device() of a process takes: time, and memory. */
#include <stdio.h>

#include "verbs_bench.h"

/* How long this thread could have run, and no CPU was free; 0 where the system doesn't say. */
static double delay_ms(void)
{
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	double ns = 0;

	if (f && fscanf(f, "%*f %lf", &ns) != 1)
		ns = 0;
	if (f)
		fclose(f);
	return ns / 1e6;
}

int verbs_mode_open(int argc, char **argv)
{
	double before = (double)verbs_memory("Rss"), fabric = (double)verbs_fabric_bytes();
	double delay = delay_ms(), began = bench_now(), took;
	struct ibv_context *c = verbs_open();

	(void)argc;
	(void)argv;
	took = (bench_now() - began) / 1e6;
	delay = delay_ms() - delay;
	if (!c)
		return 1;
	printf("%f %f %f %f\n", took, took - delay, ((double)verbs_memory("Rss") - before) / 1024,
	       ((double)verbs_fabric_bytes() - fabric) / 1024);
	return ibv_close_device(c) != 0;
}
