from libc.stdlib cimport free


cdef bint has_pair(const broker *b, uint64_t client, uint64_t server) noexcept nogil:
    cdef uint32_t low = 0, high = b.reach_pairs, middle
    cdef const uint64_t *pair
    while low < high:                        # bound: the logarithm of REACH_PAIRS
        middle = (low + high) // 2
        pair = b.reach + 2 * middle
        if pair[0] == client and pair[1] == server:
            return True
        if pair[0] < client or (pair[0] == client and pair[1] < server):
            low = middle + 1
        else:
            high = middle
    return False


cdef bint reach_allows(const broker *b, uint64_t client, uint64_t server) noexcept nogil:
    return (client == server or has_pair(b, client, server) or has_pair(b, client, ANY_TENANT)
            or has_pair(b, ANY_TENANT, server) or has_pair(b, ANY_TENANT, ANY_TENANT))


cdef void reach_take(broker *b, uint64_t *pairs, uint32_t count) noexcept nogil:
    free(b.reach)
    b.reach, b.reach_pairs = pairs, count
