"""Maps programs' shared memory for the reactor, which never waits, and unmaps what its MRs have given up.

A thread for each registration, one at most for a session: to look into a process means to wait for locks of its address
space, and a program that keeps them waits for itself alone.
"""

import contextlib
import errno
import logging
import os
import threading

from ffcore.handshake import WHY
from ffr.control import shared_memory
from ffr.control.shared_memory import NotShared
from ffr.mem import mappings

log = logging.getLogger(__name__)

WAIT_S = 5.0  # then the program hears that nothing comes


class Mapper:
    """Belongs to the event loop. `process_of(number)`: (pid, pidfd) of a session, None when it is gone."""

    def __init__(self, loop, reactor, process_of):
        self._loop, self._reactor, self._process_of = loop, reactor, process_of
        self._at_it = set()  # sessions whose thread has not come back
        loop.add_reader(reactor.mapper_fd, self._look)

    def close(self):
        self._loop.remove_reader(self._reactor.mapper_fd)

    def _look(self):
        try:
            os.eventfd_read(self._reactor.mapper_fd)
        except BlockingIOError:
            pass
        while True:
            try:
                asked, unwanted = self._reactor.wanted()
            except TimeoutError as error:
                log.warning("cannot ask what to map: %s", error)
                self._loop.call_later(1, self._look)
                return
            if unwanted:
                threading.Thread(target=_unmap, args=(unwanted,), name="unmapper", daemon=True).start()
            for number, ticket, writable, pieces in asked:
                self._begin(number, ticket, writable, pieces)
            if not asked and not unwanted:
                return

    def _begin(self, number, ticket, writable, pieces):
        process = self._process_of(number)
        if process is None:
            return  # its end is under way
        if process[1] < 0:
            self._answer(number, ticket, error=errno.EOPNOTSUPP, why=WHY["UNSEEN"])
            return
        if number in self._at_it:
            self._answer(number, ticket, error=errno.EAGAIN, why=WHY["SLOW"])
            return
        self._at_it.add(number)
        pid, pidfd = process[0], os.dup(process[1])
        late = self._loop.call_later(WAIT_S, self._answer, number, ticket, (), errno.EAGAIN, WHY["SLOW"])
        threading.Thread(target=self._work, args=(number, ticket, writable, pieces, pid, pidfd, late),
                         name=f"mapper-{number}", daemon=True).start()

    def _work(self, number, ticket, writable, pieces, pid, pidfd, late):
        done, error, why = [], 0, 0
        try:
            for extent, address, length in pieces:
                done.append((extent, *self._map(pid, pidfd, address, length, writable)))
        except NotShared as refused:
            log.info("session %d: memory at %#x: %s", number, address, refused.reason)
            error, why = refused.errno, refused.why
        except OSError as failed:
            log.info("session %d: memory at %#x: %s", number, address, failed)
            error = failed.errno or errno.EIO
        finally:
            os.close(pidfd)
        if error:
            _unmap([mapping[6:8] for mapping in done])
            done = []
        self._at_it.discard(number)  # first: the program may go on, and register more, before this thread does
        if not self._answer(number, ticket, done, error, why):
            _unmap([mapping[6:8] for mapping in done])
        with contextlib.suppress(RuntimeError):  # the router has ended meanwhile
            self._loop.call_soon_threadsafe(late.cancel)

    def _map(self, pid, pidfd, address, length, writable):
        """(device, inode, offset, length, writable, address here, size, bytes before the offset)."""
        found = shared_memory.find(pid, pidfd, address, length, writable)
        if found.fd < 0:
            return self._attach(found, writable)
        try:
            at, size, skip = mappings.map_file(found.fd, found.offset, length, found.page, writable,
                                               -1 if found.whole else self._reactor.uffd)
        except PermissionError:
            raise NotShared(errno.EOPNOTSUPP, "SEALED", "its seals forbid what is asked") from None
        finally:
            os.close(found.fd)
        return os.makedev(*found.device), found.inode, found.offset, length, writable, at, size, skip

    def _attach(self, found, writable):
        """A SysV segment, as _map."""
        at, size = mappings.attach(found.inode, writable)
        if found.offset + found.length > size:
            _unmap([(at, size)])
            raise NotShared(errno.EFAULT, "SHORT", f"the range ends behind the segment's {size} bytes")
        return os.makedev(*found.device), found.inode, found.offset, found.length, writable, at, size, found.offset

    def _answer(self, number, ticket, done=(), error=0, why=0):
        try:
            return self._reactor.mapped(number, ticket, done, error, why)
        except TimeoutError as late:
            log.warning("session %d: cannot answer a registration: %s", number, late)
            return False


def _unmap(places):
    for at, size in places:
        mappings.unmap(at, size)
