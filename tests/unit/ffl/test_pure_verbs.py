"""The verbs that need no device answer what Debian's libibverbs answers: names, rates, translations, sysfs."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_exports import VERBS

INT_MAX = 2**31 - 1
EVERY_RATE_MBPS = [2500, 5000, 10000, 14062, 20000, 25781, 28125, 30000, 40000, 53125, 56250, 60000, 80000, 103125,
                   112500, 120000, 168750, 206250, 309375, 425000, 637500, 850000, 1275000]


@pytest.fixture(scope="module")
def ours():
    return ctypes.CDLL(str(VERBS), use_errno=True)


@pytest.fixture(scope="module")
def theirs():
    found = sorted(Path("/usr/lib").glob("*-linux-gnu/libibverbs.so.1"))
    assert found, "apt-get install libibverbs1 (make build does)"
    return ctypes.CDLL(str(found[0]), use_errno=True)  # by path: the same SONAME does not make it the same library


@pytest.mark.parametrize("verb, last", [("ibv_wc_status_str", 23), ("ibv_event_type_str", 19),
                                        ("ibv_node_type_str", 7), ("ibv_port_state_str", 5)])
def test_names(ours, theirs, verb, last):
    for value in [*range(-1, last + 1), INT_MAX]:
        assert name(ours, verb, value) == name(theirs, verb, value), value


def name(library, verb, value):
    function = library[verb]
    function.restype = ctypes.c_char_p
    return function(value)


@pytest.mark.parametrize("verb, values", [
    ("ibv_rate_to_mult", range(-1, 40)),
    ("ibv_rate_to_mbps", range(-1, 40)),
    ("mult_to_ibv_rate", range(-1, 600)),
    ("mbps_to_ibv_rate", [-1, 0, 1, INT_MAX, *EVERY_RATE_MBPS, *(rate + 1 for rate in EVERY_RATE_MBPS)]),
])
def test_rates(ours, theirs, verb, values):
    for value in values:
        assert ours[verb](value) == theirs[verb](value), value


@pytest.mark.parametrize("verb, size", [
    ("ibv_copy_ah_attr_from_kern", 32),
    ("ibv_copy_qp_attr_from_kern", 144),
    ("ibv_copy_path_rec_from_kern", 72),
    ("ibv_copy_path_rec_to_kern", 72),
])
def test_translations(ours, theirs, rng, verb, size):
    for _ in range(20):
        source, room = rng.randbytes(256), rng.randbytes(256)
        results = []
        for library in (ours, theirs):
            target = ctypes.create_string_buffer(room, 256)
            library[verb](target, ctypes.create_string_buffer(source, 256))
            results.append(target.raw)
        assert results[0] == results[1]
        assert results[0] != room and results[0][size:] == room[size:]


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "abi_version").write_text("4\n")
    (tmp_path / "bare").write_text("no newline")
    (tmp_path / "empty").write_text("")
    (tmp_path / "lines").write_text("a\nb\n\n")
    return tmp_path


@pytest.mark.parametrize("file", ["abi_version", "bare", "empty", "lines", "missing"])
@pytest.mark.parametrize("size", [1, 2, 9, 10, 11, 64])
def test_sysfs_files(ours, theirs, tree, file, size):
    assert read(ours, tree, file, size) == read(theirs, tree, file, size)


def read(library, folder, file, size):
    buffer = ctypes.create_string_buffer(b"\xaa" * 64, 64)
    length = library.ibv_read_sysfs_file(bytes(folder), file.encode(), buffer, ctypes.c_size_t(size))
    assert buffer.raw[size:] == b"\xaa" * (64 - size)
    return length, buffer.value if length > 0 else None


@pytest.mark.parametrize("chosen, answer", [(None, b"/sys"), ("/fake/sys//", b"/fake/sys"), ("/fake", b"/fake")])
def test_sysfs_path(chosen, answer):
    assert in_child("ibv_get_sysfs_path", {"SYSFS_PATH": chosen} if chosen else {}) == answer


def in_child(verb, variables):
    """The string that the verb returns in a process with these environment variables."""
    program = (f"import ctypes; verb = ctypes.CDLL({str(VERBS)!r})[{verb!r}]; verb.restype = ctypes.c_char_p; "
               "print(verb().decode(), end='')")
    env = {k: v for k, v in os.environ.items() if k != "SYSFS_PATH"} | variables
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True, timeout=30).stdout
