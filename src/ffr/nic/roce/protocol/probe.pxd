"""How long a packet to another router may be. What this host's link carries need not come through: there are tunnels on the
way, and firewalls that drop the ICMP which would tell. So routers believe nothing but a probe of that length that came
back (FF_PROBE of ffcore/roce.h), and ask again now and then. Until one has, packets have the standard's sizes. Flat state,
no pointers, no I/O.
"""

from libc.stdint cimport uint32_t, uint64_t


ctypedef struct roce_probe:
    uint32_t wanted            # bytes of a datagram that the link carries; 0: not known, nothing is asked
    uint32_t carries           # ... that the path does, as far as is known; 0: as many as the standard's packets have
    uint32_t heard             # length of the other router's last probe: that much came from there
    uint32_t unanswered        # probes in a row
    uint64_t due_ns            # when the next one is
    uint64_t left_ns           # when the last one left
    uint64_t heard_ns          # when the other's last one came

# The link carries so much: ask whether the path does. Too little for ffr/nic/roce/protocol/cut.pxd: nothing is asked.
cdef void probe_begin(roce_probe *p, uint32_t wanted, uint64_t now) noexcept nogil
# A probe leaves now.
cdef void probe_left(roce_probe *p, uint64_t now) noexcept nogil
# One of this length came back.
cdef void probe_answered(roce_probe *p, uint32_t size, uint64_t now) noexcept nogil
# The other router asks, by one of this length. It is new, perhaps, and was not there when it was asked itself: it is asked
# again, but not sooner than any other.
cdef void probe_heard(roce_probe *p, uint32_t size, uint64_t now) noexcept nogil
# Bytes of a datagram that comes from there, as far as is known; 0 once its probes stay away.
cdef uint32_t probe_hears(const roce_probe *p, uint64_t now) noexcept nogil
