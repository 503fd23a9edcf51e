"""Many connections at once, and IPv6, on one host and between two."""

import pytest
from tcp_net import converse

CROWD = 10000


@pytest.mark.timeout(180)
def test_ten_thousand_connections(net):
    """All held at once, each with an identity of its own that both ends agree on."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)\n"
    before = net.accelerated()
    heard, said = converse(net, limit + f"""
server = serve(backlog=1000)
conns = [server.accept()[0] for _ in range({CROWD})]
print(len({{conn.getpeername() for conn in conns}}))
for conn in conns:
    conn.sendall(b"%d\\n" % conn.getpeername()[1])
for conn in conns:
    assert conn.recv(1) == b""
""", limit + f"""
conns = [socket.create_connection(("10.32.1.2", 5000)) for _ in range({CROWD})]
print(all(conn.recv(10) == b"%d\\n" % conn.getsockname()[1] for conn in conns))
""")
    assert heard == f"{CROWD}\n" and said == "True\n"
    assert net.accelerated() - before > 0.95 * CROWD


def test_ipv6_and_a_listener_of_both(net):
    before = net.accelerated()
    heard, said = converse(net, """
server = serve(host="", family=socket.AF_INET6, dualstack_ipv6=True)
for _ in range(2):
    conn, peer = server.accept()
    print(kind(conn), conn.family.name, conn.getsockname()[0], peer[0], conn.getpeername()[0])
    conn.sendall(conn.recv(10))
""", """
for address in ("fd32::1:2", "10.32.1.2"):
    sock = socket.create_connection((address, 5000))
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    print(kind(sock), sock.family.name, sock.getpeername()[0], sock.getsockname()[0])
    sock.setsockopt(socket.IPPROTO_IPV6 if sock.family == socket.AF_INET6 else socket.IPPROTO_IP,
                    socket.IPV6_TCLASS if sock.family == socket.AF_INET6 else socket.IP_TOS, 16)
""")
    assert said == ("fast AF_INET6 fd32::1:2 fd32::1:1\n" "fast AF_INET 10.32.1.2 10.32.1.1\n")
    assert heard == ("fast AF_INET6 fd32::1:2 fd32::1:1 fd32::1:1\n"
                     "fast AF_INET6 ::ffff:10.32.1.2 ::ffff:10.32.1.1 ::ffff:10.32.1.1\n")
    assert net.accelerated() - before == 2


@pytest.mark.parametrize("host", ["10.32.1.2", "0.0.0.0"])
def test_a_specific_bind_and_a_wildcard(net, host):
    heard, said = converse(net, f"""
conn, peer = serve(host="{host}").accept()
print(kind(conn), conn.getsockname())
""", 'sock = socket.create_connection(("10.32.1.2", 5000)); print(kind(sock)); sock.recv(1)')
    assert heard == "fast ('10.32.1.2', 5000)\n" and said == "fast\n"


def test_bound_to_another_address_nobody_listens(net):
    _, said = converse(net, "serve(host='127.0.0.1')", """
try:
    socket.create_connection(("10.32.1.2", 5000))
except ConnectionRefusedError:
    print("refused")
""")
    assert said == "refused\n"


def test_listeners_that_were_closed_are_forgotten(net):
    """A container may have 4096; one that makes and closes them for ever keeps its next one accelerated."""
    before = net.accelerated()
    heard, said = converse(net, """
for _ in range(5000):
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        sock.listen(8)
print(kind(serve().accept()[0]))
""", 'print(kind(socket.create_connection(("10.32.1.2", 5000))))')
    assert heard == "fast\n" and said == "fast\n" and net.accelerated() - before == 1
    assert net.counted("listeners") < 300


def test_each_connect_is_counted_once(net):
    """By its outcome, whichever router counts it; one that changed its mind is no exception."""
    reasons = ("accelerated", "abandoned", "not_claimed", "no_listener", "own_port", "path", "other_host", "resources")
    before = {name: net.counted(name) for name in reasons}
    converse(net, """
server = serve(backlog=100)
for _ in range(40):
    server.accept()[0].close()
""", """
for _ in range(40):
    socket.create_connection(("10.32.1.2", 5000)).close()
for _ in range(5):
    socket.socket().connect_ex(("10.32.1.2", 5999))
""")
    after = {name: net.counted(name) - before[name] for name in reasons}
    assert sum(after.values()) == 45 and after["no_listener"] == 5, after
