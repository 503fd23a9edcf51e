"""The arithmetic of `freeflow top`, on counters made up here."""

import numpy
import pytest

from ffcore import stats as layout
from freeflow.cli.top import Look, per_session, scaled, table


class MadeUp:
    def __init__(self, *rows):
        self.header = numpy.zeros(1, layout.header_dtype())[0]
        self.rows = numpy.zeros(len(rows), layout.session_dtype())
        for row, values in zip(self.rows, rows, strict=True):
            for name, value in values.items():
                row[name] = value

    def sessions(self):
        return self.rows


def looks(before, now, seconds=2.0):
    first, second = Look(MadeUp(*before)), Look(MadeUp(*now))
    second.time_s = first.time_s + seconds
    return first, second


def test_rates_are_differences_over_time_and_the_busiest_comes_first():
    first, second = looks([{"session": 1, "pid": 7, "tx_bytes": 100}],
                          [{"session": 1, "pid": 7, "tx_bytes": 300}, {"session": 2, "pid": 8, "rx_bytes": 4000}])
    found = per_session(first, second)
    assert [row["session"] for row, _ in found] == [2, 1]
    assert found[0][1]["rx_bytes"] == 2000 and found[1][1]["tx_bytes"] == 100


def test_a_row_that_was_another_sessions_before_starts_at_nothing():
    (_, rates), = per_session(*looks([{"session": 1, "pid": 7, "tx_bytes": 5000}],
                                     [{"session": 1, "pid": 9, "tx_bytes": 40}]))
    assert rates["tx_bytes"] == 20


def test_a_table_of_nothing_is_a_table():
    assert table(*looks([], [])).row_count == 0


@pytest.mark.parametrize("amount, step, text", [
    (0, 1000, "0"), (999, 1000, "999"), (1000, 1000, "1 k"), (1234, 1000, "1.2 k"), (31e6, 1000, "31 M"),
    (7.5, 1000, "7.5"), (8 << 30, 1024, "8 Gi"), (1536, 1024, "1.5 Ki"), (5e18, 1000, "5000000 T")])
def test_numbers_are_short(amount, step, text):
    assert scaled(amount, step) == text
