"""What every test can use. Nothing here skips: a prerequisite that is missing is a failure, with the cure in its text."""

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from places import Lab, Router, remove_stale

ROOT = Path(__file__).resolve().parent.parent
QUICK = [ROOT / "tests" / name for name in ("test_tidy.py", "unit", "protocol", "contract")]


def pytest_addoption(parser):
    parser.addoption("--seed", type=lambda text: int(text, 0), default=None,
                     help="what random tests draw from; by default the commit in CI, else drawn anew each run")


def pytest_configure(config):
    if config.option.seed is None:
        config.option.seed = commit_seed() if os.environ.get("CI") else random.SystemRandom().getrandbits(32)


def pytest_collection_modifyitems(items):
    """`make test-quick` is what is marked quick: all that needs no router, and what says so itself."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in QUICK):
            item.add_marker("quick")


def pytest_sessionstart():
    let_children_be_interrupted()
    remove_stale()


def let_children_be_interrupted():
    """A run in the background (nohup, a shell's &) ignores signals, and so would all that it starts: tests that interrupt
    a program would wait for ever. Whoever has a handler in their place goes on ignoring, and its children do not."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_report_header(config):
    return f"seed: {config.option.seed:#x} (repeat with --seed {config.option.seed:#x})"


def commit_seed():
    """CI draws from the commit, so that a failure seen there is a failure seen by whoever checks that commit out."""
    try:
        return int(subprocess.check_output(["git", "-C", ROOT, "rev-parse", "HEAD"], stderr=subprocess.DEVNULL)[:8], 16)
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository: an unpacked archive
        return 1


@pytest.fixture
def seed(request):
    """This run's seed, an int."""
    return request.config.option.seed


@pytest.fixture
def rng(request, seed):
    """A random.Random of this test's own: its draws do not depend on which other tests ran."""
    return random.Random(f"{seed}:{request.node.nodeid}")


@pytest.fixture
def router():
    """A router of this test's own, in this network namespace (support/places.py: Router)."""
    made = Router()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def shared_router():
    """One router for all tests of a module, as a host has: what one test leaves behind would hurt the next."""
    made = Router()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def lab():
    """One host with three containers, shared by the whole run (support/places.py: Lab).

    A test leaves it as it found it; one that kills routers or containers makes a Lab of its own.
    """
    made = Lab(host_count=1, container_count=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREEFLOW_LAB", made.name)  # so that `freeflow lab` means this one, whoever calls it
        yield made
    made.down()
