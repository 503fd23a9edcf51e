"""Malformed, forged and misplaced packets: whatever comes, nothing outside a registered region is touched (the harness
asserts every range), nothing completes twice, and the window's books balance. FUZZ_PACKETS=1000000 runs more."""

import os
import random

import pytest
from roce_pair import AT, KEY, NOW

from ffr.nic.roce.protocol import harness as h
from ffr.nic.roce.protocol import wire

PACKETS = int(os.environ.get("FUZZ_PACKETS", 120_000))
EDGES = [0, 1, 3, 4, 7, 8, 255, 256, 1023, 1024, 1025, 4096, 65535, 65536, 1 << 31, (1 << 31) + 1, (1 << 32) - 1]


class Target:
    """A QP with work of its own under way, and two regions between which nothing may be written."""

    def __init__(self, rng, transport):
        self.rng, self.transport = rng, transport
        self.routed = transport != "UD" and rng.random() < 0.5
        self.carries = rng.choice([0, 548, 1472, 8972]) if self.routed else 0
        self.qp = h.QP(transport=transport, mtu=rng.choice([256, 1024, 4096]), sq_psn=rng.choice([0, 0xFFFFF0, 5000]),
                       rq_psn=rng.choice([0, 0xFFFFF8, 777]), max_rd_atomic=rng.choice([1, 4, 16]),
                       max_dest_rd_atomic=rng.choice([0, 1, 16]), rnr_retry=rng.choice([0, 7]),
                       access=rng.choice([h.ALL_ACCESS, h.ALL_ACCESS, 0, 2, 4, 8]), timeout=10,
                       selective=transport in ("RC", "XRC") and rng.random() < 0.5, routed=self.routed,
                       carries=self.carries)
        self.qp.register(KEY, AT, bytes(8192))
        self.qp.register(KEY + 1, (1 << 64) - 4096, bytes(4096))
        for _ in range(rng.choice([0, 3, 50])):
            self.qp.post_recv(rng.choice([0, 16, 2048, 9000]))
        for _ in range(20):
            operation = rng.choice(["send", "write", "read", "fetch_add", "send_imm", "cmp_swp"])
            size = 8 if operation in ("fetch_add", "cmp_swp") else rng.choice([0, 1, 1024, 5000])
            self.qp.post_send(operation, bytes(size), rkey=KEY, addr=AT)
        self.now, self.runs = NOW, 0

    def psn(self):
        state, rng = self.qp.state, self.rng
        base = rng.choice([state["epsn"], state["epsn"], state["una"], state["una"], state["sent_psn"], 0])
        return (base + rng.choice([0, 0, 0, 0, 1, -1, 2, -2, 16, -16, 1 << 23, rng.getrandbits(24)])) & 0xFFFFFF

    def filler(self):
        """Words: seldom as many as there can be."""
        return self.rng.choice([0, 0, 0, 0, 0, 1, 2, 3, 60, 126, 127])

    def run(self, stem, psn):
        """MIDDLE packets as the NIC hands them over together: of one size, one PSN after the other."""
        rng, size = self.rng, self.rng.choice([0, 1, 4, 4, 256, 256, 1024, 1456, 4096, 8956])
        pkey, filler = 0xFFFF if rng.random() < 0.9 else rng.getrandbits(16), 0 if rng.random() < 0.9 else self.filler()
        return [wire.emit({"opcode": wire.OPCODES[f"RC {stem}_MIDDLE"], "psn": psn + n & 0xFFFFFF, "pkey": pkey,
                           "filler": filler, "ackreq": rng.getrandbits(1), "payload": bytes(size)})
                for n in range(rng.randrange(2, 9))]

    def give(self):
        """A packet, or several; what a run is refused for comes singly."""
        rng, stem, psn = self.rng, self.rng.choice(["SEND", "WRITE"]), self.psn()
        packets = [self.packet()]
        if self.transport != "UD" and rng.random() < 0.03:
            psn = psn if rng.random() < 0.3 else self.qp.state["epsn"]
            first = wire.emit({"opcode": wire.OPCODES[f"{self.transport} {stem}_FIRST"], "psn": psn, "payload": bytes(1024),
                               "rkey": KEY, "addr": AT, "length": rng.choice([4096, 8192])})
            self.qp.receive(first, self.now, send=rng.random() < 0.8)
            packets = self.run(stem, psn + 1)
            if self.qp.receive_run(packets, self.now, send=rng.random() < 0.8):
                self.runs += 1
                return
        for p in packets:
            self.qp.receive(p, self.now, send=rng.random() < 0.8)

    def packet(self):
        rng = self.rng
        if rng.random() < 0.05:
            return rng.randbytes(rng.randrange(0, 80))
        if rng.random() < 0.01:  # the NIC's, never a QP's
            operation = rng.choice(["MARK", "ECHO", "PROBE", "PROBED"])
            return wire.emit({"opcode": wire.OPCODES[operation], "psn": self.psn(), "filler": self.filler(),
                              "payload": bytes(rng.choice([0, 532, 1456, 8956]) if operation == "PROBE" else 0)})
        prefix = self.transport if rng.random() < 0.97 else rng.choice(["RC", "UC", "UD", "XRC"])
        if rng.random() < 0.05:
            return wire.emit({"opcode": wire.OPCODES["routed UD ACKNOWLEDGE"], "psn": self.psn(), "syndrome": 0x60,
                              "filler": self.filler(), "payload": rng.randbytes(rng.choice([0, 4, 8, 128, 132, 1024, 4096]))})
        opcode = rng.choice([v for n, v in wire.OPCODES.items() if n.startswith(prefix + " ")])
        mtu = 1024
        p = wire.emit({
            "opcode": opcode, "psn": self.psn(), "ackreq": rng.getrandbits(1), "solicited": rng.getrandbits(1),
            "filler": self.filler(),
            "pkey": 0xFFFF if rng.random() < 0.98 else rng.getrandbits(16), "imm": rng.getrandbits(32),
            "addr": rng.choice([AT, AT + 8, AT + 8191, AT - 1, AT + 4096, (1 << 64) - 4096, (1 << 64) - 8, (1 << 64) - 1,
                                rng.getrandbits(64)]),
            "rkey": rng.choice([KEY, KEY, KEY, KEY + 1, 0, rng.getrandbits(32)]), "length": rng.choice(EDGES),
            "syndrome": rng.choice([0x1F, 0x1F, 0x00, 0x60, 0x61, 0x62, 0x63, 0x21, 0x3F, rng.getrandbits(8)]),
            "qkey": 0x11111111, "inv_rkey": rng.choice([7, KEY + 1]),
            "payload": bytes(rng.choice([0, 1, 4, 8, 255, mtu, mtu, 256, 1456, 4096, 4097, 8956]))
            if opcode & 0x1F not in (12, 17, 18, 19, 20) else b""})
        if rng.random() < 0.1:
            p = bytearray(p)
            for _ in range(rng.randrange(1, 4)):
                p[rng.randrange(len(p))] = rng.getrandbits(8)
            p = bytes(p)
        if rng.random() < 0.05:
            p = p[:rng.randrange(len(p) + 1)]
        return p

    def check(self):
        sends = [c[1] for c in self.qp.completions if c[0] == "send"]
        receives = [c[1] for c in self.qp.completions if c[0] == "recv"]
        assert sends == sorted(set(sends)) and len(receives) == len(set(receives))
        assert self.qp.path.in_flight == self.qp.state["charged"] <= 3000
        assert all(len(p) <= max(44 + 4096 + 3, self.carries - 4) for p in self.qp.sent)


@pytest.mark.parametrize("transport", ["RC", "XRC", "UC", "UD"])
def test_misplaced_packets(seed, transport):
    rng = random.Random(f"{seed}:{transport}")
    target, left = Target(rng, transport), 0
    for n in range(PACKETS // (3 if transport == "RC" else 6)):
        if left == 0 or (target.qp.failed and rng.random() < 0.2):
            target, left = Target(rng, transport), rng.randrange(1, 200)
            target.qp.send(target.now)
        left -= 1
        target.give()
        if rng.random() < 0.05:
            target.now += rng.choice([1000, 100_000, 5_000_000])
            if target.qp.timer and target.qp.timer <= target.now:
                target.qp.tick(target.now)
        if left % 16 == 0:
            target.check()
            target.qp.take_sent()


def test_noise_never_parses_to_more_than_it_is(seed):
    rng = random.Random(f"{seed}:noise")
    opcodes = list(wire.OPCODES.values())
    for n in range(PACKETS // 3):
        noise = bytearray(rng.randbytes(rng.randrange(0, 100)))
        if noise and n & 1:
            noise[0] = rng.choice(opcodes)
        if len(noise) > 1:
            noise[1] &= 0xF0 if n & 2 else 0xFF
        try:
            p = wire.parse(bytes(noise))
        except ValueError:
            continue
        assert len(p["payload"]) <= len(noise) - 12 and len(noise) % 4 == 0


def test_forged_answers_to_probes(seed):
    """Whatever comes, a path carries nothing but what its link does, and is asked again within ten seconds."""
    rng = random.Random(f"{seed}:probes")
    for _ in range(PACKETS // 2000):
        probe, now, wanted = h.Probe(), NOW, 0
        for _ in range(100):
            now += rng.choice([0, 1000, 50_000_000, 100_000_000, 10_000_000_000])
            what = rng.choice(["send", "send", "send", "answered", "heard", "begin"])
            if what == "send":
                size = probe.send(now)
                assert size == wanted and now < probe.due_ns if size else not wanted or probe.due_ns > now
            elif what == "answered":
                probe.answered(rng.choice([*EDGES, wanted, 1472, 8972, rng.getrandbits(24)]), now)
            elif what == "heard":
                probe.heard(rng.choice([16, 1472, 8972]), now)
            else:
                link = rng.choice([0, 544, 548, 1472, 8972])
                probe.begin(link, now)
                wanted = link if link >= 548 else 0
            assert probe.carries in (0, wanted) and (not wanted or probe.due_ns <= now + 10_000_000_000)
