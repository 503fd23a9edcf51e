"""RC through Debian's pyverbs, on NumPy buffers: pyverbs_rc.py server | client HOST. Run by Debian's own Python.

The server owns an array. The client plays ping-pong with it by SEND, writes its own array over the server's, reads
the server's answer back, and each side checks every element.
"""

import json
import socket
import sys
import time

import numpy as np
from pyverbs import enums as e
from pyverbs.addr import GID, AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context, get_device_list
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

PORT = 18516
COUNT = 5003  # elements of 8 bytes: not a whole number of pages
ROUNDS = 100
ACCESS = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_READ
ANSWER = 3


class End:
    def __init__(self):
        self.context = Context(name=get_device_list()[0].name.decode())
        self.pd = PD(self.context)
        self.cq = CQ(self.context, 32)
        self.array = np.zeros(COUNT, dtype=np.int64)
        self.mr = MR(self.pd, self.array.nbytes, ACCESS, address=self.array.ctypes.data)
        self.qp = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=self.cq, rcq=self.cq,
                                         cap=QPCap(max_send_wr=8, max_recv_wr=8)))

    def address(self):
        return {"qpn": self.qp.qp_num, "rkey": self.mr.rkey, "addr": self.array.ctypes.data,
                "gid": self.context.query_gid(1, 0).gid}

    def connect(self, peer):
        attr = QPAttr(port_num=1)
        attr.qp_access_flags = ACCESS
        self.qp.to_init(attr)
        attr.dest_qp_num = peer["qpn"]
        attr.path_mtu = e.IBV_MTU_1024
        attr.max_dest_rd_atomic = attr.max_rd_atomic = 1
        attr.min_rnr_timer = 12
        attr.ah_attr = AHAttr(port_num=1, is_global=1, gr=GlobalRoute(dgid=GID(peer["gid"]), sgid_index=0))
        self.qp.to_rtr(attr)
        attr.timeout, attr.retry_cnt, attr.rnr_retry = 18, 7, 7
        self.qp.to_rts(attr)

    def sge(self):
        return SGE(self.array.ctypes.data, self.array.nbytes, self.mr.lkey)

    def receive(self):
        self.qp.post_recv(RecvWR(wr_id=1, num_sge=1, sg=[self.sge()]))

    def post(self, opcode, peer=None):
        wr = SendWR(wr_id=2, opcode=opcode, num_sge=1, sg=[self.sge()])
        if peer:
            wr.set_wr_rdma(peer["rkey"], peer["addr"])
        self.qp.post_send(wr)

    def completed(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            count, found = self.cq.poll(1)
            if count:
                assert found[0].status == e.IBV_WC_SUCCESS, found[0]
                return
        raise TimeoutError("no completion within 20 s")


def pattern(seed):
    return np.arange(COUNT, dtype=np.int64) * 7919 + seed


class Wire:
    """JSON lines, both ways. Reader and writer are two files: one file for both forgets what it read ahead."""

    def __init__(self, connection):
        self.reader, self.writer = connection.makefile("r"), connection.makefile("w")

    def tell(self, value):
        self.writer.write(json.dumps(value) + "\n")
        self.writer.flush()

    def heard(self):
        return json.loads(self.reader.readline())


def serve(wire, end, peer):
    for n in range(ROUNDS):
        end.completed()  # the ping
        assert np.array_equal(end.array, pattern(n)), f"ping {n}"
        end.array += 1
        end.receive()
        end.post(e.IBV_WR_SEND)
        end.completed()
    assert wire.heard() == "written"
    assert np.array_equal(end.array, pattern(-1)), "what the client wrote"
    end.array *= ANSWER
    wire.tell("answered")
    assert wire.heard() == "done"


def ask(wire, end, peer):
    for n in range(ROUNDS):
        end.array[:] = pattern(n)
        end.post(e.IBV_WR_SEND)
        end.completed()
        end.receive()
        end.completed()  # the pong
        assert np.array_equal(end.array, pattern(n) + 1), f"pong {n}"
    end.array[:] = pattern(-1)
    end.post(e.IBV_WR_RDMA_WRITE, peer)
    end.completed()
    wire.tell("written")
    assert wire.heard() == "answered"
    end.array[:] = 0
    end.post(e.IBV_WR_RDMA_READ, peer)
    end.completed()
    assert np.array_equal(end.array, pattern(-1) * ANSWER), "what the client read"
    wire.tell("done")


def main():
    serving = sys.argv[1] == "server"
    if serving:
        with socket.create_server(("", PORT)) as listener:
            connection = listener.accept()[0]
    else:
        connection = socket.create_connection((sys.argv[2], PORT))
    with connection:
        wire = Wire(connection)
        end = End()
        wire.tell(end.address())
        peer = wire.heard()
        end.connect(peer)
        if serving:
            end.receive()
        wire.tell("ready")
        assert wire.heard() == "ready"
        (serve if serving else ask)(wire, end, peer)
    print("ok")


main()
