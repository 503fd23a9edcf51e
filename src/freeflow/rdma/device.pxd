"""An opened device: its context, one protection domain, and the port that is used."""

from libc.stdint cimport uint8_t, uint32_t

from freeflow.rdma.verbs cimport *


cdef class Device:
    cdef ibv_context *context
    cdef ibv_pd *pd
    cdef ibv_device_attr attr
    cdef ibv_port_attr port_attr
    cdef readonly str name
    cdef readonly uint8_t port
    cdef readonly int owner_pid
    cdef object cache                # memory.py's, by root object

    cdef int alive(self) except -1
    cdef int _open(self, name) except -1
    cdef int _try(self, ibv_device *device, str name) except -1
    cdef ibv_mr *register_range(self, void *at, size_t length, int access) except NULL
