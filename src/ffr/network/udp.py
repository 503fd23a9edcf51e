"""UDP sockets as the NIC needs them, and what the kernel knows of a path."""

import logging
import os
import socket

log = logging.getLogger(__name__)

PORT = 4791
BUFFER_BYTES = 16 << 20  # of the socket, each way: more than the largest window
# linux/in.h, linux/udp.h, asm-generic/socket.h
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24
IP_FREEBIND, IPV6_FREEBIND = 15, 78
UDP_GRO = 104
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def open_socket(address, buffer_bytes=BUFFER_BYTES, early=False, peer=None):
    """A UDP socket at port 4791 of an address, set up for packets whose checksum covers their IP header: no
    fragmentation, and an identification that is known beforehand. early: the address may come later. peer: it hears that
    host's packets alone, beside one that hears all (share). Raises OSError."""
    v4 = address.version == 4
    one = socket.socket(socket.AF_INET if v4 else socket.AF_INET6,
                        socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if v4:
            one.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        else:
            one.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO)
        if early:
            one.setsockopt(*((socket.IPPROTO_IP, IP_FREEBIND) if v4 else (socket.IPPROTO_IPV6, IPV6_FREEBIND)), 1)
        for force, ask in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                one.setsockopt(socket.SOL_SOCKET, force, buffer_bytes)
            except PermissionError:
                one.setsockopt(socket.SOL_SOCKET, ask, buffer_bytes)  # as much as net.core.*mem_max allows
        try:
            one.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        except OSError:
            log.info("no UDP GRO here: packets are received one by one")
        if peer:
            share(one)
        one.bind((str(address), PORT))
        if peer:
            one.connect((str(peer), PORT))
    except OSError as error:
        one.close()
        raise OSError(error.errno, f"UDP port {PORT} of {address}: {os.strerror(error.errno)}") from None
    return one


def share(one):
    """Others of this user's may be bound to the same address from now on. Not before the first one is bound, which would
    share with another router."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def puts_together(one):
    """Whether the kernel hands over packets that it has put together (UDP GRO)."""
    try:
        return bool(one.getsockopt(socket.IPPROTO_UDP, UDP_GRO))
    except OSError:
        return False


def path_mtu(address):
    """Bytes of an IP packet that reach an address whole, as far as the kernel knows."""
    v4 = address.version == 4
    with socket.socket(socket.AF_INET if v4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), PORT))
            return probe.getsockopt(*((socket.IPPROTO_IP, IP_MTU) if v4 else (socket.IPPROTO_IPV6, IPV6_MTU)))
        except OSError:
            return 1500
