"""An etcd of a test's own, on loopback: to be killed, started again, emptied."""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from freeflow.lab import etcd

ADDRESS = "127.0.0.1"


class Etcd:
    """url; ctl() to look at it from outside. A test that fails half-way calls remove() all the same (a fixture)."""

    def __init__(self, scheme="http", options=()):
        """options: further ones of etcd. https: with a certificate that `ca` vouches for, itself."""
        self.directory = Path(tempfile.mkdtemp(prefix="ff-etcd-"))
        self.scheme, self.options = scheme, [*options, *(self._certify() if scheme == "https" else [])]
        self.ports = free_ports(2)
        self.process = None
        self.start()

    @property
    def url(self):
        return f"{self.scheme}://{ADDRESS}:{self.ports[0]}"

    @property
    def ca(self):
        return str(self.directory / "cert.pem")

    def _certify(self):
        key = str(self.directory / "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=etcd",
                        "-addext", f"subjectAltName=IP:{ADDRESS}", "-keyout", key, "-out", self.ca],
                       check=True, capture_output=True)
        return [f"--cert-file={self.ca}", f"--key-file={key}"]

    def start(self):
        log = self.directory / "log"
        self.process = etcd.start(self.directory / "data", log, ADDRESS, ports=self.ports, scheme=self.scheme,
                                  options=self.options)
        etcd.wait_ready(self.process, log, lambda: etcd.accepts_at(ADDRESS, self.ports[0]))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def forget(self):
        """All that it had; while it is dead."""
        shutil.rmtree(self.directory / "data")

    def ctl(self, *words, **options):
        """etcdctl's output."""
        done = subprocess.run(["etcdctl", f"--endpoints={self.url}", *self._trust(), *words], env={"ETCDCTL_API": "3", "PATH": "/usr/bin"},
                              capture_output=True, text=True, timeout=20, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _trust(self):
        return [f"--cacert={self.ca}"] if self.scheme == "https" else []

    def remove(self):
        self.kill()
        shutil.rmtree(self.directory)


def free_ports(count):
    """Ports that nobody has now. Somebody may take one before it is used; then etcd says so."""
    held = [socket.create_server((ADDRESS, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return tuple(ports)
