"""The store for several hosts: keeps a session with etcd up, and the map at what it says.

While etcd is away the map stays as it is, and what changes here is written when etcd is back. A list that comes after an
interruption may lack hosts only because they have not come back yet (their lease ran out, or etcd lost its data): what
is known of those stays for the length of a lease more.
"""

import asyncio
import logging
import random
import secrets
import socket
import time

from ffr.map.client import EtcdError
from ffr.map.embedded import Store
from ffr.map.records import WIRE
from ffr.map.session import Session, Wanted

log = logging.getLogger(__name__)

WAIT_S_MIN, WAIT_S_MAX = 0.2, 5.0  # between two attempts
REMIND_S = 60.0  # an etcd that stays away is complained of this often
BATCH = 256  # changes that are told in one go: each is a word with the reactor


class EtcdStore(Store):
    name = "etcd"

    def __init__(self, hosts, own, settings, on_policy=lambda content: None):
        """`hosts`: the HostMap to be filled. `own`: this host's address. on_policy: hears the policy that all hosts share, bytes
        or None, at each list and each change."""
        self._hosts, self._own, self._settings = hosts, own, settings
        self.policy = on_policy
        self._wanted = Wanted(settings.prefix, own, socket.gethostname() or "host", secrets.token_hex(8))
        self._task = self._session = self._claims = None
        self._error = "not reached yet"  # None: connected
        self._since_s = time.monotonic()  # of the state that the line above tells
        self._reminded_s = None
        self._attempts = 0
        self._leaving = {}  # virtual address -> when it is forgotten, of hosts that a list lacked
        self._beyond = 0  # addresses that the map had no room for
        self._others = {}  # hosts whose routers speak another version between hosts -> which

    def start(self):
        self._task = asyncio.create_task(self._keep())

    async def close(self):
        if not self._task:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._session and self._error is None:
            await self._session.leave()

    def claim(self, container):
        self._wanted.add(container.name, container.addresses, container.tenant)

    def release(self, addresses):
        self._wanted.remove(addresses)

    def status(self):
        conflicts = self._claims.conflicts() if self._claims else {}
        refused = self._claims.refused if self._claims else {}
        return {"endpoints": [str(endpoint) for endpoint in self._settings.endpoints], "connected": self._error is None,
                "error": self._error, "seconds": round(time.monotonic() - self._since_s, 1), "attempts": self._attempts,
                "lease": f"{self._wanted.lease:x}", "lease_s": self._settings.lease_s, "beyond": self._beyond,
                "other_versions": {str(host): wire for host, wire in self._others.items()},
                "conflicts": {str(address): list(map(str, hosts)) for address, hosts in list(conflicts.items())[:16]},
                "refused": {key.decode(errors="replace")[:100]: why for key, why in list(refused.items())[:16]}}

    async def _keep(self):
        forgetting = asyncio.create_task(self._forget_in_time())
        wait_s = WAIT_S_MIN
        try:
            while True:
                endpoint = self._settings.endpoints[self._attempts % len(self._settings.endpoints)]
                self._attempts += 1
                try:
                    self._session = Session(endpoint, self._settings, self._wanted, self)
                    await self._session.run()
                except EtcdError as error:
                    wait_s = WAIT_S_MIN if self._error is None else min(2 * wait_s, WAIT_S_MAX)
                    self._say_lost(str(error))
                except Exception as error:
                    log.exception("the session with etcd failed")
                    wait_s = WAIT_S_MAX
                    self._say_lost(repr(error))
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # so that a rack does not come at once
        finally:
            forgetting.cancel()

    # ---- what the session hears ----

    async def listed(self, claims):
        again = self._claims is not None
        self._claims = claims
        known = self._hosts.elsewhere()
        changes = {address: self._elsewhere(address) for address in claims.addresses()}
        for address in known.keys() - changes.keys():
            changes[address] = None
        stay = {address for address, host in changes.items()
                if again and host is None and known.get(address) not in (None, *claims.hosts)}
        until_s = time.monotonic() + self._settings.lease_s
        self._leaving = {address: self._leaving.get(address, until_s) for address in stay}
        self._say_found(claims)
        self._compare(claims)
        await self._tell({address: host for address, host in changes.items() if address not in stay})

    async def changed(self, claims, addresses):
        self._compare(claims)
        for address in addresses:
            self._leaving.pop(address, None)
        await self._tell({address: self._elsewhere(address) for address in addresses})

    def _compare(self, claims):
        """Routers that would not understand this one's packets: connections to their containers end in RETRY_EXC."""
        others = {host: record.wire for host, record in claims.hosts.items() if record.wire != WIRE}
        for host in others.keys() - self._others.keys():
            log.error("the router of %s speaks version %d between hosts, this one %d: no connection between them works until both are"
                      " of one FreeFlow", host, others[host], WIRE)
        self._others = others

    def _elsewhere(self, address):
        """As HostMap.move has it; says so when an address of ours is somebody else's too."""
        owner = self._claims.owner(address)
        if owner not in (None, self._own) and self._hosts.is_here(address):
            log.warning("%s is here, and %s claims it too, later: elsewhere it is found there", address, owner)
        return None if owner == self._own else owner

    async def _tell(self, changes):
        tenants = {address: self._claims.claim(host, address).tenant for address, host in changes.items()
                   if host is not None and self._claims.claim(host, address)}
        changes = list(changes.items())
        self._beyond = 0
        for start in range(0, len(changes), BATCH):
            self._beyond += self._hosts.move(dict(changes[start:start + BATCH]), tenants)
            await asyncio.sleep(0)
        if self._beyond:
            log.error("%d addresses are not reached: the map of hosts is full", self._beyond)

    async def _forget_in_time(self):
        while True:
            await asyncio.sleep(self._settings.lease_s / 4)
            if self._error is None:
                now_s = time.monotonic()
                late = {address for address, until_s in self._leaving.items() if until_s <= now_s}
                for address in late:
                    del self._leaving[address]
                await self._tell({address: self._elsewhere(address) for address in late})

    # ---- what is said of it ----

    def _say_lost(self, error):
        now_s = time.monotonic()
        if self._error is None:
            self._since_s = now_s
            self._reminded_s = None
        self._error = error
        if self._reminded_s is None or now_s - self._reminded_s > REMIND_S:
            self._reminded_s = now_s
            log.warning("no etcd, so containers that come or move on other hosts are not seen; %d known addresses stay"
                        " (%s)", len(self._hosts.elsewhere()), error)

    def _say_found(self, claims):
        if self._error is not None:
            log.log(logging.INFO if self._reminded_s is None else logging.WARNING,
                    "etcd answers: %d hosts; this one is %s", len(claims.hosts | {self._own: None}), self._own)
            self._error, self._since_s = None, time.monotonic()
