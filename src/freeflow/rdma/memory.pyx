import os
import weakref

import numpy as np

from cpython.buffer cimport PyBUF_ANY_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer

from freeflow.rdma.verbs cimport *
from freeflow.rdma.library cimport lib

from freeflow.rdma.errors import NotContiguous, ReadOnly, WrongType

WHOLE_BYTES = 64 << 20  # an object up to this long is registered as a whole when a part of it is used


cdef class Export:
    """A Py_buffer, held: while it is, the object neither frees nor moves its memory."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, buffer, int flags):
        PyObject_GetBuffer(buffer, &self.view, flags)
        self.held = True

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


cdef class Region:
    """Memory that the device may touch. Released with the object."""

    def __cinit__(self, Device device, uint64_t start, uint64_t length, bint writable, int access=0, owner=None):
        self.device, self.owner = device, owner
        self.start, self.length, self.writable = start, length, writable
        self.mr = device.register_range(<void *>start, length, access | (IBV_ACCESS_LOCAL_WRITE if writable else 0))

    def __dealloc__(self):
        self.release()

    cpdef release(self):
        """Now: whoever uses its keys afterwards gets an error."""
        cdef ibv_mr *mr = self.mr
        self.mr = NULL
        if mr != NULL and self.device.owner_pid == os.getpid():
            lib.dereg_mr(mr)

    @property
    def rkey(self):
        return 0 if self.mr == NULL else self.mr.rkey

    @property
    def address(self):
        return self.start

    @property
    def is_released(self):
        return self.mr == NULL


def remote_region(Device device, buffer, read=True, write=True, atomic=True):
    """A Region of the whole buffer that peers may use. Raises as span_of does."""
    cdef Span span = span_of(buffer, write or atomic)
    cdef int access = 0
    if read:
        access |= IBV_ACCESS_REMOTE_READ
    if write:
        access |= IBV_ACCESS_REMOTE_WRITE
    if atomic and device.has_atomics:
        access |= IBV_ACCESS_REMOTE_ATOMIC
    return Region(device, span.at, span.length, write or atomic, access, owner=span.buffer)


cdef object as_buffer(object thing):
    """Arrays that are no buffers, but say where they are: torch's tensors on the CPU, and others."""
    if PyObject_CheckBuffer(thing):
        return thing
    for protocol, view in (("__dlpack__", np.from_dlpack), ("__array_interface__", np.asarray)):
        if hasattr(thing, protocol):
            try:
                return view(thing)
            except (BufferError, TypeError, RuntimeError, ValueError) as error:
                raise WrongType(f"{type(thing).__name__} is not in memory that a NIC can reach here: {error}") from None
    raise WrongType(f"{type(thing).__name__} is not a buffer: give an array, a tensor on the CPU, bytes or a memoryview")


cdef Span span_of(object thing, bint writable):
    cdef Span span = Span.__new__(Span)
    cdef object buffer = as_buffer(thing)
    cdef Export export
    try:
        export = Export(buffer, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    except (BufferError, ValueError) as error:
        view = memoryview(buffer)
        if not view.c_contiguous:
            raise NotContiguous("the array's elements do not lie side by side: numpy.ascontiguousarray makes a copy "
                                "that does") from None
        raise ReadOnly(f"the {type(thing).__name__} is read-only, and this would write to it") from error
    span.at, span.length = <uint64_t>export.view.buf, export.view.len
    span.buffer, span.thing = export, thing
    return span


cdef object root_of(object thing):
    """The object whose memory it is: a view's owner."""
    while True:
        if isinstance(thing, memoryview) and thing.obj is not None:
            thing = thing.obj
        elif isinstance(thing, np.ndarray) and thing.base is not None:
            thing = thing.base
        else:
            return thing


cdef class Kept:
    """The regions of one living object; its end ends them."""

    cdef object reference
    cdef list regions

    cdef Region covering(self, uint64_t at, uint64_t length, bint writable):
        cdef Region region
        for region in self.regions:          # few: an object is registered whole, or in some pieces
            if region.start <= at and at + length <= region.start + region.length and (region.writable or not writable):
                return region
        return None


cdef object keep_for(Device device, object root):
    """The object's Kept, made when there is none; None where its end could not be noticed."""
    cdef Kept kept
    key = id(root)
    found = device.cache.get(key)
    if found is not None:
        return found
    cache = device.cache
    try:
        reference = weakref.ref(root, lambda _: cache.pop(key, None))
    except TypeError:                        # bytes, bytearray
        return None
    kept = Kept()
    kept.reference, kept.regions = reference, []
    cache[key] = kept
    return kept


cdef object region_for(Device device, object root, Span span, bint writable):
    """Registers the whole of a short object that can be written to; else what is needed of it."""
    cdef Export whole
    try:
        whole = Export(root, PyBUF_WRITABLE | PyBUF_ANY_CONTIGUOUS)
    except (BufferError, ValueError, TypeError):
        return Region(device, span.at, span.length, writable)
    if whole.view.len > <Py_ssize_t>WHOLE_BYTES or not (
            <uint64_t>whole.view.buf <= span.at and span.at + span.length <= <uint64_t>whole.view.buf + <uint64_t>whole.view.len):
        return Region(device, span.at, span.length, writable)
    return Region(device, <uint64_t>whole.view.buf, whole.view.len, True)


cdef int span_is_registered(Span span, Device device) except -1:
    cdef Kept kept
    cdef Region region
    found = device.cache.get(id(root_of(span.thing)))
    if found is None:
        return False
    kept = found
    region = kept.covering(span.at, span.length, False)
    return region is not None


cdef int span_register(Span span, Device device, bint writable) except -1:
    cdef Kept kept
    cdef Region region = None
    root = root_of(span.thing)
    found = keep_for(device, root)
    if found is not None:
        kept = found                         # its end ends what is registered
        region = kept.covering(span.at, span.length, writable)
        if region is None:
            region = region_for(device, root, span, writable)
            kept.regions.append(region)
    else:
        region = Region(device, span.at, span.length, writable)      # for this work alone
    span.region = region
    span.lkey = region.mr.lkey
    return 0


def allocate(shape, dtype=float, Device device=None):
    """A NumPy array of zeros whose memory is registered already. device: None registers at its first use."""
    array = np.zeros(shape, dtype)
    if device is not None and array.nbytes:
        span = span_of(array, True)
        span_register(span, device, True)
    return array


def cached_regions(Device device):
    """How many objects have memory registered on the device, for tests and for the curious."""
    return len(device.cache)
