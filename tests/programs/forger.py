"""Packets as if the router of host SOURCE sent them to that of TARGET, with right ICRCs, singly and in datagrams that the
kernel cuts up: forger.py SOURCE TARGET INTERFACE SECONDS SEED stray|near. Run on SOURCE's host, as root.

stray: for no queue pair that is there; marks, echoes and probes. near: most name one that has just been seen on the
interface, with PSNs around its own, and memory that it uses. Prints how many packets left.
"""

import random
import socket
import struct
import sys
import time
from collections import OrderedDict, deque

from ffcore import icrc
from ffr.nic.roce.protocol import wire

SO_REUSEPORT, IP_MTU_DISCOVER, IP_PMTUDISC_DO, UDP_LEVEL, UDP_SEGMENT, ETH_P_ALL = 15, 10, 2, 17, 103, 3
PORT, CARRIED, KEPT = 4791, 1472, 40
FIRST_OF_ROUTERS = 0xE0
WITH_RETH = {wire.OPCODES[name] for name in ("RC WRITE_FIRST", "RC WRITE_ONLY", "RC READ_REQUEST")}
STREAMED = {wire.OPCODES[f"RC {name}"] for name in ("SEND_FIRST", "SEND_MIDDLE", "WRITE_FIRST", "WRITE_MIDDLE")}
SIZES = [0, 1, 3, 4, 8, 100, 256, 508, 512, 1024, 1407, 1408, 1409, 1428, 1436, 1440, 1452]  # payloads
SEGMENTS = [64, 256, 512, 532, 1024, 1040, 1456, CARRIED]
LENGTHS = [0, 1, 1408, 65536, 1 << 20, 1 << 31, (1 << 32) - 1]


class Forger:
    def __init__(self, source, target, interface, seed, near):
        self.rng, self.near, self.target, self.sent = random.Random(seed), near, target, 0
        self.ends = socket.inet_aton(source) + socket.inet_aton(target)
        self.flow = icrc.Flow(self.ends[:4], self.ends[4:], PORT)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)  # the router, root's as well, has the port
        self.udp.setsockopt(0, IP_MTU_DISCOVER, IP_PMTUDISC_DO)  # identification 0
        self.udp.bind((source, PORT))
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.wire.bind((interface, 0))
        self.wire.setblocking(False)
        self.seen, self.keys = OrderedDict(), deque(maxlen=32)  # queue pairs of the target: a packet to each

    def look(self):
        """What the source's router has just sent."""
        for _ in range(60):
            try:
                packet = self.wire.recv(120)[14:]
            except BlockingIOError:
                return
            if len(packet) < 60 or packet[9] != UDP_LEVEL or packet[12:20] != self.ends or packet[28] >= FIRST_OF_ROUTERS:
                continue
            name = packet[33:36], packet[28] in STREAMED
            self.seen[name] = packet[28:]
            self.seen.move_to_end(name)
            if len(self.seen) > KEPT:
                self.seen.popitem(last=False)

    def mimic(self, fields):
        """Makes them those of a live queue pair, nearly."""
        rng, old = self.rng, self.seen[self.rng.choice(list(self.seen))]
        fields["qpn"] = int.from_bytes(old[5:8], "big")
        off = rng.choice([0, 1, 1, 2, 3, rng.randrange(64), rng.randrange(1024), -1, -rng.randrange(64), rng.randrange(-5000, 5000)])
        fields["psn"] = int.from_bytes(old[9:12], "big") + off & 0xFFFFFF
        if rng.random() < 0.5:
            fields["opcode"] = old[0]
        if old[0] in WITH_RETH:
            self.keys.append((int.from_bytes(old[12:20], "big"), int.from_bytes(old[20:24], "big")))
        if self.keys and rng.random() < 0.9:
            fields["addr"], fields["rkey"] = rng.choice(self.keys)

    def packet(self):
        rng = self.rng
        size = rng.choice([*SIZES, rng.randrange(1453)])
        fields = {"opcode": rng.choice(list(wire.OPCODES.values())), "qpn": rng.getrandbits(24), "psn": rng.getrandbits(24),
                  "rkey": rng.getrandbits(32), "addr": rng.getrandbits(64), "length": rng.choice([*LENGTHS, rng.getrandbits(32)]),
                  "qkey": 0x11111111, "src_qpn": rng.getrandbits(24), "msn": rng.getrandbits(24), "grh": rng.randbytes(40),
                  "syndrome": rng.choice([0x1F, 0, 0x20 + rng.randrange(32), 0x60 + rng.randrange(5), rng.getrandbits(8)]),
                  "filler": rng.choice([0, 0, 1, 11, 127, rng.randrange(128)]), "ackreq": rng.getrandbits(1)}
        if fields["opcode"] >= FIRST_OF_ROUTERS:
            fields["psn"] = rng.choice([(size + 3 & ~3) + 16, CARRIED, 548, 16, rng.getrandbits(24)])  # some probes are true
        elif self.near and self.seen and rng.random() < 0.8:
            self.mimic(fields)
        return wire.emit(fields | {"payload": rng.randbytes(size) if rng.random() < 0.8 else b""})

    def whole(self, packet):
        return packet + (self.flow.icrc(packet) if self.rng.random() < 0.98 else bytes(4))

    def leave(self, packets, segment):
        cut = [(UDP_LEVEL, UDP_SEGMENT, struct.pack("@H", segment))] if len(packets) > 1 else []
        try:
            self.udp.sendmsg([b"".join(packets)], cut, 0, (self.target, PORT))
            self.sent += len(packets)
        except OSError:  # longer than the wire, or no room in the buffer
            pass

    def mixed(self):
        """A datagram of packets that have nothing in common but their length, perhaps with a shorter one behind."""
        segment = self.rng.choice(SEGMENTS)
        bodies = [self.packet()[:segment - 4] for _ in range(self.rng.randrange(2, min(64, 60000 // segment)))]
        packets = [self.whole(body + self.rng.randbytes(segment - 4 - len(body))) for body in bodies]
        self.leave([*packets, packets[-1][:4 * self.rng.randrange(segment // 4)]], segment)

    def run_of_middles(self):
        """What a long message's MIDDLE packets look like, of an odd size, now and then with another among them."""
        live = [old for old in self.seen.values() if old[0] in STREAMED]
        if not live:
            return
        rng, old = self.rng, self.rng.choice(live)
        size, opcode = rng.choice([4 * rng.randrange(125, 364), 1456, 1408]), rng.choice([0x01, 0x07, 0x21, 0x27])
        start = int.from_bytes(old[9:12], "big") + rng.choice([0, 1, 1, 1, 2, rng.randrange(100)])
        packets = []
        for i in range(rng.randrange(2, min(64, 60000 // (size + 16)))):
            fields = {"opcode": opcode ^ (6 if rng.random() < 0.03 else 0), "qpn": int.from_bytes(old[5:8], "big"),
                      "psn": start + i & 0xFFFFFF, "payload": rng.randbytes(size), "ackreq": rng.random() < 0.1,
                      "filler": 0 if rng.random() < 0.9 else rng.randrange(128)}
            packets.append(self.whole(wire.emit(fields)))
        self.leave(packets, size + 16)

    def go_on(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            for _ in range(20):
                self.leave([self.whole(self.packet())], 0)
            for _ in range(3):
                self.mixed()
                self.look()
                if self.near:
                    self.run_of_middles()
            time.sleep(self.rng.choice([0, 0, 0.01]))  # others have work to do, too


if __name__ == "__main__":
    forger = Forger(*sys.argv[1:4], sys.argv[5], sys.argv[6] == "near")
    forger.go_on(float(sys.argv[4]))
    print(forger.sent)
