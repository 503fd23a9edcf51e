"""Commands as no librdmacm writes them, and what Linux says to them. argv: where cm_raw is, and which check."""

import ctypes
import errno
import mmap
import os
import random
import select
import struct
import sys

(CREATE_ID, DESTROY_ID, BIND_IP, RESOLVE_IP, RESOLVE_ROUTE, QUERY_ROUTE, CONNECT, LISTEN, ACCEPT, REJECT, DISCONNECT, INIT_QP_ATTR,
 GET_EVENT, GET_OPTION, SET_OPTION, NOTIFY, JOIN_IP_MCAST, LEAVE_MCAST, MIGRATE_ID, QUERY, BIND, RESOLVE_ADDR, JOIN_MCAST) = range(23)
PS_TCP, PS_UDP = 0x106, 0x111
CONN = 272  # struct rdma_ucm_conn_param
# command -> (size of its struct, where the id stands in it, bytes of its reply)
COMMANDS = {DESTROY_ID: (16, 8, 4), BIND_IP: (40, 36, 0), RESOLVE_IP: (64, 56, 0), RESOLVE_ROUTE: (8, 0, 0),
            QUERY_ROUTE: (16, 8, 240), CONNECT: (CONN + 16, CONN, 0), LISTEN: (8, 0, 0), ACCEPT: (8 + CONN + 16, 8 + CONN, 0),
            REJECT: (264, 0, 0), DISCONNECT: (4, 0, 0), INIT_QP_ATTR: (16, 8, 144), SET_OPTION: (24, 8, 0), NOTIFY: (8, 0, 0),
            JOIN_IP_MCAST: (48, 44, 4), LEAVE_MCAST: (16, 8, 4), QUERY: (16, 8, 304), BIND: (136, 0, 0),
            RESOLVE_ADDR: (272, 0, 0), JOIN_MCAST: (152, 16, 4)}

verbs = ctypes.CDLL("libibverbs.so.1")
cm = ctypes.CDLL("librdmacm.so.1")
raw = ctypes.CDLL(sys.argv[1], use_errno=True)
raw.raw_write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong]
raw.raw_write.restype = ctypes.c_long
verbs.ibv_get_device_list.restype = ctypes.c_void_p
verbs.ibv_get_device_list(None)  # as librdmacm does before it opens its device
reply = ctypes.create_string_buffer(4096)
REPLY = ctypes.addressof(reply)
NOWHERE = 16  # an address with nothing at it


def channel(flags=os.O_CLOEXEC):
    fd = raw.raw_open(flags)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd


def write(fd, data, size=None):
    """0 or an errno."""
    kept = ctypes.create_string_buffer(bytes(data), max(len(data), 1))
    size = len(data) if size is None else size
    done = raw.raw_write(fd, ctypes.addressof(kept), size)
    assert done in (size, -1), done
    return 0 if done >= 0 else ctypes.get_errno()


def command(fd, number, body, room=4096, size=None):
    return write(fd, struct.pack("<IHH", number, len(body) if size is None else size, room) + body)


def create(fd, space=PS_TCP, uid=77, response=REPLY):
    error = command(fd, CREATE_ID, struct.pack("<QQHB5x", uid, response, space, 2))
    return struct.unpack("<I", reply.raw[:4])[0] if not error else -error


def body_of(number, handle, response=REPLY):
    size, at, room = COMMANDS[number]
    body = bytearray(size)
    if room:
        body[:8] = struct.pack("<Q", response)
    body[at:at + 4] = struct.pack("<I", handle)
    if number == BIND_IP:
        body[8:10] = struct.pack("<H", 2)
    elif number in (RESOLVE_IP,):
        body[28:30] = struct.pack("<H", 2)
    elif number == BIND:
        body[4:6], body[8:10] = struct.pack("<H", 16), struct.pack("<H", 2)
    elif number == RESOLVE_ADDR:
        body[10:12], body[16 + 128:16 + 130] = struct.pack("<H", 16), struct.pack("<H", 2)
    elif number == JOIN_IP_MCAST:
        body[16:18] = struct.pack("<H", 2)
    elif number == JOIN_MCAST:
        body[20:22], body[24:26] = struct.pack("<H", 16), struct.pack("<H", 2)
    return bytes(body)


def check_device():
    fd = channel()
    assert raw.raw_is_device(fd)
    assert os.get_inheritable(fd) is False
    assert os.get_inheritable(channel(0)) is True
    assert raw.raw_is_device(os.open("/dev/null", os.O_RDONLY)) and not raw.raw_is_device(os.open("/etc/passwd", os.O_RDONLY))


def check_ways_in():
    """librdmacm itself, in a program that was linked with none of this."""
    cm.rdma_create_event_channel.restype = ctypes.POINTER(ctypes.c_int)
    made = cm.rdma_create_event_channel()
    assert made, "no event channel"
    assert write(made[0], b"") == errno.EINVAL


def check_truncated():
    fd = channel()
    handle = create(fd)
    for size in range(8):
        assert write(fd, bytes(8), size) == errno.EINVAL
    for number, (size, _, _) in COMMANDS.items():
        body = body_of(number, handle)
        # The last 8 bytes of CONNECT and ACCEPT came later than the rest.
        needed = size - 8 if number in (CONNECT, ACCEPT) else size
        for short in {0, 1, needed // 2, needed - 1} - {needed}:
            assert command(fd, number, body[:short]) == errno.EINVAL, (number, short)
        assert command(fd, number, body, size=size + 1) == errno.EINVAL, number


def check_unknown():
    fd = channel()
    for number in (23, 24, 255, 0xFFFF, 0x10000, 0xFFFFFFFF):
        assert command(fd, number, bytes(64)) == errno.EINVAL, number
    assert command(fd, GET_OPTION, bytes(64)) == errno.ENOSYS
    assert create(fd, space=1) == -errno.EINVAL


def check_ids():
    fd, other = channel(), channel()
    mine, theirs = create(fd), create(other)
    for number in COMMANDS:
        if number == LEAVE_MCAST:
            continue
        for handle in (mine + 5000, 0xFFFFFFFF):
            assert command(fd, number, body_of(number, handle)) == errno.ENOENT, number
        assert command(fd, number, body_of(number, theirs)) == errno.EINVAL, number
    assert command(fd, LEAVE_MCAST, body_of(LEAVE_MCAST, 3)) == errno.ENOENT
    assert command(fd, DESTROY_ID, body_of(DESTROY_ID, mine)) == 0
    assert command(fd, DESTROY_ID, body_of(DESTROY_ID, mine)) == errno.ENOENT


def check_room():
    fd = channel()
    handle = create(fd)
    for number, (_, _, room) in COMMANDS.items():
        if room and number not in (JOIN_IP_MCAST, JOIN_MCAST, QUERY):
            assert command(fd, number, body_of(number, handle), room=2) == errno.ENOSPC, number
    assert command(fd, CREATE_ID, struct.pack("<QQHB5x", 1, REPLY, PS_TCP, 2), room=3) == errno.ENOSPC


def check_pointers():
    fd = channel()
    page = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CDLL(None).mprotect(ctypes.c_void_p(at + mmap.PAGESIZE), mmap.PAGESIZE, 0)
    for where in (NOWHERE, at + mmap.PAGESIZE, at + mmap.PAGESIZE - 2, (1 << 64) - 4096):
        assert create(fd, response=where) == -errno.EFAULT
        assert raw.raw_write(fd, where, 64) == -1 and ctypes.get_errno() == errno.EFAULT
    handle = create(fd)
    assert command(fd, QUERY_ROUTE, body_of(QUERY_ROUTE, handle, NOWHERE)) == errno.EFAULT
    option = struct.pack("<QIIII", NOWHERE, handle, 0, 0, 1)
    assert command(fd, SET_OPTION, option) == errno.EFAULT
    assert command(fd, SET_OPTION, struct.pack("<QIIII", REPLY, handle, 0, 0, 1 << 31)) == errno.EINVAL


def check_events():
    fd = channel(os.O_NONBLOCK)
    get = struct.pack("<Q", REPLY)
    assert command(fd, GET_EVENT, get) == errno.EAGAIN
    poll = select.epoll()
    poll.register(fd, select.EPOLLIN)
    assert poll.poll(0) == []
    handle = create(fd)
    resolve = bytearray(body_of(RESOLVE_IP, handle))
    resolve[32:36] = bytes([127, 0, 0, 1])
    assert command(fd, RESOLVE_IP, bytes(resolve)) == 0
    assert poll.poll(1) == [(fd, select.EPOLLIN)]
    again = os.dup(fd)
    assert command(again, GET_EVENT, get) == 0
    uid, of, event = struct.unpack("<QII", reply.raw[:16])
    assert (uid, of, event) == (77, handle, 0)
    assert poll.poll(0) == [] and command(fd, GET_EVENT, get) == errno.EAGAIN
    # An event that its id takes along.
    assert command(fd, RESOLVE_ROUTE, body_of(RESOLVE_ROUTE, handle)) == 0
    assert poll.poll(1) != []
    assert command(fd, DESTROY_ID, body_of(DESTROY_ID, handle)) == 0
    assert struct.unpack("<I", reply.raw[:4])[0] == 1
    assert poll.poll(0) == []


def check_options():
    fd = channel()
    handle = create(fd)
    value = ctypes.create_string_buffer(8)

    def option(name, size, level=0):
        return command(fd, SET_OPTION, struct.pack("<QIIII", ctypes.addressof(value), handle, level, name, size))
    value.raw = bytes([18]) + bytes(7)
    assert [option(0, 1), option(1, 4), option(2, 4), option(3, 1)] == [0] * 4
    assert [option(0, 4), option(1, 1), option(2, 1), option(3, 4)] == [errno.EINVAL] * 4
    assert option(9, 1) == errno.ENOSYS and option(0, 1, level=7) == errno.ENOSYS


def check_ports():
    fd = channel()

    def bound(address, port, reuse=False, listen=False):
        handle = create(fd)
        if reuse:
            value = ctypes.c_int(1)
            assert command(fd, SET_OPTION, struct.pack("<QIIII", ctypes.addressof(value), handle, 0, 1, 4)) == 0
        body = bytearray(body_of(BIND_IP, handle))
        body[10:12], body[12:16] = struct.pack(">H", port), bytes(address)
        error = command(fd, BIND_IP, bytes(body))
        return error or (command(fd, LISTEN, struct.pack("<II", handle, 0)) if listen else 0)
    assert bound([0, 0, 0, 0], 5000) == 0
    assert bound([0, 0, 0, 0], 5000) == errno.EADDRNOTAVAIL
    assert bound([203, 0, 113, 1], 5001) == errno.EADDRNOTAVAIL
    assert bound([0, 0, 0, 0], 5002, reuse=True) == 0 == bound([0, 0, 0, 0], 5002, reuse=True, listen=True)
    assert bound([0, 0, 0, 0], 0) == 0 == bound([0, 0, 0, 0], 0)


def listener(fd, port):
    handle = create(fd, uid=1)
    body = bytearray(body_of(BIND_IP, handle))
    body[10:12] = struct.pack(">H", port)
    assert command(fd, BIND_IP, bytes(body)) == 0
    assert command(fd, LISTEN, struct.pack("<II", handle, 8)) == 0
    return handle


def ask(fd, port):
    """An id that asks to be connected."""
    handle = create(fd)
    resolve = bytearray(body_of(RESOLVE_IP, handle))
    resolve[30:32], resolve[32:36] = struct.pack(">H", port), bytes([127, 0, 0, 1])
    connect = bytearray(body_of(CONNECT, handle))
    connect[CONN - 1] = 1                      # its parameters are valid
    for number, body in ((RESOLVE_IP, bytes(resolve)), (RESOLVE_ROUTE, body_of(RESOLVE_ROUTE, handle)), (CONNECT, bytes(connect))):
        error = command(fd, number, body)
        assert error == 0, (number, error)
    return handle


def check_unheard():
    """A listener ends, in each way, before its program has taken the requests that came."""
    asking = channel(os.O_NONBLOCK)
    for port, way in enumerate(("close", "destroy", "migrate", "destroy the asking") * 3, 6000):
        fd, other = channel(os.O_NONBLOCK), channel(os.O_NONBLOCK)
        handle = listener(fd, port)
        asked = [ask(asking, port) for _ in range(5)]
        if way == "migrate":
            assert command(other, MIGRATE_ID, struct.pack("<QII", REPLY, handle, fd)) == 0
        elif way == "destroy":
            assert command(fd, DESTROY_ID, body_of(DESTROY_ID, handle)) == 0
        elif way == "destroy the asking":
            assert all(command(asking, DESTROY_ID, body_of(DESTROY_ID, id)) == 0 for id in asked)
        os.close(fd)
        os.close(other)
    handles = [create(asking) for _ in range(300)]
    assert min(handles) >= 0 and len(set(handles)) == 300


def check_migrated_listener():
    """What came before it moved is taken where it has moved to, and answered from there."""
    old, new, asking = (channel(os.O_NONBLOCK) for _ in range(3))
    handle = listener(old, 5999)
    ask(asking, 5999)
    assert command(new, MIGRATE_ID, struct.pack("<QII", REPLY, handle, old)) == 0
    assert command(new, GET_EVENT, struct.pack("<Q", REPLY)) == 0
    _, fresh, event = struct.unpack("<QII", reply.raw[:16])
    assert event == 4 and fresh != handle      # RDMA_CM_EVENT_CONNECT_REQUEST
    os.close(old)
    assert command(new, REJECT, body_of(REJECT, fresh)) == 0
    assert command(new, DESTROY_ID, body_of(DESTROY_ID, fresh)) == 0


def check_fork():
    """A child has its parent's channel; neither takes it from the other."""
    fd = channel()
    handle = create(fd)
    child = os.fork()
    if child == 0:
        error = command(fd, LISTEN, struct.pack("<II", handle, 0))
        os._exit(error)
    assert os.waitpid(child, 0)[1] == 0
    assert command(fd, LISTEN, struct.pack("<II", handle, 0)) == errno.EINVAL  # it listens


def check_random():
    chance = random.Random(int(sys.argv[3]))
    fds = [channel(os.O_NONBLOCK) for _ in range(3)]
    handles = [create(fds[0]) for _ in range(20)]
    for _ in range(6000):
        number = chance.choice([*COMMANDS, CREATE_ID, GET_EVENT, MIGRATE_ID])
        body = bytearray(chance.randbytes(chance.choice([8, 16, 24, 48, 64, 160, 288, 296, 500])))
        body[:8] = struct.pack("<Q", chance.choice([REPLY, NOWHERE]))
        if number in COMMANDS and chance.random() < 0.8:
            body = bytearray(body_of(number, chance.choice(handles)))
            for _ in range(chance.randrange(4)):
                body[chance.randrange(8 if number != LISTEN else 4, len(body)) if len(body) > 8 else 0] = chance.randrange(256)
        if number == CREATE_ID:
            body[16:18] = struct.pack("<H", chance.choice([PS_TCP, PS_UDP, 0x13F]))
        if number == MIGRATE_ID:
            body = struct.pack("<QII", REPLY, chance.choice(handles), chance.choice([*fds, 0, 999]))
        error = command(chance.choice(fds), number, bytes(body))
        assert error in (0, errno.EINVAL, errno.ENOENT, errno.EFAULT, errno.EAGAIN, errno.ENOSPC, errno.ENOSYS, errno.ENOMEM,
                         errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENODEV), (number, errno.errorcode.get(error))


globals()[f"check_{sys.argv[2]}"]()
print("ok")
