from libc.string cimport memset

from ffcore.shm cimport (FF_OP_BIND_MW, FF_OP_CMP_SWP, FF_OP_FETCH_ADD, FF_OP_LOCAL_INV, FF_OP_READ, FF_OP_SEND, FF_OP_SEND_IMM,
                         FF_OP_SEND_INV, FF_OP_WRITE, FF_OP_WRITE_IMM)
from ffr.ibv cimport (IBV_QPS_RESET, IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD, IBV_QPT_XRC_RECV, IBV_QPT_XRC_SEND)
from ffr.mem.region cimport ring_free
from ffr.nic.base cimport nic_leave
from ffr.objects.qp cimport qp_unlist
from ffr.objects.srq cimport srq_find
from ffr.state cimport FFR_NONE, FFR_QP, ffr_qp, object_free


cdef uint32_t opcodes_of(uint32_t qp_type) noexcept nogil:
    """Bit FF_OP_x: the transport has it (IBTA table 38, and man 3 ibv_post_send). 0: there is no such transport here."""
    cdef uint32_t send = 1 << FF_OP_SEND | 1 << FF_OP_SEND_IMM
    cdef uint32_t write = 1 << FF_OP_WRITE | 1 << FF_OP_WRITE_IMM | 1 << FF_OP_LOCAL_INV | 1 << FF_OP_BIND_MW
    if qp_type == IBV_QPT_UD:
        return send
    send |= 1 << FF_OP_SEND_INV
    if qp_type == IBV_QPT_UC:
        return send | write
    if qp_type == IBV_QPT_RC or qp_type == IBV_QPT_XRC_SEND:
        return send | write | 1 << FF_OP_READ | 1 << FF_OP_CMP_SWP | 1 << FF_OP_FETCH_ADD
    return 0


cdef void qp_begin(ffr_router *r, uint32_t index, uint32_t qp_type) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    cdef uint32_t generation = q.generation + 1
    if index < 2 and not generation & 0xff:  # QPNs 0 and 1 are the management QPs'
        generation += 1
    memset(<char *>q + sizeof(q.o), 0, sizeof(ffr_qp) - sizeof(q.o))
    q.generation = generation
    q.qpn = (generation & 0xff) << 16 | index
    q.type = qp_type
    q.opcodes = opcodes_of(qp_type)
    q.pd = q.send_cq = q.recv_cq = q.bell = q.xrcd = q.opener = q.peer = FFR_NONE
    q.rq.qp = index
    memset(&r.qp_stats[index], 0, sizeof(r.qp_stats[index]))
    r.qp_stats[index].qpn = q.qpn
    r.qp_stats[index].session = q.o.session


cdef void detach(ffr_router *r, ffr_qp *q) noexcept nogil:
    r.state.session[q.o.session].bell_qp[q.bell] = FFR_NONE
    r.state.pd[q.pd].o.references -= 1
    r.state.cq[q.send_cq].o.references -= 1
    if q.recv_cq != FFR_NONE:
        r.state.cq[q.recv_cq].o.references -= 1
    if q.rq.srqn:
        srq_find(r, q.rq.srqn).o.references -= 1
    ring_free(r, q.o.session, q.offset, q.pages)


cdef void qp_free(ffr_router *r, uint32_t index) noexcept nogil:
    cdef ffr_qp *q = &r.state.qp[index]
    nic_leave(r, index, True)
    qp_unlist(r, index)
    q.generation += 1                        # peers find nobody
    q.state = IBV_QPS_RESET
    r.qp_stats[index].qpn = 0
    if q.type == IBV_QPT_XRC_RECV:
        r.state.xrcd[q.xrcd].o.references -= 1
    else:
        detach(r, q)
    object_free(r, FFR_QP, index)
