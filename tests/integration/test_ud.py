"""Datagrams: the ud_*.c programs through a real router, perftest and ibv_ud_pingpong between containers."""

import pytest

from freeflow.pair import run_pair
from freeflow.perftest import Perftest
from places import FREEFLOW, Router
from programs import cases, run_case

PERFTEST = [
    ("ib_send_bw",), ("ib_send_bw", "-e"), ("ib_send_bw", "-b"), ("ib_send_bw", "-q", "8"),
    ("ib_send_bw", "-s", "64", "-I", "64"),
    ("ib_send_bw", "-l", "16", "-n", "400"), ("ib_send_bw", "-D", "2"), ("ib_send_bw", "-a", "-n", "16"),
    ("ib_send_lat",), ("ib_send_lat", "-e"), ("ib_send_lat", "-a", "-n", "8"),
]
HEARD = {"as_many_as_promised": "freeflow: ibv_create_ah: a limit of this container is reached.*\n",
         "bad_attributes": r"(freeflow: ibv_create_ah: GID index \d+ is not in use here: .*\n)*"}


@pytest.mark.parametrize("source, name", cases("ud"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))


class RouterOfBothFamilies(Router):
    """In a network namespace of its own, with an IPv4 and an IPv6 address; and so are the programs that it runs."""

    SETUP = "ip link set lo up && ip addr add 10.77.0.1/32 dev lo && ip addr add fd00:77::1/128 dev lo nodad && exec \"$@\""

    def __init__(self):
        super().__init__(command=["unshare", "--net", "sh", "-c", self.SETUP, "sh", *FREEFLOW, "router"])

    def run(self, *command, **options):
        return super().run("nsenter", f"--net=/proc/{self.pid}/ns/net", *command, **options)


@pytest.fixture(scope="module")
def router_of_both_families():
    made = RouterOfBothFamilies()
    yield made
    made.remove()


@pytest.mark.parametrize("source, name", cases("families"))
def test_both_families(router_of_both_families, source, name):
    run_case(router_of_both_families, source, name)


@pytest.mark.parametrize("words", PERFTEST, ids=" ".join)
def test_perftest(lab, words):
    program, *options = words
    result = Perftest(lab.words).run(program, "-c", "UD", *options)
    assert len(result.rows) == (12 if "-a" in options else 1), "a datagram is at most the MTU, 2^12 bytes"
    assert all(row["#iterations"] > 0 for row in result.rows)


@pytest.mark.parametrize("options", [[], ["-e"], ["-s", "4096"]], ids=["plain", "events", "MTU"])
def test_ibv_ud_pingpong(lab, options):
    words = ["ibv_ud_pingpong", "-g", "0", *options]
    server, client = run_pair(lab.words("h1c1", *words), lab.words("h1c2", *words, "h1c1"), 18515)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"
    assert " iters in " in client.stdout
