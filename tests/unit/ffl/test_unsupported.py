"""Verbs that do not exist yet: the answer's form is the verb's own, and one line says which verb it was."""

import ctypes
import errno
import subprocess
import sys

import pytest

from .test_exports import VERBS, table

REFUSED = errno.EOPNOTSUPP
# The words of abi.def -> the ctype that the verbs of this kind return, the answer, and what errno is afterwards.
ANSWERS = {
    "null": (ctypes.c_void_p, None, REFUSED),
    "code": (ctypes.c_int, REFUSED, REFUSED),
    "minus": (ctypes.c_int, -1, REFUSED),
    "negative": (ctypes.c_ssize_t, -REFUSED, REFUSED),
    "nothing": (ctypes.c_ssize_t, 0, 0),
}
# What has a default version can be looked up by name alone.
UNSUPPORTED = [(name, how) for name, how, versions in table() if how in ANSWERS and any(d for _, d in versions)]


@pytest.fixture(scope="module")
def library():
    return ctypes.CDLL(str(VERBS), use_errno=True)


def test_each_answers_in_its_kind(library):
    for name, how in UNSUPPORTED:
        restype, answer, code = ANSWERS[how]
        verb = library[name]  # a function object of our own: no argtypes or restype stay behind
        verb.restype = restype
        ctypes.set_errno(0)
        assert (verb(None, None, None), ctypes.get_errno()) == (answer, code), name


def test_log_names_the_verb():
    name, how = next((name, how) for name, how in UNSUPPORTED if how == "code")
    call = f"import ctypes; ctypes.CDLL({str(VERBS)!r})[{name!r}]()"
    assert stderr_of(call, "info") == f"freeflow: {name} is not supported\n"
    assert stderr_of(call, "warn") == ""


def test_log_spares_errno():
    """A program may have closed its stderr: the verb's errno is not the log's EBADF."""
    call = (f"import ctypes, os; os.close(2); library = ctypes.CDLL({str(VERBS)!r}, use_errno=True); "
            f"library.ibv_cmd_alloc_pd(); os._exit(ctypes.get_errno())")
    assert run(call, "debug").returncode == REFUSED


def stderr_of(call, level):
    done = run(call, level)
    assert done.returncode == 0
    return done.stderr


def run(call, level):
    return subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=30,
                          env={"FREEFLOW_LOG": level})
