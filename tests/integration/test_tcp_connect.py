"""connect and accept through the library: blocking, not blocking, watched before, refused, interrupted."""

import pytest
from tcp_net import ECHO_ONCE, address, converse


def test_blocking(net, accelerated):
    heard, said = converse(net, ECHO_ONCE, """
sock = socket.create_connection(("10.32.1.2", 5000))
print(kind(sock), sock.getpeername(), sock.getsockname())
sock.sendall(b"x" * 1000)
sock.shutdown(socket.SHUT_WR)
assert sum(len(d) for d in iter(lambda: sock.recv(100), b"")) == 1000
""")
    client = eval(said.split(") ")[1])
    assert said.startswith("fast ('10.32.1.2', 5000)") and client[0] == address(1)
    assert heard == f"fast ('10.32.1.2', 5000) {client} {client}\n"
    assert accelerated() == 1


@pytest.mark.parametrize("server_plain, client_plain", [(True, False), (False, True), (True, True)])
def test_a_plain_peer_stays_on_the_overlay(net, accelerated, server_plain, client_plain):
    heard, said = converse(net, ECHO_ONCE, """
sock = socket.create_connection(("10.32.1.2", 5000))
sock.sendall(b"hello")
assert sock.recv(5) == b"hello"
print(kind(sock))
""", server_plain, client_plain)
    assert said == "overlay\n" and heard.startswith("overlay ")
    assert accelerated() == 0


NON_BLOCKING = """
sock = socket.socket()
sock.setblocking(False)
{before}
error = sock.connect_ex(("10.32.1.2", 5000))
import errno
assert error == errno.EINPROGRESS, error
{wait}
assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
assert sock.connect_ex(("10.32.1.2", 5000)) in (0, errno.EISCONN)
assert sock.getpeername() == ("10.32.1.2", 5000)
assert not os.get_blocking(sock.fileno())
sock.sendall(b"hello")
select.select([sock], [], [], 5)
assert sock.recv(5) == b"hello"
print(kind(sock))
"""


@pytest.mark.parametrize("wait", [
    "assert select.select([], [sock], [], 5)[1]",
    "p = select.poll(); p.register(sock, select.POLLOUT); assert p.poll(5000) == [(sock.fileno(), select.POLLOUT)]",
    "p = select.epoll(); p.register(sock, select.EPOLLOUT); assert p.poll(5) == [(sock.fileno(), select.EPOLLOUT)]",
], ids=["select", "poll", "epoll"])
def test_non_blocking(net, accelerated, wait):
    assert converse(net, ECHO_ONCE, NON_BLOCKING.format(before="", wait=wait))[1] == "fast\n"
    assert accelerated() == 1


@pytest.mark.parametrize("flags", ["select.EPOLLOUT", "select.EPOLLOUT | select.EPOLLET",
                                   "select.EPOLLOUT | select.EPOLLONESHOT"], ids=["level", "edge", "oneshot"])
def test_epoll_registered_before_connect(net, accelerated, flags):
    """And an epoll inside an epoll: the outer one hears of it through the inner one."""
    said = converse(net, ECHO_ONCE, NON_BLOCKING.format(before=f"""
inner = select.epoll()
inner.register(sock, {flags})
outer = select.epoll()
outer.register(inner, select.EPOLLIN)
""", wait="""
assert outer.poll(5) == [(inner.fileno(), select.EPOLLIN)]
assert inner.poll(5) == [(sock.fileno(), select.EPOLLOUT)]
"""))[1]
    assert said == "fast\n"
    assert accelerated() == 1


def test_an_epoll_closed_before_connect_stays_closed(net):
    """Its number is another epoll's by then, which must not hear of the socket."""
    said = converse(net, ECHO_ONCE, NON_BLOCKING.format(before="""
gone = select.epoll()
gone.register(sock, select.EPOLLOUT)
number = gone.fileno()
gone.close()
other = select.epoll()
assert other.fileno() == number
""", wait="""
assert other.poll(0.2) == []
assert select.select([], [sock], [], 5)[1]
"""))[1]
    assert said == "fast\n"


def test_refused(net):
    said = net.run("c1", """
import socket
sock = socket.socket()
print(sock.connect_ex(("10.32.1.2", 5999)))
sock.close()
sock = socket.socket()
sock.setblocking(False)
first = sock.connect_ex(("10.32.1.2", 5999))
import select
select.select([], [sock], [], 5)
print(first, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
""")
    assert said == "111\n115 111\n"


def test_a_listener_closed_with_connections_pending(net):
    """Its clients learn it, as TCP's do by a reset; here once the broker has looked."""
    heard, said = converse(net, """
server = serve()
conn, _ = server.accept()     # so that the listener is known to accept
time.sleep(1)
server.close()
conn.recv(1)
""", """
first = socket.create_connection(("10.32.1.2", 5000))
time.sleep(0.2)
second = socket.create_connection(("10.32.1.2", 5000))
second.settimeout(10)
try:
    print(second.recv(1))
except ConnectionResetError:
    print(b"")
""")
    assert said == "b''\n"


def test_connect_interrupted_by_a_signal(net):
    """A full backlog: the overlay's SYN is not answered, so connect waits, and the signal gets through. The socket goes
    on connecting, over the overlay, and is served in the end."""
    heard, said = converse(net, """
server = serve(backlog=0)
time.sleep(1.5)
while True:
    conn, _ = server.accept()
    if conn.recv(9) == b"mine":
        conn.sendall(kind(conn).encode())
        break
""", """
import signal
others = [socket.socket() for _ in range(4)]
for sock in others:
    sock.setblocking(False)
    sock.connect_ex(("10.32.1.2", 5000))
def stop(*_):
    raise InterruptedError
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.3)
sock = socket.socket()
began = time.monotonic()
try:
    sock.connect(("10.32.1.2", 5000))
except InterruptedError:
    assert time.monotonic() - began < 1
for other in others:
    other.close()
assert select.select([], [sock], [], 10)[1]
assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
sock.sendall(b"mine")
assert sock.recv(99).decode() == kind(sock) == "overlay"
""")


def test_bound_client(tcp_net, accelerated):
    """Between hosts: test_tcp_hosts.py, test_a_port_of_the_programs_own_stays_on_the_overlay."""
    heard, said = converse(tcp_net, ECHO_ONCE, """
sock = socket.create_connection(("10.32.1.2", 5000), source_address=("10.32.1.1", 7777))
print(kind(sock), sock.getsockname())
""")
    assert said == "fast ('10.32.1.1', 7777)\n"
    assert heard.endswith("('10.32.1.1', 7777) ('10.32.1.1', 7777)\n")
    assert accelerated() == 1


def test_the_same_connection_twice(net):
    """A 4-tuple that lives, though no TCP socket of this namespace shows it, is EADDRNOTAVAIL as it is in TCP."""
    said = converse(net, """
server = serve()
conns = [server.accept()[0]]
conns[0].recv(1)
""", """
import errno
socks = []
for _ in range(2):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("10.32.1.1", 7778))
    error = sock.connect_ex(("10.32.1.2", 5000))
    print(errno.errorcode.get(error))
    time.sleep(0.2)
    socks.append(sock)
""")[1]
    assert said == "None\nEADDRNOTAVAIL\n"


@pytest.mark.parametrize("listen, client", [
    ("serve('10.32.1.2')", "10.32.1.2"),
    ("serve('::', family=socket.AF_INET6)", "fd32::1:2"),
    ("serve('fd32::1:2', family=socket.AF_INET6)", "fd32::1:2"),
    ("serve('::', family=socket.AF_INET6, dualstack_ipv6=True)", "10.32.1.2"),
    ("serve('::', family=socket.AF_INET6, dualstack_ipv6=True)", "::ffff:10.32.1.2"),
], ids=["specific", "ipv6", "ipv6 specific", "dual-stack", "mapped"])
def test_families_and_binds(net, accelerated, listen, client):
    heard, said = converse(net, ECHO_ONCE.replace("serve()", listen), f"""
sock = socket.socket(socket.AF_INET6 if ":" in "{client}" else socket.AF_INET)
sock.connect(("{client}", 5000))
print(kind(sock), sock.family.name, len(sock.getsockname()), sock.getpeername()[:2])
""")
    family, length = ("AF_INET6", 4) if ":" in client else ("AF_INET", 2)
    assert said == f"fast {family} {length} ('{client}', 5000)\n"
    shown = client if ":" in client or "::" not in listen else "::ffff:" + client
    assert heard.startswith("fast (") and shown in heard
    assert accelerated() == 1
