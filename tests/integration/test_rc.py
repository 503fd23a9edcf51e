"""Reliable connections through a real router: every test of the rc_*.c programs, each in processes of its own."""

import pytest

from programs import cases, run_case

HEARD = {"values_are_checked": r"freeflow: ibv_modify_qp: GID index 200 is not in use here: .*\n"}


@pytest.mark.parametrize("source, name", cases("rc"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))
