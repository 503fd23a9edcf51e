"""Connections for an event loop, asyncio's or uvloop's: the calls of blocking.py, to be awaited.

An await looks for its completion for some microseconds before it lets the loop go on: most messages are faster than a turn of
the loop. Cancelling (asyncio.timeout does) a receive loses nothing; a write, a read or a short send that was posted goes on by
itself, its memory kept, and drain() waits for it; a long send or receive ends the connection.
"""

import asyncio
import inspect
import socket

from freeflow.rdma import blocking, exchange
from freeflow.rdma.blocking import CLOSE_S, EXCHANGE_S, Base, listening_socket
from freeflow.rdma.device import default_device
from freeflow.rdma.errors import Closed, PeerGone, RdmaError, Timeout, WrongProtocol
from freeflow.rdma.line import Line

SPIN_NS = 20_000

__all__ = ["Connection", "Listener", "connect", "listen"]


class Connection(Base):
    """A reliable connection of one event loop. Made by connect() and Listener.accept(); an async context manager.

    Every method is blocking.Connection's of the same name, without a timeout: use asyncio.timeout.
    """

    # What both kinds have, where the reference shows it.
    peer, device, short_bytes = Base.peer, Base.device, Base.short_bytes
    expose, unexpose, bind = Base.expose, Base.unexpose, Base.bind

    def __init__(self, queue, line, theirs):
        super().__init__(queue, line, theirs)
        self._watch = Watch(queue, line)

    async def send(self, buffer):
        return await self._run(self.flows.send(buffer))

    async def recv(self, into=None):
        return await self._run(self.flows.receive(into))

    async def send_remote(self, remote):
        return await self._run(self.flows.send_remote(remote))

    async def recv_remote(self):
        return await self._run(self.flows.receive_remote(self))

    async def write(self, remote, local, notify=None):
        return await self._run(self.flows.write(remote, local, notify))

    async def read(self, remote, into=None):
        return await self._run(self.flows.read(remote, into))

    async def write_rows(self, remote, rows, values):
        await self._run(self.flows.move_rows(remote, rows, values, False))

    async def read_rows(self, remote, rows, into=None):
        return await self._run(self.flows.move_rows(remote, rows, into, True))

    async def fetch_add(self, remote, add):
        return await self._run(self.flows.fetch_add(remote, add))

    async def compare_swap(self, remote, expected, new):
        return await self._run(self.flows.compare_swap(remote, expected, new))

    async def notify(self, value):
        return await self._run(self.flows.notify(value))

    async def wait_notify(self):
        return await self._run(self.flows.wait_notify())

    async def drain(self):
        await self._run(self.flows.drain())

    async def close(self):
        if self.is_closed:
            return
        drained = True
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.drain()
        except (RdmaError, OSError):
            drained = False
        self._leave(self._in_order(drained))

    def _leave(self, in_order):
        self._watch.close()
        self._end(in_order)

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, trace):
        if kind is None:
            await self.close()
        elif not self.is_closed:
            self._leave(in_order=False)

    async def _run(self, flow):
        if self.is_closed:
            raise Closed("this end has been closed", self.peer)
        return await self._watch.run(flow)


for _name, _call in vars(Connection).items():
    if inspect.iscoroutinefunction(_call) and not _name.startswith("_"):
        _call.__doc__ = getattr(blocking.Connection, _name).__doc__


class Watch:
    """How an event loop waits for a queue. line: a Line to listen to as well, or None."""

    def __init__(self, queue, line=None):
        self.queue, self.line = queue, line
        self.loop = asyncio.get_running_loop()
        self._waiting = 0
        self.loop.add_reader(queue.descriptor, self._readable)
        if line:
            self.loop.add_reader(line.fileno(), self._heard)

    def close(self):
        self.loop.remove_reader(self.queue.descriptor)
        if self.line:
            self.loop.remove_reader(self.line.fileno())

    async def run(self, flow):
        """A flow to its end: its value, or what it raises."""
        try:
            work = flow.send(None)
        except StopIteration as end:
            return end.value
        while True:
            try:
                if not work.done and not self.queue.spin_until(work, SPIN_NS):
                    await self._until(work)
            except BaseException:             # a time-out, a signal, a cancellation
                self.queue.forget(work)
                flow.close()
                raise
            try:
                work = flow.send(work.result) if work.error is None else flow.throw(work.error)
            except StopIteration as end:
                return end.value

    async def _until(self, work):
        future = self.loop.create_future()
        work.waiter = lambda: future.done() or future.set_result(None)
        self._waiting += 1
        try:
            self._arm()
            if not work.done:
                await future
        finally:
            self._waiting -= 1
            work.waiter = None

    def _arm(self):
        self.queue.arm()
        self.queue.progress()

    def _readable(self):
        self.queue.disarm()
        self.queue.progress()
        if self.queue.failure is not None:
            self.loop.remove_reader(self.queue.descriptor)       # a device that is gone stays readable
        elif self._waiting:
            self._arm()

    def _heard(self):
        if self.line.heard():
            self.loop.remove_reader(self.line.fileno())


class Listener:
    """Waits for connections at an address. An async context manager. address, port: where."""

    def __init__(self, sock, device):
        self.sock, self.device = sock, device
        sock.setblocking(False)
        self.address, self.port = sock.getsockname()[:2]

    async def accept(self):
        """The next Connection. Who is not of this kind is sent away, and the next one waited for."""
        loop = asyncio.get_running_loop()
        while True:
            sock, address = await loop.sock_accept(self.sock)
            try:
                return await _meet(sock, self.device, exchange.name_of(address), exchange.serving, EXCHANGE_S)
            except (WrongProtocol, PeerGone):
                sock.close()
            except BaseException:
                sock.close()
                raise

    async def close(self):
        """Nobody connects any more; who is connected stays so."""
        self.sock.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()


async def listen(host="", port=0, device=None):
    """A Listener. Raises OSError, NoDevice."""
    return Listener(listening_socket(host, port), device or default_device())


async def connect(host, port, device=None, timeout=EXCHANGE_S):
    """A Connection to the Listener at host:port. Raises as blocking.connect does."""
    device = device or default_device()
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    sock = None
    try:
        async with asyncio.timeout(timeout):
            sock = await _reach(host, port)
            return await _meet(sock, device, name, exchange.calling, timeout)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, TimeoutError) and not isinstance(error, RdmaError):
            raise Timeout(f"did not answer within {timeout} s", name) from None
        if isinstance(error, OSError) and not isinstance(error, RdmaError):
            raise PeerGone(f"cannot be reached: {error.strerror or error}", name) from None
        raise


async def _reach(host, port):
    loop, last = asyncio.get_running_loop(), None
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            return sock
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            last = error
    raise last or OSError("no such host")


async def _meet(sock, device, name, side, timeout):
    """Runs one side of the exchange. A Connection."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    flow, heard = side(device, name, sock.getsockname()[0]), None
    try:
        async with asyncio.timeout(timeout):
            while True:
                wish = flow.send(heard)
                heard = await (loop.sock_sendall(sock, wish) if isinstance(wish, bytes) else _hear(loop, sock, wish, name))
    except StopIteration as end:
        queue, theirs = end.value
        return Connection(queue, Line(sock, queue), theirs)
    except TimeoutError:
        raise PeerGone("said nothing while connecting", name) from None
    except OSError as error:
        raise PeerGone(f"went away while connecting: {error.strerror or error}", name) from None


async def _hear(loop, sock, wish, name):
    heard = b""
    while exchange.wants_more(heard, wish, name):
        heard += exchange.must_be_there(await loop.sock_recv(sock, 1), name)
    return heard
