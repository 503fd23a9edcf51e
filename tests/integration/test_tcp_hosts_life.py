"""Between two hosts: peers, routers and wires that go, descriptors that run out, rights that forbid."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from tcp_net import ECHO_ONCE, SERVER, TwoHosts, converse, counters, end, read_until_up

# Serves whoever comes, until it is killed.
ECHO = """
server = serve(backlog=1000)
def echo(conn):
    try:
        while data := conn.recv(100):
            conn.sendall(data)
    except OSError:
        pass
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""

TALK = """
def talk(timeout=10):
    sock = socket.create_connection(("10.32.1.2", 5000), timeout)
    sock.sendall(b"hello")
    assert sock.recv(10) == b"hello"
    return sock
def accelerated():
    # A server on a busy machine may take longer to accept its first connection than a client waits.
    for _ in range(20):
        sock = talk()
        if kind(sock) == "fast":
            break
    return sock
"""


@pytest.fixture
def own():
    """Two hosts of this test's own, for what would disturb the others."""
    with TwoHosts() as made:
        made.start_brokers()
        yield made


@pytest.fixture
def serve():
    """serve(net, words before Python's): starts ECHO in c2, until the test is over."""
    servers = []

    def start(net, *wrapped):
        servers.append(net.popen("c2", [*wrapped, sys.executable, "-c", SERVER + ECHO], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL))
        read_until_up(servers[-1])
        return servers[-1]

    yield start
    for server in servers:
        end(server)


def client(net, code):
    """A client that is told when to go on, and answers line by line."""
    return net.popen("c1", SERVER + TALK + code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)


def says(process, *lines):
    assert [process.stdout.readline().strip() for _ in lines] == list(lines)


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


# ---- routers ----

@pytest.mark.parametrize("which", [0, 1], ids=["the_clients", "the_servers"])
def test_a_router_killed_while_many_connect(own, serve, which):
    """Each connection works, or fails with an errno within its time-out; none hangs. Those that were made go on, and when
    a new router has come, and is linked again, there are new ones."""
    serve(own)
    talking = client(own, """
old = accelerated()
print(kind(old), flush=True)
input()
made, errors = [], []
def many():
    for _ in range(400):
        try:
            made.append(talk(5))
        except TimeoutError:
            errors.append("hung")
        except OSError as error:
            errors.append(error.errno)
threads = [threading.Thread(target=many) for _ in range(4)]
for thread in threads: thread.start()
print("connecting", flush=True)
for thread in threads: thread.join()
for sock in made:
    sock.sendall(b"still"); assert sock.recv(10) == b"still"
print("hung" not in errors, len(made) > 1500, flush=True)
input()
sock = talk(); print(kind(sock), flush=True)
input()
old.sendall(b"still"); print(old.recv(10), kind(accelerated()), flush=True)
""")
    says(talking, "fast")
    go_on(talking)
    says(talking, "connecting")
    time.sleep(0.1)
    end(own.routers[which])
    says(talking, "True True")
    go_on(talking)
    says(talking, "overlay")
    own.routers[which] = own.broker_of(which + 1)
    own.await_links()
    time.sleep(1.1)  # a library that found no router asks again after a second
    served_again = client(own, "accelerated(); input()\n")  # the listener announces itself with the next accept
    go_on(served_again)
    served_again.wait(10)
    go_on(talking)
    says(talking, "b'still' fast")


def test_routers_without_descriptors_leave_connections_on_the_overlay(own, serve):
    """The limit of each in turn is lowered to the first number that it has free. Nobody waits for it, and afterwards
    there is acceleration again."""
    serve(own)
    for router in own.routers:
        before = resource.prlimit(router.pid, resource.RLIMIT_NOFILE)
        used = set(map(int, os.listdir(f"/proc/{router.pid}/fd")))
        resource.prlimit(router.pid, resource.RLIMIT_NOFILE, (min(set(range(4096)) - used), before[1]))
        said = own.run("c1", SERVER + TALK + "began = time.monotonic()\nfor _ in range(100): sock = talk(3)\n"
                                             "print(kind(sock), time.monotonic() - began < 5)\n",
                       env={"FREEFLOW_LOG": "error"})
        assert said == "overlay True\n"
        resource.prlimit(router.pid, resource.RLIMIT_NOFILE, before)
        time.sleep(1.5)  # a broker that could not make links tries again after a second
        said = own.run("c1", SERVER + TALK + "print(kind(accelerated()))\n")
        assert said == "fast\n"


def test_a_router_that_cannot_fence(own, serve):
    """Links work all the same, and their packet filter keeps answers from anybody else out."""
    without_cgroups = ["unshare", "-m", "sh", "-c", "umount -l -t cgroup2 -a; exec \"$@\"", "sh"]
    with TwoHosts() as net:
        net.start_brokers(without_cgroups)
        assert not counters(net.routers[0])["fenced"]
        listener = subprocess.Popen(["nsenter", "-t", str(net.pids["host"]), "-n", "python3", "-c",
                                     "import socket; s = socket.create_server(('10.31.0.1', 2222)); print('up', flush=True)"
                                     "\ns.settimeout(3)\ntry: s.accept(); print('came')\n"
                                     "except TimeoutError: print('nobody')"], stdout=subprocess.PIPE, text=True)
        assert listener.stdout.readline() == "up\n"
        serve(net)
        said = net.run("c1", SERVER + TALK + """
import ctypes
libc = ctypes.CDLL(None)
sock = accelerated()
print(kind(sock))
sock.setblocking(False)
libc.syscall(42, sock.fileno(), struct.pack("=H", 0) + bytes(14), 16)
to = struct.pack("=H", 2) + struct.pack(">H", 2222) + socket.inet_aton("10.31.0.1") + bytes(8)
libc.syscall(42, sock.fileno(), to, 16)
print(select.select([], [sock], [], 1)[1])
""")
        assert said == "fast\n[]\n"
        assert listener.communicate(timeout=10)[0] == "nobody\n"
    assert counters(own.routers[0])["fenced"] in (True, False)  # whatever this machine allows, it is told


# ---- programs ----

@pytest.mark.parametrize("which", ["client", "server"])
def test_a_program_that_could_use_a_hosts_socket_against_it_gets_none(tcp_hosts, monkeypatch, which):
    """CAP_NET_ADMIN. Counted where the client is."""
    before = counters(tcp_hosts.routers[0])["privileged"], tcp_hosts.accelerated()
    if which == "server":
        monkeypatch.setattr(TwoHosts, "rights", ())
    server = tcp_hosts.popen("c2", SERVER + ECHO_ONCE, stdout=subprocess.PIPE)
    read_until_up(server)
    monkeypatch.setattr(TwoHosts, "rights", () if which == "client" else ("setpriv", "--bounding-set=-net_admin"))
    said = tcp_hosts.run("c1", SERVER + TALK + "print(kind(talk()))\n")
    server.communicate(timeout=10)
    assert said == "overlay\n"
    assert (counters(tcp_hosts.routers[0])["privileged"], tcp_hosts.accelerated()) == (before[0] + 1, before[1])


def test_a_client_without_descriptors_stays_on_the_overlay(net, accelerated):
    """connect needs no new number, and succeeds with the last one taken, as it does without the library."""
    said = converse(net, ECHO_ONCE, """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
sock = socket.socket()
files = [os.open("/dev/null", os.O_RDWR)]
try:
    while True:
        files.append(os.dup(files[0]))
except OSError as error:
    assert error.errno == 24   # EMFILE
sock.connect(("10.32.1.2", 5000))
sock.sendall(b"x")
assert sock.recv(1) == b"x"
for file in files: os.close(file)
print(kind(sock))
""")[1]
    assert said == "overlay\n" and accelerated() == 0


# ---- peers that vanish ----

def test_a_container_that_is_killed(net, serve):
    """With everything in it: its peer reads to the end, or gets a reset. It does not wait."""
    server = serve(net, "unshare", "-fp", "--kill-child")
    talking = client(net, """
sock = accelerated(); print(kind(sock), flush=True)
try:
    print(sock.recv(1) or "the end", flush=True)
except ConnectionResetError:
    print("the end", flush=True)
""")
    says(talking, "fast")
    time.sleep(0.1)
    server.kill()
    says(talking, "the end")


def test_a_host_that_vanishes(own, serve):
    """The wire is cut: TCP's own time-out, as the program set it. Connects go on as the overlay lets them."""
    serve(own)
    talking = client(own, """
sock = accelerated(); print(kind(sock), flush=True)
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
sock.settimeout(None)
input()
began = time.monotonic()
sock.sendall(b"anybody?")
try:
    sock.recv(10)
except TimeoutError as error:
    print(error.errno, time.monotonic() - began < 5, flush=True)
for _ in range(3):
    began = time.monotonic()
    sock = talk()
    print(kind(sock), time.monotonic() - began < 1, flush=True)
    time.sleep(1.5)
""")
    says(talking, "fast")
    own._ip("host", "link set wire down")
    go_on(talking)
    says(talking, "110 True")  # ETIMEDOUT
    says(talking, "overlay True", "overlay True", "overlay True")
    own._ip("host", "link set wire up")
    own.await_links()


def test_a_stopped_peer_is_waited_for(net, serve):
    """SIGSTOP is no end: what was written arrives when it goes on."""
    server = serve(net)
    talking = client(net, "sock = accelerated(); print(kind(sock), flush=True)\ninput()\n"
                          "sock.sendall(b'later'); print(sock.recv(10), flush=True)\n")
    says(talking, "fast")
    server.send_signal(signal.SIGSTOP)
    go_on(talking)
    time.sleep(0.3)
    server.send_signal(signal.SIGCONT)
    says(talking, "b'later'")
