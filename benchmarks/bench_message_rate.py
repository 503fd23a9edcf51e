"""Messages of 64 bytes on one QP, and what bare rings between three processes carry."""

import pytest

from benchmarks import floors
from benchmarks.report import medians
from freeflow.perftest import million_per_s

ROUNDS = 3
RATES = {"ib_write_bw -s 64 -l 16": 10, "ib_write_bw -s 64": 4, "ib_send_bw -s 64 -l 16": 4,
         "ib_send_bw -c UD -s 64": 2}


@pytest.mark.parametrize("words", RATES)
def test_message_rate(figure, measured, perftest, words):
    samples = measured(ROUNDS, ours=lambda: million_per_s(perftest.run(*words.split(), "-D", "2").row))
    figure(words, medians(samples)["ours"], "million/s", RATES[words], at_least=True,
           command=f"freeflow lab exec h1c1 -- {words} -D 2   |   freeflow lab exec h1c2 -- {words} -D 2 h1c1",
           basis="one QP, median of three runs of 2 s", samples=samples)


def test_ring_floor(figure, measured):
    samples = measured(ROUNDS, rings=floors.rings_million_per_s)
    figure("bare rings between three processes", medians(samples)["rings"], "million/s", basis="64 B slots, nothing checked",
           samples=samples)
