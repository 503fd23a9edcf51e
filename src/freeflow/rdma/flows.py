"""What a connection does, once for both ways to call it: each operation is a generator that yields the Works it waits for.
blocking.py runs them to their end in a thread; aio.py awaits the same ones in an event loop. None of them waits by itself.
"""

import itertools
import struct

import numpy as np

from freeflow.rdma.errors import OutOfRange, RdmaError, TooLong, WrongProtocol
from freeflow.rdma.memory import allocate, remote_region
from freeflow.rdma.queue import MESSAGE, NOTICE
from freeflow.rdma.remote import RemoteBuffer

# What a message is: the top byte of its number. The rest numbers long ones.
SHORT, OFFER, TAKEN, REMOTE = range(1, 5)
KIND_SHIFT = 24
NUMBER_MASK = (1 << KIND_SHIFT) - 1
LONG = struct.Struct("<QQI")      # address, bytes, rkey of a long message, which its receiver READs
WORDS = 64                        # results of atomics under way


def is_message(kind, number):
    return kind == MESSAGE and number >> KIND_SHIFT in (SHORT, OFFER)


def is_notice(kind, number):
    return kind == NOTICE


def is_remote(kind, number):
    return kind == MESSAGE and number >> KIND_SHIFT == REMOTE


class Flows:
    """queue: a Queue that is connected. peer_slot_bytes: the longest message that the peer takes at once."""

    def __init__(self, queue, peer_slot_bytes):
        self.queue = queue
        self.short_bytes = min(queue.slot_bytes, peer_slot_bytes)
        self.exposed = []
        self._numbers = itertools.count()
        self._words = allocate(WORDS, np.uint64)
        self._free_words = list(range(WORDS))

    def room(self):
        while not self.queue.has_room:
            yield self.queue.oldest()

    # ---- messages ----

    def send(self, buffer):
        view = memoryview(buffer) if not hasattr(buffer, "nbytes") else buffer
        yield from self.room()
        if view.nbytes <= self.short_bytes:
            yield self.queue.send(buffer, SHORT << KIND_SHIFT)
        else:
            yield from self._send_long(buffer, view.nbytes)

    def _send_long(self, buffer, length):
        """The receiver fetches it when it has a place for it: no copy at either end."""
        number = next(self._numbers) & NUMBER_MASK
        region = remote_region(self.queue.device, buffer, write=False, atomic=False)
        offered = False
        try:
            work = self.queue.send(LONG.pack(region.address, length, region.rkey), OFFER << KIND_SHIFT | number)
            offered = True
            yield work
            wanted = TAKEN << KIND_SHIFT | number
            event = yield self.queue.await_arrival(lambda kind, n: kind == MESSAGE and n == wanted)
            self.queue.free_slot(event[1])
        except GeneratorExit:
            if offered:
                self.queue.stop(RdmaError("a long message was given up while the peer may be fetching it", self.queue.peer))
            raise
        finally:
            region.release()

    def receive(self, into=None):
        """The number of bytes, when into is given; else a bytearray."""
        event = yield self.queue.await_arrival(is_message)
        _, slot, length, number, _ = event
        with memoryview(self.queue.slot_view(slot, length)) as bytes_:
            if number >> KIND_SHIFT == OFFER:
                offer = bytes(bytes_)
            elif into is None:
                taken = bytearray(bytes_)
            else:
                taken = self._into(into, bytes_, event)
        self.queue.free_slot(slot)
        if number >> KIND_SHIFT == OFFER:
            return (yield from self._fetch(offer, number & NUMBER_MASK, into))
        return taken

    def _into(self, into, bytes_, event):
        with memoryview(into).cast("B") as place:
            if len(bytes_) > len(place):
                self.queue.arrived.appendleft(event)      # it is there still, for a longer buffer
                raise TooLong(f"the message has {len(bytes_)} bytes, the buffer {len(place)}", self.queue.peer)
            place[:len(bytes_)] = bytes_
        return len(bytes_)

    def _fetch(self, offer, number, into):
        if len(offer) != LONG.size:
            raise WrongProtocol("a long message without a place", self.queue.peer)
        address, length, rkey = LONG.unpack(offer)
        done = False
        try:
            if into is None:
                if length > self.longest_bytes:
                    raise TooLong(f"the peer sends {length} bytes, more than {self.longest_bytes} (longest_bytes): receive it"
                                  " into a buffer", self.queue.peer)
                place = bytearray(length)
            else:
                place = memoryview(into).cast("B")
                if length > len(place):
                    raise TooLong(f"the message has {length} bytes, the buffer {len(place)}", self.queue.peer)
                place = place[:length]
            for start in range(0, length, 1 << 30):       # one READ moves 2 GiB at most
                yield from self.room()
                yield self.queue.read(memoryview(place)[start:start + (1 << 30)], address + start, rkey)
            yield from self.room()
            yield self.queue.send(b"", TAKEN << KIND_SHIFT | number)
            done = True
            return place if into is None else length
        finally:
            if not done:
                self.queue.stop(RdmaError("a long message was given up while it was fetched", self.queue.peer))

    longest_bytes = 1 << 30

    # ---- remote memory ----

    def expose(self, buffer, writable=True):
        """No generator: a RemoteBuffer of memory of this process's, for the peer."""
        region = remote_region(self.queue.device, buffer, write=writable, atomic=writable)
        self.exposed.append(region)
        if hasattr(buffer, "dtype") and isinstance(buffer.dtype, np.dtype):
            dtype, shape = buffer.dtype, buffer.shape
        else:
            view = np.frombuffer(buffer, np.uint8) if not hasattr(buffer, "__dlpack__") else np.from_dlpack(buffer)
            dtype, shape = view.dtype, view.shape
        return RemoteBuffer(region.address, region.rkey, dtype, shape, writable)

    def unexpose(self, remote):
        """Its keys are void from now on. Raises RdmaError when it is not exposed here."""
        for region in self.exposed:
            if region.rkey == remote.rkey and region.address <= remote.address:
                region.release()
                self.exposed.remove(region)
                return
        raise RdmaError("not exposed on this connection")

    def send_remote(self, remote):
        text = remote.describe()
        if len(text) > self.short_bytes:
            raise TooLong(f"a remote buffer's description has {len(text)} bytes, a short message {self.short_bytes}")
        yield from self.room()
        yield self.queue.send(text, REMOTE << KIND_SHIFT)

    def receive_remote(self, connection):
        _, slot, length, _, _ = yield self.queue.await_arrival(is_remote)
        text = bytes(self.queue.slot_view(slot, length))
        self.queue.free_slot(slot)
        return RemoteBuffer.described(text, connection)

    def write(self, remote, local, notify=None):
        remote.must_be_writable()
        local = remote.prepared(local)
        if not self.queue.has_room:
            yield from self.room()
        yield self.queue.write(local, remote.address, remote.rkey, notify)

    def read(self, remote, into=None):
        if into is None:
            into = np.empty(remote.shape, remote.dtype)
        elif memoryview(into).nbytes != remote.nbytes:
            raise OutOfRange(f"{remote.nbytes} bytes of the remote buffer do not fit into {memoryview(into).nbytes}")
        elif isinstance(into, np.ndarray):
            remote.prepared(into)
        if not self.queue.has_room:
            yield from self.room()
        yield self.queue.read(into, remote.address, remote.rkey)
        return into

    def move_rows(self, remote, rows, local, read):
        numbers = remote.row_numbers(rows)
        if read and local is None:
            local = np.empty((len(numbers), *remote.shape[1:]), remote.dtype)
        if not read:
            remote.must_be_writable()
        if isinstance(local, np.ndarray) and local.dtype != remote.dtype:
            remote.prepared(local)
        if memoryview(local).nbytes != len(numbers) * remote.row_bytes:
            raise OutOfRange(f"{len(numbers)} rows of {remote.row_bytes} bytes are not {memoryview(local).nbytes}")
        first, last = 0, None
        while first < len(numbers):
            posted, work = self.queue.move_rows(read, local, numbers, first, remote.address, remote.rkey, remote.row_bytes)
            if posted:
                first, last = first + posted, work
            if first < len(numbers):
                yield last or self.queue.oldest()
        if last is not None:
            yield last
        return local

    def notify(self, value):
        yield from self.room()
        yield self.queue.write(None, 0, 0, value)

    def wait_notify(self):
        _, slot, _, number, _ = yield self.queue.await_arrival(is_notice)
        self.queue.free_slot(slot)
        return number

    def fetch_add(self, remote, add):
        return (yield from self._atomic(remote, lambda place, at, key: self.queue.fetch_add(place, at, key,
                                                                                             add & (1 << 64) - 1)))

    def compare_swap(self, remote, expected, new):
        mask = (1 << 64) - 1
        return (yield from self._atomic(remote, lambda place, at, key: self.queue.compare_swap(place, at, key,
                                                                                               expected & mask, new & mask)))

    def _atomic(self, remote, start):
        address = remote.word()
        yield from self.room()
        while not self._free_words:                       # all of them are under way, so there is an oldest
            yield self.queue.oldest()
        place = self._free_words.pop()
        word = self._words[place:place + 1]
        work = start(word, address, remote.rkey)
        try:
            yield work
            return word.view(remote.dtype)[0].item()
        finally:
            if work.done:
                self._free_words.append(place)
            else:                                         # given up: the device will write there yet
                work.waiter = lambda: self._free_words.append(place)

    def drain(self):
        """Until everything that is under way is done, failed or not."""
        while self.queue.under_way:
            try:
                yield self.queue.oldest()
            except RdmaError:
                pass                                      # its own caller is told
