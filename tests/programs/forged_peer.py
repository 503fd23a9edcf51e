"""For tests/integration/test_reach.py: two ends that are connected, and a program of another tenant, on the sender's host, that
knows the receiver's QPN and the PSN that it waits for, and sends as if it were the peer.

    receiver                          waits for one message, says what it was
    sender ADDRESS                    sends it when it gets a line
    thief QPN PSN ADDRESS             ADDRESS: of its own tenant's container on the receiver's host
"""

import sys
import time

from freeflow import rdma
from freeflow.rdma import exchange
from freeflow.rdma.device import default_device
from freeflow.rdma.queue import Queue

PORT = 7471
LIMIT_S = 30


def receiver():
    def connect(queue, index, mine, theirs, real=exchange._connect):
        real(queue, index, mine, theirs)
        print(mine.qpn, theirs.psn, flush=True)
    exchange._connect = connect
    with rdma.listen(port=PORT) as listening:
        print("up", flush=True)
        with listening.accept(timeout=LIMIT_S) as connection:
            print(bytes(connection.recv(timeout=LIMIT_S)).decode(), flush=True)


def sender(address):
    with rdma.connect(address, PORT) as connection:
        print("connected", flush=True)
        sys.stdin.readline()
        connection.send(b"right", timeout=LIMIT_S)


def thief(qpn, psn, address):
    device = default_device()
    index, _ = device.gid_for()
    gid = bytes(10) + b"\xff\xff" + bytes(map(int, address.split(".")))
    queue = Queue(device)
    queue.connect(index, int(psn), int(qpn), 0, gid, 0, 1024, 1)
    work = queue.send(b"false", 0)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        queue.progress()
        time.sleep(0.01)
    print("sent", work is not None, flush=True)


def accomplice(own, theirs_qpn, address):
    """Two of them, of two tenants: each connects to a container of its own tenant on the other's host, by the other's QPN. They tell
    each other their QPNs by their output and arguments; own: reader or read."""
    device = default_device()
    index, _ = device.gid_for()
    queue = Queue(device)
    print(queue.number, flush=True)
    qpn = int(sys.stdin.readline()) if theirs_qpn == "-" else int(theirs_qpn)
    queue.connect(index, 7, qpn, 7, bytes(10) + b"\xff\xff" + bytes(map(int, address.split("."))), 0, 1024, 1)
    print("connected", flush=True)
    if own == "reader":
        work = queue.send(b"across", 0)
    until = time.monotonic() + 4
    arrived = 0
    while time.monotonic() < until:
        queue.progress()
        arrived = max(arrived, len(queue.arrived))
        time.sleep(0.01)
    print("arrived", arrived, flush=True)


globals()[sys.argv[1]](*sys.argv[2:])
