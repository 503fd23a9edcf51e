"""Descriptors that are copied, inherited, handed over, closed behind the library's back."""

import subprocess

import pytest
from tcp_net import ECHO_ONCE, converse

TALK = """
def talk(sock):
    sock.sendall(b"hello")
    assert sock.recv(5) == b"hello"
    assert sock.getpeername() == ("10.32.1.2", 5000), sock.getpeername()
    print(kind(sock), flush=True)
"""


@pytest.mark.parametrize("copy", ["os.dup(sock.fileno())", "os.dup2(sock.fileno(), 77)",
                                  "__import__('fcntl').fcntl(sock.fileno(), 0, 50)"], ids=["dup", "dup2", "F_DUPFD"])
def test_copied_before_connect_stays_whole(net, copy):
    """Both numbers are the same connection: so both stay on the overlay."""
    said = converse(net, ECHO_ONCE, TALK + f"""
sock = socket.socket()
copy = socket.socket(fileno={copy})
sock.connect(("10.32.1.2", 5000))
talk(copy)
talk(sock)
""")[1]
    assert said == "overlay\noverlay\n"


def test_copied_after_connect(net):
    said = converse(net, ECHO_ONCE, TALK + """
sock = socket.create_connection(("10.32.1.2", 5000))
copy = sock.dup()
talk(copy)
sock.close()
talk(copy)
os.dup2(copy.fileno(), 0)
talk(socket.socket(fileno=0))
""")[1]
    assert said == "fast\n" * 3


def test_forked_between_socket_and_connect_stays_whole(net):
    said = converse(net, ECHO_ONCE, TALK + """
sock = socket.socket()
if os.fork() == 0:
    sock.connect(("10.32.1.2", 5000))
    os._exit(0)
assert os.wait()[1] == 0
talk(sock)
""")[1]
    assert said == "overlay\n"


def test_forked_server(net, accelerated):
    """A listener made before the fork, accepted from in children, as nginx and PostgreSQL do."""
    converse(net, """
server = serve()
children = [os.fork() for _ in range(3)] if True else []
if 0 in children:
    while True:
        conn, _ = server.accept()
        conn.sendall(f"{os.getpid()} {kind(conn)}".encode())
        conn.close()
time.sleep(2)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
""".replace("children = [os.fork() for _ in range(3)] if True else []", """
children = []
for _ in range(3):
    children.append(os.fork())
    if children[-1] == 0:
        break
"""), """
kinds = set()
for _ in range(30):
    sock = socket.create_connection(("10.32.1.2", 5000))
    kinds.add(sock.recv(99).split()[1])
assert kinds == {b"fast"}, kinds
""")
    assert accelerated() == 30


def test_parent_accepts_child_serves(net):
    converse(net, """
server = serve()
for _ in range(5):
    conn, peer = server.accept()
    if os.fork() == 0:
        server.close()
        assert conn.getpeername() == peer
        conn.sendall(conn.recv(100))
        os._exit(0)
    conn.close()
for _ in range(5):
    assert os.wait()[1] == 0
""", """
for n in range(5):
    sock = socket.create_connection(("10.32.1.2", 5000))
    sock.sendall(b"%d" % n)
    assert sock.recv(9) == b"%d" % n
    assert sock.recv(9) == b""
""")


def test_exec(net):
    """The prototype lost its map. Here names come from the kernel, so a program that starts with a connection as its
    standard input, as under inetd, sees whose it is."""
    heard, said = converse(net, """
server = serve()
conn, _ = server.accept()
os.dup2(conn.fileno(), 0)
os.execv(sys.executable, [sys.executable, "-c", '''
import socket
sock = socket.socket(fileno=0)
print(sock.family.name, sock.type.name, sock.proto, sock.getsockname(), sock.getpeername())
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.sendall(sock.recv(9))
'''])
""", TALK + """
sock = socket.create_connection(("10.32.1.2", 5000))
print(sock.getsockname())
talk(sock)
""")
    client = said.splitlines()[0]
    assert said.endswith("fast\n")
    assert heard == f"AF_INET SOCK_STREAM 6 ('10.32.1.2', 5000) {client}\n"


def test_a_listener_through_exec(net, accelerated):
    """Socket activation: the program that accepts never called listen."""
    converse(net, """
server = serve()
os.set_inheritable(server.fileno(), True)
os.execv(sys.executable, [sys.executable, "-c", f'''
import socket
server = socket.socket(fileno={server.fileno()})
for _ in range(3):
    conn, _ = server.accept()
    conn.sendall(conn.recv(9))
'''])
""", TALK + """
time.sleep(0.5)
for _ in range(3):
    talk(socket.create_connection(("10.32.1.2", 5000)))
""")
    assert accelerated() == 3


def test_handed_to_another_process(net):
    """SCM_RIGHTS, as sshd and Chrome do. The receiver never connected anything."""
    said = converse(net, ECHO_ONCE, TALK + """
ours, theirs = socket.socketpair()
if os.fork() == 0:
    ours.close()
    _, fds, _, _ = socket.recv_fds(theirs, 9, 1)
    talk(socket.socket(fileno=fds[0]))
    os._exit(0)
theirs.close()
sock = socket.create_connection(("10.32.1.2", 5000))
socket.send_fds(ours, [b"x"], [sock.fileno()])
sock.close()
assert os.wait()[1] == 0
""")[1]
    assert said == "fast\n"


def test_descriptors_closed_behind_its_back(net, accelerated):
    """A daemon closes every number it does not know, the library's own among them, and reuses them."""
    converse(net, ECHO_ONCE.replace("serve()", "server") .replace("conn, peer", "server = serve()\nfor _ in range(3):\n  conn, peer")
             .replace("print", "  print").replace("while", "  while").replace("    conn.sendall", "      conn.sendall"),
             TALK + """
talk(socket.create_connection(("10.32.1.2", 5000)))
os.closerange(3, 4000)
files = [os.open("/dev/null", os.O_RDWR) for _ in range(1000)]   # 900 is one of them
talk(socket.create_connection(("10.32.1.2", 5000)))
for file in files:
    os.write(file, b"x")
    assert os.readlink(f"/proc/self/fd/{file}") == "/dev/null"
libc = __import__("ctypes").CDLL(None)
libc.syscall(436, 3, 0xffffffff, 0)   # close_range
talk(socket.create_connection(("10.32.1.2", 5000)))
""")
    assert accelerated() == 3


def test_high_numbers(net, accelerated):
    """The prototype's table ended at 65536; here the limit is the process's."""
    converse(net, ECHO_ONCE, TALK + """
import resource
top = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1
resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1, top + 1))
import fcntl
blocker = [os.open("/dev/null", os.O_RDWR)]
while blocker[-1] < top - 8:
    blocker.append(os.dup(blocker[0]))
sock = socket.create_connection(("10.32.1.2", 5000))
assert sock.fileno() > 15000
talk(sock)
""")
    assert accelerated() == 1


def test_the_last_descriptor_number(net, accelerated):
    """accept succeeds with the last number a process may have, as it does without the library."""
    converse(net, """
import resource
server = serve()
first, _ = server.accept()     # the session with the broker is open from here on
first.sendall(first.recv(9))
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
files = [os.open("/dev/null", os.O_RDWR)]
try:
    while True:
        files.append(os.dup(files[0]))
except OSError:
    os.close(files.pop())
conn, peer = server.accept()
try:
    server.accept()
    assert False
except OSError as error:
    assert error.errno == 24, error   # EMFILE
for file in files:
    os.close(file)
assert conn.getpeername() == peer
assert kind(conn) == "fast"
conn.sendall(conn.recv(9))
""", TALK + """
talk(socket.create_connection(("10.32.1.2", 5000)))
time.sleep(0.5)
sock = socket.create_connection(("10.32.1.2", 5000))
third = socket.create_connection(("10.32.1.2", 5000))
talk(sock)
""")
    assert accelerated() >= 2


def test_the_first_call_is_not_socket(net):
    """The prototype looked libc's functions up in socket(), and jumped to NULL before that."""
    for call in ("getsockname(0, room, length)", "getpeername(0, room, length)", "accept(0, None, None)",
                 "connect(0, room, 16)", "listen(0, 5)", "getsockopt(0, 1, 4, room, length)",
                 "setsockopt(0, 6, 1, room, 4)", "recvfrom(0, room, 9, 0, None, None)"):
        said = net.run("c1", f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
room, length = ctypes.create_string_buffer(128), ctypes.byref(ctypes.c_uint(128))
print(libc.{call}, ctypes.get_errno())
""", stdin=subprocess.DEVNULL)
        assert said == "-1 88\n", call  # ENOTSOCK
