"""The control socket: JSON lines, one object each way. Who may: root or the router's own uid, in the router's own pid
namespace. The uid alone would not do: a container's root is uid 0 too, and may see this socket in a shared directory.
"""

import asyncio
import errno
import json
import logging
import os
import socket

from ffr.errors import Refused
from ffr.control.identity import Namespace, peer_process

log = logging.getLogger(__name__)

LINE_MAX = 64 << 10  # bytes of a request
CONNECTIONS_MAX = 64
ERROR_MAX = 400  # characters of an error, which may quote the request
IDLE_S = 300.0  # without a whole line; a client reconnects
WRITE_S = 5.0  # for a client to take its reply
PARTING_S = 1.0  # ... and its last one


class ControlServer:
    """`ops`: name -> (function, {field: type}); a field named with a trailing ? may be absent. A function gets the
    fields as keywords and returns a dict."""

    def __init__(self, path, ops):
        self._path, self._ops = path, ops
        self._connections = 0
        self._server = None

    async def start(self):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.fchmod(listener.fileno(), 0o600)  # bind() makes the file with the socket's mode: never open for a moment
        listener.bind(str(self._path))
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LINE_MAX)

    def close(self):
        if self._server:
            self._server.close()

    async def _serve(self, reader, writer):
        self._connections += 1
        try:
            if refusal := self._refusal(writer.get_extra_info("socket")):
                await _send_last(reader, writer, refusal)
            else:
                await self._answer_lines(reader, writer)
        except (ConnectionError, TimeoutError) as error:
            log.debug("control connection dropped: %r", error)
        finally:
            self._connections -= 1
            writer.transport.abort()  # whatever was not taken by now is not waited for

    async def _answer_lines(self, reader, writer):
        while True:
            try:
                line = await asyncio.wait_for(reader.readline(), IDLE_S)
            except ValueError:  # asyncio's word for a line beyond the limit
                await _send_last(reader, writer, failure(f"a request is at most {LINE_MAX} bytes"))
                return
            if not line.endswith(b"\n"):
                return
            await _send(writer, self.answer(line))

    def answer(self, line):
        """The reply to one request. Errors of the asker's are replies; what else goes wrong is logged as well."""
        try:
            function, fields = self._parse(line)
            return {"ok": True, **function(**fields)}
        except Refused as refusal:
            return failure(refusal.reason)
        except Exception as error:
            log.exception("control request failed")
            return failure(f"the router failed: {error!r}")

    def _parse(self, line):
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            raise Refused(errno.EINVAL, "that is not one line of JSON") from None
        if not isinstance(request, dict):
            raise Refused(errno.EINVAL, "a request is a JSON object")
        op = request.pop("op", None)
        if not isinstance(op, str) or op not in self._ops:
            raise Refused(errno.EINVAL, f"unknown op {op!r}; known are {', '.join(self._ops)}")
        function, types = self._ops[op]
        _check_fields(op, request, types)
        return function, request

    def _refusal(self, sock):
        if self._connections > CONNECTIONS_MAX:
            return failure(f"{CONNECTIONS_MAX} control connections are open already")
        try:
            peer = peer_process(sock)
        except ProcessLookupError:
            return failure("the process that connected is gone")
        if peer.uid not in (0, os.geteuid()):
            return failure("only root and the router's owner may control it")
        if not peer.in_our_pid_namespace:
            unseen = "" if os.geteuid() == 0 else " (a router that is not root's cannot see where root's programs are)"
            return failure("containers may not control the router: ask from the pid namespace that it runs in" + unseen)
        return None


def failure(text):
    return {"ok": False, "error": text[:ERROR_MAX]}


def open_namespace(path):
    """A network namespace by the path in a request. Raises Refused."""
    try:
        return Namespace.of_path(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        text = getattr(error, "strerror", None) or str(error)
        raise Refused(errno.EINVAL, text if path in text else f"{path}: {text}") from None


def _check_fields(op, fields, types):
    for name, wanted in types.items():
        if name.endswith("?") and name[:-1] not in fields:
            continue
        value = fields.get(name.rstrip("?"))
        if not isinstance(value, wanted):
            raise Refused(errno.EINVAL, f"{op}: {name.rstrip('?')} must be a {wanted.__name__}")
        if wanted is list and not all(isinstance(item, str) for item in value):
            raise Refused(errno.EINVAL, f"{op}: {name.rstrip('?')} must be a list of strings")
    unknown = set(fields) - {name.rstrip("?") for name in types}
    if unknown:
        raise Refused(errno.EINVAL, f"{op}: unknown fields {', '.join(sorted(unknown))}")


async def _send(writer, reply):
    writer.write(json.dumps(reply).encode() + b"\n")
    await asyncio.wait_for(writer.drain(), WRITE_S)


async def _send_last(reader, writer, reply):
    """A socket closed with input unread resets its peer, which would then not read this."""
    await _send(writer, reply)
    writer.write_eof()
    async with asyncio.timeout(PARTING_S):
        while await reader.read(LINE_MAX):
            pass
