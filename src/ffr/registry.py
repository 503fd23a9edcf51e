"""Whose network namespace is whose: the containers that this router serves, and the addresses that are theirs.

Addresses come from whoever created a container, never from inside it. Two rules follow: an address has one owner, and
a namespace that an unprivileged user made (it belongs to another user namespace) is nobody's to register.
"""

import errno
from collections import OrderedDict
from dataclasses import dataclass, field

from ffcore.stats import NAME_BYTES_MAX
from ffr import addresses as ip
from ffr.errors import Refused
from ffr.identity import Namespace

HOST = "host"  # the router's own namespace
MAX_CONTAINERS = 1024  # each holds one descriptor
MAX_REMEMBERED_REFUSALS = 64  # reasons kept for the programs of containers that could not be registered


@dataclass
class Container:
    name: str
    tenant: str
    namespace: Namespace
    addresses: tuple
    sessions: set = field(default_factory=set)  # the reactor's numbers

    @property
    def gids(self):
        """The GID table, 16 bytes each; the first address makes GID 0."""
        return [ip.gid(address) for address in self.addresses]

    def describe(self):
        return {"name": self.name, "tenant": self.tenant, "addresses": [str(a) for a in self.addresses],
                "sessions": len(self.sessions), "netns_inode": self.namespace.id.inode}


class Registry:
    """Containers by name, by namespace and by address. Holds their namespaces open."""

    def __init__(self):
        self._by_name = {}
        self._by_namespace = {}
        self._by_address = {}
        self._refusals = OrderedDict()

    def __iter__(self):
        return iter(self._by_name.values())

    def __len__(self):
        return len(self._by_name)

    @property
    def host(self):
        return self._by_name[HOST]

    def find(self, namespace_id):
        """The container of that namespace, or None."""
        return self._by_namespace.get(namespace_id)

    def refusal_of(self, namespace_id):
        """Why that namespace could not be registered, or None."""
        return self._refusals.get(namespace_id)

    def add(self, name, namespace, texts, tenant="default"):
        """Registers, and takes over `namespace`; the same again changes nothing. Raises Refused, and closes it."""
        try:
            container = Container(name, tenant, namespace, self._checked(name, texts, tenant))
            if known := self._same(container):
                namespace.close()
                return known
            self._check_free(container)
        except Refused as refusal:
            if namespace.id not in self._by_namespace:  # else its programs are served; when it is removed, that is why
                self._remember(namespace.id, refusal.reason)
            namespace.close()
            raise
        self._refusals.pop(namespace.id, None)
        self._insert(container)
        return container

    def add_host(self, namespace, own_addresses):
        """Registers the router's own namespace, which needs no one's word for its addresses."""
        self._insert(Container(HOST, HOST, namespace, tuple(own_addresses)))

    def remove(self, name):
        """Forgets a container and lets go of its namespace. Returns it, for its sessions to be ended."""
        if name == HOST:
            raise Refused(errno.EINVAL, f"{HOST!r} is the router's own namespace: it stays")
        container = self._by_name.pop(name, None)
        if container is None:
            raise Refused(errno.ENOENT, f"no container {name!r}")
        del self._by_namespace[container.namespace.id]
        for address in container.addresses:
            del self._by_address[address]
        container.namespace.close()
        return container

    def update_host(self, own_addresses):
        """Gives the router's own namespace the addresses that it has now, except those that a container has. Returns
        whether anything changed."""
        host = self._by_name[HOST]
        wanted = tuple(a for a in own_addresses if self._by_address.get(a, host) is host)
        if not wanted or wanted == host.addresses:
            return False
        self._readdress(host, wanted)
        return True

    def update(self, name, texts):
        """Gives a container other addresses. Returns it, and those that it had. Raises Refused."""
        container = self._by_name.get(name)
        if container is None or name == HOST:
            raise Refused(errno.ENOENT, f"no container {name!r}")
        wanted = self._checked(name, texts, container.tenant)
        for address in wanted:
            if (other := self._by_address.get(address, container)) is not container:
                raise Refused(errno.EADDRINUSE, f"address {address} is taken, by {other.name!r}")
        before = container.addresses
        self._readdress(container, wanted)
        return container, before

    def _readdress(self, container, wanted):
        for address in container.addresses:
            del self._by_address[address]
        container.addresses = wanted
        self._by_address.update(dict.fromkeys(wanted, container))

    def close(self):
        for container in self:
            container.namespace.close()

    def _checked(self, name, texts, tenant):
        for what, text in (("name", name), ("tenant", tenant)):
            if not text.isprintable() or not 0 < len(text.encode()) <= NAME_BYTES_MAX or " " in text:
                raise Refused(errno.EINVAL, f"{what} {text!r}: 1 to {NAME_BYTES_MAX} bytes, printable, no spaces")
        try:
            return ip.parse(texts)
        except ValueError as error:
            raise Refused(errno.EINVAL, str(error)) from None

    def _same(self, new):
        known = self._by_name.get(new.name)
        facts = [(c.namespace.id, c.addresses, c.tenant) for c in (known, new) if c]
        return known if len(facts) == 2 and facts[0] == facts[1] else None

    def _check_free(self, new):
        if new.namespace.is_foreign():
            raise Refused(errno.EPERM, "its network namespace belongs to another user namespace: whoever made that"
                                       " can put any address into it")
        if new.name in self._by_name:
            raise Refused(errno.EEXIST, f"there is a container {new.name!r} already: remove it first")
        if other := self._by_namespace.get(new.namespace.id):
            raise Refused(errno.EEXIST, f"its network namespace is registered already, as {other.name!r}")
        for address in new.addresses:
            if other := self._by_address.get(address):
                raise Refused(errno.EADDRINUSE, f"address {address} is taken, by {other.name!r}")
        if len(self) >= MAX_CONTAINERS:
            raise Refused(errno.ENOSPC, f"the router has its {MAX_CONTAINERS} containers already")

    def _insert(self, container):
        self._by_name[container.name] = container
        self._by_namespace[container.namespace.id] = container
        self._by_address.update(dict.fromkeys(container.addresses, container))

    def _remember(self, namespace_id, reason):
        self._refusals[namespace_id] = reason
        while len(self._refusals) > MAX_REMEMBERED_REFUSALS:
            self._refusals.popitem(last=False)
