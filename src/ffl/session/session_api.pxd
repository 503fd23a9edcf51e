"""The session: this process's virtual device in shared memory. One per process; contexts live inside it.

Implemented in session.pyx. It is connected when a program first asks for devices, and ends with the process: the
socket's close tells the router.
"""

from libc.stdint cimport uint32_t, uint64_t

from ffcore.control cimport ff_reply_device
from ffcore.shm cimport FF_QPS_PER_SESSION, ff_a32, ff_fence, ff_load32, ff_session
from ffl.objects cimport ffl_context, ffl_qp


cdef struct ffl_session:
    ff_session *shared        # the control segment; NULL when there is no session
    uint64_t control_size
    int sock
    int event_fd              # wakes a router that sleeps
    int memory_fd             # the segment of registered memory (memory.pyx)
    int userfaultfd           # of /dev/userfaultfd, or -1
    uint32_t generation       # counts sessions; 0 before the first
    ff_a32 contexts           # open
    ff_a32 gone               # an errno, once the router was found dead or has given the session up
    ff_reply_device device    # asked once, when the session starts
    ffl_qp *qps[FF_QPS_PER_SESSION]   # by their bell


cdef extern ffl_session *ff_session_get() noexcept nogil      # never NULL; see .shared
cdef extern int ff_session_open() noexcept nogil              # 0, or EPERM, ENOSYS or ENOMEM after one line on stderr
cdef extern int ff_session_look() noexcept nogil              # 0, or the errno in .gone: the router is not there
cdef extern void ff_session_idle() noexcept nogil             # ff_session_look, at most every 100 ms
cdef extern void ff_session_wake(int event_fd) noexcept nogil
cdef extern void ff_session_child() noexcept nogil            # after fork, in the child: the session is the parent's

# Before a verb that makes something of a context: a child of fork that uses a context of its parent's gets one of its
# own behind it. 0 or an errno. In context.pyx.
cdef extern int ff_context_adopt(ffl_context *context) noexcept nogil
cdef extern void ff_context_child() noexcept nogil            # after fork, in the child


cdef inline void wake_if_armed(ff_session *shared, int event_fd) noexcept nogil:
    """After ringing a bell. The fence pairs with the router's between storing armed and looking at the bells."""
    ff_fence()
    if ff_load32(&shared.armed):
        ff_session_wake(event_fd)
