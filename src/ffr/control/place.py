"""A router's files: its directory, the lock that makes it the only router of its name, and its sockets' names."""

import fcntl
import os
import shutil
import stat
from contextlib import suppress

from ffcore.paths import is_private, user_directory


class PlaceTaken(Exception):
    """Another router of this name is alive, or a file stands where a socket must. The text is for a person."""


class Place:
    """Holds the lock until close(), which leaves nothing behind."""

    def __init__(self, paths):
        """`paths`: ffcore.paths.RouterPaths. Raises PlaceTaken, OSError."""
        self.paths = paths
        self._is_users = paths.directory == user_directory()
        self._make_directory()
        self._lock = self._locked()
        try:
            self._remove_sockets()  # with the lock in hand, any that are there are a dead router's
        except PlaceTaken:
            os.close(self._lock)
            raise

    def close(self):
        self._remove_sockets()
        shutil.rmtree(self.paths.files, ignore_errors=True)
        self.paths.lock_file.unlink(missing_ok=True)
        os.close(self._lock)
        if self._is_users:
            with suppress(OSError):  # another router of the user's is there
                self.paths.directory.rmdir()

    def _make_directory(self):
        """Raises PlaceTaken, OSError."""
        directory = self.paths.directory
        if not self._is_users:
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            return
        directory.mkdir(mode=0o700, exist_ok=True)
        if not is_private(directory):
            raise PlaceTaken(f"{directory} is not this user's alone: set XDG_RUNTIME_DIR, or name a directory with --dir")

    def _locked(self):
        while True:
            fd = os.open(self.paths.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_nlink:
                    os.truncate(fd, 0)
                    os.write(fd, b"%d\n" % os.getpid())
                    return fd
            except BlockingIOError:
                pid = os.read(fd, 32).decode(errors="replace").strip()
                os.close(fd)
                raise PlaceTaken(f"a router (pid {pid}) runs at {self.paths.session_socket} already: stop it, or name"
                                 " another with --dir or --name") from None
            os.close(fd)  # the router that held it went away while we waited: its file is gone, ours is another

    def _remove_sockets(self):
        for path in (self.paths.session_socket, self.paths.control_socket, self.paths.tcp_socket):
            try:
                if not stat.S_ISSOCK(path.lstat().st_mode):
                    raise PlaceTaken(f"{path} is in the way: it is not a socket")
                path.unlink()
            except FileNotFoundError:
                pass
