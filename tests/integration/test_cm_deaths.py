"""Who dies is answered for: a peer's end is an event in bounded time, and nothing stays in the router."""

import os
import signal
import time

import pytest
from cm_pairs import Pair, check
from places import Lab

from freeflow.pair import Side, descendants

LONG = Pair("rping -s -P -a 0.0.0.0", "rping -c -a {address} -C 100000000")
BOUND_S = 20.0


@pytest.fixture(scope="module")
def hosts():
    made = Lab("-cmd", host_count=2, container_count=2)
    yield made
    made.down()


def program(side, name):
    """The pid of the program itself, below the words that entered its container."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for pid in descendants(side.process.pid):
            try:
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() == name:
                        return pid
            except OSError:
                continue
        time.sleep(0.05)
    raise AssertionError(f"{name} has not begun")


def connected(lab, server, client):
    """A server and a client that talk, as (Side, Side)."""
    below = Side(lab.words(server, *LONG.server.split()), lab.variables())
    program(below, "rping")
    deadline = time.monotonic() + 20
    while True:
        above = Side(lab.words(client, *LONG.client.format(address=lab.plan.find(server).address).split()), lab.variables())
        time.sleep(2)
        if above.process.poll() is None or time.monotonic() > deadline:
            return below, above


@pytest.mark.parametrize("client", ["h1c2", "h2c1"], ids=["one_host", "two_hosts"])
@pytest.mark.parametrize("who", ["server", "client"])
def test_who_is_killed_is_missed(hosts, client, who):
    below, above = connected(hosts, "h1c1", client)
    try:
        assert above.process.poll() is None, above.stop()
        os.kill(program(below if who == "server" else above, "rping"), signal.SIGKILL)
        if who == "server":
            ended = above.wait(BOUND_S)
            assert "DISCONNECT EVENT" in ended.stderr and ended.status not in (None, -signal.SIGTERM, -signal.SIGKILL), ended
        else:
            # The server, which stays, serves the next.
            check(hosts, Pair("true", "rping -c -a {address} -C 2", stays=True), server="h1c1", client=client)
    finally:
        below.stop()
        above.stop()


def test_nobody_is_there(hosts):
    """At once on the host that knows it, after the last of eight tries where another one might have answered."""
    begin = time.monotonic()
    done = hosts.exec("h1c1", "rping", "-c", "-a", hosts.plan.find("h1c2").address, "-C", "1")
    assert done.returncode != 0 and time.monotonic() - begin < 10
