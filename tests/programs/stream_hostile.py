"""A router that knows the hosts' key and sends whatever it likes: stream_hostile.py OWN PEER KEY_FILE SECONDS SEED. In OWN's host,
whose router is gone, so that PEER's calls here. Prints how many streams it had, and how many frames it sent.

Frames of every wrong length, cut anywhere; packets of every kind and length, well-formed and not, for any queue pair; streams
that are not read, and bytes one by one.
"""

import asyncio
import ipaddress
import random
import socket
import struct
import sys
import time

from ffr.network.greeting import Greeting, prepare
from ffr.nic.roce.protocol import wire
from ffr.nic.roce.streams import HELLO, PORT

FRAMES_MAX = 400  # of one stream
LENGTHS = [0, 1, 3, 4, 15, 16, 17, 20, 28, 16383, 16384, 16385, 16388, 1 << 20, 1 << 31, (1 << 32) - 1]
SIZES = [0, 1, 4, 100, 1024, 4096, 8192, 16000, 16300]


def frame(body, void=0):
    return struct.pack("<I", len(body) + 4) + body + struct.pack("<I", void)


def packet(rng):
    """Well-formed, as a rule."""
    name = rng.choice(list(wire.OPCODES))
    fields = {"qpn": rng.choice([0, 1, 2, rng.getrandbits(24)]), "psn": rng.getrandbits(24), "rkey": rng.getrandbits(32),
              "addr": rng.getrandbits(64), "length": rng.getrandbits(32)}
    try:
        return wire.emit(wire.OPCODES[name], payload=rng.randbytes(rng.choice(SIZES)), **fields)
    except (TypeError, ValueError):
        return rng.randbytes(4 * rng.randint(3, 40))


def one(rng):
    match rng.randrange(8):
        case 0:
            return struct.pack("<I", rng.choice(LENGTHS)) + rng.randbytes(rng.choice([0, 3, 64]))
        case 1:
            return rng.randbytes(rng.randint(1, 200))
        case 2:
            return frame(rng.randbytes(4 * rng.randint(3, 4000)))
        case 3:
            return frame(packet(rng), rng.choice([1, 2, 1 << 31]))
        case 4:
            whole = frame(packet(rng))
            return whole[:rng.randrange(len(whole))]
    return frame(packet(rng))


async def speak(sock, rng):
    """Until the other end has enough. How many frames."""
    loop, sent = asyncio.get_running_loop(), 0
    try:
        for sent in range(rng.randint(1, FRAMES_MAX)):
            data = one(rng)
            if rng.random() < 0.1:
                for byte in data[:50]:
                    await loop.sock_sendall(sock, bytes([byte]))
                data = data[50:]
            await asyncio.wait_for(loop.sock_sendall(sock, data), 1)
    except (OSError, TimeoutError):
        pass
    return sent + 1


async def main(own, peer, key_file, seconds, seed):
    rng, end, streams, frames = random.Random(int(seed)), time.monotonic() + float(seconds), 0, 0
    with open(key_file, "rb") as file:
        greeting = Greeting(file.read().strip(), HELLO)
    door = socket.create_server((own, PORT))
    door.setblocking(False)
    loop = asyncio.get_running_loop()
    while time.monotonic() < end:
        try:
            sock, _ = await asyncio.wait_for(loop.sock_accept(door), 1)
            prepare(sock)
            await greeting.answer(sock, ipaddress.ip_address(own), ipaddress.ip_address(peer))
            streams += 1
            frames += await speak(sock, rng)
            sock.close()
        except (OSError, EOFError, TimeoutError):
            continue
    print(streams, frames)


asyncio.run(main(*sys.argv[1:]))
