"""Reach: which tenants may talk to which. Between tenants everything is denied that no rule allows.

    [[reach.allow]]
    name = "shop"               # for people; else its number counts
    from = "web"                # a tenant, an address or network, "foreign", "host", "*"; or a list of them
    to = ["db", "10.9.0.0/16"]
    one_way = true              # who is `to` may not begin; default false

Without the table [reach] the host's own programs and foreign peers, whom no router knows, reach everybody; with it they
reach whom a rule says, as "host" and "foreign".
"""

import ipaddress
from dataclasses import dataclass

from ffr.map.tenants import EVERYBODY, FOREIGN_TENANT, HOST_TENANT
from ffr.network.addresses import gid_network
from ffr.policy.base import table

RULES_MAX = 10_000
SELECTORS_MAX = 256  # of one side of a rule
RANGES_MAX = 1024  # different networks in all rules: what the reactor's table holds


@dataclass(frozen=True)
class Rule:
    name: str  # the record, as people are told of it
    sources: frozenset  # of tenants and networks
    targets: frozenset
    one_way: bool

    def ways(self):
        yield self.sources, self.targets
        if not self.one_way:
            yield self.targets, self.sources


@dataclass(frozen=True)
class Party:
    """Those whom no rule tells apart: a tenant's, or those of its addresses that these networks of rules hold."""

    tenant: str
    networks: frozenset = frozenset()

    def is_meant_by(self, selectors):
        return self.tenant in selectors or EVERYBODY in selectors or not self.networks.isdisjoint(selectors)


# What is allowed where nobody has set any bounds but those between tenants.
BY_DEFAULT = (Rule("the default without [reach]", frozenset({HOST_TENANT, FOREIGN_TENANT}), frozenset({EVERYBODY}), False),)


class Reach:
    """The rules of one policy file. Raises ValueError for settings that it does not understand."""

    def __init__(self, settings):
        settings = dict(settings)
        given = settings.pop("allow", None)
        if settings:
            raise ValueError(f"reach: unknown settings {', '.join(sorted(settings))}; known is the list of tables [[reach.allow]]")
        self._rules = BY_DEFAULT if given is None else tuple(_rules(given))
        self.networks = frozenset(selector for rule in self._rules for selector in rule.sources | rule.targets
                                  if not isinstance(selector, str))
        if len(self.networks) > RANGES_MAX:
            raise ValueError(f"reach: {len(self.networks)} different networks; at most {RANGES_MAX}")

    def party(self, tenant, addresses=()):
        """Whose these addresses (ipaddress) are. tenant: FOREIGN_TENANT when nobody has told."""
        gids = [gid_network(ipaddress.ip_network(address)) for address in addresses]
        return Party(tenant, frozenset(n for n in self.networks if any(gid.subnet_of(n) for gid in gids)))

    def strangers(self):
        """{network: the Party of the addresses in it that nobody has told of, and that no smaller one holds}."""
        return {network: Party(FOREIGN_TENANT, frozenset(n for n in self.networks if network.subnet_of(n)))
                for network in self.networks}

    def rows(self, parties):
        """For each of `parties` an integer: bit i says that it may begin with parties[i]."""
        of_tenant, meant = {}, {EVERYBODY: 0}  # selector -> who is meant by it, one bit each
        for at, party in enumerate(parties):
            if not party.tenant:             # nobody's
                continue
            meant[EVERYBODY] |= 1 << at
            of_tenant[party.tenant] = of_tenant.get(party.tenant, 0) | 1 << at
            for network in party.networks:
                meant[network] = meant.get(network, 0) | 1 << at
        meant = of_tenant | meant
        rows = [0 if party.tenant in ("", FOREIGN_TENANT) else of_tenant[party.tenant] for party in parties]
        for rule in self._rules:
            for sources, targets in rule.ways():
                row = _any(meant, targets)
                for at in _bits(_any(meant, sources)):
                    rows[at] |= row
        return rows

    def tenants(self):
        """(client's, server's) tenants that rules let connect; None: any."""
        if self._rules is BY_DEFAULT:
            return
        for rule in self._rules:
            for sources, targets in rule.ways():
                for source in filter(_is_tenant, sources):
                    for target in filter(_is_tenant, targets):
                        yield None if source == EVERYBODY else source, None if target == EVERYBODY else target

    def rules_of(self, party):
        """For people: what lets it reach others, and others reach it."""
        return [rule.name for rule in self._rules
                if party.is_meant_by(rule.sources) or party.is_meant_by(rule.targets)]


def _rules(given):
    if not isinstance(given, list):
        raise ValueError("reach.allow: a list of tables [[reach.allow]] is needed")
    if len(given) > RULES_MAX:
        raise ValueError(f"reach.allow: {len(given)} rules; at most {RULES_MAX}")
    for number, one in enumerate(given):
        where = f"reach.allow[{number}]"
        rule = dict(table(where, one))
        name, one_way = rule.pop("name", None), rule.pop("one_way", False)
        if name is not None and (not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 64):
            raise ValueError(f"{where}.name = {name!r}: 1 to 64 printable characters are needed")
        if not isinstance(one_way, bool):
            raise ValueError(f"{where}.one_way = {one_way!r}: true or false is needed")
        sides = [_selectors(f"{where}.{side}", rule.pop(side, None)) for side in ("from", "to")]
        if rule:
            raise ValueError(f"{where}: unknown settings {', '.join(sorted(rule))}; known are from, to, one_way and name")
        yield Rule(f"{where} ({name})" if name else where, *sides, one_way)


def _is_tenant(selector):
    return isinstance(selector, str) and selector != FOREIGN_TENANT


def _any(meant, selectors):
    found = 0
    for selector in selectors:
        found |= meant.get(selector, 0)
    return found


def _bits(number):
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _selectors(where, given):
    """Tenants as they are; networks, of GIDs."""
    if given is None:
        raise ValueError(f"{where} is missing")
    selectors = [given] if isinstance(given, str) else given
    if not isinstance(selectors, list) or not 0 < len(selectors) <= SELECTORS_MAX or not all(isinstance(s, str) and s for s in selectors):
        raise ValueError(f"{where} = {given!r}: a tenant or a network is needed, or a list of 1 to {SELECTORS_MAX}")
    return frozenset(_selector(where, selector) for selector in selectors)


def _selector(where, text):
    try:
        return gid_network(ipaddress.ip_network(text))
    except ValueError as error:
        if "/" in text:
            raise ValueError(f"{where}: {error}") from None
        return text
