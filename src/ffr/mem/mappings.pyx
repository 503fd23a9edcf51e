from libc.errno cimport errno
from libc.stdint cimport uint64_t, uintptr_t
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from ffr.state cimport FFR_MAPPINGS, FFR_NONE

import os


cdef extern from "ffr/mem/uffd.h" nogil:
    int ffr_uffd_guard(int fd, void *at, uint64_t length)

cdef extern from "ffr/mem/statx.h" nogil:
    int ffr_identify(int fd, uint32_t *major, uint32_t *minor, uint64_t *inode)

cdef extern from "ffr/reactor/loop.h" nogil:
    void ffr_eventfd_add(int fd)

cdef extern from "<sys/mman.h>" nogil:
    enum:
        MAP_NORESERVE
    int mprotect(void *at, size_t size, int protection)

cdef extern from "<sys/shm.h>" nogil:
    struct shmid_ds:
        size_t shm_segsz
    enum:
        IPC_STAT
    int shmctl(int id, int command, shmid_ds *found)
    void *shmat(int id, const void *at, int flags)
    int shmdt(const void *at)


# ---- the reactor's side ----

cdef uint32_t mapping_new(ffr_router *r, uint32_t session, const ffr_mapping *what, const ffr_mapped *where) noexcept nogil:
    """By the rule of object_new(): no container can take all of them from the others."""
    cdef uint32_t index = r.state.mapping_free, share = r.state.session[session].share
    if r.state.share[share].mappings >= FFR_MAPPINGS - r.state.table.mappings_used:
        return FFR_NONE
    if index != FFR_NONE:
        r.state.mapping_free = r.state.mapping[index].next
    else:
        index = r.state.mapping_fresh
        r.state.mapping_fresh += 1
    r.state.mapping[index] = what[0]
    r.state.mapping[index].session = session
    r.mapped[index] = where[0]
    r.state.table.mappings_used += 1
    r.state.share[share].mappings += 1
    r.state.session[session].mappings += 1
    return index


cdef void uncount(ffr_router *r, uint32_t index) noexcept nogil:
    cdef uint32_t session = r.state.mapping[index].session
    r.state.share[r.state.session[session].share].mappings -= 1
    r.state.session[session].mappings -= 1


cdef void set_free(ffr_router *r, uint32_t index) noexcept nogil:
    r.state.table.mappings_used -= 1
    r.state.mapping[index].next = r.state.mapping_free
    r.state.mapping_free = index


cdef void mapping_forget(ffr_router *r, uint32_t index) noexcept nogil:
    uncount(r, index)
    set_free(r, index)


cdef void mapping_drop(ffr_router *r, uint32_t index) noexcept nogil:
    uncount(r, index)
    r.state.mapping[index].next = r.unwanted
    r.unwanted = index
    ffr_eventfd_add(r.mapper)


cdef bint mapping_take_unwanted(ffr_router *r, ffr_mapped *where) noexcept nogil:
    cdef uint32_t index = r.unwanted
    if index == FFR_NONE:
        return False
    r.unwanted = r.state.mapping[index].next
    where[0] = r.mapped[index]
    set_free(r, index)
    return True


# ---- the control thread's ----

def identify(int fd):
    """(major, minor, inode) of an open file, O_PATH too. Asks no file system's server, so it never waits for one."""
    cdef uint32_t major, minor
    cdef uint64_t inode
    cdef int error = ffr_identify(fd, &major, &minor, &inode)
    if error:
        raise OSError(error, os.strerror(error))
    return major, minor, inode


def map_file(int fd, uint64_t offset, uint64_t length, uint64_t page, bint writable, int uffd=-1):
    """Maps whole pages (of `page` bytes) of a file around [offset, offset + length). Returns (address, size, bytes before
    `offset`). uffd: where it is to be registered, so that touching a hole of the file is a fault and fills nothing; -1: of no
    use here. Raises OSError."""
    cdef uint64_t skip = offset % page, size = (skip + length + page - 1) // page * page
    cdef void *at
    cdef int error = 0
    with nogil:
        at = mmap(NULL, size, PROT_READ | PROT_WRITE if writable else PROT_READ, MAP_SHARED | MAP_NORESERVE, fd,
                  <long>(offset - skip))
        if at == MAP_FAILED:
            error = errno
        elif uffd >= 0:
            error = ffr_uffd_guard(uffd, at, size)
            if error:
                munmap(at, size)
    if error:
        raise OSError(error, os.strerror(error))
    return <uintptr_t>at, size, skip


def attach(int shm_id, bint writable):
    """Maps all of a SysV segment; (address, size). The kernel lets no userfaultfd guard its holes. Raises OSError."""
    cdef shmid_ds found
    cdef void *at
    cdef int error = 0
    with nogil:
        at = shmat(shm_id, NULL, 0)
        if at == MAP_FAILED or shmctl(shm_id, IPC_STAT, &found):
            error = errno
        elif not writable and mprotect(at, found.shm_segsz, PROT_READ):
            error = errno
        if error and at != MAP_FAILED:
            shmdt(at)
    if error:
        raise OSError(error, os.strerror(error))
    return <uintptr_t>at, (found.shm_segsz + 4095) & ~<size_t>4095


def unmap(uintptr_t at, uint64_t size):
    """What map_file or attach returned."""
    with nogil:
        munmap(<void *>at, size)
