"""Asynchronous events: the event_*.c programs through a real router, and what follows a container's addresses."""

import os
import select
import time

import pytest

from freeflow.control import Control
from lab_checks import said
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


def control(lab):
    router = lab.status()["hosts"][0]["router"]
    return Control(router["dir"], router["name"])


def test_gid_tables_follow_a_container_s_addresses(lab):
    watch = Watch(lab, "h1c1")
    try:
        with control(lab) as router:
            router.call("container.addresses", name="h1c1", addresses=["10.32.1.1", "fd00::11", "10.32.1.77"])
            assert "IBV_EVENT_GID_CHANGE" in (told := watch.line()) and "port 1" in told, told
            seen = said(lab.exec("h1c1", "ibv_devinfo", "-v"))
            assert all(text in seen for text in ("::ffff:10.32.1.1", "fd00::11", "::ffff:10.32.1.77"))
            router.call("container.addresses", name="h1c1", addresses=["10.32.1.1", "fd00::11", "10.32.1.77"])
            assert watch.line(wait_s=0.3) == "", "nothing has changed"
            router.call("container.addresses", name="h1c1", addresses=["10.32.1.1"])
            assert watch.line()
            assert "10.32.1.77" not in said(lab.exec("h1c1", "ibv_devinfo", "-v"))
            with pytest.raises(Exception, match="taken, by 'h1c2'"):
                router.call("container.addresses", name="h1c1", addresses=["10.32.1.2"])
            with pytest.raises(Exception, match="no container"):
                router.call("container.addresses", name="nobody", addresses=["10.32.1.2"])
    finally:
        watch.end()


def test_a_router_that_dies_is_a_dead_device(lab):
    watch = Watch(lab, "h1c2")
    try:
        os.kill(lab.status()["hosts"][0]["router"]["pid"], 9)
        assert "IBV_EVENT_DEVICE_FATAL" in (told := watch.line()), told
    finally:
        watch.end()
