"""Beside packets that another router's host forges, with everything right that can be known there: routers live, keep their
memory, and serve whoever is not meant."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from freeflow.pair import Side, descendants
from freeflow.perftest import Perftest
from health import GROWTH_MAX_KIB
from offloads import interface_to
from places import Lab
from programs import ROOT, SOURCES

PROGRAMS = [("ib_write_bw",), ("ib_read_bw",), ("ib_send_bw",), ("ib_write_bw", "-q", "8"), ("ib_send_bw", "-c", "UC"),
            ("ib_read_bw", "-s", "1048576"), ("ib_send_bw", "-c", "UD"), ("ib_atomic_bw",)]
ROUNDS, ROUND_S = 6, 2.2
FORGED = 20_000  # packets, at least: 20 times as many are usual
PORT = 18700


@pytest.fixture
def hosts():
    made = Lab("-forged", host_count=2, container_count=1)
    yield made
    made.down()


def forge(lab, source, target, kind, seconds, rng):
    addresses = [lab.plan.find(host).address for host in (source, target)]
    return lab.popen(source, "env", f"PYTHONPATH={ROOT / 'src'}", sys.executable, SOURCES / "forger.py", *addresses,
                     interface_to(lab, source, addresses[1]), seconds, rng.getrandbits(60), kind, mode="plain")


def ended(forgers):
    for said in [forger.communicate(timeout=60) for forger in forgers]:
        assert said[0] and int(said[0]) > FORGED, said


def routers(lab):
    """pid and private memory of each, in KiB; those that are dead have none."""
    pids = [host["router"]["pid"] for host in lab.status()["hosts"]]
    return {pid: int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) for pid in pids}


def works(lab, *words):
    return Perftest(lab.enter, client="h2c1", timeout_s=40).run(*words, "-n", "200", "-F").row["#iterations"] >= 200


def kill(side):
    """The program itself, with no time to say anything."""
    for pid in descendants(side.process.pid):
        try:
            if Path(f"/proc/{pid}/comm").read_text().startswith("ib_"):
                os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def settled(lab, before):
    """As it was: the same routers, no queue pair left, nothing in flight, not much more memory."""
    after = routers(lab)
    assert after.keys() == before.keys() and max(after[pid] - before[pid] for pid in after) < GROWTH_MAX_KIB
    for host in lab.plan.hosts:
        with lab.control(host.name) as router:
            said = router.call("status")["roce"]
        assert said["counters"]["connected"] == 0 and all(path["in_flight"] == 0 for path in said["paths"])


def test_strays_disturb_nobody(hosts, rng):
    """Packets for queue pairs that are not there, marks, echoes, probes of every length, and answers to none."""
    assert works(hosts, "ib_write_bw")
    before = routers(hosts)
    forgers = [forge(hosts, "h2", "h1", "stray", 6, rng), forge(hosts, "h1", "h2", "stray", 6, rng)]
    end = time.monotonic() + 6
    for words in PROGRAMS:
        if time.monotonic() < end:
            assert works(hosts, *words)
    ended(forgers)
    settled(hosts, before)


def test_routers_outlive_what_is_forged_for_live_queue_pairs(hosts, rng):
    """And programs that are killed meanwhile. What those move may be garbled, or end: their peer's host is not honest."""
    assert works(hosts, "ib_write_bw")
    before, seconds = routers(hosts), ROUNDS * ROUND_S
    forgers = [forge(hosts, "h2", "h1", "near", seconds, rng), forge(hosts, "h1", "h2", "near", seconds, rng)]
    for n in range(ROUNDS):
        sides = []
        for port, words in enumerate(rng.sample(PROGRAMS, 2), PORT + 2 * n):
            words = [*words, "-F", "-n", "100000", "-p", port]
            sides.append(Side([*hosts.enter("h1c1"), *words]))
            sides[-1].wait_listening(port, 20)
            sides.append(Side([*hosts.enter("h2c1"), *words, "h1c1"]))
        time.sleep(rng.random())
        for side in rng.sample(sides, len(sides)):
            kill(side)
            time.sleep(rng.random() * 0.1)
        for side in sides:
            side.stop()
    ended(forgers)
    assert all(works(hosts, words) for words in ("ib_write_bw", "ib_read_bw", "ib_send_bw"))
    settled(hosts, before)
