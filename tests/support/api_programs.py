"""Programs that use freeflow.rdma, in containers: the package alone, under the distribution's Python and NumPy, as an
application would have it."""

import os
import shutil

from freeflow.lab.model import HOME_INSIDE
from freeflow.pair import run_pair
from programs import ROOT, SOURCES

PORT = 7471
PYTHON = "/usr/bin/python3"
INSIDE = HOME_INSIDE / "api"


def install_script(lab, place, script, plain=False):
    """A program (a Path) with the package into a container's home. Returns the words that run it there; plain: without FreeFlow's
    library, for comparisons."""
    container = lab.plan.find(place)
    home = container.home / "api"
    if not home.exists():
        shutil.copytree(ROOT / "src/freeflow/rdma", home / "freeflow/rdma", ignore=shutil.ignore_patterns("__pycache__", "*.pyx"))
        (home / "freeflow/__init__.py").touch()
    shutil.copy(script, home)
    for path in (home, *home.rglob("*")):
        os.chown(path, container.uid, container.uid)
    enter = lab.enter(place)
    return [*(enter[:-1] + ["--plain", "--"] if plain else enter), "env", f"PYTHONPATH={INSIDE}", PYTHON, "-X", "faulthandler",
            f"{INSIDE}/{script.name}"]


def install(lab, place):
    return install_script(lab, place, SOURCES / "api_ends.py")


def install_example(lab, place, name):
    return install_script(lab, place, ROOT / "examples" / name)


def run_ends(lab, case, server="h1c1", client="h1c2", *more, timeout_s=60.0):
    """Both ends of one of api_ends.py's cases, which must end well. What they printed."""
    address = lab.plan.find(server).address
    ends = run_pair([*install(lab, server), "server", case, *more], [*install(lab, client), "client", case, address, *more], PORT,
                    timeout_s=timeout_s)
    assert [end.status for end in ends] == [0, 0], "\n".join(map(str, ends))
    return [end.stdout for end in ends]

