"""Thread safety and fork: the threads_*.c programs through a real router, a few seconds of traffic each."""

import pytest

from programs import cases, run_case


@pytest.mark.parametrize("source, name", cases("threads"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name)
