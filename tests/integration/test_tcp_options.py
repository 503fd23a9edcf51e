"""Socket options and the ways a connection ends, as a program sees them on TCP and on what TCP mode gives it."""

import pytest
from tcp_net import converse

BOTH = [("fast", False), ("overlay", True)]  # the same program with the library and without it


@pytest.mark.parametrize("kind, plain", BOTH)
def test_options(net, kind, plain):
    """Set, and read back; inherited by what is accepted; and the ones that only tell."""
    probe = """
def probe(sock):
    S, T, I = socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP
    assert sock.getsockopt(S, socket.SO_DOMAIN) == socket.AF_INET
    assert sock.getsockopt(S, socket.SO_PROTOCOL) == socket.IPPROTO_TCP
    assert sock.getsockopt(S, socket.SO_TYPE) == socket.SOCK_STREAM
    assert sock.getsockopt(S, socket.SO_ACCEPTCONN) == 0
    assert struct.unpack("iII", sock.getsockopt(S, socket.SO_PEERCRED, 12)) == (0, 0xffffffff, 0xffffffff)
    for level, option, value in [(S, socket.SO_KEEPALIVE, 1), (T, socket.TCP_NODELAY, 1), (T, socket.TCP_KEEPIDLE, 11),
                                 (T, socket.TCP_KEEPINTVL, 12), (T, socket.TCP_KEEPCNT, 3), (T, socket.TCP_CORK, 1),
                                 (T, socket.TCP_USER_TIMEOUT, 5000), (T, socket.TCP_LINGER2, 30),
                                 (T, socket.TCP_SYNCNT, 4), (T, socket.TCP_NOTSENT_LOWAT, 4096),
                                 (I, socket.IP_TOS, 16), (I, socket.IP_TTL, 55), (S, socket.SO_OOBINLINE, 1)]:
        sock.setsockopt(level, option, value)
        assert sock.getsockopt(level, option) == value, option
        sock.setsockopt(level, option, 1)
    sock.setsockopt(T, socket.TCP_CORK, 0)
    sock.setsockopt(S, socket.SO_RCVBUF, 20000)
    assert sock.getsockopt(S, socket.SO_RCVBUF) == 40000
    sock.setsockopt(S, socket.SO_SNDBUF, 20000)
    assert sock.getsockopt(S, socket.SO_SNDBUF) == 40000
    sock.setsockopt(S, socket.SO_SNDBUF, 1 << 20)
    info = sock.getsockopt(T, socket.TCP_INFO, 104)
    assert len(info) == 104 and info[0] == 1, info      # TCP_ESTABLISHED
    assert sock.getsockopt(T, socket.TCP_MAXSEG) > 500
    assert sock.getsockopt(I, socket.IP_OPTIONS, 40) == b""
    assert sock.getsockopt(T, socket.TCP_CONGESTION, 16).rstrip(bytes(1)) in (b"cubic", b"bbr", b"reno")
    for level, option in [(T, 9999), (S, 9999)]:
        try:
            sock.getsockopt(level, option)
            assert False, option
        except OSError as error:
            assert error.errno in (92, 95), error
    sock.settimeout(5)
    sock.sendall(b"done")
    sock.recv(4, socket.MSG_WAITALL)
"""
    heard, said = converse(net, probe + """
server = serve()
server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 3, 0))
conn, _ = server.accept()
assert conn.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
assert struct.unpack("ll", conn.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))[0] == 3
probe(conn)
""", probe + """
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 7, 0))
sock.connect(("10.32.1.2", 5000))
assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
assert struct.unpack("ll", sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))[0] == 7
assert not sock.get_inheritable()
print(kind(sock))
probe(sock)
""", plain, plain)
    assert said == kind + "\n"


@pytest.mark.parametrize("kind, plain", BOTH)
def test_half_close(net, kind, plain):
    heard, said = converse(net, """
conn, _ = serve().accept()
data = b"".join(iter(lambda: conn.recv(65536), b""))
assert conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 8   # TCP_CLOSE_WAIT
conn.sendall(data[::-1])
""", """
sock = socket.create_connection(("10.32.1.2", 5000))
assert sock.getpeername() == ("10.32.1.2", 5000)
print(kind(sock))
sent = os.urandom(3 << 20)
sock.sendall(sent)
sock.shutdown(socket.SHUT_WR)
assert b"".join(iter(lambda: sock.recv(65536), b"")) == sent[::-1]
""", plain, plain)
    assert said == kind + "\n"


@pytest.mark.parametrize("kind, plain", BOTH)
def test_closed_with_data_unread_is_a_reset(net, kind, plain):
    heard, said = converse(net, """
conn, _ = serve().accept()
conn.recv(1)
conn.close()
""", """
sock = socket.create_connection(("10.32.1.2", 5000))
print(kind(sock))
sock.sendall(b"more than one byte")
time.sleep(0.3)
try:
    sock.recv(1)
except ConnectionResetError:
    print("reset")
""", plain, plain)
    assert said == f"{kind}\nreset\n"


@pytest.mark.parametrize("kind, plain", BOTH)
def test_linger_before_connect(net, kind, plain):
    """Its close resets the peer."""
    heard, said = converse(net, """
conn, _ = serve().accept()
try:
    conn.recv(9)
except ConnectionResetError:
    print("reset")
""", """
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
sock.connect(("10.32.1.2", 5000))
print(kind(sock))
sock.close()
""", plain, plain)
    assert said == kind + "\n" and heard == "reset\n"


@pytest.mark.parametrize("kind, plain", BOTH)
def test_lingering_close(net, kind, plain):
    """With a positive time close waits for the data to go, or does not have to. Nothing is lost, nobody waits long."""
    heard, said = converse(net, """
conn, _ = serve().accept()
print(len(b"".join(iter(lambda: conn.recv(65536), b""))))
""", """
sock = socket.create_connection(("10.32.1.2", 5000))
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
print(kind(sock))
sock.sendall(bytes(100000))
sock.close()
""", plain, plain)
    assert said == kind + "\n" and heard == "100000\n"


@pytest.mark.parametrize("kind, plain", BOTH)
def test_urgent_data(net, kind, plain):
    heard, said = converse(net, """
import select
conn, _ = serve().accept()
p = select.poll()
p.register(conn, select.POLLPRI)
assert p.poll(5000)
print(conn.recv(1, socket.MSG_OOB), conn.recv(9), kind(conn))
conn.recv(1)
""", """
sock = socket.create_connection(("10.32.1.2", 5000))
sock.send(b"abc")
sock.send(b"!", socket.MSG_OOB)
time.sleep(0.5)
""", plain, plain)
    assert heard == f"b'!' b'abc' {kind}\n"


@pytest.mark.parametrize("kind, plain", BOTH)
def test_address_arguments_are_ignored(net, kind, plain):
    """recvfrom and sendto on a connected TCP socket: no address comes, and the one given does not matter."""
    heard, said = converse(net, """
conn, _ = serve().accept()
print(conn.recvfrom(100))
conn.sendto(b"to you", ("10.32.1.3", 9))
conn.recv(1)
""", """
sock = socket.create_connection(("10.32.1.2", 5000))
print(kind(sock))
sock.sendto(b"to whom", ("192.0.2.1", 1))
print(sock.recvfrom(100))
""", plain, plain)
    assert heard == "(b'to whom', None)\n" and said == f"{kind}\n(b'to you', None)\n"


def test_udp_is_left_alone(net):
    heard, said = converse(net, """
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.bind(("", 5000))
print("up", flush=True)
data, source = sock.recvfrom(99)
sock.sendto(data + b" back", source)
print(source[0])
""", """
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.sendto(b"there", ("10.32.1.2", 5000))
print(sock.recvfrom(99))
""")
    assert heard == "10.32.1.1\n" and said == "(b'there back', ('10.32.1.2', 5000))\n"


def test_disconnected_and_connected_anew(net):
    """connect with AF_UNSPEC: the descriptor is a TCP socket again, of its own namespace."""
    said = converse(net, """
server = serve()
for _ in range(2):
    conn, _ = server.accept()
    conn.sendall(kind(conn).encode())
""", """
import ctypes
sock = socket.create_connection(("10.32.1.2", 5000))
print(sock.recv(99))
nowhere = bytes(16)
assert ctypes.CDLL(None).connect(sock.fileno(), nowhere, 16) == 0
sock.connect(("10.32.1.2", 5000))
print(sock.recv(99), kind(sock))
""")[1]
    assert said == "b'fast'\nb'overlay' overlay\n"


@pytest.mark.parametrize("kind, plain", BOTH)
def test_signals(net, kind, plain):
    """A blocked read is interrupted, restarted, and timed out as ever; writing to a peer that is gone is an error."""
    said = converse(net, """
conn, _ = serve().accept()
time.sleep(1)
conn.sendall(b"late")
conn.recv(1)
conn.close()
""", """
import signal
sock = socket.create_connection(("10.32.1.2", 5000))
print(kind(sock))
hits = []
signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
assert sock.recv(9) == b"late" and hits
signal.setitimer(signal.ITIMER_REAL, 0)
sock.sendall(b"x")
sock.recv(1)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
try:
    for _ in range(20):
        sock.send(b"x")
        time.sleep(0.05)
except (BrokenPipeError, ConnectionResetError):
    pass
""", plain, plain)[1]
    assert said == kind + "\n"
