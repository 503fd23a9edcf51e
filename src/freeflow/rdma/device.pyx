import ipaddress
import os

from libc.errno cimport errno
from libc.string cimport memcpy, memset

from freeflow.rdma.verbs cimport *
from freeflow.rdma.library cimport lib, open_library

from freeflow.rdma.errors import ForkedChild, NoDevice, RdmaError, of_errno


def device_names():
    """The names of the verbs devices here, a list of str; the empty list where there is none. Raises NoDevice without a
    verbs library."""
    cdef int n = 0, i
    open_library()
    cdef ibv_device **devices = lib.get_device_list(&n)
    if devices == NULL:
        return []
    try:
        return [lib.get_device_name(devices[i]).decode() for i in range(n)]
    finally:
        lib.free_device_list(devices)


cdef class Device:
    """A verbs device, opened once and shared by what is made on it. Closed when the last of those is gone.

    name: as `ibv_devices` prints it; None is the first whose port is up. port: its number, from 1 on.
    Raises NoDevice, RdmaError.
    """

    def __cinit__(self, name=None, int port=1):
        self.owner_pid = os.getpid()
        self.port = port
        self.cache = {}
        open_library()
        self._open(name)
        if lib.query_device(self.context, &self.attr):
            raise of_errno(errno, f"asking {self.name} what it can do")
        self.pd = lib.alloc_pd(self.context)
        if self.pd == NULL:
            raise of_errno(errno, f"making a protection domain on {self.name}")

    cdef int _open(self, name) except -1:
        cdef int n = 0, i
        cdef ibv_device **devices = lib.get_device_list(&n)
        if devices == NULL or n == 0:
            raise NoDevice("there is no verbs device here: run the program under `freeflow run`, or see `freeflow doctor`")
        try:
            found = [lib.get_device_name(devices[i]).decode() for i in range(n)]
            if name is not None and name not in found:
                raise NoDevice(f"no device {name} here; there are: {', '.join(found)}")
            for i in range(n):
                if (name is None or name == found[i]) and self._try(devices[i], found[i]):
                    return 0
        finally:
            lib.free_device_list(devices)
        raise NoDevice(f"port {self.port} of {name or ' and of '.join(found)} is not up")

    cdef int _try(self, ibv_device *device, str name) except -1:
        cdef ibv_context *context = lib.open_device(device)
        if context == NULL:
            raise of_errno(errno, f"opening {name}")
        memset(&self.port_attr, 0, sizeof(self.port_attr))
        if lib.query_port(context, self.port, &self.port_attr) or self.port_attr.state != IBV_PORT_ACTIVE:
            lib.close_device(context)
            return False
        self.context, self.name = context, name
        return True

    def __dealloc__(self):
        if self.owner_pid != os.getpid():
            return                           # its parent's
        if self.pd != NULL:
            lib.dealloc_pd(self.pd)
        if self.context != NULL:
            lib.close_device(self.context)

    cdef int alive(self) except -1:
        if self.owner_pid != os.getpid():
            raise ForkedChild("made before a fork: a child opens the device and connects by itself")
        return 0

    def check(self):
        """Raises ForkedChild in a process that did not open it."""
        self.alive()

    cdef ibv_mr *register_range(self, void *at, size_t length, int access) except NULL:
        cdef ibv_mr *mr
        self.alive()
        with nogil:
            mr = lib.reg_mr(self.pd, at, length, access)
        if mr == NULL:
            raise of_errno(errno, f"registering {length} bytes")
        return mr

    @property
    def mtu(self):
        """Bytes that a packet of this port carries at most."""
        return 128 << self.port_attr.active_mtu

    @property
    def max_atomics(self):
        """READs and atomics that may be under way on one connection."""
        return max(1, min(self.attr.max_qp_rd_atom, self.attr.max_qp_init_rd_atom, 16))

    @property
    def has_atomics(self):
        """Whether fetch_add and compare_swap work."""
        return self.attr.atomic_cap != IBV_ATOMIC_NONE

    @property
    def is_ethernet(self):
        """Whether peers are named by IP addresses (RoCE), not by a LID."""
        return self.port_attr.link_layer == IBV_LINK_LAYER_ETHERNET

    @property
    def lid(self):
        """The port's LID (InfiniBand); 0 of others."""
        return self.port_attr.lid

    def gid_for(self, address=None):
        """(index, 16 bytes) of the GID to speak from: the one of that IP address (as text) where the port has it, else the
        first RoCE v2 one, else the first. Raises RdmaError when the port has none."""
        wanted = _gid_of(address) if address else None
        best = None
        for index, gid, is_v2 in self._gids():
            rank = (gid == wanted, is_v2)
            if best is None or rank > best[0]:
                best = rank, index, gid
        if best is None:
            raise RdmaError(f"port {self.port} of {self.name} has no address yet")
        return best[1:]

    def _gids(self):
        cdef ibv_gid_entry entry
        cdef int i
        for i in range(self.port_attr.gid_tbl_len):
            memset(&entry, 0, sizeof(entry))
            if lib.query_gid_ex(self.context, self.port, i, &entry, 0, sizeof(entry)):
                continue                     # an unused place of the table
            gid = bytes(entry.gid.raw[:16])
            if any(gid):
                yield i, gid, entry.gid_type == IBV_GID_TYPE_ROCE_V2

    def __repr__(self):
        return f"<rdma.Device {self.name} port {self.port}>"


def _gid_of(address):
    address = ipaddress.ip_address(address.partition("%")[0])
    return address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed


def address_of_gid(gid):
    """A GID (16 bytes) as people write it: an IPv4 address where it is one, else an IPv6 address."""
    address = ipaddress.IPv6Address(gid)
    return str(address.ipv4_mapped or address)


cdef object the_default = None


def default_device():
    """The Device that is used where none is named: the first whose port is up, opened once per process."""
    global the_default
    if the_default is None or (<Device>the_default).owner_pid != os.getpid():
        the_default = Device()
    return the_default
