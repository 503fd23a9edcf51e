"""perftest's tables, as Debian's perftest 4.5 prints them; and what it says when it could not measure."""

import math

import pytest

from freeflow import perftest
from freeflow.pair import Ended, PairError

BANDWIDTH = """\
 Link type       : Ethernet
---------------------------------------------------------------------------------------
 #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]
 2          1000             3.00               2.50               1.310720
 65536      1000             2000.00            1000.00            0.016000
---------------------------------------------------------------------------------------
"""
LATENCY = """\
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   99% percentile[usec]   99.9% percentile[usec] 
 64      500          10.36          424.88       11.23    \t       13.53       \t17.91  \t\t116.53  \t\t424.88 
 128     20           10.36          424.88       12.5    \t       13.53       \t-nan  \t\t116.53  \t\t424.88 
"""
LATENCY_BY_TIME = """\
 #bytes        #iterations       t_avg[usec]    tps average
 2             44740            11.20          44653.67
"""


def test_bandwidth_rows_and_units():
    small, large = perftest.parse(BANDWIDTH)
    assert small["#bytes"] == 2 and perftest.million_per_s(small) == pytest.approx(1.31072)
    assert perftest.gbit_per_s(large) == pytest.approx(8.388608)


def test_latency_rows_even_with_nan():
    first, second = perftest.parse(LATENCY)
    assert perftest.typical_us(first) == 11.23 and first["99.9% percentile[usec]"] == 424.88
    assert perftest.typical_us(second) == 12.5 and math.isnan(second["t_stdev[usec]"])


def test_latency_by_time_has_only_an_average():
    assert perftest.typical_us(perftest.parse(LATENCY_BY_TIME)[0]) == 11.20


@pytest.mark.parametrize("text", ["", "Couldn't listen to port 18515\n", "#bytes\n", BANDWIDTH.splitlines()[2]])
def test_no_table_no_rows(text):
    assert perftest.parse(text) == []


FINE = (Ended((), 0, BANDWIDTH, ""), Ended((), 0, BANDWIDTH, ""))
COMPLAINT = "Correlation coefficient r^2: 0.812345 < 0.9\n"  # on standard error, Debian's perftest 4.5
FAILED = (Ended((), 0, BANDWIDTH, ""), Ended((), 1, "", COMPLAINT + "Can't produce a report\n"))
VOID = (Ended((), 0, BANDWIDTH, COMPLAINT), Ended((), 0, BANDWIDTH, ""))  # with -F it goes on


@pytest.fixture
def ends(monkeypatch):
    """What the pairs will have come to, in this order."""
    coming = []
    monkeypatch.setattr(perftest, "run_pair", lambda *words, **options: coming.pop(0))
    return coming


@pytest.mark.parametrize("disturbed", [FAILED, VOID], ids=["failed", "void"])
def test_a_disturbed_clock_means_again(ends, disturbed):
    ends += [disturbed, disturbed, FINE]
    assert perftest.Perftest().run("ib_write_bw").row["#bytes"] == 65536 and not ends


@pytest.mark.parametrize("disturbed", [FAILED, VOID], ids=["failed", "void"])
def test_and_in_the_end_it_is_told(ends, disturbed):
    ends += [disturbed] * perftest.TRIES
    with pytest.raises(PairError, match="Correlation coefficient"):
        perftest.Perftest().run("ib_write_bw")
    assert not ends


def test_any_other_failure_is_told_at_once(ends):
    ends += [(Ended((), 1, "", "no such device\n"), FINE[1]), FINE]
    with pytest.raises(PairError, match="no such device"):
        perftest.Perftest().run("ib_write_bw")
    assert len(ends) == 1
