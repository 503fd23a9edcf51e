"""A datagram and its answer through Debian's pyverbs: pyverbs_ud.py server | client HOST. Run by Debian's own Python.

The server answers to whoever the completion and the GRH say that it was, and knows no other address.
"""

import ipaddress
import json
import socket
import sys
import time

from pyverbs import enums as e
from pyverbs.addr import AH, GID, AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context, get_device_list
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

PORT = 18517
QKEY = 0x11111111
GRH_BYTES, SIZE = 40, 600


class End:
    def __init__(self):
        self.context = Context(name=get_device_list()[0].name.decode())
        self.pd, self.cq = PD(self.context), CQ(self.context, 32)
        self.mr = MR(self.pd, 4096, e.IBV_ACCESS_LOCAL_WRITE)
        self.qp = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_UD, scq=self.cq, rcq=self.cq,
                                         cap=QPCap(max_send_wr=8, max_recv_wr=8)))
        attr = QPAttr(port_num=1)
        attr.qkey = QKEY
        self.qp.to_rts(attr)
        self.gid = self.context.query_gid(1, 0).gid
        self.qp.post_recv(RecvWR(wr_id=1, num_sge=1, sg=[SGE(self.mr.buf, 2048, self.mr.lkey)]))

    def completed(self, opcode):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            count, found = self.cq.poll(1)
            if count:
                assert found[0].status == e.IBV_WC_SUCCESS and found[0].opcode == opcode, found[0]
                return found[0]
        raise TimeoutError("no completion within 20 s")

    def send(self, ah, qpn, body):
        self.mr.write(body, len(body), 2048)
        wr = SendWR(wr_id=2, opcode=e.IBV_WR_SEND_WITH_IMM, num_sge=1, sg=[SGE(self.mr.buf + 2048, len(body), self.mr.lkey)])
        wr.imm_data = 77
        wr.set_wr_ud(ah, qpn, QKEY)
        self.qp.post_send(wr)
        self.completed(e.IBV_WC_SEND)

    def received(self, body):
        """Where it came from, as the completion and the GRH say: (QP number, GID, addressed GID, its AH)."""
        wc = self.completed(e.IBV_WC_RECV)
        assert wc.byte_len == GRH_BYTES + len(body) and wc.wc_flags & e.IBV_WC_GRH and wc.imm_data == 77, wc
        got = self.mr.read(GRH_BYTES + len(body), 0)
        assert got[GRH_BYTES:] == body
        header = got[20:40]
        assert header[0] == 0x45 and header[9] == 17
        source, to = (ipaddress.ip_address(header[at:at + 4]) for at in (12, 16))
        return wc.src_qp, source, to, AH(self.pd, wc=wc, port_num=1, grh=self.mr.buf)


def address(gid):
    return ipaddress.ip_address(gid).ipv4_mapped


def serve():
    end = End()
    with socket.create_server(("", PORT)) as listener:
        link = listener.accept()[0].makefile("rw")
    link.write(json.dumps({"qpn": end.qp.qp_num, "gid": end.gid}) + "\n")
    link.flush()
    peer = json.loads(link.readline())
    qpn, source, to, ah = end.received(b"q" * SIZE)
    assert (qpn, source, to) == (peer["qpn"], address(peer["gid"]), address(end.gid)), (qpn, source, to)
    end.send(ah, qpn, b"a" * (SIZE - 1))


def ask(host):
    end = End()
    with socket.create_connection((host, PORT)) as sock:
        link = sock.makefile("rw")
        peer = json.loads(link.readline())
        link.write(json.dumps({"qpn": end.qp.qp_num, "gid": end.gid}) + "\n")
        link.flush()
        route = GlobalRoute(dgid=GID(peer["gid"]), sgid_index=0)
        end.send(AH(end.pd, attr=AHAttr(port_num=1, is_global=1, gr=route)), peer["qpn"], b"q" * SIZE)
        qpn, source, to, _ = end.received(b"a" * (SIZE - 1))
        assert (qpn, source, to) == (peer["qpn"], address(peer["gid"]), address(end.gid)), (qpn, source, to)


if __name__ == "__main__":
    serve() if sys.argv[1] == "server" else ask(sys.argv[2])
    print("ok")
