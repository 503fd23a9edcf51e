"""TCP mode between two hosts: containers' connections are the hosts' own, and programs cannot tell."""

import os
import re
import signal
import subprocess
import time

import pytest
from tcp_lab import await_links, converse, start, tcp_status, two_hosts
from tcp_net import ECHO_ONCE, read_until_up


@pytest.fixture(scope="module")
def hosts():
    with two_hosts("-tcp") as lab:
        yield lab


@pytest.fixture
def made(hosts):
    """How many connections of the hosts became programs' since the test began, as the client's router counts them."""
    before = tcp_status(hosts, "h1")["links_out"]
    return lambda: tcp_status(hosts, "h1")["links_out"] - before


CONNECT_ONCE = """
sock = socket.create_connection(("h2c1", 5000))
print(kind(sock), sock.getsockname(), sock.getpeername())
for size in (1, 1000, 1000000):
    sock.sendall(bytes(size))
    got = 0
    while got < size:
        got += len(sock.recv(size))
sock.shutdown(socket.SHUT_WR)
assert sock.recv(1) == b""
"""


def test_names_and_data_are_the_containers(hosts, made):
    heard, said = converse(hosts, ECHO_ONCE, CONNECT_ONCE)
    port = re.search(r"'10.32.1.1', (\d+)\)", said)[1]
    assert said == f"fast ('10.32.1.1', {port}) ('10.32.2.1', 5000)\n"
    assert heard == f"fast ('10.32.2.1', 5000) ('10.32.1.1', {port}) ('10.32.1.1', {port})\n"
    assert made() == 1


@pytest.mark.parametrize("modes", [("plain", "tcp"), ("tcp", "plain")])
def test_a_plain_peer_is_met_on_the_overlay(hosts, made, modes):
    heard, said = converse(hosts, ECHO_ONCE, CONNECT_ONCE, modes=modes)
    assert said.startswith("overlay") and heard.startswith("overlay")
    assert made() == 0


def test_nobody_listens(hosts, made):
    converse(hosts, 'serve(port=5005)\n', """
try:
    socket.create_connection(("h2c1", 5001))
except ConnectionRefusedError:
    print("refused")
""")
    assert made() == 0


def test_concurrent_clients_are_never_swapped(hosts, made):
    """2000 connects of 16 threads: each side says by which ports it knows the connection, and which client it is."""
    server = """
server = serve(backlog=512)
def answer(conn, peer):
    number = conn.recv(100)
    assert conn.getpeername() == peer
    conn.sendall(f"{number.decode()} {peer[1]}".encode())
    conn.close()
for _ in range(2000):
    threading.Thread(target=answer, args=server.accept()).start()
"""
    client = """
wrong, counts = [], []
def run(start):
    for number in range(start, 2000, 16):
        sock = socket.create_connection(("h2c1", 5000))
        sock.sendall(str(number).encode())
        said = sock.recv(100).decode()
        counts.append(kind(sock))
        if said != f"{number} {sock.getsockname()[1]}":
            wrong.append((said, number, sock.getsockname()))
        sock.close()
threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(counts), counts.count("fast") > 1900, wrong)
"""
    _, said = converse(hosts, server, client)
    assert said == "2000 True []\n"
    assert made() > 1900


def test_epoll_before_a_non_blocking_connect(hosts, made):
    client = """
sock = socket.socket()
sock.setblocking(False)
watch = select.epoll()
watch.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
print(sock.connect_ex(("10.32.2.1", 5000)), errno.EINPROGRESS)
assert watch.poll(5)[0][1] & select.EPOLLOUT
assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
print(kind(sock))
sock.send(b"x")
while not any(events & select.EPOLLIN for _, events in watch.poll(5)):
    pass
print(sock.recv(10))
"""
    _, said = converse(hosts, ECHO_ONCE, "import errno\n" + client)
    assert said == "115 115\nfast\nb'x'\n"
    assert made() == 1


def test_names_survive_exec_and_fork(hosts):
    """Nothing of the library's memory is left; what the connection is stands in the kernel."""
    client = """
sock = socket.create_connection(("h2c1", 5000))
sock.set_inheritable(True)
if not os.fork():
    os.execvp("python3", ["python3", "-c", f"import socket; s = socket.socket(fileno={sock.fileno()});"
                          "print(s.getpeername(), s.family.name); s.sendall(b'x'); print(s.recv(1))"])
os.wait()
"""
    _, said = converse(hosts, ECHO_ONCE, client)
    assert said == "('10.32.2.1', 5000) AF_INET\nb'x'\n"


def test_options_of_the_program_hold(hosts, made):
    client = """
sock = socket.socket()
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50000)
sock.connect(("h2c1", 5000))
T = socket.IPPROTO_TCP
print(kind(sock), sock.getsockopt(T, socket.TCP_NODELAY), sock.getsockopt(T, socket.TCP_KEEPIDLE),
      sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
print(len(sock.getsockopt(T, socket.TCP_INFO, 104)), sock.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_INET)
"""
    _, said = converse(hosts, ECHO_ONCE, client)
    assert said == "fast 1 77 1 100000\n104 True\n"


def test_half_close_and_reset(hosts):
    server = """
server = serve()
conn, _ = server.accept()
assert conn.recv(10) == b"half"
assert conn.recv(10) == b""
conn.sendall(b"rest")
conn.close()
conn, _ = server.accept()
try:
    print(conn.recv(10))
except ConnectionResetError:
    print("reset")
"""
    client = """
sock = socket.create_connection(("h2c1", 5000))
sock.sendall(b"half")
sock.shutdown(socket.SHUT_WR)
assert sock.recv(10) == b"rest" and sock.recv(10) == b""
sock = socket.create_connection(("h2c1", 5000))
assert kind(sock) == "fast"
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
sock.close()
"""
    heard, _ = converse(hosts, server, client)
    assert heard == "reset\n"


def test_a_port_of_the_programs_own_stays_on_the_overlay(hosts, made):
    """A connection between hosts has the port of the hosts' socket, which nobody else can have meanwhile."""
    before = tcp_status(hosts, "h1")["own_port"]
    _, said = converse(hosts, ECHO_ONCE, """
sock = socket.create_connection(("h2c1", 5000), source_address=("", 4321))
print(kind(sock), sock.getsockname()[1])
""")
    assert said == "overlay 4321\n" and made() == 0
    assert tcp_status(hosts, "h1")["own_port"] == before + 1


def test_many_at_once(hosts):
    """Connections that stay, more than a pool of links holds, and all of them distinct."""
    server = """
conns = [server.accept() for server in [serve(backlog=1024)] for _ in range(600)]
print(len({peer for _, peer in conns}))
for conn, peer in conns:
    try:
        assert conn.getpeername() == peer
        conn.sendall(str(peer[1]).encode())
    except OSError as error:
        print(kind(conn), peer, error)
conns[0][0].recv(1)
"""
    client = """
socks = [socket.create_connection(("h2c1", 5000)) for _ in range(600)]
print(sum(kind(s) == "fast" for s in socks) > 500,
      [(kind(s), s.getsockname()) for s in socks if s.recv(10) != str(s.getsockname()[1]).encode()])
socks[0].sendall(b"x")
"""
    heard, said = converse(hosts, server, client)
    assert (heard, said) == ("600\n", "True []\n")


# ---- routers that die ----

def test_a_router_that_dies_leaves_connections_alone_and_its_successor_makes_new_ones():
    """The router of the server's host: killed, then started again. In between, connects fall back, at once."""
    with two_hosts("-tcpdie") as lab:
        server = start(lab, "h2c1", """
server = serve()
while True:
    conn, _ = server.accept()
    def echo(conn=conn):
        while data := conn.recv(100): conn.sendall(data)
    threading.Thread(target=echo, daemon=True).start()
""")
        read_until_up(server)
        client = start(lab, "h1c1", """
def connect():
    began = time.monotonic()
    sock = socket.create_connection(("h2c1", 5000), 10)
    print(kind(sock), time.monotonic() - began < 1.5, flush=True)
    return sock
old = connect()
input()
old.sendall(b"still"); print(old.recv(10), flush=True)
new = connect(); new.sendall(b"new"); print(new.recv(10), flush=True)
input()
connect(); old.sendall(b"still"); print(old.recv(10), flush=True)
""", stdin=subprocess.PIPE)
        try:
            assert client.stdout.readline() == "fast True\n"
            pid = lab.status()["hosts"][1]["router"]["pid"]
            os.kill(pid, signal.SIGKILL)
            client.stdin.write("\n")
            client.stdin.flush()
            assert [client.stdout.readline() for _ in range(3)] == ["b'still'\n", "overlay True\n", "b'new'\n"]
        finally:
            client.kill()
            server.kill()
            client.wait()
            server.wait()


def test_a_router_that_stands_still_delays_a_connect_and_no_more(hosts):
    """SIGSTOP, so nothing is refused and nothing is answered: 250 ms, then the overlay."""
    server = start(hosts, "h2c1", ECHO_ONCE)
    read_until_up(server)
    pid = hosts.status()["hosts"][1]["router"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        said = hosts.exec("h1c1", "python3", "-c", """
import socket, time
began = time.monotonic()
sock = socket.create_connection(("h2c1", 5000), 10)
print(time.monotonic() - began < 1)
""", mode="tcp")
        assert said.stdout == "True\n", said
    finally:
        os.kill(pid, signal.SIGCONT)
        server.communicate(timeout=30)
    await_links(hosts)
    time.sleep(0.5)
    _, said = converse(hosts, ECHO_ONCE, CONNECT_ONCE)
    assert said.startswith("fast")
