"""Both ends of what bench_python.py measures: `python_ends.py server WHAT`, `python_ends.py client WHAT ADDRESS [ARGUMENT]`. The client
prints one number."""

import asyncio
import sys
import time

import numpy as np

from freeflow import rdma

PORT = 7471
ROWS, ROW_BYTES = 16384, 64


def server_write(peer):
    array = rdma.allocate(1 << 20, np.uint8)
    peer.send_remote(peer.expose(array))
    peer.wait_notify()


def client_write(peer, size):
    """Gb/s of WRITEs, a hundred under way."""
    size, remote, source = int(size), peer.recv_remote(), rdma.allocate(1 << 20, np.uint8)
    to, what = remote[:size], source[:size]
    for count in (1, max(3, (6 << 30) // 100 // size)):                # the first hundred to warm up
        began = time.perf_counter()
        for _ in range(count):
            with peer.batch():
                for _ in range(100):
                    peer.write(to, what)
        took = time.perf_counter() - began
    peer.notify(1)
    return count * 100 * size * 8 / took / 1e9


def server_rows(peer):
    array = rdma.allocate((ROWS, ROW_BYTES), np.uint8)
    peer.send_remote(peer.expose(array))
    peer.wait_notify()


def client_rows(peer):
    """Million WRITEs of 64 bytes a second, by their row numbers."""
    remote, values = peer.recv_remote(), rdma.allocate((ROWS, ROW_BYTES), np.uint8)
    where = np.random.default_rng(1).permutation(ROWS)
    for count in (2, 60):
        began = time.perf_counter()
        for _ in range(count):
            peer.write_rows(remote, where, values)
        took = time.perf_counter() - began
    peer.notify(1)
    return count * ROWS / took / 1e6


def server_pingpong(peer):
    while (message := peer.recv()) != b"end":
        peer.send(message)


def client_pingpong(peer):
    """One way, in us: the median of rounds of a hundred."""
    message, rounds = bytes(64), []
    for _ in range(100):
        began = time.perf_counter()
        for _ in range(100):
            peer.send(message)
            peer.recv()
        rounds.append((time.perf_counter() - began) / 200 * 1e6)
    peer.send(b"end")
    return float(np.median(rounds))


async def server_aio():
    async with await rdma.aio.listen(port=PORT) as listener, await listener.accept() as peer:
        while (message := await peer.recv()) != b"end":
            await peer.send(message)


async def client_aio(address):
    message, rounds = bytes(64), []
    async with await rdma.aio.connect(address, PORT) as peer:
        for _ in range(50):
            began = time.perf_counter()
            for _ in range(100):
                await peer.send(message)
                await peer.recv()
            rounds.append((time.perf_counter() - began) / 200 * 1e6)
        await peer.send(b"end")
    return float(np.median(rounds))


async def server_aio_tcp():
    ended = asyncio.Event()

    async def serve(reader, writer):
        try:
            while True:
                writer.write(await reader.readexactly(64))
        except asyncio.IncompleteReadError:
            writer.close()
            ended.set()

    async with await asyncio.start_server(serve, "0.0.0.0", PORT):
        await ended.wait()


async def client_aio_tcp(address):
    message, rounds = bytes(64), []
    reader, writer = await asyncio.open_connection(address, PORT)
    for _ in range(50):
        began = time.perf_counter()
        for _ in range(100):
            writer.write(message)
            await reader.readexactly(64)
        rounds.append((time.perf_counter() - began) / 200 * 1e6)
    writer.close()
    return float(np.median(rounds))


def main():
    side, what, *more = sys.argv[1:]
    function = globals()[f"{side}_{what}"]
    if asyncio.iscoroutinefunction(function):
        value = asyncio.run(function(*more))
    elif side == "client":
        with rdma.connect(more[0], PORT) as peer:
            value = function(peer, *more[1:])
    else:
        with rdma.listen(port=PORT) as listener, listener.accept() as peer:
            value = function(peer)
    if side == "client":
        print(value)


if __name__ == "__main__":
    main()
