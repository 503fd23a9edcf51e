from libc.stdint cimport uint8_t

from ffcore.grh cimport ff_gid_is_ipv4
from ffcore.roce cimport FF_ROCE_BESIDE_IPV4, FF_ROCE_BESIDE_IPV6, FF_ROCE_MIN_MTU
from ffr.ibv cimport IBV_QPT_UD
from ffr.nic.base cimport ffr_nic
from ffr.nic.local.connected cimport local_expired, local_ready, local_run
from ffr.nic.local.datagrams cimport local_ud_expired, local_ud_ready, local_ud_run
from ffr.nic.local.message cimport owns
from ffr.nic.roce.datagrams cimport roce_ud_enter, roce_ud_leave
from ffr.nic.roce.driver cimport roce_deadline, roce_enter, roce_is_foreign, roce_leave, roce_reaches, roce_poll, roce_run
from ffr.state cimport ffr_router, ffr_session, has_gid


cdef enum:
    LOCAL = 0
    LOCAL_UD = 1
    ROCE = 2
    NICS = 3

cdef ffr_nic nics[NICS]

nics[LOCAL] = ffr_nic(name=b"local", run=local_run, ready=local_ready, expired=local_expired,
                      enter=NULL, leave=NULL, poll=NULL, deadline=NULL)
nics[LOCAL_UD] = ffr_nic(name=b"local datagrams", run=local_ud_run, ready=local_ud_ready, expired=local_ud_expired,
                         enter=roce_ud_enter, leave=roce_ud_leave, poll=NULL, deadline=NULL)
nics[ROCE] = ffr_nic(name=b"roce", run=roce_run, ready=NULL, expired=NULL,      # it keeps its own timers
                     enter=roce_enter, leave=roce_leave, poll=roce_poll, deadline=roce_deadline)


cdef ffr_nic *nic_at(uint32_t index) noexcept nogil:
    return &nics[index]


cdef bint is_local(ffr_router *r, const uint8_t *gid) noexcept nogil:
    """Whether a session of this router has the GID."""
    cdef uint32_t i
    for i in range(r.live_count):            # once per connection; bound: FFR_SESSIONS
        if owns(&r.state.session[r.live[i]], gid):
            return True
    return False


cdef uint32_t nic_for(ffr_router *r, uint32_t qp) noexcept nogil:
    cdef const uint8_t *gid = r.state.qp[qp].attr.ah.dgid
    if r.state.qp[qp].type == IBV_QPT_UD:
        return LOCAL_UD
    if (r.wire_only or not is_local(r, gid)) and roce_reaches(r, qp):
        return ROCE
    return LOCAL      # a peer that nobody owns is one that never answers


cdef uint32_t nic_mtu(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil:
    cdef const ffr_session *s = &r.state.session[session]
    cdef uint32_t mtu = r.port_mtu
    cdef uint32_t link = s.link_mtu[to.sgid_index] if has_gid(s, to.sgid_index) else 0
    cdef uint32_t beside = <uint32_t>FF_ROCE_BESIDE_IPV4 if ff_gid_is_ipv4(to.dgid) else <uint32_t>FF_ROCE_BESIDE_IPV6
    if link == 0 or is_local(r, to.dgid) or not roce_is_foreign(r, s.gid[to.sgid_index], to.dgid):
        return mtu
    while mtu > FF_ROCE_MIN_MTU and mtu + beside > link:
        mtu >>= 1
    return mtu


cdef void nic_mad(ffr_router *r, const uint8_t *sgid, const uint8_t *dgid, uint8_t traffic_class, const uint8_t *mad) noexcept nogil:
    pass


cdef void nic_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil:
    cdef ffr_nic *nic = nic_at(r.state.qp[qp].nic)
    if nic.enter != NULL:
        nic.enter(r, qp, before)


cdef void nic_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil:
    cdef ffr_nic *nic = nic_at(r.state.qp[qp].nic)
    if nic.leave != NULL:
        nic.leave(r, qp, gone)


cdef int nics_poll(ffr_router *r) noexcept nogil:
    cdef int i, work = 0
    for i in range(NICS):
        if nics[i].poll != NULL:
            work += nics[i].poll(r)
    return work


cdef uint64_t nics_deadline(ffr_router *r) noexcept nogil:
    cdef uint64_t deadline = <uint64_t>-1
    cdef int i
    for i in range(NICS):
        if nics[i].deadline != NULL:
            deadline = min(deadline, nics[i].deadline(r))
    return deadline
