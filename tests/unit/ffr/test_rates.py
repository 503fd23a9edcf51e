"""Rates in a time of the tests' own: what passes is what they say, whoever asks, and whenever."""

import random

import pytest

from ffr.objects.harness import Rates
from ffr.reactor.reactor import Reactor

MS, S = 1_000_000, 1_000_000_000
START = 10 * S


@pytest.fixture
def rates():
    return Rates(Reactor())


@pytest.fixture
def chance():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def run(rates, qps, seconds, pause):
    """Bytes of each QP, which always has more to send; pause(): ns between two looks of the router."""
    moved, now, longest = dict.fromkeys(qps, 0), START, 0
    for qp in qps:
        rates.turn(qp, now)  # the first: from here on the clocks run
    while now < START + seconds * S:
        now += pause()
        for qp in qps:
            before = sum(moved.values())
            while (turn := rates.turn(qp, now)) is not None:
                moved[qp] += turn[0]
            longest = max(longest, sum(moved.values()) - before)
    return moved, longest


@pytest.mark.parametrize("bits_per_s", [1e6, 10e6, 1e9, 10e9, 40e9, 200e9])
def test_a_flow_gets_its_rate_and_no_burst(rates, chance, bits_per_s):
    rates.bucket(1, round(bits_per_s / 8))
    rates.qp(0, 0, (1, 0, 0))
    seconds = 20 if bits_per_s < 1e9 else 0.2
    moved, burst = run(rates, [0], seconds, lambda: chance.randrange(1000, 400_000))
    assert moved[0] == pytest.approx(bits_per_s / 8 * seconds, rel=0.01)
    assert burst <= bits_per_s / 8 * (1 * MS + 500_000 + 400_000) / S + 1024  # what it had missed, and a turn


def test_the_tightest_of_several_counts_and_shares_are_even(rates, chance):
    """Two containers of a tenant, two QPs each: 2 and 8 Gb/s within 4 in all."""
    rates.bucket(1, 250_000_000)
    rates.bucket(2, 1_000_000_000)
    rates.bucket(3, 500_000_000)
    for qp in range(4):
        rates.qp(qp, qp // 2, (1 + qp // 2, 3, 0))
    order = [0, 1, 2, 3]

    def pause():
        order.append(order.pop(0))
        return chance.randrange(1000, 100_000)
    moved, now = dict.fromkeys(order, 0), START
    while now < START + S // 2:
        now += pause()
        for qp in order:
            if (turn := rates.turn(qp, now)) is not None:
                moved[qp] += turn[0]
    assert sum(moved.values()) == pytest.approx(250_000_000, rel=0.01)
    assert moved[0] == pytest.approx(moved[1], rel=0.3) and moved[0] + moved[1] <= 125_000_000 * 1.01


def test_each_qp_by_itself(rates, chance):
    rates.bucket(5, 125_000_000, 0)
    for qp in range(3):
        rates.qp(qp, 0, (0, 0, 5))
    moved, _ = run(rates, [0, 1, 2], 0.5, lambda: chance.randrange(1000, 100_000))
    assert all(bytes_ == pytest.approx(62_500_000, rel=0.01) for bytes_ in moved.values())


def test_operations(rates, chance):
    rates.bucket(1, 0, 100_000)
    rates.qp(0, 0, (1, 0, 0))
    now, done = START, 0
    while now < START + 2 * S:
        now += chance.randrange(1000, 300_000)
        while (turn := rates.turn(0, now, wanted=64)) is not None:
            done += turn[1]
    assert done == pytest.approx(200_000, rel=0.01)


def test_who_sent_nothing_has_saved_a_millisecond_up_and_no_more(rates):
    rates.bucket(1, 125_000_000)
    rates.qp(0, 0, (1, 0, 0))
    rates.turn(0, START)
    total = 0
    while (turn := rates.turn(0, START + 100 * S)) is not None:
        total += turn[0]
    assert total <= 125_000_000 * (RATES_BURST_NS + 500_000) / S


RATES_BURST_NS = MS


def test_without_a_bucket_nothing_waits(rates):
    rates.qp(0, 0)
    assert all(rates.turn(0, START) == (131072, 64) for _ in range(1000))
