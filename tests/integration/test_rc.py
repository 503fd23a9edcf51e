"""Reliable connections through a real router: every test of the rc_*.c programs, each in processes of its own."""

import pytest

from places import Router
from programs import SOURCES, program, names_in

PROGRAMS = sorted(path.stem for path in SOURCES.glob("rc_*.c"))


@pytest.fixture(scope="module")
def shared_router():
    """One router for all of them, as a host has: what one test leaves behind would hurt the next."""
    router = Router()
    yield router
    router.remove()


@pytest.mark.parametrize("source, name", [(source, name) for source in PROGRAMS for name in names_in(source)])
def test_behaviour(shared_router, source, name):
    done = shared_router.run(program(source), name)
    assert done.stdout == f"ok {name}\n", done.stdout + done.stderr
    assert done.stderr == "", "a program that does nothing wrong hears nothing"
