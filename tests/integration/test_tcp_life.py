"""Routers, servers and clients that are not there, go, or come back; and peers that do not play along."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from places import FREEFLOW, Router
from programs import program
from tcp_net import ECHO_ONCE, SERVER, Net, converse, counters, end, read_until_up

HELLO = """
sock = socket.create_connection(("10.32.1.2", 5000), timeout=20)
sock.sendall(b"hello")
assert sock.recv(5) == b"hello"
print(kind(sock))
"""


@pytest.fixture
def alone():
    """A network without a broker."""
    with Net() as made:
        yield made


def test_no_router(alone):
    """One warning, and the overlay."""
    heard, said = converse(alone, ECHO_ONCE, HELLO)
    assert said.splitlines()[-1] == "overlay" and heard.splitlines()[-1].startswith("overlay")
    assert said.count("freeflow: no router answers") == 1


def test_a_stopped_router_costs_two_seconds_at_most(alone):
    """And after that, nothing for a while."""
    broker = alone.broker()
    server = alone.popen("c2", SERVER + "server = serve()\nwhile True: server.accept()", stdout=subprocess.PIPE)
    assert server.stdout.readline() == "up\n"
    os.kill(broker.pid, signal.SIGSTOP)
    said = alone.run("c1", SERVER + """
began = time.monotonic()
for _ in range(2):
    sock = socket.create_connection(("10.32.1.2", 5000), timeout=20)
    print(kind(sock), time.monotonic() - began)
""", env={"FREEFLOW_LOG": "error"})
    os.kill(broker.pid, signal.SIGCONT)
    kinds, times = zip(*(line.split() for line in said.splitlines()))
    assert kinds == ("overlay", "overlay")
    assert float(times[0]) < 3 and float(times[1]) - float(times[0]) < 0.5


def test_connections_outlive_the_router_and_a_new_one_takes_over(alone):
    broker = alone.broker()
    server = alone.popen("c2", SERVER + """
server = serve()
def echo(conn):
    while data := conn.recv(100):
        conn.sendall(data)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],)).start()
""", stdout=subprocess.PIPE)
    assert server.stdout.readline() == "up\n"
    client = alone.popen("c1", SERVER + """
def talk(sock):
    sock.sendall(b"hello")
    assert sock.recv(5) == b"hello"
    return kind(sock)
old = socket.create_connection(("10.32.1.2", 5000))
print(talk(old), flush=True)
sys.stdin.readline()
print(talk(old), talk(socket.create_connection(("10.32.1.2", 5000))), flush=True)
sys.stdin.readline()
time.sleep(1.1)   # after "no router", nobody asks for a second
kinds = []
while "fast" not in kinds[-1:]:
    kinds.append(talk(socket.create_connection(("10.32.1.2", 5000))))
    assert len(kinds) < 5, kinds
print(talk(old), kinds[-1], flush=True)
""", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert client.stdout.readline() == "fast\n"
    end(broker)
    client.stdin.write("\n")
    client.stdin.flush()
    assert client.stdout.readline() == "fast overlay\n"
    new = alone.broker()
    client.stdin.write("\n")
    client.stdin.flush()
    assert client.stdout.readline() == "fast fast\n"
    assert counters(new)["accelerated"] >= 1


def test_the_router_killed_while_thousands_connect(alone):
    """Each connection works, or fails with an errno; none hangs."""
    broker = alone.broker()
    server = alone.popen("c2", SERVER + """
server = serve(backlog=1000)
def echo(conn):
    try:
        while data := conn.recv(100):
            conn.sendall(data)
    except OSError:
        pass
    conn.close()
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
""", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout.readline() == "up\n"
    client = alone.popen("c1", SERVER + """
good = bad = 0
print("go", flush=True)
end = time.monotonic() + 3
while time.monotonic() < end:
    try:
        sock = socket.create_connection(("10.32.1.2", 5000), timeout=5)
        sock.sendall(b"hello")
        if sock.recv(5) == b"hello":
            good += 1
        else:
            bad += 1
        sock.close()
    except ConnectionError:
        bad += 1
print(good, bad)
""", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert client.stdout.readline() == "go\n"
    time.sleep(0.7)
    end(broker)
    good, bad = map(int, client.communicate(timeout=30)[0].split())
    assert good > 500 and bad <= 2, (good, bad)


def test_a_server_that_accepts_behind_the_library(net, accelerated):
    """As io_uring programs do: listen through libc, accept by themselves. Its clients stay on the overlay."""
    heard, said = converse(net, """
import ctypes
server = serve()
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(3):
    fd = libc.syscall(43, server.fileno(), None, None)    # accept
    conn = socket.socket(fileno=fd)
    print(kind(conn))
    conn.sendall(conn.recv(9))
""", HELLO * 3)
    assert heard == said == "overlay\n" * 3
    assert accelerated() == 0


def test_io_uring(net, accelerated):
    """Sockets of programs that use it stay on the overlay, whichever side does, and work."""
    path = shutil.copy(program("uring_talk"), net.directory)
    os.chmod(path, 0o755)
    server = net.popen("c2", [path, "serve", "4"], stdout=subprocess.PIPE)
    if server.stdout.readline() == "no io_uring\n":
        return  # switched off in this kernel: then no program uses it
    assert net.run("c1", [path, "connect", "10.32.1.2", "2"]) == "done\n"
    assert net.run("c1", SERVER + HELLO * 2) == "overlay\n" * 2
    assert server.wait(10) == 0
    heard = net.popen("c2", SERVER + ECHO_ONCE, stdout=subprocess.PIPE)
    read_until_up(heard)
    assert net.run("c1", [path, "connect", "10.32.1.2", "1"]) == "done\n"
    assert heard.communicate(timeout=10)[0].startswith("overlay")
    assert accelerated() == 0


def test_a_server_that_changes_to_accepting_behind_the_library(net):
    """The one connection that was under way is lost, with an error; the next ones stay on the overlay."""
    converse(net, """
import ctypes
server = serve()
conn, _ = server.accept()
conn.sendall(conn.recv(9))
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(2):
    conn = socket.socket(fileno=libc.syscall(43, server.fileno(), None, None))
    conn.sendall(conn.recv(9))
""", """
def talk():
    sock = socket.create_connection(("10.32.1.2", 5000), timeout=10)
    sock.sendall(b"hello")
    return sock.recv(5), kind(sock)
assert talk() == (b"hello", "fast")
try:
    assert talk()[0] == b""
except ConnectionError:
    pass
assert talk() == (b"hello", "overlay")
""")


def test_a_server_that_dies_with_connections_in_its_backlog(net):
    server = net.popen("c2", SERVER + """
server = serve()
conn, _ = server.accept()
conn.recv(1)
os.kill(os.getpid(), 9)
""", stdout=subprocess.PIPE)
    assert server.stdout.readline() == "up\n"
    said = net.run("c1", SERVER + """
first = socket.create_connection(("10.32.1.2", 5000))
second = socket.create_connection(("10.32.1.2", 5000), timeout=15)
print(kind(second))
first.sendall(b"x")
try:
    print(second.recv(1))
except ConnectionResetError:
    print(b"")
""")
    assert said == "fast\nb''\n"


def test_a_client_that_dies_before_it_is_accepted(net):
    """What it wrote is read, then end of file: as in TCP."""
    heard, said = converse(net, """
server = serve()
conn, _ = server.accept()
conn.recv(1)
time.sleep(0.5)
conn, peer = server.accept()
print(kind(conn), conn.recv(99), conn.recv(99), conn.getpeername() == peer)
""", """
first = socket.create_connection(("10.32.1.2", 5000))
second = socket.create_connection(("10.32.1.2", 5000))
second.sendall(b"last words")
first.sendall(b"x")
os.kill(os.getpid(), 9) if os.fork() == 0 else os.wait()
""")
    assert heard == "fast b'last words' b'' True\n"


def test_addresses_rewritten_on_the_way(tcp_net):
    """An overlay that redirects connections (service meshes do): the server that answers is not the one that was asked
    about. The library notices, and stays."""
    where = tcp_net.pids["c1"]
    rules = """
table ip t {
  chain o {
    type nat hook output priority -100
    ip daddr 10.32.1.2 tcp dport 5000 dnat to 10.32.1.3:5001
  }
}
"""
    subprocess.run(["nsenter", "-t", str(where), "-n", "nft", "-f", "-"], input=rules, text=True, check=True)
    target = tcp_net.popen("c2", SERVER + "server = serve()\nserver.accept()", stdout=subprocess.PIPE)
    try:
        assert target.stdout.readline() == "up\n"
        time.sleep(0.2)
        heard, said = converse(tcp_net, ECHO_ONCE.replace("serve()", "serve(port=5001)"), HELLO, where=("c3", "c1"))
        assert said == "overlay\n" and heard.startswith("overlay")
    finally:
        end(target)
        subprocess.run(["nsenter", "-t", str(where), "-n", "nft", "delete", "table", "ip", "t"], check=True)


def test_a_router_without_rights_says_what_it_leaves_alone():
    """In words of TCP mode's own: it can make no network namespace."""
    router = Router(command=["setpriv", "--bounding-set", "-sys_admin", *FREEFLOW, "router"])
    try:
        told = router.run(*FREEFLOW, "doctor").stdout
        assert re.search(r"tcp mode.*one host stay on the overlay: .*Operation not permitted", told), told
    finally:
        router.remove()
