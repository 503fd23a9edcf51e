"""The GID and P_Key tables of port 1. GIDs are the container's addresses: RoCE v2, all of them."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from ffcore.control cimport FF_CMD_QUERY_GIDS, ff_reply_gids
from ffcore.shm cimport FF_GID_TABLE
from ffl.call_api cimport ff_call
from ffl.kernel cimport fail
from ffl.objects cimport context_of
from ffl.verbs cimport IBV_GID_TYPE_ROCE_V2, ibv_context, ibv_gid, ibv_gid_entry

cdef enum:
    SYSFS_ROCE_V2 = 1         # what ibv_query_gid_type's callers take for RoCE v2
    DEFAULT_PKEY = 0xffff     # the same in both byte orders


cdef int read_table(ibv_context *context, ff_reply_gids *table) noexcept nogil:
    return ff_call(context_of(context), FF_CMD_QUERY_GIDS, NULL, 0, table, sizeof(ff_reply_gids))


cdef bint is_empty(const uint8_t *gid) noexcept nogil:
    cdef int i
    for i in range(16):
        if gid[i]:
            return False
    return True


cdef void fill_entry(ibv_gid_entry *entry, ff_reply_gids *table, uint32_t index) noexcept nogil:
    memset(entry, 0, sizeof(ibv_gid_entry))
    memcpy(entry.gid.raw, table.gid[index], 16)
    entry.gid_index = index
    entry.port_num = 1
    entry.gid_type = IBV_GID_TYPE_ROCE_V2


cdef public int ffv_ibv_query_gid(ibv_context *context, uint8_t port_num, int index, ibv_gid *gid) noexcept nogil:
    """An entry that is not in use reads as zero."""
    cdef ff_reply_gids table
    cdef int error = errno.EINVAL
    if port_num == 1 and 0 <= index < FF_GID_TABLE:
        error = read_table(context, &table)
    if error:
        fail(error)
        return -1
    memcpy(gid.raw, table.gid[index], 16)
    return 0


cdef public int ffv__ibv_query_gid_ex(ibv_context *context, uint32_t port_num, uint32_t index, ibv_gid_entry *entry,
                                      uint32_t flags, size_t entry_size) noexcept nogil:
    cdef ff_reply_gids table
    cdef int error
    if flags or port_num != 1 or index >= FF_GID_TABLE or entry_size < sizeof(ibv_gid_entry):
        return fail(errno.EINVAL)
    error = read_table(context, &table)
    if error == 0 and is_empty(table.gid[index]):
        error = errno.ENODATA
    if error:
        return fail(error)
    fill_entry(entry, &table, index)
    return 0


cdef public ssize_t ffv__ibv_query_gid_table(ibv_context *context, ibv_gid_entry *entries, size_t max_entries,
                                             uint32_t flags, size_t entry_size) noexcept nogil:
    """How many were written, or -errno; EINVAL when they do not all fit."""
    cdef ff_reply_gids table
    cdef uint8_t *out = <uint8_t *>entries
    cdef size_t count = 0
    cdef int i
    cdef int error
    if flags or entry_size < sizeof(ibv_gid_entry):
        return -fail(errno.EINVAL)
    error = read_table(context, &table)
    if error:
        return -fail(error)
    for i in range(FF_GID_TABLE):
        if is_empty(table.gid[i]):
            continue
        if count == max_entries:
            return -fail(errno.EINVAL)
        fill_entry(<ibv_gid_entry *>(out + count * entry_size), &table, i)
        count += 1
    return count


cdef public int ffv_ibv_query_gid_type(ibv_context *context, uint8_t port_num, unsigned int index,
                                       int *type) noexcept nogil:
    if port_num != 1 or index >= FF_GID_TABLE:
        fail(errno.EINVAL)
        return -1
    type[0] = SYSFS_ROCE_V2
    return 0


cdef public int ffv_ibv_query_pkey(ibv_context *context, uint8_t port_num, int index, uint16_t *pkey) noexcept nogil:
    if port_num != 1 or index != 0:
        fail(errno.EINVAL)
        return -1
    pkey[0] = DEFAULT_PKEY
    return 0


cdef public int ffv_ibv_get_pkey_index(ibv_context *context, uint8_t port_num, uint16_t pkey) noexcept nogil:
    if port_num != 1 or pkey != DEFAULT_PKEY:
        fail(errno.EINVAL)
        return -1
    return 0
