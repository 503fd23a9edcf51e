"""Shared memory found through its process, and the thread that maps it for the reactor. The process is this one."""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ffcore.handshake import WHY
from ffr.control import mapper as mapping
from ffr.control import shared_memory
from ffr.control.shared_memory import NotShared
from ffr.mem import mappings, procmap

SIZE = 1 << 20


@pytest.fixture
def pidfd():
    fd = os.pidfd_open(os.getpid())
    yield fd
    os.close(fd)


@contextlib.contextmanager
def mapped(fd=-1, flags=mmap.MAP_SHARED, protection=mmap.PROT_READ | mmap.PROT_WRITE):
    """A mapping of this process, and its address."""
    with mmap.mmap(fd, SIZE, flags, protection) as memory:
        libc = ctypes.CDLL(None)
        libc.mmap.restype, libc.munmap.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_size_t)
        libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
        at = libc.mmap(None, SIZE, protection, flags, fd, 0)
        yield memory, at
        libc.munmap(at, SIZE)


@pytest.fixture
def memfd():
    fd = os.memfd_create("shared")
    os.ftruncate(fd, SIZE)
    yield fd
    os.close(fd)


def test_what_is_found_is_what_is_mapped(memfd, pidfd):
    with mapped(memfd) as (memory, at):
        found = shared_memory.find(os.getpid(), pidfd, at + 8192, 4096, True)
        assert (found.inode, found.offset, found.length, found.page) == (os.fstat(memfd).st_ino, 8192, 4096, mmap.PAGESIZE)
        here, size, skip = mappings.map_file(found.fd, found.offset, found.length, found.page, True)
        os.close(found.fd)
        memory[8192 : 8192 + 5] = b"hello"
        assert ctypes.string_at(here + skip, 5) == b"hello" and size == 4096
        mappings.unmap(here, size)


def test_what_is_refused_says_why(memfd, pidfd):
    def why(at, length=4096, writable=True, pid=os.getpid()):
        with pytest.raises(NotShared) as refused:
            shared_memory.find(pid, pidfd, at, length, writable)
        assert "\n" not in refused.value.reason
        return refused.value.why, refused.value.errno
    with mapped(memfd, protection=mmap.PROT_READ) as (_, at):
        assert why(at) == (WHY["READ_ONLY"], errno.EFAULT)
        os.ftruncate(memfd, 4096)
        assert why(at, 8192, False) == (WHY["SHORT"], errno.EFAULT)
    with mapped(flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as (_, at):
        assert why(at) == (WHY["PRIVATE"], errno.EOPNOTSUPP)
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        file.truncate(SIZE)
        with mapped(file.fileno()) as (_, at):
            assert why(at) == (WHY["FILE_SYSTEM"], errno.EOPNOTSUPP)
    assert why(4096) == (WHY["CHANGED"], errno.EFAULT)
    assert why(4096, pid=1 << 30) == (WHY["UNSEEN"], errno.EOPNOTSUPP)


def test_first_registrations_side_by_side_know_every_file_system(monkeypatch, memfd):
    """Each has a thread of its own, and the first of them all learns which devices are memory."""
    memory = mappings.identify(memfd)[:2]
    huge = os.memfd_create("huge", os.MFD_HUGETLB)
    huge_pages = mappings.identify(huge)[:2]
    os.close(huge)
    real = os.memfd_create

    def slow(*words):
        time.sleep(0.05)
        return real(*words)
    monkeypatch.setattr(os, "memfd_create", slow)
    monkeypatch.setattr(shared_memory, "_own", {})
    with ThreadPoolExecutor(8) as pool:
        asked = []
        for _ in range(8):
            asked.append(pool.submit(shared_memory._file_system_of_own, huge_pages))
            time.sleep(0.02)
        assert [one.result() for one in asked] == ["hugetlbfs"] * len(asked)
    assert shared_memory._file_system_of_own(memory) == "tmpfs"


def test_a_shortage_of_descriptors_is_not_remembered_as_the_answer(monkeypatch, memfd):
    def short(*words):
        raise OSError(errno.EMFILE, "too many")
    monkeypatch.setattr(shared_memory, "_own", {})
    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", short)
        with pytest.raises(OSError, match="too many"):
            shared_memory._file_system_of_own(mappings.identify(memfd)[:2])
    assert shared_memory._file_system_of_own(mappings.identify(memfd)[:2]) == "tmpfs"


def test_the_text_of_the_maps_says_what_the_query_says(memfd):
    with mapped(memfd) as (_, at), open("/proc/self/maps", "rb", 0) as maps:
        found = procmap.find(maps.fileno(), at + 5000)
        assert found and procmap._search(maps.fileno(), at + 5000) == found
        assert procmap._search(maps.fileno(), 4096) is None and procmap.find(maps.fileno(), 4096) is None
    line = b"7f00aa000000-7f00aa021000 r--s 00002000 fe:01 1234   /dev/shm/a b\n"
    assert procmap.parse(line) == (0x7F00AA000000, 0x7F00AA021000, False, True, 0x2000, 0xFE, 1, 1234)


def test_a_sealed_file_with_holes_is_refused(pidfd):
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, SIZE)
    fcntl.fcntl(fd, shared_memory.F_GET_SEALS - 1, shared_memory.F_SEAL_WRITE)
    with mapped(fd, protection=mmap.PROT_READ) as (_, at):
        with pytest.raises(NotShared, match="has holes"):
            shared_memory.find(os.getpid(), pidfd, at, 4096, False)
    os.close(fd)


def test_an_ordinary_users_router_takes_descriptors_and_sysv_segments(monkeypatch, memfd, pidfd):
    monkeypatch.setattr(shared_memory, "_open_path", lambda *range_: -1)
    with mapped(memfd) as (_, at):
        found = shared_memory.find(os.getpid(), pidfd, at + 4096, 4096, True)
        assert os.fstat(found.fd).st_ino == os.fstat(memfd).st_ino and found.offset == 4096
        os.close(found.fd)
    libc = ctypes.CDLL(None)
    libc.shmat.restype, libc.shmdt.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    number = libc.shmget(0, SIZE, 0o1600)
    at = libc.shmat(number, None, 0)
    libc.shmctl(number, 0, None)  # IPC_RMID: it goes with its last attachment
    with pytest.raises(NotShared, match="only root"):  # this router is root's, whom others' holes would be charged to
        shared_memory.find(os.getpid(), pidfd, at, 4096, True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = shared_memory.find(os.getpid(), pidfd, at + 8192, 4096, True)
    assert (found.fd, found.inode, found.offset) == (-1, number, 8192)
    *_, here, size, skip = mapping.Mapper._attach(None, found, True)
    ctypes.memmove(at + 8192, b"hello", 5)
    assert ctypes.string_at(here + skip, 5) == b"hello" and size == SIZE
    mappings.unmap(here, size)
    found.offset = SIZE
    with pytest.raises(NotShared, match="ends behind"):
        mapping.Mapper._attach(None, found, False)
    libc.shmdt(at)


class Reactor:
    """Wants one thing after the other; remembers its answers."""

    uffd = -1

    def __init__(self, *wants):
        self.mapper_fd = os.eventfd(1, os.EFD_NONBLOCK)
        self.wants, self.answers = list(wants), []

    def wanted(self):
        return ([self.wants.pop(0)], []) if self.wants else ([], [])

    def mapped(self, number, ticket, found=(), error=0, why=0):
        self.answers.append((number, ticket, error, why))
        return False


def answers(reactor, process_of, within_s=2.0):
    async def run():
        mapper = mapping.Mapper(asyncio.get_running_loop(), reactor, process_of)
        end = time.monotonic() + within_s
        while (reactor.wants or not reactor.answers) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        mapper.close()
    asyncio.run(run())
    os.close(reactor.mapper_fd)
    return reactor.answers


def test_a_process_that_keeps_the_mapper_waiting_waits_for_itself_alone(monkeypatch, memfd, pidfd):
    release = threading.Event()
    find = shared_memory.find

    def slow(pid, fd, at, length, writable):
        if pid == 1:
            release.wait(5)
        return find(os.getpid(), fd, at, length, writable)
    monkeypatch.setattr(shared_memory, "find", slow)
    monkeypatch.setattr(mapping, "WAIT_S", 0.2)
    with mapped(memfd) as (_, at):
        piece = [(0, at, 4096)]
        reactor = Reactor((7, 1, True, piece), (7, 2, True, piece), (8, 3, True, piece), (9, 4, True, piece))
        got = answers(reactor, {7: (1, pidfd), 8: (2, pidfd), 9: (3, -1)}.get)
        release.set()
    assert (7, 2, errno.EAGAIN, WHY["SLOW"]) in got  # a second one of the session that keeps a thread
    assert (7, 1, errno.EAGAIN, WHY["SLOW"]) in got  # the first, when it had waited long enough
    assert (8, 3, 0, 0) in got and (9, 4, errno.EOPNOTSUPP, WHY["UNSEEN"]) in got
