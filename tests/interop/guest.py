"""The guest: boots on a tap of a network namespace, and runs commands for tests.

    guest = Guest("/run/netns/ff-lab-h1", bridge="overlay", address="10.32.200.1/16", control="10.31.0.200/24")
    guest.run("ibv_devinfo").stdout
"""

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import image
from freeflow.lab import linux

BOOT_S = 120.0  # on a busy machine; 6 s otherwise
PORT = 7777
TAP = "guest0"
STATUS_MARK = "guest-exit-status:"
# Emulated, for a /dev/kvm is no promise: there are machines whose KVM starts a guest that never runs.
QEMU = ["qemu-system-x86_64", "-machine", "q35,hpet=off", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2",
        "-m", "512M", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
KERNEL_WORDS = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable"


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: str  # and what went to standard error


class Guest:
    def __init__(self, netns, bridge, address, control, mtu=1500):
        """address: what rxe's GID 1 is made of. control: one that `netns` itself reaches, for commands."""
        self.netns, self.address, self.control = str(netns), address.split("/")[0], control.split("/")[0]
        self.directory = Path(tempfile.mkdtemp(prefix="ff-guest-"))
        self.console = self.directory / "console.log"
        kernel, initramfs = image.built()
        batch = f"tuntap add {TAP} mode tap\nlink set {TAP} mtu {mtu} master {bridge} up\n"
        subprocess.run(["nsenter", f"--net={self.netns}", "ip", "-batch", "-"], input=batch, text=True, check=True)
        words = f"{KERNEL_WORDS} ip={address} also={control} mtu={mtu}"
        with open(self.directory / "qemu.log", "wb") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net={self.netns}", *QEMU, "-kernel", kernel, "-initrd", initramfs, "-append", words,
                 "-serial", f"file:{self.console}", "-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no",
                 "-device", "virtio-net-pci,netdev=net,romfile="],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._await()
        except BaseException:
            self.remove()
            raise

    def _await(self):
        deadline = time.monotonic() + BOOT_S
        while "guest: up" not in (said := self.console.read_text(errors="replace") if self.console.exists() else ""):
            assert self.process.poll() is None, f"QEMU ended: {(self.directory / 'qemu.log').read_text()}; {said[-2000:]}"
            assert time.monotonic() < deadline, f"the guest did not come up: {said[-2000:]}"
            time.sleep(0.1)

    def run(self, command, timeout_s=60.0):
        """A line of shell, in the foreground."""
        return self.start(command).wait(timeout_s)

    def start(self, command):
        """The same, to be waited for."""
        return Command(inside(self.netns, lambda: socket.create_connection((self.control, PORT), 20)), command)

    def remove(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Command:
    def __init__(self, connection, command):
        self._connection, self._said = connection, b""
        connection.sendall(f"( {command} )\necho {STATUS_MARK}$?\nexit\n".encode())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        self._connection.settimeout(None)
        with suppress(OSError):  # closed by wait(), which had enough
            self._take()

    def _take(self):
        while not self._said.rpartition(b"\n")[0].rpartition(b"\n")[2].startswith(STATUS_MARK.encode()):
            if not (more := self._connection.recv(65536)):
                break
            self._said += more

    def wait(self, timeout_s=60.0):
        self._reader.join(timeout_s)
        late = self._reader.is_alive()
        self._connection.close()
        text = self._said.decode(errors="replace")
        said, _, status = text.rpartition(STATUS_MARK)
        return Ended(124 if late or not status.strip().isdigit() else int(status), said if status else text)


def inside(netns, function):
    """Calls it in a thread of its own that is in another network namespace: what it opens is there."""
    result = []

    def enter():
        with open(netns) as descriptor:
            linux.setns(descriptor.fileno(), linux.CLONE_NEWNET)
        try:
            result.append(function())
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]
