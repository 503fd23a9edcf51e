"""Shared receive queues: the srq_*.c programs through a real router, perftest and ibv_srq_pingpong between containers."""

import pytest

from freeflow.pair import run_pair
from freeflow.perftest import Perftest
from programs import cases, run_case

PERFTEST = [
    ("ib_send_bw",), ("ib_send_bw", "-e"), ("ib_send_bw", "-b"), ("ib_send_bw", "-q", "8"), ("ib_send_bw", "-q", "64"),
    ("ib_send_bw", "-a", "-n", "16"), ("ib_send_bw", "-c", "UC"), ("ib_send_bw", "-c", "UD"),
    ("ib_send_lat",), ("ib_send_lat", "-e"), ("ib_send_lat", "-a", "-n", "8"), ("ib_send_lat", "-c", "UD"),
]
HEARD = {"as_many_as_promised": "freeflow: ibv_create_srq: a limit of this container is reached.*\n"}


@pytest.mark.parametrize("source, name", cases("srq"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))


@pytest.mark.parametrize("words", PERFTEST, ids=" ".join)
def test_perftest(lab, words):
    program, *options = words
    result = Perftest(lab.words).run(program, "--use-srq", *options)
    assert len(result.rows) == (23 if "-a" in options else 1)
    assert all(row["#iterations"] > 0 for row in result.rows)


@pytest.mark.parametrize("options", [[], ["-e"], ["-q", "4", "-s", "1048576", "-n", "64"]], ids=["plain", "events", "1MB"])
def test_ibv_srq_pingpong(lab, options):
    words = ["ibv_srq_pingpong", "-g", "0", *options]
    server, client = run_pair(lab.words("h1c1", *words), lab.words("h1c2", *words, "h1c1"), 18515)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"
    assert " iters in " in client.stdout
