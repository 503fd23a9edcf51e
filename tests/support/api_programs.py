"""Programs that use freeflow.rdma, in containers: the package alone, under the distribution's Python and NumPy, as an
application would have it."""

import shutil
import os

from freeflow.lab.model import HOME_INSIDE
from freeflow.pair import run_pair
from programs import ROOT, SOURCES

PORT = 7471
PYTHON = "/usr/bin/python3"
INSIDE = HOME_INSIDE / "api"


def install(lab, place):
    """The package into a container's home. Returns the words that run api_ends.py there."""
    container = lab.plan.find(place)
    home = container.home / "api"
    if not home.exists():
        shutil.copytree(ROOT / "src/freeflow/rdma", home / "freeflow/rdma", ignore=shutil.ignore_patterns("__pycache__", "*.pyx"))
        (home / "freeflow/__init__.py").touch()
        shutil.copy(SOURCES / "api_ends.py", home)
        for path in (home, *home.rglob("*")):
            os.chown(path, container.uid, container.uid)
    return [*lab.enter(place), "env", f"PYTHONPATH={INSIDE}", PYTHON, "-X", "faulthandler", f"{INSIDE}/api_ends.py"]


def run_ends(lab, case, server="h1c1", client="h1c2", *more):
    """Both ends of one of api_ends.py's cases, which must end well. What they printed."""
    address = lab.plan.find(server).address
    ends = run_pair([*install(lab, server), "server", case, *more], [*install(lab, client), "client", case, address, *more], PORT)
    assert [end.status for end in ends] == [0, 0], "\n".join(map(str, ends))
    return [end.stdout for end in ends]


def install_example(lab, place, name):
    """An example beside the package. Returns the words that run it there."""
    words = install(lab, place)
    container = lab.plan.find(place)
    copied = shutil.copy(ROOT / "examples" / name, container.home / "api")
    os.chown(copied, container.uid, container.uid)
    return [*words[:-1], f"{INSIDE}/{name}"]
