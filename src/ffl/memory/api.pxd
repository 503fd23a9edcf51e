"""Registered memory, for the verbs: pages of the application, converted in place into the session's memory segment.

Implemented in memory.pyx and fork.pyx. The reasons are in docs/design-memory.md. All may be called from any thread.
"""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "ffcore/control.h":
    ctypedef struct ff_extent "struct ff_extent":
        uint64_t offset
        uint64_t length


cdef enum:
    FF_PIECES = 64  # of a range: as many extents as the router takes of one MR


cdef struct ff_run:
    uint64_t addr
    uint64_t length


cdef struct ff_held:
    # What a registration holds of private memory: what ff_memory_pin was given. Huge pages are held whole.
    uint32_t pieces
    ff_run run[FF_PIECES]


# What a program registers, of whatever kind, brought to where the router reaches it. Private memory is converted
# (ff_memory_pin); shared memory stays what it is, and its extents name its addresses (FF_EXTENT_SHARED of control.h), for the
# router to map. All of it or nothing. writable: the MR lets somebody write. Writes the extents to out, in the order of
# their addresses, *n and at most FF_PIECES, and what ff_range_unpin takes back to held. 0 or an errno, as ff_memory_pin, and
# EFAULT of memory that is to be written and is read-only. Of shared memory nothing is brought in: ff_range_bring_in does,
# which the router's refusal of another file system should come before.
cdef extern int ff_range_pin(uint64_t addr, uint64_t length, bint writable, ff_extent *out, uint32_t *n,
                             ff_held *held) noexcept nogil
cdef extern int ff_range_unpin(const ff_held *held) noexcept nogil

# As a NIC has every page of an MR in memory: by the program, which is charged for it, for the router fills no hole. 0 or an
# errno: ENOMEM, or EFAULT where the file has ended.
cdef extern int ff_range_bring_in(const ff_extent *extents, uint32_t n, bint writable) noexcept nogil

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

# On the way of messages: gate.h.
cdef extern from "ffl/memory/gate.h" nogil:
    void ff_gate_pass() noexcept

# In place of the C library's, for whoever calls them.
cdef extern int ff_memory_madvise(void *addr, size_t length, int advice) noexcept nogil
cdef extern void *ff_memory_mremap(void *old, size_t length, size_t wanted, int flags, void *place) noexcept nogil

# To be called before anything that a child of fork might do with its parent's session, in a handler of pthread_atfork that
# is older than ours: makes it a child. Costs a load where nobody forks.
cdef extern void ff_fork_look() noexcept nogil

# To be provided by the session: called in a child after fork, when its memory is its own already. Must forget the
# session without a word to the router, which is the parent's. No thread but the caller exists.
cdef extern void ff_session_child() noexcept nogil
