"""How two ends find each other: one line each way over a TCP connection, which then stays as the sign that the peer lives.

Whoever reaches the port may connect; what the line says is no more than verbs' own numbers. Nothing here is secret or
authenticated: on a network with others on it, let the network say who may reach the port.
"""

import ipaddress
import json
import random
from dataclasses import dataclass

from freeflow.rdma.errors import PeerGone, WrongProtocol
from freeflow.rdma.queue import Queue

PROTOCOL = "freeflow-rdma/1"
LINE_BYTES_MAX = 1024
READY, BYE = b"+", b"."   # the client is connected; an end has closed in good order
MTUS = (256, 512, 1024, 2048, 4096)


@dataclass
class Hello:
    """One end: its queue pair's number, its first PSN, its GID (16 bytes) and LID, its MTU (bytes), how many READs and atomics it
    takes at a time, and its receive buffers' size (bytes)."""

    qpn: int
    psn: int
    gid: bytes
    lid: int
    mtu: int
    atomics: int
    slot_bytes: int

    @classmethod
    def of(cls, queue, gid):
        device = queue.device
        return cls(queue.number, random.SystemRandom().getrandbits(24), gid, device.lid, device.mtu, device.max_atomics,
                   queue.slot_bytes)

    def line(self):
        values = dict(vars(self), gid=self.gid.hex(), protocol=PROTOCOL)
        return json.dumps(values).encode() + b"\n"

    @classmethod
    def parse(cls, line):
        """From a peer's line. Raises WrongProtocol."""
        try:
            values = json.loads(line)
            protocol = values.pop("protocol")
            if protocol != PROTOCOL:
                raise ValueError(f"it speaks {protocol!r}, this end {PROTOCOL!r}")
            hello = cls(**{**values, "gid": bytes.fromhex(values["gid"])})
            numbers = [(hello.qpn, 1 << 24), (hello.psn, 1 << 24), (hello.lid, 1 << 16), (hello.atomics, 256),
                       (hello.slot_bytes, 1 << 31)]
            if not all(type(n) is int and 0 <= n < limit for n, limit in numbers) or hello.mtu not in MTUS \
                    or len(hello.gid) != 16:
                raise ValueError("odd numbers")
            return hello
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WrongProtocol(f"what answers there is no rdma end of this kind: {error}") from None


# The two sides as generators: they yield what is to be said (bytes), or how many bytes they want to hear (an int; LINE: a line),
# and return (queue, the peer's Hello). blocking.py and aio.py move the bytes.
LINE = -1


def calling(device, name, local_address):
    """The side that connects. Raises WrongProtocol, RdmaError."""
    index, gid = device.gid_for(local_address)
    queue = Queue(device, peer=name)
    mine = Hello.of(queue, gid)
    yield mine.line()
    theirs = Hello.parse((yield LINE))
    _connect(queue, index, mine, theirs)
    yield READY
    return queue, theirs


def serving(device, name, local_address):
    """The side that was connected to: its peer speaks first, so that a stranger costs nothing but a line."""
    theirs = Hello.parse((yield LINE))
    index, gid = device.gid_for(local_address)
    queue = Queue(device, peer=name)
    mine = Hello.of(queue, gid)
    _connect(queue, index, mine, theirs)
    yield mine.line()
    if (yield 1) != READY:
        raise WrongProtocol("did not come to the end of connecting", name)
    return queue, theirs


def _connect(queue, gid_index, mine, theirs):
    queue.connect(gid_index, mine.psn, theirs.qpn, theirs.psn, theirs.gid, theirs.lid, min(mine.mtu, theirs.mtu),
                  theirs.atomics)


def wants_more(heard, wish, name):
    """Whether so many bytes, or a line, are not yet heard: byte by byte, for what follows is not ours to read."""
    if len(heard) > LINE_BYTES_MAX:
        raise WrongProtocol("says more than this protocol has", name)
    return not heard.endswith(b"\n") if wish == LINE else len(heard) < wish


def must_be_there(heard, name):
    if not heard:
        raise PeerGone("went away while connecting", name)
    return heard


def name_of(address):
    """host, port of a socket's address as text that names a peer in errors."""
    host = address[0].partition("%")[0]
    mapped = ipaddress.ip_address(host)
    host = str(getattr(mapped, "ipv4_mapped", None) or host)
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
