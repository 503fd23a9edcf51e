"""What the broker answers, one function for each request of ffcore/tcp.h, and what it does on its own in time."""

from libc.stdint cimport int32_t, uint32_t
from ffcore.tcp cimport ff_tcp_request
from ffr.tcp.state cimport broker

# Answers one request of a session. 0, or -1: close the session.
cdef int serve(broker *b, uint32_t session, ff_tcp_request *ask) noexcept nogil

# Gives up on what nobody will claim, and answers clients that waited long enough.
cdef void keep_house(broker *b) noexcept nogil
cdef int idle_ms(broker *b) noexcept nogil  # how long nothing needs doing; -1: for ever
