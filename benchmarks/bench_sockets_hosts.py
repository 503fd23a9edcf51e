"""TCP mode between two hosts with a VXLAN overlay, beside that overlay and beside the hosts' own TCP."""

import itertools
import os
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from benchmarks.bench_sockets import PROGRAM, ROUNDS, per_second
from benchmarks.compiled import build
from benchmarks.report import medians
from freeflow import sockets
from places import Lab
from tcp_lab import await_links


@pytest.fixture(scope="module")
def two():
    """Two hosts on a wire, a container each."""
    made = Lab("-two", host_count=2, container_count=1, overlay="vxlan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREEFLOW_LAB", made.name)
        try:
            await_links(made)
            yield made
        finally:
            made.down()


@pytest.fixture(scope="module")
def places(two):
    """Name -> (server's words, client's words, server's address): TCP mode, the overlay, the hosts themselves."""
    made = {name: (two.words("h2c1", mode=mode), two.words("h1c1", mode=mode), two.plan.find("h2c1").address)
            for name, mode in (("ours", "tcp"), ("overlay", "plain"))}
    made["hosts"] = (two.words("h2", mode="plain"), two.words("h1", mode="plain"), two.plan.find("h2").address)
    return made


@pytest.fixture(scope="module")
def how(places):
    return f"congestion control of the overlay {sockets.describe(places['overlay'][1])}, of the hosts " \
           f"{sockets.describe(places['hosts'][1]).congestion_control}"


def test_bandwidth(figure, measured, places, how):
    middle = medians(measured(ROUNDS, **{name: lambda there=there: sockets.gbit_per_s(*there)
                                         for name, there in places.items()}))
    command = "freeflow lab exec h2c1 --tcp -- iperf3 -s   |   freeflow lab exec h1c1 --tcp -- iperf3 -c h2c1"
    figure("TCP mode, two hosts: iperf3 / hosts' own", middle["ours"] / middle["hosts"], "×", 0.95, at_least=True,
           command=command, basis=f"{middle['ours']:.1f} / {middle['hosts']:.1f} Gb/s; {how}")
    figure("TCP mode, two hosts: iperf3 / VXLAN", middle["ours"] / middle["overlay"], "×", command=command,
           basis=f"{middle['ours']:.1f} / {middle['overlay']:.1f} Gb/s")


def test_ping_pong(figure, measured, places, how):
    middle = medians(measured(ROUNDS, **{name: lambda there=there: sockets.one_way_us(*there, seconds=1)
                                         for name, there in places.items()}))
    command = "freeflow lab exec h1c1 --tcp -- sockperf ping-pong --tcp -i 10.32.2.1 -m 64"
    figure("TCP mode, two hosts: 64 B ping-pong / hosts' own", middle["ours"] / middle["hosts"], "×", 1.05,
           command=command, basis=f"{middle['ours']:.2f} / {middle['hosts']:.2f} µs one way; {how}")
    figure("TCP mode, two hosts: 64 B ping-pong / VXLAN", middle["ours"] / middle["overlay"], "×", command=command,
           basis=f"{middle['ours']:.2f} / {middle['overlay']:.2f} µs one way")


@contextmanager
def cores_of_their_own(two):
    """Host -> the words that run a command on its core; its router is there too. Without this, whether the scheduler
    happens to put both programs on one core decides a figure by a factor of two: hosts never share a core."""
    before = os.sched_getaffinity(0)
    chosen = dict(zip(("h1", "h2"), itertools.cycle(sorted(before))))
    routers = {host["name"]: host["router"]["pid"] for host in two.status()["hosts"]}
    try:
        for host, core in chosen.items():
            bind(routers[host], {core})
        yield {host: ["taskset", "-c", core] for host, core in chosen.items()}
    finally:
        for pid in routers.values():
            bind(pid, before)


def bind(pid, cores):
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), cores)


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "together"])
def test_connections(figure, measured, two, places, apart):
    program = build(Path(PROGRAM), "-lpthread")
    inside = {place: two.put(place, program) for place in ("h2c1", "h1c1")}
    with cores_of_their_own(two) if apart else nullcontext({"h1": [], "h2": []}) as core:
        rates = {name: lambda there=places[name]: per_second(([*there[0], *core["h2"]], inside["h2c1"]),
                                                             ([*there[1], *core["h1"]], inside["h1c1"]), there[2])
                 for name in ("ours", "overlay")}
        middle = medians(measured(ROUNDS, **rates))
    where = "a core of its own for each host" if apart else "the hosts share all cores"
    figure(f"TCP mode, two hosts: connections / VXLAN{'' if apart else ', cores shared'}",
           middle["ours"] / middle["overlay"], "×", 0.5, at_least=True, command="make bench ARGS='-k sockets_hosts'",
           basis=f"{middle['ours']:.0f} / {middle['overlay']:.0f} a second: connect, a byte each way, close; one client; "
                 f"{where}")
