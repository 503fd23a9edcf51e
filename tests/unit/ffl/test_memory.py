"""Registered memory: pages of a program converted in place, under everything that the program does meanwhile.

Each case is a C program of tests/programs, which checks itself; what it checks stands at its top. They run in both ways
(src/ffl/memory/way.h), and as on older kernels: before 6.8, which has no UFFDIO_MOVE, and before 6.11, where mappings are
looked up in the text of /proc/self/maps.
"""

import pytest

from huge_pages import reserved
from memory_programs import run_memory

STOPPING = {"FREEFLOW_USERFAULTFD": "off"}
ways = pytest.mark.parametrize("environment", [{}, STOPPING], ids=["userfaultfd", "stopping"])
kernels = pytest.mark.parametrize("environment", [{}, {"FFMEM_NO_MOVE": "1"}, STOPPING, {**STOPPING, "FFMEM_TEXT": "1"}],
                                  ids=["userfaultfd", "before 6.8", "stopping", "text"])


@kernels
@pytest.mark.parametrize("name", ["alignment", "overlap", "reuse", "refuse", "stack", "fork", "masked"])
def test_memory(name, environment):
    assert run_memory(f"memory_{name}", **environment).endswith("ok\n")


@kernels
def test_huge_pages(environment):
    with reserved(4):
        assert run_memory("memory_huge", **environment).endswith("ok\n")


@kernels
def test_threads_in_every_blocking_call_notice_nothing(environment):
    run_memory("memory_blocked", 1000, **environment)


@ways
@pytest.mark.timeout(600)  # 5 s of CPU; a busy machine has other things to do
def test_four_gib_in_one_registration(environment):
    print(run_memory("memory_large", 4096, timeout_s=590, **environment))


@ways
def test_signals_of_the_program_still_interrupt(environment):
    run_memory("memory_signals", **environment)
