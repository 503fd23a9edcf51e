"""What a router's directory holds for containers: copies of the libraries, since a checkout, or somebody's environment, may
lie where containers cannot read.
"""

import os
import shutil

from freeflow.errors import FreeFlowError
from freeflow.launch import BUILT, FILES_LIBRARY, SOCKET_LIBRARY, VERBS_LIBRARY, VERBS_LINK

# What $LIB is for glibc's loader: Debian's, Red Hat's, and others' (ld.so(8), dynamic string tokens).
LIB_NAMES = (f"lib/{os.uname().machine}-linux-gnu", "lib64", "lib")


def furnish(directory):
    """Makes the directory with the libraries in it; programs that have older ones loaded keep them. Raises FreeFlowError,
    OSError."""
    if not (BUILT / VERBS_LIBRARY).exists():
        raise FreeFlowError(f"{BUILT / VERBS_LIBRARY} is missing: run `make build`")
    directory.mkdir(parents=True, exist_ok=True)
    names = [name for name in (VERBS_LIBRARY, SOCKET_LIBRARY, FILES_LIBRARY) if (BUILT / name).exists()]
    for name in names:
        fresh = directory / f".{name}.{os.getpid()}"
        shutil.copyfile(BUILT / name, fresh)
        fresh.chmod(0o644)
        fresh.rename(directory / name)
    _link(directory / VERBS_LINK, VERBS_LIBRARY)
    for lib in LIB_NAMES:
        (directory / lib).mkdir(parents=True, exist_ok=True)
        for name in names:
            _link(directory / lib / name, "/".join([".."] * (lib.count("/") + 1) + [name]))


def _link(path, to):
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.symlink_to(to)
    fresh.rename(path)
