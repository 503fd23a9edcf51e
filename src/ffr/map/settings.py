"""Where etcd is and how it is spoken to: the table [etcd] of the file of `freeflow router --hosts`, or `--etcd URLS`.

    [etcd]
    endpoints = ["https://10.31.0.1:2379", "https://10.31.0.2:2379"]
    address = "10.31.0.1"      # this host's on the underlay; found out where there is no doubt
    prefix = "/freeflow/"      # several maps can share an etcd
    lease_s = 10               # how long the others believe in this host when nothing is heard of it
    ca = "/etc/freeflow/ca.pem"
    cert = "/etc/freeflow/host.pem"
    key = "/etc/freeflow/host.key"
    user = "rack7-3"
    password_file = "/etc/freeflow/password"
"""

import ipaddress
import os
import socket
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from ffr.map.records import PREFIX

PORT = 2379
LEASE_S_MIN, LEASE_S_MAX = 2, 3600
ENDPOINTS_MAX = 16


@dataclass(frozen=True)
class Endpoint:
    host: str
    port: int
    secure: bool

    @classmethod
    def of(cls, url):
        """http://HOST[:PORT], https://… or HOST[:PORT]. Raises ValueError."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError(f"etcd endpoint {url!r}: http://HOST:PORT or https://HOST:PORT is needed")
        return cls(parts.hostname, parts.port or PORT, parts.scheme == "https")

    @property
    def target(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self):
        return f"{'https' if self.secure else 'http'}://{self.target}"


@dataclass(frozen=True)
class Settings:
    """Checked; the files are read when a connection is made, so that renewed certificates are found."""

    endpoints: tuple
    address: object = None
    prefix: str = PREFIX
    lease_s: int = 10
    ca: str = None
    cert: str = None
    key: str = None
    user: str = None
    password_file: str = None

    @classmethod
    def of_table(cls, table):
        """Raises ValueError."""
        known = {field.name for field in fields(cls)}
        if unknown := set(table) - known:
            raise ValueError(f"[etcd]: unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
        table = dict(table)
        urls = table.pop("endpoints", None)
        if not isinstance(urls, list) or not 0 < len(urls) <= ENDPOINTS_MAX or not all(isinstance(u, str) for u in urls):
            raise ValueError(f"[etcd]: endpoints: a list of 1 to {ENDPOINTS_MAX} URLs is needed")
        if "address" in table:
            table["address"] = ipaddress.ip_address(table["address"])
        made = cls(tuple(map(Endpoint.of, urls)), **table)
        made._check()
        return made

    def _check(self):
        for name in ("prefix", "ca", "cert", "key", "user", "password_file"):
            if not isinstance(getattr(self, name), (str, type(None))):
                raise ValueError(f"[etcd]: {name}: a text is needed")
        if type(self.lease_s) is not int or not LEASE_S_MIN <= self.lease_s <= LEASE_S_MAX:
            raise ValueError(f"[etcd]: lease_s: {LEASE_S_MIN} to {LEASE_S_MAX} whole seconds")
        if not self.prefix.isascii() or not self.prefix.endswith("/") or len(self.prefix) > 256:
            raise ValueError("[etcd]: prefix: ASCII that ends with /")
        if bool(self.cert) != bool(self.key) or bool(self.user) != bool(self.password_file):
            raise ValueError("[etcd]: cert goes with key, user with password_file")

    def credentials(self):
        """(CA, key, certificate) as bytes, None where not given. Raises OSError."""
        return tuple(path and Path(path).read_bytes() for path in (self.ca, self.key, self.cert))

    def password(self):
        return Path(self.password_file).read_text().strip()

    def own_address(self, own):
        """Which of this machine's addresses is its own among hosts: the one that was said; or the one below
        HOST_IP_PREFIX; or the one that etcd is reached from; or the only one. Raises ValueError."""
        if self.address:
            if self.address not in own:
                raise ValueError(f"{self.address} is not an address of this host: it has {', '.join(map(str, own))}")
            return self.address
        wanted = _below(os.environ.get("HOST_IP_PREFIX"), own) or _towards(self.endpoints, own) or own
        if len(wanted) != 1:
            raise ValueError(f"which is this host's address on the underlay? Say --address: {', '.join(map(str, own))}")
        return wanted[0]


def _below(prefix, own):
    if not prefix:
        return ()
    try:
        network = ipaddress.ip_network(prefix, strict=False)
    except ValueError:
        raise ValueError(f"HOST_IP_PREFIX {prefix!r} is no network") from None
    return tuple(a for a in own if a.version == network.version and a in network)


def _towards(endpoints, own):
    """Asks the kernel's routes; nothing is sent."""
    for endpoint in endpoints:
        try:
            host = ipaddress.ip_address(endpoint.host)
            with socket.socket(socket.AF_INET if host.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
                probe.connect((str(host), endpoint.port))
                source = ipaddress.ip_address(probe.getsockname()[0])
        except (ValueError, OSError):  # a name, or no route yet
            continue
        if source in own and not source.is_loopback:
            return (source,)
    return ()
