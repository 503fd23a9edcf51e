from ffr.nic.base cimport ffr_nic
from ffr.nic.local cimport local_expired, local_ready, local_run
from ffr.state cimport ffr_router

cdef enum:
    LOCAL = 0
    NICS = 1

cdef ffr_nic nics[NICS]

nics[LOCAL] = ffr_nic(name=b"local", run=local_run, ready=local_ready, expired=local_expired)


cdef ffr_nic *nic_at(uint32_t index) noexcept nogil:
    return &nics[index]


cdef uint32_t nic_for(ffr_router *r, uint32_t qp) noexcept nogil:
    return LOCAL      # a peer that no local session owns is one that never answers
