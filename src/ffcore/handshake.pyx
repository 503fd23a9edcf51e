"""The session socket's two messages (shm.h: ff_hello, ff_welcome), packed and unpacked for Python."""

from libc.string cimport memcpy, memset

from ffcore.control cimport (FF_WHY_CHANGED, FF_WHY_ERRNO, FF_WHY_FILE_SYSTEM, FF_WHY_LIMIT, FF_WHY_MANY, FF_WHY_PRIVATE,
                             FF_WHY_READ_ONLY, FF_WHY_SEALED, FF_WHY_SHORT, FF_WHY_SLOW, FF_WHY_UNSEEN)
from ffcore.shm cimport *

MAGIC = FF_MAGIC
LAYOUT_VERSION = FF_LAYOUT_VERSION
HELLO_SIZE = sizeof(ff_hello)
WELCOME_SIZE = sizeof(ff_welcome)
GID_TABLE = FF_GID_TABLE  # entries
# enum ff_why of control.h
WHY = {"ERRNO": FF_WHY_ERRNO, "FILE_SYSTEM": FF_WHY_FILE_SYSTEM, "PRIVATE": FF_WHY_PRIVATE, "READ_ONLY": FF_WHY_READ_ONLY,
       "SHORT": FF_WHY_SHORT, "SEALED": FF_WHY_SEALED, "UNSEEN": FF_WHY_UNSEEN, "CHANGED": FF_WHY_CHANGED,
       "MANY": FF_WHY_MANY, "LIMIT": FF_WHY_LIMIT, "SLOW": FF_WHY_SLOW}


def pack_hello(unsigned int layout_version=FF_LAYOUT_VERSION, unsigned int magic=FF_MAGIC):
    cdef ff_hello hello
    memset(&hello, 0, sizeof(hello))
    hello.magic = magic
    hello.layout_version = layout_version
    return (<char *>&hello)[:sizeof(hello)]


def parse_hello(bytes message):
    """(magic, layout version). Raises ValueError for a message of another size."""
    cdef ff_hello hello
    if len(message) != sizeof(hello):
        raise ValueError(f"{len(message)} bytes instead of {sizeof(hello)}")
    memcpy(&hello, <char *>message, sizeof(hello))
    return hello.magic, hello.layout_version


def pack_welcome(int status, unsigned int session=0, unsigned long long control_size=0,
                 unsigned long long memory_size=0, str reason="", bint userfaultfd=False):
    """status: 0 or an errno; reason: one line, cut to what the message holds; userfaultfd: a fourth descriptor follows."""
    cdef ff_welcome welcome
    cdef bytes text = reason.encode()[:FF_REASON - 1]
    memset(&welcome, 0, sizeof(welcome))
    welcome.magic = FF_MAGIC
    welcome.layout_version = FF_LAYOUT_VERSION
    welcome.status = status
    welcome.session = session
    welcome.control_size = control_size
    welcome.memory_size = memory_size
    welcome.flags = FF_WELCOME_USERFAULTFD if userfaultfd else 0
    memcpy(welcome.reason, <char *>text, len(text))
    return (<char *>&welcome)[:sizeof(welcome)]


def parse_welcome(bytes message):
    """A dict of the message's fields. Raises ValueError when it is none of a router's."""
    cdef ff_welcome welcome
    if len(message) != sizeof(welcome):
        raise ValueError(f"{len(message)} bytes instead of {sizeof(welcome)}")
    memcpy(&welcome, <char *>message, sizeof(welcome))
    if welcome.magic != FF_MAGIC:
        raise ValueError("not a router's answer")
    reason = welcome.reason[:FF_REASON].split(b"\0", 1)[0].decode("utf-8", "replace")
    return {"layout_version": welcome.layout_version, "status": welcome.status, "session": welcome.session,
            "control_size": welcome.control_size, "memory_size": welcome.memory_size, "reason": reason,
            "userfaultfd": bool(welcome.flags & FF_WELCOME_USERFAULTFD)}
