"""This host's place among others: the UDP socket that carries RoCE between hosts, and where the NIC sends what.

Containers have virtual addresses; hosts have addresses of their own, the underlay's. Behind which host a virtual
address is says the map (ffr/map); what it says is handed to the NIC here.
"""

import logging
import os
import socket

from ffr import addresses as ip
from ffr.map.hosts import HERE
from ffr.nic import roce, roce_map

log = logging.getLogger(__name__)

PORT = 4791
BUFFER_BYTES = 16 << 20  # of the socket, each way: more than the largest window
PACKET_OVERHEAD = {4: 96, 6: 116}  # bytes beside a full payload: IP 20 or 40, UDP 8, the longest headers 64, ICRC 4
MTUS = (4096, 2048, 1024, 512, 256)
# linux/in.h, linux/udp.h, asm-generic/socket.h
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24
UDP_GRO = 104
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


class Underlay:
    """Without a socket until the address of this host is known, which is when there are others."""

    def __init__(self, reactor):
        self._reactor = reactor
        self._socket = None
        self.address = None  # this host's, once it is known
        self.mtu = MTUS[0]
        self._links = {}  # other host -> bytes of a packet that its path carries

    def close(self):
        if self._socket:
            roce_map.set_socket(0, -1, str(self.address))
            self._socket.close()

    def open(self, address):
        """This host is `address` among the others. Raises OSError."""
        if address == self.address:
            return
        fresh = open_socket(address)
        roce_map.set_socket(0, fresh.fileno(), str(address))
        if self._socket:
            self._socket.close()
        self._socket, self.address = fresh, address

    def moved(self, changes):
        """Listens to the map (ffr/map/hosts.py). Connections that exist stay where they are."""
        for address, host in changes.items():
            try:
                if host is None:
                    roce_map.forget(ip.gid(address))
                elif host is HERE:
                    roce_map.place(ip.gid(address))
                elif self.address:
                    roce_map.place(ip.gid(address), str(host))
            except OSError as error:  # the table is full
                log.error("%s is not reached: %s", address, error.strerror)

    def measure(self, hosts):
        """The RoCE MTU that fits the paths to all of these hosts."""
        self._links = {host: self._links.get(host) or path_mtu(host) for host in hosts}
        room = min((link - PACKET_OVERHEAD[host.version] for host, link in self._links.items()), default=MTUS[0])
        mtu = next((mtu for mtu in MTUS if mtu <= room), MTUS[-1])
        if mtu != self.mtu:
            self.mtu = mtu
            self._reactor.set_port_mtu(mtu)

    def status(self):
        return {"address": str(self.address) if self.address else None, "mtu": self.mtu,
                "counters": roce.counters(), "paths": roce.windows()}


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
