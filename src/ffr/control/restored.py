"""Containers that an engine's hook has told of (freeflow/hook.py), known again after the router was restarted, or when it was
not there while they were made.

The hook leaves its request in a folder of root's alone (RouterPaths.containers). A request holds while its process lives and
has the network namespace that it had; others are removed.
"""

import json
import logging
import os
import stat

from ffr.errors import Refused

log = logging.getLogger(__name__)

RECORDS_MAX = 4096  # four times the containers that a router knows, for pods have several
RECORD_BYTES_MAX = 64 << 10


def restore(directory, add, files):
    """add(**fields), files(name, pid): the control socket's container.add and container.files. Nothing here fails a start."""
    try:
        if not _is_ours(directory):
            return
        paths = sorted(directory.glob("*.json"))[:RECORDS_MAX]
    except OSError:  # no hook has ever run here
        return
    for path in paths:
        try:
            with open(path, "rb") as file:
                record = json.loads(file.read(RECORD_BYTES_MAX))
            if _lives(record):
                add(**record["fields"])
                files(record["fields"]["name"], record["pid"])
            else:
                path.unlink()
        except (OSError, ValueError, KeyError, TypeError, Refused) as error:
            log.warning("%s: not known again: %s", path, getattr(error, "reason", error))


def _is_ours(directory):
    """Its requests are believed, so nobody else may write them."""
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _lives(record):
    """The same process, not another of its number: its network namespace is the container's own, and as it was."""
    try:
        return os.stat(f"/proc/{record['pid']}/ns/net").st_ino == record["netns_inode"]
    except FileNotFoundError:
        return False
