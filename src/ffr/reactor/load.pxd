"""What the loop knows about the host's load."""


from ffr.reactor.state cimport ffr_loop


cdef enum:
    YIELD_MAX_NS = 50000      # a yield that takes longer costs more than a wake-up
    FAR_YIELD_MAX_NS = 250000 # ... but for traffic between hosts: the turns of two programs and a router's batch
    BRISK_NS = 1000000        # a stand-in's quick yield counts for this long


# How many poll, and what a yield costs, decide how the others should wait: into every session's flags.
cdef void judge_load(ffr_loop *l) noexcept nogil

# Gives the core away, and judges what that costs.
cdef void timed_yield(ffr_loop *l) noexcept nogil
