"""What a network interface does for the kernel, switched off and on, as `ethtool -K` does, without ethtool."""

import re
import subprocess
import sys

# linux/sockios.h, linux/ethtool.h
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO = 0x8946, 0x17, 0x1f, 0x24, 0x2c

SWITCH = f"""
import ctypes, fcntl, socket, sys
interface, on, *features = sys.argv[1:]
for feature in features:
    value = (ctypes.c_uint32 * 2)(int(feature), int(on))
    request = interface.encode().ljust(16, b"\\0") + ctypes.addressof(value).to_bytes(8, sys.byteorder) + bytes(16)
    fcntl.ioctl(socket.socket(), {SIOCETHTOOL}, request)
"""


def interface_to(lab, host, address):
    """The name of the interface by which a host of a lab reaches an address."""
    said = lab.exec(host, "ip", "route", "get", address, mode="plain")
    return re.search(r" dev (\S+)", said.stdout)[1]


def set_checksums(lab, host, interface, on):
    """Whether the interface sums packets up. The kernel then does that, and cuts up large sends, TCP's too, before it."""
    switch(lab, host, interface, on, ETHTOOL_STXCSUM)


def set_segmentation(lab, host, interface, on):
    """The kernel's cutting up and putting together of packets: GSO, TSO, GRO."""
    switch(lab, host, interface, on, ETHTOOL_SGSO, ETHTOOL_STSO, ETHTOOL_SGRO)


def switch(lab, host, interface, on, *features):
    done = lab.exec(host, sys.executable, "-c", SWITCH, interface, int(on), *features, mode="plain")
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr)
