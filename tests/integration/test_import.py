"""Objects of one process in another: every test of the import_*.c programs, and that nothing is left behind."""

import os
import socket
import subprocess

import pytest

from freeflow import launch
from health import Health
from places import Router
from programs import cases, program, run_case
from router_process import EmptyNamespace, RouterProcess


@pytest.fixture(scope="module")
def router():
    router = Router()
    yield router
    router.remove()


@pytest.mark.parametrize("source, name", [case for case in cases("import") if not case[1].endswith("_on_stdin")])
def test_behaviour(router, source, name):
    health = Health(router)
    run_case(router, source, name)
    health.check()


@pytest.mark.parametrize("places", [("one", "other"), ("other", "one")])
def test_another_containers_descriptor_opens_nothing(places):
    with RouterProcess() as router, EmptyNamespace() as one, EmptyNamespace() as other:
        namespaces = {"one": one, "other": other}
        for name, address in (("one", "10.32.1.1"), ("other", "10.32.1.2")):
            router.ask("container.add", name=name, netns=namespaces[name].path, addresses=[address])
        ends = socket.socketpair()
        ran = [subprocess.Popen([*namespaces[place].within, program("import_end"), name], stdin=end, text=True,
                                stdout=subprocess.PIPE, env=launch.environment(router.paths, os.environ))
               for place, name, end in zip(places, ("offers_on_stdin", "refused_on_stdin"), ends)]
        for end in ends:
            end.close()
        for process, name in zip(ran[::-1], ("refused_on_stdin", "offers_on_stdin")):
            assert process.communicate(timeout=30)[0] == f"ok {name}\n"
