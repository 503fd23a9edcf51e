"""Where there is no device, or none that answers, programs do what they do without FreeFlow: the same, hardly later, and with a
line at most that says why."""

import os
import re
import signal
import subprocess
import time

import pytest

from freeflow.lab.model import HOME_INSIDE
from freeflow.launch import environment, plain
from freeflow.pair import run_pair
from places import Lab, Router
from programs import SOURCES
from router_process import EmptyNamespace

MORE_S = 2.0    # than without
TRIES = 5       # for the machine is busy, now and then between the one and the other
TIMEOUT_S = 60  # a hang
SUM = "mpi_sum.py"
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1", "-np", "2"]
ANY = ["--mca", "opal_common_ucx_tls", "any", "--mca", "opal_common_ucx_devices", "any"]  # or it wants the device, and no other
PROGRAMS = {
    "open_mpi": [*MPIRUN, "/usr/bin/python3", SUM],
    "open_mpi_over_ucx": [*MPIRUN, "--mca", "pml", "ucx", *ANY, "/usr/bin/python3", SUM],
    "open_mpi_over_verbs": [*MPIRUN, "--mca", "btl", "openib,vader,tcp,self", "/usr/bin/python3", SUM],
    "mpich": ["mpiexec.mpich", "-np", "2", "/usr/bin/python3", SUM, "mpich"],
    "ucx_info": ["ucx_info", "-d"],
    "fi_info": ["fi_info"],
}
PROCESSES = {name: 2 if SUM in words else 1 for name, words in PROGRAMS.items()}  # that may each say a line
# What of their output is the same at each run.
RESULT = re.compile(r"^(?:sum \d+|#\s+Transport: \w+|provider: \S+|Final:)", re.MULTILINE)
PERFTEST_PORT = 13338


class Here:
    """This host, or a network namespace of it; programs find their router in `directory`."""

    folder = SOURCES

    def __init__(self, paths, within=(), **variables):
        self.within = list(within)
        self.ours = environment(paths, os.environ) | variables

    def words(self, words):
        return [*self.within, *words]

    def run(self, words, with_us):
        return subprocess.run(self.words(words), env=self.ours if with_us else plain(os.environ), cwd=self.folder, text=True,
                              timeout=TIMEOUT_S, capture_output=True)


class Container:
    """Of a lab: the device's files are there, whatever has become of the router."""

    def __init__(self, lab):
        self.lab = lab
        lab.put("h1c1", SOURCES / SUM)

    def run(self, words, with_us):
        return self.lab.exec("h1c1", "sh", "-c", f'cd {HOME_INSIDE}; exec "$@"', "sh", *words, mode=None if with_us else "plain")


def no_router():
    router = Router()
    yield Here(router.paths, FREEFLOW_DIR="/nonexistent")
    router.remove()


def unregistered():
    router = Router()
    with EmptyNamespace() as namespace:
        subprocess.run([*namespace.within, "ip", "link", "set", "lo", "up"], check=True)
        yield Here(router.paths, namespace.within)
    router.remove()


def stopped():
    router = Router()
    os.kill(router.pid, signal.SIGSTOP)
    yield Here(router.paths)
    router.remove()


def killed():
    router = Router()
    router.process.kill()
    router.process.wait()
    yield Here(router.paths)
    router.remove()


def in_container(number):
    lab = Lab(suffix="-fallback", host_count=1, container_count=1)
    os.kill(lab.status()["hosts"][0]["router"]["pid"], number)
    yield Container(lab)
    lab.down()


def stopped_under_a_container():
    yield from in_container(signal.SIGSTOP)


def killed_under_a_container():
    yield from in_container(signal.SIGKILL)


@pytest.fixture(scope="module", params=[no_router, unregistered, stopped, killed, stopped_under_a_container, killed_under_a_container],
                ids=lambda make: make.__name__)
def place(request):
    yield from request.param()


def timed(call, *arguments):
    began = time.monotonic()
    return call(*arguments), time.monotonic() - began


def check(without, done, processes):
    """Two outcomes: (exit status, stdout, stderr)."""
    assert done[0] == without[0] == 0, done
    assert sorted(RESULT.findall(done[1])) == sorted(RESULT.findall(without[1])) != [], done
    lines = [line for text in done[1:] for line in text.splitlines() if "freeflow: " in line]
    assert len(lines) <= processes and all("no RDMA device" in line for line in lines), lines


def soon_enough(run, processes, more_s):
    """run(with us?): an outcome."""
    more = []
    while len(more) < TRIES and (not more or more[-1] >= more_s):
        (without, least), (done, took) = timed(run, False), timed(run, True)
        check(without, done, processes)
        more.append(took - least)
    assert more[-1] < more_s, more


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_go_without(place, name):
    def run(with_us):
        done = place.run(PROGRAMS[name], with_us)
        return done.returncode, done.stdout, done.stderr
    soon_enough(run, PROCESSES[name], MORE_S)


def test_ucx_s_benchmark_goes_without(place):
    """The client starts when the server has found what it found, so there is twice the time."""
    if isinstance(place, Container):
        def words(with_us):
            return place.lab.words("h1c1", "ucx_perftest", "-p", PERFTEST_PORT, mode=None if with_us else "plain")
    else:
        def words(with_us):
            return place.words(["ucx_perftest", "-p", str(PERFTEST_PORT)])

    def run(with_us):
        env = place.lab.variables() if isinstance(place, Container) else place.ours if with_us else plain(os.environ)
        both = run_pair(words(with_us), [*words(with_us), "-t", "tag_lat", "-n", "200", "-w", "10", "127.0.0.1"], PERFTEST_PORT, env=env)
        return max(side.status for side in both), both[1].stdout, both[0].stderr + both[1].stderr
    soon_enough(run, 2, 2 * MORE_S)
