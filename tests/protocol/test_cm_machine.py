"""One end of a conversation: message by message, in given time."""

import pytest

from ffr.cm.harness import Conversation

REQ, MRA, REJ, REP, RTU, DREQ, DREP, SIDR_REQ, SIDR_REP = range(0x10, 0x19)
CONNECT_RESPONSE, UNREACHABLE, REJECTED, ESTABLISHED, DISCONNECTED, TIMEWAIT_EXIT = 5, 7, 8, 9, 10, 15
MS = 1_000_000
ETIMEDOUT = 110


def kind(outcome):
    """(type of the message that is sent, or None; event; status)"""
    said, event, status = outcome
    return said and said["type"], event, status


@pytest.fixture
def active():
    made = Conversation(local=7, psn=1000)
    assert kind(made.connect({"type": REQ, "qpn": 17}, 0)) == (REQ, None, 0)
    return made


@pytest.fixture
def passive():
    made = Conversation(local=9, psn=2000)
    # A REQ is answered by "have patience": a program decides.
    assert kind(made.asked({"type": REQ, "local": 7, "qpn": 17, "psn": 1000}, 0)) == (MRA, None, 0)
    return made


def established(c):
    assert kind(c.take({"type": REP, "local": 9, "remote": 7, "qpn": 18, "psn": 2000}, 1)) == (MRA, CONNECT_RESPONSE, 0)
    assert kind(c.accept({"type": REP}, 2)) == (RTU, None, 0)
    return c


def test_active(active):
    established(active)
    assert active.remote == (9, 18, 2000)
    assert active.deadline_ns == 0


def test_passive(passive):
    said, event, _ = passive.accept({"type": REP, "qpn": 18}, 1)
    assert (said["type"], said["local"], said["remote"], said["psn"]) == (REP, 9, 7, 2000) and event is None
    assert kind(passive.take({"type": RTU, "local": 7, "remote": 9}, 2)) == (None, ESTABLISHED, 0)
    assert passive.deadline_ns == 0


def test_a_lost_request_is_sent_again_then_given_up(active):
    times = []
    while True:
        at = active.deadline_ns
        outcome = kind(active.late(at))
        times.append(at // MS)
        if outcome != (REQ, None, 0):
            break
    assert outcome == (REJ, UNREACHABLE, -ETIMEDOUT)
    assert len(times) == 8 and times[0] == 250 and times[-1] < 20_000 and active.deadline_ns == 0


def test_a_peer_that_asks_for_patience_gets_it(active):
    assert kind(active.take({"type": MRA, "local": 9, "remote": 7, "refers": 0, "wait": 24}, 0)) == (None, None, 0)
    assert 60_000 * MS < active.deadline_ns < 80_000 * MS


def test_patience_has_an_end(active):
    active.take({"type": MRA, "local": 9, "remote": 7, "refers": 0, "wait": 31}, 0)
    assert active.deadline_ns < 80_000 * MS


def test_a_request_that_comes_again(passive):
    again = {"type": REQ, "local": 7, "qpn": 17, "psn": 1000}
    assert kind(passive.take(again, 1)) == (MRA, None, 0)
    passive.accept({"type": REP, "qpn": 18}, 2)
    assert kind(passive.take(again, 3)) == (REP, None, 0)


def test_a_lost_reply_is_sent_again(passive):
    passive.accept({"type": REP, "qpn": 18}, 0)
    assert kind(passive.late(passive.deadline_ns)) == (REP, None, 0)


def test_a_lost_rtu_is_sent_again(active):
    established(active)
    assert kind(active.take({"type": REP, "local": 9, "remote": 7}, 5)) == (RTU, None, 0)


def test_data_may_come_before_the_rtu(passive):
    passive.accept({"type": REP, "qpn": 18}, 0)
    assert kind(passive.establish()) == (None, ESTABLISHED, 0)
    assert kind(passive.take({"type": RTU, "local": 7, "remote": 9}, 1)) == (None, None, 0)


def test_rejected(active):
    assert kind(active.take({"type": REJ, "remote": 7, "reason": 8}, 1)) == (None, REJECTED, 8)
    assert active.deadline_ns == 0
    assert kind(active.take({"type": REJ, "remote": 7, "reason": 8}, 1)) == (None, None, 0)


def test_rejecting(passive):
    assert kind(passive.reject({"type": REJ, "reason": 28})) == (REJ, None, 0)
    with pytest.raises(OSError):
        passive.accept({"type": REP}, 1)


def test_disconnecting(active):
    established(active)
    said, event, _ = active.disconnect(0)
    assert (said["type"], said["qpn"], event) == (DREQ, 18, None)
    assert kind(active.take({"type": DREP, "local": 9, "remote": 7}, 1)) == (None, DISCONNECTED, 0)
    assert kind(active.late(active.deadline_ns)) == (None, TIMEWAIT_EXIT, 0)
    assert active.deadline_ns == 0


def test_disconnected(active):
    established(active)
    assert kind(active.take({"type": DREQ, "local": 9, "remote": 7}, 1)) == (None, DISCONNECTED, 0)
    assert kind(active.disconnect(2)) == (DREP, None, 0)
    # Its answer was lost.
    assert kind(active.take({"type": DREQ, "local": 9, "remote": 7}, 3)) == (DREP, None, 0)


def test_both_disconnect(active):
    established(active)
    active.disconnect(0)
    assert kind(active.take({"type": DREQ, "local": 9, "remote": 7}, 1)) == (DREP, DISCONNECTED, 0)
    assert kind(active.take({"type": DREP, "local": 9, "remote": 7}, 2)) == (None, None, 0)


def test_a_peer_that_does_not_answer_the_end(active):
    established(active)
    active.disconnect(0)
    outcome = kind(active.late(active.deadline_ns))
    while outcome == (DREQ, None, 0):
        outcome = kind(active.late(active.deadline_ns))
    assert outcome == (None, DISCONNECTED, -ETIMEDOUT)


@pytest.mark.parametrize("last, begin", [
    (REJ, lambda: Conversation(local=7)),
])
def test_the_last_word_of_a_request(last, begin):
    c = begin()
    c.connect({"type": REQ}, 0)
    assert kind(c.end())[0] == last


def test_the_last_words(active, passive):
    assert kind(passive.end()) == (REJ, None, 0)
    assert kind(established(active).end()) == (DREQ, None, 0)
    assert kind(Conversation().end()) == (None, None, 0)


def test_datagrams():
    c = Conversation(local=3)
    assert kind(c.connect({"type": SIDR_REQ}, 0)) == (SIDR_REQ, None, 0)
    assert kind(c.late(c.deadline_ns)) == (SIDR_REQ, None, 0)
    assert kind(c.take({"type": SIDR_REP, "remote": 3, "qpn": 5}, 1)) == (None, ESTABLISHED, 0)
    assert c.remote[1] == 5


def test_datagrams_refused():
    c = Conversation(local=3)
    c.connect({"type": SIDR_REQ}, 0)
    assert kind(c.take({"type": SIDR_REP, "remote": 3, "reason": 2}, 1)) == (None, UNREACHABLE, 2)


def test_what_does_not_belong_changes_nothing(rng):
    """Any message in any state: no event twice, and always a bounded wait."""
    for _ in range(3000):
        c = Conversation(local=7)
        if rng.random() < 0.5:
            c.connect({"type": rng.choice([REQ, SIDR_REQ])}, 0)
        else:
            c.asked({"type": rng.choice([REQ, SIDR_REQ]), "local": 9}, 0)
        now, ended = 1, 0
        for _ in range(12):
            now += rng.randrange(10_000) * MS
            if c.deadline_ns and rng.random() < 0.3:
                said, event, _ = c.late(max(now, c.deadline_ns))
            elif rng.random() < 0.2:
                said, event, _ = c.end()
            else:
                said, event, _ = c.take({"type": rng.randrange(REQ, SIDR_REP + 1), "local": 9, "remote": 7,
                                         "refers": rng.randrange(3), "wait": rng.randrange(32), "reason": rng.randrange(30)}, now)
            ended += event == DISCONNECTED
            assert c.deadline_ns <= max(now, c.deadline_ns) + 80_000 * MS
        assert ended <= 1
