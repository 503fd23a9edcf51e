"""The sessions that exist: made for an admitted peer, given to the reactor, forgotten when the reactor reports them."""

import errno
import logging
import os
from contextlib import ExitStack

from ffr.errors import Refused
from ffr.control.identity import peer_pidfd
from ffr.control.segments import Segments
from ffr.policy.memory import allowed_bytes

log = logging.getLogger(__name__)


class Sessions:
    """The Python side of a session: its container and its grant. Everything else of it is the reactor's."""

    def __init__(self, reactor, policies, on_ended=lambda container, number: None, party_of=lambda container: 0, rates=None):
        """on_ended: called before the number of a session that has ended is anybody else's. party_of: the number of a
        container's party. rates: a RatesInForce."""
        self._reactor = reactor
        self._policies = policies
        self._on_ended = on_ended
        self._party_of, self._rates = party_of, rates
        self._late = set()  # numbers that the reactor had no time to hear new limits of
        self._open = {}  # number -> (container, Grant, pid, pidfd)

    def __len__(self):
        return len(self._open)

    def open(self, container, sock, pid):
        """Makes a session. Returns (number, limits, Segments); the caller closes its `sock` and the Segments, which
        the reactor has descriptors of its own for. Raises Refused."""
        self.reap()  # a number that the reactor gives out again must not still be somebody's here
        grant = self._policies.admit(container, allowed_bytes(pid))
        if self._rates:
            self._rates.prepare(container)
        try:
            number, segments = self._attach(container, sock, pid, grant.limits)
        except (OSError, ValueError) as error:  # ValueError: limits that the reactor cannot have
            self._policies.release(container, grant)
            raise Refused(getattr(error, "errno", None) or errno.ENOMEM,
                          f"the router cannot take one more session: {error}") from None
        self._open[number] = (container, grant, pid, _hold(sock, pid))
        container.sessions.add(number)
        if self._rates:
            self._rates.opened(number, container)
        log.info("session %d: container %s, pid %d", number, container.name, pid)
        return number, grant.limits, segments

    def end_all(self, container, error):
        """Ends a container's sessions; their programs see `error`, an errno."""
        for number in container.sessions:
            self._reactor.detach(number, error)

    def set_gids(self, container):
        """Its programs' tables follow, and an event tells them (IBV_EVENT_GID_CHANGE)."""
        self._tell(container, lambda number: self._reactor.set_gids(number, container.gids))

    def set_port(self, container):
        """What is known of its links; its programs hear when the port went up or down (IBV_EVENT_PORT_ACTIVE, PORT_ERR)."""
        self._tell(container, lambda number: self._reactor.set_port(number, container.port_up, container.mtus))

    def _tell(self, container, tell):
        for number in list(container.sessions):
            try:
                tell(number)
            except TimeoutError as error:  # the next change brings it along
                log.warning("session %d hears nothing of its container's addresses: %s", number, error)

    def set_policy(self, settings):
        """Other policies; sessions that exist follow, and keep what they have. Raises ValueError, having changed nothing."""
        self.reap()
        before = {number: dict(grant.limits) for number, (_, grant, _, _) in self._open.items()}
        self._policies.replace(settings, [(container, grant) for container, grant, _, _ in self._open.values()])
        for number, (_, grant, _, _) in self._open.items():
            if grant.limits == before[number] and number not in self._late:
                continue
            try:
                self._reactor.set_limits(number, grant.limits)
                self._late.discard(number)
            except TimeoutError as error:  # the next change brings them along
                self._late.add(number)
                log.warning("session %d keeps its limits: %s", number, error)

    def limits_of(self, container):
        """(limits of each of its sessions, by number; which record says what)."""
        return {number: self._open[number][1].limits for number in container.sessions}, self._policies.records(container)

    def containers(self):
        """(number, container) of each."""
        return [(number, container) for number, (container, *_) in self._open.items()]

    def reap(self):
        """Forgets the sessions that the reactor has ended."""
        for number in self._reactor.reaped():
            container, grant, _, pidfd = self._open.pop(number)
            self._late.discard(number)
            if pidfd >= 0:
                os.close(pidfd)
            self._on_ended(container, number)
            container.sessions.discard(number)
            self._policies.release(container, grant)
            log.info("session %d: ended", number)

    def process_of(self, number):
        """(pid, pidfd) of a session's process; None when the session is gone. Negative: nobody can look at that process."""
        session = self._open.get(number)
        return session and session[2:]

    def describe(self):
        return self._reactor.sessions()

    def _attach(self, container, sock, pid, limits):
        """The reactor's descriptors are duplicates: it may close them (the program may be gone) before we have sent
        the welcome, and a closed number could be somebody else's by then."""
        with ExitStack() as undo:
            segments = undo.enter_context(Segments(limits["control_bytes"], limits["memory_bytes"]))
            given = []
            undo.callback(lambda: [os.close(fd) for fd in given])
            for fd in (sock.fileno(), *segments.fds):
                given.append(os.dup(fd))  # close-on-exec, as all of Python's
            number = self._reactor.attach(*given, container.gids, limits, container.name, pid, container.guid,
                                          container.port_up, container.mtus, self._party_of(container),
                                          self._rates.buckets_of(container) if self._rates else (0, 0, 0))
            undo.pop_all()
        return number, segments


def _hold(sock, pid):
    """While it is held, what has the number pid is this process, or nothing. -1: it is not visible from here, or gone."""
    try:
        return peer_pidfd(sock, pid) if pid else -1
    except OSError:
        return -1
