"""One router, put together: who is who, who may what, the two sockets, and the reactor that does the work."""

import asyncio
import errno
import logging
import os
from importlib.metadata import PackageNotFoundError, version

from ffcore.handshake import LAYOUT_VERSION
from ffcore.polling import MODES
from ffr.network import addresses
from ffr.control.admission import Admission
from ffr.control.operations import ControlServer, open_namespace
from ffr.control.counters import Neighbours
from ffr.control.device_files import DeviceFiles
from ffr.control import restored
from ffr.errors import Refused
from ffr.control.following import Following
from ffr.control.mapper import Mapper
from ffr.control.identity import Namespace
from ffr.map import static
from ffr.map.embedded import Store
from ffr.map.hosts import HERE, HostMap
from ffr.map.records import policy_key
from ffr.control.reach import Parties
from ffr.control.port_counters import PortCounters
from ffr.control.policy_file import PolicyFile
from ffr.control.policy_shared import SharedPolicy
from ffr.control.rates import RatesInForce
from ffr.control.registry import Registry
from ffr.control.server import SessionServer
from ffr.control.sessions import Sessions
from ffr.control.userfaultfd import Userfaultfd
from ffr.reactor.rates import Rates
from ffr.reactor.reach import Reach
from ffr.tcp.mode import TcpMode

log = logging.getLogger(__name__)

NEIGHBOURS_LOOK_S = 0.5
MEMBERS_MAX = 256  # of a pod
LABELS_MAX, LABEL_LENGTH_MAX = 16, 256  # of a container: 4 KiB, for 1024 of them 4 MiB


class Router:
    """Runs in an asyncio loop, in the thread beside the reactor's."""

    def __init__(self, paths, reactor, counters, policies, stopped, nics, key=None, device_files=None, userfaultfd="auto",
                 policy_file=None, policy_copy=None):
        """`stopped`: the asyncio.Event that ends the router. `nics`: ffr.nic.backends.Backends. `key`: what the hosts' brokers
        of TCP mode know each other by, bytes. `device_files`: see device_files.py. `userfaultfd`: "off" hands none out.
        `policy_file`: where `policies` are from, to be followed; without one and with an etcd, theirs is followed, and kept in
        `policy_copy`, a Path."""
        self.paths, self.reactor, self.counters = paths, reactor, counters
        self.policies = policies
        self.registry = Registry()
        self.registry.add_host(Namespace.own(), addresses.own())
        self.port_counters = PortCounters(paths.port_counters, counters.segment.session,
                                          lambda: counters.segment.counters()["busy_passes"])
        self.hosts = HostMap()
        self.parties = Parties(Reach(reactor), policies, self.hosts)
        self.rates = RatesInForce(Rates(reactor), policies, lambda: self.sessions.containers())
        self.sessions = Sessions(reactor, policies, self._on_ended, self.parties.number_of, self.rates)
        self.policy_file, self._policy_copy = PolicyFile(policy_file, self._use_policy), policy_copy
        self.tcp = TcpMode(paths.tcp_socket, self.registry, key)
        self.nics = nics
        self.following = Following(self.registry, self.hosts, self._on_followed)
        self.files = DeviceFiles(device_files, paths)
        self.hosts.listen(self._on_moved)
        self.hosts.listen_contested(self.following.again)
        self.store = Store()
        self.admission = Admission(self.registry)
        self.userfaultfd = Userfaultfd(userfaultfd)
        self._stopped = stopped
        self._control = ControlServer(paths.control_socket, self._ops())
        self._watching, self._mapper = [], None
        self._server = SessionServer(asyncio.get_running_loop(), paths.session_socket, self.admission, self.sessions,
                                     counters.segment, self.following.hasten, self.userfaultfd)

    async def watch_neighbours(self):
        """Until cancelled: other routers on this machine poll its cores too."""
        neighbours = Neighbours(self.counters.name)
        while True:
            if (headers := neighbours.look()) is not None:
                self.reactor.set_neighbours(headers)
            await asyncio.sleep(NEIGHBOURS_LOOK_S)

    async def start(self):
        """The control socket first: when a program finds the session socket, everything else is there."""
        asyncio.get_running_loop().add_reader(self.reactor.reaped_fd, self._on_reaped)
        self._mapper = Mapper(asyncio.get_running_loop(), self.reactor, self.sessions.process_of)
        self._watching = [asyncio.create_task(watch()) for watch in (self.watch_neighbours, self.policy_file.watch, self.parties.watch)]
        self.parties.add(self.registry.host)
        self.following.add(self.registry.host)
        self.files.start()
        self.port_counters.start()
        self.port_counters.add(self.registry.host)
        await self._control.start()
        self.tcp.set_reach(self.policies.reach)
        self.tcp.start()
        self.store.start()
        restored.restore(self.paths.containers, self.container_add, self.container_files)
        self._server.start()

    async def leave(self):
        """Before close(): other hosts learn that this one goes."""
        await self.store.close()

    def close(self):
        asyncio.get_running_loop().remove_reader(self.reactor.reaped_fd)
        for task in self._watching:
            task.cancel()
        if self._mapper:
            self._mapper.close()
        self.parties.close()
        self.rates.close()
        self.following.close()
        self.files.close()
        self.port_counters.close()
        self._server.close()
        self._control.close()
        self.tcp.close()
        self.nics.close()
        self.registry.close()
        self.userfaultfd.close()

    def status(self):
        counters = self.counters.segment.counters()
        return {"pid": os.getpid(), "version": _version(), "layout_version": LAYOUT_VERSION,
                "directory": str(self.paths.directory), "name": self.paths.name,
                "polling": MODES[counters["polling"]], "stats": self.counters.name, "sessions": len(self.sessions),
                "containers": len(self.registry), "counters": counters, "tcp": self.tcp.status(),
                "map": self.map_status(),
                "userfaultfd": {"handed_out": self.userfaultfd.fd is not None, "why_not": self.userfaultfd.why_not}} | self.nics.status()

    def map_status(self):
        """Who is where, as far as this router knows."""
        return {"store": self.store.name, "address": str(self.hosts.own) if self.hosts.own else None,
                self.store.name: self.store.status(), "hosts": {str(host): count for host, count in self.hosts.others().items()}}

    def container_add(self, name, netns, addresses, tenant="default", allow=(), pid=None, labels=None, member=None):
        """pid: of a process whose file system has the device's files, which follow then. labels, member: see Container."""
        _check_labels(labels or {})
        container = self.registry.add(name, open_namespace(netns), addresses, tenant, allow)
        try:
            self.parties.add(container)
        except Refused:
            self.registry.remove(name)
            raise
        container.labels = labels or container.labels
        if member:
            _add_member(container, member)
        self.files.add(container, pid)
        self.port_counters.add(container)
        self.following.add(container)
        self.following.again(container.granted)
        self._announce(container)
        log.info("container %s: %s", name, ", ".join(map(str, container.addresses)))
        return {"container": container.describe()}

    def container_files(self, name, pid):
        """From now on the files that process `pid` sees show the device, and follow it."""
        container = self.registry.named(name)
        self.files.add(container, pid)
        self.files.refresh(container)
        return {}

    def container_remove(self, name, member=None):
        """member: only that one leaves; the container goes with the last."""
        if member and self.registry.named(name).members - {member}:
            self.registry.named(name).members.discard(member)
            return {}
        container = self.registry.remove(name)
        self.following.remove(container)
        self.files.remove(container)
        self.port_counters.remove(container)
        self.nics.container_remove(container)
        self.sessions.end_all(container, errno.ENODEV)
        self.admission.forget(container)
        self.tcp.remove(container)
        self.hosts.gone(container.addresses)
        self.store.release(container.addresses)
        self.parties.remove(container)
        self.following.again(container.granted + container.taken)
        log.info("container %s: removed", name)
        return {}

    def container_addresses(self, name, addresses):
        """Its programs' GID tables follow at once, and an event tells them. Connections stay as they are."""
        container, table = self.registry.update(name, addresses)
        links = container.links
        self.following.read(container)  # its interfaces may have others, which it may take
        self._on_followed(container, table, container.links != links)
        self.following.again({*filter(None, table), *container.granted})
        return {"container": container.describe()}

    def _announce(self, container):
        """To whoever sends to its addresses."""
        self.parties.add(container)
        self.nics.container_add(container)
        self.hosts.here(container.addresses)
        self.store.claim(container)
        self.tcp.add(container)

    def _readdress(self, container, table):
        """Its table of addresses was another one. Connections keep what they were made with."""
        lost = {address for address in table if address} - set(container.addresses)
        if not container.is_host:
            self.hosts.gone(lost)
            self.store.release(lost)
            self._announce(container)
        else:
            self.parties.add(container)
            self.tcp.add(container)
        self.sessions.set_gids(container)
        log.info("container %s: now %s", container.name, ", ".join(map(str, container.addresses)))

    def container_list(self):
        return {"containers": [container.describe() for container in self.registry]}

    def policy_show(self, container=None):
        """What is in force, and which record says it; with `container`, its sessions' limits."""
        said = {"file": self.policy_file.path, "error": self.policy_file.error}
        if container is not None:
            known = self.registry.named(container)
            limits, records = self.sessions.limits_of(known)
            said |= {"container": known.name, "tenant": known.tenant, "sessions": limits, "records": records,
                     "reach": self.parties.reaches(known), "rates": self.rates.describe(known)}
        return said

    def set_polling(self, mode):
        if mode not in MODES:
            raise Refused(errno.EINVAL, f"unknown polling mode {mode!r}; known are {', '.join(MODES)}")
        self.reactor.set_polling(mode)
        return {"polling": mode}

    def set_faults(self, plan):
        """For tests and benchmarks: a bad network, made here. `plan`: as the set_faults of the NICs take it."""
        try:
            self.nics.set_faults(plan)
        except (ValueError, OverflowError, TypeError) as error:
            raise Refused(errno.EINVAL, f"faults: {error}") from None
        log.warning("faults on purpose: %s", plan or "none any more")
        return {}

    def set_hosts(self, hosts):
        """Replaces the map. Connections that exist stay where they are; new ones follow it."""
        if self.store.name != Store.name:
            raise Refused(errno.EPERM, f"the map comes from {self.store.name}")
        own, elsewhere, tenants = static.parse(hosts, addresses.own())
        self._settle(own)
        self.hosts.replace(elsewhere, tenants)
        log.info("%d other hosts, %d virtual addresses; this one is %s, RoCE MTU %d", len(self.hosts.others()),
                 len(elsewhere), own, self.nics.mtu)
        return {"address": str(own), "mtu": self.nics.mtu}

    def use_map(self, hosts=None, etcd=None):
        """Where the map comes from, said once before start(): `hosts`, a written one as set_hosts takes it, or `etcd`,
        its Settings. Raises ValueError, OSError."""
        if etcd:
            from ffr.map.etcd import EtcdStore  # here: gRPC is 25 MB, which a host that is alone has no use for
            own = etcd.own_address(addresses.own())
            self._settle(own)
            if self.policy_file.path is None:
                self.policy_file = SharedPolicy(policy_key(etcd.prefix).decode(), self._policy_copy, self._use_policy)
                self.store = EtcdStore(self.hosts, own, etcd, self.policy_file.take)
            else:
                self.store = EtcdStore(self.hosts, own, etcd)
        elif hosts is not None:
            try:
                self.set_hosts(hosts)
            except Refused as refusal:
                raise ValueError(f"the map of hosts: {refusal.reason}") from None
        elif self.nics.alone:
            raise ValueError(f"the {self.nics.nic} NIC needs to know this host's address: --etcd or --hosts (docs/map.md) say it")

    def _settle(self, own):
        """This host is `own` among the others."""
        self.nics.open(own)
        self.hosts.own = own
        self.tcp.hosts.set_own(own)

    def stop(self):
        self._stopped.set()
        return {}

    def _ops(self):
        return {
            "status": (self.status, {}),
            "container.add": (self.container_add, {"name": str, "netns": str, "addresses": list, "tenant?": str,
                                                   "allow?": list, "pid?": int, "labels?": dict, "member?": str}),
            "container.files": (self.container_files, {"name": str, "pid": int}),
            "container.addresses": (self.container_addresses, {"name": str, "addresses": list}),
            "container.remove": (self.container_remove, {"name": str, "member?": str}),
            "container.list": (self.container_list, {}),
            "hosts.set": (self.set_hosts, {"hosts": dict}),
            "faults": (self.set_faults, {"plan": dict}),
            "policy.show": (self.policy_show, {"container?": str}),
            "polling": (self.set_polling, {"mode": str}),
            "sessions": (lambda: {"sessions": self.sessions.describe()}, {}),
            "stop": (self.stop, {}),
        }

    def _on_followed(self, container, table, links_changed):
        if container.table != table:
            self._readdress(container, table)
        if links_changed:
            self.sessions.set_port(container)
            log.info("container %s: its link is %s", container.name, "up" if container.port_up else "down")
        self.files.refresh(container)

    def _on_moved(self, changes):
        self.parties.moved([address for address, host in changes.items() if host])  # before anybody can be connected to it
        self.nics.moved(changes)
        self.parties.moved([address for address, host in changes.items() if not host])
        self.tcp.hosts.moved(changes)
        self.nics.measure(self.hosts.others())
        self.following.again(address for address, host in changes.items() if host is not HERE)

    def _use_policy(self, settings):
        """Raises ValueError, having changed nothing."""
        self.sessions.set_policy(settings)
        self.parties.replaced()
        self.rates.replaced()
        self.tcp.set_reach(self.policies.reach)

    def _on_ended(self, container, number):
        self.port_counters.ended(container, number)
        self.parties.ended(number)
        self.rates.ended(number)

    def _on_reaped(self):
        try:
            os.eventfd_read(self.reactor.reaped_fd)
        except BlockingIOError:
            pass
        self.sessions.reap()


def _add_member(container, member):
    """Raises Refused."""
    if len(member) > LABEL_LENGTH_MAX or len(container.members) >= MEMBERS_MAX:
        raise Refused(errno.ENOSPC, f"member: at most {MEMBERS_MAX} of {LABEL_LENGTH_MAX} characters")
    container.members.add(member)


def _check_labels(labels):
    """Raises Refused."""
    if len(labels) > LABELS_MAX or not all(isinstance(value, str) and len(name) + len(value) <= LABEL_LENGTH_MAX
                                           for name, value in labels.items()):
        raise Refused(errno.EINVAL, f"labels: at most {LABELS_MAX} texts of {LABEL_LENGTH_MAX} characters")


def _version():
    try:
        return version("freeflow")
    except PackageNotFoundError:
        return "not installed"
