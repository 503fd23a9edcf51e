"""The contract of a policy. docs/add-a-policy.md walks through adding one.

A policy decides in Python, when a session is admitted; what it decides is numbers, and the reactor applies them where
the work is picked up, without asking back. So a policy never runs on the data path, and a slow one delays nobody's
messages.
"""

from abc import ABC, abstractmethod

from ffr.policy.memory import machine_bytes, segment_bytes

GIB, MIB = 1 << 30, 1 << 20

# What a session may use when no policy says otherwise. The reactor enforces each of them with ENOMEM. Of registered memory it
# may be less: what its container's control groups allow (memory.py).
SESSION_LIMITS = {
    "max_qp": 1024,
    "max_cq": 1024,
    "max_mr": 16384,
    "max_pd": 256,
    "max_channels": 16384,  # completion and async channels: descriptors are the limit, the program's and the router's
    "max_ah": 16384,
    "max_mcast": 256,  # attachments of QPs to multicast groups
    "max_srq": 1024,
    "max_xrcd": 64,  # XRC domains
    "dm_bytes": 1 * MIB,  # device memory, which lies in the control segment
    "pinned_bytes": machine_bytes(),  # registered memory
    "control_bytes": 64 * MIB,  # rings: the control segment's size
    "memory_bytes": segment_bytes(machine_bytes()),  # offsets for registered memory: the (sparse) memory segment's size
}

# The most that any policy can give one session: what the router's tables and segments hold (state.h).
ROUTER_LIMITS = {
    "max_qp": 1024,
    "max_cq": 1 << 16,
    "max_mr": 1 << 20,
    "max_pd": 1 << 16,
    "max_channels": 1 << 14,
    "max_ah": 1 << 18,
    "max_mcast": 1 << 14,
    "max_srq": 1 << 14,
    "max_xrcd": 1 << 12,
    "dm_bytes": 128 * MIB,
    "pinned_bytes": 8 * machine_bytes() // 7,
    "control_bytes": 256 * MIB,
    "memory_bytes": 1 << 40,
}


class Policy(ABC):
    """One policy of one router. Raises ValueError from __init__ for settings that it does not understand."""

    @abstractmethod
    def __init__(self, settings):
        """`settings`: the policy's own table of the policy file, {} without one. No setting, no effect."""

    @abstractmethod
    def narrow(self, container, limits):
        """A session of `container` (ffr.control.registry.Container) is being admitted. Returns a dict of the limits that are
        to be others than in `limits`, lower, or higher up to ROUTER_LIMITS, {} when it does not mind; raises ffr.errors.Refused, having reserved nothing.
        What it reserves for the session is given back by release()."""

    @abstractmethod
    def keep(self, container, limits):
        """The settings have changed, and a session of `container` exists: as narrow, but it never refuses, since what exists
        stays. Its segments keep their sizes, whatever this says of them."""

    def records(self, container):
        """For people: limit -> the record that says it, such as quota.session, of those that this policy sets."""
        return {}

    def release(self, container, limits):
        """A session is gone, or was not made after all. `limits`: as they were after this policy's narrow()."""


def table(name, value):
    """A table of the policy file. Raises ValueError when something else stands in its place."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} = {value!r}: a table is needed")
    return value
