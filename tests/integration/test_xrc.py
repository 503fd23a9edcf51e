"""XRC: the xrc_*.c programs through a real router, perftest and ibv_xsrq_pingpong between containers."""

import pytest

from freeflow.pair import run_pair
from freeflow.perftest import Perftest
from programs import cases, run_case

PERFTEST = [
    ("ib_send_bw",), ("ib_send_bw", "-e"), ("ib_send_bw", "-b"), ("ib_send_bw", "-q", "8"),
    ("ib_send_bw", "-s", "64", "-I", "64"), ("ib_send_bw", "-l", "16", "-n", "400"), ("ib_send_bw", "-a", "-n", "16"),
    ("ib_send_bw", "--use_old_post_send"), ("ib_send_lat",), ("ib_send_lat", "-e"),
    ("ib_write_bw",), ("ib_write_bw", "-q", "8", "-l", "16", "-n", "400"), ("ib_write_lat",),
    ("ib_read_bw",), ("ib_read_lat",), ("ib_atomic_bw",), ("ib_atomic_lat", "-A", "CMP_AND_SWAP"),
]


@pytest.mark.parametrize("source, name", cases("xrc"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name)


@pytest.mark.parametrize("words", PERFTEST, ids=" ".join)
def test_perftest(lab, words):
    program, *options = words
    result = Perftest(lab.words).run(program, "-c", "XRC", *options)
    assert len(result.rows) == (23 if "-a" in options else 1)
    assert all(row["#iterations"] > 0 for row in result.rows)


@pytest.mark.parametrize("options", [[], ["-e"]], ids=["plain", "events"])
def test_ibv_xsrq_pingpong(lab, options):
    words = ["ibv_xsrq_pingpong", "-g", "0", *options]
    server, client = run_pair(lab.words("h1c1", *words), lab.words("h1c2", *words, "h1c1"), 18515)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"
