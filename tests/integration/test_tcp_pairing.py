"""Whose connection is whose, when thousands are made at once: the prototype swapped them."""

import pytest
from tcp_net import SERVER as KIND
from tcp_net import converse

CLIENTS = """
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
async def one(n, gate):
    async with gate:
        reader, writer = await asyncio.open_connection("10.32.1.2", 5000)
        host, port = writer.get_extra_info("sockname")
        writer.write(f"{name} {n} {host} {port}\\n".encode())
        told = (await reader.readline()).decode().split()
    assert told == [name, str(n), host, str(port)], told
    return writer
async def main():
    gate = asyncio.Semaphore(200)
    writers = await asyncio.gather(*(one(n, gate) for n in range(count)))
    print(len({w.get_extra_info("sockname") for w in writers}), "different",
          sum(kind(w.get_extra_info("socket")) == "fast" for w in writers[:50]), "of 50 fast", flush=True)
    sys.stdin.readline()
asyncio.run(main())
"""

SERVER = """
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
count = 0
async def serve_one(reader, writer):
    global count
    line = await reader.readline()
    host, port = writer.get_extra_info("peername")
    assert line.decode().split()[2:] == [host, str(port)], (line, host, port)
    writer.write(line)
    count += 1
    if count == total:
        done.set()
async def main():
    global done
    done = asyncio.Event()
    server = await asyncio.start_server(serve_one, "", 5000, backlog=4096)
    print("up", flush=True)
    await done.wait()
    await asyncio.sleep(0.2)
asyncio.run(main())
print(count)
"""


def test_thousands_at_once(tcp_net, accelerated):
    """Two containers' clients, plain ones among them, against one listener: each is told what it said, by a server that
    saw its address."""
    total = 3 * 1000
    server = tcp_net.popen("c2", "total = 3000\n" + SERVER, stdout=-1, stderr=-2)
    assert server.stdout.readline() == "up\n"
    clients = [tcp_net.popen(where, f"import socket, os, sys\nname, count = 'n{i}', 1000\n" + KIND + CLIENTS, plain,
                             stdin=-1, stdout=-1, stderr=-2)
               for i, (where, plain) in enumerate([("c1", False), ("c3", False), ("c1", True)])]
    said = [client.stdout.readline() for client in clients]
    assert said[0].startswith("1000 different") and said[1].startswith("1000 different"), said
    assert said[2] == "1000 different 0 of 50 fast\n", said
    for client in clients:
        client.communicate("\n", timeout=30)
    assert server.communicate(timeout=30)[0] == f"{total}\n"
    assert accelerated() >= 1980  # on a machine that is busy with other things a handshake may take too long


@pytest.mark.timeout(300)
def test_ten_thousand_connections(tcp_net, accelerated):
    """As many as two processes of 20 000 descriptors hold comfortably, all alive together, all different."""
    server = tcp_net.popen("c2", "total = 10000\n" + SERVER, stdout=-1, stderr=-2)
    assert server.stdout.readline() == "up\n"
    client = tcp_net.popen("c1", "import socket, os, sys\nname, count = 'n', 10000\n" + KIND + CLIENTS, stdin=-1,
                           stdout=-1, stderr=-2)
    said = client.stdout.readline()
    assert said.startswith("10000 different"), said
    client.communicate("\n", timeout=60)
    assert server.communicate(timeout=60)[0] == "10000\n"
    assert accelerated() >= 9900  # on a machine that is busy with other things a handshake may take too long


def test_threads(tcp_net, accelerated):
    """More threads inside connect than the library keeps sessions for."""
    converse(tcp_net, """
server = serve(backlog=500)
def one(conn, peer):
    conn.sendall(f"{peer[0]} {peer[1]} {conn.recv(99).decode()}".encode())
    conn.close()
for _ in range(640):
    threading.Thread(target=one, args=server.accept()).start()
""", """
failures = []
def one(n):
    for _ in range(20):
        sock = socket.create_connection(("10.32.1.2", 5000))
        sock.sendall(b"%d" % n)
        told = sock.recv(99).decode().split()
        if told != [sock.getsockname()[0], str(sock.getsockname()[1]), str(n)]:
            failures.append(told)
        sock.close()
threads = [threading.Thread(target=one, args=(n,)) for n in range(32)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
""")
    assert accelerated() == 640
