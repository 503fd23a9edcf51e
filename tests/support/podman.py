"""Podman as Debian has it, with storage of its own; its containers have this machine's files over a layer of their own."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CONTAINERS = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
"""
STORAGE = """
[storage]
driver = "vfs"
graphroot = "{place}/storage"
runroot = "{place}/run"
"""
MACHINE = ["--rootfs", "/:O"]  # the machine's files, over which the container writes into a layer of its own
TIMEOUT_S = 60


class Podman:
    def __init__(self, vendor):
        """vendor: of the CDI specs that are this test's own."""
        self.vendor = vendor
        self.place = Path(tempfile.mkdtemp(prefix=f"ff-test-{os.getpid()}-", dir="/tmp"))
        (self.place / "containers.conf").write_text(CONTAINERS)
        (self.place / "storage.conf").write_text(STORAGE.format(place=self.place))
        self.variables = {"CONTAINERS_CONF": str(self.place / "containers.conf"),
                          "CONTAINERS_STORAGE_CONF": str(self.place / "storage.conf")}

    def call(self, *words, **options):
        options = {"capture_output": True, "text": True, "timeout": TIMEOUT_S, "stdin": subprocess.DEVNULL,
                   "env": os.environ | self.variables} | options
        return subprocess.run(["podman", *map(str, words)], **options)

    def words(self, *command, device="rdma=ff0", options=(), of=MACHINE):
        return ["podman", "run", "--rm", "--device", f"{self.vendor}/{device}", *options, *of, *map(str, command)]

    def run(self, *command, **how):
        return self.call(*self.words(*command, **how)[1:])

    def start(self, *command, **how):
        return subprocess.Popen(self.words(*command, **how), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                env=os.environ | self.variables)

    def address(self, name):
        return self.call("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).stdout.strip()

    def image(self, name, *programs):
        """Makes an image of nothing but static programs."""
        root = self.place / "image"
        shutil.rmtree(root, ignore_errors=True)
        (root / "bin").mkdir(parents=True)
        for program in programs:
            shutil.copy(program, root / "bin")
        packed = subprocess.run(["tar", "-C", root, "-c", "."], capture_output=True, check=True).stdout
        done = self.call("import", "-", name, stdin=None, input=packed, text=False)
        assert done.returncode == 0, done.stderr

    def remove(self):
        self.call("rm", "--all", "--force", "--time", "0")
        subprocess.run(["umount", "-q", "-R", self.place / "storage"], capture_output=True)
        shutil.rmtree(self.place, ignore_errors=True)
