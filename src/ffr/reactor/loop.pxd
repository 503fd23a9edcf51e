"""The reactor's loop: what one pass does, and what happens between passes (poll, yield, sleep)."""

from ffr.reactor.state cimport ffr_loop


cdef void loop_run(ffr_loop *l) noexcept nogil

# A stand-in: makes passes on one core while more parties poll than there are cores. A program that spins on memory
# never yields, so a lone reactor thread that shares its core gets a turn every few milliseconds, while another program
# yields in vain on its own core; with a thread on every core, whoever yields, yields to the router.
cdef void loop_stand_in(ffr_loop *l, int cpu) noexcept nogil
