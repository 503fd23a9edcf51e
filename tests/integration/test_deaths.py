"""Programs, peers and routers that are killed or stopped at any moment: the others hear of it, and nothing is left."""

import os
import signal
import time

import pytest

from freeflow.lab import routers
from health import Health, finish, run, start
from places import Router

TOLD_WITHIN_S = 1.0
BUSY_MACHINE_S = 1.0  # on top: processes that end, on two cores that others use too
WITNESSES = ["polls", "waits_for_a_completion", "waits_for_an_event", "registers", "makes_qps", "transfers"]


@pytest.mark.parametrize("manner", ["peers_die", "peers_die_while_they_register"])
def test_a_peer_that_is_killed_is_noticed_and_leaves_nothing(router, rng, manner):
    health = Health(router)
    run(router, "deaths", manner, DEATHS_SEED=str(rng.getrandbits(32)))
    health.check()


def test_a_router_that_is_killed_is_an_error_within_a_second(router):
    programs = {name: start(router, "deaths", name) for name in WITNESSES}
    for program in programs.values():
        assert program.stdout.readline() == "ready\n", program.communicate()
    router.process.kill()
    router.process.wait()
    killed_s = time.monotonic()
    for name, program in programs.items():
        finish(program, name)
    assert time.monotonic() - killed_s < TOLD_WITHIN_S + BUSY_MACHINE_S
    router.process = routers.start(router.directory, router.log)
    routers.wait_ready(router.process, router.log)
    run(router, "neighbour", "neighbour", HOSTILE_MS="50")


def test_a_program_that_is_stopped_stops_nobody(router):
    health = Health(router)
    stopped = start(router, "deaths", "holds")
    assert stopped.stdout.readline() == "ready\n"
    children = [int(pid) for pid in open(f"/proc/{stopped.pid}/task/{stopped.pid}/children").read().split()]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    run(router, "neighbour", "neighbour", HOSTILE_MS="500")
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    stopped.communicate(timeout=20)
    health.check()
