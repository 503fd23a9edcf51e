"""Programs of musl, as in Alpine's images: they start with the library preloaded, and TCP mode works in them."""

import os
import subprocess

import musl
from tcp_net import ECHO_ONCE, SERVER, end, read_until_up

# "serve" or "connect"; says which addresses it sees.
TALK = r"""
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>
int main(int count, char **words)
{
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(5000)}, seen;
	socklen_t length = sizeof(seen);
	int sock = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	char data[9] = "hello";
	if (words[1][0] == 's') {
		setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(sock, (void *)&there, sizeof(there)) || listen(sock, 9))
			return 1;
		puts("up");
		fflush(stdout);
		sock = accept(sock, NULL, NULL);
		if (read(sock, data, 5) != 5 || write(sock, data, 5) != 5)
			return 2;
	} else {
		inet_pton(AF_INET, "10.32.1.2", &there.sin_addr);
		if (fork() == 0) /* so that what a fork does runs, too */
			_exit(fcntl(sock, F_GETFD) < 0);
		wait(NULL);
		sock = dup2(sock, 50);
		close(sock);
		sock = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(sock, (void *)&there, sizeof(there)) || write(sock, data, 5) != 5 || read(sock, data, 5) != 5)
			return 3;
	}
	if (getpeername(sock, (void *)&seen, &length))
		return 4;
	printf("%s %s\n", inet_ntoa(seen.sin_addr), data);
	return words[1][0] == 's' && read(sock, data, 1) < 0;
}
"""


def program(net):
    path = musl.compile(TALK, net.directory / "musl-talk")
    os.chmod(path, 0o755)
    return str(path)


def test_a_program_of_musl_connects(net, accelerated):
    server = net.popen("c2", SERVER + ECHO_ONCE, stdout=subprocess.PIPE)
    try:
        read_until_up(server)
        assert net.run("c1", [program(net), "connect"]) == "10.32.1.2 hello\n"
        assert server.communicate(timeout=10)[0].startswith("fast")
    finally:
        end(server)
    assert accelerated() == 1


def test_a_program_of_musl_accepts(net, accelerated):
    server = net.popen("c2", [program(net), "serve"], stdout=subprocess.PIPE)
    try:
        read_until_up(server)
        net.run("c1", """
import socket
sock = socket.create_connection(("10.32.1.2", 5000))
sock.sendall(b"hello")
assert sock.recv(5) == b"hello"
""")
        assert server.communicate(timeout=10)[0] == "10.32.1.1 hello\n"
    finally:
        end(server)
    assert accelerated() == 1
