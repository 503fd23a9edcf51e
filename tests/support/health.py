"""What a router has before an attack and must have again after it; and how the tests run hostile programs."""

import subprocess
import time
from pathlib import Path

import descriptors
from programs import program

GROWTH_MAX_KIB = 32 << 10
SETTLE_S = 10.0


def start(router, source, name, **settings):
    """Test `name` of a program, in the background; finish() waits for it."""
    return subprocess.Popen([program(source), name], env=router.environment(**settings), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def finish(process, name):
    out, err = process.communicate(timeout=50)
    assert out.endswith(f"ok {name}\n") and "not ok" not in out, out + err


def run(router, source, name, **settings):
    finish(start(router, source, name, **settings), name)


class Health:
    """Of a router, with nothing running on it."""

    def __init__(self, router):
        self.router = router
        run(router, "neighbour", "neighbour", HOSTILE_MS="50")  # what the first program costs stays
        deadline = time.monotonic() + SETTLE_S
        while self.look()["sessions"] and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.1)
        self.before, self.anonymous = self.look(), self.anonymous_kib()

    def check(self):
        """Alive, answering, serving new programs at once, and back to what it had."""
        assert self.router.process.poll() is None, self.router.log.read_text()
        assert self.router.call("status")["pid"] == self.router.pid
        run(self.router, "neighbour", "neighbour", HOSTILE_MS="50")
        deadline = time.monotonic() + SETTLE_S
        while self.has_more(after := self.look()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not self.has_more(after), f"{self.before} before, {after} after"
        assert self.anonymous_kib() - self.anonymous < GROWTH_MAX_KIB

    def has_more(self, now):
        """Than before. (It may have less: what the first program left was still going.)"""
        return now["sessions"] != self.before["sessions"] or any(now[name] > self.before[name] for name in now if name != "sessions")

    def look(self):
        proc = Path("/proc", str(self.router.pid))
        open_ones = descriptors.of_router(self.router.pid)  # before the call below, which costs one for a moment
        maps = (proc / "maps").read_text()
        return {"sessions": self.router.call("sessions")["sessions"], "descriptors": open_ones,
                "segments": maps.count("memfd:freeflow-control") + maps.count("memfd:freeflow-memory"),
                "programs' memory": sum("s" in line.split()[1] and "freeflow" not in line for line in maps.splitlines())}

    def anonymous_kib(self):
        status = Path("/proc", str(self.router.pid), "status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
