"""Wrong arguments: the args_*.c programs through a real router, a table of each verb's and the errno that is its answer."""

import pytest

from programs import cases, run_case


@pytest.mark.parametrize("source, name", cases("args"))
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, r"(freeflow: ibv_(modify_qp|create_ah): GID index \d+ is not in use here: .*\n)*")
