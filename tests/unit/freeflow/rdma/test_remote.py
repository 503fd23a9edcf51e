"""Slices and dtypes of remote buffers, beside NumPy's; and what a peer may describe."""

import json
import pickle

import numpy as np
import pytest

from freeflow import rdma
from freeflow.rdma.remote import RemoteBuffer

DTYPES = ["u1", "<i2", "<f4", "<f8", "<c16", "S5", [("a", "<i4"), ("b", "<f8")]]


def remote_of(array, connection=None):
    return RemoteBuffer(array.ctypes.data, 7, array.dtype, array.shape, True, connection)


def test_parts_lie_where_numpys_do(rng):
    for _ in range(300):
        shape = tuple(rng.randint(0, 9) for _ in range(rng.randint(1, 4)))
        array = np.zeros(shape, rng.choice(DTYPES))
        remote = remote_of(array)
        while array.ndim and rng.random() < 0.8:
            if array.shape[0] and rng.random() < 0.4:
                key = rng.randrange(-array.shape[0], array.shape[0])
            else:
                key = slice(*(rng.choice([None, rng.randint(-12, 12)]) for _ in range(2)))
            array, remote = array[key, ...], remote[key]
            assert (remote.shape, remote.nbytes) == (array.shape, array.nbytes)
            if array.nbytes:
                assert remote.address == array.ctypes.data


@pytest.mark.parametrize("key, error", [(10, rdma.OutOfRange), (-11, rdma.OutOfRange), (slice(0, 5, 2), rdma.NotContiguous),
                                        (slice(5, 0, -1), rdma.NotContiguous), ("a", rdma.WrongType), (1.5, rdma.WrongType),
                                        ((1, 2), rdma.WrongType)])
def test_keys_that_are_no_part(key, error):
    with pytest.raises(error):
        remote_of(np.zeros(10))[key]


def test_an_element_has_no_parts():
    with pytest.raises(rdma.OutOfRange):
        remote_of(np.zeros(10))[3][0]


@pytest.mark.parametrize("value, error", [(np.zeros(10, "f4"), rdma.WrongType), (np.zeros(11), rdma.OutOfRange),
                                          (np.zeros(9), rdma.OutOfRange), (b"123", rdma.OutOfRange)])
def test_values_that_do_not_fit(value, error):
    with pytest.raises(error):
        remote_of(np.zeros(10)).prepared(value)


def test_numbers_and_lists_become_arrays():
    remote = remote_of(np.zeros((2, 3), "f4"))
    assert np.array_equal(remote.prepared(2.5), np.full((2, 3), 2.5, "f4"))
    assert np.array_equal(remote.prepared([1, 2, 3]), np.array([[1, 2, 3]] * 2, "f4"))
    assert remote.prepared([1, 2, 3]).dtype == "f4"


@pytest.mark.parametrize("rows, error", [([0, 10], rdma.OutOfRange), ([-1], rdma.OutOfRange), ([0.5], rdma.WrongType),
                                         ([[1]], rdma.WrongType), (["a"], rdma.WrongType)])
def test_row_numbers_that_are_none(rows, error):
    with pytest.raises(error):
        remote_of(np.zeros((10, 2))).row_numbers(rows)


def test_atomics_are_for_words():
    remote = remote_of(np.zeros(4, "u8"))
    assert remote[1].word() == remote.address + 8
    for wrong in (remote, remote_of(np.zeros(4, "u4"))[0],
                  RemoteBuffer(remote.address + 4, 7, "u8", (), True), RemoteBuffer(remote.address, 7, "u8", (), False)):
        with pytest.raises((rdma.WrongType, rdma.ReadOnly)):
            wrong.word()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_travels(dtype):
    remote = remote_of(np.zeros(3, dtype))
    assert RemoteBuffer.described(remote.describe()).dtype == pickle.loads(pickle.dumps(remote)).dtype == np.dtype(dtype)


def test_it_travels_without_its_connection():
    remote = remote_of(np.zeros((3, 4), "<i2"), connection=object())
    for copy in (pickle.loads(pickle.dumps(remote)), RemoteBuffer.described(remote.describe())):
        assert copy == remote and copy.connection is None
    with pytest.raises(rdma.RdmaError, match="bind"):
        copy[0] = 1


GOOD = [4096, 5, "<f8", [10], True]


@pytest.mark.parametrize("place, value", [(0, -1), (0, 1 << 64), (0, "4096"), (0, True), (1, 1 << 32), (1, None), (2, "O"),
                                          (2, "nonsense"), (2, None), (3, [1 << 62, 8]), (3, [-1]), (3, 5), (3, [1] * 40),
                                          (4, 1), (4, None)])
def test_a_peer_that_describes_nonsense(place, value):
    odd = list(GOOD)
    odd[place] = value
    with pytest.raises(rdma.WrongProtocol):
        RemoteBuffer.described(json.dumps(odd).encode())
    assert RemoteBuffer.described(json.dumps(GOOD).encode()).nbytes == 80


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"[1,2,3]", b"\xff\xff", b"[" * 5000, b"null"])
def test_a_peer_that_describes_nothing(text):
    with pytest.raises(rdma.WrongProtocol):
        RemoteBuffer.described(text)
