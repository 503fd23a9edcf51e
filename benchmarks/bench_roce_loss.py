"""ib_write_bw between two hosts over a network that loses packets: each by itself, in both directions, so ACKs too."""

import pytest

from benchmarks.hosts import two_hosts
from benchmarks.report import medians
from freeflow.perftest import Perftest, gbit_per_s

ROUNDS = 3
SECONDS = 2
LOSSES = {"none": 0, "0.1 %": 0.001, "1 %": 0.01}
TARGETS = {"0.1 %": 0.7, "1 %": 0.4}
COMMAND = "freeflow lab exec h1c1 -- ib_write_bw -D 2   |   freeflow lab exec h2c1 -- ib_write_bw -D 2 h1c1"


@pytest.fixture(scope="module")
def two():
    with two_hosts("-loss") as made:
        yield made


def faults(lab, **plan):
    for seed, host in enumerate(("h1", "h2")):
        with lab.control(host) as router:
            router.call("faults", plan=plan and plan | {"seed": seed})


def rate(lab, size, **plan):
    """Gb/s with these faults in the network."""
    faults(lab, **plan)
    try:
        return gbit_per_s(Perftest(client="h2c1").run("ib_write_bw", "-s", size, "-D", SECONDS).row)
    finally:
        faults(lab)


@pytest.mark.parametrize("size, name", [(65536, "64 KB"), (1 << 20, "1 MB")])
def test_write_bandwidth_with_loss(figure, measured, two, size, name):
    middle = medians(measured(ROUNDS, **{loss: lambda drop=drop: rate(two, size, drop=drop) for loss, drop in LOSSES.items()}))
    for loss, target in TARGETS.items():
        figure(f"ib_write_bw {name}, {loss} loss / none", middle[loss] / middle["none"], "×", target, at_least=True,
               command=COMMAND, basis=f"{middle[loss]:.1f} / {middle['none']:.1f} Gb/s")
