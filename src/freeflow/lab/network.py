"""The lab's network as batches for `ip` and `bridge`. Building them has no side effects; `apply` has.

Nothing is made in the machine's own network namespace: every veth is born with both ends inside the lab, so it goes
when the lab's namespaces go.

    bridge: container eth0 -- overlay -- wire0 ===== wire0 -- overlay -- eth0 container
    vxlan:  container eth0 -- overlay -- vxlan0 -- wire0 ===== wire0 -- vxlan0 -- overlay -- eth0 container
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from freeflow.errors import FreeFlowError
from freeflow.lab.model import OVERLAY_PREFIX, WIRE_PREFIX

VXLAN_ID = 32
VXLAN_PORT = 4789
EVERY_MAC = "00:00:00:00:00:00"  # in a VXLAN's table: where to send what has no entry


@dataclass(frozen=True)
class Batch:
    """Lines for `tool -batch`, run in the network namespace at `netns`."""

    netns: str
    lines: tuple
    tool: str = "ip"

    def apply(self):
        """Raises FreeFlowError with the tool's own words."""
        command = ["nsenter", f"--net={self.netns}", self.tool, "-batch", "-"]
        done = subprocess.run(command, input="\n".join(self.lines), text=True, capture_output=True)
        if done.returncode:
            raise FreeFlowError(f"{self.tool} in {self.netns}: {done.stderr.strip() or done.returncode}")


def wire(plan):
    """The veth between two hosts, or the bridge between more. Nothing for one."""
    hosts, mtu = plan.hosts, plan.wire_mtu
    if len(hosts) == 2:
        yield Batch(str(hosts[0].netns_path),
                    (f"link add wire0 mtu {mtu} type veth peer name wire0 mtu {mtu} netns {hosts[1].netns}",))
    elif len(hosts) > 2:
        lines = [f"link add wire mtu {mtu} type bridge", "link set wire up"]
        for host in hosts:
            lines += [f"link add {host.name} mtu {mtu} type veth peer name wire0 mtu {mtu} netns {host.netns}",
                      f"link set {host.name} master wire up"]
        yield Batch(f"/run/netns/{plan.wire_netns}", tuple(lines))


def host(plan, one, congestion_control=None):
    """A host's loopback, overlay bridge, address, and its end of the wire. congestion_control: as inside()."""
    joined = plan.host_count > 1
    lines = ["link set lo up", f"link add overlay mtu {plan.overlay_mtu} type bridge", "link set overlay up"]
    if plan.tunnelled:
        lines += ["link set wire0 up", f"addr add {one.address}/24 dev wire0",
                  f"link add vxlan0 mtu {plan.overlay_mtu} type vxlan id {VXLAN_ID} local {one.address} dev wire0 "
                  f"dstport {VXLAN_PORT}", "link set vxlan0 master overlay up"]
    else:
        lines += ["link set wire0 master overlay up"] if joined else []
        lines += [f"addr add {one.address}/24 dev overlay"]
    if congestion_control and plan.host_count > 1:
        lines.append(f"route replace {WIRE_PREFIX} dev {'wire0' if plan.tunnelled else 'overlay'} proto kernel scope link "
                     f"src {one.address} congctl {congestion_control}")
    yield Batch(str(one.netns_path), tuple(lines))
    if plan.tunnelled:
        others = [other.address for other in plan.hosts if other != one]
        yield Batch(str(one.netns_path),
                    tuple(f"fdb append {EVERY_MAC} dev vxlan0 dst {address}" for address in others), "bridge")


def ports(plan, one, pids):
    """A veth from the overlay bridge into each container; pids: container name -> its PID 1."""
    mtu, lines = plan.overlay_mtu, []
    for container in one.containers:
        port = f"c{container.index}"
        lines += [f"link add {port} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {pids[container.name]}",
                  f"link set {port} master overlay up"]
    yield Batch(str(one.netns_path), tuple(lines))


def inside(container, pid, congestion_control=None):
    """A container's own end. congestion_control: of the TCP connections that use it; by default the machine's."""
    lines = ["link set lo up", f"addr add {container.address}/16 dev eth0", "link set eth0 up"]
    if congestion_control:
        lines.append(f"route replace {OVERLAY_PREFIX} dev eth0 proto kernel scope link src {container.address} "
                     f"congctl {congestion_control}")
    yield Batch(f"/proc/{pid}/ns/net", tuple(lines))


def usual_congestion_control():
    """cubic, Linux's own default, so that TCP in every lab is the TCP that most machines have; None without it. It is
    the route that says so: only the machine's own namespace may have a default that not every program may choose."""
    available = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    return "cubic" if "cubic" in available else None


def apply(batches):
    for batch in batches:
        batch.apply()


def namespaces(verb, names):
    """`ip netns add` or `delete`, all at once."""
    if not names:
        return
    done = subprocess.run(["ip", "-batch", "-"], input="".join(f"netns {verb} {name}\n" for name in names), text=True,
                          capture_output=True)
    if done.returncode:
        raise FreeFlowError(f"ip netns {verb}: {done.stderr.strip()}")
