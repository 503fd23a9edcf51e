"""What nobody acknowledges, between routers: marks go out, and come back when the peer has read that far."""

import pytest
from ffr.nic.roce.protocol.harness import EVERY, WINDOW, Marks

MS = 1_000_000
NOW = 1000 * MS


def fill(marks, now, echo=False, packets=WINDOW):
    """The marks that left; None in their place for a packet that may not go."""
    seen = []
    for _ in range(packets):
        went, mark = marks.send(now)
        if not went:
            seen.append(None)
        if mark is not None:
            seen.append(mark)
            if echo:
                marks.echo(mark)
    return seen


def test_marks_follow_packets_at_equal_distances():
    assert fill(Marks(), NOW) == list(range(EVERY, WINDOW + 1, EVERY))


def test_window_stays_open_while_marks_come_back():
    assert None not in fill(Marks(), NOW, echo=True, packets=20 * WINDOW)


def test_window_closes_without_an_echo_and_opens_with_one():
    marks = Marks()
    fill(marks, NOW)
    assert marks.send(NOW) == (False, None)
    marks.echo(EVERY)
    assert fill(marks, NOW, packets=EVERY) == [WINDOW + EVERY]
    assert marks.send(NOW) == (False, None)


def test_a_closed_window_asks_again():
    marks = Marks()
    fill(marks, NOW)
    assert marks.send(NOW + MS) == (False, None)
    assert marks.send(NOW + 3 * MS) == (False, WINDOW)
    assert marks.send(NOW + 4 * MS) == (False, None)
    marks.echo(WINDOW)
    assert marks.send(NOW + 4 * MS) == (True, None)


def test_a_window_that_nobody_opens_opens_at_last():
    marks = Marks()
    fill(marks, NOW)
    assert not marks.send(NOW)[0] and not marks.send(NOW + 99 * MS)[0]
    assert marks.send(NOW + 101 * MS)[0]
    assert None not in fill(marks, NOW + 101 * MS, packets=WINDOW - 1)
    assert not marks.send(NOW + 101 * MS)[0]


@pytest.mark.parametrize("count", [WINDOW + 1, 1 << 23, (1 << 24) - 1])
def test_an_echo_of_what_was_never_sent_says_nothing(count):
    marks = Marks()
    fill(marks, NOW)
    marks.echo(count)
    assert not marks.send(NOW)[0]


def test_an_old_echo_takes_nothing_back():
    marks = Marks()
    fill(marks, NOW)
    marks.echo(2 * EVERY)
    marks.echo(EVERY)
    assert None not in fill(marks, NOW, packets=2 * EVERY)


def test_counts_go_round():
    marks = Marks()
    for _ in range((1 << 24) // WINDOW + 2):
        assert None not in fill(marks, NOW, echo=True)
