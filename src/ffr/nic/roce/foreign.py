"""Peers that know nothing of FreeFlow: they see a container under its virtual address. So the router has a UDP socket
inside the container's network namespace, bound to that address, and what it sends to and takes from such peers goes
through there (docs/roce.md, "Foreign peers").
"""

import logging

from ffr.network.interfaces import inside
from ffr.nic.roce import map as roce_map
from ffr.network.udp import open_socket

log = logging.getLogger(__name__)

BUFFER_BYTES = 2 << 20  # of each, each way: many containers, few foreign peers
NUMBERS = range(1, 1025)  # of the NIC's sockets (ROCE_SOCKETS); 0 is the host's own


class ForeignSockets:
    """One for each address of each registered container, while there are numbers left. Where an address has one, the
    map of the NIC says so (underlay.py)."""

    def __init__(self, wanted=True):
        self._wanted = wanted
        self._free = list(reversed(NUMBERS))
        self._of = {}  # container name -> [(number, address, socket)]

    def add(self, container):
        """Opens them, and closes those of addresses that it has no more. A container that cannot have one (its namespace
        has a RoCE device of its own, say) goes without: then foreign peers are not reached."""
        if not self._wanted:
            return
        mine = self._of.setdefault(container.name, [])
        for one in [one for one in mine if one[1] not in container.addresses]:
            mine.remove(one)
            self._close(*one)
        had = {address for _, address, _ in mine}
        for address in container.addresses:
            if address in had:
                continue
            try:
                mine.append(self._open(container, address))
            except OSError as error:
                log.info("container %s: no peers but FreeFlow's: %s", container.name, error.strerror or error)

    def remove(self, container):
        """Before its namespace is let go. Connections through them get nothing any more."""
        for one in self._of.pop(container.name, ()):
            self._close(*one)

    def number_of(self, address):
        """The NIC's number of the socket that is bound to an address; 0: there is none."""
        return next((n for mine in self._of.values() for n, a, _ in mine if a == address), 0)

    def close(self):
        for name in list(self._of):
            for one in self._of.pop(name):
                self._close(*one)

    def __len__(self):
        return sum(map(len, self._of.values()))

    def _close(self, number, address, one):
        roce_map.set_socket(number, -1, str(address))
        one.close()
        self._free.append(number)

    def _open(self, container, address):
        if not self._free:
            raise OSError(f"all {len(NUMBERS)} sockets are in use")
        with inside(container.namespace.fd):
            one = open_socket(address, BUFFER_BYTES, early=True)
        number = self._free.pop()
        try:
            roce_map.set_socket(number, one.fileno(), str(address))
        except BaseException:
            self._free.append(number)
            one.close()
            raise
        return number, address, one
