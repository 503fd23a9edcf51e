"""What the window makes of a link of 1 byte per nanosecond: in simulated time, so exact and the same everywhere.

Go-back-N throws away what is in flight behind a loss; the figures say how much of the link is left."""

import pytest
from roce_sim import MICROSECOND, MILLISECOND, READ_AT, READ_KEY, WRITE_AT, WRITE_KEY, Faults, Simulation

SIZE = 65536


def rates(operation="write", pairs=1, milliseconds=60, mtu=1024, selective=False, **faults):
    """Bytes per nanosecond of each pair's completed messages."""
    faults = {"delay": 20 * MICROSECOND, "jitter": 5 * MICROSECOND, "bytes_per_ns": 1.0, **faults}
    sim = Simulation("rate", Faults(**faults), pairs=pairs, mtu=mtu, selective=selective)
    end = sim.now + milliseconds * MILLISECOND
    key, at = (READ_KEY, READ_AT) if operation == "read" else (WRITE_KEY, WRITE_AT)
    messages = 2 * milliseconds * MILLISECOND // (SIZE * pairs) + 4
    for a, b in sim.pairs:
        b.qp.register(key, at, bytes(SIZE))
        for _ in range(messages):
            a.qp.post_send(operation, bytes(SIZE), rkey=key, addr=at)
        sim.at(sim.now, a.pump)
    sim.run(lambda: sim.now >= end)
    # in packets, so that a run need not end with a message
    first = [(a.qp.state["una"] - a.first_psn) & 0xFFFFFF for a, _ in sim.pairs]
    return [n * mtu / (milliseconds * MILLISECOND) for n in first]


@pytest.mark.parametrize("operation", ["write", "read"])
@pytest.mark.parametrize("drop, least", [(0, 0.85), (0.001, 0.65), (0.01, 0.4)])
def test_rate_under_loss(operation, drop, least):
    assert sum(rates(operation, drop=drop)) >= least


@pytest.mark.parametrize("drop, least", [(0, 0.85), (0.001, 0.83), (0.01, 0.75)])
def test_rate_between_routers_under_loss(drop, least):
    """Where only what is missing is sent again."""
    assert sum(rates(drop=drop, selective=True)) >= least


@pytest.mark.parametrize("selective", [False, True])
def test_a_short_queue_does_not_collapse_the_link(selective):
    """The bottleneck drops what finds 64 KB waiting."""
    assert sum(rates(queue=65536, selective=selective)) > 0.4


@pytest.mark.parametrize("drop, selective", [(0, False), (0.001, False), (0.001, True)])
def test_512_qps_share_the_link_evenly(drop, selective):
    """At least 0.9 of one QP's total, and Jain's index at least 0.98."""
    one = sum(rates(drop=drop, selective=selective, milliseconds=80))
    each = rates(pairs=512, milliseconds=80, drop=drop, selective=selective)
    assert sum(each) >= 0.9 * one
    assert sum(each) ** 2 / (len(each) * sum(x * x for x in each)) >= 0.98
