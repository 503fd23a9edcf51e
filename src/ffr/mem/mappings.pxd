"""Programs' shared memory as the router maps it: one mapping for each extent of an MR that lies in such memory.

The reactor counts them and says which are not wanted any more; the control thread maps and unmaps, since either may take
long (`src/ffr/control/mapper.py`).
"""

from libc.stdint cimport uint32_t

from ffr.state cimport ffr_mapped, ffr_mapping, ffr_router

# A place in the table for what has been mapped; FFR_NONE when it is full, or its container has its part.
cdef uint32_t mapping_new(ffr_router *r, uint32_t session, const ffr_mapping *what, const ffr_mapped *where) noexcept nogil

# Gives up a place whose mapping is not the router's after all.
cdef void mapping_forget(ffr_router *r, uint32_t index) noexcept nogil

# The MR has ended: nothing refers to the mapping, and it is to be unmapped.
cdef void mapping_drop(ffr_router *r, uint32_t index) noexcept nogil

# Takes one that is to be unmapped out of the table. False when there is none.
cdef bint mapping_take_unwanted(ffr_router *r, ffr_mapped *where) noexcept nogil
