"""A router for the programs of one user that `freeflow run` has started, and for no longer than they run.

Who runs it: the programs hold a shared lock on NAME.held, which their children inherit; the router looks whether anybody
does. So nobody has to stand between `freeflow run` and its program, and a program that is killed lets go as well.

Who tidies up: the router, and where it was killed, its keeper: a process that waits for it and does nothing else.
"""

import asyncio
import fcntl
import os
import shutil

from ffr.control.counters import sweep
from ffr.control.place import Place, PlaceTaken

LOOK_S = 0.4
LOOKS = 2  # in vain, one after the other: a program that has closed what it does not know may be opening its session


class Held:
    def __init__(self, paths):
        """Raises OSError: without the file nobody can hold it."""
        self._path = paths.held_file
        self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    async def let_go(self, sessions):
        """Returns when nobody holds it and there are no sessions. From then on nobody can: who wants to makes a new one."""
        vain = 0
        while vain < LOOKS:
            await asyncio.sleep(LOOK_S)
            vain = vain + 1 if not len(sessions) and self._is_free(keep=vain + 1 == LOOKS) else 0

    def close(self):
        _unlink_same(self._path, self._fd)
        os.close(self._fd)

    def _is_free(self, keep):
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not keep:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        return True


def detach(paths):
    """Returns in a process of its own, which becomes the router and is nobody's child but its keeper's: the caller's
    process ends, so that whoever started it can become another program without children that it does not know."""
    if os.fork():
        os._exit(0)
    router = os.fork()
    if router:
        _keep(router, paths)


def _keep(router, paths):
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)  # the router's starter reads until its end
    _, status = os.waitpid(router, 0)
    if os.WIFSIGNALED(status):
        _remove_left(paths)
    os._exit(0)


def _remove_left(paths):
    """A killed router's files, unless another one has taken the place."""
    sweep()
    try:
        place = Place(paths)
    except (PlaceTaken, OSError):
        return
    shutil.rmtree(paths.port_counters, ignore_errors=True)
    for path in (paths.held_file, paths.log_file):
        path.unlink(missing_ok=True)
    place.close()


def _unlink_same(path, fd):
    try:
        found, ours = path.lstat(), os.fstat(fd)
    except FileNotFoundError:
        return
    if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
        path.unlink()
