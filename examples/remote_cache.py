"""A cache that is larger than this machine's memory: blocks that are pushed out go to another machine's, and come back when they are
asked for, quicker than from a disk.

    python examples/remote_cache.py lend 64                   # lends 64 MiB to whoever comes, one after the other
    python examples/remote_cache.py use 10.32.1.1             # keeps 1 MiB here, the rest there
"""

import sys
import time
from collections import OrderedDict

import numpy as np

from freeflow import rdma

PORT = 7475
BLOCK = 4096


class RemoteCache:
    """Blocks of BLOCK bytes by number: the `here` that were used last are in this process, others in the lender's memory."""

    def __init__(self, host, here=256):
        self.peer = rdma.connect(host, PORT)
        self.there = self.peer.recv_remote(timeout=10)
        self.near = rdma.allocate((here, BLOCK), np.uint8)
        self.places = OrderedDict()           # number -> place here, the longest unused first
        self.free = list(range(here))
        self.hits = self.misses = 0

    def __len__(self):
        return len(self.there)

    def block(self, number):
        """The block as an array, to read and to change; good until as many others as fit here have been asked for."""
        if number in self.places:
            self.hits += 1
            self.places.move_to_end(number)
        else:
            self.misses += 1
            place = self.free.pop() if self.free else self.push_out()
            self.peer.read(self.there[number], into=self.near[place])
            self.places[number] = place
        return self.near[self.places[number]]

    def push_out(self):
        number, place = self.places.popitem(last=False)
        self.there[number] = self.near[place]
        return place

    def close(self):
        while self.places:
            self.push_out()
        self.peer.close()


def lend(mebibytes, clients=None):
    memory = rdma.allocate((mebibytes * 1024 * 1024 // BLOCK, BLOCK), np.uint8)
    with rdma.listen(port=PORT) as listener:
        while clients is None or clients > 0:
            with listener.accept() as peer:
                peer.send_remote(peer.expose(memory))
                try:
                    peer.recv()
                except (rdma.Closed, rdma.PeerGone):
                    pass
            clients = clients and clients - 1


def use(host, count=5000):
    cache = RemoteCache(host)
    rng = np.random.default_rng(1)
    expected = {}
    began = time.perf_counter()
    for number in (rng.pareto(1.0, count) * 50 % len(cache)).astype(int):
        block = cache.block(int(number))
        assert block[0] == expected.get(number, 0)
        block[0] = expected[number] = rng.integers(256)
    took = time.perf_counter() - began
    print(f"{count} blocks, {cache.hits} of them here, {took / max(1, cache.misses) * 1e6:.0f} us for one that was there")
    cache.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["lend"] and len(sys.argv) > 2:
        lend(*map(int, sys.argv[2:]))
    elif sys.argv[1:2] == ["use"] and len(sys.argv) > 2:
        use(sys.argv[2])
    else:
        sys.exit(__doc__)
