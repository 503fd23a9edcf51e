"""One container cannot take what the router has for all."""

import os
import subprocess

import pytest

from freeflow import launch
from programs import program
from router_process import EmptyNamespace, RouterProcess

TABLE = 1 << 18  # AHs that a router has: FFR_AHS


@pytest.fixture
def router():
    with RouterProcess() as router:
        yield router


@pytest.fixture
def namespaces(router):
    with EmptyNamespace() as greedy, EmptyNamespace() as modest:
        for name, namespace, address in (("greedy", greedy, "10.32.1.1"), ("modest", modest, "10.32.1.2")):
            router.ask("container.add", name=name, netns=namespace.path, addresses=[address])
        yield greedy, modest


def start(router, namespace):
    """Takes all that it gets, says how much that is, and holds it until its stdin closes."""
    return subprocess.Popen([*namespace.within, program("share_tables"), "half_of_what_is_left"], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=launch.environment(router.paths, os.environ))


def test_a_container_gets_half_of_a_table_and_the_next_half_of_the_rest(router, namespaces):
    greedy, modest = namespaces
    with start(router, greedy) as taker:
        assert int(taker.stdout.readline()) == TABLE // 2
        with start(router, modest) as other:
            assert int(other.stdout.readline()) == TABLE // 4
            assert other.communicate()[0] == "ok half_of_what_is_left\n"
        assert taker.communicate()[0] == "ok half_of_what_is_left\n"
    with start(router, greedy) as again:  # it all came back
        assert int(again.stdout.readline()) == TABLE // 2
        again.communicate()
