"""Registered memory, for the verbs: pages of the application, converted in place into the session's memory segment.

Implemented in memory.pyx and fork.pyx. The reasons are in docs/design-memory.md. All may be called from any thread.
"""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "ffcore/control.h":
    ctypedef struct ff_extent "struct ff_extent":
        uint64_t offset
        uint64_t length


# Once per session, before the first pin: the segment's descriptor and its size in bytes, and a descriptor of
# /dev/userfaultfd, or -1. Both must stay open until ff_memory_drop(). 0 or an errno.
cdef extern int ff_memory_init(int memfd, uint64_t size, int userfaultfd) noexcept nogil

# Makes the whole pages that [addr, addr + length) touches part of the segment, and counts one more user of each.
# Writes where they are to out, in the order of their addresses, *n extents and at most max. 0 or an errno:
# EFAULT (nothing is mapped there, or PROT_NONE), EOPNOTSUPP (shared, file-backed or device memory), ENOMEM (the
# segment is full, or it takes more than max extents), EAGAIN (a thread cannot be stopped), EBUSY (a device writes to
# the pages), EBADF (the application closed the descriptor). ff_memory_reason() says more.
cdef extern int ff_memory_pin(uint64_t addr, uint64_t length, ff_extent *out, uint32_t max, uint32_t *n) noexcept nogil

# Undoes one ff_memory_pin of the same arguments, after the router has answered that nothing refers to the pages any
# more. Pages without users become private memory again, wherever the application has them still. 0 or an errno.
cdef extern int ff_memory_unpin(uint64_t addr, uint64_t length) noexcept nogil

# One line on why the last call failed, for a person. Valid until the next call.
cdef extern const char *ff_memory_reason() noexcept nogil

# The session is over: all memory becomes private again, and is forgotten. The descriptor may be closed afterwards.
cdef extern void ff_memory_drop() noexcept nogil

# To be provided by the session: called in a child after fork, when its memory is its own already. Must forget the
# session without a word to the router, which is the parent's. No thread but the caller exists.
cdef extern void ff_session_child() noexcept nogil
