"""Containers' addresses and ports follow their interfaces: looked at when a container is registered, and after each change
in its namespace.
"""

import asyncio
import logging

from ffr.network import addresses as ip
from ffr.network.interfaces import Interfaces, Watch

log = logging.getLogger(__name__)


class Following:
    """changed(container, before, links_changed): its table of addresses was `before` and is another one now, or its port
    went up or down, or its links carry more or less."""

    def __init__(self, registry, hosts, changed):
        self._registry, self._hosts, self._changed = registry, hosts, changed
        self._watches = {}  # container name -> Watch

    def add(self, container):
        """From now on. A first look, of which nobody is told. Where this process may not look into the namespace, the
        registration's word stands."""
        if container.name in self._watches:
            return
        try:
            self._watches[container.name] = Watch(asyncio.get_running_loop(),
                                                  None if container.is_host else container.namespace.fd,
                                                  lambda: self.look(container))
        except OSError as error:
            log.info("container %s: its addresses stay as registered: %s", container.name, error)
        self.read(container)

    def remove(self, container):
        if watch := self._watches.pop(container.name, None):
            watch.close()

    def close(self):
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()

    def hasten(self, container):
        """Looks now if a change waits to be looked at."""
        if watch := self._watches.get(container.name):
            watch.hasten()

    def look(self, container):
        table, links = container.table, container.links
        self.read(container)
        if table != container.table or links != container.links:
            self._changed(container, table, links != container.links)

    def again(self, addresses):
        """Somebody got these, or has them no more: who took them, or would have, is looked at."""
        for container in self._registry.affected(set(addresses)):
            self.look(container)

    def read(self, container):
        """Without telling anybody."""
        try:
            with Interfaces(None if container.is_host else container.namespace.fd) as there:
                found = there.addresses()
                if container.is_host and not found:
                    found = {ip.LOOPBACK: 0}
                self._registry.follow(container, found, lambda address: not self._hosts.is_elsewhere(address), there.link)
        except OSError as error:
            log.info("container %s: its interfaces are not to be seen: %s", container.name, error)
        if container.ignored and not container.is_host:
            log.info("container %s: not its addresses: %s", container.name, ", ".join(map(str, container.ignored)))
