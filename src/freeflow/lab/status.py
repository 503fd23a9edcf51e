"""What a lab is made of, and what its routers count."""

from ffcore.paths import RouterPaths
from freeflow.errors import FreeFlowError
from freeflow.lab import state
from freeflow.lab.model import ETCD, ROUTER_NAME

NOT_COUNTS = {"in_use", "session", "pid", "tenant", "container"}  # of a session's row, what cannot be summed


def loaded(name):
    """The Record of a lab that somebody wants to use. Raises FreeFlowError when there is none, or a broken one."""
    record = state.load(name)
    if record is None:
        raise FreeFlowError(f"no lab {name} is up: freeflow lab up")
    if not record.complete or not record.this_boot:
        raise FreeFlowError(f"lab {name} is half-made or of an earlier boot: freeflow lab up makes it anew")
    return record


def describe(record):
    """The lab as plain values, as `freeflow lab status --json` prints them."""
    plan = record.plan
    return {"name": plan.name, "mode": "isolated", "nic": plan.nic, "link": plan.link, "overlay": plan.overlay,
            "wire_mtu": plan.wire_mtu, "etcd": describe_etcd(record), "hosts": [describe_host(record, host) for host in plan.hosts]}


def describe_etcd(record):
    """By which the hosts find each other's containers; None where there is one host."""
    process = record.processes.get(ETCD)
    return process and {"url": record.plan.etcd_url, "pid": process.pid, "alive": process.alive()}


def describe_host(record, host):
    """`counters` are the router's, and None where it has none to show: `why` says why."""
    router = record.processes[host.name]
    counters, sessions, why = read_counters(host, router)
    containers = [describe_container(record, container, sessions) for container in host.containers]
    return {"name": host.name, "ip": host.address, "netns": host.netns, "counters": counters, "containers": containers,
            "router": {"pid": router.pid, "alive": router.alive(), "dir": str(host.router_directory),
                       "name": ROUTER_NAME, "why": why}}


def describe_container(record, container, sessions):
    """`counters` are the sums over its open sessions."""
    init = record.processes[container.name]
    own = [row for row in sessions if row["container"] == container.name]
    names = [name for name in (sessions[0] if sessions else ()) if name not in NOT_COUNTS]
    return {"name": container.name, "ip": container.address, "pid": init.pid, "alive": init.alive(),
            "uid": container.uid, "home": str(container.home),
            "counters": {"sessions": len(own)} | {name: sum(row[name] for row in own) for name in names}}


def read_counters(host, router):
    """(the router's counters, its sessions' rows, None), or (None, [], why there are none). The router is not asked."""
    from freeflow.stats import Counters, as_dict  # NumPy, which no other part of the lab needs
    try:
        counters = Counters(RouterPaths(host.router_directory, ROUTER_NAME).stats_name(router.pid))
    except FreeFlowError as error:
        return None, [], str(error)
    return as_dict(counters.header), [as_dict(row) for row in counters.sessions()], None
