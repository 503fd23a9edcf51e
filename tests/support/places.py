"""Where tests run programs: a router of their own, a lab of their own. Made by the fixtures of conftest.py."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from ffcore.paths import RouterPaths
from freeflow import launch
from freeflow.control import Control
from freeflow.errors import FreeFlowError
from freeflow.furnish import furnish
from freeflow.lab import routers, state
from freeflow.lab.down import down, remove_counters
from freeflow.lab.model import HOME_INSIDE, ROUTER_NAME, Plan
from freeflow.lab.processes import Process
from freeflow.lab.status import describe
from freeflow.lab.up import up

FREEFLOW = [sys.executable, "-m", "freeflow.cli.main"]
PROGRAM_TIMEOUT_S = 60
TEST_LAB = re.compile(r"test-(\d+)-(\d+)(-\w+)?")  # pid and start time of the test run that it belongs to


class Router:
    """A router of this test's own, in this network namespace, whose directory any user can read.

    paths (RouterPaths), pid, log (Path: what it printed).
    """

    def __init__(self, *options, command=None):
        """options: further ones of `freeflow router`. command: stands in for `freeflow router` itself."""
        self.directory = Path(tempfile.mkdtemp(prefix=f"ff-test-{os.getpid()}-", dir="/tmp"))  # a socket's path is short
        self.directory.chmod(0o755)
        self.paths = RouterPaths(self.directory, "router")
        self.log = self.directory / "router.log"
        furnish(self.directory)
        # A test run that is killed takes it along.
        command = ["setpriv", "--pdeathsig", "TERM", *(command or [*FREEFLOW, "router"]), *options]
        self.process = routers.start(self.directory, self.log, command=command)
        try:
            routers.wait_ready(self.process, self.log)
        except BaseException:
            self.remove()
            raise

    @property
    def pid(self):
        return self.process.pid

    def environment(self, tcp=False, **more):
        """For programs that are to use this router: os.environ with what `freeflow run` sets, and `more`."""
        return launch.environment(self.paths, os.environ, tcp) | more

    def run(self, *command, **options):
        """subprocess.run of a program that uses this router; output captured as text unless told otherwise."""
        options = {"capture_output": True, "text": True, "timeout": PROGRAM_TIMEOUT_S, "env": self.environment()} | options
        return subprocess.run(command, **options)

    def call(self, op, **fields):
        """One op on the control socket."""
        with Control(self.directory, self.paths.name) as control:
            return control.call(op, **fields)

    def stop(self):
        """As its owner would. Returns its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def remove(self):
        self.process.kill()
        self.process.wait()
        remove_counters(self.pid)
        shutil.rmtree(self.directory, ignore_errors=True)


class Lab:
    """A lab that belongs to this test run. plan (freeflow.lab.model.Plan) has its names and addresses."""

    def __init__(self, suffix="", router_command=None, **plan):
        """suffix: of its name, for a second one beside the session's. plan: as model.Plan."""
        me = Process.of(os.getpid())
        self.plan = Plan(f"test-{me.pid}-{me.start}{suffix}", **plan)
        up(self.plan, router_command=router_command)

    @property
    def name(self):
        return self.plan.name

    def words(self, place, *command, mode=None):
        """The words that run `command` in `place` (h1c1). mode: None, "plain" or "tcp"."""
        return [*FREEFLOW, "lab", "exec", place, *([f"--{mode}"] if mode else []), "--", *map(str, command)]

    def enter(self, place):
        """The words before a command that run it in `place`, in whatever environment."""
        return ["env", f"FREEFLOW_LAB={self.name}", *self.words(place)]

    def exec(self, place, *command, mode=None, **options):
        """subprocess.run inside; output captured as text unless told otherwise."""
        options = {"capture_output": True, "text": True, "timeout": PROGRAM_TIMEOUT_S, "env": self.variables()} | options
        return subprocess.run(self.words(place, *command, mode=mode), **options)

    def popen(self, place, *command, mode=None, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": self.variables()} | options
        return subprocess.Popen(self.words(place, *command, mode=mode), **options)

    def control(self, host):
        """The control socket of a host's router (freeflow.control.Control)."""
        return Control(str(self.plan.find(host).router_directory), ROUTER_NAME)

    def variables(self, **more):
        return os.environ | {"FREEFLOW_LAB": self.name} | more

    def put(self, place, path):
        """Copies a file into a container's home, for a checkout may lie where containers cannot read. Returns its path
        inside."""
        container = self.plan.find(place)
        copied = Path(shutil.copy(path, container.home))
        copied.chmod(0o755)
        os.chown(copied, container.uid, container.uid)
        return str(HOME_INSIDE / copied.name)

    def status(self):
        """As `freeflow lab status --json`."""
        return describe(state.load(self.name))

    def down(self):
        return down(self.name)


def remove_stale():
    """The labs and directories of test runs that died before they could."""
    for path in Path("/tmp").glob("ff-test-*-*"):
        if not Path("/proc", path.name.split("-")[2]).exists():
            shutil.rmtree(path, ignore_errors=True)
    for name in state.names():
        owner = TEST_LAB.fullmatch(name)
        if owner and not Process(int(owner[1]), int(owner[2])).alive():
            try:
                down(name)
            except FreeFlowError as error:
                warnings.warn(f"lab {name} of an earlier test run stays: {error}", stacklevel=2)
