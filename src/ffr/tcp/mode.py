"""TCP mode as a part of the router: the broker, kept to what the registry and the map say."""

import hashlib
import logging
from itertools import islice

from ffr.control.registry import HOST
from ffr.tcp.fence import Fence
from ffr.tcp.hosts import Hosts

log = logging.getLogger(__name__)

ANY = 0  # of tenants' numbers
TENANT_PAIRS_MAX = 1 << 17  # of all rules, that are looked at; the broker keeps half as many


class TcpMode:
    """Without the rights that it needs (CAP_SYS_ADMIN, to look into containers' namespaces) it serves nobody, and
    sockets stay on the overlay."""

    def __init__(self, path, registry, key=None):
        """key: see hosts.py."""
        from ffr.tcp.broker import Broker  # here, so that the control room's tests need no compiled modules
        self._broker = Broker(path)
        self._fence = Fence()
        self.hosts = Hosts(self._broker, self._fence)
        if key is not None:
            self.hosts.set_key(key)
        for container in registry:
            self.add(container)

    def start(self):
        self._broker.start(self._fence)
        self.hosts.start()

    def close(self):
        self.hosts.close()
        self._broker.stop()
        self._fence.close()

    def add(self, container):
        """Also for one whose addresses have changed."""
        try:
            self._broker.add_container(container.namespace.fd, container.gids, _number(container.tenant))
        except (OSError, ValueError) as error:
            log.log(logging.INFO if container.name == HOST else logging.WARNING,
                    "TCP mode leaves %s on the overlay: %s", container.name, error)

    def remove(self, container):
        self._broker.remove_container(container.namespace.id.device, container.namespace.id.inode)

    def set_reach(self, reach):
        """reach: the ffr.policy.reach.Reach that holds now. Its rules about networks let nobody connect here: those stay on
        the network that they have."""
        some = islice(reach.tenants(), TENANT_PAIRS_MAX)
        pairs = {(_number(a) if a else ANY, _number(b) if b else ANY) for a, b in some}
        try:
            self._broker.set_reach(pairs)
        except ValueError as error:
            log.error("TCP mode leaves other tenants' connections on the overlay: %s", error)
            self._broker.set_reach(())

    def status(self):
        """Connects by outcome, what is under way (broker.pyx: counters), and which other hosts are linked."""
        return self._broker.counters() | {"near": self._broker.why_not_near or True, "hosts": self.hosts.status(),
                                          "fenced": self._fence.why_not or True}


def _number(tenant):
    """Tenants are compared only, also with those of other hosts."""
    return int.from_bytes(hashlib.sha256(tenant.encode()).digest()[:8], "little")
