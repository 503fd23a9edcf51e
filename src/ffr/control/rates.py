"""Rates in force: a bucket of the reactor's for each container, tenant and policy of QPs that has one."""

import asyncio
import logging

from ffr.reactor.rates import BUCKETS

log = logging.getLogger(__name__)

AGAIN_S = 1.0
QP = "each QP"


class RatesInForce:
    def __init__(self, table, policies, sessions):
        """table: ffr.reactor.rates.Rates. policies: whose `rates` hold now. sessions(): (number, container) of all sessions."""
        self._table, self._policies, self._sessions = table, policies, sessions
        self._numbers = {}  # (kind, name) -> number of its bucket
        self._free = list(range(BUCKETS - 1, 0, -1))
        self._told = {}  # number -> the Rate that the reactor knows
        self._wanted = {}  # number -> Rate
        self._given = {}  # session -> the buckets that the reactor knows
        self._again = None

    def close(self):
        if self._again:
            self._again.cancel()

    def buckets_of(self, container):
        """For a session that is being made, whose container is prepared: its container's, its tenant's, its QPs' (rates.h)."""
        return tuple(self._numbers.get(key, 0) for key in self._keys(container))

    def prepare(self, container):
        """Before a session of that container is made."""
        self._settle([container])
        self._tell()

    def opened(self, session, container):
        self._given[session] = self.buckets_of(container)

    def ended(self, session):
        """Its number may be another one's next."""
        self._given.pop(session, None)

    def replaced(self):
        """There are other policies."""
        self._settle([container for _, container in self._sessions()])
        self._tell()

    def describe(self, container):
        """For people: {record: what it says, and how long QPs have waited for it}."""
        found = {}
        for key, rate in self._rates(container).items():
            number = self._numbers.get(key)
            found[rate.record] = {"bits_per_s": 8 * rate.bytes_per_s, "ops_per_s": rate.ops_per_s,
                                  "held_s": round(self._table.held_s(number), 3) if number else 0.0}
        return found

    # ---- buckets ----

    def _keys(self, container):
        return ("container", container.name), ("tenant", container.tenant), ("qp", QP)

    def _rates(self, container):
        """{key: Rate} of those that it has."""
        rates = self._policies.rates
        found = zip(self._keys(container), (rates.of_container(container), rates.of_tenant(container.tenant), rates.qp))
        return {key: rate for key, rate in found if rate}

    def _settle(self, containers):
        """Buckets for those, and none for whom nobody is."""
        wanted = {}
        for container in {*containers, *(container for _, container in self._sessions())}:
            wanted |= self._rates(container)
        for key in self._numbers.keys() - wanted.keys():
            self._free.insert(0, self._numbers.pop(key))  # last to be used again: a session may name it until it is told
        for key, rate in wanted.items():
            if key not in self._numbers:
                if not self._free:
                    log.error("%s: there are %d rates already; this one is not kept", rate.record, BUCKETS - 1)
                    continue
                self._numbers[key] = self._free.pop()
        self._wanted = {self._numbers[key]: rate for key, rate in wanted.items() if key in self._numbers}

    def _tell(self):
        try:
            for number, rate in self._wanted.items():
                if self._told.get(number) != rate:
                    self._table.set_bucket(number, rate.bytes_per_s, rate.ops_per_s)
                    self._told[number] = rate
            for session, container in self._sessions():
                buckets = self.buckets_of(container)
                if self._given.get(session, (0, 0, 0)) != buckets:
                    self._table.set_session(session, buckets)
                    self._given[session] = buckets
        except TimeoutError as error:
            log.warning("rates are not all in force yet: %s", error)
            if not self._again:
                self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._tell_again)

    def _tell_again(self):
        self._again = None
        self._tell()
