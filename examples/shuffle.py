"""The shuffle of group-by and sort: every worker has rows (key, value); afterwards every key's rows are on one worker.

    python examples/shuffle.py 0 2 10.32.1.1 10.32.1.2        # worker 0 of 2, on the first address
    python examples/shuffle.py 1 2 10.32.1.1 10.32.1.2        # worker 1, on the second
    … --tcp: the same over TCP sockets, for comparison; --sort: by ranges of keys, sorted; --rows N: of each worker

Each worker sorts its rows by where they go, exposes them, and tells the others which part is whose; each then READs its parts
straight to where they belong. Nobody is sent anything, and nothing is copied on the way.
"""

import argparse
import json
import socket
import threading
import time

import numpy as np

from freeflow import rdma

PORT = 7474
ROW = np.dtype([("key", "<u8"), ("value", "<f8")])


def partition(rows, count, by_range):
    """Rows sorted by the worker that they go to, and where each worker's begin: count + 1 numbers."""
    if by_range:
        to = (rows["key"] >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)
    else:
        to = (rows["key"] * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)
    order = np.argsort(to, kind="stable")
    return rows[order], np.searchsorted(to[order], np.arange(count + 1))


def meet(rank, hosts, listen, connect):
    """A connection with every other worker: those before call this one, it calls those behind."""
    peers = {}
    with listen(hosts[rank]) as listener:
        def answer():
            for _ in range(rank):
                peer, other = listener()
                peers[other] = peer
        thread = threading.Thread(target=answer)
        thread.start()
        for other in range(rank + 1, len(hosts)):
            peers[other] = connect(hosts[other], rank)
        thread.join()
    return peers


def patiently(connect, seconds=30):
    end = time.monotonic() + seconds
    while True:
        try:
            return connect()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class OverRdma:
    class Listening(rdma.Listener):
        def __init__(self, host):
            super().__init__(host, PORT)

        def __call__(self):
            peer = self.accept(timeout=60)
            return peer, peer.recv()[0]

    def __init__(self, rank, hosts):
        self.peers = meet(rank, hosts, self.Listening, self.connect)

    @staticmethod
    def connect(host, rank):
        peer = patiently(lambda: rdma.connect(host, PORT))
        peer.send(bytes([rank]))
        return peer

    def shuffle(self, rank, rows, starts):
        """This worker's rows of all workers."""
        for other, peer in self.peers.items():
            peer.send_remote(peer.expose(rows[starts[other]:starts[other + 1]], writable=False))
        parts = {other: peer.recv_remote(timeout=60) for other, peer in self.peers.items()}
        mine = rows[starts[rank]:starts[rank + 1]]
        result = rdma.allocate(len(mine) + sum(map(len, parts.values())), ROW)
        result[:len(mine)], at = mine, len(mine)
        for other, part in parts.items():
            if len(part):
                self.peers[other].read(part, into=result[at:at + len(part)])
            at += len(part)
        for peer in self.peers.values():      # the parts are exposed until everybody has them
            peer.notify(1)
        for peer in self.peers.values():
            peer.wait_notify(timeout=60)
        return result

    def close(self):
        for peer in self.peers.values():
            peer.close()


class OverTcp:
    class Listening:
        def __init__(self, host):
            self.sock = socket.create_server((host, PORT))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.sock.close()

        def __call__(self):
            peer, _ = self.sock.accept()
            return peer, peer.recv(1)[0]

    def __init__(self, rank, hosts):
        self.peers = meet(rank, hosts, self.Listening, self.connect)

    @staticmethod
    def connect(host, rank):
        peer = patiently(lambda: socket.create_connection((host, PORT)))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(bytes([rank]))
        return peer

    def shuffle(self, rank, rows, starts):
        def give(other, peer):
            part = rows[starts[other]:starts[other + 1]]
            peer.sendall(json.dumps(len(part)).encode().ljust(32))
            peer.sendall(part.tobytes())

        threads = [threading.Thread(target=give, args=one) for one in self.peers.items()]
        for thread in threads:
            thread.start()
        parts = [rows[starts[rank]:starts[rank + 1]]]
        for peer in self.peers.values():
            parts.append(np.empty(json.loads(self.take(peer, bytearray(32))), ROW))
            self.take(peer, parts[-1])
        for thread in threads:
            thread.join()
        return np.concatenate(parts)

    @staticmethod
    def take(peer, into):
        view = memoryview(into).cast("B")
        while view:
            got = peer.recv_into(view)
            if not got:
                raise ConnectionResetError("a worker is gone")
            view = view[got:]
        return into

    def close(self):
        for peer in self.peers.values():
            peer.close()


def group(rows):
    """{key: sum} of the rows, as arrays."""
    keys, where = np.unique(rows["key"], return_inverse=True)
    return keys, np.bincount(where, rows["value"], len(keys))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rank", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("hosts", nargs="+")
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--sort", action="store_true")
    parser.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args()
    rng = np.random.default_rng(options.rank)
    rows = np.empty(options.rows, ROW)
    rows["key"] = rng.integers(0, 1 << 64, options.rows, np.uint64) if options.sort else rng.integers(0, 1000, options.rows)
    rows["value"] = 1
    way = (OverTcp if options.tcp else OverRdma)(options.rank, options.hosts[:options.count])
    rows, starts = partition(rows, options.count, options.sort)
    began = time.perf_counter()
    mine = way.shuffle(options.rank, rows, starts)
    took = time.perf_counter() - began
    way.close()
    if options.sort:
        mine = np.sort(mine, order="key")
        told = f"keys {int(mine['key'][0])} to {int(mine['key'][-1])}"
    else:
        keys, sums = group(mine)
        told = f"{len(keys)} groups, sum {int(sums.sum())}"
    print(f"worker {options.rank}: {len(mine)} rows, {told}, {took * 1000:.1f} ms of shuffle")


if __name__ == "__main__":
    main()
