"""The GID and P_Key tables of port 1. GIDs are the container's addresses: RoCE v2, all of them."""

from libc cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from ffcore.control cimport FF_CMD_QUERY_GIDS, ff_reply_gids
from ffcore.grh cimport ff_gid_is_ipv4
from ffcore.shm cimport FF_GID_TABLE
from ffl.session.call_api cimport ff_call
from ffl.kernel cimport fail
from ffl.session.log_api cimport FF_LOG_WARN, ff_log
from ffl.objects cimport context_of
from ffl.ibv cimport IBV_GID_TYPE_ROCE_V2, ibv_context, ibv_gid, ibv_gid_entry

cdef extern from "<netinet/in.h>" nogil:
    enum:
        AF_INET, AF_INET6
    struct sockaddr:
        unsigned short sa_family
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in:
        in_addr sin_addr
    struct sockaddr_in6:
        in6_addr sin6_addr

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, unsigned int size)

cdef extern from "<ifaddrs.h>" nogil:
    struct ifaddrs:
        ifaddrs *ifa_next
        char *ifa_name
        sockaddr *ifa_addr
    int getifaddrs(ifaddrs **first)
    void freeifaddrs(ifaddrs *first)

cdef extern from "<net/if.h>" nogil:
    unsigned int if_nametoindex(const char *name)

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


cdef bint is_mapped(const uint8_t *gid) noexcept nogil:
    """An IPv4 address: ::ffff:a.b.c.d (RFC 4291 2.5.5.2)."""
    cdef int i
    for i in range(10):
        if gid[i]:
            return False
    return gid[10] == 0xff and gid[11] == 0xff


cdef const void *address_in(const sockaddr *name, size_t *size) noexcept nogil:
    """The bytes of an IP address, as a GID ends with them; NULL when it is of another family."""
    if name != NULL and name.sa_family == AF_INET:
        size[0] = 4
        return &(<const sockaddr_in *>name).sin_addr
    if name != NULL and name.sa_family == AF_INET6:
        size[0] = 16
        return &(<const sockaddr_in6 *>name).sin6_addr
    return NULL


cdef public uint32_t ff_gid_interface(const uint8_t *gid) noexcept nogil:
    """The index of the interface that has the GID's address, or 0. Bound: the addresses of this namespace."""
    cdef ifaddrs *first
    cdef ifaddrs *at
    cdef const void *address
    cdef size_t size = 0
    cdef uint32_t index = 0
    if getifaddrs(&first) != 0:
        return 0
    at = first
    while at != NULL and index == 0:
        address = address_in(at.ifa_addr, &size)
        if address != NULL and memcmp(address, gid + 16 - size, size) == 0 and (size == 16 or is_mapped(gid)):
            index = if_nametoindex(at.ifa_name)
        at = at.ifa_next
    freeifaddrs(first)
    return index


cdef void fill_entry(ibv_gid_entry *entry, ff_reply_gids *table, uint32_t index) noexcept nogil:
    memset(entry, 0, sizeof(ibv_gid_entry))
    memcpy(entry.gid.raw, table.gid[index], 16)
    entry.gid_index = index
    entry.port_num = 1
    entry.gid_type = IBV_GID_TYPE_ROCE_V2
    entry.ndev_ifindex = ff_gid_interface(table.gid[index])


cdef public void ff_gid_explain(ibv_context *context, const char *verb, uint32_t index) noexcept nogil:
    """The verb was refused: says so where the index of the GID is the reason. Programs have one built in, or in their
    configuration, that was right for somebody's NIC."""
    cdef ff_reply_gids table
    cdef uint32_t used = 0
    if read_table(context, &table) or (index < FF_GID_TABLE and not is_empty(table.gid[index])):
        return
    while used < FF_GID_TABLE and is_empty(table.gid[used]):
        used += 1
    if used == FF_GID_TABLE:
        ff_log(FF_LOG_WARN, b"%s: GID index %u is not in use, nor is any other: this container has no address at the moment", verb,
               index)
    else:
        ff_log(FF_LOG_WARN, b"%s: GID index %u is not in use here: take %u (NCCL_IB_GID_INDEX, UCX_IB_GID_INDEX, perftest -x;"
               b" `show_gids` or /sys/class/infiniband lists them)", verb, index, used)


cdef public void ff_reach_explain(const char *verb, const uint8_t *gid) noexcept nogil:
    """The verb was refused with EACCES: whom it would reach."""
    cdef char address[46]                    # INET6_ADDRSTRLEN
    if ff_gid_is_ipv4(gid):
        inet_ntop(AF_INET, gid + 12, address, sizeof(address))
    else:
        inet_ntop(AF_INET6, gid, address, sizeof(address))
    ff_log(FF_LOG_WARN, b"%s: no rule of reach lets this container talk to %s, which is another tenant's or no container's"
           b" (`freeflow policy show`, [[reach.allow]] of the router's policy file)", verb, address)


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
