"""One policy for all hosts of an etcd: `freeflow policy set`, followed live by each router, kept for the next one."""

import os
import subprocess

import pytest
from lab_checks import wait_for
from places import FREEFLOW, Lab

from freeflow.lab import routers, state
from freeflow.lab.model import ETCD
from freeflow.lab.processes import end

LOW = "[quota.session]\nmax_qp = 8\n\n[[reach.allow]]\nname = 'all'\nfrom = '*'\nto = '*'\n"
WAIT_S = 20


@pytest.fixture(scope="module")
def lab():
    made = Lab("-policy", host_count=2, container_count=1)
    yield made
    made.down()


@pytest.fixture
def on_host(lab):
    def run(*words):
        return subprocess.run(["nsenter", f"--net={lab.plan.find('h1').netns_path}", *FREEFLOW, "policy", *words],
                              capture_output=True, text=True, timeout=30, env=os.environ)
    return run


def shown(lab, host):
    with lab.control(host) as control:
        return control.call("policy.show", container=f"{host}c1")


def rules(lab):
    return [shown(lab, host)["reach"] for host in ("h1", "h2")]


def test_all_hosts_follow_it(lab, on_host, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(LOW)
    done = on_host("set", str(file), "--etcd", lab.plan.etcd_url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wait_for(lambda: rules(lab) == [["reach.allow[0] (all)"]] * 2, timeout_s=WAIT_S)
    assert [shown(lab, host)["file"] for host in ("h1", "h2")] == ["etcd: /freeflow/policy"] * 2

    file.write_text("[quota.session]\nmax_qp = 0\n")
    wrong = on_host("set", str(file), "--etcd", lab.plan.etcd_url)
    assert wrong.returncode == 1 and "quota.session.max_qp = 0" in wrong.stderr and str(file) in wrong.stderr
    by_hand = subprocess.run(["nsenter", f"--net={lab.plan.find('h1').netns_path}", "etcdctl", f"--endpoints={lab.plan.etcd_url}", "put",
                              "/freeflow/policy", "[quota"], env=os.environ | {"ETCDCTL_API": "3"}, capture_output=True, timeout=30)
    assert by_hand.returncode == 0, by_hand
    wait_for(lambda: all("etcd: /freeflow/policy: " in (shown(lab, host)["error"] or "") for host in ("h1", "h2")), timeout_s=WAIT_S)
    assert rules(lab) == [["reach.allow[0] (all)"]] * 2

    assert on_host("unset", "--etcd", lab.plan.etcd_url).returncode == 0
    wait_for(lambda: all("default" in one[0] for one in rules(lab)), timeout_s=WAIT_S)
    assert [shown(lab, host)["error"] for host in ("h1", "h2")] == [None, None]


def test_the_next_router_begins_with_it_though_etcd_is_away(lab, on_host, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(LOW)
    assert on_host("set", str(file), "--etcd", lab.plan.etcd_url).returncode == 0
    wait_for(lambda: rules(lab) == [["reach.allow[0] (all)"]] * 2, timeout_s=WAIT_S)
    host = lab.plan.find("h2")
    processes = state.load(lab.name).processes
    assert end([processes["h2"], processes[ETCD]], grace_s=10) == []
    log = lab.plan.directory / "second.log"
    second = routers.start(host.router_directory, log, netns=host.netns_path, options=routers.options(lab.plan))
    try:
        routers.wait_ready(second, log)
        with lab.control("h2") as control:
            assert control.call("policy.show", container="host")["reach"] == ["reach.allow[0] (all)"]
            assert not control.call("status")["map"]["etcd"]["connected"]
    finally:
        second.kill()
        second.wait()


@pytest.mark.parametrize("words, told", [
    (["set", "nowhere.toml", "--etcd", "http://127.0.0.1:1"], "nowhere.toml: No such file"),
    (["set", "/dev/null"], "one of --etcd and --hosts is needed"),
    (["unset", "--etcd", "http://127.0.0.1:1"], "127.0.0.1:1: "),
    (["unset", "--etcd", "ftp://there"], "http://HOST:PORT or https://HOST:PORT is needed"),
])
def test_what_cannot_be_is_told_in_a_line(words, told):
    done = subprocess.run([*FREEFLOW, "policy", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode and told in done.stderr and "Traceback" not in done.stderr, done
