"""A key-value store that is read past its server: a GET is one RDMA READ of the row where the key must be, so that the server's
processor has no part in it; PUTs go to the server as messages, many in one.

    python examples/key_value.py serve                    # one process
    python examples/key_value.py bench 10.32.1.1          # another: GETs a second, one by one and in batches

Keys are numbers, values up to 40 bytes. A row is a cache line: key, a checksum, the value. A reader that meets a row while the server
changes it sees a checksum that is wrong, and reads again.
"""

import sys
import threading
import time
import zlib

import numpy as np

from freeflow import rdma

PORT = 7472
ROWS = 1 << 16
NEIGHBOURS = 8                     # rows where a key may be: one after the other, from its place on
VALUE_BYTES = 40
TRIES = 100                        # of a row that the server is changing
ROW = np.dtype([("key", "<u8"), ("length", "<u4"), ("check", "<u4"), ("value", f"V{VALUE_BYTES}"), ("pad", "V8")])
PUT = np.dtype([("key", "<u8"), ("length", "<u8"), ("value", f"V{VALUE_BYTES}")])


def place_of(key):
    """The first of the rows where the key may be: Fibonacci hashing."""
    return int(key) * 0x9E3779B97F4A7C15 % (1 << 64) % (ROWS - NEIGHBOURS)


def check_of(row):
    return zlib.crc32(row["value"].tobytes(), zlib.crc32(row["key"].tobytes() + row["length"].tobytes())) | 1


class Server:
    def __init__(self):
        self.rows = rdma.allocate(ROWS, ROW)
        self.lock = threading.Lock()

    def put(self, entry):
        start = place_of(entry["key"])
        near = self.rows[start:start + NEIGHBOURS]
        mine = np.flatnonzero((near["check"] != 0) & (near["key"] == entry["key"]))
        free = mine if mine.size else np.flatnonzero(near["check"] == 0)
        if not free.size:
            raise KeyError("the table is full there")
        row = near[free[0]:free[0] + 1]
        row["key"], row["length"], row["value"] = entry["key"], entry["length"], entry["value"]
        row["check"] = check_of(row[0])

    def serve(self, peer):
        """One client, until it goes."""
        with peer:
            peer.send_remote(peer.expose(self.rows, writable=False))
            try:
                while True:
                    entries = np.frombuffer(peer.recv(), PUT)
                    with self.lock:
                        for entry in entries:
                            self.put(entry)
                    peer.send(len(entries).to_bytes(4, "little"))
            except (rdma.Closed, rdma.PeerGone):
                pass

    def run(self, clients=None):
        with rdma.listen(port=PORT) as listener:
            served = [self._serve_in_thread(listener.accept()) for _ in range(clients)] if clients else []
            while clients is None:
                self._serve_in_thread(listener.accept())
            for thread in served:
                thread.join()

    def _serve_in_thread(self, peer):
        thread = threading.Thread(target=self.serve, args=(peer,), daemon=True)
        thread.start()
        return thread


class Client:
    def __init__(self, host):
        self.peer = rdma.connect(host, PORT)
        self.rows = self.peer.recv_remote(timeout=10)
        self.near = rdma.allocate(NEIGHBOURS, ROW)

    def put(self, pairs):
        """{key: value} at once."""
        entries = np.zeros(len(pairs), PUT)
        for entry, (key, value) in zip(entries, pairs.items()):
            entry["key"], entry["length"], entry["value"] = key, len(value), np.void(value.ljust(VALUE_BYTES, b"\0"))
        self.peer.send(entries)
        self.peer.recv()

    def get(self, key):
        """The value, or None. One READ."""
        start = place_of(key)
        for _ in range(TRIES):
            self.peer.read(self.rows[start:start + NEIGHBOURS], into=self.near)
            found = self.pick(self.near, key)
            if found is not False:
                return found
        raise TimeoutError(f"the row of {key} changes all the time")

    def get_many(self, keys):
        """Values, or None. All READs at once; who is not in its first place, or changes just now, is asked for singly."""
        rows = self.peer.read_rows(self.rows, [place_of(key) for key in keys])
        return [row["value"].tobytes()[:row["length"]] if row["key"] == key and row["check"] == check_of(row) else self.get(key)
                for key, row in zip(keys, rows)]

    @staticmethod
    def pick(near, key):
        """The value among these rows; None: it is not there; False: look again."""
        for row in near[near["key"] == key]:
            if row["check"]:
                return row["value"].tobytes()[:row["length"]] if row["check"] == check_of(row) else False
        return None

    def close(self):
        self.peer.close()


def bench(host, count=20000, batch=32):
    client = Client(host)
    keys = list(range(1, 1001))
    for start in range(0, len(keys), 64):
        client.put({key: b"value %d" % key for key in keys[start:start + 64]})
    assert client.get(7) == b"value 7" and client.get(5000) is None
    assert client.get_many([1, 2, 5000]) == [b"value 1", b"value 2", None]
    began = time.perf_counter()
    for i in range(count):
        client.get(keys[i % 1000])
    one = count / (time.perf_counter() - began)
    began = time.perf_counter()
    for i in range(0, count, batch):
        client.get_many(keys[i % 960:i % 960 + batch])
    many = count / (time.perf_counter() - began)
    print(f"{one:.0f} GETs/s one by one, {many:.0f} in batches of {batch}")
    client.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        Server().run(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    elif sys.argv[1:2] == ["bench"] and len(sys.argv) > 2:
        bench(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        sys.exit(__doc__)
