"""Who is meant by the rules of reach: parties (ffr.policy.reach.Party), numbered for the reactor, which compares numbers.

Each address that the map or a registration tells of has a party, and so has each container; the policy says which party may
begin with which. What the reactor had no time to hear is told a second later, so it never stays behind.
"""

import asyncio
import errno
import ipaddress
import logging
import time
import zlib

from ffr.errors import Refused
from ffr.map.tenants import FOREIGN_TENANT
from ffr.network.addresses import gid
from ffr.policy.reach import Party
from ffr.reactor.reach import NOBODY, PARTIES, STRANGER

log = logging.getLogger(__name__)

AGAIN_S = 1.0
LOOK_S = 0.5
AGAIN_LINE_S, LINES_MAX = 60, 64  # what is denied is told once in so long, and no more than so many lines
PLACES_AT_ONCE = 256  # addresses that the reactor is told of between two commands


class Parties:
    def __init__(self, table, policies, hosts):
        """table: ffr.reactor.reach.Reach. policies: whose `reach` holds now. hosts: ffr.map.hosts.HostMap."""
        self._table, self._policies, self._hosts = table, policies, hosts
        self._here = {}  # address -> container
        self._of = {}  # container -> Party
        self._numbers = {Party(FOREIGN_TENANT): STRANGER, Party(""): NOBODY}
        self._free = list(range(PARTIES - 1, NOBODY, -1))
        self._placed = {}  # address -> Party
        self._untold = {}  # address -> number
        self._sessions = {}  # session -> number, untold
        self._rules_untold = True
        self._sweep = False
        self._again = None
        self._denied = 0
        self._told, self._told_s = set(), 0.0  # denials

    def close(self):
        if self._again:
            self._again.cancel()

    def number_of(self, container):
        """For a new session of a container that was added."""
        return self._numbers[self._of[container]]

    def add(self, container):
        """It was registered, or has other addresses. Raises Refused, having changed nothing, when there are too many parties."""
        party = self._policies.reach.party(container.tenant, container.addresses)
        if self._number(party) is None:
            raise Refused(errno.ENOSPC, f"the router knows {PARTIES} tenants already, or parts of them that rules of reach name")
        self._of[container] = party
        mine = set(container.addresses)
        left = [address for address, owner in self._here.items() if owner is container and address not in mine]
        for address in left:
            del self._here[address]
        self._here |= dict.fromkeys(mine, container)
        self._settle({*mine, *left})
        self._sessions |= dict.fromkeys(container.sessions, self._numbers[party])
        self._tell()

    def remove(self, container):
        """Its addresses are whose the map says they are, if it does."""
        self._of.pop(container, None)
        left = [address for address, owner in self._here.items() if owner is container]
        for address in left:
            del self._here[address]
        self._settle(left)
        self._tell()

    def moved(self, addresses):
        """The map says something else of them."""
        self._settle(addresses)
        self._tell()

    def replaced(self):
        """There are other policies. Connections that they do not allow end."""
        for container in self._of:
            self._of[container] = self._policies.reach.party(container.tenant, container.addresses)
            self._sessions |= dict.fromkeys(container.sessions, self._number(self._of[container], NOBODY))
        self._rules_untold = self._sweep = True
        self._settle(list(self._placed))
        self._tell()

    def ended(self, session):
        """Its number may be another one's next."""
        self._sessions.pop(session, None)

    def reaches(self, container):
        """For people: the records that let it and others reach each other."""
        return self._policies.reach.rules_of(self._of[container])

    async def watch(self):
        """Until cancelled: a line for each denial, as far as that is readable."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.step()

    def step(self):
        self._denied, told = self._table.denials(self._denied)
        now_s = time.monotonic()
        if now_s - self._told_s > AGAIN_LINE_S:
            self._told, self._told_s = set(), now_s
        for one in told:
            if one in self._told or len(self._told) >= LINES_MAX:
                continue
            self._told.add(one)
            name, address, came = one
            party = next((p for a, p in self._placed.items() if gid(a) == address), None)
            whose = f"{_text(address)} ({f'tenant {party.tenant}' if party else 'of no tenant'})"
            log.warning("denied: %s, and no rule of reach allows it (said once in %d s)",
                        f"{whose} asked for container {name}" if came else f"container {name} asked for {whose}", AGAIN_LINE_S)

    # ---- numbers ----

    def _number(self, party, default=None):
        """The party's, given out when it has none; `default` when there are no more."""
        if party not in self._numbers:
            if not self._free:
                self._forget_unused()
            if not self._free:
                return default
            self._numbers[party] = self._free.pop()
            self._rules_untold = True
        return self._numbers[party]

    def _forget_unused(self):
        used = {Party(FOREIGN_TENANT), Party(""), *self._of.values(), *self._placed.values(), *self._policies.reach.strangers().values()}
        self._free = [number for party, number in self._numbers.items() if party not in used]
        self._numbers = {party: number for party, number in self._numbers.items() if party in used}

    def _settle(self, addresses):
        """Whose each of them is now."""
        reach = self._policies.reach
        for address in addresses:
            container = self._here.get(address)
            tenant = None if container else self._hosts.tenant_of(address)
            party = self._of[container] if container else reach.party(tenant, (address,)) if tenant else None
            self._untold[address] = STRANGER if party is None else self._number(party, NOBODY)
            if self._placed.get(address, party) != party:
                self._sweep = True  # it is another one's now: what was connected to it stays only where that is allowed
            if party is None:
                self._placed.pop(address, None)
            else:
                self._placed[address] = party

    # ---- telling ----

    def _tell(self):
        try:
            if self._rules_untold:
                self._table.set_rules(*self._rules())
                self._rules_untold = False
            while self._untold:
                some = list(self._untold.items())[:PLACES_AT_ONCE]
                if refused := self._table.place([(gid(address), number) for address, number in some]):
                    log.error("%d addresses are strangers' to the rules of reach: there are too many", refused)
                for address, _ in some:
                    del self._untold[address]
            for session, number in list(self._sessions.items()):
                self._table.set_party(session, number)
                del self._sessions[session]
            if self._sweep:
                if ended := self._table.sweep():
                    log.info("reach: %d connections that are not allowed any more have ended", ended)
                self._sweep = False
        except TimeoutError as error:
            log.warning("the rules of reach are not all in force yet: %s", error)
            if not self._again:
                self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._tell_again)

    def _tell_again(self):
        self._again = None
        self._tell()

    def _rules(self):
        """The arguments of Reach.set_rules."""
        reach = self._policies.reach
        ranges = sorted(reach.strangers().items(), key=lambda item: -item[0].prefixlen)
        ranges = [(network.network_address.packed, network.prefixlen, self._number(party, NOBODY)) for network, party in ranges]
        by_number = {number: party for party, number in self._numbers.items()}
        parties = [by_number.get(number, Party("")) for number in range(max(by_number) + 1)]
        rows = reach.rows(parties)
        return rows, ranges, _is_closed(rows, by_number), [zlib.crc32(party.tenant.encode()) for party in parties]


def _is_closed(rows, parties):
    """Whether somebody may not reach somebody. What strangers do with each other is nobody's concern."""
    everybody = sum(1 << number for number, party in parties.items() if party.tenant)
    strangers = sum(1 << number for number, party in parties.items() if party.tenant == FOREIGN_TENANT)
    return any((rows[number] | (strangers if party.tenant == FOREIGN_TENANT else 0)) & everybody != everybody
               for number, party in parties.items() if party.tenant)


def _text(gid_bytes):
    address = ipaddress.IPv6Address(gid_bytes)
    return str(address.ipv4_mapped or address)
