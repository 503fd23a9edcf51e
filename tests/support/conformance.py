"""`make conformance`: rdma-core's own Python tests, as Debian ships them, on ff0 in a container of a lab.

They are copied out of Debian's documentation folder, unpacked and otherwise unmodified, and run by Debian's Python with
its pyverbs: `run_tests.py --dev ff0 -v`, a process per module. A test that crashes or hangs its process has failed; what
is left of its module then goes on in a new process. Prints a table beside rxe's (tests/data/conformance-rxe.tsv), and
why each test that did not pass did not.
"""

import argparse
import gzip
import os
import re
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

from rich import box
from rich.console import Console
from rich.table import Table

from ffcore.nics import WIRED
from places import Lab

SOURCE = Path("/usr/share/doc/rdma-core/tests")
RXE = Path(__file__).resolve().parents[1] / "data" / "conformance-rxe.tsv"
PYTHON = "/usr/bin/python3"
VENDORS = re.compile(r"tests\.test_(mlx5|efa)")  # they need those NICs
PASSED_MIN = 128  # raised as verbs are added
MODULE_S_MAX = 60
RUN_S_MAX = 400

STARTED = re.compile(r"^(\w+) \((tests(?:\.\w+)+)\)", re.MULTILINE)
ENDED = re.compile(r"(?:\.\.\. |^)(?:(ok)|(FAIL|ERROR)|skipped (?:'(.*)'|\"(.*)\"))$", re.MULTILINE)
TRACEBACK = re.compile(r"^(?:FAIL|ERROR): \w+ \((tests[\w.]+)\).*?^-{20,}$\n(.*?)\n\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Outcome:
    """Of one test. state: passed, skipped or failed. reason: a line, except for what passed."""

    state: str
    reason: str = ""


def unpack(to):
    """Debian's tests into the folder `to`."""
    to.mkdir()
    for path in SOURCE.iterdir():
        if path.suffix == ".gz":
            (to / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        else:
            shutil.copy(path, to)


def read_log(log):
    """What `unittest -v` said: {test's name, or its class's when that was skipped as a whole: Outcome}, and the test
    that had begun and not ended, or None."""
    outcomes, starts = {}, list(STARTED.finditer(log))
    reasons = {name: " ".join(text.split("\n")[-1].split()) for name, text in TRACEBACK.findall(log)}
    for start, following in zip(starts, [*starts[1:], None]):
        method, name = start.groups()
        if not name.endswith(method) and method != "setUpClass":  # Python up to 3.10: the class alone
            name = f"{name}.{method}"
        end = ENDED.search(log, start.end(), following.start() if following else len(log))
        if name in outcomes:  # the list of tracebacks at the end names them again
            continue
        if end is None:
            return outcomes, name
        ok, wrong, *skipped = end.groups()
        outcomes[name] = (Outcome("passed") if ok else Outcome("failed", reasons.get(name, wrong)) if wrong
                          else Outcome("skipped", skipped[0] or skipped[1]))
    return outcomes, None


class Suite:
    """The tests, in a container's home."""

    def __init__(self, lab, place):
        self.lab, self.place = lab, place
        container = lab.plan.find(place)
        unpack(container.home / "tests")
        self.program = f"{lab.put(place, SOURCE / 'run_tests.py').rpartition('/')[0]}/tests/run_tests.py"
        self.deadline = time.monotonic() + RUN_S_MAX

    def run_tests(self, *words, timeout_s=MODULE_S_MAX):
        """run_tests.py's exit status (None: it was ended) and what it printed on stderr and stdout."""
        try:
            done = self.lab.exec(self.place, PYTHON, self.program, *words, timeout=timeout_s,
                                 env=self.lab.variables(PYTHONDONTWRITEBYTECODE="1", LANG="C.UTF-8"))
        except TimeoutExpired as late:
            return None, (late.stderr or b"").decode(errors="replace"), ""
        return done.returncode, done.stderr, done.stdout

    def names(self):
        """Every generic test, by module: {"test_qp": ["tests.test_qp.QPTest.test_create", ...]}."""
        status, errors, listed = self.run_tests("--dev", "ff0", "--list-tests")
        found = {}
        for name in re.findall(r"^tests\.\S+$", listed, re.MULTILINE):
            if not VENDORS.match(name):
                found.setdefault(name.split(".")[1], []).append(name)
        assert found, f"run_tests.py --list-tests ended with {status}:\n{errors}"
        return found

    def run_module(self, names):
        """{name: Outcome} for all of them."""
        outcomes = {}
        while left := [name for name in names if name not in outcomes]:
            seconds = min(MODULE_S_MAX, self.deadline - time.monotonic())
            if seconds <= 0:
                return outcomes | dict.fromkeys(left, Outcome("failed", f"the run took {RUN_S_MAX} s"))
            status, log, _ = self.run_tests("--dev", "ff0", "-v", *left, timeout_s=seconds)
            seen, running = read_log(log)
            for name in left:
                found = seen.get(name) or seen.get(name.rpartition(".")[0])
                if found:
                    outcomes[name] = found
            how = f"took {seconds:.0f} s" if status is None else f"ended its process with status {status}"
            stuck = running if running in left else None
            if stuck or not any(name in outcomes for name in left):
                outcomes[stuck or left[0]] = Outcome("failed", how)
        return outcomes


def run(lab, place, say=lambda text: None):
    """All of them: {module: {name: Outcome}}."""
    suite, results = Suite(lab, place), {}
    for module, names in suite.names().items():
        say(f"{module}: {len(names)} tests")
        results[module] = suite.run_module(names)
    return results


def counts(outcomes):
    return Counter(outcome.state for outcome in outcomes.values())


def total(results):
    return sum((counts(outcomes) for outcomes in results.values()), Counter())


def rxe():
    """{module: Counter} of Linux's software NIC."""
    rows = [line.split("\t") for line in RXE.read_text().splitlines() if not line.startswith("#")]
    return {module: Counter(dict(zip(("passed", "skipped", "failed"), map(int, numbers)))) for module, *numbers in rows}


def table(results):
    theirs, states = rxe(), ("passed", "skipped", "failed")
    drawn = Table(title="rdma-core's generic Python tests", box=box.SIMPLE_HEAD, title_justify="left")
    drawn.add_column("module")
    for heading in (*states, *(f"rxe {state}" for state in states)):
        drawn.add_column(heading, justify="right")
    for module, outcomes in results.items():
        row = [counts(outcomes)[state] for state in states] + [theirs.get(module, Counter())[state] for state in states]
        drawn.add_row(module, *(str(number or "") for number in row))
    ours, all_of_theirs = total(results), sum(theirs.values(), Counter())
    drawn.add_section()
    drawn.add_row("all", *(str(ours[state]) for state in states), *(str(all_of_theirs[state]) for state in states))
    return drawn


def reasons(results, state):
    """A line for each test of that state."""
    return [f"{name.removeprefix('tests.')}: {outcome.reason}" for outcomes in results.values()
            for name, outcome in outcomes.items() if outcome.state == state]


def verdict(results):
    """None when it is good enough, else why not."""
    ours = total(results)
    if ours["failed"]:
        return f"{ours['failed']} generic tests fail"
    if ours["passed"] < PASSED_MIN:
        return f"{ours['passed']} generic tests pass; {PASSED_MIN} did before"
    return None


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="make conformance ARGS=", description=__doc__.partition(":")[0])
    parser.add_argument("--nic", choices=["auto", *WIRED], default="auto", help="roce: in packets, as between hosts")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=max(100, Console().width))
    lab = Lab(host_count=1, container_count=1, nic=options.nic)
    try:
        results = run(lab, "h1c1", say=lambda text: console.print(f"[dim]{text}[/]"))
    finally:
        lab.down()
    for state in ("skipped", "failed"):
        console.rule(state, align="left")
        console.print("\n".join(reasons(results, state)), markup=False, soft_wrap=True)
    console.print(table(results))
    wrong = verdict(results)
    console.print(wrong or f"None fails, {total(results)['passed']} pass (at least {PASSED_MIN} have to).")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
