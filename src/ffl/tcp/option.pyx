"""Socket options. The kernel answers them, for a link is a TCP socket. Here is noted which a program has set, so that a
link that takes the socket's place has them too."""

from ffcore.tcp cimport *
from ffl.tcp.sock cimport *
from ffl.tcp.sys cimport *
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

cdef enum:
    OPTION_ROOM = 64        # bytes: more than any that is carried
    SNDBUF_LOCKED = 1       # SO_BUF_LOCK: the program chose the size
    RCVBUF_LOCKED = 2


cdef public int ffs_setsockopt(int fd, int level, int option, const void *value, unsigned length) noexcept nogil:
    cdef int status = raw_setsockopt(fd, level, option, value, length)
    if status == 0:
        note_option(fd, level, option)
    return status


cdef void note_option(int fd, int level, int option) noexcept nogil:
    cdef ffs_entry *entry = ffs_entry_at(fd)
    cdef int index
    if entry == NULL or entry.kind == FFS_NONE:
        return
    index = ffs_option_index(level, option)
    if index >= 0:
        entry.set[index // 64] |= (<uint64_t>1) << (index % 64)
    elif entry.kind == FFS_STREAM:
        entry.flags |= FFS_TRIED  # neither it nor what it accepts, should it listen, is ours


cdef public int ffs_getsockopt(int fd, int level, int option, void *value, unsigned *length) noexcept nogil:
    """Between hosts with IPv6 addresses an IPv4 socket of a program has an IPv6 one underneath."""
    cdef int status = raw_getsockopt(fd, level, option, value, length)
    cdef ff_tcp_name name
    cdef int side, domain
    if level != SOL_SOCKET or option != SO_DOMAIN or status != 0 or length[0] != sizeof(int):
        return status
    side = ffs_connection(fd, &name)
    if side != FFS_NOT_OURS:
        domain = name.client.domain if side == FFS_CLIENT else name.server.domain
        memcpy(value, &domain, sizeof(domain))
    return 0


# ---- carrying ----

cdef public int ffs_carry_options(int before, int after, const uint64_t *set) noexcept nogil:
    """Those of set that differ. 0, or -1: not all of them could be."""
    cdef uint64_t left
    cdef int word, index
    cdef int failed = 0
    for word in range(FFS_SET_WORDS):
        left = set[word]
        while left:
            index = ffs_lowest_bit(left)
            left &= left - 1
            if ffs_option_at(64 * word + index) != NULL:
                failed |= carry(before, after, ffs_option_at(64 * word + index))
    return failed


cdef int carry(int before, int after, const ffs_option *o) noexcept nogil:
    cdef char wanted[OPTION_ROOM]
    cdef char own[OPTION_ROOM]
    cdef unsigned length = OPTION_ROOM
    cdef unsigned own_length = OPTION_ROOM
    if o.how == FFS_DONE:
        return 0
    if o.how == FFS_SNDBUF:
        return carry_buffer(before, after, SNDBUF_LOCKED, SO_SNDBUF)
    if o.how == FFS_RCVBUF:
        return carry_buffer(before, after, RCVBUF_LOCKED, SO_RCVBUF)
    if raw_getsockopt(before, o.level, o.option, wanted, &length) != 0:
        return 0  # older than this kernel, or another family's
    if raw_getsockopt(after, o.level, o.option, own, &own_length) == 0 and own_length == length:
        if memcmp(wanted, own, length) == 0:
            return 0
    return raw_setsockopt(after, o.level, o.option, wanted, length)


cdef int carry_buffer(int before, int after, int bit, int option) noexcept nogil:
    """The kernel doubles what it is given and shows the double."""
    cdef int locked = 0
    cdef int size = 0
    cdef unsigned length = sizeof(int)
    if raw_getsockopt(before, SOL_SOCKET, SO_BUF_LOCK, &locked, &length) == 0 and not locked & bit:
        return 0
    if raw_getsockopt(before, SOL_SOCKET, option, &size, &length) != 0:
        return -1
    size //= 2
    return raw_setsockopt(after, SOL_SOCKET, option, &size, sizeof(size))
