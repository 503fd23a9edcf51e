"""What a session shares with the router: two sealed memfds and the eventfd that wakes a sleeping router."""

import fcntl
import os

# linux/fcntl.h; Python's fcntl names them on most builds, not on all
F_ADD_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW = 1033, 1, 2, 4


class Segments:
    """The descriptors of one session: control, memory, event. Close it, or use it with `with`."""

    def __init__(self, control_bytes, memory_bytes):
        """Sizes in bytes; sparse, so nothing is used up yet. Raises OSError."""
        self.fds = []
        try:
            self.fds.append(_sealed("freeflow-control", control_bytes))
            self.fds.append(_sealed("freeflow-memory", memory_bytes))
            self.fds.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        except OSError:
            self.close()
            raise

    def close(self):
        while self.fds:
            os.close(self.fds.pop())

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def _sealed(name, size):
    """Of a fixed size for ever: a container that could shrink it would have the router killed by SIGBUS."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
    except OSError:
        os.close(fd)
        raise
    return fd
