"""What a queue pair costs, and that its state is all there is of it."""

from roce_pair import NOW, converse, pair, statuses

from ffr.nic.roce import driver as roce
from ffr.nic.roce.protocol import harness as h


def test_idle_state_is_under_2_kilobytes():
    assert roce.STATE_BYTES < 2048


def test_full_record_of_messages_waits():
    """64 messages have PSNs at a time; more are taken up as these complete."""
    a, b = pair()
    a.path.window = 1000
    for _ in range(200):
        a.post_send("send", b"x")
        b.post_recv(8)
    a.send(NOW, 1000)
    assert len(a.sent) == 64
    converse(a, b)
    assert statuses(a) == [("send", "ok")] * 200


def test_both_directions_at_once():
    a, b = pair()
    for qp in (a, b):
        for _ in range(50):
            qp.post_recv(4096)
            qp.post_send("send", bytes(3000))
    converse(a, b)
    for qp in (a, b):
        assert sorted(statuses(qp)) == [("recv", "ok")] * 50 + [("send", "ok")] * 50


def test_stopping_gives_the_window_back():
    path = h.Path()
    a, b = h.QP(path=path), h.QP(path=path)
    for qp in (a, b):
        for _ in range(4):
            qp.post_send("send", b"x")
        qp.send(NOW)
    assert path.in_flight == 8
    a.stop()
    assert path.in_flight == 4
