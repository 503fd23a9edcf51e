"""Remote buffers: another process's array, as something that can be sliced, sent and written to like an array."""

import ast
import json
import math

import numpy as np

from freeflow.rdma.errors import NotContiguous, OutOfRange, RdmaError, ReadOnly, WrongProtocol, WrongType

DESCRIPTION_BYTES_MAX = 2048
DIMENSIONS_MAX = 32


class RemoteBuffer:
    """Memory of a peer's, exposed by Connection.expose: address, rkey, dtype (numpy.dtype), shape (a tuple), writable.

    `remote[10:20]`, `remote[3]` and `remote[:]` are remote buffers, too: parts that lie side by side, along the first axis.
    `remote[10:20] = array` writes; `remote[[3, 1, 4]] = rows` writes rows to where the numbers say; `remote.read()` and
    `remote.read(into=array)` read. It can be pickled and sent to others, who bind it to their own connection with the same
    peer: Connection.bind.
    """

    __slots__ = ("address", "rkey", "dtype", "shape", "writable", "connection")

    def __init__(self, address, rkey, dtype, shape, writable, connection=None):
        self.address, self.rkey, self.dtype, self.shape = address, rkey, _dtype(dtype), tuple(shape)
        self.writable, self.connection = writable, connection

    @property
    def size(self):
        """Elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self):
        """Bytes."""
        return self.size * self.dtype.itemsize

    @property
    def row_bytes(self):
        """Bytes of one element of the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def __len__(self):
        if not self.shape:
            raise TypeError("a single element has no length")
        return self.shape[0]

    def __getitem__(self, key):
        if key is Ellipsis or key == ():
            return self
        if not self.shape:
            raise OutOfRange("a single element has no parts")
        if isinstance(key, slice):
            start, stop, step = key.indices(self.shape[0])
            if step != 1:
                raise NotContiguous("a remote buffer's parts lie side by side: the step must be 1")
            return self._part(start, (max(0, stop - start), *self.shape[1:]))
        try:
            index = key.__index__()
        except AttributeError:
            raise WrongType(f"a remote buffer is indexed along its first axis, by a number or a slice, not {key!r}") from None
        if not -self.shape[0] <= index < self.shape[0]:
            raise OutOfRange(f"{index} is not in a remote buffer of {self.shape[0]}")
        return self._part(index % self.shape[0], self.shape[1:])

    def __setitem__(self, key, value):
        if isinstance(key, (list, np.ndarray)):
            self._bound().write_rows(self, key, value)
        else:
            part = self[key]
            self._bound().write(part, part.prepared(value))

    def read(self, into=None, timeout=None):
        """What is there now, as a new NumPy array; into: an array of the same dtype and size. Blocking connections alone."""
        return self._bound().read(self, into, timeout=timeout)

    def prepared(self, value):
        """`value` as an array that may be written here: numbers and lists are converted, an array must have this dtype and as
        many elements, and lie side by side. Raises WrongType, OutOfRange, NotContiguous."""
        if isinstance(value, np.ndarray):
            if value.dtype != self.dtype:
                raise WrongType(f"the remote buffer is of {self.dtype}, the array of {value.dtype}")
        elif isinstance(value, (int, float, complex, np.generic, list, tuple)):
            value = np.ascontiguousarray(np.broadcast_to(np.asarray(value, self.dtype), self.shape))
        nbytes = memoryview(value).nbytes if not hasattr(value, "nbytes") else value.nbytes
        if nbytes != self.nbytes:
            raise OutOfRange(f"{nbytes} bytes do not fit into {self.nbytes} of the remote buffer")
        return value

    def row_numbers(self, rows):
        """Row numbers as an array of int64, each of them in the buffer. Raises OutOfRange, WrongType."""
        numbers = np.ascontiguousarray(rows)
        if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
            raise WrongType("row numbers are a list or an array of integers")
        if numbers.size and (int(numbers.min()) < 0 or not self.shape or int(numbers.max()) >= self.shape[0]):
            raise OutOfRange(f"row numbers go from 0 to {(self.shape or (1,))[0] - 1}")
        return numbers.astype(np.int64, copy=False)

    def must_be_writable(self):
        """Raises ReadOnly."""
        if not self.writable:
            raise ReadOnly("the remote buffer was exposed for reading alone")

    def word(self):
        """The address of an element that atomics work on: one of 8 bytes, at a multiple of 8. Raises WrongType."""
        if self.size != 1 or self.dtype.itemsize != 8 or self.address % 8:
            raise WrongType("atomics are for one element of 8 bytes, at a multiple of 8")
        self.must_be_writable()
        return self.address

    def _part(self, start, shape):
        return RemoteBuffer(self.address + start * self.row_bytes, self.rkey, self.dtype, shape, self.writable, self.connection)

    def _bound(self):
        if self.connection is None:
            raise RdmaError("a remote buffer that came from elsewhere needs a connection first: Connection.bind")
        return self.connection

    def __getstate__(self):
        dtype = repr(self.dtype.descr) if self.dtype.names else self.dtype.str
        return self.address, self.rkey, dtype, self.shape, self.writable

    def __setstate__(self, state):
        self.__init__(*state)

    def __reduce__(self):
        return RemoteBuffer, self.__getstate__()

    def __eq__(self, other):
        return isinstance(other, RemoteBuffer) and self.__getstate__() == other.__getstate__()

    __hash__ = None

    def __repr__(self):
        return f"<rdma.RemoteBuffer {self.dtype}{list(self.shape)} at {self.address:#x}>"

    def describe(self):
        """As bytes, for a peer; no pickle, so that reading it runs nothing."""
        return json.dumps(self.__getstate__()).encode()

    @classmethod
    def described(cls, text, connection=None):
        """From describe()'s bytes. Raises WrongProtocol."""
        try:
            if len(text) > DESCRIPTION_BYTES_MAX:
                raise ValueError("too long")
            address, rkey, dtype, shape, writable = json.loads(bytes(text))
            if not isinstance(dtype, str):
                raise ValueError("no dtype")
            dtype = _dtype(dtype)
            if dtype.hasobject or not isinstance(writable, bool) or len(shape) > DIMENSIONS_MAX:
                raise ValueError("odd values")
            numbers = [address, rkey, *shape]
            if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 64 for n in numbers) or rkey >> 32:
                raise ValueError("odd numbers")
            if math.prod(shape) * dtype.itemsize + address >= 1 << 64:
                raise ValueError("beyond the end of memory")
            return cls(address, rkey, dtype, shape, writable, connection)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            raise WrongProtocol(f"the peer sent no remote buffer: {error}") from None


def _dtype(text):
    """A numpy.dtype, or from what names one: of a structure, its fields (numpy's array-interface description)."""
    if isinstance(text, str) and text.startswith("["):
        return np.lib.format.descr_to_dtype(ast.literal_eval(text))
    return np.dtype(text)
