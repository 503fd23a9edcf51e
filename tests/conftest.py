"""What every test can use. Nothing here skips: a prerequisite that is missing is a failure, with the cure in its text."""

import os
import random
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--seed", type=lambda text: int(text, 0), default=None,
                     help="what random tests draw from; by default the commit in CI, else drawn anew each run")


def pytest_configure(config):
    if config.option.seed is None:
        config.option.seed = commit_seed() if os.environ.get("CI") else random.SystemRandom().getrandbits(32)


def pytest_report_header(config):
    return f"seed: {config.option.seed:#x} (repeat with --seed {config.option.seed:#x})"


def commit_seed():
    """CI draws from the commit, so that a failure seen there is a failure seen by whoever checks that commit out."""
    git = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    return int(git.stdout[:8], 16) if git.returncode == 0 else 1


@pytest.fixture
def seed(request):
    """This run's seed, an int."""
    return request.config.option.seed


@pytest.fixture
def rng(request, seed):
    """A random.Random of this test's own: its draws do not depend on which other tests ran."""
    return random.Random(f"{seed}:{request.node.nodeid}")
