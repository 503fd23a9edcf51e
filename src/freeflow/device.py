"""What the device ff0 is, as FreeFlow's own library tells any program: asked through ctypes, so that nothing of it is
said in two places.
"""

import ctypes
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from freeflow.errors import FreeFlowError

GID_TYPES = {0: "IB/RoCE v1", 1: "IB/RoCE v1", 2: "RoCE v2"}  # enum ibv_gid_type, in the kernel's words
GIDS_MAX = 256


class _DeviceAttr(ctypes.Structure):
    """The beginning of struct ibv_device_attr; the rest is room."""

    _fields_ = [("fw_ver", ctypes.c_char * 64), ("node_guid", ctypes.c_uint8 * 8), ("sys_image_guid", ctypes.c_uint8 * 8),
                ("max_mr_size", ctypes.c_uint64), ("page_size_cap", ctypes.c_uint64), ("vendor_id", ctypes.c_uint32),
                ("vendor_part_id", ctypes.c_uint32), ("hw_ver", ctypes.c_uint32), ("rest", ctypes.c_uint8 * 512)]


class _PortAttr(ctypes.Structure):
    """struct ibv_port_attr, as the exported ibv_query_port writes it."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("state", "max_mtu", "active_mtu", "gid_tbl_len", "port_cap_flags",
                                                     "max_msg_sz", "bad_pkey_cntr", "qkey_viol_cntr")]
    _fields_ += [(name, ctypes.c_uint16) for name in ("pkey_tbl_len", "lid", "sm_lid")]
    _fields_ += [(name, ctypes.c_uint8) for name in ("lmc", "max_vl_num", "sm_sl", "subnet_timeout", "init_type_reply",
                                                     "active_width", "active_speed", "phys_state", "link_layer", "flags")]
    _fields_ += [("port_cap_flags2", ctypes.c_uint16), ("rest", ctypes.c_uint8 * 64)]


class _GidEntry(ctypes.Structure):
    _fields_ = [("gid", ctypes.c_uint8 * 16), ("gid_index", ctypes.c_uint32), ("port_num", ctypes.c_uint32),
                ("gid_type", ctypes.c_uint32), ("ndev_ifindex", ctypes.c_uint32)]


@dataclass(frozen=True)
class Gid:
    """An entry of the GID table that is in use."""

    raw: bytes
    type: str
    interface: str  # which has the address; "" when none has


@dataclass(frozen=True)
class Device:
    """ff0 and its one port."""

    name: str
    uverbs: str
    firmware: str
    guid: bytes
    vendor_id: int
    vendor_part_id: int
    hw_ver: int
    port: dict  # struct ibv_port_attr's names
    gids: dict  # index -> Gid


class _Library:
    """FreeFlow's libibverbs, in this process. Its session lasts until the process ends or becomes another program."""

    def __init__(self, path):
        self.verbs = ctypes.CDLL(str(path), use_errno=True)
        for name in ("ibv_get_device_list", "ibv_open_device"):
            getattr(self.verbs, name).restype = ctypes.c_void_p
        self.verbs.ibv_get_device_name.restype = ctypes.c_char_p
        # The versioned default of ibv_query_port; _ibv_query_gid_table is what verbs.h's inline function calls.
        self.verbs._ibv_query_gid_table.restype = ctypes.c_ssize_t

    def open(self):
        count = ctypes.c_int()
        listed = self.verbs.ibv_get_device_list(ctypes.byref(count))
        if not listed or not count.value:
            raise FreeFlowError(f"no device: {os.strerror(ctypes.get_errno())}")
        device = ctypes.cast(listed, ctypes.POINTER(ctypes.c_void_p))[0]
        context = self.verbs.ibv_open_device(ctypes.c_void_p(device))
        if not context:
            raise FreeFlowError(f"the device does not open: {os.strerror(ctypes.get_errno())}")
        return self.verbs.ibv_get_device_name(ctypes.c_void_p(device)).decode(), ctypes.c_void_p(context)

    def device(self, context):
        attr = _DeviceAttr()
        _must(self.verbs.ibv_query_device(context, ctypes.byref(attr)))
        return attr

    def port(self, context):
        attr = _PortAttr()
        _must(self.verbs.ibv_query_port(context, ctypes.c_uint8(1), ctypes.byref(attr)))
        return {name: getattr(attr, name) for name, _ in attr._fields_ if name != "rest"}

    def gids(self, context):
        entries = (_GidEntry * GIDS_MAX)()
        count = self.verbs._ibv_query_gid_table(context, entries, ctypes.c_size_t(GIDS_MAX), ctypes.c_uint32(0),
                                                ctypes.c_size_t(ctypes.sizeof(_GidEntry)))
        _must(-min(count, 0))
        return {entry.gid_index: Gid(bytes(entry.gid), GID_TYPES[entry.gid_type], _interface(entry.ndev_ifindex))
                for entry in entries[:count]}


def describe(library):
    """The Device that a program would find here, through the library at that path, with this process's environment.
    Raises FreeFlowError. Not for processes that go on to do other things: the session stays."""
    if not Path(library).exists():
        raise FreeFlowError(f"{library} is missing")
    asked = _Library(library)
    name, context = asked.open()
    attr = asked.device(context)
    return Device(name, "uverbs0", attr.fw_ver.decode(), bytes(attr.node_guid), attr.vendor_id, attr.vendor_part_id,
                  attr.hw_ver, asked.port(context), asked.gids(context))


def _must(error):
    if error:
        raise FreeFlowError(f"the device does not answer: {os.strerror(error)}")


def _interface(index):
    try:
        return socket.if_indextoname(index) if index else ""
    except OSError:  # gone meanwhile
        return ""
