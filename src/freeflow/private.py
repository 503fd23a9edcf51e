"""The router that `freeflow run` starts where there is none: for this user's programs in this network namespace, for as
long as they run. What it is on the router's side says src/ffr/control/private.py.

All of a user's `freeflow run` share it, so that two programs started in two terminals find each other.
"""

import fcntl
import os
import subprocess
import sys
import time
from contextlib import suppress

from ffcore.paths import RouterPaths, is_private
from freeflow.launch import LaunchError, is_alive, plain, router_at

WAIT_S = 20.0  # for a router to start, or to finish ending
LOOK_S = 0.02
HOLD_AT = 200  # descriptors from here on: low numbers are those that programs count on


def router_for(directory=None, name=None):
    """RouterPaths of the router that is meant; where none is named and there is none, the private one. Raises LaunchError."""
    named = directory or name or os.environ.get("FREEFLOW_DIR") or os.environ.get("FFR_NAME")
    if named or RouterPaths.of().session_socket.is_socket():
        return router_at(directory, name)
    return join()


def join():
    """RouterPaths of the private router, which is started if need be and lives for as long as this process, what it
    becomes, or a child of theirs does. Raises LaunchError."""
    try:
        paths = RouterPaths.private()
        _make(paths.directory)
    except (ValueError, OSError) as error:
        raise LaunchError(f"no router, and no place for one of your own: {error}") from None
    deadline, why = time.monotonic() + WAIT_S, "it does not answer"
    while time.monotonic() < deadline:
        if not _hold(paths):
            time.sleep(LOOK_S)  # another one's is just ending
        elif is_alive(paths.session_socket) or not (why := _start(paths)):
            return paths
        elif "already" not in why:  # else: somebody was faster
            break
    raise LaunchError(f"no router, and one of your own does not start: {why}")


def _make(directory):
    directory.mkdir(mode=0o700, exist_ok=True)
    if not is_private(directory):
        raise ValueError(f"{directory} is not yours alone; set XDG_RUNTIME_DIR to a directory that is")


def _hold(paths):
    """Takes the lock that keeps the router alive, for this process and all that inherit the descriptor. False: not now."""
    with suppress(FileNotFoundError):  # the directory went with the router that was in it
        paths.directory.mkdir(mode=0o700, exist_ok=True)
        opened = os.open(paths.held_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            found, ours = os.stat(paths.held_file), os.fstat(opened)
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                os.set_inheritable(fcntl.fcntl(opened, fcntl.F_DUPFD, HOLD_AT), True)
                return True
        except BlockingIOError:
            pass
        finally:
            os.close(opened)
    return False


def _start(paths):
    """None, or why there is none: the router's last line."""
    arguments = [sys.executable, "-m", "ffr.control.daemon", "--dir", str(paths.directory), "--name", paths.name, "--held",
                 "--nic", "local"]
    with open(paths.log_file, "ab") as log:
        router = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd="/",
                                  env=plain(os.environ), start_new_session=True)
    said = router.stdout.readline().decode(errors="replace")
    router.stdout.close()
    router.wait()
    if "ready" in said:
        return None
    with suppress(OSError):
        lines = paths.log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("freeflow router: ") if lines else "it said nothing"
    return "it said nothing"
