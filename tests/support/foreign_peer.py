"""A RoCEv2 peer that knows nothing of FreeFlow: one UDP socket, and the protocol from Python. foreign_peer.py rc | ud OWN-IP
plays the server of pyverbs_rc.py or pyverbs_ud.py against a client in a container.

Its packets are those of any NIC: ICRCs over what the IP header says, from its own address. It takes nothing else.
"""

import ipaddress
import json
import select
import socket
import struct
import sys
import time

from ffcore.icrc import Flow
from ffr.nic.roce.protocol import harness, wire

PORT = 4791
LINKS = {"rc": 18516, "ud": 18517}
BYTES, ROUNDS, ANSWER, KEY, AT = 5003 * 8, 100, 3, 0x4321, 0x7000_0000
SIZE, QKEY = 600, 0x11111111
DEADLINE_S = 30


class Peer:
    def __init__(self, bound, own, transport, other, **attributes):
        """bound: the UDP socket. other: the client's address as it told it."""
        self.own, self.other = own.packed, ipaddress.ip_address(other["gid"]).ipv4_mapped.packed
        self.socket = bound
        self.qp = harness.QP(transport=transport, qpn=0x77, dest_qpn=other["qpn"], **attributes)
        self.flow = Flow(self.own, self.other, PORT)
        self.bad = 0
        self.deadline = time.monotonic() + DEADLINE_S

    def emit(self):
        for packet in self.qp.take_sent():
            self.socket.sendto(packet + self.flow.icrc(packet), (socket.inet_ntoa(self.other), PORT))

    def turn(self):
        """A packet or a timer. Raises TimeoutError when it takes too long altogether."""
        assert time.monotonic() < self.deadline, "the client says nothing"
        self.qp.send(time.monotonic_ns())
        self.emit()
        if select.select([self.socket], [], [], 0.002)[0]:
            data, (source, port) = self.socket.recvfrom(9000)
            if socket.inet_aton(source) != self.other or not Flow(self.other, self.own, port).good(data):
                self.bad += 1
            else:
                self.qp.receive(data[:-4], time.monotonic_ns(), grh=bytes(40))
        if self.qp.timer and self.qp.timer <= time.monotonic_ns():
            self.qp.tick(time.monotonic_ns())
        self.emit()

    def completed(self, kind):
        while not self.qp.completions:
            self.turn()
        found = self.qp.completions.pop(0)
        assert found[0] == kind and found[2] == "ok", found
        return found


def numbers(data):
    return struct.unpack(f"={BYTES // 8}q", data)


def pattern(seed):
    return tuple(n * 7919 + seed for n in range(BYTES // 8))


class Link:
    def __init__(self, connection):
        self.connection = connection  # two files: one for both forgets what it read ahead
        self.reader, self.writer = connection.makefile("r"), connection.makefile("w")

    def say(self, value):
        self.writer.write(json.dumps(value) + "\n")
        self.writer.flush()

    def heard(self):
        return json.loads(self.reader.readline())

    def silent(self):
        return not select.select([self.connection], [], [], 0)[0]


def rc(bound, own, link):
    link.say( {"qpn": 0x77, "rkey": KEY, "addr": AT, "gid": gid(own)})
    peer = Peer(bound, own, "RC", link.heard())
    memory = peer.qp.register(KEY, AT, bytes(BYTES))
    ping = peer.qp.post_recv(BYTES)
    link.say("ready")
    assert link.heard() == "ready"
    for n in range(ROUNDS):
        peer.completed("recv")
        assert numbers(ping.data) == pattern(n), f"ping {n}"
        ping = peer.qp.post_recv(BYTES)
        peer.qp.post_send("send", struct.pack(f"={BYTES // 8}q", *(x + 1 for x in pattern(n))))
        peer.completed("send")
    while link.silent():
        peer.turn()
    assert link.heard() == "written" and numbers(memory.data) == pattern(-1)
    memory.data[:] = struct.pack(f"={BYTES // 8}q", *(x * ANSWER for x in pattern(-1)))
    link.say("answered")
    while link.silent():
        peer.turn()
    assert link.heard() == "done"
    return peer


def ud(bound, own, link):
    link.say({"qpn": 0x77, "gid": gid(own)})
    other = link.heard()
    peer = Peer(bound, own, "UD", other, qkey=QKEY)
    question = peer.qp.post_recv(40 + SIZE)
    peer.completed("recv")
    assert question.data[40:] == b"q" * SIZE
    answer = wire.emit({"opcode": wire.OPCODES["UD SEND_ONLY_IMM"], "pkey": 0xFFFF, "qpn": other["qpn"], "qkey": QKEY,
                        "src_qpn": 0x77, "imm": 77, "payload": b"a" * (SIZE - 1)})
    peer.socket.sendto(answer + peer.flow.icrc(answer), (socket.inet_ntoa(peer.other), PORT))
    return peer


def gid(address):
    return ":".join(["0000"] * 5 + ["ffff"] + [address.packed[n:n + 2].hex() for n in (0, 2)])


def main():
    own = ipaddress.ip_address(sys.argv[2])
    with socket.create_server(("", LINKS[sys.argv[1]])) as listener:
        connection = listener.accept()[0]
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: DF, and so identification 0
    bound.bind((str(own), PORT))
    with connection, bound:
        peer = {"rc": rc, "ud": ud}[sys.argv[1]](bound, own, Link(connection))
    assert peer.bad == 0, f"{peer.bad} packets with wrong checksums, or from elsewhere"
    print("ok")


main()
