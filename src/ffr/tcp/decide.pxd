"""What is decided alike whether the other end is on this host or on another one."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from ffcore.tcp cimport ff_tcp_end, ff_tcp_reply
from ffr.tcp.state cimport NONE, broker, container, pending, session

cdef enum:
    TAKEN = NONE - 1   # acceptor's answer: an overlay connection with these very ports

cdef bint is_v4(const uint8_t *address) noexcept nogil
cdef bint own_source(container *c, ff_tcp_end *local, const ff_tcp_end *peer) noexcept nogil
cdef uint32_t acceptor(broker *b, uint32_t server, const ff_tcp_end *local, const ff_tcp_end *remote,
                       uint32_t *reason) noexcept nogil
cdef bint is_privileged(session *s) noexcept nogil
cdef uint32_t settle(broker *b, uint32_t index) noexcept nogil
cdef int settled(broker *b, int fd, ff_tcp_reply *answer, uint32_t reason) noexcept nogil
cdef void tell(broker *b, uint32_t session, uint32_t generation, uint32_t sequence, uint32_t verdict,
               uint32_t reason) noexcept nogil
cdef void tell_waiter(broker *b, pending *p, uint32_t reason) noexcept nogil
cdef void wait_for_claim(broker *b, uint32_t index, uint32_t waiter, uint32_t generation,
                         uint32_t sequence) noexcept nogil
