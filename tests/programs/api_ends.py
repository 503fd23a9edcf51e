"""Both ends of a connection, for tests/integration/test_api.py: `api_ends.py server CASE`, `api_ends.py client CASE ADDRESS`.

A case is two functions, server_CASE and client_CASE, which get a connection. What does not hold is an AssertionError.
"""

import asyncio
import gc
import os
import pickle
import random
import signal
import sys
import threading
import time

import numpy as np

from freeflow import rdma

PORT = 7471
LIMIT_S = 30.0


class raises:
    """`with raises(Kind, "text"):` the block must raise it."""

    def __init__(self, kind, text=""):
        self.kind, self.text = kind, text

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert kind is not None and issubclass(kind, self.kind), f"{error!r} is no {self.kind}"
        assert self.text in str(error), f"{error} says nothing of {self.text}"
        return True


# ---- the ten lines ----

def server_ten_lines(peer):
    array = rdma.allocate(1000)
    peer.send_remote(peer.expose(array))
    assert peer.wait_notify(LIMIT_S) == 1
    assert array.sum() == 500


def client_ten_lines(peer):
    remote = peer.recv_remote(LIMIT_S)
    remote[:500] = np.ones(500)
    peer.notify(1)


# ---- messages ----

SIZES = [0, 1, 63, 64, 65, 4095, 4096, 4097, 65536, 3_000_001]


def server_messages(peer):
    for size in SIZES:
        assert peer.recv(timeout=LIMIT_S) == bytes(i * 7 & 255 for i in range(min(size, 999))) + bytes(max(0, size - 999))
    for size in SIZES:
        into = np.full(size + 10, 9, np.uint8)
        assert peer.recv(into, timeout=LIMIT_S) == size
        assert (into[:size] == size & 255).all() and (into[size:] == 9).all()
    with raises(rdma.TooLong, "100 bytes"):
        peer.recv(bytearray(99), timeout=LIMIT_S)
    assert peer.recv(bytearray(100), timeout=LIMIT_S) == 100
    for _ in range(300):                       # more than there are slots, in order
        peer.send(peer.recv(timeout=LIMIT_S))


def client_messages(peer):
    for size in SIZES:
        peer.send(bytes(i * 7 & 255 for i in range(min(size, 999))) + bytes(max(0, size - 999)), timeout=LIMIT_S)
    for size in SIZES:
        peer.send(np.full(size, size & 255, np.uint8), timeout=LIMIT_S)
    peer.send(bytes(100))
    for i in range(300):
        peer.send(b"%d" % i)
        if i % 10 == 9:
            assert [peer.recv(timeout=LIMIT_S) for _ in range(10)] == [b"%d" % n for n in range(i - 9, i + 1)]


# ---- one-sided ----

def server_one_sided(peer):
    array = np.arange(10000, dtype="<i4").reshape(100, 100)
    peer.send_remote(peer.expose(array))
    expected = array.copy()
    peer.wait_notify(LIMIT_S)
    expected[10:20], expected[3], expected[[50, 7, 99]] = -1, np.arange(100), np.arange(300).reshape(3, 100)
    expected[98, 99] = 42
    assert np.array_equal(array, expected)
    secret = np.frombuffer(b"read only".ljust(4096), np.uint8).copy()
    peer.send_remote(peer.expose(secret, writable=False))
    peer.wait_notify(LIMIT_S)


def client_one_sided(peer):
    remote = peer.recv_remote(LIMIT_S)
    remote[10:20] = -1
    remote[3] = np.arange(100, dtype="<i4")
    remote[[50, 7, 99]] = np.arange(300, dtype="<i4").reshape(3, 100)
    assert peer.write(remote[98][99], np.array([42], "<i4"), notify=5) is None
    assert np.array_equal(remote[11].read(), np.full(100, -1))
    into = np.empty((2, 100), "<i4")
    assert remote[2:4].read(into) is into and (into[0] == np.arange(200, 300)).all() and (into[1] == np.arange(100)).all()
    assert (peer.read_rows(remote, [7, 50])[:, 0] == [100, 0]).all()
    with raises(rdma.WrongType):
        remote[3] = np.zeros(100)
    with raises(rdma.NotContiguous):
        peer.write(remote[3], np.zeros((100, 2), "<i4")[:, 0])
    with raises(rdma.OutOfRange):
        remote[100] = 1
    with raises(rdma.ReadOnly):
        remote[3].read(np.frombuffer(bytes(400), "<i4"))
    only = peer.recv_remote(LIMIT_S)
    assert only.read()[:9].tobytes() == b"read only"
    with raises(rdma.ReadOnly):
        only[0] = 1
    peer.notify(0)


def server_random_slices(peer, seed):
    array = np.zeros(5000, "<f8")
    peer.send_remote(peer.expose(array))
    peer.send_remote(peer.expose(array.view(np.uint8).reshape(400, 100)))
    peer.wait_notify(LIMIT_S)
    peer.send(array)


def client_random_slices(peer, seed):
    rng, model = random.Random(seed), np.zeros(5000, "<f8")
    remote, rows = peer.recv_remote(LIMIT_S), peer.recv_remote(LIMIT_S)
    for _ in range(300):
        start, stop = sorted(rng.choices(range(5001), k=2))
        values = np.frombuffer(rng.randbytes(8 * (stop - start)), "<f8")
        which = [rng.randrange(400) for _ in range(rng.randrange(1, 5))]
        if rng.random() < 0.5:
            remote[start:stop] = values
            model[start:stop] = values
        elif len(set(which)) == len(which):
            block = np.frombuffer(rng.randbytes(100 * len(which)), np.uint8).reshape(-1, 100)
            rows[which] = block
            model.view(np.uint8).reshape(400, 100)[which] = block
        assert remote[start:stop].read().tobytes() == model[start:stop].tobytes()
        assert peer.read_rows(rows, which).tobytes() == model.view(np.uint8).reshape(400, 100)[which].tobytes()
    peer.notify(1)
    assert peer.recv(timeout=LIMIT_S) == model.tobytes()


def server_atomics(peer):
    counters = np.zeros(4, "<i8")
    counters[3] = 1 << 62
    peer.send_remote(peer.expose(counters))
    peer.wait_notify(LIMIT_S)
    assert counters.tolist() == [400, -5, 7, 1 << 62]


def client_atomics(peer):
    remote = peer.recv_remote(LIMIT_S)
    seen = []
    threads = [threading.Thread(target=lambda: seen.extend(peer.fetch_add(remote[0], 1) for _ in range(100))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert sorted(seen) == list(range(400))
    assert peer.fetch_add(remote[1], -5) == 0 and peer.fetch_add(remote[1], 0) == -5
    assert peer.compare_swap(remote[2], 1, 9) == 0 and peer.compare_swap(remote[2], 0, 7) == 0
    assert peer.compare_swap(remote[3], 1 << 62, 1 << 62) == 1 << 62
    with raises(rdma.WrongType):
        peer.fetch_add(remote, 1)
    peer.notify(1)


def server_batches(peer):
    array = np.zeros((2000, 8), np.uint8)
    peer.send_remote(peer.expose(array))
    assert [peer.wait_notify(LIMIT_S) for _ in range(40)] == list(range(40))
    assert (array[:, 0] == np.arange(2000) % 251).all()
    peer.recv(timeout=LIMIT_S)


def client_batches(peer):
    remote, values = peer.recv_remote(LIMIT_S), np.zeros((2000, 8), np.uint8)
    values[:, 0] = np.arange(2000) % 251
    with peer.batch():                          # more than the queue is deep
        for i in range(2000):
            peer.write(remote[i], values[i])
    with peer.batch():
        for i in range(40):
            peer.notify(i)
    got = np.zeros((2000, 8), np.uint8)
    with peer.batch():
        for i in range(2000):
            peer.read(remote[i], got[i])
    assert (got == values).all()
    with raises(rdma.WrongType), peer.batch():
        peer.write(remote[0], values[0])
        peer.write(remote[1], np.zeros(8))
    peer.send(b"end")


# ---- what goes wrong ----

def server_taken_back(peer):
    array = np.zeros(100)
    remote = peer.expose(array)
    peer.send_remote(remote)
    peer.recv(timeout=LIMIT_S)
    peer.unexpose(remote)
    peer.send(b"taken back")
    with raises((rdma.Broken, rdma.PeerGone), peer.peer):
        peer.recv(timeout=LIMIT_S)
    assert (array == 0).all()


def client_taken_back(peer):
    remote = peer.recv_remote(LIMIT_S)
    peer.send(b"got it")
    peer.recv(timeout=LIMIT_S)
    with raises(rdma.RemoteAccessError, peer.peer):
        remote[:] = 1
    with raises(rdma.RdmaError):
        peer.send(b"more")
    with raises(rdma.RdmaError):
        peer.recv(timeout=LIMIT_S)


def server_timeouts(peer):
    began = time.monotonic()
    with raises(TimeoutError, peer.peer):
        peer.recv(timeout=0.2)
    assert time.monotonic() - began < 5
    peer.send(b"now")
    assert [peer.recv(timeout=LIMIT_S) for _ in range(3)] == [b"1", b"2", b"3"]
    peer.recv(timeout=LIMIT_S)


def client_timeouts(peer):
    peer.recv(timeout=LIMIT_S)
    for word in (b"1", b"2", b"3"):
        peer.send(word)
    with raises(rdma.Timeout):
        peer.wait_notify(timeout=0.1)
    peer.send(b"end")


def server_closing(peer):
    for i in range(20):
        assert peer.recv(timeout=LIMIT_S) == bytes([i]) * 3000
    with raises(rdma.Closed, peer.peer):
        peer.recv(timeout=LIMIT_S)
    with raises(rdma.Closed):
        peer.send(b"too late")


def client_closing(peer):
    for i in range(20):
        peer.send(bytes([i]) * 3000)


def server_killed(peer, how):
    if how == "exchange":
        return
    if how == "exposing":
        peer.send_remote(peer.expose(np.zeros(1 << 20, np.uint8)))
        peer.recv(timeout=LIMIT_S)
    with raises(rdma.PeerGone, peer.peer):
        while True:
            peer.recv(timeout=LIMIT_S)


def client_killed(peer, how):
    if how == "exchange":
        return
    if how == "exposing":
        remote = peer.recv_remote(LIMIT_S)
        peer.send(b"begin")
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
        while True:
            remote[:] = np.ones(1 << 20, np.uint8)
    if how == "long send":
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
        while True:
            peer.send(np.ones(5_000_000, np.uint8))
    os.kill(os.getpid(), signal.SIGKILL)


def server_forked(peer):
    child = os.fork()
    if child == 0:
        with raises(rdma.ForkedChild):
            peer.send(b"from the child")
        with raises(rdma.ForkedChild):
            peer.expose(np.zeros(10))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    peer.send(b"from the parent")
    peer.recv(timeout=LIMIT_S)


def client_forked(peer):
    assert peer.recv(timeout=LIMIT_S) == b"from the parent"
    peer.send(b"ok")


def server_threads(peer):
    got = []
    threads = [threading.Thread(target=lambda: got.extend(peer.recv(timeout=LIMIT_S) for _ in range(250))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert sorted(got) == sorted(b"%d-%d" % (t, i) for t in range(4) for i in range(250))
    peer.send(b"end")


def client_threads(peer):
    threads = [threading.Thread(target=lambda t=t: [peer.send(b"%d-%d" % (t, i)) for i in range(250)]) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert peer.recv(timeout=LIMIT_S) == b"end"


def server_lifetimes(peer):
    array = np.zeros((64, 70000), np.uint8)
    peer.send_remote(peer.expose(array))
    peer.wait_notify(LIMIT_S)
    assert (array == np.arange(64)[:, None]).all()


def client_lifetimes(peer):
    """Arrays that nobody but the batch holds are there until they are written."""
    remote = peer.recv_remote(LIMIT_S)
    with peer.batch():
        for i in range(64):
            peer.write(remote[i], np.full(70000, i, np.uint8))
    gc.collect()
    kept = rdma.memory.cached_regions(peer.device)
    for i in range(200):
        peer.write(remote[1], np.full(70000, 1, np.uint8))
    gc.collect()
    assert rdma.memory.cached_regions(peer.device) <= kept + 2
    peer.notify(1)


def server_router(peer):
    with raises((rdma.DeviceGone, rdma.PeerGone), "gone"):      # whose end is heard of first
        while True:
            peer.recv(timeout=LIMIT_S)


def client_router(peer):
    print("connected", flush=True)
    with raises((rdma.DeviceGone, rdma.PeerGone, rdma.RetryExceeded), ""):
        while True:
            peer.send(bytes(100), timeout=LIMIT_S)


async def server_aio_router(address=None):
    async with await rdma.aio.listen(port=PORT) as listener:
        peer = await listener.accept()
        try:
            while True:
                await peer.recv()
        except (rdma.DeviceGone, rdma.PeerGone):
            pass


async def client_aio_router(address):
    peer = await rdma.aio.connect(address, PORT)
    print("connected", flush=True)
    try:
        while True:
            await peer.send(bytes(100))
            await asyncio.sleep(0)
    except rdma.RdmaError as error:
        assert not isinstance(error, TimeoutError), error


# ---- many, and asyncio ----

BY_THEMSELVES = ("many", "registrations")    # they listen and connect themselves


def server_many(listener, count="200"):
    for i in range(int(count)):
        with listener.accept(timeout=LIMIT_S) as peer:
            assert peer.recv(timeout=LIMIT_S) == b"%d" % i


def client_many(address, count="200"):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    before = 0
    for i in range(int(count)):
        with rdma.connect(address, PORT) as peer:
            peer.send(b"%d" % i)
        if i == 10:
            gc.collect()
            before = descriptors()
    gc.collect()
    assert descriptors() <= before + 2, (before, descriptors())


def server_registrations(listener, count):
    listener.accept(timeout=LIMIT_S).wait_notify()


def client_registrations(address, count):
    def memory():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    with rdma.connect(address, PORT) as peer:
        for i in range(int(count)):
            array = np.empty(8192, np.uint8)      # of the heap: its pages are shared with others'
            peer.unexpose(peer.expose(array))
            del array
            if i == int(count) // 10:
                before = memory(), len(os.listdir("/proc/self/fd"))
        after = memory(), len(os.listdir("/proc/self/fd"))
        assert after[0] < before[0] + (16 << 10) and after[1] <= before[1], (before, after)
        peer.notify(1)


async def server_aio(address=None):
    mine = rdma.AsyncDatagrams()
    async with await rdma.aio.listen(port=PORT) as listener, await listener.accept() as peer:
        await peer.send(pickle.dumps(mine.address))
        data, where = await mine.recv()
        assert data == b"a datagram"
        await mine.send(b"an answer", where)
        mine.close()
        array = rdma.allocate(100, np.int64)
        await peer.send_remote(peer.expose(array))
        assert await peer.wait_notify() == 3
        assert array.sum() == 4950 + 7
        try:
            async with asyncio.timeout(0.1):
                await peer.recv()
            raise AssertionError("nothing was sent")
        except TimeoutError:
            pass
        await peer.send(b"go")
        assert await asyncio.gather(*(peer.recv() for _ in range(100))) == [b"%d" % i for i in range(100)]
        assert len(await peer.recv()) == 2_000_000
        try:
            await peer.recv()
            raise AssertionError("it closes")
        except rdma.Closed:
            pass


async def client_aio(address):
    async with await rdma.aio.connect(address, PORT) as peer:
        theirs = pickle.loads(await peer.recv())
        mine = rdma.AsyncDatagrams()
        await mine.send(b"a datagram", theirs)
        data, where = await mine.recv()
        assert (data, where) == (b"an answer", theirs)
        mine.close()
        remote = await peer.recv_remote()
        await peer.write(remote, np.arange(100))
        assert (await peer.read(remote[10:12])).tolist() == [10, 11]
        assert await peer.fetch_add(remote[0], 7) == 0
        await peer.notify(3)
        assert await peer.recv() == b"go"
        await asyncio.gather(*(peer.send(b"%d" % i) for i in range(100)))
        await peer.send(bytes(2_000_000))


# ----

def main():
    side, case, *more = sys.argv[1:]
    function = globals()[f"{side}_{case}"]
    if asyncio.iscoroutinefunction(function):
        asyncio.run(asyncio.wait_for(function(*more[:1]), LIMIT_S))
    elif side == "client":
        if case in BY_THEMSELVES:
            return function(*more)
        with rdma.connect(more[0], PORT, timeout=LIMIT_S) as peer:
            function(peer, *more[1:])
    else:
        with rdma.listen(port=PORT) as listener:
            if case in BY_THEMSELVES:
                return function(listener, *more)
            with listener.accept(timeout=LIMIT_S) as peer:
                function(peer, *more)


if __name__ == "__main__":
    main()
