# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""shim_sum.py - a program of MPI, for tests/shim_programs.sh and tests/shim_cm_programs.sh: messages around a ring, and a sum over all."""
from mpi4py import MPI
c = MPI.COMM_WORLD
for n in (1, 1000, 1 << 20):
    got = c.sendrecv(bytes([c.rank]) * n, (c.rank + 1) % c.size, source=(c.rank - 1) % c.size)
    assert got == bytes([(c.rank - 1) % c.size]) * n
total = c.allreduce(c.rank + 1)
assert total == c.size * (c.size + 1) // 2
if not c.rank:
    print("the sum is", total)
