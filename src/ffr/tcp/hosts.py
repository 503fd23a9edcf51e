"""The other hosts' brokers: which there are, and the control links to and from each.

A control link is made by who asks on it. Both ends prove that they know the hosts' key, which whoever runs the hosts
gives to each router (`freeflow router --key FILE`); without a key no links are made, and connections to
other hosts stay on the overlay. What a link carries is not encrypted, as the hosts' own traffic is not.
"""

import asyncio
import logging
import os
import socket

from ffr.network.addresses import gid
from ffr.network.greeting import Greeting, family, prepare

log = logging.getLogger(__name__)

CONTROL_PORT, DATA_PORT = 4791, 4792  # of TCP (peer.h)
HELLO = b"freeflow tcp 1\n"
PROVE_S = 2.0
LOOK_S = 0.25  # how soon a link that broke is seen
RETRY_MAX_S = 4.0  # between attempts at a host that does not answer
BACKLOG = 256


class Hosts:
    """Belongs to the router's asyncio loop. broker: what has open_links, place, add_link, drop_host, linked."""

    def __init__(self, broker, fence):
        """fence: within which the data links' sockets are made (fence.py)."""
        self._broker, self._fence = broker, fence
        self._greeting = None
        self.own = None  # this host's address among the hosts
        self._listening = None
        self._counts = {}  # host -> virtual addresses behind it
        self._places = {}  # virtual address -> host
        self._tasks = {}
        self._started = False

    def start(self):
        """When the broker runs."""
        self._started = True
        self._begin()

    def set_key(self, key):
        """The hosts' common secret, bytes. Raises ValueError."""
        self._greeting = Greeting(key, HELLO)
        self._begin()

    def set_own(self, address):
        if address != self.own:
            self.own = address
            self._begin()

    def moved(self, changes):
        """{virtual address: the other host that it is behind, or anything else for none}: ipaddress objects."""
        for address, host in changes.items():
            self._move(address, host if hasattr(host, "packed") and host not in (self.own, address) else None)

    def close(self):
        for task in [*self._tasks.values(), self._listening]:
            if task:
                task.cancel()

    def status(self):
        """{other host: whether it can be asked}; empty without a key."""
        return {str(host): self._broker.linked(gid(host)) for host in self._tasks}

    def _move(self, address, host):
        before = self._places.pop(address, None)
        if host is not None:
            self._places[address] = host
            self._counts[host] = self._counts.get(host, 0) + 1
        try:
            self._broker.place(gid(address), gid(host) if host is not None else None)
        except ValueError as error:
            log.error("TCP mode leaves %s on the overlay: %s", address, error)
        if before is not None:
            self._counts[before] -= 1
            if not self._counts[before]:
                self._forget(before)
        self._begin()

    def _forget(self, host):
        del self._counts[host]
        if task := self._tasks.pop(host, None):
            task.cancel()
        self._broker.drop_host(gid(host))

    def _begin(self):
        if not self._started or not self._greeting or not self.own or not self._counts:
            return
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        for host in self._counts:
            if host not in self._tasks:
                self._tasks[host] = asyncio.create_task(self._keep_linked(host))

    # ---- for what others ask ----

    async def _listen(self):
        try:
            with self._fence.inside(), _listener(self.own, DATA_PORT) as door:
                door.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 2)  # seconds: links say the secret at once
                self._broker.open_links(gid(self.own), door.fileno())
            with _listener(self.own, CONTROL_PORT) as control:
                while True:
                    one, address = await asyncio.get_running_loop().sock_accept(control)
                    asyncio.create_task(self._admit(one, address[0]))
        except OSError as error:
            log.warning("connections to other hosts stay on the overlay: %s", error)

    async def _admit(self, one, text):
        """Who calls is a host of the map, and knows the key."""
        with one:
            host = next((h for h in self._counts if str(h) == text), None)
            if host is None:
                return
            try:
                secret = await asyncio.wait_for(self._answer(one, host), PROVE_S)
                self._broker.add_link(gid(host), False, one.fileno(), secret)
            except (OSError, ValueError, EOFError, TimeoutError) as error:
                log.info("no link from %s: %s", host, error or type(error).__name__)

    async def _answer(self, one, host):
        prepare(one)
        return await self._greeting.answer(one, self.own, host)

    # ---- for what is asked ----

    async def _keep_linked(self, host):
        wait_s = LOOK_S
        while True:
            if not self._broker.linked(gid(host)):
                try:
                    await asyncio.wait_for(self._link(host), PROVE_S)
                    log.info("linked with %s", host)
                    wait_s = LOOK_S
                except (OSError, ValueError, EOFError, TimeoutError) as error:
                    log.info("no link with %s: %s", host, error or type(error).__name__)
                    wait_s = min(wait_s * 2, RETRY_MAX_S)
            await asyncio.sleep(wait_s)

    async def _link(self, host):
        loop = asyncio.get_running_loop()
        with socket.socket(family(host), socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as one:
            one.bind((str(self.own), 0))
            await loop.sock_connect(one, (str(host), CONTROL_PORT))
            prepare(one)
            self._broker.add_link(gid(host), True, one.fileno(), await self._greeting.ask(one, self.own, host))


def _listener(address, port):
    """For data links an IPv6 socket in any case: link.pyx says why."""
    mapped = port == DATA_PORT and address.version == 4 and socket.has_dualstack_ipv6()
    one = socket.socket(socket.AF_INET6 if mapped else family(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if mapped:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((f"::ffff:{address}" if mapped else str(address), port))
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise OSError(error.errno, f"TCP port {port} of {address}: {os.strerror(error.errno)}") from None
    return one
