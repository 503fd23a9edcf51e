"""What a program sees is what it sees without TCP mode: the same program runs plain and accelerated, on one host and
between two, and says the same."""

import re
import subprocess

import pytest
from tcp_net import SERVER, end

CONNECT = """
import signal, errno, fcntl, ctypes
S, T, I, I6 = socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6
def connect(*options, before=None, domain=socket.AF_INET):
    sock = socket.socket(domain)
    sock.settimeout(10)
    for option in options:
        sock.setsockopt(*option)
    if before:
        before(sock)
    sock.connect(("10.32.1.2" if domain == socket.AF_INET else "fd32::1:2", 5000))
    return sock
def attempt(call, *words):
    try:
        return call(*words)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
"""

# A server for all of them: the first byte says what to do.
SERVE = """
server = serve(family=socket.AF_INET6, dualstack_ipv6=True)
def one(conn):
    what = conn.recv(1)
    try:
        if what == b"b":      # a burst, and gone
            conn.sendall(bytes(100000))
        elif what == b"s":    # silent for a while, then reads
            time.sleep(1.5)
        elif what == b"h":
            conn.sendall(b"hello")
        elif what == b"u":
            time.sleep(0.2)
            conn.send(b"!", socket.MSG_OOB)
        elif what == b"t":    # two pieces
            conn.sendall(bytes(10))
            time.sleep(0.6)
            conn.sendall(bytes(90))
        elif what == b"q":
            conn.close()
            return
        while conn.recv(65536):
            pass
    except OSError:
        pass
    conn.close()
def accept():
    while True:
        threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
sys.stdin.readline()
"""


def alike(net, client, accelerated=True):
    """Runs it plain and accelerated; both outputs. accelerated: whether its first connection is to be a link."""
    said = {}
    for plain in (True, False):
        server = net.popen("c2", SERVER + SERVE, plain, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert server.stdout.readline() == "up\n"
            before = net.accelerated()
            said[plain] = net.run("c1", "import socket, sys, os, select, time, struct, threading\n" + CONNECT
                                  + "connect().close()\n" + client, plain)
            made = net.accelerated() - before
        finally:
            end(server)
        assert made == 0 if plain else made > 1 or not accelerated
    plain, fast = said[True].splitlines(), said[False].splitlines()
    assert not [pair for pair in zip(plain, fast) if pair[0] != pair[1]], "plain, accelerated"
    assert len(plain) == len(fast)
    return said[True]


def test_the_peer_closes(net):
    """When poll and epoll say what, with data left to read, and what the writes after it do."""
    said = alike(net, """
def after(what, wait=0.3):
    sock = connect()
    sock.sendall(what)
    time.sleep(wait)
    return sock
def read_all(sock):
    return sum(len(data) for data in iter(lambda: sock.recv(65536), b""))
for mask in (select.POLLIN, select.POLLIN | select.POLLOUT | select.POLLRDHUP):
    sock = after(b"q")
    poll = select.poll()
    poll.register(sock, mask)
    print(mask, [events for _, events in poll.poll(1000)], read_all(sock), [events for _, events in poll.poll(100)])
sock = after(b"q")
sock.shutdown(socket.SHUT_WR)
time.sleep(0.2)
poll = select.poll()
poll.register(sock, 0)
print("both ways shut", [events for _, events in poll.poll(1000)])
sock = after(b"q")
for _ in range(3):
    print("write", attempt(sock.send, b"x"))
    time.sleep(0.1)
print("read", attempt(sock.recv, 1))
child = os.fork()
if child == 0:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sock = after(b"q")
    os.write(sock.fileno(), b"one write is taken")
    os._exit(7)
print("status", os.waitpid(child, 0)[1] >> 8)
""")
    assert "status 7" in said and "write 1\nwrite EPIPE" in said


def test_the_error_queue(net):
    """Empty while there is data, and told of what was sent without a copy, asked for before connect or behind it."""
    said = alike(net, """
ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
sock = connect()
sock.sendall(b"h")
time.sleep(0.3)
sock.setblocking(False)
print(attempt(sock.recvmsg, 9, 512, socket.MSG_ERRQUEUE), sock.recv(9))
for sock in (connect((S, ZEROCOPY, 1)), connect()):
    sock.setsockopt(S, ZEROCOPY, 1)
    print("on", sock.getsockopt(S, ZEROCOPY))
    sock.send(b"s" + bytes(30000), MSG_ZEROCOPY)
    poll = select.poll()
    poll.register(sock, 0)
    print([events for _, events in poll.poll(5000)])
    data, notices, flags, _ = sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    print(data, flags, [(level, kind, notice[:13]) for level, kind, notice in notices])
""")
    assert "EAGAIN b'hello'" in said and said.count("on 1") == 2


def options_of_the_kernel():
    """(level, number, name) of all that its headers have for a TCP socket."""
    found = []
    for level, prefix, header in ((1, "SO_", "asm/socket.h"), (6, "TCP_", "linux/tcp.h"), (0, "IP_", "linux/in.h"),
                                  (41, "IPV6_", "linux/in6.h")):
        defines = subprocess.run(["gcc", "-E", "-dM", "-include", "linux/types.h", "-x", "c", "-"], text=True, check=True,
                                 input=f"#include <{header}>\n", stdout=subprocess.PIPE).stdout
        found += [(level, int(number), name) for name, number
                  in re.findall(rf"^#define ({prefix}[A-Z0-9_]+) (\d+)$", defines, re.MULTILINE)]
    return sorted(set(found))


SETTABLE = """
def check(level, number, name, domain):
    for value in (1, 0, 50000, b"cubic"):
        sock = socket.socket(domain)
        sock.settimeout(10)
        was = attempt(sock.setsockopt, level, number, value)
        if was is not None:
            print(name, value, was)
            sock.close()
            continue
        error = attempt(sock.connect, ("10.32.1.2" if domain == socket.AF_INET else "fd32::1:2", 5000))
        shown = attempt(sock.getsockopt, level, number, 16)
        again = attempt(sock.setsockopt, level, number, value)
        print(name, value, "before:", error, shown, "after:", again, attempt(sock.getsockopt, level, number, 16), sock.gettimeout(), flush=True)
        sock.close()
"""


def test_every_option_before_connect(net):
    """Set before connect, read behind it, set again, read again. Each has its value or its error."""
    options = options_of_the_kernel()
    assert len({(level, number) for level, number, _ in options}) > 150
    # What the processor that happens to serve it changes; and what decided how a socket was bound or listens (docs/tcp-mode.md).
    apart = {"SO_INCOMING_CPU", "SO_INCOMING_NAPI_ID", "TCP_FASTOPEN", "IPV6_V6ONLY"}
    for domain in ("socket.AF_INET", "socket.AF_INET6"):
        chosen = [o for o in options if o[2] not in apart and "PMTUDISC" not in o[2]]
        said = alike(net, SETTABLE + f"for level, number, name in {chosen}: check(level, number, name, {domain})\n")
        assert said.count("before: None") > 100


def test_unknown_levels_and_options(net):
    said = alike(net, """
sock = connect()
for level, number in ((T, 9999), (S, 9999), (I, 9999), (I6, 9999), (282, 1), (17, 1), (I, 80), (I6, 80), (99, 1)):
    print(level, number, attempt(sock.getsockopt, level, number, 16), attempt(sock.setsockopt, level, number, 1))
for value in (b"nonsense", b"reno"):
    print(value, attempt(sock.setsockopt, T, socket.TCP_CONGESTION, value))
for level, number, value in ((T, socket.TCP_KEEPIDLE, 0), (T, socket.TCP_KEEPIDLE, 40000), (T, socket.TCP_MAXSEG, 10),
                             (I, socket.IP_TTL, 999), (S, socket.SO_RCVTIMEO, b"short")):
    print(level, number, attempt(sock.setsockopt, level, number, value))
""")
    assert "b'nonsense' ENOENT" in said


def test_truncation_queues_and_interfaces(net):
    said = alike(net, """
import termios
libc = ctypes.CDLL(None, use_errno=True)
libc.recv.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
sock = connect()
sock.sendall(b"h")
time.sleep(0.3)
print("thrown away", libc.recv(sock.fileno(), None, 2, socket.MSG_TRUNC), sock.recv(1))
def number(sock, request):
    return attempt(lambda: struct.unpack("i", fcntl.ioctl(sock, request, bytes(4)))[0])
print("unread", number(sock, termios.FIONREAD), "urgent here", number(sock, 0x8905))
sock = connect()
sock.sendall(b"s" + bytes(2000))
time.sleep(0.5)
print("not taken yet", number(sock, 0x5411), number(sock, 0x894B))
for request in (0x8910, 0x8913, 0x8915, 0x8919, 0x891b, 0x8921, 0x8927, 0x8933):   # SIOCGIF...
    for name in (b"eth0", b"lo", b"none0"):
        print(hex(request), name, attempt(fcntl.ioctl, sock, request, struct.pack("16si20x", name, 2)))
print("addresses", struct.unpack("iP", fcntl.ioctl(sock, 0x8912, struct.pack("iP", 0, 0)))[0])
""")
    assert "thrown away 2 b'l'" in said


def test_many_small_writes(net):
    """Before anybody reads: how many fit does not depend on how small they are, whatever SO_SNDBUF says."""
    said = alike(net, """
for options in ((), ((S, socket.SO_SNDBUF, 2048),), ((S, socket.SO_SNDBUF, 16384),), ((S, socket.SO_SNDBUF, 1 << 20),)):
    sock = connect((T, socket.TCP_NODELAY, 1), *options)
    sock.sendall(b"s")
    sock.settimeout(0.5)
    for n in range(3000):
        if attempt(sock.send, b"0123456789") != 10:
            break
    print(options, n)
    sock.close()
""")
    assert said.count(" 2999\n") == 4


def test_low_water_and_urgent_data(net):
    """SO_RCVLOWAT of before connect; who is signalled without O_ASYNC, and with a signal of his choice."""
    said = alike(net, """
got = []
for number in (signal.SIGURG, signal.SIGIO, signal.SIGRTMIN):
    signal.signal(number, lambda n, _: got.append(n))
sock = connect((S, socket.SO_RCVLOWAT, 100))
sock.sendall(b"t")
time.sleep(0.3)
poll = select.poll()
poll.register(sock, select.POLLIN)
print(poll.poll(100), len(sock.recv(100)))
sock = connect(before=lambda s: fcntl.fcntl(s, fcntl.F_SETOWN, os.getpid()))
sock.sendall(b"u")
time.sleep(0.5)
sock.setblocking(True)     # with a time-out Python would wait for other data first
print([signal.Signals(n).name for n in got], sock.recv(1, socket.MSG_OOB), fcntl.fcntl(sock, fcntl.F_GETOWN) == os.getpid())
def by_signal(sock):
    fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sock, 10, signal.SIGRTMIN)     # F_SETSIG
    fcntl.fcntl(sock, fcntl.F_SETFL, fcntl.fcntl(sock, fcntl.F_GETFL) | os.O_ASYNC)
got.clear()
sock = connect(before=by_signal)
sock.sendall(b"h")
time.sleep(0.3)
print(set(got) == {signal.SIGRTMIN}, fcntl.fcntl(sock, 11) == signal.SIGRTMIN)
""")
    assert "['SIGURG'] b'!' True" in said and said.endswith("True True\n")


def test_connected_twice(net):
    said = alike(net, """
there = ("10.32.1.2", 5000)
sock = socket.socket()
sock.connect(there)
print([attempt(sock.connect, there) for _ in range(2)])
sock = socket.socket()
sock.setblocking(False)
print(attempt(sock.connect, there), select.select([], [sock], [], 5)[1] == [sock], [attempt(sock.connect, there) for _ in range(2)])
""")
    assert said == "['EISCONN', 'EISCONN']\nEINPROGRESS True [None, 'EISCONN']\n"


def test_reserved_ports(net):
    """A port that the program takes below 1024, and those that its administrator keeps the kernel from choosing."""
    setting = ["nsenter", "-t", str(net.pids["c1"]), "-n", "sh", "-c", "cat > /proc/sys/net/ipv4/ip_local_reserved_ports"]
    subprocess.run(setting, input="8080,32768-60000", text=True, check=True)
    try:
        said = alike(net, """
sock = connect((S, socket.SO_REUSEADDR, 1), before=lambda s: s.bind(("", 890)))
print(sock.getsockname()[1])
print(all(connect().getsockname()[1] > 60000 for _ in range(20)))
""", accelerated=False)
    finally:
        subprocess.run(setting, input="\n", text=True, check=True)
    assert said == "890\nTrue\n"
