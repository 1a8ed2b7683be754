/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A program of MPI, for tests/shim_programs.sh: messages around a ring, a sum over all, and a counter that all add to. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void around(int rank, int size, int bytes)
{
	unsigned char *out = malloc((size_t)bytes), *in = malloc((size_t)bytes);
	int before = (rank + size - 1) % size, i, turn;

	for (turn = 0; out && in && turn < 20; turn++) {
		memset(out, rank + turn, (size_t)bytes);
		MPI_Sendrecv(out, bytes, MPI_BYTE, (rank + 1) % size, 0, in, bytes, MPI_BYTE, before, 0, MPI_COMM_WORLD,
			     MPI_STATUS_IGNORE);
		for (i = 0; i < bytes; i++)
			if (in[i] != (unsigned char)(before + turn))
				MPI_Abort(MPI_COMM_WORLD, 1);
	}
	free(out);
	free(in);
}

static int count(void)
{
	int *counter, result, one = 1, old, i;
	MPI_Win window;

	MPI_Win_allocate(sizeof(*counter), sizeof(*counter), MPI_INFO_NULL, MPI_COMM_WORLD, &counter, &window);
	*counter = 0;
	MPI_Barrier(MPI_COMM_WORLD);
	MPI_Win_lock_all(0, window);
	for (i = 0; i < 100; i++) {
		MPI_Fetch_and_op(&one, &old, MPI_INT, 0, 0, MPI_SUM, window);
		MPI_Win_flush(0, window);
	}
	MPI_Win_unlock_all(window);
	MPI_Barrier(MPI_COMM_WORLD);
	result = *counter;
	MPI_Win_free(&window);
	return result;
}

int main(int argc, char **argv)
{
	int rank, size, mine, sum, counted, bytes;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	for (bytes = 1; bytes <= 1 << 20; bytes *= 32)
		around(rank, size, bytes);
	mine = rank + 1;
	MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	counted = count();
	if (!rank)
		printf("the sum is %d, the counter %d\n", sum, counted);
	MPI_Finalize();
	return 0;
}
