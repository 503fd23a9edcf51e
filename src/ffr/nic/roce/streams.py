"""The streams to the other routers, made and made anew: one TCP connection for each, whose two ends prove that they know the hosts'
key (ffr/network/greeting.py). Of two hosts the one with the lower address calls. What goes over them is the reactor's affair
(link/stream.pxd); when one breaks, it says so, and another one is made here.
"""

import asyncio
import logging
import os
import socket

from ffr.network.greeting import Greeting, family, prepare
from ffr.nic.roce import map as roce_map

log = logging.getLogger(__name__)

PORT = 4793  # of TCP; 4791 and 4792 are TCP mode's
HELLO = b"freeflow stream 1\n"  # another version's router has another one, and is not reached
PROVE_S = 2.0
LOOK_S = 0.02  # how soon a stream that broke is seen: QPs wait for it, and most wait half a second at least
RETRY_MAX_S = 1.0  # between attempts at a host that does not answer
BACKLOG = 256
SEND_BYTES, RECEIVE_BYTES = 1 << 20, 4 << 20  # of the kernel's, each stream
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h
CONGESTION = b"cubic"  # a machine's default may be slow where nothing is lost: bbr carries a third over a veth


class Streams:
    """Belongs to the router's asyncio loop."""

    def __init__(self, key):
        """key: the hosts' common secret, bytes. Raises ValueError."""
        self._greeting = Greeting(key, HELLO)
        self._own = None
        self._listening = None
        self._tasks = {}  # other host -> who keeps its stream
        self._sockets = {}  # other host -> its stream

    def open(self, own):
        """This host is `own` among the others."""
        if own == self._own:
            return
        self.close()
        self._own = own
        self._listening = asyncio.create_task(self._listen(own))

    def measure(self, hosts):
        """These are the others now."""
        for host in [host for host in self._tasks if host not in hosts]:
            self._tasks.pop(host).cancel()
            self._drop(host)
        for host in hosts:
            if self._own and host != self._own and host not in self._tasks:
                self._tasks[host] = asyncio.create_task(self._keep(host))

    def close(self):
        for task in [*self._tasks.values(), self._listening]:
            if task:
                task.cancel()
        self._tasks.clear()
        for host in list(self._sockets):
            self._drop(host)

    def status(self):
        """{other host: whether its stream is up}"""
        return {str(host): host in self._sockets and roce_map.is_whole(str(host)) for host in self._tasks}

    def _drop(self, host):
        if one := self._sockets.pop(host, None):
            roce_map.set_stream(str(host), -1)
            one.close()

    def _adopt(self, host, one):
        """It replaces the one before. Raises OSError."""
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION)
        for force, ask, size in ((SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BYTES), (SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_BYTES)):
            try:
                one.setsockopt(socket.SOL_SOCKET, force, size)
            except PermissionError:
                one.setsockopt(socket.SOL_SOCKET, ask, size)  # as much as net.core.*mem_max allows
        self._drop(host)
        roce_map.set_stream(str(host), one.fileno())
        self._sockets[host] = one
        log.info("a stream with %s", host)

    async def _keep(self, host):
        wait_s = LOOK_S
        while True:
            if host in self._sockets and not roce_map.is_whole(str(host)):
                log.info("the stream with %s broke", host)
                self._drop(host)
            if host not in self._sockets and self._own.packed < host.packed:
                try:
                    await asyncio.wait_for(self._call(host), PROVE_S)
                    wait_s = LOOK_S
                except (OSError, ValueError, EOFError, TimeoutError) as error:
                    log.info("no stream with %s: %s", host, error or type(error).__name__)
                    wait_s = min(wait_s * 2, RETRY_MAX_S)
            await asyncio.sleep(wait_s)

    async def _call(self, host):
        one = socket.socket(family(host), socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            one.bind((str(self._own), 0))
            await asyncio.get_running_loop().sock_connect(one, (str(host), PORT))
            prepare(one)
            await self._greeting.ask(one, self._own, host)
            self._adopt(host, one)
        except BaseException:
            one.close()
            raise

    async def _listen(self, own):
        try:
            with _listener(own) as door:
                while True:
                    one, address = await asyncio.get_running_loop().sock_accept(door)
                    asyncio.create_task(self._admit(one, address[0]))
        except OSError as error:
            log.error("other hosts are not reached: %s", error)

    async def _admit(self, one, text):
        """Who calls is a host of the map, and knows the key."""
        host = next((host for host in self._tasks if str(host) == text), None)
        try:
            if host is None:
                raise ValueError("it is no host of the map")
            prepare(one)
            await asyncio.wait_for(self._greeting.answer(one, self._own, host), PROVE_S)
            self._adopt(host, one)
        except (OSError, ValueError, EOFError, TimeoutError) as error:
            one.close()
            log.info("no stream from %s: %s", text, error or type(error).__name__)


def _listener(own):
    one = socket.socket(family(own), socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((str(own), PORT))
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise OSError(error.errno, f"TCP port {PORT} of {own}: {os.strerror(error.errno)}") from None
    return one
