"""What a container can do with the broker, and with the socket it is handed."""

import os

import pytest
from tcp_net import ECHO_ONCE, Net, SERVER, converse, counters

# The broker's wire (ffcore/tcp.h), spoken without the library.
WIRE = SERVER + """
import array
REQUEST, REPLY, END = struct.Struct("=IIIIQQQ20s20sHHI"), struct.Struct("=IIIIQQ20sI"), struct.Struct("=16sHH")
LISTEN, CONNECT, SETTLE, CLAIM = 1, 2, 3, 4
PLAIN, GO, CONFIRM = 0, 1, 2
def end_of(address, port):
    return END.pack(bytes(10) + b"\\xff\\xff" + socket.inet_aton(address), port, socket.AF_INET)
def session():
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(5)
    sock.connect(os.environ["FREEFLOW_DIR"] + "/router.tcp.sock")
    return sock
def call(sock, op, local=("0.0.0.0", 0), peer=("0.0.0.0", 0), cookie=0, token=0, id=0, flags=0, version=3):
    sock.send(REQUEST.pack(version, op, 7, flags, cookie, token, id, end_of(*local), end_of(*peer), 32768, 60999, 0))
    data, fds, _, _ = socket.recv_fds(sock, 100, 4)
    _, sequence, verdict, reason, token, id, local, _ = REPLY.unpack(data)
    assert sequence == 7
    return verdict, reason, token, id, fds
"""


def test_the_socket_reaches_nothing(tcp_net):
    """A link lies in a namespace where other tenants' do, too: no interface there has an address, and with the library gone
    round it can neither connect nor bind there. What listens on it hears nobody."""
    said = converse(tcp_net, """
server = serve()
conns = [server.accept()[0] for _ in range(2)]
conns[1].sendall(b"untouched")
try:
    conns[1].recv(1)
except ConnectionResetError:
    pass
""", """
import ctypes, fcntl, errno
libc = ctypes.CDLL(None, use_errno=True)
sock, other = (socket.create_connection(("10.32.1.2", 5000)) for _ in range(2))
fd = sock.fileno()
def raw(number, *words):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "ok") if libc.syscall(number, *words) < 0 else "ok"
def name(host, port, family=socket.AF_INET):
    return struct.pack("=H", family) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)
room = ctypes.create_string_buffer(4096)
conf = ctypes.create_string_buffer(struct.pack("iP", 4096, ctypes.addressof(room)))
assert raw(16, fd, 0x8912, conf) == "ok"                                    # SIOCGIFCONF
print("interfaces with an address:", struct.unpack("iP", conf.raw[:16])[0])
request = ctypes.create_string_buffer(struct.pack("16sh22x", b"lo", 0))
print("take it down:", raw(16, fd, 0x8914, request), "its namespace:", raw(16, fd, 0x894c))   # SIOCSIFFLAGS, SIOCGSKNS
assert raw(42, fd, name("0.0.0.0", 0, 0), 16) == "ok"                       # connect, AF_UNSPEC
print("bind:", raw(49, fd, name("0.0.0.0", 8888), 16), raw(49, fd, name("10.32.1.2", 5000), 16))
print("connect:", raw(42, fd, name("10.32.1.2", 5000), 16), raw(42, fd, name(*other.getsockname()), 16),
      raw(42, fd, name("127.0.0.1", 22), 16))
data = b"syn with data"
print("with data:", raw(44, fd, data, len(data), 0x20000000, name("10.32.1.2", 5000), 16))    # MSG_FASTOPEN
print("listen:", raw(50, fd, 5))
print(other.recv(99))
""")[1]
    assert said.splitlines() == ["interfaces with an address: 0", "take it down: EPERM its namespace: EPERM",
                                 "bind: EPERM EPERM", "connect: EPERM EPERM EPERM", "with data: EPERM", "listen: ok",
                                 "b'untouched'"]


def test_who_may_change_networks_is_given_no_link(tcp_net):
    """On either side: it could take the loopback down that all links share."""
    before = counters(tcp_net.router)["privileged"]
    for privileged in ("c1", "c2"):
        strong = type("Strong", (), {"popen": lambda self, where, *words, **options: tcp_net.popen(
            where, *words, rights=() if where == privileged else tcp_net.rights, **options)})()
        heard, said = converse(strong, ECHO_ONCE, "print(kind(socket.create_connection(('10.32.1.2', 5000))))")
        assert said == "overlay\n" and heard.startswith("overlay")
    assert counters(tcp_net.router)["privileged"] == before + 2


def test_an_address_that_is_another_containers(tcp_net):
    """Neither as a source, nor to listen at, nor to claim what is meant for it."""
    converse(tcp_net, ECHO_ONCE, WIRE + """
s = session()
FOREIGN_SOURCE = 4
verdict, reason, _, _, fds = call(s, CONNECT, local=("10.32.1.3", 0), peer=("10.32.1.2", 5000))
assert (verdict, reason, fds) == (PLAIN, FOREIGN_SOURCE, [])
verdict, _, token, _, _ = call(s, LISTEN, local=("10.32.1.2", 5000), cookie=1)
assert verdict == PLAIN and token == 0
verdict, _, _, id, fds = call(s, CONNECT, peer=("10.32.1.2", 5000))
assert verdict == CONFIRM and len(fds) == 1
for token in (0, 1, 1 << 63):
    verdict, _, _, _, stolen = call(s, CLAIM, local=("10.32.1.2", 5000), peer=("10.32.1.1", 40000), token=token)
    assert (verdict, stolen) == (PLAIN, [])
socket.create_connection(("10.32.1.2", 5000)).close()     # lets the server end
""")


def test_another_user_of_the_container_cannot_claim(tcp_net):
    """It may connect to the broker, but has not the token; and cannot get it for a listener that is not its own."""
    server = tcp_net.popen("c2", WIRE + """
server = serve(port=5003)
cookie = struct.unpack("Q", server.getsockopt(1, 57, 8))[0]
own = socket.create_server(("", 5004))
assert call(session(), LISTEN, local=("0.0.0.0", 5003), cookie=cookie)[0] == GO     # root may
if os.fork() == 0:
    os.setgid(65534)
    os.setuid(65534)
    s = session()
    mine = socket.create_server(("", 5005))
    my_cookie = struct.unpack("Q", mine.getsockopt(1, 57, 8))[0]
    assert call(s, LISTEN, local=("0.0.0.0", 5005), cookie=my_cookie)[0] == GO
    assert call(s, LISTEN, local=("0.0.0.0", 5003), cookie=cookie)[0] == PLAIN      # another's
    assert call(s, LISTEN, local=("0.0.0.0", 5005), cookie=cookie)[0] == PLAIN      # under one's own address
    assert call(s, LISTEN, local=("0.0.0.0", 5003), cookie=cookie, token=123)[0] == PLAIN
    os._exit(0)
assert os.wait()[1] == 0
""", stdout=-1, stderr=-2)
    said = server.communicate(timeout=20)[0]
    assert server.returncode == 0, said


def test_a_namespace_that_nobody_registered(tcp_net):
    """As nobody, anyone makes a namespace and gives itself any address: it is not served."""
    tcp_net.run("c1", WIRE + """
import ctypes
assert ctypes.CDLL(None).unshare(0x40000000) == 0     # CLONE_NEWNET
s = session()
try:
    s.send(bytes(88))
    assert s.recv(100) == b""
except ConnectionError:
    pass
""")


def test_tenants_are_not_brought_together():
    with Net() as net:
        broker = net.broker(tenants={"c1": 1, "c2": 2, "c3": 2})
        for client, expected in (("c1", "overlay\n"), ("c3", "fast\n")):
            said = converse(net, ECHO_ONCE, """
sock = socket.create_connection(("10.32.1.2", 5000))
sock.sendall(b"hello")
assert sock.recv(5) == b"hello"
print(kind(sock))
""", where=("c2", client))[1]
            assert said == expected
        assert counters(broker)["refused"] == 1


def test_garbage(tcp_net, rng):
    """Requests of any bytes and any length, descriptors attached, replies not read: the broker serves the others."""
    before = counters(tcp_net.router)["accelerated"]
    tcp_net.run("c1", WIRE + f"""
import random
rng = random.Random({rng.random()})
for _ in range(300):
    s = session()
    try:
        for _ in range(rng.randrange(1, 6)):
            data = bytearray(rng.randbytes(rng.choice((88, 88, 88, 1, 87, 89, 4000))))
            if rng.random() < 0.8:
                data[:8] = struct.pack("II", 3, rng.randrange(0, 7))
            fds = array.array("i", [0, 1])
            s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if rng.random() < 0.3 else [])
    except OSError:
        pass
deaf = session()
deaf.setblocking(False)
try:
    while True:
        deaf.send(REQUEST.pack(1, CONNECT, 0, 0, 0, 0, 0, end_of("0.0.0.0", 0), end_of("10.32.1.2", 1), 0, 0, 0))
except OSError:
    pass
""")
    assert converse(tcp_net, ECHO_ONCE, "socket.create_connection(('10.32.1.2', 5000)).close()")
    assert counters(tcp_net.router)["accelerated"] == before + 1


def test_a_crowd_of_sessions_and_of_offers():
    """One container takes all it can get; another is served as ever."""
    with Net() as net:
        broker = net.broker()
        server = net.popen("c2", SERVER + "server = serve(port=6000)\nserver.settimeout(0.01)\n"
                           "try: server.accept()\nexcept TimeoutError: pass\ntime.sleep(60)", stdout=-1)
        assert server.stdout.readline() == "up\n"
        greedy = net.popen("c1", WIRE + """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held, verdicts = [], set()
s = session()
for _ in range(7000):
    verdict, reason, _, _, fds = call(s, CONNECT, peer=("10.32.1.2", 6000))
    verdicts.add((verdict, reason))
    held += fds
refused = 0
for _ in range(2500):
    more = session()
    held.append(more)
    try:
        more.send(REQUEST.pack(1, LISTEN, 0, 0, 0, 0, 0, bytes(20), bytes(20), 0, 0, 0))
        refused += more.recv(100) == b""
    except OSError:
        refused += 1
print(len(held), refused > 0, flush=True)
sys.stdin.readline()
""", stdin=-1, stdout=-1, stderr=-2)
        said = greedy.stdout.readline()
        assert said.endswith(" True\n"), said
        said = converse(net, ECHO_ONCE, """
sock = socket.create_connection(("10.32.1.2", 5000))
print(kind(sock))
""", where=("c2", "c3"))[1]
        assert said == "fast\n"
        assert counters(broker)["sessions_refused"] > 0
