from ffr.nic.base cimport ffr_nic
from ffr.nic.local cimport local_expired, local_ready, local_run
from ffr.nic.local_ud cimport local_ud_expired, local_ud_ready, local_ud_run
from ffr.state cimport ffr_router


cdef extern from "<infiniband/verbs.h>" nogil:
    enum:
        IBV_QPT_UD


cdef enum:
    LOCAL = 0
    LOCAL_UD = 1
    NICS = 2

cdef ffr_nic nics[NICS]

nics[LOCAL] = ffr_nic(name=b"local", run=local_run, ready=local_ready, expired=local_expired)
nics[LOCAL_UD] = ffr_nic(name=b"local datagrams", run=local_ud_run, ready=local_ud_ready, expired=local_ud_expired)


cdef ffr_nic *nic_at(uint32_t index) noexcept nogil:
    return &nics[index]


cdef uint32_t nic_for(ffr_router *r, uint32_t qp) noexcept nogil:
    if r.state.qp[qp].type == IBV_QPT_UD:
        return LOCAL_UD
    return LOCAL      # a peer that no local session owns is one that never answers
