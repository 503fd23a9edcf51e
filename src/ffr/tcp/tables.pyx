from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ffcore.tcp cimport ff_tcp_end
from ffr.tcp.state cimport *

cdef extern from "ffr/tcp/kernel.h" nogil:
    int close(int)

cdef enum:
    FD_SHARE = 4  # a quarter of the process's descriptors for sessions, half for pending connections


cdef int tables_make(broker *b, uint32_t descriptors) noexcept nogil:
    cdef uint32_t i
    b.containers = <container *>calloc(CONTAINERS, sizeof(container))
    b.by_address = <address_slot *>calloc(ADDRESS_SLOTS, sizeof(address_slot))
    b.listeners = <listener *>calloc(LISTENERS, sizeof(listener))
    b.listener_heads = <uint32_t *>calloc(LISTENER_SLOTS, sizeof(uint32_t))
    b.waiting = <pending *>calloc(PENDING, sizeof(pending))
    b.pending_heads = <uint32_t *>calloc(PENDING_SLOTS, sizeof(uint32_t))
    b.sessions = <session *>calloc(SESSIONS, sizeof(session))
    b.paths = <uint64_t *>calloc(PATHS, sizeof(uint64_t))
    if (b.containers == NULL or b.by_address == NULL or b.listeners == NULL or b.listener_heads == NULL or
            b.waiting == NULL or b.pending_heads == NULL or b.sessions == NULL or b.paths == NULL):
        return -1
    memset(b.listener_heads, 0xff, LISTENER_SLOTS * sizeof(uint32_t))
    memset(b.pending_heads, 0xff, PENDING_SLOTS * sizeof(uint32_t))
    for i in range(LISTENERS):
        b.listeners[i].next = i + 1 if i + 1 < LISTENERS else NONE
    for i in range(PENDING):
        b.waiting[i].next = i + 1 if i + 1 < PENDING else NONE
    for i in range(SESSIONS):
        b.sessions[i].fd = -1
        b.sessions[i].next_free = i + 1 if i + 1 < SESSIONS else NONE
    b.free_listener = b.free_pending = b.free_session = 0
    b.first_waiting = b.last_waiting = NONE
    b.pending_limit = min(<uint32_t>PENDING, descriptors // FD_SHARE * 2)
    b.session_limit = min(<uint32_t>SESSIONS, descriptors // FD_SHARE)
    return 0


cdef void tables_free(broker *b) noexcept nogil:
    cdef uint32_t i
    if b.containers != NULL:
        for i in range(CONTAINERS):
            if b.containers[i].used:
                close(b.containers[i].diag)
    if b.waiting != NULL:
        for i in range(PENDING):
            if b.waiting[i].state != FREE:
                close(b.waiting[i].end)
    if b.sessions != NULL:
        for i in range(SESSIONS):
            if b.sessions[i].fd >= 0:
                close(b.sessions[i].fd)
    free(b.reach)
    free(b.containers)
    free(b.by_address)
    free(b.listeners)
    free(b.listener_heads)
    free(b.waiting)
    free(b.pending_heads)
    free(b.sessions)
    free(b.paths)


cdef uint64_t draw(broker *b) noexcept nogil:
    """splitmix64. Ports need no secrecy; tokens are drawn from getrandom (serve.pyx)."""
    b.random += 0x9e3779b97f4a7c15u
    return mixed(b.random)


cdef uint64_t mixed(uint64_t x) noexcept nogil:
    x = (x ^ (x >> 30)) * <uint64_t>0xbf58476d1ce4e5b9u
    x = (x ^ (x >> 27)) * <uint64_t>0x94d049bb133111ebu
    return x ^ (x >> 31)


cdef uint64_t hash_address(const uint8_t *address) noexcept nogil:
    cdef uint64_t halves[2]
    memcpy(halves, address, 16)
    return mixed(halves[0] ^ mixed(halves[1]))


# ---- containers ----

cdef uint32_t container_of(broker *b, uint64_t device, uint64_t inode) noexcept nogil:
    cdef uint32_t i
    for i in range(CONTAINERS):
        if b.containers[i].used and b.containers[i].inode == inode and b.containers[i].device == device:
            return i
    return NONE


cdef uint32_t container_at(broker *b, const uint8_t *address) noexcept nogil:
    cdef uint32_t slot = address_slot_of(b, address)
    return b.by_address[slot].container if b.by_address[slot].used else NONE


cdef uint32_t address_slot_of(broker *b, const uint8_t *address) noexcept nogil:
    """The slot that has this address, or the free one where it belongs: a quarter of the slots is the most in use."""
    cdef uint32_t slot = hash_address(address) % ADDRESS_SLOTS
    while b.by_address[slot].used and memcmp(b.by_address[slot].address, address, 16) != 0:
        slot = (slot + 1) % ADDRESS_SLOTS
    return slot


cdef uint32_t container_put(broker *b, uint64_t device, uint64_t inode, int diag, uint64_t tenant) noexcept nogil:
    cdef uint32_t i
    for i in range(CONTAINERS):
        if not b.containers[i].used:
            memset(&b.containers[i], 0, sizeof(container))
            b.containers[i].used = True
            b.containers[i].device = device
            b.containers[i].inode = inode
            b.containers[i].diag = diag
            b.containers[i].tenant = tenant
            return i
    return NONE


cdef bint address_put(broker *b, uint32_t index, const uint8_t *address) noexcept nogil:
    cdef container *c = &b.containers[index]
    cdef uint32_t slot = address_slot_of(b, address)
    if b.by_address[slot].used or c.addresses == ADDRESSES:
        return False
    memcpy(c.address[c.addresses], address, 16)
    c.addresses += 1
    link_address(b, slot, index, address)
    return True


cdef void link_address(broker *b, uint32_t slot, uint32_t index, const uint8_t *address) noexcept nogil:
    memcpy(b.by_address[slot].address, address, 16)
    b.by_address[slot].container = index
    b.by_address[slot].used = True


cdef void container_drop(broker *b, uint32_t index) noexcept nogil:
    """With its listeners, its sessions, and what is pending from or to it. Connections that are under way go on."""
    cdef uint32_t i, j
    for i in range(PENDING):
        if b.waiting[i].state != FREE and index in (b.waiting[i].client, b.waiting[i].server):
            pending_drop(b, i)
    for i in range(LISTENERS):
        if b.listeners[i].cookie != 0 and b.listeners[i].container == index:
            listener_drop(b, i)
    for i in range(SESSIONS):
        if b.sessions[i].fd >= 0 and b.sessions[i].container == index:
            session_drop(b, i)
    memset(b.paths, 0, PATHS * sizeof(uint64_t))
    close(b.containers[index].diag)
    b.containers[index].used = False
    memset(b.by_address, 0, ADDRESS_SLOTS * sizeof(address_slot))  # rare; taking one out of open addressing is not worth it
    for i in range(CONTAINERS):
        if b.containers[i].used:
            for j in range(b.containers[i].addresses):
                link_address(b, address_slot_of(b, b.containers[i].address[j]), i, b.containers[i].address[j])


# ---- listeners ----

cdef uint32_t listener_head(uint32_t container, uint64_t cookie) noexcept nogil:
    return mixed(cookie ^ <uint64_t>container << 48) % LISTENER_SLOTS


cdef uint32_t listener_of(broker *b, uint32_t container, uint64_t cookie) noexcept nogil:
    cdef uint32_t i = b.listener_heads[listener_head(container, cookie)]
    while i != NONE and (b.listeners[i].cookie != cookie or b.listeners[i].container != container):
        i = b.listeners[i].next
    return i


cdef uint32_t listener_put(broker *b, uint32_t container, uint64_t cookie) noexcept nogil:
    cdef uint32_t i = b.free_listener
    cdef uint32_t head = listener_head(container, cookie)
    if i == NONE:
        return NONE
    b.free_listener = b.listeners[i].next
    memset(&b.listeners[i], 0, sizeof(listener))
    b.listeners[i].cookie = cookie
    b.listeners[i].container = container
    b.listeners[i].next = b.listener_heads[head]
    b.listener_heads[head] = i
    b.containers[container].listeners += 1
    return i


cdef void listener_drop(broker *b, uint32_t index) noexcept nogil:
    cdef listener *gone = &b.listeners[index]
    cdef uint32_t *link = &b.listener_heads[listener_head(gone.container, gone.cookie)]
    while link[0] != index:
        link = &b.listeners[link[0]].next
    link[0] = gone.next
    b.containers[gone.container].listeners -= 1
    gone.cookie = 0
    gone.next = b.free_listener
    b.free_listener = index


# ---- pending connections ----

cdef uint32_t pending_head(const ff_tcp_end *client, const ff_tcp_end *server) noexcept nogil:
    cdef uint64_t ports = <uint64_t>client.port << 16 | server.port
    return mixed(hash_address(client.address) ^ mixed(hash_address(server.address) + ports)) % PENDING_SLOTS


cdef bint same_end(const ff_tcp_end *a, const ff_tcp_end *b) noexcept nogil:
    return a.port == b.port and memcmp(a.address, b.address, 16) == 0


cdef uint32_t pending_of(broker *b, const ff_tcp_end *client, const ff_tcp_end *server) noexcept nogil:
    cdef uint32_t i = b.pending_heads[pending_head(client, server)]
    while i != NONE:
        if same_end(&b.waiting[i].client_end, client) and same_end(&b.waiting[i].server_end, server):
            return i
        i = b.waiting[i].next
    return NONE


cdef uint64_t pending_id(broker *b, uint32_t index) noexcept nogil:
    return <uint64_t>b.waiting[index].generation << 32 | index


cdef uint32_t pending_of_id(broker *b, uint64_t id) noexcept nogil:
    cdef uint32_t i = <uint32_t>id
    if i >= PENDING or b.waiting[i].state == FREE or b.waiting[i].generation != id >> 32:
        return NONE
    return i


cdef uint32_t pending_put(broker *b, const ff_tcp_end *client, const ff_tcp_end *server) noexcept nogil:
    cdef uint32_t i = b.free_pending
    cdef uint32_t generation, head
    if i == NONE or b.pendings >= b.pending_limit:
        return NONE
    b.free_pending = b.waiting[i].next
    generation = b.waiting[i].generation + 1
    memset(&b.waiting[i], 0, sizeof(pending))
    b.waiting[i].state = OPEN
    b.waiting[i].generation = generation
    b.waiting[i].client_end = client[0]
    b.waiting[i].server_end = server[0]
    b.waiting[i].waits_next = NONE
    b.waiting[i].listener = NONE
    b.waiting[i].end = -1
    head = pending_head(client, server)
    b.waiting[i].next = b.pending_heads[head]
    b.pending_heads[head] = i
    b.pendings += 1
    b.pending_high = max(b.pending_high, i + 1)
    return i


cdef void pending_listener(broker *b, uint32_t index, uint32_t listener) noexcept nogil:
    b.waiting[index].listener = listener
    b.listeners[listener].pendings += 1


cdef void pending_drop(broker *b, uint32_t index) noexcept nogil:
    cdef pending *gone = &b.waiting[index]
    cdef uint32_t *link = &b.pending_heads[pending_head(&gone.client_end, &gone.server_end)]
    while link[0] != index:
        link = &b.waiting[link[0]].next
    if gone.listener != NONE:
        b.listeners[gone.listener].pendings -= 1
    link[0] = gone.next
    if gone.state == WAITED_FOR:
        unlink_waiting(b, index)
    if gone.end >= 0:
        close(gone.end)
    if gone.client == REMOTE:
        b.peers[gone.peer].pending -= 1
    else:
        b.containers[gone.client].pending -= 1
    gone.state = FREE
    gone.next = b.free_pending
    b.free_pending = index
    b.pendings -= 1


cdef void unlink_waiting(broker *b, uint32_t index) noexcept nogil:
    cdef uint32_t before = NONE
    cdef uint32_t i = b.first_waiting
    while i != index:
        before = i
        i = b.waiting[i].waits_next
    if before == NONE:
        b.first_waiting = b.waiting[index].waits_next
    else:
        b.waiting[before].waits_next = b.waiting[index].waits_next
    if b.last_waiting == index:
        b.last_waiting = before


# ---- paths ----

cdef uint64_t path_key(broker *b, const ff_tcp_end *client, uint32_t index) noexcept nogil:
    return mixed(b.listeners[index].cookie ^ <uint64_t>b.listeners[index].container << 52) ^ hash_address(client.address)


cdef bint path_known(broker *b, const ff_tcp_end *client, uint32_t index) noexcept nogil:
    cdef uint64_t key = path_key(b, client, index)
    return b.paths[key % PATHS] == key


cdef void path_note(broker *b, const ff_tcp_end *client, uint32_t index) noexcept nogil:
    """One place per key: two that share it push each other out, which costs one confirmation each time."""
    cdef uint64_t key = path_key(b, client, index)
    b.paths[key % PATHS] = key


# ---- sessions ----

cdef uint32_t session_put(broker *b, int fd, uint32_t index, uint32_t uid, int pid) noexcept nogil:
    cdef uint32_t i = b.free_session
    if i == NONE or i >= b.session_limit:
        return NONE
    b.free_session = b.sessions[i].next_free
    b.sessions[i].fd = fd
    b.sessions[i].generation += 1
    b.sessions[i].container = index
    b.sessions[i].uid = uid
    b.sessions[i].pid = pid
    b.sessions[i].looked = False
    b.containers[index].sessions += 1
    return i


cdef void session_drop(broker *b, uint32_t index) noexcept nogil:
    close(b.sessions[index].fd)
    b.sessions[index].fd = -1
    b.containers[b.sessions[index].container].sessions -= 1
    b.sessions[index].next_free = b.free_session
    b.free_session = index
