"""The TCP connection beside a queue pair: it says that the peer lives, and how it went."""

import socket
import time

from freeflow.rdma import exchange
from freeflow.rdma.errors import Closed, PeerGone

SETTLE_S = 0.05


class Line:
    """sock: connected, and past the exchange. Speaks for `queue`: what ends the line ends the queue."""

    def __init__(self, sock, queue):
        self.sock, self.queue = sock, queue
        sock.setblocking(False)

    def fileno(self):
        return self.sock.fileno()

    def heard(self):
        """It is readable: the peer has closed, or is gone. What it had sent before is taken first. False: it was nothing."""
        try:
            word = self.sock.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            word = b""
        if word == exchange.READY:
            return False
        peer = self.queue.peer
        failure = Closed("has closed the connection", peer) if word == exchange.BYE \
            else PeerGone("is gone: its process ended, or its host", peer)
        self._settle()
        self.queue.stop(failure)
        self.queue.progress()
        self.queue.give_up()
        return True

    def _settle(self):
        """What arrived, and the acknowledgements of what the peer has taken: they are on their way, or will never come."""
        end = time.monotonic() + SETTLE_S
        while self.queue.progress() or (self.queue.under_way and time.monotonic() < end):
            time.sleep(0)

    def close(self, in_order):
        try:
            if in_order:
                self.sock.send(exchange.BYE)
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass                              # the peer was faster
        self.sock.close()
