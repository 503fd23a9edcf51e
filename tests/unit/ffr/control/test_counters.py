"""The counters' shared memory: made, read by others, swept up."""

import os
import uuid

import numpy
import pytest

from ffcore import stats as layout
from ffr.control.counters import SHM, Counters, sweep
from freeflow.errors import FreeFlowError
from freeflow.stats import Counters as Reader
from freeflow.stats import as_dict


@pytest.fixture
def name():
    name = f"/freeflow-test{uuid.uuid4().hex}-1"
    yield name
    (SHM / name[1:]).unlink(missing_ok=True)


def test_what_the_router_writes_a_reader_reads(name):
    counters = Counters(name)
    counters.segment.count_refused()
    reader = Reader(name)
    assert reader.header["sessions_refused"] == 1 and reader.header["router_pid"] == os.getpid()
    counters.segment.count_refused()
    assert reader.header["sessions_refused"] == 2  # live
    assert counters.segment.counters()["sessions_refused"] == 2
    assert len(reader.sessions()) == 0 == len(reader.qps())
    writer = numpy.memmap(SHM / name[1:], layout.session_dtype(), "r+", int(reader.header["sessions_offset"]), 3)
    writer[2]["in_use"], writer[2]["tx_bytes"], writer[2]["container"] = 1, 1 << 40, "straße".encode()
    row, = reader.sessions()
    assert as_dict(row)["container"] == "straße" and as_dict(row)["tx_bytes"] == 1 << 40
    counters.close()
    assert not (SHM / name[1:]).exists()


def test_the_file_is_its_owners_and_groups_whatever_the_umask(name):
    umask = os.umask(0o077)
    try:
        counters = Counters(name)
    finally:
        os.umask(umask)
    assert (SHM / name[1:]).stat().st_mode & 0o777 == 0o640
    counters.close()


def test_only_dead_routers_counters_are_swept(name):
    counters = Counters(name)
    assert name not in sweep() and (SHM / name[1:]).exists()
    os.close(counters.fd)
    del counters  # the descriptor's lock is what counts, not the mapping
    assert name in sweep() and not (SHM / name[1:]).exists()


def test_a_dead_router_of_the_same_pid_is_no_obstacle(name):
    os.close(Counters(name).fd)
    again = Counters(name)
    assert Reader(name).header["magic"] == layout.MAGIC
    again.close()


@pytest.mark.parametrize("content", [b"", bytes(100), bytes(layout.SIZE), b"\xff" * layout.SIZE])
def test_a_reader_refuses_what_is_no_routers(name, content):
    (SHM / name[1:]).write_bytes(content)
    with pytest.raises(FreeFlowError, match="version"):
        Reader(name)


def test_a_reader_says_so_when_there_is_nothing(name):
    with pytest.raises(FreeFlowError, match="no counters"):
        Reader(name)


def test_the_dtypes_are_the_structs():
    assert layout.session_dtype().names[0] == "in_use" and layout.session_dtype()["container"] == "S48"
    assert layout.SIZE >= (layout.header_dtype().itemsize + layout.MAX_SESSIONS * layout.session_dtype().itemsize
                           + layout.MAX_QPS * layout.qp_dtype().itemsize)
