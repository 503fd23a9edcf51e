"""Registered memory: pages of a program converted in place, under everything that the program does meanwhile.

Each case is a C program of tests/programs, which checks itself; what it checks stands at its top. They run in both ways
(src/ffl/memory/way.h): by a userfaultfd, also as on kernels before 6.8, which have no UFFDIO_MOVE; and by stopping threads, with a
tracer, and with a signal, this as on kernels before 6.11, where mappings are looked up in the text of /proc/self/maps.
"""

import os
import subprocess
import time
from pathlib import Path

import pytest

from huge_pages import reserved
from memory_programs import memory_program, run, run_memory

STOPPING = {"FREEFLOW_USERFAULTFD": "off"}
SIGNALS = {**STOPPING, "FFMEM_SIGNALS": "1", "FFMEM_TEXT": "1"}
ways = pytest.mark.parametrize("environment", [{}, STOPPING], ids=["userfaultfd", "tracer"])
kernels = pytest.mark.parametrize("environment", [{}, {"FFMEM_NO_MOVE": "1"}, STOPPING, SIGNALS],
                                  ids=["userfaultfd", "before 6.8", "tracer", "signals"])


@kernels
@pytest.mark.parametrize("name", ["alignment", "overlap", "reuse", "refuse", "stack", "fork", "masked", "child", "calls", "uring"])
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


@pytest.mark.parametrize("environment", [{}, STOPPING, SIGNALS], ids=["userfaultfd", "tracer", "signals"])
@pytest.mark.parametrize("kib", [8, 16, 32])
def test_small_signal_stacks_overflow_nowhere(environment, kib):
    run_memory("memory_small", kib, **environment)


@ways
def test_a_signal_stack_of_a_page_is_enough(environment):
    run_memory("memory_small", 4, **environment)


@ways
@pytest.mark.parametrize("how", ["sigwait", "sigtimedwait", "signalfd", "ppoll", "exec"])
def test_no_signal_is_seen_by_who_asks_for_all(environment, how):
    assert run_memory("memory_sigwait", how, **environment).endswith("ok\n")


@pytest.mark.parametrize("words", [["memory_overlap"], ["memory_small", "8"]], ids=" ".join)
def test_under_valgrind(words):
    """It runs one thread at a time, so neither a userfaultfd nor a tracer will do, and the library asks for neither."""
    name, *arguments = words
    command = ["valgrind", "-q", "--error-exitcode=9", memory_program(name), *arguments]
    assert run(command, **STOPPING).endswith("ok\n")


SOAK, SOAK_HEAVY = 1000, 100_000


@ways
def test_soak(environment, rng):
    print(run_memory("memory_soak", SOAK, rng.randrange(1 << 31), **environment))


@ways
@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_soak_of_a_hundred_thousand(environment, rng):
    print(run_memory("memory_soak", SOAK_HEAVY, rng.randrange(1 << 31), timeout_s=1700, **environment))


def processes_of(program):
    """Whoever runs it: what is left of one that was killed has its name."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "exe") == str(program):
                found.append(int(folder.name))
        except OSError:
            pass
    return found


@ways
def test_killed_at_any_moment_nothing_of_it_is_left(environment, rng):
    """The tracer is a process of its own, and who is traced cannot go before it."""
    program = memory_program("memory_soak")
    for _ in range(20):
        running = subprocess.Popen([program, "1000000", str(rng.randrange(1 << 31))], env={**os.environ, **environment})
        time.sleep(rng.uniform(0.02, 0.15))
        running.kill()
        running.wait(timeout=20)
    deadline = time.monotonic() + 20
    while (left := processes_of(program)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
