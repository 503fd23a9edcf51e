"""ib_write_bw of 64 KB and 1 MB beside plain memcpy in the same pattern, and beside iperf3."""

import pytest

from benchmarks import floors
from benchmarks.report import medians
from freeflow import sockets
from freeflow.perftest import gbit_per_s

ROUNDS = 3
SIZES = {"64 KB": (65536, 200000), "1 MB": (1 << 20, 10000)}


def command(size):
    return f"freeflow lab exec h1c1 -- ib_write_bw -s {size}   |   freeflow lab exec h1c2 -- ib_write_bw -s {size} h1c1"


@pytest.mark.parametrize("name", SIZES)
def test_write_bandwidth(figure, measured, perftest, tcp, name):
    size, count = SIZES[name]
    samples = measured(ROUNDS,
                       ours=lambda: gbit_per_s(perftest.run("ib_write_bw", "-s", size, "-n", count).row),
                       copy=lambda: floors.copy_gbit_per_s(size),
                       tcp=lambda: sockets.gbit_per_s(*tcp))
    middle = medians(samples)
    ours = middle["ours"]
    figure(f"ib_write_bw {name}", ours, "Gb/s", command=command(size), basis="median of three runs", samples=samples)
    figure(f"ib_write_bw {name} / memcpy", ours / middle["copy"], "×", 0.7, at_least=True, command=command(size),
           basis=f"{ours:.1f} / {middle['copy']:.1f} Gb/s")
    figure(f"ib_write_bw {name} / iperf3", ours / middle["tcp"], "×", 3, at_least=True, command=command(size),
           basis=f"{ours:.1f} / {middle['tcp']:.1f} Gb/s")
