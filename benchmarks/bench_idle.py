"""What a router costs that has nothing to do: 100 sessions, 1000 QPs, in two containers; and one that knows others by etcd."""

import os
import re
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.compiled import build
from places import Lab

PROGRAM = Path(__file__).parent / "programs" / "crowd.c"
SESSIONS, QPS = 100, 1000
SETTLE_S, WATCH_S = 2.0, 10.0
CONTAINERS = ("h1c1", "h1c2")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def anonymous_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024


def crowd(lab, container, stack):
    inside = lab.put(container, build(PROGRAM, "-libverbs"))
    share = len(CONTAINERS)
    process = stack.enter_context(lab.popen(container, inside, "--sessions", SESSIONS // share, "--qps", QPS // share,
                                            stdin=subprocess.PIPE, stderr=None))
    stack.callback(process.stdin.close)
    assert process.stdout.readline() == "ready\n"


def watch(router):
    """Percent of a core."""
    before, began = cpu_seconds(router), time.monotonic()
    time.sleep(WATCH_S)
    return 100 * (cpu_seconds(router) - before) / (time.monotonic() - began)


def test_idle_router(figure, measured, lab):
    router = lab.status()["hosts"][0]["router"]["pid"]
    samples = {}
    with ExitStack() as stack:
        for container in CONTAINERS:
            crowd(lab, container, stack)
        time.sleep(SETTLE_S)
        samples = measured(1, cpu=lambda: watch(router))
        memory = anonymous_mib(router)
    command = "make bench ARGS='-k idle_router'"
    how = f"{SESSIONS} sessions, {QPS} QPs in RTS"
    figure("idle router, CPU", samples["cpu"][0], "% of a core", 1, basis=f"{how}, {WATCH_S:.0f} s", command=command)
    figure("idle router, RssAnon", memory, "MiB", 80, basis=how, command=command)


def test_idle_router_with_etcd(figure, measured):
    """gRPC's part: a lease that is renewed, a watch, and its libraries."""
    lab = Lab("-etcd", host_count=2, container_count=1)
    try:
        router = lab.status()["hosts"][0]["router"]["pid"]
        time.sleep(SETTLE_S)
        samples = measured(1, cpu=lambda: watch(router))
        memory = anonymous_mib(router)
    finally:
        lab.down()
    command = "make bench ARGS='-k idle_router_with_etcd'"
    how = f"two hosts, one etcd, {WATCH_S:.0f} s"
    figure("idle router with etcd, CPU", samples["cpu"][0], "% of a core", basis=how, command=command)
    figure("idle router with etcd, RssAnon", memory, "MiB", basis=how, command=command)
