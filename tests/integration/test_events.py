"""Asynchronous events: the event_*.c programs through a real router, and a dead router. What follows a container's addresses
is in test_port.py."""

import os
import select
import time

import pytest

from places import Lab
from programs import cases, run_case

WAIT_S = 10


@pytest.mark.parametrize("source, name", cases("event"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name)


@pytest.fixture
def lab():
    """One that may change its addresses."""
    made = Lab("-events", host_count=1, container_count=2)
    yield made
    made.down()


class Watch:
    """ibv_asyncwatch in a container: the lines that it prints."""

    def __init__(self, lab, place):
        self.process = lab.popen(place, "stdbuf", "-oL", "ibv_asyncwatch", bufsize=0)
        assert "async event FD" in self.line()

    def line(self, wait_s=WAIT_S):
        """The next line, or "" when none comes."""
        text, end = "", time.monotonic() + wait_s
        while not text.endswith("\n") and select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
            byte = os.read(self.process.stdout.fileno(), 1).decode()
            if not byte:
                break
            text += byte
        return text.strip()

    def end(self):
        self.process.kill()
        self.process.wait()


def test_a_router_that_dies_is_a_dead_device(lab):
    watch = Watch(lab, "h1c2")
    try:
        os.kill(lab.status()["hosts"][0]["router"]["pid"], 9)
        assert "IBV_EVENT_DEVICE_FATAL" in (told := watch.line()), told
    finally:
        watch.end()
