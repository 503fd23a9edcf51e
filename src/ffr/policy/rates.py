"""Rates: how fast a container, a tenant's containers together, or each QP may send.

    [rate.tenants.blue]         # on each host by itself
    bits_per_s = 10e9           # payload of SEND, WRITE and of what READ brings
    ops_per_s = 2e6             # work requests
    [rate.containers.web]
    bits_per_s = 2.5e9
    [rate.qp]                   # each QP of everybody
    ops_per_s = 1e6
"""

import math
from dataclasses import dataclass

from ffr.policy.base import table

BITS_MIN, BITS_MAX = 1e6, 400e9
OPS_MIN, OPS_MAX = 1, 1e9
BOUNDS = {"bits_per_s": (BITS_MIN, BITS_MAX), "ops_per_s": (OPS_MIN, OPS_MAX)}


@dataclass(frozen=True)
class Rate:
    record: str  # that says it
    bytes_per_s: int = 0  # 0: any
    ops_per_s: int = 0


class Rates:
    """The rates of one policy file. Raises ValueError for settings that it does not understand."""

    def __init__(self, settings):
        settings = dict(settings)
        self._tenants = {name: _rate(f"rate.tenants.{name}", given)
                         for name, given in table("rate.tenants", settings.pop("tenants", {})).items()}
        self._containers = {name: _rate(f"rate.containers.{name}", given)
                            for name, given in table("rate.containers", settings.pop("containers", {})).items()}
        self.qp = _rate("rate.qp", settings.pop("qp")) if "qp" in settings else None
        if settings:
            raise ValueError(f"rate: unknown settings {', '.join(sorted(settings))}; known are tenants, containers and qp")

    def of_container(self, container):
        """A Rate, or None, as below."""
        return self._containers.get(container.name)

    def of_tenant(self, tenant):
        return self._tenants.get(tenant)


def _rate(where, given):
    given = table(where, given)
    for key, value in given.items():
        if key not in BOUNDS:
            raise ValueError(f"{where}: unknown rate {key}; known are {', '.join(BOUNDS)}")
        low, high = BOUNDS[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"{where}.{key} = {value!r}: a number from {low:g} to {high:g} is needed")
    if not given:
        raise ValueError(f"{where}: a rate is needed, {' or '.join(BOUNDS)}")
    return Rate(where, round(given.get("bits_per_s", 0) / 8), round(given.get("ops_per_s", 0)))
