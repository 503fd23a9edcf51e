"""Debian's perftest, unmodified, between two containers: RC, every test, every way of running it that it allows."""

import math

import pytest

from freeflow.pair import PairError, run_pair
from freeflow.perftest import Perftest
from lab_checks import said

VERBS = ("send", "write", "read", "atomic")
KINDS = ("bw", "lat")
VARIATIONS = {
    "plain": [],
    "events": ["-e"],
    "bidirectional": ["-b"],
    "8-qps": ["-q", "8"],
    "all-sizes": ["-a"],
    "inline": ["-I", "64", "-s", "64"],
    "post-list": ["-l", "16"],
    "2-seconds": ["-D", "2"],
}
ITERATIONS = {"bw": 400, "lat": 300}
ALL_SIZES_ITERATIONS = {"bw": 16, "lat": 8}


def allowed(verb, kind, variation):
    """perftest 4.5's own rules (its --help, and what it refuses when it is tried)."""
    match variation:
        case "events":
            return verb != "write"  # a WRITE's target has no completion to wait for
        case "bidirectional" | "8-qps" | "post-list":
            return kind == "bw"
        case "all-sizes":
            return verb != "atomic"  # always 8 bytes
        case "inline":
            return verb in ("send", "write")
    return True


CASES = [(verb, kind, variation) for verb in VERBS for kind in KINDS for variation in VARIATIONS
         if allowed(verb, kind, variation)]


def options_of(kind, variation):
    if variation == "2-seconds":
        return VARIATIONS[variation]
    table = ALL_SIZES_ITERATIONS if variation == "all-sizes" else ITERATIONS
    return [*VARIATIONS[variation], "-n", table[kind]]


@pytest.fixture(scope="module")
def perftest(lab):
    return Perftest(lambda container: lab.words(container), timeout_s=60)


@pytest.mark.parametrize("verb, kind, variation", CASES)
def test_perftest(perftest, verb, kind, variation):
    result = perftest.run(f"ib_{verb}_{kind}", *options_of(kind, variation))
    sizes = [row["#bytes"] for row in result.rows]
    assert sizes == ([2.0 ** n for n in range(1, 24)] if variation == "all-sizes" else sizes[:1])
    for row in result.rows:
        assert row["#iterations"] > 0
        figures = {column: value for column, value in row.items() if column not in ("#bytes", "#iterations")}
        # A peak of 0 means that perftest did not look for one, and a handful of samples may have no deviation.
        loose = ("BW peak", "t_stdev")
        assert all(math.isfinite(value) and value > 0 for column, value in figures.items()
                   if not column.startswith(loose)), figures
        if "t_typical[usec]" in row:
            assert row["t_min[usec]"] <= row["t_typical[usec]"] <= row["t_max[usec]"]


@pytest.mark.parametrize("verb", ["write", "read", "send"])
def test_buffers_in_a_file_of_tmpfs(lab, perftest, verb):
    for place in ("h1c1", "h1c2"):
        said(lab.exec(place, "truncate", "-s", "16M", "/dev/shm/perftest"))
    result = perftest.run(f"ib_{verb}_bw", "--mmap=/dev/shm/perftest", "-n", "1000")
    assert result.rows[0]["BW average[MB/sec]"] > 0


@pytest.mark.parametrize("options", [[], ["-e"], ["-s", "1048576", "-n", "100"]], ids=["plain", "events", "1MB"])
def test_ibv_rc_pingpong(lab, options):
    words = ["ibv_rc_pingpong", "-g", "0", *options]
    server, client = run_pair(lab.words("h1c1", *words), lab.words("h1c2", *words, "h1c1"), 18515)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"
    assert " iters in " in client.stdout


def test_a_client_without_a_server_fails(lab):
    assert lab.exec("h1c2", "ib_send_bw", "h1c1").returncode != 0


def test_what_failed_is_told(perftest):
    with pytest.raises(PairError, match="exit status"):
        perftest.run("ib_send_bw", "-d", "no_such_device")
