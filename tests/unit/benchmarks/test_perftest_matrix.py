"""The matrix of perftest's options: what belongs to it, and which figures it believes."""

import pytest

from benchmarks.matrix import TRANSPORTS, VERBS, WAYS, Case, cases, forbidden
from benchmarks.perftest_matrix import last_words, nonsense, sizes_wanted

BANDWIDTH = {"#bytes": 65536.0, "#iterations": 1000.0, "BW peak[MB/sec]": 0.0, "BW average[MB/sec]": 6250.0,
             "MsgRate[Mpps]": 0.1}
LATENCY = {"#bytes": 2.0, "#iterations": 1000.0, "t_min[usec]": 1.2, "t_max[usec]": 20.0, "t_typical[usec]": 1.4,
           "t_avg[usec]": 1.5, "t_stdev[usec]": 0.0, "99% percentile[usec]": 2.0, "99.9% percentile[usec]": 9.0}


def test_each_combination_runs_or_has_a_reason():
    run, left_out = cases(), forbidden()
    assert len(run) + len(left_out) == len(VERBS) * 2 * len(TRANSPORTS) * len(WAYS)
    assert all(why for _, why in left_out)
    assert len({case.name for case in run}) == len(run)


@pytest.mark.parametrize("verb, kind, transport, way, runs", [
    ("send", "bw", "UD", "-g", True), ("send", "bw", "RC", "-g", False), ("write", "bw", "UD", "plain", False),
    ("write", "lat", "RC", "-e", False), ("read", "bw", "XRC", "-q 64", True), ("atomic", "lat", "RC", "-a", False)])
def test_what_belongs_to_it(verb, kind, transport, way, runs):
    assert (Case(verb, kind, transport, way) in cases()) is runs


def test_sane_figures():
    assert nonsense(Case("send", "bw", "RC", "plain"), BANDWIDTH) is None
    assert nonsense(Case("send", "lat", "RC", "plain"), LATENCY) is None


@pytest.mark.parametrize("kind, row", [
    ("bw", BANDWIDTH | {"BW average[MB/sec]": 0.0}), ("bw", BANDWIDTH | {"BW average[MB/sec]": float("inf")}),
    ("bw", BANDWIDTH | {"BW average[MB/sec]": 12500.0}),  # twice what that many messages carry
    ("bw", BANDWIDTH | {"BW average[MB/sec]": 1e6, "MsgRate[Mpps]": 16.0}), ("bw", BANDWIDTH | {"#iterations": 0.0}),
    ("lat", LATENCY | {"t_min[usec]": 0.0}), ("lat", LATENCY | {"t_min[usec]": 2.0}),
    ("lat", LATENCY | {"t_avg[usec]": float("nan")}), ("lat", {"#bytes": 2.0, "#iterations": 5.0})])
def test_figures_that_cannot_be(kind, row):
    assert nonsense(Case("send", kind, "RC", "plain"), row)


def test_all_sizes_means_all():
    rows = [BANDWIDTH | {"#bytes": 2.0 ** n} for n in range(1, 13)]
    assert sizes_wanted(Case("send", "bw", "UD", "-a"), rows) is None
    assert sizes_wanted(Case("send", "bw", "RC", "-a"), rows)


def test_what_a_failed_pair_said_last():
    assert last_words("failed\n-- client --\n$ x y\n---------------------------\n no such thing\n[exit status 1]") == "no such thing"
