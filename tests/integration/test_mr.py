"""Memory through a real router: every test of the mr_*.c and mw_*.c programs, each in processes of its own."""

import os
import socket

import pytest

from freeflow.pair import run_pair
from freeflow.perftest import parse
from huge_pages import reserved
from programs import cases, run_case

HUGE_PAGES = 12

LIMIT = "(freeflow: ibv_alloc_dm: a limit of this container is reached.*\n)+"
FAULT = "freeflow: ibv_reg_mr of .*\n"
HEARD = {"as_much_as_promised": LIMIT, "refuses_unmapped": FAULT, "refused_beyond_the_end": FAULT,
         "refused_at_once_private": FAULT, "refused_at_once_shared": FAULT,
         "refused_in_too_many_pieces": FAULT, "refused_other_file_systems": "(.*tmpfs, memfd, SysV and hugetlbfs.*\n){2}",
         **{f"read_only_{kind}": f"({FAULT}){{3}}" for kind in ("constant", "anonymous", "private_file", "memfd", "sealed_memfd")}}


@pytest.fixture(scope="module", autouse=True)
def huge_pages():
    """For the kinds of memory that are made of them."""
    with reserved(HUGE_PAGES):
        yield


def test_perftest_with_huge_pages(shared_router):
    """On the host, since only the privileged may have SysV's huge pages."""
    variables = [f"{name}={value}" for name, value in shared_router.environment().items() if os.environ.get(name) != value]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["env", *variables, "ib_write_bw", "--use_hugepages", "-p", str(port), "-n", "500"]
    server, client = run_pair(words, [*words, "127.0.0.1"], port)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"
    assert parse(client.stdout)[0]["BW average[MB/sec]"] > 0


@pytest.mark.parametrize("source, name", [*cases("mr"), *cases("mw")])
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))
