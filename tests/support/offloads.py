"""What a network interface does for the kernel, switched off and on: `ethtool -K DEV tx off`, without ethtool."""

import re
import subprocess
import sys

# linux/sockios.h, linux/ethtool.h
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17

SWITCH = f"""
import ctypes, fcntl, socket, sys
value = (ctypes.c_uint32 * 2)({ETHTOOL_STXCSUM}, int(sys.argv[2]))
request = sys.argv[1].encode().ljust(16, b"\\0") + ctypes.addressof(value).to_bytes(8, sys.byteorder) + bytes(16)
fcntl.ioctl(socket.socket(), {SIOCETHTOOL}, request)
"""


def interface_to(lab, host, address):
    """The name of the interface by which a host of a lab reaches an address."""
    said = lab.exec(host, "ip", "route", "get", address, mode="plain")
    return re.search(r" dev (\S+)", said.stdout)[1]


def set_checksums(lab, host, interface, on):
    """Whether the interface sums packets up. The kernel then does that, and cuts up large sends, TCP's too, before it."""
    done = lab.exec(host, sys.executable, "-c", SWITCH, interface, int(on), mode="plain")
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr)
