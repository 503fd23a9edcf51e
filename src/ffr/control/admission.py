"""Who gets a session. Takes what the kernel said about a peer and what the peer said; does no I/O, reads no clock.

The bounds make 10 000 connections from one container that container's own problem: each container has a share of the
handshakes, of the sessions and of the admissions per second, and namespaces that nobody registered share one share.
"""

import errno
from collections import Counter
from dataclasses import dataclass

from ffcore.handshake import LAYOUT_VERSION, MAGIC, parse_hello
from ffcore.stats import MAX_SESSIONS
from ffr.errors import Refused

HELLO_TIMEOUT_S = 1.0
PENDING_PER_CONTAINER = 128  # handshakes begun and not finished; one descriptor each
PENDING_TOTAL = 1024
ADMISSIONS_PER_S = 100.0  # per container, sustained; a session costs two segments, so making and dropping them is work
ADMISSIONS_BURST = 128
# ... in one turn of the router's loop, some 40 ms of work: each who waits has 1.5 s of patience, and the others hear "not yet".
ADMISSIONS_PER_TURN = 32


@dataclass
class Peer:
    """What the kernel says about a connection."""

    namespace: object  # NamespaceId
    foreign: bool  # the namespace belongs to another user namespace
    pid: int


class Admission:
    """Decides, and counts what is pending. The owner of the sockets calls it."""

    def __init__(self, registry, sessions_max=MAX_SESSIONS):
        self._registry = registry
        self._sessions_max = min(sessions_max, MAX_SESSIONS)
        self._pending = Counter()
        self._buckets = {}  # container name -> Bucket
        self._turn = Counter()  # container name -> admissions in this turn

    def begin(self, namespace_id):
        """A connection came in. Returns its share, to be given to end(); raises Refused when the share is used up."""
        share = namespace_id if self._registry.find(namespace_id) else None
        if self._pending[share] >= PENDING_PER_CONTAINER or self._pending.total() >= PENDING_TOTAL:
            raise Refused(errno.EAGAIN, "too many connections that have not said hello yet")
        self._pending[share] += 1
        return share

    def end(self, share):
        """Its handshake is over, one way or the other."""
        self._pending[share] -= 1
        if not self._pending[share]:
            del self._pending[share]

    def admit(self, hello, peer, now_s):
        """The container that this peer belongs to. Raises Refused, with the reason."""
        _check_hello(hello)
        container = self._registry.find(peer.namespace)
        if container is None:
            raise self._stranger(peer)
        if (held := len(container.sessions)) >= self._left():
            raise Refused(errno.ENOSPC, f"container {container.name!r} has {held} sessions already, of the router's"
                                        f" {self._sessions_max}")
        if self._turn[container.name] >= ADMISSIONS_PER_TURN:
            raise Refused(errno.EAGAIN, f"many programs of container {container.name!r} start at once")
        if not self._bucket(container, now_s).take(now_s):
            raise Refused(errno.EAGAIN, f"container {container.name!r} opens more than {ADMISSIONS_PER_S:.0f} sessions"
                                        " a second")
        self._turn[container.name] += 1
        return container

    def end_turn(self):
        """The router's loop has looked at everything else meanwhile."""
        self._turn.clear()

    def _left(self):
        """How many sessions there are still to be had. A container may have as many as are left for all others, as of any
        other object: one alone half of them, a second one half of the rest."""
        return self._sessions_max - sum(len(c.sessions) for c in self._registry)

    def forget(self, container):
        """The container was removed."""
        self._buckets.pop(container.name, None)

    def _stranger(self, peer):
        if reason := self._registry.refusal_of(peer.namespace):
            return Refused(errno.EACCES, f"this container was refused: {reason}")
        if peer.foreign:
            return Refused(errno.EPERM, "this network namespace belongs to another user namespace, so its addresses"
                                        " prove nothing")
        return Refused(errno.EACCES, "this network namespace is not registered: `freeflow container add`, on the host")

    def _bucket(self, container, now_s):
        return self._buckets.setdefault(container.name, Bucket(ADMISSIONS_PER_S, ADMISSIONS_BURST, now_s))


class Bucket:
    """A token bucket that starts full."""

    def __init__(self, rate_per_s, burst, now_s):
        self._rate, self._burst = rate_per_s, burst
        self._tokens, self._filled_s = float(burst), now_s

    def take(self, now_s):
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._rate)
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _check_hello(hello):
    try:
        magic, version = parse_hello(hello)
    except ValueError as error:
        raise Refused(errno.EPROTO, f"that is no hello: {error}") from None
    if magic != MAGIC:
        raise Refused(errno.EPROTO, "that is no FreeFlow library")
    if version != LAYOUT_VERSION:
        raise Refused(errno.EPROTONOSUPPORT, f"the library speaks layout {version} and the router {LAYOUT_VERSION}:"
                                             " use one version of FreeFlow for both")
