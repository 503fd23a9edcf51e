"""Packets that are spoilt on purpose: as many as were asked for, the same ones for the same seed, and never more than fit."""

import pytest

from ffr.nic.roce.faulty import Faulty

PERCENT = int(0.01 * 2**32)
EVER = 1 << 62


def passed(faulty, count, now=0):
    return [number for number in range(count) if faulty.take(number, now)]


def test_without_a_plan_everything_passes():
    faulty = Faulty()
    assert len(passed(faulty, 1000)) == 1000 and faulty.due(EVER) == [] and not faulty.state["on"]


def test_a_share_is_dropped_and_a_seed_repeats_it():
    kept = passed(Faulty(drop=PERCENT, seed=5), 100_000)
    assert 98_600 < len(kept) < 99_400
    assert kept == passed(Faulty(drop=PERCENT, seed=5), 100_000) != passed(Faulty(drop=PERCENT, seed=6), 100_000)


def test_all_can_be_dropped():
    assert len(passed(Faulty(drop=0xFFFFFFFF), 1000)) == 0


def test_one_that_is_duplicated_comes_twice():
    faulty = Faulty(duplicate=50 * PERCENT)
    first, second = passed(faulty, 1000), faulty.due(0)
    assert len(first) == 1000 and 400 < len(second) < 600
    assert {bytes_ for _, bytes_, _ in second} == {bytes(64)} and len(second) == faulty.state["duplicated"]


def test_one_that_is_corrupted_differs_in_a_bit():
    faulty = Faulty(corrupt=10 * PERCENT)
    clean, damaged = passed(faulty, 1000), faulty.due(0)
    assert 50 < len(damaged) < 150 and sorted(clean + [number for number, _, _ in damaged]) == list(range(1000))
    assert all(int.from_bytes(bytes_, "big").bit_count() == 1 for _, bytes_, _ in damaged)


def test_delay_keeps_the_order_and_jitter_does_not():
    faulty = Faulty(delay_ns=1000)
    for now in range(500):
        assert not faulty.take(now, now)
    assert faulty.due(999) == [] and faulty.state["deadline"] == 1000
    assert [(number, due) for number, _, due in faulty.due(EVER)] == [(n, n + 1000) for n in range(500)]
    faulty.plan(delay_ns=1000, jitter_ns=500)
    for now in range(500):
        faulty.take(now, now)
    came = faulty.due(EVER)
    assert sorted(n for n, _, _ in came) == list(range(500)) != [n for n, _, _ in came]
    assert [due for _, _, due in came] == sorted(due for _, _, due in came)
    assert all(n + 1000 <= due < n + 1500 for n, _, due in came)


def test_one_that_is_reordered_comes_behind_others():
    faulty = Faulty(reorder=10 * PERCENT, behind_ns=50)
    clean = passed(faulty, 1000)
    late = [number for number, _, _ in faulty.due(50)]
    assert faulty.state["held"] == 0 and sorted(clean + late) == list(range(1000)) and 50 < len(late) < 150


def test_no_more_are_held_than_there_is_room_for():
    faulty = Faulty(delay_ns=1)
    assert passed(faulty, 5000) == []
    assert faulty.state["held"] == 4096 and faulty.state["overflowed"] == 5000 - 4096
    assert [number for number, _, _ in faulty.due(1)] == list(range(4096))


def test_what_is_held_when_the_plan_is_taken_back_still_comes():
    faulty = Faulty(delay_ns=1000)
    faulty.take(1, 0)
    faulty.plan()
    assert faulty.state["on"], "there is one to come"
    assert faulty.take(2, 0), "but new ones pass"
    assert [number for number, _, _ in faulty.due(1000)] == [1] and not faulty.state["on"]


@pytest.mark.parametrize("size", [0, 1, 4352])
def test_any_size(size):
    faulty = Faulty(size=size, corrupt=0xFFFFFFFF)
    assert not faulty.take(1, 0)
    assert [len(bytes_) for _, bytes_, _ in faulty.due(0)] == [size]
