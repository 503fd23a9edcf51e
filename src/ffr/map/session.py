"""One connection to etcd, from the first call to the first error. It is the loop around it (etcd.py) that lasts.

In this order: a lease; the list of everything; what this host claims, put right where the list differs; then the
changes as they come, the lease renewed three times in its life, and claims written as containers come and go.
"""

import asyncio
import logging

from ffr.map.claims import Claims
from ffr.map.client import Client, EtcdError
from ffr.map.tenants import DEFAULT_TENANT
from ffr.map.records import BadRecord, HostRecord, claim_key, claim_value, host_key, host_value, parse, policy_key

log = logging.getLogger(__name__)

CLOSE_S = 1.0
DELETION = 1  # mvccpb.Event.DELETE


class Wanted:
    """What this host says of itself. It outlives sessions, as its lease does."""

    def __init__(self, prefix, own, name, instance):
        self.prefix, self.own, self.name, self.instance = prefix, own, name, instance
        self.lease = 0
        self.changed = asyncio.Event()
        self._containers = {}  # virtual address -> (container's name, tenant)
        self._since = {}  # virtual address -> order of the claim, once etcd has said it

    def add(self, name, addresses, tenant=DEFAULT_TENANT):
        self._containers |= dict.fromkeys(addresses, (name, tenant))
        self.changed.set()

    def remove(self, addresses):
        for address in addresses:
            self._containers.pop(address, None)
            self._since.pop(address, None)
        self.changed.set()

    def heard(self, claim):
        """etcd has a claim of ours."""
        if claim.address in self._containers:
            self._since[claim.address] = claim.order

    def records(self):
        """{key: value}, the host's own last."""
        made = {claim_key(self.prefix, self.own, address): claim_value(name, self._since.get(address, 0), tenant)
                for address, (name, tenant) in self._containers.items()}
        return made | {host_key(self.prefix, self.own): host_value(self.name, self.instance)}

    def is_ours(self, key):
        return key == host_key(self.prefix, self.own) or key.startswith(claim_key(self.prefix, self.own, ""))


class Session:
    def __init__(self, endpoint, settings, wanted, view):
        """`view`: hears of all that is listed (async listed(claims)), of each change (async changed(claims, addresses)), and what
        the shared policy is (policy(content), None without one)."""
        self._settings, self._wanted, self._view = settings, wanted, view
        self._prefix = settings.prefix.encode()
        self._client = Client(endpoint, settings)
        self._claims = Claims(settings.prefix)
        self._written = {}  # of ours: key -> value, under our lease
        self._began = asyncio.Event()  # the watch

    async def run(self):
        """Until an error: raises EtcdError. The lease stays, for the next session."""
        try:
            await self._client.authenticate()
            await self._take_lease()
            revision = await self._list()
            await self._write()
            await self._until_one_fails(self._watch(revision + 1), self._watch_begins(), self._renew(), self._follow())
        finally:
            await self._client.close()

    async def leave(self):
        """Tells the others at once that this host is gone; bounded, and it does not matter if it fails."""
        client = Client(self._client.endpoint, self._settings)
        try:
            async with asyncio.timeout(CLOSE_S):
                await client.authenticate()
                await client.revoke(self._wanted.lease)
        except (EtcdError, TimeoutError) as error:
            log.info("etcd: the lease was not given back: %s", error)
        finally:
            await client.close()

    async def _take_lease(self):
        wanted = self._wanted
        if wanted.lease and await self._client.refresh(wanted.lease) <= 0:
            wanted.lease = 0
        if not wanted.lease:
            wanted.lease = await self._client.grant(self._settings.lease_s)

    async def _list(self):
        revision, records = await self._client.list(self._prefix)
        policy = policy_key(self._wanted.prefix)
        self._view.policy(next((record.value for record in records if record.key == policy), None))
        for record in records:
            if record.key == policy:
                continue
            self._claims.put(record.key, record.value, record.create_revision)
            if self._wanted.is_ours(record.key):
                self._hear_own(record)
                self._written[record.key] = record.value if record.lease == self._wanted.lease else None
        await self._view.listed(self._claims)
        return revision

    async def _write(self):
        """What is wanted and what is written, made one."""
        self._wanted.changed.clear()
        wanted = self._wanted.records()
        puts = {key: value for key, value in wanted.items() if not self._says(key, value)}
        deletions = self._written.keys() - wanted.keys()
        if puts or deletions:
            await self._client.write(self._wanted.lease, puts, deletions)
        self._written = {key: puts.get(key, self._written.get(key)) for key in wanted}

    def _says(self, key, value):
        """Whether it is written already; `since` alone makes no difference while the key lives."""
        there = self._written.get(key)
        if there is None or there == value:
            return there is not None
        try:
            old, new = (parse(self._settings.prefix, key, text, 1 << 62) for text in (there, value))
        except BadRecord:
            return False
        return not isinstance(new, HostRecord) and (old.name, old.tenant) == (new.name, new.tenant)

    async def _watch(self, revision):
        async for events in self._client.watch(self._prefix, revision, self._began.set):
            touched = set()
            for event in events:
                touched |= self._take(event)
            if touched:
                await self._view.changed(self._claims, touched)

    async def _watch_begins(self):
        """etcd that does not agree to the watch is an etcd that does not answer."""
        try:
            async with asyncio.timeout(self._settings.lease_s):
                await self._began.wait()
        except TimeoutError:
            raise EtcdError(f"{self._client.endpoint}: the watch does not begin") from None
        await asyncio.Event().wait()

    def _take(self, event):
        record = event.kv
        if record.key == policy_key(self._wanted.prefix):
            self._view.policy(None if event.type == DELETION else record.value)
            return set()
        if event.type == DELETION:
            if record.key in self._written and record.key in self._wanted.records():
                raise EtcdError(f"{self._client.endpoint}: somebody removed this host's records")  # write them again
            return self._claims.delete(record.key)
        if self._wanted.is_ours(record.key):
            self._hear_own(record)
        return self._claims.put(record.key, record.value, record.create_revision)

    def _hear_own(self, record):
        try:
            said = parse(self._settings.prefix, record.key, record.value, record.create_revision)
        except BadRecord:
            return
        if not isinstance(said, HostRecord):
            self._wanted.heard(said)
        elif said.instance != self._wanted.instance and record.key in self._written:
            log.error("another router, of %r, says that it is the one at %s: one of the two has the wrong address",
                      said.name, self._wanted.own)

    async def _renew(self):
        while True:
            await asyncio.sleep(self._settings.lease_s / 3)
            if await self._client.refresh(self._wanted.lease) <= 0:
                raise EtcdError(f"{self._client.endpoint}: this host's lease ran out")

    async def _follow(self):
        while True:
            await self._wanted.changed.wait()
            await self._write()

    async def _until_one_fails(self, *coroutines):
        tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
