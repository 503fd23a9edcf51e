"""Contexts: opening and closing them, importing one that is open, and going on with a parent's after a fork.

The cmd_fd of a context is a sealed memory file that holds the context's secret: whoever has a duplicate may import from it.
In the same process that gives a further ibv_context of the same origin: they share the router's context, so that objects of one
are objects of the other, and it is closed with the last of them. Another process gets a context of the router's of its own, and
objects one by one (ffr/handlers/importing.pxd).
"""

from libc cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ffcore.control cimport (FF_CMD_CLOSE_CONTEXT, FF_CMD_IMPORT_CONTEXT, FF_CMD_OPEN_CONTEXT, ff_cmd_import,
                             ff_reply_context)
from ffcore.shm cimport FF_MAGIC, ff_a32, ff_add32, ff_store32
from ffl.session.call_api cimport ff_call_channel, ff_call_end_of
from ffl.kernel cimport fail, fcntl
from ffl.session.lock cimport ff_mutex_lock, ff_mutex_unlock
from ffl.objects cimport context_of, ffl_context, ffl_origin
from ffl.verbs.qp_api cimport ff_device, ff_fill_ops
from ffl.session.retired_api cimport ff_retire
from ffl.session.session_api cimport ff_session_get, ff_session_open
from ffl.session.socket cimport close
from ffl.ibv cimport ibv_context, ibv_device


cdef extern from "<sys/mman.h>" nogil:
    enum:
        MFD_CLOEXEC
        MFD_ALLOW_SEALING
    int memfd_create(const char *name, unsigned int flags)

cdef extern from "<fcntl.h>" nogil:
    enum:
        F_DUPFD_CLOEXEC
        F_ADD_SEALS
        F_SEAL_SEAL
        F_SEAL_SHRINK
        F_SEAL_GROW
        F_SEAL_WRITE

cdef extern from "<unistd.h>" nogil:
    ssize_t pread(int fd, void *to, size_t size, long offset)
    ssize_t pwrite(int fd, const void *data, size_t size, long offset)


cdef struct claim:            # what a cmd_fd says
    uint32_t magic
    uint32_t pad
    uint64_t secret[2]

cdef ffl_context *first       # every open context
cdef ff_a32 mutex             # guards the list, and origins
cdef ff_a32 adopting          # a mutex: one at a time
cdef ff_a32 importing         # a mutex: a group has one context of the router's in a process


cdef int make_cmd_fd(const ffl_origin *origin) noexcept nogil:
    """-1: there is none, and the context cannot be imported."""
    cdef claim c
    cdef int fd = memfd_create(b"freeflow-context", MFD_CLOEXEC | MFD_ALLOW_SEALING)
    c.magic = FF_MAGIC
    c.pad = 0
    c.secret[0], c.secret[1] = origin.secret[0], origin.secret[1]
    if fd >= 0 and (pwrite(fd, &c, sizeof(c), 0) != sizeof(c)
                    or fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0):
        close(fd)
        return -1
    return fd


# ---- the list of what is open ----

cdef void join(ffl_context *context, ffl_origin *origin) noexcept nogil:
    """Under the mutex."""
    global first
    context.origin = origin
    origin.contexts += 1
    context.next = first
    first = context
    ff_add32(&ff_session_get().contexts, 1)


cdef bint leave(ffl_context *context) noexcept nogil:
    """True: it was the last of its origin."""
    cdef ffl_context **link = &first
    cdef ffl_origin *origin = context.origin
    cdef bint last
    ff_mutex_lock(&mutex)
    while link[0] != NULL and link[0] != context:
        link = &link[0].next
    if link[0] != NULL:
        link[0] = context.next
    origin.contexts -= 1
    last = origin.contexts == 0
    ff_mutex_unlock(&mutex)
    if last:
        free(origin)
    context.origin = NULL
    return last


cdef public void ff_context_child() noexcept nogil:
    """After fork, in the child. The contexts stay, as memory: ff_context_adopt."""
    ff_store32(&mutex, 0)                            # whoever held them is not in this process
    ff_store32(&adopting, 0)
    ff_store32(&importing, 0)


# ---- opening ----

cdef int enter_session(ffl_context *context, const ff_cmd_import *by, int *async_fd) noexcept nogil:
    """A context of the router's, for this one alone; by: of the group with this secret, or NULL. It has no cmd_fd yet."""
    cdef ffl_origin *origin = <ffl_origin *>calloc(1, sizeof(ffl_origin))
    cdef ff_reply_context reply
    cdef int error
    if origin == NULL:
        return errno.ENOMEM
    context.generation = ff_session_get().generation
    if by == NULL:
        error = ff_call_channel(context, FF_CMD_OPEN_CONTEXT, NULL, 0, &reply, sizeof(reply), async_fd)
    else:
        error = ff_call_channel(context, FF_CMD_IMPORT_CONTEXT, by, sizeof(ff_cmd_import), &reply, sizeof(reply), async_fd)
    if error:
        free(origin)
        return error
    context.handle = reply.handle
    origin.secret[0], origin.secret[1] = reply.secret[0], reply.secret[1]
    ff_mutex_lock(&mutex)
    join(context, origin)
    ff_mutex_unlock(&mutex)
    return 0


cdef ffl_context *new_context() noexcept nogil:
    cdef ffl_context *context = <ffl_context *>calloc(1, sizeof(ffl_context))
    if context == NULL:
        return NULL
    ff_fill_ops(&context.base)
    context.base.v.context.device = ff_device()
    context.base.v.context.num_comp_vectors = 1      # one reactor thread completes everything
    return context


cdef public ibv_context *ffv_ibv_open_device(ibv_device *device) noexcept nogil:
    cdef ffl_context *context = new_context()
    cdef int error
    if context == NULL:
        return NULL
    error = enter_session(context, NULL, &context.base.v.context.async_fd)
    if error:
        free(context)
        fail(error)
        return NULL
    context.base.v.context.cmd_fd = make_cmd_fd(context.origin)
    return &context.base.v.context


cdef public int ffv_ibv_close_device(ibv_context *shown) noexcept nogil:
    """What was made in it stays, while another context of its origin is open."""
    cdef ffl_context *context = context_of(shown)
    cdef int error = 0
    if context.origin == NULL:                       # closed before (retired.pyx)
        fail(errno.EINVAL)
        return -1
    if leave(context):
        error = ff_call_end_of(context, FF_CMD_CLOSE_CONTEXT, context.handle)
    if context.generation == ff_session_get().generation and ff_session_get().shared != NULL:
        ff_add32(&ff_session_get().contexts, <uint32_t>-1)
    close(shown.async_fd)
    close(shown.cmd_fd)
    shown.async_fd = shown.cmd_fd = -1
    ff_retire(context, &context.handle)
    if error:
        fail(error)
        return -1
    return 0


# ---- after a fork ----

cdef int adopt(ffl_context *context) noexcept nogil:
    cdef uint32_t generation = context.generation
    cdef int cmd_fd = context.base.v.context.cmd_fd, async_fd
    cdef int error = ff_session_open()
    if error:
        return error
    leave(context)                                   # the parent's context is the parent's to close
    error = enter_session(context, NULL, &async_fd)
    if error:
        context.generation = generation
        return error
    close(context.base.v.context.async_fd)           # the parent keeps its own
    close(cmd_fd)
    context.base.v.context.async_fd = async_fd
    context.base.v.context.cmd_fd = make_cmd_fd(context.origin)
    return 0


cdef public int ff_context_adopt(ffl_context *context) noexcept nogil:
    """Sessions follow one another only when no context is open: so a context of another one's is a fork's. Its objects
    stay the parent's, and their handles name nothing here."""
    cdef int error = 0
    if context.generation == ff_session_get().generation and ff_session_get().shared != NULL:
        return 0
    ff_mutex_lock(&adopting)
    if context.generation != ff_session_get().generation or ff_session_get().shared == NULL:
        error = adopt(context)
    ff_mutex_unlock(&adopting)
    return error


# ---- importing ----

cdef int read_claim(int cmd_fd, ff_cmd_import *by) noexcept nogil:
    cdef claim found
    cdef ssize_t got = pread(cmd_fd, &found, sizeof(found), 0)
    if got < 0 and errno.errno == errno.EBADF:
        return errno.EBADF
    if got != sizeof(found) or found.magic != FF_MAGIC:
        return errno.EINVAL
    by.secret[0], by.secret[1] = found.secret[0], found.secret[1]
    return 0


cdef ffl_context *of_the_group(const ff_cmd_import *by) noexcept nogil:
    """One that is open in this process, or NULL. Under the mutex. Those that a fork has left here are the parent's."""
    cdef ffl_context *other = first
    while other != NULL and (other.generation != ff_session_get().generation or other.origin.secret[0] != by.secret[0]
                             or other.origin.secret[1] != by.secret[1]):
        other = other.next
    return other


cdef int join_group(ffl_context *context, const ff_cmd_import *by) noexcept nogil:
    cdef ffl_context *other
    cdef int error = 0
    ff_mutex_lock(&mutex)
    other = of_the_group(by)
    if other != NULL:
        context.base.v.context.async_fd = fcntl(other.base.v.context.async_fd, F_DUPFD_CLOEXEC, 0)
        error = errno.errno if context.base.v.context.async_fd < 0 else 0
        if error == 0:
            context.handle = other.handle
            context.generation = other.generation
            join(context, other.origin)
    ff_mutex_unlock(&mutex)
    return error if other != NULL else enter_session(context, by, &context.base.v.context.async_fd)


cdef public ibv_context *ffv_ibv_import_device(int cmd_fd) noexcept nogil:
    """Takes cmd_fd over, when it succeeds. EBADF; EINVAL: it is no context's, or of none that is open in this container."""
    cdef ff_cmd_import by
    cdef ffl_context *context
    cdef int error = read_claim(cmd_fd, &by)
    error = error or ff_session_open()
    if error:
        fail(error)
        return NULL
    context = new_context()
    if context == NULL:
        return NULL
    ff_mutex_lock(&importing)
    error = join_group(context, &by)
    ff_mutex_unlock(&importing)
    if error:
        free(context)
        fail(error)
        return NULL
    context.base.v.context.cmd_fd = cmd_fd
    return &context.base.v.context
