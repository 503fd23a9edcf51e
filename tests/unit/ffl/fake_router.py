"""A router made of a few dictionaries: enough to hold FFL to its half of shm.h and control.h, without the real one.

It answers the handshake and every command, completes each SEND at once, and hands it to the same QP's receive queue.
It moves no bytes. What FFL wrote is kept for the test to look at: `commands` and `wqes`.
"""

import ctypes
import mmap
import os
import socket
import struct
import threading
import time
from pathlib import Path

from ffcore import handshake

CONTROL_SIZE, MEMORY_SIZE = 4 << 20, 64 << 20
PINNED_LIMIT = 40  # in the session's header
RINGS = 17 * 4096  # the first ring's offset; each object gets 64 KB from there
# struct ff_session
ARMED, FLAGS, DEAD, SUMMARY, COMMAND_BELL, BELLS, COMMAND = 64, 68, 72, 128, 136, 192, 704
REQUEST_SEQ, OP, REQUEST, REPLY_SEQ, STATUS, REPLY = 704, 708, 768, 1280, 1284, 1344
COMMANDS = ("- open_context close_context query_device query_port query_gids alloc_pd dealloc_pd reg_mr dereg_mr "
            "create_channel destroy_channel create_cq destroy_cq create_qp modify_qp query_qp destroy_qp").split()
RESET, INIT, RTR, RTS, SQD, SQE, ERR = range(7)
QP_STATE = 1
IBV_WC_SEND, IBV_WC_RECV, WR_FLUSH_ERR = 0, 128, 5
MAPPED = bytes(10) + b"\xff\xff"
GIDS = [MAPPED + bytes([10, 32, 1, 1]), bytes(16), MAPPED + bytes([127, 0, 0, 1])]


class Segment:
    """A mapped memfd, read and written field by field. Stores of one aligned word are one store of the machine's."""

    def __init__(self, size):
        self.fd = os.memfd_create("fake")
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)

    def get(self, fmt, offset):
        return struct.unpack_from("<" + fmt, self.map, offset)

    def put(self, fmt, offset, *values):
        struct.pack_into("<" + fmt, self.map, offset, *values)

    def word(self, offset):
        return ctypes.c_uint32.from_buffer(self.map, offset).value

    def set_word(self, offset, value):
        ctypes.c_uint32.from_buffer(self.map, offset).value = value


class FakeRouter:
    """Listens on folder/router.sock and serves one session after the other, each in a thread.

    version, status, reason: what the welcome says; welcomes: how many say so, before those that admit. silent: never answers a hello. refuse: {command: errno}.
    """

    def __init__(self, folder, version=handshake.LAYOUT_VERSION, status=0, reason="", welcomes=1000, silent=False, refuse=None):
        self.version, self.status, self.reason, self.silent = version, status, reason, silent
        self.refuse, self.welcomes = refuse or {}, welcomes
        self.sessions = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(Path(folder, "router.sock")))
        self.listener.listen(4)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.sessions.append(Session(self, sock, len(self.sessions)))

    def stop_listening(self):
        """Leaves the socket's file behind, as a router that was killed does."""
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def die(self):
        self.stop_listening()
        for session in self.sessions:
            session.die()

    @property
    def session(self):
        return self.sessions[-1]


class Session:
    def __init__(self, router, sock, before):
        self.router, self.sock, self.before = router, sock, before
        self.commands, self.wqes = [], []
        self.objects = {}  # handle -> dict
        self.alive = True
        threading.Thread(target=self.serve, daemon=True).start()

    # ---- the handshake ----

    def serve(self):
        hello = self.sock.recv(64)
        self.hello = handshake.parse_hello(hello)
        if self.router.silent:
            return
        if self.router.status and self.before < self.router.welcomes:
            self.sock.send(handshake.pack_welcome(self.router.status, reason=self.router.reason))
            return
        self.control, self.memory = Segment(CONTROL_SIZE), Segment(MEMORY_SIZE)
        self.control.put("Q", PINNED_LIMIT, MEMORY_SIZE)
        self.event = os.eventfd(0, os.EFD_CLOEXEC)
        welcome = bytearray(handshake.pack_welcome(0, 7, CONTROL_SIZE, MEMORY_SIZE))
        struct.pack_into("<I", welcome, 4, self.router.version)
        socket.send_fds(self.sock, [welcome], [self.control.fd, self.memory.fd, self.event])
        while self.alive:
            if not self.step() and self.hung_up():
                return
            time.sleep(0)

    def hung_up(self):
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def die(self):
        self.alive = False
        self.sock.shutdown(socket.SHUT_RDWR)
        for thing in self.objects.values():
            if "channel" in thing:
                thing["channel"].close()

    def step(self):
        """One command, if there is one, and one look at each QP whose bell rang."""
        busy = False
        if self.control.word(REQUEST_SEQ) != self.control.word(REPLY_SEQ):
            self.command()
            busy = True
        for thing in list(self.objects.values()):
            if thing["kind"] == "qp" and self.rung(thing):
                busy |= self.run_qp(thing)
        return busy

    def rung(self, qp):
        bit, = self.control.get("Q", BELLS + qp["bell"] // 64 * 8)
        return bit >> qp["bell"] % 64 & 1

    # ---- commands ----

    def command(self):
        seq, op = self.control.word(REQUEST_SEQ), self.control.get("H", OP)[0]
        name = COMMANDS[op]
        request = bytes(self.control.map[REQUEST:REQUEST + 512])
        self.commands.append((name, request))
        status, reply = self.router.refuse.get(name, 0), b""
        if not status:
            reply = getattr(self, name, self.nothing)(request, seq) or b""
        self.control.map[REPLY:REPLY + len(reply)] = reply
        self.control.put("i", STATUS, status)
        self.control.set_word(REPLY_SEQ, seq)

    def nothing(self, request, seq):
        if request:
            self.objects.pop(struct.unpack_from("<I", request)[0], None)

    def new(self, kind, **fields):
        handle = len(self.commands)  # never the same twice
        self.objects[handle] = {"kind": kind, "handle": handle, "offset": RINGS + (handle % 60) * 65536, **fields}
        return self.objects[handle]

    def channel_for(self, thing, seq):
        thing["channel"], theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(self.sock, [struct.pack("<II", seq, thing["handle"])], [theirs.fileno()])
        theirs.close()
        return struct.pack("<II", thing["handle"], 0)

    def open_context(self, request, seq):
        return self.channel_for(self.new("context"), seq)

    def create_channel(self, request, seq):
        return self.channel_for(self.new("channel"), seq)

    def query_device(self, request, seq):
        return struct.pack("<QQ16I", 0x1122334455667788, 1 << 30, *range(100, 116))

    def query_port(self, request, seq):
        return struct.pack("<IIIIQQII", 4, 5, 3, 1, 0, 0, 100000, 0)

    def query_gids(self, request, seq):
        return struct.pack("<II", 2, 0) + b"".join(GIDS).ljust(16 * 16, b"\0")

    def alloc_pd(self, request, seq):
        return struct.pack("<II", self.new("pd")["handle"], 0)

    def reg_mr(self, request, seq):
        addr, length = struct.unpack_from("<QQ", request, 8)
        handle = self.new("mr", addr=addr, length=length)["handle"]
        return struct.pack("<IIII", handle, handle << 12 | 1, handle << 12 | 1, 0)

    def dereg_mr(self, request, seq):
        mr = self.objects.pop(struct.unpack_from("<I", request)[0])
        return struct.pack("<QQ", mr["addr"], mr["length"])

    def create_cq(self, request, seq):
        _, cqe, channel, _ = struct.unpack_from("<IIII", request)
        entries = 1 << (cqe - 1).bit_length()
        cq = self.new("cq", entries=entries, produced=0, notify=self.objects.get(channel))
        return struct.pack("<IIQ", cq["handle"], entries, cq["offset"])

    def create_qp(self, request, seq):
        pd, send_cq, recv_cq, srq, kind, sig_all, *cap = struct.unpack_from("<11I", request)
        entries = [max(1, 1 << (n - 1).bit_length()) for n in cap[:2]]
        sq_stride = (48 + max(16 * cap[2], cap[4]) + 63) // 64 * 64
        rq_stride = (16 + 16 * cap[3] + 31) // 32 * 32
        qp = self.new("qp", send_cq=send_cq, recv_cq=recv_cq, bell=70, state=RESET, sq=0, rq=0, sq_entries=entries[0],
                      rq_entries=entries[1], sq_stride=sq_stride, rq_stride=rq_stride, sig_all=sig_all, cap=cap)
        qp["sq_offset"] = qp["offset"] + 128
        qp["rq_offset"] = qp["sq_offset"] + entries[0] * sq_stride
        qp["qpn"] = 0x10000 | qp["handle"]
        return struct.pack("<4I5I5IQQQ", qp["handle"], qp["qpn"], qp["bell"], 0, *cap, entries[0], sq_stride,
                           entries[1],
                           rq_stride, 0, qp["offset"], qp["sq_offset"], qp["rq_offset"])

    def modify_qp(self, request, seq):
        handle, mask, state = struct.unpack_from("<III", request)
        qp = self.objects[handle]
        if mask & QP_STATE:
            qp["state"] = state
            self.control.set_word(qp["offset"], state)
        if qp["state"] == RESET:
            for ring in "sq", "rq":
                while self.posted(qp, ring):
                    qp[ring] += 1
                self.control.set_word(qp["offset"] + (64 if ring == "sq" else 68), qp[ring])
        return struct.pack("<II", qp["state"], 0)

    def query_qp(self, request, seq):
        qp = self.objects[struct.unpack_from("<I", request)[0]]
        attr = struct.pack("<II", qp["state"], qp["state"]).ljust(132, b"\0")
        return attr + struct.pack("<5III", *qp["cap"], qp["sig_all"], 2)

    # ---- work ----

    def posted(self, qp, ring):
        """The offset of the next posted slot, or None."""
        slot = qp[ring + "_offset"] + (qp[ring] % qp[ring + "_entries"]) * qp[ring + "_stride"]
        return slot if self.control.word(slot) == (qp[ring] + 1) & 0xffffffff else None

    def run_qp(self, qp):
        slot = self.posted(qp, "sq")
        if qp["state"] not in (RTS, ERR) or slot is None:
            return False
        wqe = self.read_wqe(slot)
        self.wqes.append(wqe)
        qp["sq"] += 1
        self.control.set_word(qp["offset"] + 64, qp["sq"])
        status = WR_FLUSH_ERR if qp["state"] == ERR else 0
        receive = self.posted(qp, "rq") if wqe["opcode"] in (1, 2) and not status else None
        if receive is not None:
            self.receive(qp, receive, wqe)
        if wqe["flags"] & 1 or status:
            self.complete(qp["send_cq"], wqe["wr_id"], qp, IBV_WC_SEND, status, 0, 0, 0)
        return True

    def receive(self, qp, slot, wqe):
        _, _, wr_id = self.control.get("IIQ", slot)
        qp["rq"] += 1
        self.control.set_word(qp["offset"] + 68, qp["rq"])
        length = len(wqe["inline"]) + sum(sge[1] for sge in wqe["sges"])
        self.complete(qp["recv_cq"], wr_id, qp, IBV_WC_RECV, 0, length, wqe["imm"], wqe["opcode"] == 2)

    def read_wqe(self, slot):
        _, opcode, flags, count, wr_id, remote, rkey, imm, compare, swap = self.control.get("IBBHQQIIQQ", slot)
        data = slot + 48
        inline = bytes(self.control.map[data:data + count]) if flags & 8 else b""
        sges = [] if flags & 8 else [self.control.get("QII", data + 16 * i) for i in range(count)]
        return {"opcode": opcode, "flags": flags, "wr_id": wr_id, "remote": remote, "rkey": rkey, "imm": imm,
                "compare": compare, "swap": swap, "inline": inline, "sges": sges}

    def complete(self, handle, wr_id, qp, opcode, status, length, imm, flags):
        cq = self.objects[handle]
        slot = cq["offset"] + 128 + cq["produced"] % cq["entries"] * 64
        self.control.put("QQIIIIBBBBHHII", slot, wr_id, 0, qp["qpn"], qp["qpn"], length, imm, status, opcode, flags, 0, 0,
                         0, qp["bell"], qp["rq" if opcode == IBV_WC_RECV else "sq"])
        cq["produced"] += 1
        self.control.set_word(slot + 60, cq["produced"])
        arm = cq["offset"] + 64
        if cq["notify"] and self.control.word(arm):
            self.control.set_word(arm, 0)
            cq["notify"]["channel"].send(struct.pack("<II", 0, handle))

    def consumed(self, handle):
        return self.control.word(self.objects[handle]["offset"])

    def async_event(self, kind, handle):
        context = next(o for o in self.objects.values() if o["kind"] == "context")
        context["channel"].send(struct.pack("<II", kind, handle))
