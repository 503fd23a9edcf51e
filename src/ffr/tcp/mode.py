"""TCP mode as a part of the router: the broker, kept to what the registry says."""

import logging

from ffr.registry import HOST

log = logging.getLogger(__name__)


class TcpMode:
    """Without the rights that it needs (CAP_SYS_ADMIN, to look into containers' namespaces) it serves nobody, and
    sockets stay on the overlay."""

    def __init__(self, path, registry):
        from ffr.tcp.broker import Broker  # here, so that the control room's tests need no compiled modules
        self._broker = Broker(path)
        self._tenants = {}
        for container in registry:
            self.add(container)

    def start(self):
        self._broker.start()

    def close(self):
        self._broker.stop()

    def add(self, container):
        """Also for one whose addresses have changed."""
        try:
            self._broker.add_container(container.namespace.fd, container.gids, self._number(container.tenant))
        except (OSError, ValueError) as error:
            log.log(logging.INFO if container.name == HOST else logging.WARNING,
                    "TCP mode leaves %s on the overlay: %s", container.name, error)

    def remove(self, container):
        self._broker.remove_container(container.namespace.id.device, container.namespace.id.inode)

    def status(self):
        """Connects by outcome, and what is under way (broker.pyx: counters)."""
        return self._broker.counters()

    def _number(self, tenant):
        """Tenants are compared only, so the first one is 0, the next one 1."""
        return self._tenants.setdefault(tenant, len(self._tenants))
