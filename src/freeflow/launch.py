"""Starting a program with FreeFlow in it: its environment, and the exec. For `freeflow run` and `freeflow lab exec`."""

import errno
import os
import shutil
import socket
from pathlib import Path

from ffcore.paths import RouterPaths
from freeflow.errors import FreeFlowError

VERBS_LIBRARY = "libibverbs.so.1"
VERBS_LINK = "libibverbs.so"  # beside it, for programs that load it by this name (src/ffl/session/names.c)
SOCKET_LIBRARY = "libfsocket.so.1"
FILES_LIBRARY = "libffiles.so.1"
BUILT = Path(__file__).resolve().parent.parent / "ffl" / "lib"
OURS = ("FREEFLOW_DIR", "FFR_NAME", "FREEFLOW_FILES", "VNET_PREFIX", "HOST_IP_PREFIX")

ALIVE_S = 3.0  # for a router to take a connection

# What a shell, env(1) and container runtimes answer when the program itself never ran.
LAUNCHER_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127


class LaunchError(FreeFlowError):
    """The program was not started. status: the exit status that says so."""

    def __init__(self, text, status=LAUNCHER_FAILED):
        super().__init__(text)
        self.status = status


def router_at(directory=None, name=None):
    """RouterPaths of the router that is meant, which must be there. Raises LaunchError."""
    try:
        router = RouterPaths.of(directory, name)
    except ValueError as error:
        raise LaunchError(str(error)) from None
    if not router.session_socket.is_socket():
        raise LaunchError(f"no router at {router.session_socket}: start one with `freeflow router`, or set FREEFLOW_DIR "
                          "and FFR_NAME to where it is (`freeflow doctor` looks closer)")
    if not is_alive(router.session_socket):
        raise LaunchError(f"the router at {router.session_socket} has ended: start it again with `freeflow router`")
    return router


def is_alive(path):
    """Whether somebody listens on that session socket: a dead router's is still there. One that is stopped, or that many ask
    at once, is alive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
        asked.settimeout(ALIVE_S)
        try:
            asked.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            pass
    return True


def environment(router, base, tcp=False, files=None):
    """`base` (a dict) with what makes a program use the router at `router` (RouterPaths).

    The library is found both by preload (which alone lets it stand before a program's own calls) and by search path
    (for programs that start others with a clean LD_PRELOAD). tcp: sockets go through FreeFlow too. files: where the device's files are, if not in their own place
    (device_files.provide). Raises LaunchError.
    """
    names = ([SOCKET_LIBRARY] if tcp else []) + ([FILES_LIBRARY] if files else []) + [VERBS_LIBRARY]
    libraries = [find_library(router.directory, name) for name in names]
    changed = dict(base)
    if files:
        changed["FREEFLOW_FILES"] = str(files)
    changed["FREEFLOW_DIR"], changed["FFR_NAME"] = str(router.directory), router.name
    changed["LD_PRELOAD"] = _ahead(libraries, base.get("LD_PRELOAD", "").replace(" ", ":"))
    changed["LD_LIBRARY_PATH"] = _ahead([libraries[-1].parent], base.get("LD_LIBRARY_PATH", ""))
    return changed


def plain(base):
    """`base` without FreeFlow, should the caller itself run with it."""
    changed = {key: value for key, value in base.items() if key not in OURS}
    for variable in ("LD_PRELOAD", "LD_LIBRARY_PATH"):
        entries = [entry for entry in base.get(variable, "").replace(" ", ":").split(":")
                   if entry and Path(entry).name not in (VERBS_LIBRARY, SOCKET_LIBRARY, FILES_LIBRARY)
                   and not Path(entry, VERBS_LIBRARY).exists()]
        changed[variable] = ":".join(entries)
        if not entries:
            del changed[variable]
    return changed


def _ahead(ours, others):
    texts = [str(path) for path in ours]
    for text in texts:
        if ":" in text or " " in text:
            raise LaunchError(f"{text}: LD_PRELOAD cannot name a path with colons or spaces; set FREEFLOW_DIR to another")
    return ":".join(texts + [entry for entry in others.split(":") if entry and entry not in texts])


def find_library(directory, name):
    """Beside the router, where every user can read it; else where it was built. Raises LaunchError."""
    for candidate in (Path(directory, name), BUILT / name):
        if candidate.exists():
            return candidate
    raise LaunchError(f"{name} is neither in {directory} nor built: run `make build`")


def replace_by(command, variables):
    """execvpe, with a shell's answers when it fails. Raises LaunchError; returns never."""
    name = command[0]
    path = name if "/" in name else shutil.which(name, path=variables.get("PATH", os.defpath))
    if not path:
        raise LaunchError(f"{name}: command not found", NOT_FOUND)
    try:
        os.execve(path, command, variables)
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script that names no interpreter is the shell's (POSIX, execvp)
            os.execve("/bin/sh", ["sh", path, *command[1:]], variables)
        raise LaunchError(f"{path}: {error.strerror}",
                          NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE) from None
