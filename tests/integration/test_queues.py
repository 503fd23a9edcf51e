"""Extended CQs and QPs, resizing, domains, through a real router: every test of the queue_*.c programs."""

import pytest

from places import Router
from programs import SOURCES, names_in, program

PROGRAMS = sorted(path.stem for path in SOURCES.glob("queue_*.c"))


@pytest.fixture(scope="module")
def shared_router():
    router = Router()
    yield router
    router.remove()


@pytest.mark.parametrize("source, name", [(source, name) for source in PROGRAMS for name in names_in(source)])
def test_behaviour(shared_router, source, name):
    done = shared_router.run(program(source), name)
    assert done.stdout == f"ok {name}\n", done.stdout + done.stderr
    assert done.stderr == "", "a program that does nothing wrong hears nothing"
