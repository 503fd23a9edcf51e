"""The broker's tables: containers by namespace and by address, listeners by cookie, pending connections by 4-tuple."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from ffcore.tcp cimport ff_tcp_end
from ffr.tcp.state cimport broker, listener, pending, session

cdef int tables_make(broker *b, uint32_t descriptors) noexcept nogil   # 0, or -1 without memory
cdef void tables_free(broker *b) noexcept nogil
cdef uint64_t draw(broker *b) noexcept nogil                           # a random number
cdef uint64_t mixed(uint64_t x) noexcept nogil                         # its bits, well mixed
cdef uint64_t hash_address(const uint8_t *address) noexcept nogil

# All of these answer an index, or NONE.
cdef uint32_t container_of(broker *b, uint64_t device, uint64_t inode) noexcept nogil
cdef uint32_t container_at(broker *b, const uint8_t *address) noexcept nogil
cdef uint32_t container_put(broker *b, uint64_t device, uint64_t inode, int diag, uint64_t tenant) noexcept nogil
cdef bint address_put(broker *b, uint32_t container, const uint8_t *address) noexcept nogil  # False: taken, or no room
cdef void container_drop(broker *b, uint32_t container) noexcept nogil

cdef uint32_t listener_of(broker *b, uint32_t container, uint64_t cookie) noexcept nogil
cdef uint32_t listener_put(broker *b, uint32_t container, uint64_t cookie) noexcept nogil
cdef void listener_drop(broker *b, uint32_t index) noexcept nogil

cdef uint32_t pending_of(broker *b, const ff_tcp_end *client, const ff_tcp_end *server) noexcept nogil
cdef uint32_t pending_of_id(broker *b, uint64_t id) noexcept nogil
cdef uint64_t pending_id(broker *b, uint32_t index) noexcept nogil
cdef uint32_t pending_put(broker *b, const ff_tcp_end *client, const ff_tcp_end *server) noexcept nogil
cdef void pending_listener(broker *b, uint32_t index, uint32_t listener) noexcept nogil   # for whom it waits
cdef void pending_drop(broker *b, uint32_t index) noexcept nogil       # closes its end

cdef bint path_known(broker *b, const ff_tcp_end *client, uint32_t listener) noexcept nogil
cdef void path_note(broker *b, const ff_tcp_end *client, uint32_t listener) noexcept nogil

cdef uint32_t session_put(broker *b, int fd, uint32_t container, uint32_t uid, int pid) noexcept nogil
cdef void session_drop(broker *b, uint32_t index) noexcept nogil       # closes its socket
