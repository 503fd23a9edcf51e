"""Client of a router's control socket: one JSON object per line each way.

    with Control() as router:
        router.call("container.add", name="web", netns="/proc/4711/ns/net", addresses=["10.32.1.1"])
"""

import json
import socket

from ffcore.paths import RouterPaths
from freeflow.errors import FreeFlowError, RouterRefused, RouterUnreachable

TIMEOUT_S = 5.0
REPLY_MAX = 64 << 20  # bytes; `sessions` of a full router is under 1 MiB, so more is not a router


class Control:
    """One connection to a router. Not to be shared between threads."""

    def __init__(self, directory=None, name=None, timeout_s=TIMEOUT_S):
        """The router of FREEFLOW_DIR and FFR_NAME unless told otherwise. Raises RouterUnreachable."""
        try:
            self.paths = RouterPaths.of(directory, name)
        except ValueError as error:
            raise FreeFlowError(str(error)) from None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(self.paths.control_socket))
        except OSError as error:
            self._socket.close()
            raise RouterUnreachable(_why_unreachable(self.paths, error)) from None
        self._replies = self._socket.makefile("rb")

    def call(self, op, **fields):
        """Asks for one op. Returns the reply's fields; raises RouterRefused with the router's own words."""
        try:
            self._socket.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
            line = self._replies.readline(REPLY_MAX)
        except OSError as error:
            raise RouterUnreachable(f"the router at {self.paths.control_socket} stopped answering: {error}") from None
        if not line.endswith(b"\n"):
            raise RouterUnreachable(f"the router at {self.paths.control_socket} hung up")
        try:
            reply = json.loads(line)
            if reply.pop("ok"):
                return reply
            refusal = reply["error"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RouterUnreachable(f"what answers at {self.paths.control_socket} is not a router") from None
        raise RouterRefused(refusal)

    def close(self):
        self._replies.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def _why_unreachable(paths, error):
    path = paths.control_socket
    if isinstance(error, FileNotFoundError):
        return f"no router at {path}: start one with `freeflow router`, or set FREEFLOW_DIR and FFR_NAME (a lab's: freeflow lab exec h1 -- freeflow …)"
    if isinstance(error, ConnectionRefusedError):
        return f"the router at {path} is dead: start one with `freeflow router`"
    if isinstance(error, PermissionError):
        return f"{path} is the router owner's alone: use that account, or root, on the host"
    return f"cannot reach the router at {path}: {error}"
