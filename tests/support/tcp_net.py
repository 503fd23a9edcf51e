"""A host of its own for TCP mode's tests: namespaces on a bridge, a broker, and programs run inside with or without."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "src/ffl/lib/libfsocket.so.1"
PREFIX = "10.32.0.0/16,fd32::/16"


def address(number):
    return f"10.32.1.{number}"


def address6(number):
    return f"fd32::1:{number}"


@contextmanager
def two_networks_with_brokers():
    """The same with c1 on one host and c2 on another; .accelerated() counts what either broker did."""
    with TwoHosts() as made:
        made.start_brokers()
        yield made


@contextmanager
def network_with_broker():
    """A Net with its broker as .router, and .accelerated() to count by."""
    with Net() as made:
        made.router = made.broker()
        made.routers = [made.router]
        yield made


class Net:
    """containers network namespaces c1, c2, ... with 10.32.1.n and fd32::1:n. Use with.

    directory (Path): any user can read it; the broker's socket is there, and a copy of the library. Programs have a
    container's usual rights, for who may change networks is given no link.
    """

    rights, routers = ("setpriv", "--bounding-set=-net_admin"), ()

    def __init__(self, containers=3):
        self.count = containers
        self.stack = ExitStack()
        self.pids = {}

    def __enter__(self):
        self.directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="ff-test-", dir="/tmp")))
        self.directory.chmod(0o755)
        shutil.copy(LIBRARY, self.directory)
        try:
            self._wire()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *error):
        self.stack.close()

    def _wire(self):
        host = self._namespace("host")
        self._ip("host", "link add br0 type bridge", "link set br0 up")
        for n in range(1, self.count + 1):
            pid = self._namespace(f"c{n}")
            self._ip("host", f"link add v{n} type veth peer name eth0 netns {pid}",
                     f"link set v{n} master br0 up")
            self._ip(f"c{n}", f"addr add {address(n)}/16 dev eth0", f"addr add {address6(n)}/64 dev eth0 nodad",
                     "link set eth0 up", "link set lo up")
        return host

    def _namespace(self, name):
        holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 100000"], stdout=subprocess.PIPE)
        holder.stdout.readline()  # it is inside
        self.stack.callback(end, holder)
        self.pids[name] = holder.pid
        return holder.pid

    def _ip(self, where, *commands):
        text = "".join(command + "\n" for command in commands)
        subprocess.run(["nsenter", "-t", str(self.pids[where]), "-n", "ip", "-batch", "-"], input=text, text=True,
                       check=True)

    def broker(self, serve=None, tenants=None):
        """Starts one for the containers named (all by default). Kill it with end(), ask it with counters()."""
        names = serve or [f"c{n}" for n in range(1, self.count + 1)]
        places = [f"/proc/{self.pids[c]}/ns/net={address(int(c[1:]))},{address6(int(c[1:]))}"
                  f"@{(tenants or {}).get(c, 0)}" for c in names]
        return self._start_broker("host", self.directory / "router.tcp.sock", places)

    def directory_of(self, where):
        """FREEFLOW_DIR of what runs there."""
        return self.directory

    def _start_broker(self, host, socket, words, wrapped=()):
        command = ["nsenter", "-t", str(self.pids[host]), "-n", *wrapped, sys.executable, "-m", "ffr.tcp", str(socket),
                   *words]
        broker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                  env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
        self.stack.callback(end, broker)
        assert broker.stdout.readline() == "ready\n"
        return broker

    def popen(self, where, command, plain=False, env=None, rights=None, **options):
        """command (a list; or Python source, a str) in container `where`, with libfsocket unless plain. rights: words that
        take rights away, or ()."""
        if isinstance(command, str):
            command = [sys.executable, "-c", command]
        extra = dict(env or {}, FREEFLOW_DIR=str(self.directory_of(where)), VNET_PREFIX=PREFIX)
        if not plain:
            extra["LD_PRELOAD"] = str(self.directory / LIBRARY.name)
        settings = [f"{key}={value}" for key, value in extra.items()]
        enter = ["nsenter", "-t", str(self.pids[where]), "-n", *(self.rights if rights is None else rights), "env", *settings]
        process = subprocess.Popen(enter + command, text=True, **options)
        self.stack.callback(end, process)
        return process

    def run(self, where, command, plain=False, timeout=60, check=True, **options):
        """Its output; fails with it when the program does."""
        process = self.popen(where, command, plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        output, _ = process.communicate(timeout=timeout)
        assert not check or process.returncode == 0, output
        return output

    def counted(self, name):
        return sum(counters(router)[name] for router in self.routers)

    def accelerated(self):
        return self.counted("accelerated")


class TwoHosts(Net):
    """c1 on one host, c2 on the other. Between the bridges lies the overlay, beside it the wire of the hosts' own."""

    def __init__(self):
        super().__init__(containers=2)

    def _wire(self):
        self._namespace("host")
        self._namespace("host2")
        for n, host in ((1, "host"), (2, "host2")):
            pid = self._namespace(f"c{n}")
            (self.directory / f"h{n}").mkdir()
            shutil.copy(LIBRARY, self.directory / f"h{n}")
            self._ip(host, "link add br0 type bridge", "link set br0 up", "link set lo up",
                     f"link add v{n} type veth peer name eth0 netns {pid}", f"link set v{n} master br0 up")
            self._ip(f"c{n}", f"addr add {address(n)}/16 dev eth0", f"addr add {address6(n)}/64 dev eth0 nodad",
                     "link set eth0 up", "link set lo up")
        for wire in ("wire", "overlay"):
            self._ip("host", f"link add {wire} type veth peer name {wire} netns {self.pids['host2']}")
        for n, host in ((1, "host"), (2, "host2")):
            self._ip(host, f"addr add 10.31.0.{n}/24 dev wire", "link set wire up", "link set overlay master br0 up")
        (self.directory / "key").write_text("not a secret outside this test")

    def start_brokers(self, wrapped=()):
        """Both, linked; .routers. wrapped: words before each one's own."""
        self.routers = [self.broker_of(1, wrapped), self.broker_of(2, wrapped)]
        self.await_links()

    def await_links(self):
        deadline = time.monotonic() + 10
        while not all(all(counters(router)["linked"]) for router in self.routers):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def broker_of(self, n, wrapped=()):
        other = 3 - n
        place = f"/proc/{self.pids[f'c{n}']}/ns/net={address(n)},{address6(n)}"
        elsewhere = [f"--at={a}=10.31.0.{other}" for a in (address(other), address6(other))]
        return self._start_broker("host" if n == 1 else "host2", self.directory / f"h{n}" / "router.tcp.sock",
                                  [place, f"--own=10.31.0.{n}", f"--key={self.directory / 'key'}", *elsewhere], wrapped)

    def directory_of(self, where):
        return self.directory / f"h{where[1:]}"


def counters(broker):
    broker.stdin.write("\n")
    return json.loads(broker.stdout.readline())


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


SERVER = """
import socket, sys, os, select, threading, time, struct
def serve(host="", port=5000, family=socket.AF_INET, **options):
    server = socket.create_server((host, port), family=family, **options)
    print("up", flush=True)
    return server
def kind(sock):
    link = os.readlink(f"/proc/self/fd/{sock.fileno()}")
    inode = link[8:-1]
    tables = "".join(open(f"/proc/net/{t}").read() for t in ("tcp", "tcp6"))
    return "overlay" if any(inode == line.split()[9] for line in tables.splitlines() if ":" in line) else "fast"
"""


def converse(net, server, client, server_plain=False, client_plain=False, where=("c2", "c1")):
    """Runs server (which prints "up" when it listens: serve() does) and client, Python both; their outputs."""
    listening = net.popen(where[0], SERVER + server, server_plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    before = read_until_up(listening)
    talking = net.popen(where[1], SERVER + client, client_plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = talking.communicate(timeout=60)
    if talking.returncode != 0:
        listening.kill()
    heard, _ = listening.communicate(timeout=30)
    assert talking.returncode == 0 and listening.returncode == 0, f"the client:\n{said}\nthe server:\n{heard}"
    return before + heard, said


def read_until_up(process):
    """What a program says before it says "up"."""
    lines = []
    for line in process.stdout:
        if line == "up\n":
            return "".join(lines)
        lines.append(line)
    raise AssertionError("it ended: " + "".join(lines))


ECHO_ONCE = """
conn, peer = serve().accept()
print(kind(conn), conn.getsockname(), conn.getpeername(), peer)
while data := conn.recv(65536):
    conn.sendall(data)
"""
