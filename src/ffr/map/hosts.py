"""The map as the router uses it: virtual address -> host. It is asked and changed by the control thread alone.

    hosts.host_of(ip_address("10.32.2.1"))     # IPv4Address('10.31.0.2'), or None
    hosts.listen(function)                     # function({address: HERE | host's address | None}) at each change

On a single host it is all there is (the embedded store): what is registered here is here, and nobody is elsewhere.
Several hosts fill it from a file (static.py) or from etcd (etcd.py).
"""

from types import MappingProxyType

from ffr.map.tenants import DEFAULT_TENANT, HOST_TENANT

HERE = "here"  # in a change: the address is a container's of this host
ADDRESSES_MAX = 32768  # virtual addresses elsewhere: half of the places of the NIC's table (ROCE_GIDS)


class HostMap:
    """Addresses, hosts' and virtual ones, are ipaddress objects; IPv4-mapped ones never occur (addresses.parse)."""

    def __init__(self):
        self.own = None  # this host's address on the underlay; None while there is no other host
        self._here = set()
        self._elsewhere = {}  # virtual address -> host
        self._tenants = {}  # of those: virtual address -> tenant, where it is another one than DEFAULT_TENANT
        self._listeners = []
        self._contested = []

    def host_of(self, address):
        """The other host that a virtual address is behind, by its address on the underlay. None: it is a container's
        of this host, or nobody told. A host's own address is behind that host itself. A dictionary lookup: it never
        blocks, and what it says may be as old as the last word from etcd."""
        return None if address in self._here else self._elsewhere.get(address)

    def is_here(self, address):
        """Whether it is a container's of this host."""
        return address in self._here

    def is_elsewhere(self, address):
        """Whether another host claims it, whatever is here."""
        return address in self._elsewhere

    def tenant_of(self, address):
        """Whose an address is that another host claims: "host", that host's own; or None, when none claims it."""
        host = self._elsewhere.get(address)
        return HOST_TENANT if host == address and host is not None else host and self._tenants.get(address, DEFAULT_TENANT)

    def others(self):
        """{other host: how many virtual addresses are behind it}."""
        counts = {}
        for host in self._elsewhere.values():
            counts[host] = counts.get(host, 0) + 1
        return counts

    def elsewhere(self):
        """{virtual address: other host}, a copy."""
        return dict(self._elsewhere)

    def listen(self, function):
        """`function` gets each change as {address: HERE, the host that it is behind now, or None when nobody knows any
        more}; what is known already comes at once."""
        self._listeners.append(function)
        if known := self._elsewhere | dict.fromkeys(self._here, HERE):
            function(known)

    def listen_contested(self, function):
        """`function` gets addresses of containers here that another host claims with a better right (its claim is the
        newer one). They stay here until gone()."""
        self._contested.append(function)

    # ---- those who know ----

    def here(self, addresses):
        """A container of this host has them, whatever anybody says of them."""
        fresh = set(addresses) - self._here
        self._here |= fresh
        self._tell(dict.fromkeys(fresh, HERE))

    def gone(self, addresses):
        """That container was removed. The map may know already where they are now."""
        left = set(addresses) & self._here
        self._here -= left
        self._tell({address: self._elsewhere.get(address) for address in left})

    def move(self, changes, tenants=MappingProxyType({})):
        """{virtual address: the other host that has it, or None}, and {virtual address: tenant}, where that is not
        DEFAULT_TENANT. What is beyond ADDRESSES_MAX is left out; returns how many those were."""
        moved, contested, refused = {}, [], 0
        for address, host in changes.items():
            tenant = tenants.get(address, DEFAULT_TENANT)
            if self._elsewhere.get(address) == host and (host is None or self._tenants.get(address, DEFAULT_TENANT) == tenant):
                continue
            self._tenants.pop(address, None)
            if host is not None and tenant != DEFAULT_TENANT:
                self._tenants[address] = tenant
            if host is None:
                del self._elsewhere[address]
            elif address not in self._elsewhere and len(self._elsewhere) >= ADDRESSES_MAX:
                refused += 1
                self._tenants.pop(address, None)
                continue
            else:
                self._elsewhere[address] = host
            if address not in self._here:
                moved[address] = host
            elif host is not None:
                contested.append(address)
        self._tell(moved)
        if contested:
            for function in self._contested:
                function(contested)
        return refused

    def replace(self, elsewhere, tenants=MappingProxyType({})):
        """As move, for a whole map: what is not in it is forgotten."""
        return self.move(dict.fromkeys(self._elsewhere.keys() - elsewhere.keys()) | elsewhere, tenants)

    def _tell(self, changes):
        if changes:
            for function in self._listeners:
                function(changes)
