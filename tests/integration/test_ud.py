"""Datagrams: the ud_*.c programs through a real router, perftest and ibv_ud_pingpong between containers."""

import pytest

from freeflow.pair import run_pair
from freeflow.perftest import Perftest
from programs import cases, run_case

PERFTEST = [
    ("ib_send_bw",), ("ib_send_bw", "-e"), ("ib_send_bw", "-b"), ("ib_send_bw", "-q", "8"),
    ("ib_send_bw", "-s", "64", "-I", "64"),
    ("ib_send_bw", "-l", "16", "-n", "400"), ("ib_send_bw", "-D", "2"), ("ib_send_bw", "-a", "-n", "16"),
    ("ib_send_lat",), ("ib_send_lat", "-e"), ("ib_send_lat", "-a", "-n", "8"),
]
HEARD = {"as_many_as_promised": "freeflow: ibv_create_ah: a limit of this container is reached.*\n"}


@pytest.mark.parametrize("source, name", cases("ud"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))


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
