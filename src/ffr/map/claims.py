"""All records together: behind which host a virtual address is. Pure: records in, answers out.

The rules, in their order:
1. A host's own address is its own. A container that claims one is not heard.
2. Only hosts that have a record have containers; a host's record and its claims end with one lease.
3. Of several hosts that claim an address, the one has it that claimed it last. So a container that was moved is found
   where it is now, even while the host that it left is dead and its lease has not run out; and a host that comes back
   from the dead and writes its claims again writes them as old as they are (records.claim_value).
"""

from ffr.map.records import BadRecord, HostRecord, about, parse

RECORDS_MAX = 40960  # of one map: hosts, and more claims than a HostMap has places for


class Claims:
    def __init__(self, prefix):
        self._prefix = prefix
        self.hosts = {}  # host -> HostRecord
        self._by_address = {}  # virtual address -> {host: Claim}
        self._by_host = {}  # host -> set of virtual addresses
        self._count = 0
        self.refused = {}  # key -> why; at most REFUSED_MAX of them

    REFUSED_MAX = 64

    def put(self, key, value, created):
        """A record is written. Returns the addresses that may be elsewhere now; a bad record takes what was there."""
        try:
            record = parse(self._prefix, key, value, created)
            if self._count >= RECORDS_MAX and not self._known(record):
                raise BadRecord(f"there are more than {RECORDS_MAX} records")
        except BadRecord as error:
            if len(self.refused) < self.REFUSED_MAX:
                self.refused[key] = str(error)
            return self.delete(key, keep_refusal=True)
        self.refused.pop(key, None)
        self._count += not self._known(record)
        if isinstance(record, HostRecord):
            fresh = record.host not in self.hosts
            self.hosts[record.host] = record
            return self._all_of(record.host) if fresh else set()
        self._by_address.setdefault(record.address, {})[record.host] = record
        self._by_host.setdefault(record.host, set()).add(record.address)
        return {record.address}

    def delete(self, key, keep_refusal=False):
        """A record is gone. Returns as put."""
        if not keep_refusal:
            self.refused.pop(key, None)
        try:
            host, address = about(self._prefix, key)
        except BadRecord:
            return set()
        if address is None:
            if not self.hosts.pop(host, None):
                return set()
            self._count -= 1
            return self._all_of(host)
        if not self._by_address.get(address, {}).pop(host, None):
            return set()
        self._count -= 1
        self._by_host[host].discard(address)
        for table, key in ((self._by_host, host), (self._by_address, address)):
            if not table[key]:
                del table[key]
        return {address}

    def owner(self, address):
        """The host that has it, or None."""
        if address in self.hosts:
            return address
        newest = max(self._living(address), key=lambda claim: (claim.order, claim.host.packed), default=None)
        return newest and newest.host

    def claim(self, host, address):
        return self._by_address.get(address, {}).get(host)

    def addresses(self):
        return self.hosts.keys() | self._by_address.keys()

    def conflicts(self):
        """{address: the hosts that claim it}, of those that more than one does."""
        return {address: sorted(claims, key=str) for address, claims in self._by_address.items()
                if len(list(self._living(address))) > 1}

    def _living(self, address):
        return (claim for host, claim in self._by_address.get(address, {}).items() if host in self.hosts)

    def _all_of(self, host):
        return self._by_host.get(host, set()) | {host}

    def _known(self, record):
        if isinstance(record, HostRecord):
            return record.host in self.hosts
        return record.host in self._by_address.get(record.address, {})
