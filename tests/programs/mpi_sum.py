"""MPI's ranks add their numbers up. Of mpi4py with Open MPI, or ("mpich") of MPICH itself: Debian's mpi4py is of one of them."""

import ctypes
import os
import sys

INT, SUM, WORLD = 0x4C000405, 0x58000003, 0x44000000  # handles, as MPICH's ABI has them


def say(total):
    os.write(1, b"sum %d\n" % total)  # as a whole: the other rank says the same at the same time


def with_mpich():
    mpi = ctypes.CDLL("libmpich.so.12")
    rank, total = ctypes.c_int(), ctypes.c_int()
    assert mpi.MPI_Init(None, None) == 0
    assert mpi.MPI_Comm_rank(WORLD, ctypes.byref(rank)) == 0
    rank.value += 1
    assert mpi.MPI_Allreduce(ctypes.byref(rank), ctypes.byref(total), 1, INT, SUM, WORLD) == 0
    say(total.value)
    assert mpi.MPI_Finalize() == 0


def with_mpi4py():
    from mpi4py import MPI
    say(MPI.COMM_WORLD.allreduce(MPI.COMM_WORLD.rank + 1))


with_mpich() if sys.argv[1:] == ["mpich"] else with_mpi4py()
