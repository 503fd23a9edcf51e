"""The policies, in the order in which they are asked. To add one: its line here (see base.py for the contract)."""

import tomllib
from dataclasses import dataclass, field

from ffr.errors import Refused
from ffr.policy.base import SESSION_LIMITS, table
from ffr.policy.memory import segment_bytes
from ffr.policy.quota import Quota

POLICIES = {
    "quota": Quota,
}


@dataclass
class Grant:
    """What one session was admitted with."""

    limits: dict
    asked: list = field(default_factory=list)  # (policy, the limits after it), for giving back


class Policies:
    """All policies of a router, asked as one."""

    def __init__(self, settings=None):
        """`settings`: the policy file's tables, one per policy. Raises ValueError."""
        settings = dict(settings or {})
        self._chain = [policy(table(name, settings.pop(name, {}))) for name, policy in POLICIES.items()]
        if settings:
            raise ValueError(f"unknown policies: {', '.join(sorted(settings))}; known are {', '.join(POLICIES)}")

    @classmethod
    def of_file(cls, path):
        """Raises ValueError or OSError, with the path in their text."""
        with open(path, "rb") as file:
            try:
                return cls(tomllib.load(file))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None

    def admit(self, container, memory_bytes=None):
        """The Grant of a new session. memory_bytes: what its program's control groups and the machine allow it to register,
        when no policy says otherwise. Raises Refused when a policy does; then nothing stays reserved."""
        grant = Grant(dict(SESSION_LIMITS))
        if memory_bytes is not None:
            grant.limits["pinned_bytes"] = min(grant.limits["pinned_bytes"], memory_bytes)
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
