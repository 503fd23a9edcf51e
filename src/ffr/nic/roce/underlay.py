"""This host's place among others: the UDP socket that carries RoCE between hosts, and where the NIC sends what.

Containers have virtual addresses; hosts have addresses of their own, the underlay's. Behind which host a virtual
address is says the map (ffr/map); what it says is handed to the NIC here.
"""

import logging

from ffr.network import addresses as ip
from ffr.map.hosts import HERE
from ffr.nic.backend import Backend
from ffr.nic.roce import driver as roce, map as roce_map
from ffr.nic.roce.foreign import ForeignSockets
from ffr.nic.roce.streams import Streams
from ffr.network.udp import open_socket, path_mtu, puts_together, share

log = logging.getLogger(__name__)

PACKET_OVERHEAD = {4: 96, 6: 116}  # bytes beside a full payload: IP 20 or 40, UDP 8, the longest headers 64, ICRC 4
IP_AND_UDP = {4: 28, 6: 48}  # bytes of a packet beside a datagram's
MTUS = (4096, 2048, 1024, 512, 256)
EARS = range(1025, 2049)  # numbers of the NIC's sockets (ROCE_SOCKETS) that hear one host each


class Underlay(Backend):
    """Without a socket until the address of this host is known, which is when there are others.

    nic: what containers are reached by. auto: each other in memory (the local NIC), others by the roce NIC. local: only
    each other. roce: also each other through packets, which this host sends to itself, for tests; foreign peers, whose
    packets know nothing of hosts, are not reached then.

    link: what carries connected QPs' packets to other routers: udp, or streams (streams.py), which need the hosts' key.
    """

    def __init__(self, reactor, nic, link="udp", key=None):
        if link == "stream" and not key:
            raise ValueError("--link stream needs --key FILE, the hosts' common secret, by which routers know each other"
                             " (docs/roce.md)")
        if link == "stream" and nic == "roce":
            raise ValueError("--link stream is between hosts; with --nic roce a host would call itself")
        roce.open_nic(reactor.router, streaming=link == "stream")
        self.link = link
        self.streams = Streams(key) if link == "stream" else None
        self._reactor = reactor
        self.nic = nic
        self._socket = None
        self.address = None  # this host's, once it is known
        self.mtu = MTUS[0]
        self.foreign = ForeignSockets(nic == "auto")
        self._ears = {}  # other host -> (number, socket): a flood from elsewhere does not fill its buffer
        self._links = {}  # other host -> bytes of a packet that its path carries

    def close(self):
        if self.streams:
            self.streams.close()
        self.foreign.close()
        self._hear(())
        if self._socket:
            roce_map.set_socket(0, -1, str(self.address))
            self._socket.close()

    def open(self, address):
        """This host is `address` among the others. Raises OSError."""
        if address == self.address or self.nic == "local":
            return
        self._hear(())
        fresh = open_socket(address)
        share(fresh)
        roce_map.set_socket(0, fresh.fileno(), str(address))
        if self._socket:
            self._socket.close()
        self._socket, self.address = fresh, address
        self._hear(self._links)
        if self.streams:
            self.streams.open(address)
            self.streams.measure(self._links)
        if self.nic == "roce":
            roce_map.place(ip.gid(address), str(address))
            roce_map.set_link(str(address), path_mtu(address) - IP_AND_UDP[address.version])

    def container_add(self, container):
        self.foreign.add(container)

    def container_remove(self, container):
        self.foreign.remove(container)

    def moved(self, changes):
        """Listens to the map (ffr/map/hosts.py). Connections that exist stay where they are."""
        for address, host in changes.items():
            try:
                if host is None:
                    roce_map.forget(ip.gid(address))
                elif host is HERE and self.nic == "roce":
                    roce_map.place(ip.gid(address), str(self.address))
                elif host is HERE:
                    roce_map.place(ip.gid(address), socket=self.foreign.number_of(address))
                elif self.address:
                    roce_map.place(ip.gid(address), str(host))
            except OSError as error:  # the table is full
                log.error("%s is not reached: %s", address, error.strerror)

    def measure(self, hosts):
        """The RoCE MTU that fits the paths to all of these hosts."""
        self._hear(hosts)
        if self.streams:
            self.streams.measure(hosts)
        self._links = {host: self._links.get(host) or path_mtu(host) for host in hosts}
        for host, link in self._links.items():
            roce_map.set_link(str(host), link - IP_AND_UDP[host.version])
        room = min((link - PACKET_OVERHEAD[host.version] for host, link in self._links.items()), default=MTUS[0])
        mtu = next((mtu for mtu in MTUS if mtu <= room), MTUS[-1])
        if mtu != self.mtu:
            self.mtu = mtu
            self._reactor.set_port_mtu(mtu)

    def _hear(self, hosts):
        """A socket for each of these; whom there is none for is heard through the first."""
        for host in [host for host in self._ears if host not in hosts]:
            number, one = self._ears.pop(host)
            roce_map.set_socket(number, -1, str(self.address))
            one.close()
        used = {number for number, _ in self._ears.values()}
        free = (number for number in EARS if number not in used)
        for host in hosts:
            if host in self._ears or not self._socket or host.version != self.address.version:
                continue
            try:
                number, one = next(free), open_socket(self.address, peer=host)
                roce_map.set_socket(number, one.fileno(), str(self.address), alike=True)
                self._ears[host] = number, one
            except (OSError, StopIteration) as error:
                log.info("%s has no socket of its own: %s", host, error)

    @staticmethod
    def set_faults(plan):
        roce_map.set_faults(**plan)

    def status(self):
        return {"nic": self.nic, "link": self.link, "streams": self.streams.status() if self.streams else {}, "address": str(self.address) if self.address else None, "mtu": self.mtu,
                "gso": roce.segments(), "gro": bool(self._socket and puts_together(self._socket)),
                "foreign_sockets": len(self.foreign), "counters": roce.counters(), "faults": roce.faults(),
                "paths": roce.windows()}
