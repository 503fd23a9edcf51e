"""An rdma_cm event channel: its descriptor is a socket that polls as readable while events wait, and what is written to it
are commands, which go to the router. Fork, exec, dup, close and CLOEXEC are the kernel's affair."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ffcore.cm cimport ff_cm_name, ff_cm_name_get
from ffcore.control cimport FF_CM_BODY, FF_CMD_CM_CALL, FF_CMD_CM_OPEN, ff_cmd_cm, ff_reply_cm, ff_reply_handle
from ffl.kernel cimport fcntl
from ffl.session.call_api cimport ff_call_descriptor, ff_call_session
from ffl.session.session_api cimport ff_session_open
from ffl.session.socket cimport MSG_DONTWAIT


cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void *data, size_t length, int flags)

cdef extern from "<fcntl.h>" nogil:
    enum:
        F_SETFD, F_SETFL, O_CLOEXEC, O_NONBLOCK

cdef extern from "ffl/cm/cm.h" nogil:
    int ff_cm_copy_in(void *to, const void *src, size_t size)
    int ff_cm_copy_out(void *to, const void *src, size_t size)

cdef extern from "<rdma/rdma_user_cm.h>" nogil:
    enum:
        RDMA_USER_CM_CMD_CREATE_ID
        RDMA_USER_CM_CMD_DESTROY_ID
        RDMA_USER_CM_CMD_GET_EVENT
        RDMA_USER_CM_CMD_SET_OPTION
        RDMA_USER_CM_CMD_MIGRATE_ID
    struct rdma_ucm_cmd_hdr:
        uint32_t cmd
        uint16_t in_ "in"
        uint16_t out
    struct rdma_ucm_create_id:
        uint64_t response
    struct rdma_ucm_create_id_resp:
        uint32_t id
    struct rdma_ucm_destroy_id:
        uint32_t id
    struct rdma_ucm_set_option:
        uint64_t optval
        uint32_t optlen
    struct rdma_ucm_migrate_id:
        uint32_t id, fd

cdef enum:
    SECRET = 16               # at the end of MIGRATE_ID's body


# ---- the device ----

cdef public int ff_cm_open(int flags) noexcept nogil:
    cdef ff_reply_handle reply
    cdef int fd = -1
    cdef int error = ff_session_open()
    if error == 0:
        error = ff_call_descriptor(FF_CMD_CM_OPEN, &reply, sizeof(reply), &fd)
    if error:
        errno.errno = error
        return -1
    if not flags & O_CLOEXEC:                # it came with it
        fcntl(fd, F_SETFD, 0)
    if flags & O_NONBLOCK:
        fcntl(fd, F_SETFL, O_NONBLOCK)
    return fd


# ---- commands ----

cdef int call(ff_cmd_cm *c, ff_reply_cm *reply) noexcept nogil:
    """A child of a fork has a session of its own."""
    cdef int error = ff_session_open()
    reply.size = reply.withdrawn = 0
    return error if error else ff_call_session(FF_CMD_CM_CALL, c, sizeof(ff_cmd_cm), reply, sizeof(ff_reply_cm))


cdef int add_option(ff_cmd_cm *c) noexcept nogil:
    """What its pointer leads to, behind the struct."""
    cdef rdma_ucm_set_option *option = <rdma_ucm_set_option *>c.body
    if c.size < sizeof(rdma_ucm_set_option):
        return errno.EINVAL
    if option.optlen > FF_CM_BODY - sizeof(rdma_ucm_set_option):
        return errno.EINVAL
    c.size = <uint16_t>(sizeof(rdma_ucm_set_option) + option.optlen)
    return ff_cm_copy_in(c.body + sizeof(rdma_ucm_set_option), <const void *><size_t>option.optval, option.optlen)


cdef int add_channel(ff_cmd_cm *c, int *fd) noexcept nogil:
    """The router knows channels, not descriptors."""
    cdef ff_cm_name name
    if c.size < sizeof(rdma_ucm_migrate_id):
        return errno.EINVAL
    fd[0] = <int>(<rdma_ucm_migrate_id *>c.body).fd
    if ff_cm_name_get(fd[0], &name):
        return errno.ENOENT
    c.size = sizeof(rdma_ucm_migrate_id)
    c.other = name.channel
    memcpy(c.body + FF_CM_BODY - SECRET, name.secret, SECRET)
    return 0


cdef int read_command(ff_cmd_cm *c, int *fd, const void *data, size_t size) noexcept nogil:
    """*fd becomes the other descriptor of a command that has one."""
    cdef rdma_ucm_cmd_hdr head
    cdef int error
    if size < sizeof(head):
        return errno.EINVAL
    error = ff_cm_copy_in(&head, data, sizeof(head))
    if error:
        return error
    if head.in_ + sizeof(head) > size:
        return errno.EINVAL
    c.command = <uint16_t>min(head.cmd, <uint32_t>0xFFFF)
    c.size = <uint16_t>min(<size_t>head.in_, <size_t>(FF_CM_BODY - SECRET))     # the kernel does not look at what is too much either
    c.room = head.out
    error = ff_cm_copy_in(c.body, <const uint8_t *>data + sizeof(head), c.size)
    if error == 0 and c.command == RDMA_USER_CM_CMD_SET_OPTION:
        error = add_option(c)
    if error == 0 and c.command == RDMA_USER_CM_CMD_MIGRATE_ID:
        error = add_channel(c, fd)
    return error


cdef int await_event(int fd, ff_cmd_cm *c, ff_reply_cm *reply) noexcept nogil:
    """A byte in the descriptor is an event, but one that was withdrawn meanwhile. Whether to wait is the descriptor's
    affair."""
    cdef uint8_t byte
    cdef ssize_t got
    cdef int error
    while True:                              # bound: bytes in the descriptor
        got = recv(fd, &byte, 1, 0)
        if got < 0:
            return errno.errno
        if got == 0:
            return errno.EIO                 # the router is gone
        error = call(c, reply)
        if error != errno.EAGAIN:
            return error


cdef void take_back(int fd, uint32_t count) noexcept nogil:
    """Of events that are no more."""
    cdef uint8_t byte
    cdef uint32_t i
    for i in range(count):
        if recv(fd, &byte, 1, MSG_DONTWAIT) != 1:
            return


cdef void undo(ff_cmd_cm *c, const ff_reply_cm *reply) noexcept nogil:
    """An id of which the program does not learn."""
    cdef ff_reply_cm ignored
    if c.command != RDMA_USER_CM_CMD_CREATE_ID:
        return
    c.command = RDMA_USER_CM_CMD_DESTROY_ID
    c.size = sizeof(rdma_ucm_destroy_id)
    c.room = 4
    (<rdma_ucm_destroy_id *>c.body).id = (<rdma_ucm_create_id_resp *>reply.body).id
    call(c, &ignored)


cdef int answer(ff_cmd_cm *c, const ff_reply_cm *reply) noexcept nogil:
    """Where the reply goes stands first in commands that have one, but for CREATE_ID."""
    cdef uint64_t response = 0
    cdef int error
    if reply.size == 0:
        return 0
    if c.command == RDMA_USER_CM_CMD_CREATE_ID:
        response = (<rdma_ucm_create_id *>c.body).response
    else:
        memcpy(&response, c.body, sizeof(response))
    error = ff_cm_copy_out(<void *><size_t>response, reply.body, reply.size)
    if error:
        undo(c, reply)
    return error


cdef int run(int fd, const ff_cm_name *name, const void *data, size_t size) noexcept nogil:
    cdef ff_cmd_cm c
    cdef ff_reply_cm reply
    cdef int error, told = fd
    memset(&c, 0, sizeof(c))
    c.channel = name.channel
    memcpy(c.secret, name.secret, SECRET)
    error = read_command(&c, &told, data, size)
    if error:
        return error
    error = await_event(fd, &c, &reply) if c.command == RDMA_USER_CM_CMD_GET_EVENT else call(&c, &reply)
    if error == 0:
        take_back(told, reply.withdrawn)
        error = answer(&c, &reply)
    return error


cdef public ssize_t ff_cm_write(int fd, const void *data, size_t size, int *ours) noexcept nogil:
    cdef ff_cm_name name
    cdef int error
    ours[0] = ff_cm_name_get(fd, &name) == 0
    if not ours[0]:
        return -1
    error = run(fd, &name, data, size)
    if error == 0:
        return size
    errno.errno = error
    return -1
