"""Running a server and its client: the wait for the listener, the statuses, and that nothing stays behind."""

import os
import socket
import sys
import time

import pytest

from freeflow.pair import PairError, Side, listens, run_pair

SERVE = """
import socket, sys, time
time.sleep(0.2)
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
c, _ = s.accept()
print("served", c.recv(10).decode())
sys.exit(int(sys.argv[2]))
"""
ASK = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).send(b'hello'); print('asked')"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("status", [0, 3])
def test_waits_for_the_listener_and_reports_both(status):
    port = free_port()
    server, client = run_pair([sys.executable, "-c", SERVE, port, status], [sys.executable, "-c", ASK, port], port)
    assert (server.status, server.stdout) == (status, "served hello\n")
    assert (client.status, client.stdout) == (0, "asked\n")


def test_a_server_that_dies_is_reported_with_its_words():
    with pytest.raises(PairError, match="no such luck"):
        run_pair([sys.executable, "-c", "import sys; sys.exit('no such luck')"], ["true"], free_port())


def test_a_server_that_stays_is_stopped():
    port = free_port()
    loop = "import socket, sys, time\ns = socket.create_server(('127.0.0.1', int(sys.argv[1])))\ntime.sleep(60)"
    began = time.monotonic()
    server, client = run_pair([sys.executable, "-c", loop, port], ["true"], port, server_stays=True)
    assert server.status < 0 and client.status == 0 and time.monotonic() - began < 10


def test_a_client_that_hangs_is_stopped_with_its_children():
    port = free_port()
    loop = "import socket, sys, time\ns = socket.create_server(('127.0.0.1', int(sys.argv[1])))\ntime.sleep(60)"
    server, client = run_pair([sys.executable, "-c", loop, port], ["sh", "-c", "sleep 61 & echo $!; wait"], port,
                              timeout_s=0.5, server_stays=True)
    assert client.status < 0
    time.sleep(0.1)
    assert not alive(int(client.stdout))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_listens_sees_udp_and_not_connections():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        assert listens(os.getpid(), port, udp=True) and not listens(os.getpid(), port)


def test_much_output_does_not_block():
    side = Side([sys.executable, "-c", "print('x' * 1_000_000)"])
    assert len(side.wait(20).stdout) == 1_000_001
