"""RDMA between two hosts that have no RDMA hardware, beside the hosts' own TCP over the same wire and the overlay's.

Ratios are of medians of interleaved rounds. The floors (floors/wire.c) say what the kernel's UDP leaves over, and what a
NIC in software has to add.
"""

import pytest

from benchmarks import floors
from benchmarks.hosts import two_hosts
from benchmarks.report import medians
from freeflow import sockets
from freeflow.perftest import Perftest, gbit_per_s, typical_us
from offloads import interface_to, set_segmentation

ROUNDS = 3
SIZE = 65536
MESSAGES = 20000  # about half a second
QPS = 512
WIRES = (1500, 9000)
COMMAND = "freeflow lab exec h2c1 -- {0}   |   freeflow lab exec h1c1 -- {0} h2c1"


@pytest.fixture(scope="module", params=WIRES, ids=lambda mtu: f"mtu{mtu}")
def two(request):
    with two_hosts("-roce", overlay="vxlan", wire_mtu=request.param) as made:
        yield made


@pytest.fixture(scope="module")
def wire(two):
    """What figures' names begin with."""
    return f"two hosts, MTU {two.plan.wire_mtu}:"


@pytest.fixture(scope="module")
def perftest(two):
    return Perftest(server="h2c1", client="h1c1")


def tcp(two, ends):
    """(server's words, client's words, server's address) of two hosts or containers without FreeFlow."""
    client, server = ends
    return two.words(server, mode="plain"), two.words(client, mode="plain"), two.plan.find(server).address


def rate(perftest, program, *options):
    return gbit_per_s(perftest.run(program, "-s", SIZE, *options).row)


def bandwidths(two, perftest):
    return {"write": lambda: rate(perftest, "ib_write_bw", "-n", MESSAGES),
            "send": lambda: rate(perftest, "ib_send_bw", "-n", MESSAGES),
            "hosts": lambda: sockets.gbit_per_s(*tcp(two, ("h1", "h2")), seconds=1)}


def offload(two, on):
    """On the wire's both ends."""
    for host, other in (("h1", "h2"), ("h2", "h1")):
        set_segmentation(two, host, interface_to(two, host, two.plan.find(other).address), on)


def test_bandwidth(figure, measured, two, wire, perftest):
    overlay = tcp(two, ("h1c1", "h2c1"))
    middle = medians(measured(ROUNDS, overlay=lambda: sockets.gbit_per_s(*overlay, seconds=1), **bandwidths(two, perftest)))
    how = sockets.describe(overlay[1])
    for name, target in (("write", 1.0), ("send", 0.8)):
        command = COMMAND.format(f"ib_{name}_bw -s {SIZE}")
        figure(f"{wire} ib_{name}_bw 64 KB / the hosts' TCP", middle[name] / middle["hosts"], "×", target, at_least=True,
               command=command, basis=f"{middle[name]:.1f} / {middle['hosts']:.1f} Gb/s; {how}")
        figure(f"{wire} ib_{name}_bw 64 KB / TCP over VXLAN", middle[name] / middle["overlay"], "×", 2, at_least=True,
               command=command, basis=f"{middle[name]:.1f} / {middle['overlay']:.1f} Gb/s")


def test_bandwidth_floors(figure, measured, two, wire):
    payload = two.plan.wire_mtu - 20 - 8 - 12 - 4  # as between routers: IP, UDP, BTH, ICRC
    one, other = two.plan.find("h1"), two.plan.find("h2")
    kinds = {"UDP alone": {}, "staged and unpacked": {"stage": 1, "unpack": 1},
             "staged and unpacked, 32 MiB": {"stage": 1, "unpack": 1, "memory": 32},
             "summed in place and unpacked": {"vector": 1, "unpack": 1}}
    samples = measured(ROUNDS, **{
        name: lambda more=more: floors.wire_gbit_per_s(one.netns, other.netns, one.address, other.address, packet=payload, **more)
        for name, more in kinds.items()})
    for name, value in medians(samples).items():
        figure(f"{wire} floor, {name}", value, "Gb/s", basis=f"packets of {payload} bytes, 16 datagrams under way")


def test_bandwidth_without_offloads(figure, measured, two, wire, perftest):
    offload(two, on=False)
    try:
        middle = medians(measured(ROUNDS, **bandwidths(two, perftest)))
    finally:
        offload(two, on=True)
    for name in ("write", "send"):
        figure(f"{wire} ib_{name}_bw 64 KB / the hosts' TCP, no GSO", middle[name] / middle["hosts"], "×", 0.8, at_least=True,
               command=COMMAND.format(f"ib_{name}_bw -s {SIZE}"),
               basis=f"{middle[name]:.1f} / {middle['hosts']:.1f} Gb/s; GSO, TSO and GRO off on both ends")


def test_latency(figure, measured, two, wire, perftest):
    middle = medians(measured(ROUNDS, ours=lambda: typical_us(perftest.run("ib_send_lat", "-s", 64, "-n", 8000).row),
                              tcp=lambda: sockets.one_way_us(*tcp(two, ("h1", "h2")), seconds=1)))
    figure(f"{wire} ib_send_lat 64 B / the hosts' TCP one way", middle["ours"] / middle["tcp"], "×", 0.9,
           command=COMMAND.format("ib_send_lat -s 64"), basis=f"{middle['ours']:.1f} / {middle['tcp']:.1f} µs")


def test_many_qps(figure, measured, two, wire, perftest):
    middle = medians(measured(ROUNDS, one=lambda: rate(perftest, "ib_write_bw", "-n", MESSAGES),
                              many=lambda: rate(perftest, "ib_write_bw", "-q", QPS, "-n", 60)))
    figure(f"{wire} {QPS} QPs / one QP", middle["many"] / middle["one"], "×", 0.9, at_least=True,
           command=COMMAND.format(f"ib_write_bw -s {SIZE} -q {QPS} -n 60"),
           basis=f"{middle['many']:.1f} / {middle['one']:.1f} Gb/s")
