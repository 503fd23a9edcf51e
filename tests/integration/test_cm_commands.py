"""The rdma_cm device: how it comes into programs, and what it says to commands that no librdmacm writes."""

import os
import subprocess
from functools import cache

import pytest
from lab_checks import wait_for
from programs import BUILD, ROOT, SOURCES

CHECKS = ("device", "ways_in", "truncated", "unknown", "ids", "room", "pointers", "events", "options", "ports", "fork", "unheard", "migrated_listener")


@cache
def raw_calls():
    BUILD.mkdir(parents=True, exist_ok=True)
    built = BUILD / "librdmacm_raw.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-Wl,-soname,librdmacm.so.raw", "-o", built, SOURCES / "cm_raw.c"], check=True)
    return built


def run(router, check, *words, env=None):
    done = router.run("/usr/bin/python3", SOURCES / "cm_commands.py", raw_calls(), check, *words, env=env or router.environment())
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr


@pytest.mark.parametrize("check", CHECKS)
def test_commands(shared_router, check):
    run(shared_router, check)


def test_random_commands(shared_router, rng):
    for _ in range(3):
        run(shared_router, "random", str(rng.randrange(1 << 30)))
    run(shared_router, "events")


@pytest.mark.parametrize("way", ["LD_PRELOAD", "LD_LIBRARY_PATH"])
def test_ways_in(shared_router, way):
    """Each alone: Python was linked with neither library, and loads librdmacm as a plug-in would."""
    library = ROOT / "src" / "ffl" / "lib" / "libibverbs.so.1"
    env = {name: value for name, value in shared_router.environment().items() if name not in ("LD_PRELOAD", "LD_LIBRARY_PATH")}
    env[way] = str(library if way == "LD_PRELOAD" else library.parent)
    run(shared_router, "ways_in", env=env)
    run(shared_router, "events", env=env)


def test_nothing_stays(router):
    """Descriptors of the router: as many after a hundred channels and ids as before."""
    def descriptors():
        return len(os.listdir(f"/proc/{router.pid}/fd"))
    run(router, "events")
    wait_for(lambda: router.call("status")["sessions"] == 0)
    before = descriptors()
    for check in ("ids", "truncated", "ports", "fork"):
        run(router, check)
    wait_for(lambda: descriptors() <= before)   # a program's end is heard of a moment later
