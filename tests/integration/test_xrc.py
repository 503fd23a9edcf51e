"""XRC: the xrc_*.c programs through a real router, perftest and ibv_xsrq_pingpong between containers."""

import pytest

from freeflow.pair import run_pair
from freeflow.perftest import Perftest
from programs import cases, program, run_case

PERFTEST = [
    ("ib_send_bw",), ("ib_send_bw", "-e"), ("ib_send_bw", "-b"), ("ib_send_bw", "-q", "8"),
    ("ib_send_bw", "-s", "64", "-I", "64"), ("ib_send_bw", "-l", "16", "-n", "400"), ("ib_send_bw", "-a", "-n", "16"),
    ("ib_send_bw", "--use_old_post_send"), ("ib_send_lat",), ("ib_send_lat", "-e"),
    ("ib_write_bw",), ("ib_write_bw", "-q", "8", "-l", "16", "-n", "400"), ("ib_write_lat",),
    ("ib_read_bw",), ("ib_read_lat",), ("ib_atomic_bw",), ("ib_atomic_lat", "-A", "CMP_AND_SWAP"),
]
HEARD = {"as_many_as_promised": "freeflow: ibv_open_xrcd: a limit of this container is reached.*\n"}


@pytest.mark.parametrize("source, name", cases("xrc"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))


def test_a_file_that_two_containers_see(lab):
    """It is the same device and inode in both; the domain is not the same."""
    files = {lab.exec(place, "stat", "-L", "-c", "%d:%i", "/usr/bin/env").stdout for place in ("h1c1", "h1c2")}
    assert len(files) == 1, "this test needs one file in two containers"
    words = {place: lab.put(place, program("strangers")) for place in ("h1c1", "h1c2")}
    file = "STRANGERS_FILE=/usr/bin/env"
    with lab.popen("h1c1", "env", file, words["h1c1"], "holds", stdin=-1) as holder:
        number = holder.stdout.readline().strip()
        done = lab.exec("h1c2", "env", file, f"STRANGERS_SRQN={number}", words["h1c2"], "tries")
        assert done.stdout == "ok tries\n", done.stdout + done.stderr
        assert holder.communicate(timeout=20)[0] == "ok holds\n"


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
