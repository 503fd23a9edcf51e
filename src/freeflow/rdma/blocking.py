"""Connections whose calls return when they are done."""

import socket
import threading
import time
from collections import deque
from contextlib import contextmanager

from freeflow.rdma import exchange
from freeflow.rdma.device import default_device
from freeflow.rdma.errors import Closed, PeerGone, RdmaError, Timeout, WrongProtocol
from freeflow.rdma.flows import Flows
from freeflow.rdma.line import Line

SPIN_NS = 50_000        # looked for so long before a thread sleeps: longer than a message takes, shorter than anybody's turn
SLEEP_MS = 200          # between two looks at signals and at the time
TAKE_OVER_S = 0.01      # a thread that waits beside another one looks this often whether it has to sleep by itself
EXCHANGE_S = 10.0
CLOSE_S = 2.0


class Base:
    """What connections of both kinds have: queue, flows, line; peer, a text; device."""

    def __init__(self, queue, line, theirs):
        self.queue, self.line, self.flows = queue, line, Flows(queue, theirs.slot_bytes)
        self.is_closed = False

    @property
    def peer(self):
        """host:port of the peer, as errors name it."""
        return self.queue.peer

    @property
    def device(self):
        """The Device that it is on."""
        return self.queue.device

    @property
    def short_bytes(self):
        """Messages up to this long are copied once, at the receiver; longer ones are fetched from the sender's memory."""
        return self.flows.short_bytes

    def expose(self, buffer, writable=True):
        """A RemoteBuffer of the buffer's memory, which the peer may read and (writable) write until unexpose or close. The memory
        is kept until then. Raises RdmaError, NotContiguous, ReadOnly, WrongType."""
        self._must_be_open()
        return self.flows.expose(buffer, writable)

    def unexpose(self, remote):
        """The peer may not use it any more: what it tries completes as RemoteAccessError at its end."""
        self.flows.unexpose(remote)

    def bind(self, remote):
        """`remote`, which came from the peer by another way, for use on this connection."""
        remote.connection = self
        return remote

    def _must_be_open(self):
        if self.is_closed:
            raise Closed("this end has been closed", self.peer)
        self.queue.device.check()

    def _in_order(self, drained):
        """Whether the peer is told that this end has closed: not of one whose device or connection has failed under it."""
        return drained if self.queue.failure is None else isinstance(self.queue.failure, Closed)

    def _end(self, in_order):
        self.is_closed = True
        self.queue.stop(Closed("this end has been closed", self.peer))
        self.queue.progress()
        self.queue.give_up()
        for region in self.flows.exposed:
            region.release()
        self.flows.exposed.clear()
        self.line.close(in_order)

    def __repr__(self):
        return f"<rdma.{type(self).__name__} to {self.peer}{' (closed)' if self.is_closed else ''}>"


class Connection(Base):
    """A reliable connection. Made by connect() and Listener.accept(); closes itself as a context manager. Any thread may use it.

    timeout: seconds, None for ever; when it is over the call raises Timeout. A receive that timed out has lost nothing. A write,
    a read or a short send goes on by itself, and its memory is kept until it is done; a long send ends the connection.
    """

    # What both kinds have, where the reference shows it.
    peer, device, short_bytes = Base.peer, Base.device, Base.short_bytes
    expose, unexpose, bind = Base.expose, Base.unexpose, Base.bind

    def __init__(self, queue, line, theirs):
        super().__init__(queue, line, theirs)
        self._waiter = Waiter(queue, line)
        self._batch = None

    def send(self, buffer, timeout=None):
        """A message. Returns when the peer's NIC has it (a long one: when the peer has received it). Raises RdmaError."""
        return self._run(self.flows.send(buffer), timeout)

    def recv(self, into=None, timeout=None):
        """The next message, a bytearray; into a buffer: the number of its bytes. Raises Closed when the peer has closed and all was
        received, TooLong when it does not fit (it stays), Timeout."""
        return self._run(self.flows.receive(into), timeout)

    def send_remote(self, remote, timeout=None):
        """A RemoteBuffer, for recv_remote at the other end."""
        return self._run(self.flows.send_remote(remote), timeout)

    def recv_remote(self, timeout=None):
        """The next RemoteBuffer that the peer sent, bound to this connection."""
        return self._run(self.flows.receive_remote(self), timeout)

    def write(self, remote, local, notify=None, timeout=None):
        """`local` into the peer's memory; notify: a number of 32 bits that the peer's wait_notify returns when it is there. Returns
        when it is there; in a batch, at once. Raises WrongType, OutOfRange, NotContiguous, ReadOnly, RdmaError."""
        return self._run(self.flows.write(remote, local, notify), timeout)

    def read(self, remote, into=None, timeout=None):
        """What is in the peer's memory, as a new NumPy array or into one."""
        return self._run(self.flows.read(remote, into), timeout)

    def write_rows(self, remote, rows, values, timeout=None):
        """Row number i of `values` to row rows[i] of the remote buffer, for all of them."""
        self._run(self.flows.move_rows(remote, rows, values, False), timeout)

    def read_rows(self, remote, rows, into=None, timeout=None):
        """Rows of the remote buffer, by number: a new NumPy array, or into one."""
        return self._run(self.flows.move_rows(remote, rows, into, True), timeout)

    def fetch_add(self, remote, add, timeout=None):
        """Adds to one element of 8 bytes, atomically; what was there before."""
        return self._run(self.flows.fetch_add(remote, add), timeout)

    def compare_swap(self, remote, expected, new, timeout=None):
        """Puts `new` where `expected` is, atomically; what was there before: `expected`, when it was done."""
        return self._run(self.flows.compare_swap(remote, expected, new), timeout)

    def notify(self, value, timeout=None):
        """A number of 32 bits for the peer's wait_notify, behind all that was written before."""
        return self._run(self.flows.notify(value), timeout)

    def wait_notify(self, timeout=None):
        """The next number that the peer notified."""
        return self._run(self.flows.wait_notify(), timeout)

    @contextmanager
    def batch(self):
        """Writes and reads within return at once, and are all done when the block ends: `with connection.batch(): …`. The memory that
        they name must not change before. Raises, at the end, the first error of any of them."""
        self._must_be_open()
        if self._batch is not None:
            raise RdmaError("a batch within a batch", self.peer)
        self._batch = []
        self.queue.begin_batch()
        try:
            yield self
        finally:
            self.queue.end_batch()
            batch, self._batch = self._batch, None
            for flow, work in batch:
                self._waiter.finish(flow, work)

    def drain(self, timeout=None):
        """Returns when nothing of this end's is under way."""
        self._run(self.flows.drain(), timeout)

    def close(self, timeout=CLOSE_S):
        """What is under way is waited for, so long; then the connection ends, and the peer gets Closed."""
        if self.is_closed:
            return
        drained = True
        try:
            self.drain(timeout)
        except (RdmaError, OSError):
            drained = False
        self._end(self._in_order(drained))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()
        elif not self.is_closed:
            self._end(in_order=False)         # the peer should know that this end did not come to its end

    def _run(self, flow, timeout):
        if self.is_closed:
            raise Closed("this end has been closed", self.peer)
        if self._batch is None:
            return self._waiter.run(flow, timeout)
        try:
            self._batch.append((flow, flow.send(None)))
        except StopIteration as end:
            return end.value


class Waiter:
    """How threads wait for one queue. line: a Line to listen to meanwhile, or None."""

    def __init__(self, queue, line=None):
        self.queue, self.line = queue, line
        self._sleeper = threading.Lock()
        self._beside = deque()                # events of threads that wait beside the sleeper

    def run(self, flow, timeout=None):
        """A flow to its end: its value, or what it raises. Raises Timeout."""
        try:
            work = flow.send(None)
        except StopIteration as end:
            return end.value
        return self.finish(flow, work, timeout)

    def finish(self, flow, work, timeout=None):
        """... that has begun, and waits for `work`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                if not work.done and not self.queue.spin_until(work, SPIN_NS):
                    self._wait(work, deadline)
            except BaseException:             # a time-out, a signal, a cancellation
                self.queue.forget(work)
                flow.close()
                raise
            try:
                work = flow.send(work.result) if work.error is None else flow.throw(work.error)
            except StopIteration as end:
                return end.value

    def _wait(self, work, deadline):
        """Sleeps until the work is done. One thread sleeps on the descriptors; others sleep beside it."""
        while not work.done:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise Timeout("the time is over", self.queue.peer)
            if self._sleeper.acquire(blocking=False):
                try:
                    self._sleep(work, SLEEP_MS if left is None else min(SLEEP_MS, int(left * 1000) + 1))
                finally:
                    self._sleeper.release()
                    if self._beside:
                        self._beside.popleft().set()
            else:
                event = threading.Event()
                work.waiter = event.set
                self._beside.append(event)
                event.wait(TAKE_OVER_S)
                work.waiter = None

    def _sleep(self, work, timeout_ms):
        self.queue.arm()
        if self.queue.progress() or work.done:
            return
        if self.queue.sleep(self.line.fileno() if self.line else -1, timeout_ms):
            self.line.heard()
        self.queue.progress()


def run(queue, flow, timeout=None):
    """A flow on a queue that has no line, to its end."""
    return Waiter(queue).run(flow, timeout)


def listening_socket(host, port, backlog=128):
    """Of an address, or of all of them where host is empty. Raises OSError."""
    everywhere = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=backlog, dualstack_ipv6=everywhere)


class Listener:
    """Waits for connections at an address. A context manager. address, port: where (port 0 was given: which one it is)."""

    def __init__(self, host="", port=0, device=None, backlog=128):
        """host: an address of this machine's, or "" for all. Raises OSError, NoDevice."""
        self.device = device or default_device()
        self.sock = listening_socket(host, port, backlog)
        self.address, self.port = self.sock.getsockname()[:2]

    def accept(self, timeout=None):
        """The next Connection. Who is not of this kind is sent away, and the next one waited for. Raises Timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise Timeout("nobody has connected")
            self.sock.settimeout(left)
            try:
                sock, address = self.sock.accept()
            except TimeoutError:
                raise Timeout("nobody has connected") from None
            try:
                return _meet(sock, self.device, exchange.name_of(address), exchange.serving, EXCHANGE_S)
            except (WrongProtocol, PeerGone):
                sock.close()
            except BaseException:
                sock.close()
                raise

    def close(self):
        """Nobody connects any more; who is connected stays so."""
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def listen(host="", port=0, device=None):
    """A Listener."""
    return Listener(host, port, device)


def connect(host, port, device=None, timeout=EXCHANGE_S):
    """A Connection to the Listener at host:port. timeout: seconds. Raises PeerGone when nobody listens there, Timeout,
    WrongProtocol, NoDevice, RdmaError."""
    device = device or default_device()
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        sock = socket.create_connection((host, port), timeout)
    except TimeoutError:
        raise Timeout(f"did not answer within {timeout} s", name) from None
    except OSError as error:
        raise PeerGone(f"cannot be reached: {error.strerror or error}", name) from None
    try:
        return _meet(sock, device, name, exchange.calling, timeout)
    except BaseException:
        sock.close()
        raise


def _meet(sock, device, name, side, timeout):
    """Runs one side of the exchange. A Connection."""
    sock.settimeout(timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    flow, heard = side(device, name, sock.getsockname()[0]), None
    try:
        while True:
            wish = flow.send(heard)
            heard = sock.sendall(wish) if isinstance(wish, bytes) else _hear(sock, wish, name)
    except StopIteration as end:
        queue, theirs = end.value
        return Connection(queue, Line(sock, queue), theirs)
    except TimeoutError:
        raise PeerGone("said nothing while connecting", name) from None
    except OSError as error:
        raise PeerGone(f"went away while connecting: {error.strerror or error}", name) from None


def _hear(sock, wish, name):
    heard = b""
    while exchange.wants_more(heard, wish, name):
        heard += exchange.must_be_there(sock.recv(1), name)
    return heard
