"""The policies of sessions, in the order in which they are asked. To add one: its line here (see base.py for the contract)."""

import os
import re
import stat
import tomllib
from dataclasses import dataclass, field

from ffr.errors import Refused
from ffr.policy.base import SESSION_LIMITS, table
from ffr.policy.memory import segment_bytes
from ffr.policy.quota import SIZES, Quota
from ffr.policy.rates import Rates
from ffr.policy.reach import Reach

POLICIES = {
    "quota": Quota,
}


FILE_MAX = 1 << 20  # bytes: some ten thousand tenants
KEY_PARTS_MAX = 16
LONG_KEY = re.compile(rb"""(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){%d,}""" % KEY_PARTS_MAX)


@dataclass
class Grant:
    """What one session was admitted with."""

    limits: dict
    memory_bytes: int | None = None  # what the program's control groups and the machine allow
    asked: list = field(default_factory=list)  # (policy, the limits after it), for giving back


class Policies:
    """All policies of a router, asked as one."""

    def __init__(self, settings=None):
        """`settings`: the policy file's tables, one per policy. Raises ValueError."""
        self._chain, self.reach, self.rates = _made(settings)

    @classmethod
    def of_file(cls, path):
        """Raises ValueError or OSError, with the path in their text."""
        return cls(settings_of(path))

    def replace(self, settings, grants):
        """Other settings from now on. `grants`: (container, Grant) of each session that exists; their limits follow. Raises
        ValueError, having changed nothing."""
        self._chain, self.reach, self.rates = _made(settings)
        for container, grant in grants:
            sizes = {key: grant.limits[key] for key in SIZES}
            grant.limits, grant.asked = _start(grant.memory_bytes), []
            for policy in self._chain:
                grant.limits |= policy.keep(container, dict(grant.limits))
                grant.asked.append((policy, dict(grant.limits)))
            grant.limits |= sizes

    def records(self, container):
        """For people: limit -> the record that says it. What is not in it has its default."""
        return {key: record for policy in self._chain for key, record in policy.records(container).items()}

    def admit(self, container, memory_bytes=None):
        """The Grant of a new session. memory_bytes: what its program's control groups and the machine allow it to register,
        when no policy says otherwise. Raises Refused when a policy does; then nothing stays reserved."""
        grant = Grant(_start(memory_bytes), memory_bytes)
        for policy in self._chain:
            try:
                grant.limits |= policy.narrow(container, dict(grant.limits))
            except Refused:
                self.release(container, grant)
                raise
            grant.asked.append((policy, dict(grant.limits)))
        if grant.limits["memory_bytes"] == SESSION_LIMITS["memory_bytes"]:  # nobody has said: enough for what may be registered
            grant.limits["memory_bytes"] = max(grant.limits["memory_bytes"], segment_bytes(grant.limits["pinned_bytes"]))
        return grant

    @staticmethod
    def release(container, grant):
        """The session is gone, or was not made after all. Once per grant."""
        for policy, limits in grant.asked:
            policy.release(container, limits)


def settings_of(path):
    """The tables of a policy file. Raises ValueError or OSError, with the path in their text."""
    return settings_in(content_of(path), path)


def content_of(path):
    """The bytes of a policy file, or FILE_MAX and one of them. Raises ValueError or OSError, with the path in their text."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:  # a FIFO is not waited for
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path}: not a file")
        return file.read(FILE_MAX + 1)


def settings_in(text, where):
    """The tables of a policy file's content, bytes. Raises ValueError, with `where` in its text."""
    if len(text) > FILE_MAX:
        raise ValueError(f"{where}: more than {FILE_MAX} bytes")
    if LONG_KEY.search(text):
        raise ValueError(f"{where}: a key of more than {KEY_PARTS_MAX} parts")  # tomllib takes an hour for a megabyte of them
    try:
        settings = tomllib.loads(text.decode())
        _made(settings)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: {error}") from None
    return settings


def _made(settings):
    """(the policies of sessions, the Reach, the Rates)."""
    settings = dict(settings or {})
    reach, rates = Reach(table("reach", settings.pop("reach", {}))), Rates(table("rate", settings.pop("rate", {})))
    chain = [policy(table(name, settings.pop(name, {}))) for name, policy in POLICIES.items()]
    if settings:
        raise ValueError(f"unknown policies: {', '.join(sorted(settings))}; known are {', '.join([*POLICIES, 'reach', 'rate'])}")
    return chain, reach, rates


def _start(memory_bytes):
    """The limits before any policy was asked."""
    limits = dict(SESSION_LIMITS)
    if memory_bytes is not None:
        limits["pinned_bytes"] = min(limits["pinned_bytes"], memory_bytes)
    return limits
