"""How a router looks for work. The order is that of the counters' word `polling` (stats.h)."""

MODES = ("adaptive", "fastpath", "lowcpu")
