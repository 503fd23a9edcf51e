"""perftest's tables, as Debian's perftest 4.5 prints them."""

import math

import pytest

from freeflow import perftest

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
