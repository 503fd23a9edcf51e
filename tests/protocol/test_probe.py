"""How long packets between two routers may be: a probe of that length has to come back (ffr/nic/roce/protocol/probe.pxd)."""

import pytest
from ffr.nic.roce.protocol.harness import Probe

MS, SECOND = 1_000_000, 1_000_000_000
NOW = 1000 * SECOND
JUMBO, ETHERNET = 8972, 1472
EAGER = 20  # probes that follow one another quickly


def begun(wanted=JUMBO, now=NOW):
    probe = Probe()
    probe.begin(wanted, now)
    return probe


def known(now=NOW):
    """One that was answered at once: (probe, when the next one is due)."""
    probe = begun(now=now)
    assert probe.send(now) == JUMBO
    probe.answered(JUMBO, now)
    return probe, now + 10 * SECOND


def times(probe, until, now=NOW, every=10 * MS):
    """Milliseconds from NOW at which a probe leaves, when it is looked for this often and none is answered."""
    seen = []
    while now <= until:
        if probe.send(now) is not None:
            seen.append((now - NOW) // MS)
        now += every
    return seen


def test_nothing_is_asked_of_a_link_that_is_not_known():
    assert times(Probe(), NOW + 20 * SECOND) == [] and Probe().carries == 0


@pytest.mark.parametrize("wanted", [0, 40, 544])
def test_nothing_is_asked_of_a_link_that_carries_too_little(wanted):
    """Of messages that are cut into so small packets nothing might be left for the last one (ffr/nic/roce/protocol/cut.pxd)."""
    probe = begun(wanted)
    assert times(probe, NOW + 20 * SECOND) == [] and probe.carries == 0
    probe, due = known()
    probe.begin(wanted, due)
    assert probe.carries == 0 and probe.send(due) is None


def test_the_least_that_is_asked():
    assert begun(548).send(NOW) == 548


def test_a_probe_is_as_long_as_the_link_carries():
    probe = begun()
    assert probe.send(NOW) == JUMBO and probe.send(NOW) is None
    assert probe.carries == 0, "until it has come back"


def test_who_does_not_answer_is_asked_again():
    """Every 100 ms, 20 times, since a router that has just come knows its peers soon; then as seldom as when it answers."""
    eager = [100 * n for n in range(EAGER)]
    assert times(begun(), NOW + 35 * SECOND) == eager + [1900 + 10_000 * n for n in (1, 2, 3)]


def test_an_answer_says_what_the_path_carries():
    for unanswered in (1, 4, EAGER, EAGER + 2):
        probe, now = begun(), NOW
        for _ in range(unanswered):
            assert probe.carries == 0
            now = max(probe.due_ns, now)
            assert probe.send(now) == JUMBO
        probe.answered(JUMBO, now + 5 * MS)
        assert probe.carries == JUMBO and probe.due_ns == now + 5 * MS + 10 * SECOND


def test_what_a_path_carries_is_asked_every_ten_seconds():
    probe, due = known()
    for _ in range(20):
        assert probe.send(due - 1) is None and probe.send(due) == JUMBO
        probe.answered(JUMBO, due + MS)
        due += 10 * SECOND + MS
        assert probe.carries == JUMBO and probe.due_ns == due


def test_one_lost_answer_changes_nothing():
    """Nor do three, one after the other."""
    for lost in (1, 2, 3):
        probe, due = known()
        for _ in range(lost):
            assert probe.send(due) == JUMBO
            assert probe.carries == JUMBO
            due = probe.due_ns
        probe.answered(JUMBO, due)
        assert probe.carries == JUMBO and probe.due_ns == due + 10 * SECOND


def test_four_in_a_row_without_an_answer_take_it_back():
    probe, due = known()
    for carries in (JUMBO, JUMBO, JUMBO, 0, 0):
        assert probe.send(due) == JUMBO and probe.carries == carries
        due = probe.due_ns
    assert due - NOW < 40 * SECOND
    probe.answered(JUMBO, due)
    assert probe.carries == JUMBO, "the path is back"


def test_answers_between_lost_ones_start_the_count_again():
    probe, due = known()
    for _ in range(5):
        for _ in range(3):
            probe.send(due)
            due = probe.due_ns
        probe.answered(JUMBO, due)
        due = probe.due_ns
        assert probe.carries == JUMBO


@pytest.mark.parametrize("size", [0, ETHERNET, JUMBO - 4, JUMBO + 4, (1 << 24) - 1])
def test_an_answer_of_another_length_says_nothing(size):
    """It is to a probe of an earlier link, or forged."""
    probe = begun()
    probe.send(NOW)
    probe.answered(size, NOW + MS)
    assert probe.carries == 0 and probe.due_ns == NOW + 100 * MS
    probe, due = known()
    probe.answered(size, NOW + MS)
    assert probe.carries == JUMBO and probe.due_ns == due


def test_an_answer_before_a_link_is_known_says_nothing():
    probe = Probe()
    for size in (0, JUMBO):
        probe.answered(size, NOW)
    probe.heard(1472, NOW)
    assert probe.carries == 0 and times(probe, NOW + 20 * SECOND) == []


def test_the_other_routers_probe_wakes():
    """It is there now, and may not have been when it was asked: it is asked at once, and eagerly."""
    probe = begun()
    times(probe, NOW + 2 * SECOND)
    now = NOW + 5 * SECOND
    assert probe.send(now) is None
    probe.heard(1472, now)
    assert times(probe, now + 3 * SECOND, now) == [5000 + 100 * n for n in range(EAGER)]


def test_who_has_an_answer_is_not_woken():
    """Two routers that ask each other settle: each answer ends it."""
    probe, due = known()
    probe.heard(1472, NOW + SECOND)
    assert probe.due_ns == due and probe.send(NOW + SECOND) is None
    assert probe.send(due) == JUMBO
    due = probe.due_ns
    probe.heard(1472, due - SECOND)
    assert probe.due_ns == due and probe.carries == JUMBO, "nor while it waits for the next"
    a, b = begun(), begun()
    sent = 0
    now = NOW
    while now < NOW + 9 * SECOND:
        for one, other in (a, b), (b, a):
            if one.send(now):
                sent += 1
                one.answered(JUMBO, now)
                other.heard(1472, now)
        now += MS
    assert sent == 2 and a.carries == b.carries == JUMBO


def test_two_routers_that_hear_no_answers_do_not_drive_each_other():
    """Each one's probe wakes the other: ten times a second, as without that, not once a round trip."""
    a, b = begun(), begun()
    sent, now = 0, NOW
    while now < NOW + 5 * SECOND:
        for one, other in (a, b), (b, a):
            if one.send(now):
                sent += 1
                other.heard(JUMBO, now)
        now += MS
    assert 4 * EAGER <= sent <= 2 * 5 * 10


def test_a_probe_that_is_due_is_not_due_twice():
    """A router that has not asked yet is about to."""
    probe = begun()
    probe.heard(1472, NOW)
    assert probe.send(NOW) == JUMBO and probe.send(NOW + 99 * MS) is None


def test_another_link_starts_over():
    """What the path carries is not known until the new length has come back; answers to the old one are late."""
    probe, due = known()
    probe.begin(ETHERNET, NOW + SECOND)
    assert probe.carries == 0
    assert probe.send(NOW + SECOND) == ETHERNET
    probe.answered(JUMBO, NOW + SECOND + MS)
    assert probe.carries == 0
    probe.answered(ETHERNET, NOW + SECOND + MS)
    assert probe.carries == ETHERNET
    times(probe, NOW + 100 * SECOND, NOW + SECOND)
    probe.begin(JUMBO, NOW + 100 * SECOND)
    assert times(probe, NOW + 103 * SECOND, NOW + 100 * SECOND) == [100_000 + 100 * n for n in range(EAGER)]


def test_the_same_link_again_changes_nothing():
    """The map is told anew whenever a host comes or goes."""
    probe, due = known()
    probe.begin(JUMBO, NOW + SECOND)
    assert probe.carries == JUMBO and probe.due_ns == due
    probe = begun()
    times(probe, NOW + 3 * SECOND)
    due = probe.due_ns
    probe.begin(JUMBO, NOW + 3 * SECOND)
    assert probe.due_ns == due


def test_what_comes_from_the_other_router_is_what_its_latest_probes_did():
    """READs are asked for by that: a path that carries less in that direction alone loses their responses, and the other
    router's probes with them. Two of those may be lost by chance."""
    probe = begun()
    assert probe.hears(NOW) == 0
    probe.heard(1472, NOW)
    assert probe.hears(NOW) == probe.hears(NOW + 21 * SECOND) == 1472
    assert probe.hears(NOW + 26 * SECOND) == 0
    probe.heard(1000, NOW + 30 * SECOND)
    assert probe.hears(NOW + 31 * SECOND) == 1000
