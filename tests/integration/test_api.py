"""freeflow.rdma, between two containers of a host and between two hosts: each case is two functions of api_ends.py."""

import os
import re
import signal
import subprocess
import time

import pytest

from api_programs import PORT, install, run_ends
from freeflow.pair import run_pair
from places import Lab
from programs import SOURCES

CASES = [name for name in re.findall(r"^(?:async )?def server_(\w+)\(", (SOURCES / "api_ends.py").read_text(), re.MULTILINE)
         if name not in ("killed", "random_slices", "many", "registrations", "router", "aio_router")]


@pytest.fixture(scope="module")
def two_hosts():
    made = Lab("-api", host_count=2)
    yield made
    made.down()


def piped(words):
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.quick
def test_ten_lines(lab):
    run_ends(lab, "ten_lines")


@pytest.mark.parametrize("case", CASES)
def test_on_one_host(lab, case):
    run_ends(lab, case)


@pytest.mark.parametrize("case", ["ten_lines", "messages", "one_sided", "atomics", "batches", "aio", "taken_back"])
def test_between_hosts(two_hosts, case):
    run_ends(two_hosts, case, "h1c1", "h2c1")


def test_any_slice_is_numpys(lab, seed):
    run_ends(lab, "random_slices", "h1c1", "h1c2", str(seed))


def test_nothing_is_left_of_many_connections(lab):
    run_ends(lab, "many", "h1c1", "h1c2", "100")
    run_ends(lab, "registrations", "h1c1", "h1c2", "2000")


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("what, count", [("many", 100_000), ("registrations", 1_000_000)])
def test_nothing_is_left_of_very_many(lab, what, count):
    router = lab.status()["hosts"][0]["router"]["pid"]

    def held():
        with open(f"/proc/{router}/status") as status:
            memory = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
        return memory, len(os.listdir(f"/proc/{router}/fd"))

    run_ends(lab, what, "h1c1", "h1c2", "1000")
    before = held()
    run_ends(lab, what, "h1c1", "h1c2", str(count), timeout_s=3500)
    after = held()
    assert after[0] < before[0] + (16 << 10) and after[1] <= before[1] + 2, (before, after)


@pytest.mark.parametrize("how", ["idle", "exposing", "long send"])
def test_a_peer_that_is_killed_is_gone(lab, how):
    address = lab.plan.find("h1c1").address
    server, client = run_pair([*install(lab, "h1c1"), "server", "killed", how],
                              [*install(lab, "h1c2"), "client", "killed", address, how], PORT)
    assert (server.status, client.status) == (0, -9), f"{server}\n{client}"


@pytest.mark.parametrize("case", ["router", "aio_router"])
def test_a_router_that_is_killed_is_no_hang(case):
    lab = Lab("-api-death", host_count=1)
    try:
        address = lab.plan.find("h1c1").address
        server = piped([*install(lab, "h1c1"), "server", case])
        time.sleep(1)
        client = piped([*install(lab, "h1c2"), "client", case, address])
        assert client.stdout.readline() == "connected\n", client.stderr.read()
        os.kill(lab.status()["hosts"][0]["router"]["pid"], signal.SIGKILL)
        ends = [end.communicate(timeout=30) for end in (server, client)]
        assert (server.returncode, client.returncode) == (0, 0), ends
    finally:
        lab.down()
