"""What the control thread tells a NIC that has a place on the network; and what it asks.

A NIC without sockets needs none of this. Each of the others is a subclass, in a module of its own package, and has a line in
backends.py: nothing else names it. All calls come from the control thread, and may wait for the reactor's a moment.
"""


class Backend:
    """Made before the reactor's thread starts. Raises OSError.

    reactor: ffr.reactor.reactor.Reactor. nic: what containers are to be reached by, one of ffcore.nics.NICS; where it is this NIC's
    own name, those of this host are, too, for tests. link: one of ffcore.nics.LINKS. key: the hosts' common secret, bytes, or None.
    Raises ValueError where these do not go together.
    """

    mtu = 4096  # the RoCE MTU that its paths carry, bytes

    def __init__(self, reactor, nic, link, key):
        pass

    def close(self):
        """Gives back sockets and descriptors."""

    def open(self, address):
        """This host is `address` (ipaddress) among the others. Raises OSError."""

    def container_add(self, container):
        """A container (ffr/control/container.py) came, or has other addresses."""

    def container_remove(self, container):
        """Before its namespace is let go."""

    def moved(self, changes):
        """Listens to the map of hosts: {virtual address: its host, HERE, or None where nobody knows any more}."""

    def measure(self, hosts):
        """These are the other hosts now."""

    def set_faults(self, plan):
        """A bad network, made here, for tests: what `plan` says, a dict. Raises ValueError, OverflowError, TypeError."""

    def status(self):
        """For people and for `freeflow status`: a dict."""
        return {}
