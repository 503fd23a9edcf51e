import os
import random

from libc.errno cimport errno
from libc.string cimport memcpy, memset

from freeflow.rdma.verbs cimport *
from freeflow.rdma.library cimport lib

from freeflow.rdma.errors import of_errno


cdef extern from "<fcntl.h>" nogil:
    enum:
        F_SETFL, O_NONBLOCK
    int fcntl(int fd, int command, ...)

cdef enum:
    INLINE = 64               # bytes that a work request may carry in itself, where the device allows it


cdef class Pair:
    """Made by Queue."""

    def __dealloc__(self):
        if self.device is None or self.device.owner_pid != os.getpid():
            return                           # its parent's
        if self.qp != NULL:
            lib.destroy_qp(self.qp)
        if self.cq != NULL:
            if self.events:
                lib.ack_cq_events(self.cq, self.events)
            lib.destroy_cq(self.cq)
        if self.channel != NULL:
            lib.destroy_comp_channel(self.channel)

    cdef int make_queues(self) except -1:
        cdef ibv_qp_init_attr init
        self.channel = lib.create_comp_channel(self.device.context)
        if self.channel == NULL:
            raise of_errno(errno, "making a completion channel")
        fcntl(self.channel.fd, F_SETFL, O_NONBLOCK)
        self.cq = lib.create_cq(self.device.context, self.depth + self.slots, NULL, self.channel, 0)
        if self.cq == NULL:
            raise of_errno(errno, "making a completion queue")
        memset(&init, 0, sizeof(init))
        init.send_cq = init.recv_cq = self.cq
        init.cap.max_send_wr, init.cap.max_recv_wr = self.depth, self.slots
        init.cap.max_send_sge = init.cap.max_recv_sge = 1
        init.cap.max_inline_data = INLINE
        init.qp_type = IBV_QPT_UD if self.is_datagram else IBV_QPT_RC
        self.qp = lib.create_qp(self.device.pd, &init)
        if self.qp == NULL:                  # some devices have no inline data
            init.cap.max_inline_data = 0
            self.qp = lib.create_qp(self.device.pd, &init)
        if self.qp == NULL:
            raise of_errno(errno, "making a queue pair")
        self.inline_max = init.cap.max_inline_data
        return 0

    # ---- the queue pair's states ----

    cdef int _modify(self, ibv_qp_attr *attr, int mask, str doing) except -1:
        cdef int error = lib.modify_qp(self.qp, attr, mask)
        if error:
            raise of_errno(error if error > 0 else errno, doing, self.peer)
        return 0

    cdef int to_init(self) except -1:
        cdef ibv_qp_attr attr
        memset(&attr, 0, sizeof(attr))
        attr.qp_state, attr.port_num = IBV_QPS_INIT, self.device.port
        if self.is_datagram:
            attr.qkey = DATAGRAM_QKEY
            return self._modify(&attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY, "preparing a queue pair")
        attr.qp_access_flags = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE
        if self.device.has_atomics:
            attr.qp_access_flags |= IBV_ACCESS_REMOTE_ATOMIC
        return self._modify(&attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS,
                            "preparing a queue pair")

    def connect(self, int gid_index, uint32_t psn, uint32_t their_qpn, uint32_t their_psn, bytes their_gid, int their_lid,
                int mtu, int atomics):
        """To RTS, connected. mtu: bytes, one of 256 to 4096. atomics: READs and atomics that the peer takes at a time."""
        cdef ibv_qp_attr attr
        memset(&attr, 0, sizeof(attr))
        attr.qp_state = IBV_QPS_RTR
        attr.path_mtu = mtu.bit_length() - 8
        attr.dest_qp_num, attr.rq_psn = their_qpn, their_psn
        attr.max_dest_rd_atomic = self.device.max_atomics
        attr.min_rnr_timer = 1               # 10 us: a receiver that is late is not far behind
        _address(&attr.ah_attr, self.device, gid_index, their_gid, their_lid)
        self._modify(&attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN
                     | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER, "connecting")
        memset(&attr, 0, sizeof(attr))
        attr.qp_state, attr.sq_psn = IBV_QPS_RTS, psn
        attr.timeout, attr.retry_cnt, attr.rnr_retry = 14, 7, 7      # 67 ms, eight times; a full receiver is waited for
        attr.max_rd_atomic = min(atomics, <int>self.device.max_atomics)
        self._modify(&attr, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN
                     | IBV_QP_MAX_QP_RD_ATOMIC, "connecting")

    def open_datagrams(self):
        cdef ibv_qp_attr attr
        memset(&attr, 0, sizeof(attr))
        attr.qp_state = IBV_QPS_RTR
        self._modify(&attr, IBV_QP_STATE, "opening datagrams")
        attr.qp_state, attr.sq_psn = IBV_QPS_RTS, random.getrandbits(24)
        self._modify(&attr, IBV_QP_STATE | IBV_QP_SQ_PSN, "opening datagrams")

    def stop(self, failure):
        """Into the error state: what is under way comes back as Flushed, and `failure` answers what is asked from now on."""
        cdef ibv_qp_attr attr
        if self.failure is None:
            self.failure = failure
        if self.device.owner_pid != os.getpid():
            return
        memset(&attr, 0, sizeof(attr))
        attr.qp_state = IBV_QPS_ERR
        lib.modify_qp(self.qp, &attr, IBV_QP_STATE)

    @property
    def number(self):
        return self.qp.qp_num

    @property
    def descriptor(self):
        """Readable when a completion has come since arm()."""
        return self.channel.fd


cdef class Route:
    """The way to a host, for datagrams."""

    def __cinit__(self, Device device, int gid_index, bytes gid, int lid):
        cdef ibv_ah_attr attr
        memset(&attr, 0, sizeof(attr))
        self.device = device
        _address(&attr, device, gid_index, gid, lid)
        self.handle = lib.create_ah(device.pd, &attr)
        if self.handle == NULL:
            raise of_errno(errno, "making an address handle")

    def __dealloc__(self):
        if self.handle != NULL and self.device.owner_pid == os.getpid():
            lib.destroy_ah(self.handle)


cdef int _address(ibv_ah_attr *to, Device device, int gid_index, bytes gid, int lid) except -1:
    if len(gid) != 16:
        raise ValueError("a GID has 16 bytes")
    to.port_num, to.dlid = device.port, lid
    to.is_global = 1
    to.grh.sgid_index, to.grh.hop_limit = gid_index, 64
    memcpy(to.grh.dgid.raw, <const char *>gid, 16)
    return 0
