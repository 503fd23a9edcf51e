"""Connections that come to programs without the library, and programs that forbid themselves system calls."""

import os
import subprocess

import pytest
from tcp_net import SERVER, converse, end, read_until_up

STRANGER = r"""
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
	struct sockaddr_in peer, own;
	socklen_t length = sizeof(peer);
	char text[200], data[20];
	getpeername(0, (void *)&peer, &length);
	length = sizeof(own);
	getsockname(0, (void *)&own, &length);
	int size = sprintf(text, "%d %s %d ", peer.sin_family == AF_INET, inet_ntoa(peer.sin_addr), ntohs(peer.sin_port));
	size += sprintf(text + size, "%s %d", inet_ntoa(own.sin_addr), ntohs(own.sin_port));
	return read(0, data, 5) != 5 || write(0, text, size) != size;
}
"""


def test_a_static_program_gets_an_accepted_connection(tcp_net, accelerated):
    """As under inetd. On one host it sees the true addresses, for they are the link's own."""
    path = tcp_net.directory / "stranger"
    subprocess.run(["gcc", "-static", "-o", path, "-x", "c", "-"], input=STRANGER, text=True, check=True)
    os.chmod(path, 0o755)
    said = converse(tcp_net, f"""
conn, _ = serve().accept()
os.dup2(conn.fileno(), 0)
os.execv("{path}", ["stranger"])
""", """
sock = socket.create_connection(("10.32.1.2", 5000))
sock.sendall(b"hello")
print(sock.recv(200).decode() == f"1 10.32.1.1 {sock.getsockname()[1]} 10.32.1.2 5000", kind(sock))
""")[1]
    assert said == "True fast\n"
    assert accelerated() == 1


FILTERED = SERVER + """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
def forbid(how):
    # Kills for what changing over needs and plain TCP does not: sendmsg, recvmsg, dup3, fcntl, accept4, setsockopt.
    calls = [46, 47, 292, 72, 288, 54]
    code = struct.pack("=HBBI", LOAD, 0, 0, 0)
    for i, call in enumerate(calls):
        code += struct.pack("=HBBI", EQUAL, len(calls) - i, 0, call)
    code += struct.pack("=HBBI", RETURN, 0, 0, 0x7fff0000) + struct.pack("=HBBI", RETURN, 0, 0, 0x80000000)
    room = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(room)), 16)
    assert libc.prctl(38, 1, 0, 0, 0) == 0      # PR_SET_NO_NEW_PRIVS
    if how == "prctl":
        assert libc.prctl(22, 2, program, 0, 0) == 0
    else:
        assert libc.syscall(317, 1, 0, program) == 0
def plain_connect():
    fd = libc.socket(2, 1, 0)
    name = struct.pack("=H", 2) + struct.pack(">H", 5000) + socket.inet_aton("10.32.1.2") + bytes(8)
    assert libc.connect(fd, name, 16) == 0
    return fd
"""


@pytest.mark.parametrize("how", ["prctl", "seccomp"])
def test_a_filter_before_connect(net, how):
    """It stays on the overlay, and alive."""
    server = net.popen("c2", SERVER + "conn, _ = serve().accept()\nconn.sendall(conn.recv(5))\nconn.recv(1)",
                       stdout=subprocess.PIPE)
    try:
        read_until_up(server)
        said = net.run("c1", FILTERED + f"""
forbid("{how}")
fd = plain_connect()
os.write(fd, b"hello")
print(os.read(fd, 9))
""")
        assert said == "b'hello'\n"
    finally:
        end(server)


@pytest.mark.parametrize("how", ["prctl", "seccomp"])
def test_a_filter_before_accept(net, accelerated, how):
    """Clients that come then are not changed over; one that was is as it was."""
    server = net.popen("c2", FILTERED + f"""
server = serve()
first = server.accept()[0]
forbid("{how}")
number = server.fileno()
for conn in (first.fileno(), libc.accept(number, None, None), libc.accept(number, None, None)):
    os.write(conn, os.read(conn, 9))
""", stdout=subprocess.PIPE)
    try:
        read_until_up(server)
        said = net.run("c1", SERVER + """
first = socket.create_connection(("10.32.1.2", 5000))
time.sleep(0.5)
for sock in (first, socket.create_connection(("10.32.1.2", 5000)), socket.create_connection(("10.32.1.2", 5000))):
    sock.settimeout(5)
    sock.sendall(b"hello")
    print(kind(sock), sock.recv(9))
""")
        assert said == "fast b'hello'\noverlay b'hello'\noverlay b'hello'\n"
        assert server.wait(10) == 0
    finally:
        end(server)
    assert accelerated() == 1


def test_an_acceptor_that_dies_before_it_claims(net):
    """Its client learns within seconds, also where the overlay's connection leaves a TIME_WAIT."""
    heard, said = converse(net, """
server = serve()
conn, _ = server.accept()
conn.sendall(conn.recv(9))
child = os.fork()
if child == 0:
    import ctypes
    ctypes.CDLL(None).syscall(43, server.fileno(), None, None)    # accept, behind the library
    os._exit(0)
os.waitpid(child, 0)
time.sleep(12)
""", """
sock = socket.create_connection(("10.32.1.2", 5000))
sock.sendall(b"hello")
assert sock.recv(9) == b"hello"
began = time.monotonic()
sock = socket.create_connection(("10.32.1.2", 5000))
sock.settimeout(30)
try:
    data = sock.recv(1)
except ConnectionResetError:
    data = b""
print(data, time.monotonic() - began < 9)
""")
    assert said == "b'' True\n"


def test_ports_in_time_wait(tcp_hosts):
    """Plain connections leave thousands in the server's container, on nearly every port that a link may have. New ones are
    accelerated all the same, and their host is asked on."""
    server = tcp_hosts.popen("c2", SERVER + "server = serve(backlog=1000)\nwhile True: server.accept()[0].close()",
                             stdout=subprocess.PIPE)
    try:
        read_until_up(server)
        said = tcp_hosts.run("c1", SERVER + """
made = 0
for port in range(32768, 61000):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("", port))
        sock.connect(("10.32.1.2", 5000))
        made += sock.recv(1) == b""      # the server closes first, and has the TIME_WAIT
    except OSError:
        pass
    sock.close()
print(made > 25000)
""", plain=True)
        assert said == "True\n"
        before, refused = tcp_hosts.accelerated(), tcp_hosts.counted("resources")
        tcp_hosts.run("c1", SERVER + """
for _ in range(200):
    socket.create_connection(("10.32.1.2", 5000)).recv(1)
""")
        assert tcp_hosts.accelerated() - before > 180 and tcp_hosts.counted("resources") == refused
    finally:
        end(server)


def test_a_file_given_to_an_io_uring_before_connect(net):
    """The ring holds the socket too, so it stays what it is."""
    said = converse(net, """
conn, _ = serve().accept()
conn.sendall(conn.recv(9))
""", """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 4, ctypes.create_string_buffer(120))      # io_uring_setup
sock = socket.socket()
if ring >= 0:     # else this kernel has it switched off
    assert libc.syscall(427, ring, 2, (ctypes.c_int * 2)(sock.fileno(), -1), 2) == 0     # IORING_REGISTER_FILES
sock.connect(("10.32.1.2", 5000))
sock.sendall(b"hello")
print(kind(sock) == ("overlay" if ring >= 0 else "fast"), sock.recv(9))
""")[1]
    assert said == "True b'hello'\n"
