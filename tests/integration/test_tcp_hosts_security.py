"""What a container can do with a socket of its host, and what a stranger can do with the hosts' brokers."""

import os
import subprocess
import sys

import pytest
from tcp_lab import converse, start, tcp_status, two_hosts
from tcp_net import ECHO_ONCE, read_until_up


@pytest.fixture(scope="module")
def hosts():
    with two_hosts("-tcpsec") as lab:
        yield lab


# A peer that is not surprised by a reset.
PATIENT = """
conn, _ = serve().accept()
try:
    conn.recv(1)
except ConnectionResetError:
    pass
"""

# The library is gone round: its connect would give a fresh socket of the container's own.
RAW = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def name(host, port): return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)
def raw(number, *words):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "ok") if libc.syscall(number, *words) < 0 else "ok"
def connect(fd, host, port): return raw(42, fd, name(host, port), 16)
def bind(fd, host, port): return raw(49, fd, name(host, port), 16)
def disconnect(fd): return raw(42, fd, struct.pack("=H", socket.AF_UNSPEC) + bytes(14), 16)
def listen(fd): return raw(50, fd, 5)
sock = socket.create_connection(("h2c1", 5000))
assert kind(sock) == "fast"
fd = sock.fileno()
"""


def fenced(lab):
    return tcp_status(lab, "h1")["fenced"] is True


def test_a_hosts_socket_cannot_be_connected_elsewhere(hosts):
    """By BPF where the kernel has it; the packet filter keeps answers out where it has not."""
    listener = subprocess.Popen(["nsenter", f"--net={hosts.plan.hosts[0].netns_path}", sys.executable, "-c",
                                 "import socket; s = socket.create_server(('', 2222)); print('up', flush=True);"
                                 "s.settimeout(4)\ntry: s.accept(); print('came')\nexcept TimeoutError: print('nobody')"],
                                stdout=subprocess.PIPE, text=True)
    assert listener.stdout.readline() == "up\n"
    _, said = converse(hosts, PATIENT, RAW + """
print(disconnect(fd))
print(bind(fd, "0.0.0.0", 8888), bind(fd, "10.31.0.1", 22))
sock.setblocking(False)
print(connect(fd, "127.0.0.1", 2222), connect(fd, "10.31.0.1", 2222), connect(fd, "10.31.0.2", 22))
data, to = b"syn with data", name("10.31.0.1", 2222)
print(raw(44, fd, data, len(data), 0x20000000, to, 16))   # MSG_FASTOPEN
print(bool(select.select([], [sock], [], 1)[1]) and sock.getsockopt(1, 4) == 0 and libc.syscall(52, fd, bytes(16), struct.pack("I", 16)) == 0)
""")
    heard, _ = listener.communicate(timeout=10)
    lines = said.splitlines()
    assert lines[0] == "ok" and lines[-1] == "False"
    assert heard == "nobody\n"
    if fenced(hosts):
        assert lines[1:4] == ["EPERM EPERM", "EPERM EPERM EPERM", "EPERM"]


def test_a_hosts_socket_hears_from_nobody_else(hosts):
    """Made a listener, at a port of the host that the kernel chooses, nobody reaches it."""
    server = start(hosts, "h2c1", PATIENT)
    read_until_up(server)
    client = start(hosts, "h1c1", RAW + """
assert disconnect(fd) == "ok" and listen(fd) == "ok"
own, size = ctypes.create_string_buffer(16), ctypes.c_uint(16)
assert libc.syscall(51, fd, own, ctypes.byref(size)) == 0
print(struct.unpack(">H", own.raw[2:4])[0], flush=True)
print(bool(select.select([sock], [], [], 2)[0]))
""")
    port = int(client.stdout.readline())
    for place in ("h1", "h2"):
        said = hosts.exec(place, "python3", "-c", f"""
import socket
try:
    socket.create_connection(("10.31.0.1", {port}), 0.7)
    print("connected")
except (TimeoutError, ConnectionRefusedError):
    print("nobody")
""")
        assert said.stdout == "nobody\n", said
    assert client.communicate(timeout=20)[0] == "False\n"
    server.communicate(timeout=20)


def test_the_filter_is_locked(hosts):
    _, said = converse(hosts, PATIENT, RAW + """
for option in (27, 26, 50, 44):   # SO_DETACH_FILTER, SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_LOCK_FILTER
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("=HxxxxxxQ", 0, 0) if option == 26 else 0)
        print("changed")
    except OSError as error:
        print(errno.errorcode[error.errno])
for level, option in ((1, 36), (6, 19), (0, 19)):   # SO_MARK, TCP_REPAIR, IP_TRANSPARENT
    try:
        sock.setsockopt(level, option, 1)
        print("changed")
    except OSError as error:
        print(errno.errorcode[error.errno])
""")
    assert "changed" not in said


def test_disconnecting_with_the_library_gives_the_containers_own_socket(hosts):
    _, said = converse(hosts, PATIENT, RAW + """
import fcntl
ctypes.CDLL(None).connect(fd, struct.pack("=H", socket.AF_UNSPEC) + bytes(14), 16)
other = socket.socket(fileno=os.dup(fd))
try:
    other.connect(("127.0.0.1", 2222))
except ConnectionRefusedError:
    print("the container's own loopback")
""")
    assert said == "the container's own loopback\n"


@pytest.mark.parametrize("port", [4791, 4792])
def test_strangers_are_turned_away(hosts, port):
    """From an address of the underlay that is no host's, and from a host by somebody who does not know the key."""
    said = hosts.exec("h1", "python3", "-c", f"""
import socket, os, time
sock = socket.create_connection(("10.31.0.2", {port}))
sock.sendall(os.urandom(48))
sock.settimeout(5)
data = b""
try:
    while more := sock.recv(1000): data += more
except ConnectionResetError:
    pass
print(len(data))
""")
    assert said.returncode == 0 and int(said.stdout) in (0, 31), said   # 31: the broker's own greeting


def test_a_crowd_of_strangers_holds_nothing_up(hosts):
    """300 silent connections to the data door, from a host's own address: the kernel does not even show them to the
    broker before they say something."""
    crowd = hosts.popen("h1", "python3", "-c", """
import socket, time
crowd = [socket.create_connection(("10.31.0.2", 4792)) for _ in range(300)]
print("up", flush=True)
time.sleep(20)
""")
    read_until_up(crowd)
    try:
        _, said = converse(hosts, ECHO_ONCE, "sock = socket.create_connection(('h2c1', 5000)); print(kind(sock))")
    finally:
        crowd.kill()
        crowd.wait()
    assert said == "fast\n"


PEER = """
import asyncio, hashlib, ipaddress, os, socket, struct, sys
from ffr.tcp.hosts import Hosts
class Broker:
    def add_link(self, host, asks, control, secret):
        self.fd, self.secret = os.dup(control), secret
hosts = Hosts(Broker(), None)
hosts.set_key(open(sys.argv[1], "rb").read().strip())
hosts.own = ipaddress.ip_address("10.31.0.1")
asyncio.run(hosts._link(ipaddress.ip_address("10.31.0.2")))
control = socket.socket(fileno=hosts._broker.fd)
control.setblocking(True)
control.settimeout(5)
MESSAGE, END = struct.Struct("=IIQQIIII20s20s"), struct.Struct("=16sHH")
def end(address, port): return END.pack(bytes(10) + b"\\xff\\xff" + socket.inet_aton(address), port, 2)
def link():
    sock = socket.socket(); sock.bind(("10.31.0.1", 0)); sock.connect(("10.31.0.2", 4792)); sock.sendall(hosts._broker.secret)
    return sock
def offer(client, server, tenant, sock):
    control.sendall(MESSAGE.pack(1, 5, 0, tenant, 0, 0, 0, 0, end(client, sock.getsockname()[1]), end(*server)))
    data = b""
    while len(data) < MESSAGE.size: data += control.recv(MESSAGE.size - len(data))
    return dict(zip("kind request id tenant flags verdict reason".split(), MESSAGE.unpack(data)))
tenant = int.from_bytes(hashlib.sha256(b"default").digest()[:8], "little")
"""


def test_another_hosts_word_counts_only_for_its_own_containers(hosts):
    """A broker that knows the key offers connections of containers that the map has elsewhere, of another tenant, to
    what no container has, and finally a right one."""
    server = start(hosts, "h2c1", "server = serve()\nserver.settimeout(20)\nserver.accept()")
    read_until_up(server)
    code = PEER + """
sock = link()
for client, server, tenant in (("10.32.2.2", ("10.32.2.1", 5000), tenant), ("10.32.9.9", ("10.32.2.1", 5000), tenant),
                               ("10.32.1.1", ("10.32.2.1", 5000), tenant + 1), ("10.32.1.1", ("10.32.2.77", 5000), tenant),
                               ("10.32.1.1", ("10.32.2.1", 5000), tenant)):
    answer = offer(client, server, tenant, sock)
    print(answer["verdict"], answer["reason"])
"""
    said = hosts.exec("h1", sys.executable, "-c", code, hosts.plan.key_path,
                      env=hosts.variables(PYTHONPATH=os.path.join(os.path.dirname(__file__), "../../src")))
    hosts.exec("h1c2", "python3", "-c", "import socket; socket.create_connection(('h2c1', 5000))", mode="plain")
    server.communicate(timeout=30)
    assert said.stdout.splitlines() == ["0 3", "0 3", "0 3", "0 1", "2 0"], said
