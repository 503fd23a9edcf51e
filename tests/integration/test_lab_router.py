"""The lab with real routers: the device is there, its use is counted, and a killed router leaves nothing either."""

import os
import signal
from pathlib import Path

from lab_checks import said, traces, wait_for
from places import Lab

ASYNCWATCH = "ibv_asyncwatch"  # opens the device and waits


def test_every_container_has_the_device_and_its_own_gid(lab):
    for container in lab.plan.containers:
        seen = said(lab.exec(container.name, "ibv_devinfo", "-v"))
        assert "hca_id:\tff0" in seen and f"::ffff:{container.address}" in seen


def test_without_freeflow_there_is_no_device(lab):
    done = lab.exec("h1c1", "ibv_devinfo", mode="plain")
    assert "ff0" not in done.stdout


def test_use_is_counted_where_it_happens(lab):
    def sessions():
        return [container["counters"]["sessions"] for container in lab.status()["hosts"][0]["containers"]]

    opened = lab.status()["hosts"][0]["counters"]["sessions_opened"]
    assert sessions() == [0, 0, 0]
    running = lab.popen("h1c2", ASYNCWATCH)
    wait_for(lambda: sessions() == [0, 1, 0])
    running.terminate()
    running.communicate(timeout=10)
    wait_for(lambda: sessions() == [0, 0, 0])
    assert lab.status()["hosts"][0]["counters"]["sessions_opened"] == opened + 1


def test_hosts_have_routers_of_their_own():
    lab = Lab("-two", host_count=2, container_count=1)
    def opened():
        return [host["counters"]["sessions_opened"] for host in lab.status()["hosts"]]

    try:
        before = opened()
        for name in ("h1c1", "h2c1"):
            assert "ff0" in said(lab.exec(name, "ibv_devices"))
        assert opened() == [count + 1 for count in before]
    finally:
        lab.down()


def test_a_killed_router_leaves_nothing_either():
    lab = Lab("-killed")
    try:
        pid = lab.status()["hosts"][0]["router"]["pid"]
        counters = Path(f"/dev/shm/freeflow-router-{pid}")
        assert counters.exists()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not lab.status()["hosts"][0]["router"]["alive"])
        assert lab.exec("h1c1", "ibv_devinfo").returncode != 0
    finally:
        lab.down()
    assert not counters.exists() and traces(lab.name) == []


def test_a_file_put_into_a_container_can_be_run_there(lab, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho from $(hostname)\n")
    assert said(lab.exec("h1c3", lab.put("h1c3", script))) == "from h1c3"


def test_a_router_of_a_test_s_own(router):
    assert "hca_id:\tff0" in said(router.run("ibv_devinfo"))
    assert router.call("status")["pid"] == router.pid
    assert router.stop() == 0
    assert router.run("ibv_devinfo").returncode != 0
