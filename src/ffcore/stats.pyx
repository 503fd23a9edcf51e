"""The counters' shared memory: its layout, its NumPy dtypes, and the words of it that are not the reactor's.

The dtypes come from the structs that Cython compiles (stats.pxd names them, stats.h declares them), and what Cython
believes is checked against the C compiler's offsets when they are made. NumPy is imported only then: the router
itself does without it.
"""

from libc.stddef cimport size_t
from libc.string cimport memset

from ffcore.shm cimport ff_a32, ff_store32_release
from ffcore.stats cimport *

MAGIC = FF_STATS_MAGIC
VERSION = FF_STATS_VERSION
MAX_SESSIONS, MAX_QPS = FF_STATS_SESSIONS, FF_STATS_QPS  # rows
NAME_BYTES_MAX = FF_STATS_NAME - 1  # UTF-8, without the NUL

cdef enum:
    SESSIONS_OFFSET = sizeof(ff_stats_header)
    QPS_OFFSET = SESSIONS_OFFSET + FF_STATS_SESSIONS * sizeof(ff_session_stats)

SIZE = QPS_OFFSET + FF_STATS_QPS * sizeof(ff_qp_stats)  # bytes


cdef class Segment:
    """A writable mapping of the counters, for the router's Python side. It counts what the reactor never sees."""

    cdef object owner  # keeps the mapping alive
    cdef ff_stats_header *header

    def __init__(self, mapping):
        """`mapping`: a writable buffer of SIZE bytes."""
        cdef unsigned char[::1] view = mapping
        if view.shape[0] < SIZE:
            raise ValueError(f"{view.shape[0]} bytes of counters instead of {SIZE}")
        self.owner = mapping
        self.header = <ff_stats_header *>&view[0]

    def initialise(self, unsigned int router_pid, unsigned int ncpu, unsigned long long start_ns):
        """Fills in the constants. The magic comes last: a reader that sees it sees the rest."""
        memset(self.header, 0, sizeof(ff_stats_header))
        self.header.version = FF_STATS_VERSION
        self.header.router_pid = router_pid
        self.header.ncpu = ncpu
        self.header.start_ns = start_ns
        self.header.sessions_offset = SESSIONS_OFFSET
        self.header.qps_offset = QPS_OFFSET
        ff_store32_release(<ff_a32 *>&self.header.magic, FF_STATS_MAGIC)

    def count_refused(self):
        """One more session refused. Only admission writes this word."""
        self.header.sessions_refused += 1

    def session(self, unsigned int number):
        """A session's row, as a dict: also of one that has ended, until its number is given out again."""
        cdef ff_session_stats *rows = <ff_session_stats *>(<unsigned char *>self.header + SESSIONS_OFFSET)
        cdef dict row
        if number >= FF_STATS_SESSIONS:
            raise ValueError(f"session {number}")
        row = rows[number]
        del row["reserved"]
        return row

    def counters(self):
        """The header's words, as a dict."""
        cdef dict words = self.header[0]
        del words["reserved"], words["pad"]
        return words


def header_dtype():
    cdef ff_stats_header row
    cdef ff_stats_header[::1] checked = _array(<ff_stats_header[:1]>&row)
    return checked.base.dtype


def session_dtype():
    cdef ff_session_stats row
    cdef ff_session_stats[::1] checked = _array(<ff_session_stats[:1]>&row)
    return checked.base.dtype


def qp_dtype():
    cdef ff_qp_stats row
    cdef ff_qp_stats[::1] checked = _array(<ff_qp_stats[:1]>&row)
    return checked.base.dtype


cdef _array(view):
    """An array of the view's own type. Taking a typed memoryview of it compares every offset with the C compiler's."""
    import numpy
    given = numpy.asarray(view).dtype
    return numpy.zeros(1, [(name, _text_or(given[name])) for name in given.names])


cdef _text_or(field):
    """char[n] as n bytes of text, everything else as it is."""
    return f"S{field.itemsize}" if field.base == "S1" else field
