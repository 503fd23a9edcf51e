"""The NIC contract: what a backend does for the reactor. nic/local/connected.pyx is the example to copy from.

A backend runs in the reactor thread, without the GIL, never blocks, and does a bounded amount of work in each call.
It executes the WQEs of the QPs that are given to it, reports through qp_sent and qp_received (objects/qp.pxd), and
parks a QP that cannot go on with qp_wait (or takes it off the lists, and activates it again by itself).

Who asks a NIC for something knows none of them: nic/registry.pyx fills the table below when the router starts, in the order
in which they are asked. A connection's NIC is chosen by its peer's address, once; a datagram's by its own, each time
(nic/datagrams.pyx).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ffcore.control cimport ff_ah_attr
from ffcore.engine cimport FF_MAX_SEGMENTS, ff_segment
from ffcore.grh cimport ff_grh
from ffr.state cimport ffr_ah, ffr_router


cdef enum:
    NIC_IDLE = 0      # the QP has nothing to do
    NIC_WORKED = 1    # something was done, and there may be more


# A private copy of a WQE, and what it resolves to.
ctypedef struct nic_request:
    uint64_t wqe[70]                          # FF_WQE_HEADER + FF_MAX_SGE SGEs
    ff_segment source[1 + FF_MAX_SEGMENTS]    # [0] is a datagram's GRH; the requester's memory follows
    ff_segment remote[FF_MAX_SEGMENTS]
    uint32_t local_count
    uint32_t remote_count
    uint64_t length
    uint64_t room                             # of the receive WQE
    uint64_t wr_id                            # of the receive WQE
    uint64_t done                             # bytes that this step moved

# A datagram that is to leave: its WQE is checked and resolved, its address is one of the sender's address handles.
ctypedef struct nic_datagram:
    nic_request q                             # its source[0] is grh
    ff_grh grh
    const ffr_ah *ah

# What becomes of it. Above 0: its WQE fails, with this enum ibv_wc_status.
cdef enum nic_outcome:
    NIC_SENT = 0          # it is on its way, or was dropped as datagrams may be
    NIC_NO_ROOM = -1      # not now: the QP's next turn tries again
    NIC_NOWHERE = -2      # this NIC does not reach that address
    NIC_WAITS = -3        # its receiver, a QP of this router, is not ready, and the sender waits for it (await_receiver)


ctypedef struct ffr_nic:
    const char *name
    # Does it reach the peer of this QP, whose address vector is known? Asked when the QP becomes RTR.
    bint (*reaches)(ffr_router *r, uint32_t qp) noexcept nogil
    # A turn of a QP in RTS (or draining in SQD): NIC_IDLE or NIC_WORKED.
    int (*run)(ffr_router *r, uint32_t qp) noexcept nogil
    # It asks for its QPs' rates itself (objects/rates.pxd), when their packets leave; else a turn is what run does.
    bint paces
    # What follows is NULL where a backend has no use for it.
    # A waiting QP: may it go on before its deadline? Called often: a few loads.
    bint (*ready)(ffr_router *r, uint32_t qp) noexcept nogil
    # Its deadline has passed: count the retry, and wait again, go on, or fail.
    void (*expired)(ffr_router *r, uint32_t qp) noexcept nogil
    # The largest path MTU from an address of the session's to that one, bytes; 0: it is not reached.
    uint32_t (*mtu)(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil
    # The QP is in RTR, RTS or SQD now, and was in state `before`.
    void (*enter)(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
    # It goes to ERR; or (gone) to RESET, or is about to be freed. Called also for a QP that never was in these states.
    void (*leave)(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
    # A datagram of UD QP `qp` to one QP: enum nic_outcome.
    int (*send_datagram)(ffr_router *r, uint32_t qp, nic_datagram *d) noexcept nogil
    # One to all members of a multicast group that it reaches. What may have no room comes before what always has: nobody is
    # to get a datagram twice. NIC_NOWHERE: there is nobody.
    int (*spread)(ffr_router *r, uint32_t qp, nic_datagram *d) noexcept nogil
    # As enter and leave, for a UD QP, which may send through every NIC.
    void (*datagram_enter)(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
    void (*datagram_leave)(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
    # A MAD to QP1 of who has dgid, from an address of this host. False: it is not reached. What is lost is sent again.
    bint (*send_mad)(ffr_router *r, const uint8_t *sgid, const uint8_t *dgid, const uint8_t *mad) noexcept nogil
    # Once in each pass, after the QPs' turns: the network. 0: nothing was done.
    int (*poll)(ffr_router *r) noexcept nogil
    # A sleeping router wakes for poll at this time; ~0: never.
    uint64_t (*deadline)(ffr_router *r) noexcept nogil


# ---- the table ----

cdef enum:
    NICS_MAX = 8

# The next one in order; nobody: it carries QPs that no NIC reaches the peer of, as a peer that never answers.
cdef void nic_add(const ffr_nic *nic, bint nobody) noexcept nogil
# An entry by its number. They lie side by side, and the first that has no name is none.
cdef ffr_nic *nic_at(uint32_t index) noexcept nogil

# The NIC for a QP whose address vector is known; called when the QP becomes RTR.
cdef uint32_t nic_for(ffr_router *r, uint32_t qp) noexcept nogil
# The largest path_mtu towards that address, bytes: what the NIC that reaches it carries, or the port's.
cdef uint32_t nic_mtu(ffr_router *r, uint32_t session, const ff_ah_attr *to) noexcept nogil

# MADs (IBTA 13.4): of NIC_MAD_SIZE bytes, between the QP1s of addresses. To the first NIC that reaches dgid; False: none.
cdef enum:
    NIC_MAD_SIZE = 256
    NIC_MAD_QPN = 1
    NIC_MAD_QKEY = 0x80010000     # IBTA 3.5.3
cdef bint nic_send_mad(ffr_router *r, const uint8_t *sgid, const uint8_t *dgid, const uint8_t *mad) noexcept nogil
# Who takes those that come in (set before the reactor's thread starts), and how NICs give them.
ctypedef void (*mad_taker)(ffr_router *r, const uint8_t *mad, const uint8_t *sgid, const uint8_t *dgid) noexcept nogil
cdef void nic_take_mads(mad_taker taker) noexcept
cdef void nic_mad_came(ffr_router *r, const uint8_t *mad, const uint8_t *sgid, const uint8_t *dgid) noexcept nogil

# For every NIC that wants to know.
cdef void nic_enter(ffr_router *r, uint32_t qp, uint32_t before) noexcept nogil
cdef void nic_leave(ffr_router *r, uint32_t qp, bint gone) noexcept nogil
cdef int nics_poll(ffr_router *r) noexcept nogil
cdef uint64_t nics_deadline(ffr_router *r) noexcept nogil
