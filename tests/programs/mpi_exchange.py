"""Two MPI ranks: messages of all sizes there and back, both ways at once, and a reduction; every byte is compared.
Prints the time of a 64-byte message one way."""

import sys

import numpy
from mpi4py import MPI

SIZES = [0, 1, 64, 1000, 8192, 65536, 1 << 20, 8 << 20]
ROUNDS = 2000

world = MPI.COMM_WORLD
assert world.size == 2
other = 1 - world.rank


def pattern(size, seed):
    return ((numpy.arange(size, dtype=numpy.uint32) * 2654435761 + seed) >> 13).astype(numpy.uint8)


for size in SIZES:
    sent, received = pattern(size, world.rank), numpy.zeros(size, dtype=numpy.uint8)
    for round_ in range(3):  # one after the other
        received[:] = 0
        if world.rank == 0:
            world.Send(sent, 1, tag=round_)
            world.Recv(received, 1, tag=round_)
        else:
            world.Recv(received, 0, tag=round_)
            world.Send(sent, 0, tag=round_)
        assert (received == pattern(size, other)).all(), f"{size} bytes arrived wrong"
    received[:] = 0  # both at once, several on their way
    requests = [world.Irecv(received, other, tag=9), world.Isend(sent, other, tag=9)]
    MPI.Request.Waitall(requests)
    assert (received == pattern(size, other)).all(), f"{size} bytes both ways arrived wrong"

total = numpy.zeros(100000)
world.Allreduce(numpy.full(100000, world.rank + 1.0), total)
assert (total == 3).all()

small = numpy.zeros(64, dtype=numpy.uint8)
world.Barrier()
began = MPI.Wtime()
for _ in range(ROUNDS):
    if world.rank == 0:
        world.Send(small, 1)
        world.Recv(small, 1)
    else:
        world.Recv(small, 0)
        world.Send(small, 0)
if world.rank == 0:
    print(f"ok {(MPI.Wtime() - began) / ROUNDS / 2 * 1e6:.2f} us", MPI.Get_processor_name())
sys.stdout.flush()
