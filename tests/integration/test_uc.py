"""Unreliable connections: the uc_*.c programs through a real router, perftest and ibv_uc_pingpong between containers."""

import pytest

from freeflow.pair import run_pair
from freeflow.perftest import Perftest
from programs import cases, run_case

PERFTEST = [
    ("ib_send_bw",), ("ib_send_bw", "-e"), ("ib_send_bw", "-b"), ("ib_send_bw", "-q", "8"),
    ("ib_send_bw", "-s", "64", "-I", "64"),
    ("ib_send_bw", "-l", "16", "-n", "400"), ("ib_send_bw", "-D", "2"), ("ib_send_bw", "-a", "-n", "16"),
    ("ib_send_lat",), ("ib_send_lat", "-e"), ("ib_send_lat", "-a", "-n", "8"),
    ("ib_write_bw",), ("ib_write_bw", "-b"), ("ib_write_bw", "-q", "8"), ("ib_write_bw", "-l", "16", "-n", "400"),
    ("ib_write_bw", "-a", "-n", "16"), ("ib_write_lat",), ("ib_write_lat", "-a", "-n", "8"),
]


@pytest.mark.parametrize("source, name", cases("uc"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name)


@pytest.mark.parametrize("words", PERFTEST, ids=" ".join)
def test_perftest(lab, words):
    program, *options = words
    result = Perftest(lab.words).run(program, "-c", "UC", *options)
    assert len(result.rows) == (23 if "-a" in options else 1)
    assert all(row["#iterations"] > 0 for row in result.rows)


@pytest.mark.parametrize("options", [[], ["-e"]], ids=["plain", "events"])
def test_ibv_uc_pingpong(lab, options):
    words = ["ibv_uc_pingpong", "-g", "0", *options]
    server, client = run_pair(lab.words("h1c1", *words), lab.words("h1c2", *words, "h1c1"), 18515)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"
    assert " iters in " in client.stdout
