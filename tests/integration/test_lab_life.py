"""Labs come and go: in every shape, side by side, half-made, and without leaving anything behind."""

import os
import signal
import subprocess

import pytest

from freeflow.errors import FreeFlowError
from freeflow.lab import cgroups, state
from freeflow.lab.model import Plan
from freeflow.lab.processes import Process
from freeflow.lab.up import Making, up
from lab_checks import STAND_IN, said, traces, wait_for
from places import FREEFLOW, Lab, remove_stale


@pytest.fixture
def make():
    """Makes labs with a suffix and a plan, and takes down whatever became of them."""
    made = []

    def make(suffix, **plan):
        made.append(Lab(suffix, router_command=STAND_IN, **plan))
        return made[-1]

    yield make
    for lab in made:
        lab.down()


def own_name(suffix):
    """What Lab calls a lab of this test run."""
    me = Process.of(os.getpid())
    return f"test-{me.pid}-{me.start}{suffix}"


@pytest.mark.parametrize("plan", [{"host_count": 2}, {"host_count": 2, "overlay": "vxlan"},
                                  {"host_count": 3, "container_count": 1, "overlay": "vxlan", "wire_mtu": 9000},
                                  {"host_count": 3, "container_count": 1}], ids=str)
def test_hosts_and_their_containers_reach_each_other(make, plan):
    lab = make("-wide", **plan)
    last = lab.plan.hosts[-1]
    full = lab.plan.overlay_mtu - 28  # IPv4 and ICMP headers
    assert "2 received" in said(lab.exec("h1c1", "ping", "-c2", "-i0.2", "-W5", "-M", "do", "-s", full,
                                         f"{last.name}c1"))
    assert "1 received" in said(lab.exec("h1", "ping", "-c1", "-W5", last.address))
    assert len({host["router"]["pid"] for host in lab.status()["hosts"]}) == lab.plan.host_count


def test_two_labs_side_by_side(make):
    one, other = make("-one"), make("-other")
    assert one.status()["hosts"][0]["router"]["pid"] != other.status()["hosts"][0]["router"]["pid"]
    other.down()
    assert said(one.exec("h1c1", "hostname")) == "h1c1"


def test_down_leaves_nothing(make):
    interfaces = os.listdir("/sys/class/net")
    lab = make("-gone", host_count=3)
    running = lab.popen("h2c1", "sleep", "1000")
    assert traces(lab.name) and os.listdir("/sys/class/net") == interfaces
    assert lab.down()
    assert traces(lab.name) == []
    running.communicate(timeout=10)
    assert running.returncode in (-signal.SIGKILL, 125)  # 125: it was still on its way in
    assert not lab.down()


STEPS = ["make_cgroups", "start_container", "start_etcd", "start_router", "await_containers", "join_network", "let_go"]


@pytest.mark.parametrize("step, after", [(step, after) for step in STEPS for after in (False, True)
                                         if (step, after) != ("let_go", True)])  # by then it is all there
def test_up_killed_half_way_is_cleaned(step, after):
    plan = Plan(own_name("-broken"), host_count=2)
    child = os.fork()
    if not child:
        real = getattr(Making, step)

        def killed(self, *arguments):
            if after:
                real(self, *arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(Making, step, killed)
        up(plan, router_command=STAND_IN)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = traces(plan.name)
    lab = Lab("-broken", router_command=STAND_IN)
    try:
        assert said(lab.exec("h1c2", "hostname")) == "h1c2"
    finally:
        lab.down()
    assert left and traces(plan.name) == []


def test_up_that_fails_takes_back_what_it_made():
    with pytest.raises(FreeFlowError, match="ended with status 3 before it was ready; it said: no luck"):
        Lab("-luck", router_command=["sh", "-c", "echo no luck; exit 3"])
    assert traces(own_name("-luck")) == []


def test_up_twice_is_refused_and_changes_nothing(make):
    lab = make("-twice")
    with pytest.raises(FreeFlowError, match="is up already"):
        Lab("-twice", router_command=STAND_IN)
    assert said(lab.exec("h1c1", "hostname")) == "h1c1"


def test_up_after_a_container_died_makes_it_anew(make):
    def container():
        return lab.status()["hosts"][0]["containers"][0]

    lab = make("-dead")
    os.kill(container()["pid"], signal.SIGKILL)
    wait_for(lambda: not container()["alive"])
    assert "the container is gone" in lab.exec("h1c1", "true").stderr
    assert said(make("-dead").exec("h1c1", "hostname")) == "h1c1"


def test_a_stranger_s_namespace_is_neither_taken_nor_removed():
    name = own_name("-strange")
    subprocess.run(["ip", "netns", "add", f"ff-{name}-h1"], check=True)
    try:
        with pytest.raises(FreeFlowError, match="no lab recorded it"):
            Lab("-strange", router_command=STAND_IN)
        assert traces(name) == [f"/run/netns/ff-{name}-h1"]
    finally:
        subprocess.run(["ip", "netns", "delete", f"ff-{name}-h1"], check=True)


def test_a_stranger_s_cgroup_is_neither_taken_nor_removed():
    plan = Plan(own_name("-strange"))
    [*_, group] = cgroups.find().groups(plan.find("h1c1").cgroup)
    group.mkdir()
    try:
        with pytest.raises(FreeFlowError, match="no lab recorded it"):
            Lab("-strange", router_command=STAND_IN)
        assert traces(plan.name) == [str(group)]
    finally:
        group.rmdir()


def test_a_recorded_pid_that_is_another_s_is_let_be(make):
    lab = make("-reused")
    bystander = subprocess.Popen(["sleep", "1000"])
    record = state.load(lab.name)
    record.processes["h1c1"], real = Process(bystander.pid, 1), record.processes["h1c1"]
    record.save()
    os.kill(real.pid, signal.SIGKILL)
    assert lab.down()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_record_of_another_boot_is_only_files(make):
    lab = make("-boot")
    record = state.load(lab.name)
    record.boot = "another"
    record.save()
    assert not record.running
    record.boot = state.boot_id()
    record.save()
    assert record.running


def test_a_dead_test_run_s_lab_is_removed():
    gone = subprocess.Popen(["true"])
    gone.wait()
    plan = Plan(f"test-{gone.pid}-1")
    up(plan, router_command=STAND_IN)
    remove_stale()
    assert traces(plan.name) == []


def test_many_at_once_take_turns():
    """Four `up` of one name: one makes it, three are told that it is there."""
    name = own_name("-race")
    code = "import sys; from freeflow.lab.up import up; from freeflow.lab.model import Plan; " \
           "up(Plan(sys.argv[1]), router_command=sys.argv[2:])"
    racers = [subprocess.Popen([FREEFLOW[0], "-c", code, name, *STAND_IN], stderr=subprocess.PIPE, text=True)
              for _ in range(4)]
    texts = [racer.communicate(timeout=60)[1] for racer in racers]
    assert sorted(racer.returncode for racer in racers) == [0, 1, 1, 1], texts
    assert sum("is up already" in text for text in texts) == 3
    assert subprocess.run([*FREEFLOW, "lab", "down"], env=os.environ | {"FREEFLOW_LAB": name}, timeout=60).returncode == 0
    assert traces(name) == []


@pytest.mark.parametrize("arguments", [["--mode", "semi-isolated"], ["--nic", "verbs"],
                                       ["--hosts", "0"], ["--overlay", "pigeon"]], ids=" ".join)
def test_what_is_not_there_yet_says_so(arguments):
    done = subprocess.run([*FREEFLOW, "lab", "up", *arguments], capture_output=True, text=True, timeout=30,
                          env=os.environ | {"FREEFLOW_LAB": "test-never"})
    assert done.returncode == 2 and "Error: " in done.stderr
    assert traces("test-never") == []


@pytest.mark.parametrize("command, status", [(["status"], 1), (["exec", "h1c1", "--", "true"], 125)])
def test_without_a_lab_the_cure_is_named(command, status):
    done = subprocess.run([*FREEFLOW, "lab", *command], capture_output=True, text=True, timeout=30,
                          env=os.environ | {"FREEFLOW_LAB": "test-never"})
    assert done.returncode == status and "no lab test-never is up: freeflow lab up" in done.stderr
