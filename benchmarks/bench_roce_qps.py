"""512 QPs between two hosts: how much they move together, and how even their shares are. And what is left where an
interface neither cuts up sends nor sums packets up."""

import time

import pytest

from benchmarks.hosts import two_hosts
from benchmarks.report import medians
from freeflow import sockets
from freeflow.lab.model import ROUTER_NAME
from freeflow.pair import Side
from freeflow.perftest import PORT, Perftest, gbit_per_s, lab_exec
from freeflow.stats import Counters
from offloads import interface_to, set_checksums

ROUNDS = 3
QPS = 512
SECONDS = 4
COMMAND = "freeflow lab exec h1c1 -- ib_write_bw -q 512 -D 4   |   freeflow lab exec h2c1 -- ib_write_bw -q 512 -D 4 h1c1"


@pytest.fixture(scope="module")
def two():
    with two_hosts("-qps") as made:
        yield made


def rate(*options):
    return gbit_per_s(Perftest(client="h2c1").run("ib_write_bw", "-s", 65536, *options).row)


def jain(shares):
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def shares(lab):
    """Bytes of each QP over a second in the middle of a run."""
    counters = Counters.of_router(lab.plan.find("h2").router_directory, ROUTER_NAME)
    words = ["ib_write_bw", "-s", "65536", "-q", str(QPS), "-D", str(SECONDS), "-p", str(PORT)]
    server = Side([*lab_exec("h1c1"), *words])
    server.wait_listening(PORT, 20)
    client = Side([*lab_exec("h2c1"), *words, "h1c1"])
    try:
        deadline = time.monotonic() + 20
        while (counters.qps()["tx_bytes"] > 0).sum() < QPS:
            assert time.monotonic() < deadline, "not all QPs have sent"
            time.sleep(0.05)
        before = dict(zip(counters.qps()["qpn"].tolist(), counters.qps()["tx_bytes"].tolist()))
        time.sleep(2)
        after = dict(zip(counters.qps()["qpn"].tolist(), counters.qps()["tx_bytes"].tolist()))
    finally:
        client.wait(30)
        server.stop()
    assert before.keys() == after.keys() and len(before) == QPS
    return [after[qpn] - before[qpn] for qpn in before]


def test_many_qps_share_the_wire_evenly(figure, measured, two):
    middle = medians(measured(ROUNDS, one=lambda: rate("-D", 1), many=lambda: rate("-D", 1, "-q", QPS)))
    figure(f"{QPS} QPs / one QP, ib_write_bw 64 KB between hosts", middle["many"] / middle["one"], "×", 0.9, at_least=True,
           command=COMMAND, basis=f"{middle['many']:.1f} / {middle['one']:.1f} Gb/s")
    figure(f"{QPS} QPs, Jain's index of their bytes", jain(shares(two)), "", 0.98, at_least=True, command=COMMAND,
           basis="two seconds in the middle of a run")


def test_without_segmentation(figure, measured, two):
    wires = {host: interface_to(two, host, two.plan.find(other).address) for host, other in (("h1", "h2"), ("h2", "h1"))}
    hosts = [two.words(host, mode="plain") for host in ("h1", "h2")]
    for host, wire in wires.items():
        set_checksums(two, host, wire, False)
    try:
        rate("-n", 200)                       # the first send learns it
        middle = medians(measured(ROUNDS, ours=lambda: rate("-D", 1),
                                  tcp=lambda: sockets.gbit_per_s(*hosts, two.plan.find("h1").address)))
    finally:
        for host, wire in wires.items():
            set_checksums(two, host, wire, True)
    figure("interface without offloads: ib_write_bw 64 KB / the hosts' own iperf3", middle["ours"] / middle["tcp"], "×", 0.8, at_least=True,
           command="make bench ARGS='-k without_segmentation'", basis=f"{middle['ours']:.1f} / {middle['tcp']:.1f} Gb/s")
