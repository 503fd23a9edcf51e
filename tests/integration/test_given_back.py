"""Memory that a program gives back while it is registered reads as zeros, however FreeFlow's library was loaded."""

import pytest

from freeflow.launch import find_library
from programs import program

WAYS = ["auto", "off"]
JEMALLOC = "libjemalloc.so.2"


def environment(router, way, preload=True, **more):
    made = router.environment(FREEFLOW_USERFAULTFD=way, **more)
    if not preload:
        made.pop("LD_PRELOAD")
    return made


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("loaded", ["preload", "search path", "dlopen"])
def test_madvise(shared_router, loaded, way):
    """dlopen: by its path, so that nothing of it was there when the program started."""
    words = [find_library(shared_router.directory, "libibverbs.so.1")] if loaded == "dlopen" else []
    made = environment(shared_router, way, preload=loaded == "preload")
    if loaded == "dlopen":
        made.pop("LD_LIBRARY_PATH")
    done = shared_router.run(program("given_back"), *map(str, words), env=made)
    assert (done.returncode, done.stdout) == (0, "0 bytes are not zero\n"), done.stdout + done.stderr


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("heap", ["glibc", "jemalloc"])
def test_calloc(shared_router, heap, way):
    """jemalloc gives pages back at once here, as it does by itself after ten seconds."""
    made = environment(shared_router, way, GIVE_BACK="calloc", MALLOC_CONF="dirty_decay_ms:0,muzzy_decay_ms:0")
    if heap == "jemalloc":
        made["LD_PRELOAD"] = f"{JEMALLOC}:{made['LD_PRELOAD']}"
    done = shared_router.run(program("given_back"), env=made)
    assert (done.returncode, done.stdout) == (0, "0 bytes are not zero\n"), done.stdout + done.stderr
    assert "cannot be preloaded" not in done.stderr, done.stderr
