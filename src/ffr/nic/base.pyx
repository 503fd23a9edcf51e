cdef ffr_nic nics[NICS_MAX + 1]
cdef uint32_t count = 0
cdef uint32_t of_nobody = 0
cdef mad_taker take_mad = NULL


cdef void nic_add(const ffr_nic *nic, bint nobody) noexcept nogil:
    global count, of_nobody
    if nobody:
        of_nobody = count
    nics[count] = nic[0]                      # the registry has fewer than NICS_MAX
    count += 1


cdef ffr_nic *nic_at(uint32_t index) noexcept nogil:
    return &nics[index]


cdef uint32_t nic_for(ffr_router *r, uint32_t qp) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if nics[i].reaches(r, qp):
            return i
    return of_nobody


cdef uint32_t nic_mtu(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil:
    cdef uint32_t i, mtu = 0
    for i in range(count):
        if nics[i].mtu != NULL:
            mtu = nics[i].mtu(r, session, to)
        if mtu:
            return mtu
    return r.port_mtu


cdef bint nic_send_mad(ffr_router *r, const uint8_t *sgid, const uint8_t *dgid, const uint8_t *mad) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if nics[i].send_mad != NULL and nics[i].send_mad(r, sgid, dgid, mad):
            return True
    return False


cdef void nic_take_mads(mad_taker taker) noexcept:
    global take_mad
    take_mad = taker


cdef void nic_mad_came(ffr_router *r, const uint8_t *mad, const uint8_t *sgid, const uint8_t *dgid) noexcept nogil:
    if take_mad != NULL:
        take_mad(r, mad, sgid, dgid)


cdef void nic_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil:
    cdef ffr_nic *nic = nic_at(r.state.qp[qp].nic)
    if nic.enter != NULL:
        nic.enter(r, qp, before)


cdef void nic_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil:
    cdef ffr_nic *nic = nic_at(r.state.qp[qp].nic)
    if nic.leave != NULL:
        nic.leave(r, qp, gone)


cdef int nics_poll(ffr_router *r) noexcept nogil:
    cdef uint32_t i
    cdef int work = 0
    for i in range(count):
        if nics[i].poll != NULL:
            work += nics[i].poll(r)
    return work


cdef uint64_t nics_deadline(ffr_router *r) noexcept nogil:
    cdef uint64_t deadline = <uint64_t>-1
    cdef uint32_t i
    for i in range(count):
        if nics[i].deadline != NULL:
            deadline = min(deadline, nics[i].deadline(r))
    return deadline
