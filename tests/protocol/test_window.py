"""The window of a path: it grows while nothing is wrong, shrinks with delay and loss, and never closes."""

import pytest
from roce_pair import NOW, ack, nak, pair

US = 1000


def exchange(a, now, rtt, lose=None):
    """One window's worth, answered after rtt; `lose` names the PSN that a NAK asks for."""
    first = a.state["una"]
    for _ in range(128):
        a.post_send("write", bytes(512), flags=0)
    a.send(now, 4096)
    a.take_sent()
    last = a.state["send_psn"] - 1
    now += rtt
    if lose is not None:
        a.receive(nak(min(first + lose, last), 0), now, send=False)
    else:
        a.receive(ack(last), now, send=False)
    return now


def test_grows_without_loss():
    a, _ = pair()
    now, before = NOW, a.path.window
    for _ in range(10):
        now = exchange(a, now, 50 * US)
    assert a.path.window > 2 * before and a.path.rtt_ns == pytest.approx(50 * US, rel=0.2)


def test_unused_window_does_not_grow():
    a, _ = pair()
    a.path.window = 100
    now = NOW
    for psn in range(100, 200):
        a.post_send("send", b"x")
        a.send(now)
        now += 50 * US
        a.receive(ack(psn), now)
    assert a.path.window == 100


def test_delay_shrinks_it():
    a, _ = pair()
    a.path.window = 60
    now = exchange(a, NOW, 50 * US)
    now = exchange(a, now, 50 * US)
    before = a.path.window
    now = exchange(a, now, 5000 * US)  # once: a scheduler
    assert a.path.window >= before
    for _ in range(40):
        now = exchange(a, now, 5000 * US)
    assert a.path.window <= before / 4


def test_rare_loss_costs_little_and_much_loss_costs_half():
    a, _ = pair()
    a.path.window = 100
    now = exchange(a, NOW, 50 * US)
    before = a.path.window
    now = exchange(a, now, 50 * US, lose=10)
    assert a.path.window == pytest.approx(before * 240 / 256, rel=0.05)
    for _ in range(40):
        now = exchange(a, now, 50 * US, lose=0)
    assert a.path.window < before / 8


def test_never_closes():
    a, _ = pair()
    now = NOW
    for _ in range(500):
        now = exchange(a, now, 50 * US, lose=0)
    assert a.path.window >= 2


def test_silence_of_one_qp_does_not_close_the_window_of_others():
    from ffr.nic.roce.protocol import harness as h
    path = h.Path()
    path.window = 50
    dead = h.QP(path=path, timeout=8, sq_psn=0)
    dead.post_send("send", b"x")
    dead.send(NOW)
    live = h.QP(path=path, sq_psn=0)
    for psn in range(20):
        live.post_send("send", b"x")
        live.send(NOW + psn * 100 * US)
        live.receive(ack(psn), NOW + psn * 100 * US + 10)
    dead.tick(NOW + 20 * 100 * US)
    assert dead.counters["timeouts"] == 1 and path.window > 40
