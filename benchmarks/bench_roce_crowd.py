"""Many connected QPs on one router, each of which has passed a message to another host and back: what they cost when nothing
happens, in memory and CPU."""

import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.bench_idle import anonymous_mib, cpu_seconds
from benchmarks.compiled import build
from places import Lab

PROGRAM = Path(__file__).parent / "programs" / "connected.c"
PORT = 18600
MEMBERS, QPS = 10, 1000  # processes on each side, QPs of each
SETTLE_S, WATCH_S = 2.0, 8.0
STATE_BYTES = 2048


@pytest.fixture(scope="module")
def two():
    """Two hosts on a wire, a container each."""
    made = Lab("-crowd", host_count=2, container_count=1)
    yield made
    made.down()


def resident_kib(pid):
    """All of the router's own memory: anonymous, and the pages of its tables and sessions, which are shared memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(re.search(rf"{kind}:\s+(\d+)", status)[1]) for kind in ("RssAnon", "RssShmem"))


def tables_kib(pid):
    """Pages that exist of the router's private tables: those of all QPs' state among them."""
    seen, kib, counts = set(), 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            name = line.split(None, 5)[5] if len(line.split(None, 5)) > 5 else ""
            counts = name.startswith("/memfd:freeflow-roce") or name.startswith("/memfd:freeflow-state")
            seen.add(name) if counts else None
        elif counts and line.startswith("Rss:"):
            kib += int(line.split()[1])
    assert len(seen) == 2, f"the router's tables are named {seen}"
    return kib


@contextmanager
def connected(lab, members, qps):
    """That many QPs on each host, connected in pairs, each having passed a message."""
    inside = {place: lab.put(place, build(PROGRAM, "-libverbs")) for place in ("h1c1", "h2c1")}
    pipes = {"stdin": subprocess.PIPE, "stderr": None}
    with lab.popen("h1c1", inside["h1c1"], "serve", PORT, members, qps, **pipes) as server:
        try:
            assert server.stdout.readline() == "listening\n"
            began = time.monotonic()
            with lab.popen("h2c1", inside["h2c1"], "connect", PORT, members, qps, lab.plan.find("h1c1").address,
                           **pipes) as client:
                try:
                    assert (server.stdout.readline(), client.stdout.readline()) == ("ready\n", "ready\n")
                    yield time.monotonic() - began
                finally:
                    client.stdin.close()
        finally:
            server.stdin.close()


def test_ten_thousand_connected_qps(figure, measured, two):
    pid = two.status()["hosts"][0]["router"]["pid"]
    with connected(two, 1, 1):
        pass                                  # so that everything that does not grow is there
    time.sleep(0.5)
    before = tables_kib(pid)
    with connected(two, MEMBERS, QPS) as took_s:
        with two.control("h1") as router:
            assert router.call("status")["roce"]["counters"]["connected"] == MEMBERS * QPS
        time.sleep(SETTLE_S)
        state = (tables_kib(pid) - before) * 1024 / (MEMBERS * QPS)

        def watch():
            began, used = time.monotonic(), cpu_seconds(pid)
            time.sleep(WATCH_S)
            return 100 * (cpu_seconds(pid) - used) / (time.monotonic() - began)

        cpu = measured(1, cpu=watch)["cpu"][0]
        memory, resident = anonymous_mib(pid), resident_kib(pid) / 1024
    command, how = "make bench ARGS='-k roce_crowd'", f"{MEMBERS * QPS} QPs connected to another host, a message each way on each"
    figure("crowd of QPs, connecting and talking", took_s, "s", basis=how, command=command)
    figure("crowd of QPs, idle router's CPU", cpu, "% of a core", 1, basis=f"{how}, {WATCH_S:.0f} s", command=command)
    figure("crowd of QPs, RssAnon", memory, "MiB", 80, basis=how, command=command)
    figure("crowd of QPs, RssAnon and RssShmem", resident, "MiB", basis=f"{how}; with rings", command=command)
    figure("state of an idle connected QP", state, "bytes", STATE_BYTES, basis="pages of the router's tables, by QPs",
           command=command)
