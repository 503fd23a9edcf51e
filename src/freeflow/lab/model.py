"""What a lab is: names, addresses, paths. Pure; everything that has side effects reads it from here."""

import re
from dataclasses import dataclass
from pathlib import Path

from freeflow.errors import FreeFlowError

STATE_ROOT = Path("/run/freeflow/labs")
HOSTS_MAX = 32
CONTAINERS_MAX = 100  # of one host
WIRE_PREFIX = "10.31.0.0/24"
OVERLAY_PREFIX = "10.32.0.0/16"
VXLAN_HEADER = 50  # bytes: outer Ethernet 14, IPv4 20, UDP 8, VXLAN 8
MTU_MIN, MTU_MAX = 1280, 65535  # IPv6 needs 1280 (RFC 8200, 5); a veth carries 65535
OVERLAYS = ("bridge", "vxlan")
UID_BASE = 10000
NAMES_SHOWN = 8  # in an error

# Inside a container. /run/freeflow is a tmpfs there, so no other lab and no other host's router can be seen.
RUN_INSIDE = Path("/run/freeflow")
ROUTER_INSIDE = RUN_INSIDE / "router"
HOME_INSIDE = RUN_INSIDE / "home"
ROUTER_NAME = "router"
ETCD = "etcd"  # among the lab's processes
ETCD_PORT = 2379

_LAB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")  # goes into paths, namespace and cgroup names


@dataclass(frozen=True)
class Container:
    """Container j of host i. Both count from 1."""

    lab: str
    host: int
    index: int
    tenant: str = "default"

    @property
    def name(self):
        return f"h{self.host}c{self.index}"

    @property
    def address(self):
        return f"10.32.{self.host}.{self.index}"

    @property
    def uid(self):
        """An unprivileged user (and group) of its own."""
        return UID_BASE + 256 * self.host + self.index

    @property
    def cgroup(self):
        return f"freeflow-{self.lab}-{self.name}"

    @property
    def directory(self):
        return STATE_ROOT / self.lab / "containers" / self.name

    @property
    def home(self):
        """Its home directory, as the machine sees it; inside it is HOME_INSIDE."""
        return self.directory / "home"


@dataclass(frozen=True)
class Host:
    """Host i, counted from 1."""

    lab: str
    index: int
    containers: tuple

    @property
    def name(self):
        return f"h{self.index}"

    @property
    def address(self):
        return f"10.31.0.{self.index}"

    @property
    def container_network(self):
        return f"10.32.{self.index}.0/24"

    @property
    def netns(self):
        return f"ff-{self.lab}-{self.name}"

    @property
    def netns_path(self):
        return Path("/run/netns") / self.netns

    @property
    def directory(self):
        return STATE_ROOT / self.lab / "hosts" / self.name

    @property
    def router_directory(self):
        """The router's FREEFLOW_DIR; its containers see this one at ROUTER_INSIDE."""
        return self.directory / "router"


@dataclass(frozen=True)
class Plan:
    """A whole lab, before anything of it exists. Raises FreeFlowError for what cannot be made."""

    name: str = "lab"
    host_count: int = 1
    container_count: int = 2  # of each host
    overlay: str = "bridge"
    wire_mtu: int = 1500
    nic: str = "auto"
    link: str = "udp"
    tenants: tuple = ("default",)  # of each host's containers, in turn
    policy: str | None = None  # a file that the routers follow

    def __post_init__(self):
        object.__setattr__(self, "tenants", tuple(self.tenants))  # a list, read from a record
        if not _LAB_NAME.fullmatch(self.name):
            raise FreeFlowError(f"lab name {self.name!r} (FREEFLOW_LAB): lower-case letters, digits and inner dashes, "
                                "at most 32")
        if not 1 <= self.host_count <= HOSTS_MAX:
            raise FreeFlowError(f"{self.host_count} hosts: 1 to {HOSTS_MAX}")
        if not 1 <= self.container_count <= CONTAINERS_MAX:
            raise FreeFlowError(f"{self.container_count} containers a host: 1 to {CONTAINERS_MAX}")
        if self.overlay not in OVERLAYS:
            raise FreeFlowError(f"overlay {self.overlay!r}: one of {', '.join(OVERLAYS)}")
        if self.link == "stream" and self.host_count == 1:
            raise FreeFlowError("--link stream is between hosts: --hosts 2")
        if not MTU_MIN <= self.wire_mtu <= MTU_MAX:
            raise FreeFlowError(f"WIRE_MTU {self.wire_mtu}: {MTU_MIN} to {MTU_MAX} bytes")

    @property
    def directory(self):
        return STATE_ROOT / self.name

    @property
    def hosts(self):
        return [Host(self.name, i, tuple(Container(self.name, i, j, self.tenants[(j - 1) % len(self.tenants)])
                                        for j in range(1, self.container_count + 1)))
                for i in range(1, self.host_count + 1)]

    @property
    def containers(self):
        return [container for host in self.hosts for container in host.containers]

    @property
    def etcd_url(self):
        """Of the etcd by which several hosts find each other's containers; it lives on the first. None for one host."""
        return f"http://{self.hosts[0].address}:{ETCD_PORT}" if self.host_count > 1 else None

    @property
    def hosts_path(self):
        """The map of a lone host that sends itself packets."""
        return self.directory / "hosts.toml"

    @property
    def etcd_directory(self):
        return self.directory / ETCD

    @property
    def key_path(self):
        """What the hosts' routers know each other by (TCP mode)."""
        return self.directory / "hosts.key"

    @property
    def wire_netns(self):
        """Holds the bridge that joins more than two hosts; two are joined directly."""
        return f"ff-{self.name}-wire" if self.host_count > 2 else None

    @property
    def netns_names(self):
        return [host.netns for host in self.hosts] + ([self.wire_netns] if self.wire_netns else [])

    @property
    def tunnelled(self):
        """Whether the overlay crosses the wire in VXLAN. One host has no wire to cross."""
        return self.overlay == "vxlan" and self.host_count > 1

    @property
    def overlay_mtu(self):
        return self.wire_mtu - (VXLAN_HEADER if self.tunnelled else 0)

    def find(self, name):
        """The Host or Container of this name. Raises FreeFlowError."""
        known = {one.name: one for one in [*self.containers, *self.hosts]}
        if name not in known:
            some = ", ".join(list(known)[:NAMES_SHOWN]) + (", …" if len(known) > NAMES_SHOWN else "")
            raise FreeFlowError(f"lab {self.name} has no {name}: it has {some}")
        return known[name]

    def host_of(self, container):
        return self.hosts[container.host - 1]

    def hosts_file(self):
        """/etc/hosts of every container."""
        lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
        lines += [f"{known.address}\t{known.name}" for known in [*self.hosts, *self.containers]]
        return "\n".join(lines) + "\n"
