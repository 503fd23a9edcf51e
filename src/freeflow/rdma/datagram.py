"""Datagrams: messages of one packet to anybody who said where, without a connection. They may be lost, and are when nobody
receives them; none comes twice, and none is damaged."""

import time
from collections import OrderedDict
from dataclasses import dataclass

from freeflow.rdma import aio, blocking
from freeflow.rdma.device import address_of_gid, default_device
from freeflow.rdma.errors import TooLong, WrongType
from freeflow.rdma.pair import Route
from freeflow.rdma.queue import Queue

GRH_BYTES = 40           # before each datagram that arrives: where it came from (IBTA 8.3)
ROUTES = 1024            # ways to hosts that are kept made; the longest unused one goes


@dataclass(frozen=True)
class DatagramAddress:
    """Where datagrams go: a host's GID (16 bytes), its LID (InfiniBand), and the number of a queue pair. Can be pickled."""

    gid: bytes
    qpn: int
    lid: int = 0

    def __str__(self):
        return f"{address_of_gid(self.gid)} queue pair {self.qpn}"


class _Datagrams:
    """What both kinds have: device, address (a DatagramAddress), bytes_max."""

    def __init__(self, device=None, address=None):
        """address: an IP address of this machine's to speak from, where it has several. Raises NoDevice, RdmaError."""
        self.device = device or default_device()
        self._gid_index, gid = self.device.gid_for(address)
        self.queue = Queue(self.device, slot_bytes=self.device.mtu, datagram=True)
        self.queue.open_datagrams()
        self.address = DatagramAddress(gid, self.queue.number, self.device.lid)
        self._routes = OrderedDict()

    @property
    def bytes_max(self):
        """The longest datagram."""
        return self.queue.slot_bytes

    def _route(self, to):
        if not isinstance(to, DatagramAddress):
            raise WrongType("a datagram goes to a DatagramAddress: the address of somebody's Datagrams")
        route = self._routes.get((to.gid, to.lid))
        if route is None:
            route = self._routes[to.gid, to.lid] = Route(self.device, self._gid_index, to.gid, to.lid)
            if len(self._routes) > ROUTES:
                self._routes.popitem(last=False)
        self._routes.move_to_end((to.gid, to.lid))
        return route

    def _send(self, buffer, to):
        route = self._route(to)
        while not self.queue.has_room:
            yield self.queue.oldest()
        yield self.queue.send_datagram(buffer, route, to.qpn)

    def _recv(self, into):
        event = yield self.queue.await_arrival()
        _, slot, length, _, source = event
        with memoryview(self.queue.slot_view(slot, length)) as bytes_:
            address = _source(bytes(bytes_[:GRH_BYTES]), source)
            if into is None:
                taken = bytearray(bytes_[GRH_BYTES:])
            else:
                with memoryview(into).cast("B") as place:
                    if length - GRH_BYTES > len(place):
                        self.queue.arrived.appendleft(event)
                        raise TooLong(f"the datagram has {length - GRH_BYTES} bytes, the buffer {len(place)}")
                    place[:length - GRH_BYTES] = bytes_[GRH_BYTES:]
                taken = length - GRH_BYTES
        self.queue.free_slot(slot)
        return taken, address


def _source(grh, qpn):
    """The sender's address, from the 40 bytes: an IPv6 header, or an IPv4 header in their last 20 (IBTA A17.4.5.2)."""
    if grh[0] >> 4 == 6:
        return DatagramAddress(grh[8:24], qpn)
    return DatagramAddress(b"\0" * 10 + b"\xff\xff" + grh[32:36], qpn)


class Datagrams(_Datagrams):
    """Datagrams with calls that wait."""

    def send(self, buffer, to, timeout=None):
        """One datagram. Returns when it has left. Raises TooLong, Timeout, RdmaError."""
        blocking.run(self.queue, self._send(buffer, to), timeout)

    def recv(self, into=None, timeout=None):
        """(a bytearray, or the number of bytes in `into`; the sender's DatagramAddress). Raises Timeout, TooLong."""
        return blocking.run(self.queue, self._recv(into), timeout)


class AsyncDatagrams(_Datagrams):
    """Datagrams in an event loop. close() when done with it."""

    def __init__(self, device=None, address=None):
        super().__init__(device, address)
        self._loop = aio.Watch(self.queue)

    async def send(self, buffer, to):
        """One datagram. Returns when it has left. Raises TooLong, RdmaError."""
        await self._loop.run(self._send(buffer, to))

    async def recv(self, into=None):
        """(a bytearray, or the number of bytes in `into`; the sender's DatagramAddress). Raises TooLong."""
        return await self._loop.run(self._recv(into))

    def close(self):
        """Receives nothing any more, and leaves the event loop alone."""
        self._loop.close()
