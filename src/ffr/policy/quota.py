"""Quotas: how much one session, and all sessions of a tenant together, may use. For a session less or more than without
one, within what the router can give (ROUTER_LIMITS); a tenant's part only ever lowers that.

    [quota.session]             # every session
    max_qp = 64
    [quota.tenants.blue]        # the sessions of a tenant, together
    sessions = 8
    pinned_bytes = 17179869184

A tenant's total is divided by its number of sessions, and each gets one part: so the total holds whatever they do, the
reactor compares with one number, and what a session may use does not depend on who came first.
"""

import errno
from collections import Counter

from ffr.errors import Refused
from ffr.policy.base import ROUTER_LIMITS, SESSION_LIMITS, Policy, table

SESSION = "quota.session"
SESSIONS = "sessions"
SIZES = ("control_bytes", "memory_bytes")  # the segments' sizes, bytes: each session has its own
PAGE = 4096
SIZE_MIN = 1 << 20  # a control segment starts with 17 pages that are no rings


class Quota(Policy):
    def __init__(self, settings):
        settings = dict(settings)
        self._session = _amounts(SESSION, settings.pop("session", {}), SESSION_LIMITS)
        self._most, self._parts = {}, {}  # tenant -> sessions; tenant -> limits of each
        for tenant, given in table("quota.tenants", settings.pop("tenants", {})).items():
            self._most[tenant], self._parts[tenant] = _divided(f"quota.tenants.{tenant}", given)
        if settings:
            raise ValueError(f"quota: unknown settings {', '.join(sorted(settings))}")
        self._open = Counter()  # tenant -> sessions

    def narrow(self, container, limits):
        tenant = container.tenant
        if self._open[tenant] >= self._most.get(tenant, float("inf")):
            raise Refused(errno.ENOMEM, f"tenant {tenant!r} has its {self._most[tenant]} sessions already")
        return self.keep(container, limits)

    def keep(self, container, limits):
        self._open[container.tenant] += 1
        part = self._parts.get(container.tenant, {})
        return self._session | {key: min(most, self._session.get(key, limits[key])) for key, most in part.items()}

    def records(self, container):
        part = self._parts.get(container.tenant, {})
        tenant = f"quota.tenants.{container.tenant}"
        return dict.fromkeys(self._session, SESSION) | {key: tenant for key, most in part.items()
                                                        if most <= self._session.get(key, most)}

    def release(self, container, limits):
        self._open[container.tenant] -= 1


def _divided(where, given):
    known = [SESSIONS, *(key for key in SESSION_LIMITS if key not in SIZES)]
    totals = _amounts(where, given, known)
    if SESSIONS not in totals:
        raise ValueError(f"{where}.{SESSIONS} is missing: the totals are divided by it")
    sessions = totals.pop(SESSIONS)
    for key, total in totals.items():
        if total < sessions:
            raise ValueError(f"{where}.{key} = {total}: less than one for each of {sessions} sessions")
    return sessions, {key: total // sessions for key, total in totals.items()}


def _amounts(where, given, known):
    for key, amount in table(where, given).items():
        if key not in known:
            raise ValueError(f"{where}: unknown limit {key}; known are {', '.join(known)}")
        if not isinstance(amount, int) or isinstance(amount, bool) or amount < 1:
            raise ValueError(f"{where}.{key} = {amount!r}: a positive whole number is needed")
        if where == SESSION and amount > ROUTER_LIMITS[key]:
            raise ValueError(f"{where}.{key} = {amount}: the most that this router can give a session is {ROUTER_LIMITS[key]}")
        if key in SIZES and (amount % PAGE or amount < SIZE_MIN):
            raise ValueError(f"{where}.{key} = {amount}: a multiple of {PAGE} is needed, and at least {SIZE_MIN}")
    return dict(given)
