"""Memory through a real router: every test of the mr_*.c and mw_*.c programs, each in processes of its own."""

import pytest

from programs import cases, run_case

LIMIT = "(freeflow: ibv_alloc_dm: a limit of this container is reached.*\n)+"
FAULT = "freeflow: ibv_reg_mr of .*\n"
HEARD = {"as_much_as_promised": LIMIT, "refuses_unmapped": FAULT}


@pytest.mark.parametrize("source, name", [*cases("mr"), *cases("mw")])
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))
