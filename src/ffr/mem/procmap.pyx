"""What a process has mapped where: PROCMAP_QUERY on its /proc/PID/maps where the kernel has it, else the text."""

import os

from libc.errno cimport EINTR, ENOENT, ENOTTY, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset


cdef extern from "ffcore/procmap.h" nogil:
    ctypedef struct ff_procmap "struct ff_procmap":
        uint64_t size
        uint64_t query_flags
        uint64_t query_addr
        uint64_t start
        uint64_t end
        uint64_t flags
        uint64_t offset
        uint64_t inode
        uint32_t major
        uint32_t minor
    enum:
        FF_PROCMAP_QUERY
        FF_REGION_WRITE
        FF_REGION_SHARED

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, ...)

TEXT_MAX = 32 << 20  # bytes: 65 530 mappings with paths of 400


def find(int maps, uint64_t addr):
    """The mapping that holds addr: (start, end, writable, shared, offset in its file, major, minor, inode), or None. maps: an
    open /proc/PID/maps. Raises OSError."""
    cdef ff_procmap q
    cdef int error = EINTR
    while error == EINTR:
        memset(&q, 0, sizeof(q))
        q.size = sizeof(q)
        q.query_addr = addr
        with nogil:
            error = errno if ioctl(maps, FF_PROCMAP_QUERY, &q) else 0
    if error == ENOENT:
        return None
    if error == ENOTTY:
        return _search(maps, addr)
    if error:
        raise OSError(error, os.strerror(error))
    return (q.start, q.end, bool(q.flags & FF_REGION_WRITE), bool(q.flags & FF_REGION_SHARED), q.offset, q.major, q.minor,
            q.inode)


def name(int maps, uint64_t addr):
    """What the text calls the mapping that holds addr, bytes: a path, or nothing."""
    words = _line(maps, addr).split(None, 5)
    return words[5].rstrip() if len(words) > 5 else b""


def _search(maps, addr):
    line = _line(maps, addr)
    return parse(line) if line else None


def _line(maps, addr):
    text = b""
    at = 0
    while (part := os.pread(maps, 1 << 16, at)) and at < TEXT_MAX:
        at += len(part)
        *lines, text = (text + part).split(b"\n")
        for line in lines:
            found = parse(line)
            if found[0] <= addr < found[1]:
                return line
    return b""


def parse(line):
    """A line of the text, bytes; as find() has it."""
    places, flags, offset, device, inode = line.split(None, 5)[:5]
    start, end = (int(word, 16) for word in places.split(b"-"))
    major, minor = (int(word, 16) for word in device.split(b":"))
    return start, end, flags[1:2] == b"w", flags[3:4] == b"s", int(offset, 16), major, minor, int(inode)
