"""The descriptor of /dev/userfaultfd that programs get: with it their library changes mappings and stops no thread.

What is handed out, and what it lets a container do, says docs/design-memory.md ("What the router hands out").
"""

import errno
import os

DEVICE = "/dev/userfaultfd"
WISHES = ("auto", "off")


class Userfaultfd:
    """fd: a descriptor, or None. why_not: a line for a person, empty when there is one."""

    def __init__(self, wish="auto", device=DEVICE):
        self.fd, self.why_not = None, ""
        if wish == "off":
            self.why_not = "the router was started with --userfaultfd off"
            return
        try:
            self.fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            old = error.errno == errno.ENOENT
            self.why_not = f"the router cannot open {device}: {os.strerror(error.errno)}" + (" (Linux 6.1 has it)" if old else "")

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
