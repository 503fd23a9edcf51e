"""The NICs that have a place on the network, and all of them as one: the control thread names none."""

from importlib import import_module

from ffcore.nics import WIRED

BACKENDS = {"roce": "ffr.nic.roce.underlay"}  # the modules' class Underlay is a Backend (backend.py)
assert tuple(BACKENDS) == WIRED, "those that can be asked for are those that there are"


class Backends:
    """All of them. nic: one of ffcore.nics.NICS; link: one of LINKS there; key: the hosts' common secret, or None. Made before
    the reactor's thread starts. Raises OSError, ValueError."""

    def __init__(self, reactor, nic="auto", link="udp", key=None):
        self.nic = nic
        self._all = {name: import_module(module).Underlay(reactor, nic, link, key) for name, module in BACKENDS.items()}
        if self.alone:
            reactor.only_by_wire()

    @property
    def alone(self):
        """Whether even the containers of this host reach each other by the one NIC that was asked for."""
        return self.nic in BACKENDS

    @property
    def mtu(self):
        """Bytes: what the paths to all hosts carry."""
        return min(one.mtu for one in self._all.values())

    def close(self):
        self._each("close")

    def open(self, address):
        self._each("open", address)

    def container_add(self, container):
        self._each("container_add", container)

    def container_remove(self, container):
        self._each("container_remove", container)

    def moved(self, changes):
        self._each("moved", changes)

    def measure(self, hosts):
        self._each("measure", hosts)

    def set_faults(self, plan):
        self._each("set_faults", plan)

    def status(self):
        """Of each, by its name."""
        return {name: one.status() for name, one in self._all.items()}

    def _each(self, what, *arguments):
        for one in self._all.values():
            getattr(one, what)(*arguments)
