"""A container as the router knows it: whose namespace it is, and the addresses that it has, which make its GID table.

Two things decide about an address. Whether a container may have it, its registration says, which comes from whoever made
the container; whether it has it at the moment, its interfaces say, which may be in its own hands.

- What a registration grants is nobody else's. It is in the GID table, unless an interface had it and has it no more.
- What else an interface has counts within the networks that the registration allows, as long as nobody else has it.
- Anything else on an interface is ignored: a container that gives itself another one's address gets nothing by it.
"""

from ffcore.handshake import GID_TABLE
from ffr.network import addresses as ip

HOST = "host"  # the router's own namespace
IGNORED_MAX = 64  # addresses that are remembered, in case they become free
EMPTY_GID = bytes(16)


class Container:
    """granted, allowed: addresses and networks of its registration. The router's own namespace has neither: its interfaces
    are believed, for they are the host's.

    What is granted has its place in the GID table by its order there, present or not; other addresses have places behind
    those, and keep them while they last.
    """

    def __init__(self, name, tenant, namespace, granted=(), allowed=()):
        self.name, self.tenant, self.namespace = name, tenant, namespace
        self.granted, self.allowed = tuple(granted), tuple(allowed)
        self.sessions = set()  # the reactor's numbers
        self.labels = {}  # what its maker says of it, for people
        self.members = set()  # ids of the engine's containers that share its network namespace, as a pod's do
        self.port_up = True
        self.ignored = frozenset()  # addresses of its interfaces that are not its
        self._seen, self._gone = set(), set()  # of what is granted
        self._taken = {}  # place in the GID table -> address
        self._links = set()  # interfaces that have its addresses, or had them last
        self._mtu = {}  # address -> bytes that its interface carries
        self._guid_from = self.granted[:1]

    @property
    def is_host(self):
        return self.name == HOST

    @property
    def taken(self):
        """What it has without a grant."""
        return tuple(self._taken.values())

    @property
    def table(self):
        """Addresses by their place; None where there is none."""
        places = {place: a for place, a in enumerate(self.granted) if a not in self._gone} | self._taken
        return [places.get(place) for place in range(max(places, default=-1) + 1)]

    @property
    def addresses(self):
        return tuple(address for address in self.table if address)

    @property
    def gids(self):
        """The GID table up to its last entry, 16 bytes each."""
        return [ip.gid(address) if address else EMPTY_GID for address in self.table]

    @property
    def mtus(self):
        """What the interface of each entry of the GID table carries, bytes; 0 where that is not known."""
        return [self._mtu.get(address, 0) for address in self.table]

    @property
    def links(self):
        """What programs are told of them; another one, when it has changed."""
        return self.port_up, self.mtus

    @property
    def guid(self):
        """An EUI-64 of the device's own, 8 bytes: locally administered, and the first address that the container had. It
        stays, whatever becomes of that."""
        return bytes.fromhex("02fff100") + ip.gid((self._guid_from or (ip.LOOPBACK,))[0])[12:]

    def grant(self, granted):
        """Another registration; what its interfaces have counts at the next look."""
        self.granted = tuple(granted)
        self._seen, self._gone, self._taken = set(), set(), {}

    def follow(self, found, is_free, link_of):
        """What its interfaces have now: `found`, {address: index of the interface}. is_free(address): nobody else has it.
        link_of(index): the interfaces.Link, or None."""
        self._seen |= found.keys() & set(self.granted)
        self._gone = self._seen - found.keys()
        others = [address for address in found if address not in self.granted]
        mine = [address for address in others if self._may_take(address) and is_free(address)]
        if mine or not self.is_host:  # a host whose addresses are all containers' keeps those that it had
            self._take(mine)
        self.ignored = frozenset([a for a in others if a not in self.taken][:IGNORED_MAX])
        self._guid_from = self._guid_from or self.addresses[:1]
        self._links = {found[a] for a in self.addresses if a in found} or self._links
        links = {index: link_of(index) for index in self._links}
        self._mtu = {a: link.mtu for a in self.addresses if (link := links.get(found.get(a)))}
        # Traffic between processes of a host needs no link of the host's.
        self.port_up = self.is_host or not links or any(link and link.up for link in links.values())

    def describe(self):
        return {"name": self.name, "tenant": self.tenant, "addresses": [str(a) for a in self.addresses],
                "ignored": sorted(map(str, self.ignored)), "port": "up" if self.port_up else "down",
                "sessions": len(self.sessions), "netns_inode": self.namespace.id.inode, "labels": self.labels}

    def _may_take(self, address):
        return self.is_host or (any(address in network for network in self.allowed) and ip.is_usable(address))

    def _take(self, addresses):
        wanted = dict.fromkeys(addresses)
        self._taken = {place: address for place, address in self._taken.items() if address in wanted}
        places = (place for place in range(len(self.granted), GID_TABLE) if place not in self._taken)
        self._taken |= dict(zip(list(places), (a for a in wanted if a not in self.taken)))
