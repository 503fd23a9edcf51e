"""Queue pairs over a network that drops, duplicates, reorders, corrupts and delays, in simulated time, from a seed.

Every byte that arrives is compared with what was sent, every work request must complete once and in order, atomics
must have happened once. A run is a function of its seed, faults and shape alone.
"""

import heapq
import random
from dataclasses import dataclass

from ffcore import icrc
from ffr.nic.roce.protocol import harness as h

MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000
READ_KEY, WRITE_KEY, ATOMIC_KEY = 0x100, 0x200, 0x300
READ_AT, WRITE_AT, ATOMIC_AT = 0x10_0000, 0x20_0000, 0x30_0000
ATOMIC_TURNS = 1 << 40


@dataclass(frozen=True)
class Faults:
    """Probabilities per packet, times in nanoseconds."""
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: int = 20 * MICROSECOND
    jitter: int = 5 * MICROSECOND
    burst: float = 0.0  # a loss takes the packets of the next 100 microseconds with it
    bytes_per_ns: float = 0.0  # of the link; 0: no limit
    queue: int = 1 << 20  # bytes that wait for a slow link; what finds it full is dropped


class Network:
    """One direction of a link: packets keep their order unless a fault says otherwise."""

    def __init__(self, sim, faults, source, destination):
        self.sim, self.faults, self.rng = sim, faults, sim.rng
        self.flow = icrc.Flow(source, destination, 0xC000)
        self.last, self.black_until, self.free_at = 0, 0, 0
        self.carried = self.lost = 0

    def carry(self, packet, to):
        f, rng, now = self.faults, self.rng, self.sim.now
        self.carried += 1
        if now < self.black_until or rng.random() < f.drop:
            if f.burst and rng.random() < f.burst:
                self.black_until = now + 100 * MICROSECOND
            self.lost += 1
            return
        waits = 0
        if f.bytes_per_ns:
            waits = max(self.free_at - now, 0)
            if waits * f.bytes_per_ns > f.queue:
                self.lost += 1
                return
            self.free_at = now + waits + int((len(packet) + 70) / f.bytes_per_ns)
        for _ in range(2 if rng.random() < f.duplicate else 1):
            at = now + f.delay + waits + rng.randrange(f.jitter + 1)
            if rng.random() < f.reorder:
                at += rng.randrange(200 * MICROSECOND)
            else:
                at = self.last = max(at, self.last + 1)
            if rng.random() < f.corrupt:
                whole = bytearray(packet + self.flow.icrc(packet))
                bit = rng.randrange(8 * len(whole))
                whole[bit // 8] ^= 1 << bit % 8
                if bit // 8 != 4 and not self.flow.good(bytes(whole)):
                    self.lost += 1
                    continue
            self.sim.at(at, to.arrive, packet)


def run_length(packets, at):
    """How many packets from `at` on are the middle of one message, as nic/roce/listen.pyx sees it (alike)."""
    count = 1
    for a, b in zip(packets[at:], packets[at + 1:]):
        psn = int.from_bytes(a[9:12], "big") + 1 & 0xFFFFFF
        if a[:4] != b[:4] or a[5:8] != b[5:8] or b[8] & 0x7F or int.from_bytes(b[9:12], "big") != psn or len(a) != len(b):
            break
        count += 1
    return count


class End:
    """A QP and its program. Its host's driver is Host."""

    def __init__(self, sim, qp, network, host):
        self.sim, self.qp, self.network, self.host = sim, qp, network, host
        self.peer = None
        self.wakes = set()
        self.inbox = []
        self.runs = 0  # that were taken at once

    def pump(self):
        self.host.want(self)

    def flush_out(self):
        for packet in self.qp.take_sent():
            self.network.carry(packet, self.peer)

    def watch(self):
        """See to the QP's timer."""
        timer = self.qp.timer
        if timer and timer not in self.wakes:
            self.wakes.add(timer)
            self.sim.at(max(timer, self.sim.now), self.wake, timer)

    def arrive(self, packet):
        if not self.sim.polls:
            self.take([packet])
            return
        self.inbox.append(packet)
        if len(self.inbox) == 1:
            self.sim.at(self.sim.now + self.sim.rng.randrange(self.sim.polls), self.poll)

    def poll(self):
        packets, self.inbox = self.inbox, []
        self.take(packets)

    def take(self, packets):
        """Packets that came together, in the NIC's way (nic/roce/listen.pyx): after one, a run if one follows."""
        at = 0
        while at < len(packets):
            self.qp.receive(packets[at], self.sim.now, send=False)
            at += 1
            count = run_length(packets, at) if at < len(packets) else 0
            if count > 1 and self.qp.receive_run(packets[at:at + count], self.sim.now, send=False):
                self.runs += 1
                at += count
        while self.qp.respond() == "more":
            pass
        self.flush_out()
        self.watch()
        self.host.want(self)

    def wake(self, timer):
        self.wakes.discard(timer)
        if self.qp.timer and self.qp.timer <= self.sim.now:
            self.qp.tick(self.sim.now, send=False)
            self.flush_out()
            self.host.want(self)
        self.watch()


class Host:
    """The QPs of one end that have something to send: they take turns of a quantum, as in the roce NIC."""

    QUANTUM = 16  # packets

    def __init__(self, sim, path):
        self.sim, self.path = sim, path
        self.turns = {}  # in order

    def want(self, end):
        self.turns.setdefault(end)
        self.run()

    def run(self):
        while self.turns and self.path.in_flight < int(self.path.window):
            end = next(iter(self.turns))
            del self.turns[end]
            turn = end.qp.request(self.sim.now, self.QUANTUM)
            end.flush_out()
            end.watch()
            if turn != "idle":
                self.turns[end] = None


class Simulation:
    """polls: how long, at most, packets wait for their host to look at them, all together; 0: each is taken as it comes."""

    def __init__(self, seed, faults=Faults(), pairs=1, mtu=1024, sq_psn=None, polls=0, **attributes):
        self.rng, self.polls = random.Random(seed), polls
        self.now, self.order, self.heap = MILLISECOND, 0, []
        self.paths = h.Path(), h.Path()
        self.hosts = [Host(self, path) for path in self.paths]
        a_host, b_host = b"\x0a\0\0\1", b"\x0a\0\0\2"
        self.networks = Network(self, faults, a_host, b_host), Network(self, faults, b_host, a_host)
        self.pairs = [self.pair(n, mtu, sq_psn, attributes) for n in range(pairs)]

    def pair(self, n, mtu, sq_psn, attributes):
        psns = [self.rng.getrandbits(24) if sq_psn is None else sq_psn for _ in range(2)]
        ends = []
        for side in range(2):
            qp = h.QP(mtu=mtu, qpn=2 * n + side + 2, dest_qpn=2 * n + 3 - side, sq_psn=psns[side], rq_psn=psns[1 - side],
                      path=self.paths[side], **attributes)
            ends.append(End(self, qp, self.networks[side], self.hosts[side]))
        for end, psn in zip(ends, psns):
            end.first_psn = psn
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        return ends

    def at(self, when, what, *arguments):
        self.order += 1
        heapq.heappush(self.heap, (when, self.order, what, arguments))

    def run(self, until, events_max=2_000_000):
        """Until the condition holds. AssertionError when nothing happens any more, or too much does."""
        for _ in range(events_max):
            if until():
                return
            assert self.heap, f"stalled: {self.describe()}"
            self.now, _, what, arguments = heapq.heappop(self.heap)
            what(*arguments)
        raise AssertionError(f"no end: {self.describe()}")

    def describe(self):
        return [(e.qp.state, e.qp.counters, len(e.qp.completions)) for pair in self.pairs[:2] for e in pair]


# ---- programs -------------------------------------------------------------------------------------------------------

OPERATIONS = ("send", "send_imm", "write", "write_imm", "read", "fetch_add", "cmp_swp")


class Traffic:
    """Random work in both directions, and the proof that it was done right."""

    def __init__(self, sim, messages, operations=OPERATIONS, size_max=9000, late_receives=0.0):
        self.sim, self.rng, self.size_max = sim, sim.rng, size_max
        self.late = late_receives
        self.ends = [e for pair in sim.pairs for e in pair]
        for end in self.ends:
            self.prepare(end)
        programs = [self.program(end, messages, operations) for end in self.ends]
        for end, work in zip(self.ends, programs):
            self.schedule(end, work)

    def prepare(self, end):
        end.readable = end.qp.register(READ_KEY, READ_AT, self.rng.randbytes(self.size_max + 64))
        end.writable = end.qp.register(WRITE_KEY, WRITE_AT, bytes(0))
        end.counter = end.qp.register(ATOMIC_KEY, ATOMIC_AT, bytes(16))
        end.posted, end.expected, end.written = [], [], []

    def size(self):
        sizes = [0, 1, 3, 64, 256, 1023, 1024, 1025, 4096, self.rng.randrange(self.size_max)]
        return self.rng.choice(sizes if self.size_max < 20_000 else sizes[4:])

    def program(self, end, messages, operations):
        rng, peer, added, swapped = self.rng, end.peer, 0, 0
        work = []
        for n in range(messages):
            operation = rng.choice(operations)
            data = rng.randbytes(min(self.size(), self.size_max))
            flags = h.SIGNALED if rng.random() < 0.7 or n == messages - 1 else 0
            flags |= h.FENCE if rng.random() < 0.05 else 0
            flags |= h.SOLICITED if rng.random() < 0.1 else 0
            if operation.startswith("send"):
                work.append((operation, data, dict(flags=flags, imm=n)))
                peer.expected.append((data, n if operation == "send_imm" else None))
            elif operation.startswith("write"):
                at = len(peer.writable.data)
                peer.writable.data += bytes(len(data))
                peer.written.append((at, data))
                work.append((operation, data, dict(flags=flags, imm=n, rkey=WRITE_KEY, addr=WRITE_AT + at)))
                if operation == "write_imm":
                    peer.expected.append((len(data), n))
            elif operation == "read":
                at = rng.randrange(64)
                end.posted.append((n, bytes(peer.readable.data[at:at + len(data)])))
                work.append((operation, bytes(len(data)), dict(flags=flags, rkey=READ_KEY, addr=READ_AT + at)))
            elif operation == "fetch_add":
                end.posted.append((n, added.to_bytes(8, "little")))
                added += n + 1
                work.append((operation, bytes(8), dict(flags=flags, rkey=ATOMIC_KEY, addr=ATOMIC_AT, compare_add=n + 1)))
            else:  # every second compare fails
                compare = swapped if rng.random() < 0.5 else swapped + 1
                end.posted.append((n, swapped.to_bytes(8, "little")))
                work.append((operation, bytes(8), dict(flags=flags, rkey=ATOMIC_KEY, addr=ATOMIC_AT + 8,
                                                      compare_add=compare, swap=ATOMIC_TURNS + n)))
                swapped = ATOMIC_TURNS + n if compare == swapped else swapped
        end.signaled = [n for n, w in enumerate(work) if w[2]["flags"] & h.SIGNALED]
        end.final_counters = added, swapped
        return work

    def schedule(self, end, work):
        """Post in bursts; receives before, or late, so that RNR NAKs happen."""
        when = self.sim.now
        for n, (operation, data, extra) in enumerate(work):
            when += self.rng.choice([0, 0, 0, 1000, 30_000, 300_000])
            self.sim.at(when, self.post, end, operation, data, extra, n)
        when = self.sim.now
        for _ in end.expected:
            if self.rng.random() < self.late:
                when += self.rng.randrange(3 * MILLISECOND)
            self.sim.at(when, end.qp.post_recv, self.size_max + 64)

    def post(self, end, operation, data, extra, n):
        end.qp.post_send(operation, data, wr_id=n, **extra)
        end.pump()

    def complete(self):
        return all(len(e.qp.completions) >= len(e.signaled) + len(e.expected) for e in self.ends)

    def check(self):
        for end in self.ends:
            qp = end.qp
            assert not qp.failed, (self.sim.describe(), qp.completions[-3:])
            sends = [c for c in qp.completions if c[0] == "send"]
            assert [c[1] for c in sends] == end.signaled, "each send completes once, in order"
            assert {c[2] for c in qp.completions} <= {"ok"}
            receives = [c for c in qp.completions if c[0] == "recv"]
            assert [c[1] for c in receives] == list(range(len(end.expected))), "each receive completes once, in order"
            for (data, imm), (_, wr_id, _, details) in zip(end.expected, receives):
                if isinstance(data, int):
                    assert details["write"] and details["length"] == data
                else:
                    assert qp.receive_queue[wr_id].data[:details["length"]] == data
                assert (details["imm"] == imm) if imm is not None else not details["flags"] & h.CQE_IMM
            for at, data in end.written:
                assert end.writable.data[at:at + len(data)] == data
            for n, result in end.posted:
                assert qp.send_queue[n].data == result, f"result of work request {n}"
            counters = end.peer.counter.data
            assert (int.from_bytes(counters[:8], "little"), int.from_bytes(counters[8:], "little")) == end.final_counters
        for path in self.sim.paths:
            assert path.in_flight == sum(e.qp.state["charged"] for e in self.ends if e.qp.path is path) == 0
