"""The policy file changes while programs run: what they have stays, what is beyond the new limits gets ENOMEM."""

import errno
import json
import os
import re
import subprocess
import sys

import pytest
from policies import put
from programs import program
from router_process import RouterProcess, eventually

from freeflow import launch
from freeflow.doctor import WARN, Here
from freeflow.doctor import policy as what_doctor_says

WAIT_S = 30
LOW = "[quota.session]\nmax_qp = 2\ndm_bytes = 4096\npinned_bytes = 2097152\n"
HIGH = "[quota.session]\nmax_qp = 9\ndm_bytes = 65536\npinned_bytes = 9437184\n"


class Program:
    """limits_live.c, as a program of the host's."""

    def __init__(self, router):
        self.process = subprocess.Popen([program("limits_live")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env=launch.environment(router.paths, os.environ))

    def do(self, letters):
        """Errors, one a letter."""
        found = []
        for letter in letters:
            self.process.stdin.write(f"{letter}\n")
            self.process.stdin.flush()
            found.append(int(self.process.stdout.readline()))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.communicate(timeout=WAIT_S)


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text(HIGH)
    return path


@pytest.fixture
def router(policy):
    with RouterProcess("--policy", str(policy)) as router:
        yield router


def doctor(router):
    """What it says of the policy."""
    found = what_doctor_says(Here(router.directory, "router"))
    return f"{found.state} {found.text} {found.cure}"


def in_force(router, key, most):
    """Every session of the host's has that limit."""
    sessions = router.ask("policy.show", container="host")["sessions"].values()
    return sessions and all(limits[key] == most for limits in sessions)


def test_limits_are_lowered_and_raised_under_a_program(router, policy):
    with Program(router) as running:
        assert running.do("QQQQMMMMDDDD") == [0] * 12
        put(policy, LOW)
        assert eventually(lambda: in_force(router, "max_qp", 2), WAIT_S)
        assert running.do("QMD") == [errno.ENOMEM] * 3            # beyond them, though it has more
        assert running.do("qqmmdd") == [0] * 6                    # what it had was there
        assert running.do("QMD") == [errno.ENOMEM] * 3            # as many as they allow
        assert running.do("qmdddQMD")[:3] == [0] * 3
        put(policy, HIGH)
        assert eventually(lambda: in_force(router, "max_qp", 9), WAIT_S)
        assert running.do("QQMMDD") == [0] * 6


@pytest.mark.parametrize("wrong, words", [("[quota.session]\nmax_qp = \n", "line 2"), ("[quota.session]\nmax_qps = 2\n", "max_qps"),
                                          ("[quota.session]\nmax_qp = -2\n", "quota.session.max_qp = -2"), ("# " + "x" * (1 << 20), "1048576"),
                                          (None, "No such file")])
def test_a_wrong_content_is_told_and_the_last_good_one_stays(router, policy, wrong, words):
    with Program(router) as running:
        policy.unlink() if wrong is None else put(policy, wrong)
        assert eventually(lambda: words in (router.ask("policy.show")["error"] or ""), WAIT_S)
        found = doctor(router)
        assert found.startswith(WARN) and words in found and "policy check" in found
        assert "the last good one stays" in router.log.read_text() and str(policy) in router.log.read_text()
        assert in_force(router, "max_qp", 9) and running.do("Q" * 10) == [0] * 9 + [errno.ENOMEM]
        put(policy, LOW)
        assert eventually(lambda: in_force(router, "max_qp", 2), WAIT_S)
        assert router.ask("policy.show")["error"] is None and "is in force" in doctor(router)


def freeflow(*words):
    return subprocess.run([sys.executable, "-m", "freeflow", *words], capture_output=True, text=True, timeout=WAIT_S)


def test_check_and_show_say_it_to_people(router, policy):
    assert freeflow("policy", "check", policy).returncode == 0
    with Program(router) as running:
        assert running.do("Q") == [0]
        shown = freeflow("policy", "show", "host", "--dir", router.directory, "--name", "router").stdout
        assert [9, "quota.session"] in [[int(most), where] for key, most, where in map(str.split, re.findall(" {2}.*", shown))]
    said = json.loads(freeflow("policy", "show", "--json", "--dir", router.directory, "--name", "router").stdout)
    assert said == {"file": str(policy), "error": None}
    for wrong, words in (("[quota]\nfast = 1\n", "fast"), (None, "No such file")):
        policy.unlink() if wrong is None else put(policy, wrong)
        done = freeflow("policy", "check", policy)
        assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1
