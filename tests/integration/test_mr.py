"""Memory through a real router: every test of the mr_*.c and mw_*.c programs, each in processes of its own."""

from pathlib import Path

import pytest

from programs import cases, run_case

HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")
HUGE_PAGES_NEEDED = 8

LIMIT = "(freeflow: ibv_alloc_dm: a limit of this container is reached.*\n)+"
FAULT = "freeflow: ibv_reg_mr of .*\n"
HEARD = {"as_much_as_promised": LIMIT, "refuses_unmapped": FAULT}


@pytest.fixture(scope="module", autouse=True)
def huge_pages():
    """Of 2 MiB, for the kinds of memory that are made of them; afterwards as many as there were."""
    before = HUGE_PAGES.read_text()
    HUGE_PAGES.write_text(str(int(before) + HUGE_PAGES_NEEDED))
    got = int(HUGE_PAGES.read_text())
    assert got >= HUGE_PAGES_NEEDED, f"the machine has memory for {got} huge pages: {HUGE_PAGES_NEEDED} are needed"
    yield
    HUGE_PAGES.write_text(before)


@pytest.mark.parametrize("source, name", [*cases("mr"), *cases("mw")])
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))
