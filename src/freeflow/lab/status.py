"""What a lab is made of, and what its routers count."""

from freeflow.control import Control
from freeflow.errors import FreeFlowError
from freeflow.lab import state
from freeflow.lab.model import ROUTER_NAME


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
    return {"name": plan.name, "mode": "isolated", "nic": "local", "overlay": plan.overlay, "wire_mtu": plan.wire_mtu,
            "hosts": [describe_host(record, host) for host in plan.hosts]}


def describe_host(record, host):
    router = record.processes[host.name]
    alive = router.alive()
    counters = read_counters(host) if alive else None
    return {"name": host.name, "ip": host.address, "netns": host.netns,
            "router": {"pid": router.pid, "alive": alive, "dir": str(host.router_directory), "name": ROUTER_NAME},
            "counters": counters,
            "containers": [describe_container(record, container) for container in host.containers]}


def describe_container(record, container):
    init = record.processes[container.name]
    return {"name": container.name, "ip": container.address, "pid": init.pid, "alive": init.alive(),
            "uid": container.uid, "home": str(container.home)}


def read_counters(host):
    """The router's own account of itself; {"error": why} from one that does not answer."""
    try:
        with Control(str(host.router_directory), ROUTER_NAME) as router:
            return router.call("status")
    except FreeFlowError as error:
        return {"error": str(error)}
