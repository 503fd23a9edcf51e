"""Containers that mean harm, beside neighbours that notice nothing, and a router that is none the worse for it."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from places import Router
from programs import program

GROWTH_MAX_KIB = 32 << 10
SETTLE_S = 10.0


class Health:
    """What a router has, to be compared before and after."""

    def __init__(self, router):
        self.router = router
        self.before = self._look()

    def check(self):
        """Alive, answering, serving, and back to what it had."""
        assert self.router.process.poll() is None, self.router.log.read_text()
        assert self.router.call("status")["pid"] == self.router.pid
        run(self.router, "neighbour", HOSTILE_MS="50")
        deadline = time.monotonic() + SETTLE_S
        while (after := self._look()) != self.before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert after == self.before
        assert self.anonymous_kib() - self.anonymous < GROWTH_MAX_KIB

    def _look(self):
        proc = Path("/proc", str(self.router.pid))
        if not hasattr(self, "before"):
            run(self.router, "neighbour", HOSTILE_MS="50")  # what the first one costs stays
            while self.router.call("sessions")["sessions"]:
                time.sleep(0.02)
            time.sleep(0.2)
            self.anonymous = self.anonymous_kib()
        maps = (proc / "maps").read_text()
        return {"sessions": self.router.call("sessions")["sessions"], "descriptors": len(os.listdir(proc / "fd")),
                "segments": maps.count("memfd:freeflow-control") + maps.count("memfd:freeflow-memory")}

    def anonymous_kib(self):
        status = Path("/proc", str(self.router.pid), "status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))


@pytest.fixture(scope="module")
def shared_router():
    """One for all attacks: what one of them leaves behind would hurt the next."""
    router = Router()
    yield router
    router.remove()


@pytest.fixture
def health(shared_router):
    health = Health(shared_router)
    yield health
    health.check()


def start(router, name, **settings):
    return subprocess.Popen([program("hostile"), name], env=router.environment(**settings), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def finish(process, name):
    out, err = process.communicate(timeout=40)
    assert out.endswith(f"ok {name}\n") and "not ok" not in out, out + err
    return out, err


def run(router, name, **settings):
    return finish(start(router, name, **settings), name)


@pytest.mark.parametrize("turn", range(3))
def test_a_scribbler_harms_nobody_else(shared_router, health, rng, turn):
    neighbour = start(shared_router, "neighbour", HOSTILE_MS="2500")
    attack = start(shared_router, "scribble", HOSTILE_MS="2000", HOSTILE_SEED=str(rng.getrandbits(48)),
                   HOSTILE_TARGET=neighbour.stdout.readline().strip())
    attack.communicate(timeout=40)  # how it ends is its own affair
    finish(neighbour, "neighbour")


@pytest.mark.parametrize("attack", ["shrinks_while_it_moves", "mixes_contexts", "hands_over_descriptors", "never_listens",
                                    "takes_everything"])
def test_one_weakness(shared_router, health, attack):
    neighbour = start(shared_router, "neighbour", HOSTILE_MS="1200")
    neighbour.stdout.readline()
    run(shared_router, attack)
    finish(neighbour, "neighbour")
