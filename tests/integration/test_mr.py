"""Memory through a real router: every test of the mr_*.c and mw_*.c programs, each in processes of its own."""

import os
import re
import socket

import pytest

from freeflow.pair import run_pair
from freeflow.perftest import parse
from huge_pages import reserved
from places import FREEFLOW, Router
from programs import cases, program, run_case

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


@pytest.fixture(scope="module")
def small_router():
    """One without the capabilities that open what a process has mapped, as an ordinary user's is."""
    router = Router(command=["setpriv", "--bounding-set", "-sys_admin,-checkpoint_restore", *FREEFLOW, "router"])
    yield router
    router.remove()


@pytest.mark.parametrize("name", [f"{kind}_{use}" for kind in ("memfd", "posix", "huge_memfd", "private_memfd")
                                  for use in ("written_and_read", "registered_anew", "unmapped_while_registered")]
                         + ["read_only_memfd", "part_of_a_sparse_file", "of_two_processes_posix"])
def test_shared_memory_of_a_router_without_privileges(small_router, name):
    source = "mr_shared" if name.startswith(("read", "part", "of_two")) else "mr_kinds"
    run_case(small_router, source, name, HEARD.get(name, ""))


def test_what_only_root_can_open_is_refused_with_a_line(small_router):
    done = small_router.run(program("mr_kinds"), "shared_anonymous_written_and_read")
    assert "not ok" in done.stdout and "Operation not supported" in done.stdout
    assert re.search("freeflow: ibv_reg_mr of .*the router may not look into this process", done.stderr)


@pytest.mark.parametrize("source, name", [*cases("mr"), *cases("mw")])
def test_behaviour(shared_router, source, name):
    run_case(shared_router, source, name, HEARD.get(name, ""))
