"""Faults on purpose, for tests and benchmarks: of the packets that come to this router some are dropped, come twice, late,
behind others, or damaged. Each is judged by itself, after the kernel's batches have been taken apart, by random numbers
that begin with a seed.

Off until somebody asks (`faults` on the control socket): then it costs a look at a flag for each packet.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ffr.nic.roce.udp cimport ffr_udp_address


cdef enum:
    FAULTY_HELD = 4096         # packets on their way, 37 MB when all are; more are dropped, as by any queue
    FAULTY_BYTES = 8976        # room for one: FF_ROCE_MAX_PACKET fits, and a packet that is longer passes

ctypedef struct faulty_plan:
    uint32_t drop              # shares, of 2^32
    uint32_t duplicate
    uint32_t corrupt           # a byte of it is changed
    uint32_t reorder           # these stay behind for behind_ns
    uint64_t delay_ns          # of every packet
    uint64_t jitter_ns         # at most, of every packet, beside that
    uint64_t behind_ns
    uint64_t seed

ctypedef struct faulty_packet:
    uint64_t due_ns
    uint64_t number            # orders those that are due at the same time
    uint32_t size
    uint32_t socket            # that it came to
    uint16_t segment           # its number in the kernel's batch
    ffr_udp_address from_
    uint8_t bytes[FAULTY_BYTES]

ctypedef struct roce_faulty:
    bint on                    # there is a plan, or a packet left from the last one
    faulty_plan plan
    uint64_t random
    uint64_t numbers
    uint32_t held
    uint16_t heap[FAULTY_HELD] # slots: the first `held` are a heap by time, the others are free
    faulty_packet *slot        # NULL until the first plan
    uint64_t dropped
    uint64_t duplicated
    uint64_t corrupted
    uint64_t reordered
    uint64_t overflowed

# From now on, this happens to packets; a plan of zeros: nothing does. 0 or ENOMEM.
cdef int faulty_set(roce_faulty *f, const faulty_plan *plan) noexcept nogil
# A packet has come: may it pass as it is? Otherwise it is dropped, or comes out of faulty_due.
cdef bint faulty_passes(roce_faulty *f, const uint8_t *bytes, uint32_t size, uint16_t segment, const ffr_udp_address *from_,
                        uint32_t socket, uint64_t now) noexcept nogil
# A held packet whose time has come, which is the caller's until the next call of either; NULL: none.
cdef const faulty_packet *faulty_due(roce_faulty *f, uint64_t now) noexcept nogil
# When the next one will be due; -1: none is held.
cdef uint64_t faulty_deadline(const roce_faulty *f) noexcept nogil
# What was done so far, and how many are held.
cdef dict faulty_describe(const roce_faulty *f)
