"""The contract of a policy. docs/add-a-policy.md walks through adding one.

A policy decides in Python, when a session is admitted; what it decides is numbers, and the reactor applies them where
the work is picked up, without asking back. So a policy never runs on the data path, and a slow one delays nobody's
messages.
"""

from abc import ABC, abstractmethod

GIB, MIB = 1 << 30, 1 << 20

# What a session may use when no policy says less. The reactor enforces each of them with ENOMEM.
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
    "pinned_bytes": 8 * GIB,  # registered memory
    "control_bytes": 64 * MIB,  # rings: the control segment's size
    "memory_bytes": 32 * GIB,  # offsets for registered memory: the (sparse) memory segment's size
}


class Policy(ABC):
    """One policy of one router. Raises ValueError from __init__ for settings that it does not understand."""

    @abstractmethod
    def __init__(self, settings):
        """`settings`: the policy's own table of the policy file, {} without one. No setting, no effect."""

    @abstractmethod
    def narrow(self, container, limits):
        """A session of `container` (ffr.control.registry.Container) is being admitted. Returns a dict of the limits that are
        to be lower than in `limits`, {} when it does not mind; raises ffr.errors.Refused, having reserved nothing.
        What it reserves for the session is given back by release()."""

    def release(self, container, limits):
        """A session is gone, or was not made after all. `limits`: as they were after this policy's narrow()."""


def table(name, value):
    """A table of the policy file. Raises ValueError when something else stands in its place."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} = {value!r}: a table is needed")
    return value
