"""The session socket: takes connections, asks who they are, and hands admitted ones to the reactor.

Runs in the event loop of the router's Python thread. Each connection has one second to say one message; nothing here
waits for a peer.
"""

import errno
import logging
import os
import socket
import time

from ffcore.handshake import HELLO_SIZE, pack_welcome
from ffr.control.admission import HELLO_TIMEOUT_S, Peer
from ffr.errors import Refused
from ffr.control.identity import Namespace, peer_process

log = logging.getLogger(__name__)

BACKLOG = 128
ACCEPTS_PER_TURN = 256  # then the loop looks at the others; to see whose a connection is takes a tenth of making a session
PAUSE_S = 0.1  # without descriptors there is nothing to accept with; sessions that end bring some back
SO_PASSRIGHTS = 83  # linux/socket.h, from 6.16 on: senders of descriptors get EPERM


class SessionServer:
    """`on_peer(container)` is called for each admitted peer before its session is made. `userfaultfd`: a
    Userfaultfd, which stays the caller's."""

    def __init__(self, loop, path, admission, sessions, counters, on_peer, userfaultfd):
        self.userfaultfd = userfaultfd
        self.loop, self.path = loop, path
        self.admission, self.sessions, self.counters, self.on_peer = admission, sessions, counters, on_peer
        self.handshakes = set()
        self._in_turn = False
        self._listener = None

    def start(self):
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        _refuse_descriptors(self._listener)
        self._listener.bind(str(self.path))
        os.chmod(self.path, 0o666)  # containers run as any uid; who they are is asked by namespace
        self._listener.listen(BACKLOG)
        self._resume()

    def close(self):
        if self._listener:
            self.loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for handshake in list(self.handshakes):
            handshake.close()

    def _resume(self):
        if self._listener:
            self.loop.add_reader(self._listener, self._accept)

    def _accept(self):
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    log.warning("cannot accept a connection: %s", error.strerror)
                    self.loop.remove_reader(self._listener)
                    self.loop.call_later(PAUSE_S, self._resume)
                    return
                continue  # that connection is gone already
            self._begin(sock)

    def take_turn(self):
        """Somebody is about to be admitted, in this turn of the loop."""
        if not self._in_turn:
            self._in_turn = True
            self.loop.call_soon(self._end_turn)

    def _end_turn(self):
        self._in_turn = False
        self.admission.end_turn()

    def _begin(self, sock):
        sock.setblocking(False)
        handshake = Handshake(self, sock)
        try:
            handshake.begin()
        except Refused as refusal:
            handshake.refuse(refusal)
        except OSError as error:
            handshake.refuse(_cannot_look(error))


class Handshake:
    """One connection between accept and welcome."""

    def __init__(self, server, sock):
        self._server, self._sock = server, sock
        self._share = self._timer = None
        self._begun = False

    def begin(self):
        server = self._server
        with _namespace_of(self._sock) as namespace:
            self._namespace_id, self._foreign = namespace.id, namespace.is_foreign()
        self._share = server.admission.begin(self._namespace_id)
        self._begun = True
        server.handshakes.add(self)
        server.loop.add_reader(self._sock, self._on_hello)
        self._timer = server.loop.call_later(HELLO_TIMEOUT_S, self._on_timeout)
        self._on_hello()  # most libraries have said it by now

    def _on_hello(self):
        try:
            # No room for ancillary data: descriptors that come along are dropped by the kernel, and we are told.
            hello, _, flags, _ = self._sock.recvmsg(HELLO_SIZE + 1, 0)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not hello:
            self.close()
            return
        try:
            self._welcome(hello, flags)
        except Refused as refusal:
            self.refuse(refusal)

    def _welcome(self, hello, flags):
        server = self._server
        if flags & socket.MSG_CTRUNC:
            raise Refused(errno.EPROTO, "the router takes no descriptors")
        pid = self._pid()
        peer = Peer(self._namespace_id, self._foreign, pid)
        server.take_turn()
        container = server.admission.admit(hello, peer, time.monotonic())
        server.on_peer(container)
        number, limits, segments = server.sessions.open(container, self._sock, pid)
        with segments:
            more = [] if server.userfaultfd.fd is None else [server.userfaultfd.fd]
            message = pack_welcome(0, number, limits["control_bytes"], limits["memory_bytes"],
                                   server.userfaultfd.why_not, bool(more))
            try:
                socket.send_fds(self._sock, [message], segments.fds + more, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except OSError as error:
                # Gone in the meantime, most likely: the reactor's epoll says so to the reactor.
                log.info("session %d: no welcome sent: %s", number, error)
        self.close()

    def _pid(self):
        try:
            return peer_process(self._sock).pid
        except OSError as error:
            raise _cannot_look(error) from None

    def _on_timeout(self):
        self.refuse(Refused(errno.ETIMEDOUT, f"no hello within {HELLO_TIMEOUT_S:.0f} s"))

    def refuse(self, refusal):
        log.info("refused: %s", refusal.reason)
        self._server.counters.count_refused()
        try:
            self._drain()
            self._sock.send(pack_welcome(refusal.errno, reason=refusal.reason), socket.MSG_DONTWAIT
                            | socket.MSG_NOSIGNAL)
        except OSError:
            pass  # it did not wait for the answer
        self.close()

    def _drain(self):
        """A socket closed with a message unread resets its peer, which would then never read the reason."""
        try:
            self._sock.recvmsg(HELLO_SIZE, 0)
        except BlockingIOError:
            pass

    def close(self):
        server = self._server
        if self._begun:
            self._begun = False
            self._timer.cancel()
            server.loop.remove_reader(self._sock)
            server.handshakes.discard(self)
            server.admission.end(self._share)
        self._sock.close()


def _namespace_of(sock):
    try:
        return Namespace.of_socket(sock)
    except PermissionError:
        return Namespace.of_own_user(sock)


def _cannot_look(error):
    """Out of descriptors, or the process has gone already."""
    return Refused(error.errno or errno.EIO, f"the router cannot see who is connecting: {error.strerror}")


def _refuse_descriptors(listener):
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)  # accepted sockets inherit it
    except OSError:
        pass  # an older kernel: a message with descriptors is noticed by its MSG_CTRUNC
