"""A router's counters, read from shared memory (ffcore/stats.h) without asking the router.

    counters = Counters.of_router()
    counters.header["wqes"]                      # a word, as it is now
    counters.sessions()[["container", "tx_bytes"]]  # a structured array, one row per live session

Words are read one by one while the router goes on counting: each is right, two of them may be a moment apart.
"""

import mmap
import os

import numpy
import posix_ipc

from ffcore import stats as layout
from freeflow.control import Control
from freeflow.errors import FreeFlowError


class Counters:
    """Read-only. `header` is live (a NumPy record); sessions() and qps() are copies."""

    def __init__(self, name):
        """`name`: as `status` on the control socket gives it. Raises FreeFlowError."""
        try:
            memory = posix_ipc.SharedMemory(name, read_only=True)
        except posix_ipc.ExistentialError:
            raise FreeFlowError(f"no counters {name}: has their router ended?") from None
        except (PermissionError, posix_ipc.PermissionsError):
            raise FreeFlowError(f"counters {name} are for root and its group") from None
        try:
            if memory.size < layout.SIZE:
                raise FreeFlowError(f"counters {name} are of another version of FreeFlow")
            self._mapping = mmap.mmap(memory.fd, memory.size, prot=mmap.PROT_READ)
        finally:
            os.close(memory.fd)
        self.name = name
        self.header = numpy.frombuffer(self._mapping, layout.header_dtype(), 1)[0]
        if (self.header["magic"], self.header["version"]) != (layout.MAGIC, layout.VERSION):
            raise FreeFlowError(f"counters {name} are of another version of FreeFlow, or not there yet")
        self._sessions = self._rows(layout.session_dtype(), "sessions_offset", layout.MAX_SESSIONS)
        self._qps = self._rows(layout.qp_dtype(), "qps_offset", layout.MAX_QPS)

    @classmethod
    def of_router(cls, directory=None, name=None):
        """Of the router of FREEFLOW_DIR and FFR_NAME unless told otherwise. Raises FreeFlowError."""
        with Control(directory, name) as router:
            return cls(router.call("status")["stats"])

    def sessions(self):
        """The live sessions: a structured array, shape (n,), fields as struct ff_session_stats."""
        return self._sessions[self._sessions["in_use"] != 0]

    def qps(self):
        """The live QPs: a structured array, shape (n,), fields as struct ff_qp_stats."""
        return self._qps[self._qps["qpn"] != 0]

    def _rows(self, dtype, offset_field, most):
        return numpy.frombuffer(self._mapping, dtype, most, int(self.header[offset_field]))


def as_dict(record):
    """A row as plain Python values, text decoded, without what is reserved."""
    values = {name: record[name].item() for name in record.dtype.names if name != "reserved"}
    return {name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for name, value in values.items()}
