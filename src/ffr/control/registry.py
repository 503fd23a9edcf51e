"""Whose network namespace is whose: the containers that this router serves, and the addresses that are theirs.

Addresses come from whoever created a container, never from inside it. Two rules follow: an address has one owner, and
a namespace that an unprivileged user made (it belongs to another user namespace) is nobody's to register.
"""

import errno
from collections import OrderedDict

from ffcore.stats import NAME_BYTES_MAX
from ffr.map.tenants import DEFAULT_TENANT, RESERVED_TENANTS
from ffr.network import addresses as ip
from ffr.control.container import HOST, Container
from ffr.errors import Refused

MAX_CONTAINERS = 1024  # each holds one descriptor
MAX_REMEMBERED_REFUSALS = 64  # reasons kept for the programs of containers that could not be registered


class Registry:
    """Containers by name, by namespace and by address: those granted, present or not, and those taken. Holds their
    namespaces open."""

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

    def named(self, name):
        """The container of that name. Raises Refused."""
        if container := self._by_name.get(name):
            return container
        raise Refused(errno.ENOENT, f"no container {name!r}")

    def refusal_of(self, namespace_id):
        """Why that namespace could not be registered, or None."""
        return self._refusals.get(namespace_id)

    def add(self, name, namespace, texts, tenant=DEFAULT_TENANT, allowed=()):
        """Registers, and takes over `namespace`; the same again changes nothing. allowed: networks out of which it may
        give itself addresses; then `texts`, those granted, may be empty. What another container took so, it loses. Raises
        Refused, and closes the namespace."""
        try:
            container = Container(name, tenant, namespace, *self._checked(name, texts, tenant, allowed))
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
        host = Container(HOST, HOST, namespace)
        self._insert(host)
        self.update_host(own_addresses)

    def remove(self, name):
        """Forgets a container and lets go of its namespace. Returns it, for its sessions to be ended."""
        if name == HOST:
            raise Refused(errno.EINVAL, f"{HOST!r} is the router's own namespace: it stays")
        container = self._by_name.pop(name, None)
        if container is None:
            raise Refused(errno.ENOENT, f"no container {name!r}")
        del self._by_namespace[container.namespace.id]
        self._disown(container)
        container.namespace.close()
        return container

    def update_host(self, own_addresses):
        """Gives the router's own namespace the addresses that it has now, except those that a container has. Returns
        whether anything changed."""
        before = self.host.gids
        self.follow(self.host, dict.fromkeys(own_addresses, 0))
        return self.host.gids != before

    def follow(self, container, found, is_free=lambda address: True, link_of=lambda index: None):
        """What the container's interfaces have now (Container.follow). is_free: by other hosts."""
        self._disown(container)
        container.follow(found, lambda a: is_free(a) and a not in self._by_address, link_of)
        self._own(container)

    def update(self, name, texts):
        """Gives a container other addresses. Returns it, and its table of before. Raises Refused."""
        container = self._by_name.get(name)
        if container is None or name == HOST:
            raise Refused(errno.ENOENT, f"no container {name!r}")
        wanted, _ = self._checked(name, texts, container.tenant, ())
        self._check_addresses(container, wanted)
        before = container.table
        self._disown(container)
        container.grant(wanted)
        self._own(container)
        return container, before

    def affected(self, addresses):
        """Containers that took some of these addresses, or would have: they may be another's now, or free."""
        return [c for c in self if not (c.ignored.isdisjoint(addresses) and addresses.isdisjoint(c.taken))]

    def _own(self, container):
        self._by_address |= dict.fromkeys((*container.granted, *container.taken), container)

    def _disown(self, container):
        for address in (*container.granted, *container.taken):
            if self._by_address.get(address) is container:
                del self._by_address[address]

    def close(self):
        for container in self:
            container.namespace.close()

    def _checked(self, name, texts, tenant, allowed):
        for what, text in (("name", name), ("tenant", tenant)):
            if not text.isprintable() or not 0 < len(text.encode()) <= NAME_BYTES_MAX or " " in text:
                raise Refused(errno.EINVAL, f"{what} {text!r}: 1 to {NAME_BYTES_MAX} bytes, printable, no spaces")
        if tenant in RESERVED_TENANTS:
            raise Refused(errno.EINVAL, f"no tenant can be called {tenant!r}: rules of reach mean something else by it")
        try:
            return ip.parse(texts) if texts or not allowed else (), ip.networks(allowed)
        except ValueError as error:
            raise Refused(errno.EINVAL, str(error)) from None

    def _same(self, new):
        known = self._by_name.get(new.name)
        facts = [(c.namespace.id, c.granted, c.allowed, c.tenant) for c in (known, new) if c]
        return known if len(facts) == 2 and facts[0] == facts[1] else None

    def _check_free(self, new):
        if new.namespace.is_foreign():
            raise Refused(errno.EPERM, "its network namespace belongs to another user namespace: whoever made that"
                                       " can put any address into it")
        if new.name in self._by_name:
            raise Refused(errno.EEXIST, f"there is a container {new.name!r} already: remove it first")
        if other := self._by_namespace.get(new.namespace.id):
            raise Refused(errno.EEXIST, f"its network namespace is registered already, as {other.name!r}")
        self._check_addresses(new, new.granted)
        if len(self) >= MAX_CONTAINERS:
            raise Refused(errno.ENOSPC, f"the router has its {MAX_CONTAINERS} containers already")

    def _check_addresses(self, container, wanted):
        """A grant goes before what a container took, but the host's addresses are the host's."""
        for address in wanted:
            other = self._by_address.get(address, container)
            if other is not container and (other.is_host or address in other.granted):
                raise Refused(errno.EADDRINUSE, f"address {address} is taken, by {other.name!r}")

    def _insert(self, container):
        self._by_name[container.name] = container
        self._by_namespace[container.namespace.id] = container
        self._own(container)

    def _remember(self, namespace_id, reason):
        self._refusals[namespace_id] = reason
        while len(self._refusals) > MAX_REMEMBERED_REFUSALS:
            self._refusals.popitem(last=False)
