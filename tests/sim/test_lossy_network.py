"""Seeded runs over a bad network: what arrives is what was sent, once and in order, and every work request completes
once. SIM_SEEDS=20000 runs more of them; a failure names its seed, which repeats the run."""

import os
import random

import pytest
from roce_sim import MICROSECOND, SECOND, Faults, Simulation, Traffic

from ffr.nic.roce.protocol import harness as h

SEEDS = int(os.environ.get("SIM_SEEDS", 600))


def faults_of(rng):
    return Faults(drop=rng.choice([0, 0.001, 0.01, 0.05, 0.2]), duplicate=rng.choice([0, 0.01, 0.1]),
                  reorder=rng.choice([0, 0, 0.01, 0.1]), corrupt=rng.choice([0, 0.01]),
                  burst=rng.choice([0, 0, 0.5]), jitter=rng.choice([0, 5, 50]) * MICROSECOND,
                  delay=rng.choice([2, 20, 200]) * MICROSECOND)


def routers_of(rng):
    """In half of the runs both ends are routers of ours, whose packets may be longer than the MTU and are all of one size
    (ffr/nic/roce/protocol/cut.pxd), and are taken in runs when they come together."""
    if rng.random() < 0.5:
        return {}
    carries = rng.choice([0, 1472, 8972, 4 * (2 * rng.randrange(68, 1121) + 1)])
    most = (carries - 20) // 128     # a READ's response carries as much, in units of 128 bytes
    return dict(routed=True, carries=carries, read_size=128 * rng.choice([0, 1, most // 2, most]) if carries else 0,
                polls=rng.choice([0, 20, 100]) * MICROSECOND)


def run_one(seed):
    rng = random.Random(seed)
    reads = rng.choice([1, 2, 4, 16])
    routers = routers_of(rng)
    sim = Simulation(seed, faults_of(rng), mtu=rng.choice([256, 512, 1024, 2048, 4096]),
                     sq_psn=rng.choice([None, 0xFFFFF0]), timeout=rng.choice([14, 16, 18]),
                     max_rd_atomic=reads, max_dest_rd_atomic=reads, selective=rng.random() < 0.5,
                     held=rng.choice([0, 3, 2048]), **routers)
    traffic = Traffic(sim, 40, late_receives=rng.choice([0, 0, 0.3]), size_max=30_000 if routers else 9000)
    sim.run(traffic.complete)
    sim.run(lambda: all(e.qp.state["charged"] == 0 for e in traffic.ends))
    traffic.check()
    return sim


@pytest.mark.parametrize("part", range(4))
def test_two_qps(seed, part):
    for n in range(SEEDS // 4):
        this = f"{seed}:{part}:{n}"
        try:
            run_one(this)
        except AssertionError as e:
            raise AssertionError(f"seed {this!r}: {e}") from e


def test_runs_are_a_function_of_their_seed():
    first, second = run_one("again"), run_one("again")
    assert first.now == second.now and first.describe() == second.describe()


def test_routers_take_runs(seed):
    """Packets that came together, as they do in the simulations above."""
    sim = Simulation(f"{seed}:runs", Faults(), selective=True, routed=True, carries=1472, polls=100 * MICROSECOND)
    traffic = Traffic(sim, 40, operations=("send", "write"), size_max=60_000)
    sim.run(traffic.complete)
    traffic.check()
    assert any(end.runs for end in traffic.ends)


@pytest.mark.parametrize("pairs, messages, runs", [(20, 30, 8), (100, 10, 2)])
def test_many_qps_share_a_path(seed, pairs, messages, runs):
    for n in range(runs):
        this = f"{seed}:{pairs}:{n}"
        rng = random.Random(this)
        sim = Simulation(this, Faults(drop=rng.choice([0.001, 0.01, 0.05]), duplicate=rng.choice([0, 0.01]),
                                      reorder=rng.choice([0, 0.01]), corrupt=0.01, burst=rng.choice([0, 0.5])),
                         pairs=pairs, mtu=rng.choice([256, 1024, 4096]), selective=rng.random() < 0.5,
                         **routers_of(rng))
        traffic = Traffic(sim, messages, size_max=30_000)
        try:
            sim.run(traffic.complete)
            sim.run(lambda: all(e.qp.state["charged"] == 0 for e in traffic.ends))
            traffic.check()
        except AssertionError as e:
            raise AssertionError(f"seed {this!r}: {e}") from e


def test_a_dead_link_ends_in_retry_exceeded(seed):
    """Both ways: every work request completes, the oldest with RETRY_EXC, and nothing is left running."""
    for n in range(20):
        sim = Simulation(f"{seed}:dead:{n}", Faults(drop=1.0), timeout=12, retry_cnt=3)
        traffic = Traffic(sim, 30)
        sim.run(lambda: not sim.heap)
        for end in traffic.ends:
            sends = [c for c in end.qp.completions if c[0] == "send"]
            assert [c[1] for c in sends] == list(range(30)) and sends[0][2] == "retry_exc"
            assert {c[2] for c in sends[1:]} == {"flush"}
        assert sim.now < 10 * SECOND


def test_errors_complete_everything_once(seed):
    """Bad keys, short receives, vanished memory, at random places under loss: both sides' work requests complete
    exactly once, with at most one failure each, successes before it and flushes after it."""
    for n in range(150):
        this = f"{seed}:errors:{n}"
        rng = random.Random(this)
        sim = Simulation(this, faults_of(rng), timeout=12, retry_cnt=7, selective=rng.random() < 0.5, **routers_of(rng))
        traffic = Traffic(sim, 25)
        end = rng.choice(traffic.ends)
        what = rng.choice(["key", "short", "fault", "gone", "length"])
        if what == "key":
            sim.at(sim.now, end.qp.post_send, "write", b"x" * 10, h.SIGNALED, -1, 0, 0xBAD)
        elif what == "short":
            sim.at(sim.now, end.qp.post_recv, 0)
        elif what == "fault":
            sim.at(sim.now, lambda: setattr(end.qp.post_send("send", b"x" * 3000, wr_id=-1), "fault", rng.choice([0, 2000])))
        elif what == "gone":
            sim.at(sim.now + rng.randrange(2000) * MICROSECOND, end.qp.regions.clear)
        else:
            sim.at(sim.now, end.qp.post_send, "fetch_add", b"xyz", h.SIGNALED, -1)
        sim.run(lambda: not sim.heap)
        for e in traffic.ends:
            check_once(this, e)
        assert all(p.in_flight == 0 for p in sim.paths)


def check_once(seed, end):
    for kind, queue in (("send", end.qp.send_queue), ("recv", end.qp.receive_queue)):
        done = [c for c in end.qp.completions if c[0] == kind]
        ids = [c[1] for c in done]
        assert len(ids) == len(set(ids)), f"seed {seed!r}: {kind} completed twice"
        failures = [n for n, c in enumerate(done) if c[2] not in ("ok", "flush")]
        assert len(failures) <= 1, f"seed {seed!r}: {done}"
        if end.qp.failed:
            first = next((n for n, c in enumerate(done) if c[2] != "ok"), len(done))
            assert {c[2] for c in done[first + 1:]} <= {"flush"}, f"seed {seed!r}: {done}"
            signaled = [w for w in queue if kind == "recv" or w.flags & h.SIGNALED]
            assert len(done) >= len(signaled), f"seed {seed!r}: {len(done)} of {len(signaled)} {kind}s completed"


def test_uc_delivers_whole_messages_at_most_once(seed):
    """No reordering here: UC drops what overtakes. What completes is intact and in order."""
    for n in range(60):
        this = f"{seed}:uc:{n}"
        rng = random.Random(this)
        sim = Simulation(this, Faults(drop=rng.choice([0, 0.01, 0.1]), duplicate=rng.choice([0, 0.1]), corrupt=0.01),
                         transport="UC", mtu=rng.choice([256, 1024]), **routers_of(rng))
        a, b = sim.pairs[0]
        messages = [rng.randbytes(rng.choice([1, 100, 1024, 3000])) for _ in range(100)]
        for _ in messages:
            b.qp.post_recv(4096)
        for k, data in enumerate(messages):
            a.qp.post_send("send_imm", data, imm=k)
        a.pump()
        sim.run(lambda: not sim.heap)
        assert [c[2] for c in a.qp.completions] == ["ok"] * 100
        seen = [c[3]["imm"] for c in b.qp.completions]
        assert seen == sorted(set(seen)) and len(seen) >= 100 * (1 - 6 * sim.networks[0].faults.drop) * 0.5
        for _, wr_id, status, details in b.qp.completions:
            data = messages[details["imm"]]
            assert status == "ok" and b.qp.receive_queue[wr_id].data[:details["length"]] == data
