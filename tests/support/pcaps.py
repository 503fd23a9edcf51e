"""Reference captures of Linux rxe (classic pcap, Ethernet), as packets: addresses, IP identification, UDP payload."""

import struct
from dataclasses import dataclass
from pathlib import Path

CAPTURES = Path(__file__).resolve().parents[1] / "data" / "pcaps"
ROCE_PORT = 4791


@dataclass
class Captured:
    source: bytes
    destination: bytes
    source_port: int
    ident: int  # IPv4 identification; 0 with IPv6
    packet: bytes  # BTH up to and with the ICRC


def frames(path):
    data = path.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        size, = struct.unpack(order + "I", data[at + 8:at + 12])
        yield data[at + 16:at + 16 + size]
        at += 16 + size


def roce_packets(path):
    """Every RoCEv2 packet of a capture."""
    for frame in frames(path):
        kind, ip = frame[12:14], frame[14:]
        if kind == b"\x08\x00" and ip[9] == 17:
            header, total = (ip[0] & 15) * 4, struct.unpack("!H", ip[2:4])[0]
            source, destination, ident = ip[12:16], ip[16:20], struct.unpack("!H", ip[4:6])[0]
        elif kind == b"\x86\xdd" and ip[6] == 17:
            header, total = 40, 40 + struct.unpack("!H", ip[4:6])[0]
            source, destination, ident = ip[8:24], ip[24:40], 0
        else:
            continue
        source_port, port = struct.unpack("!HH", ip[header:header + 4])
        if port == ROCE_PORT:
            yield Captured(source, destination, source_port, ident, ip[header + 8:total])
