"""This host's place among others: the UDP socket that carries RoCE between hosts, and the map of virtual addresses.

Containers have virtual addresses; hosts have addresses of their own, the underlay's. The map says behind which host a
virtual address is. It comes from whoever knows: a TOML file, the lab, an orchestrator (op hosts.set).
"""

import errno
import ipaddress
import logging
import os
import socket
import tomllib

from ffr import addresses as ip
from ffr.errors import Refused
from ffr.nic import roce, roce_map

log = logging.getLogger(__name__)

PORT = 4791
BUFFER_BYTES = 16 << 20  # of the socket, each way: more than the largest window
PACKET_OVERHEAD = 100  # bytes beside a packet's payload: IP 40, UDP 8, the longest headers 44, a pad, the ICRC
MTUS = (4096, 2048, 1024, 512, 256)
MAP_MAX = 32768  # virtual addresses
# linux/in.h, linux/udp.h, asm-generic/socket.h
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24
UDP_GRO = 104
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


class Underlay:
    def __init__(self, reactor, own=ip.own):
        """`own`: gives the addresses of this process's network namespace."""
        self._reactor, self._own = reactor, own
        self._socket = None
        self.address = None  # this host's, once it is known
        self.mtu = MTUS[0]
        self._hosts = {}  # address -> set of virtual addresses, those of other hosts

    def close(self):
        if self._socket:
            roce_map.set_socket(0, -1, str(self.address))
            self._socket.close()

    def load(self, path):
        """A map from a file: a table `hosts` of host address = [virtual addresses and small networks]."""
        try:
            with open(path, "rb") as file:
                hosts = tomllib.load(file).get("hosts")
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"the map of hosts {path}: {error}") from None
        if not isinstance(hosts, dict):
            raise ValueError(f"the map of hosts {path}: there is no table [hosts]")
        try:
            self.set_hosts(hosts)
        except Refused as refusal:
            raise ValueError(f"the map of hosts {path}: {refusal.reason}") from None

    def set_hosts(self, hosts):
        """Replaces the map: host address -> virtual addresses. What is gone from it is forgotten; connections stay."""
        wanted = parse(hosts)
        mine = [address for address in wanted if address in self._own()]
        if len(mine) != 1:
            raise Refused(errno.EINVAL, f"{len(mine)} of these hosts are this one: its addresses are"
                                        f" {', '.join(map(str, self._own()))}")
        self._open(mine[0])
        others = {host: virtual | {host} for host, virtual in wanted.items() if host != self.address}
        gone = set().union(*self._hosts.values()) - set().union(*others.values())
        for address in gone:
            roce_map.forget(ip.gid(address))
        for host, virtual in others.items():
            for address in virtual - self._hosts.get(host, set()):
                roce_map.place(ip.gid(address), str(host))
        self._hosts = others
        self._measure()
        log.info("%d hosts, %d virtual addresses; this one is %s, RoCE MTU %d", len(wanted),
                 sum(map(len, others.values())), self.address, self.mtu)
        return {"address": str(self.address), "mtu": self.mtu}

    def here(self, container):
        """A container of this host: whatever a map says of its addresses."""
        for address in container.addresses:
            roce_map.place(ip.gid(address))

    def gone(self, container):
        """It has left this host. The map may know where to."""
        for address in container.addresses:
            host = next((h for h, virtual in self._hosts.items() if address in virtual), None)
            roce_map.place(ip.gid(address), str(host)) if host else roce_map.forget(ip.gid(address))

    def status(self):
        return {"address": str(self.address) if self.address else None, "mtu": self.mtu,
                "hosts": {str(host): len(virtual) for host, virtual in self._hosts.items()},
                "counters": roce.counters(), "paths": roce.windows()}

    def _open(self, address):
        if address == self.address:
            return
        fresh = open_socket(address)
        roce_map.set_socket(0, fresh.fileno(), str(address))
        if self._socket:
            self._socket.close()
        self._socket, self.address = fresh, address

    def _measure(self):
        """The RoCE MTU that fits every host's path."""
        link = min((path_mtu(host) for host in self._hosts), default=1 << 16)
        self.mtu = next((mtu for mtu in MTUS if mtu + PACKET_OVERHEAD <= link), MTUS[-1])
        self._reactor.set_port_mtu(self.mtu)


def parse(hosts):
    """{address: {virtual addresses}} of a map as JSON or TOML has it. Raises Refused."""
    wanted = {}
    try:
        for host, virtual in hosts.items():
            if not isinstance(virtual, list):
                raise ValueError(f"{host}: a list of addresses is needed")
            wanted[ipaddress.ip_address(host)] = set().union(*map(_expand, virtual))
    except ValueError as error:
        raise Refused(errno.EINVAL, str(error)) from None
    listed = [address for virtual in wanted.values() for address in virtual]
    if len(listed) != len(set(listed)):
        twice = next(a for a in listed if listed.count(a) > 1)
        raise Refused(errno.EINVAL, f"{twice} is on two hosts")
    if len(listed) + len(wanted) > MAP_MAX:
        raise Refused(errno.ENOSPC, f"{len(listed)} virtual addresses, more than {MAP_MAX}")
    return wanted


def _expand(text):
    network = ipaddress.ip_network(text, strict=False)
    if network.num_addresses > 4096:
        raise ValueError(f"{text}: at most 4096 addresses; name the containers' own")
    return set(network)


def open_socket(address):
    """A UDP socket at port 4791 of an address, set up for packets whose checksum covers their IP header: no
    fragmentation, and an identification that is known beforehand. Raises OSError."""
    v4 = address.version == 4
    one = socket.socket(socket.AF_INET if v4 else socket.AF_INET6,
                        socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if v4:
            one.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        else:
            one.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO)
        for force, ask in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                one.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
            except PermissionError:
                one.setsockopt(socket.SOL_SOCKET, ask, BUFFER_BYTES)  # as much as net.core.*mem_max allows
        try:
            one.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        except OSError:
            log.info("no UDP GRO here: packets are received one by one")
        one.bind((str(address), PORT))
    except OSError as error:
        one.close()
        raise OSError(error.errno, f"UDP port {PORT} of {address}: {os.strerror(error.errno)}") from None
    return one


def path_mtu(address):
    """Bytes of an IP packet that reach an address whole, as far as the kernel knows."""
    v4 = address.version == 4
    with socket.socket(socket.AF_INET if v4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), PORT))
            return probe.getsockopt(*((socket.IPPROTO_IP, IP_MTU) if v4 else (socket.IPPROTO_IPV6, IPV6_MTU)))
        except OSError:
            return 1500
