"""`podman run --device freeflow.dev/rdma=ff0 IMAGE PROGRAM`, with Debian's Podman and runc, on its own bridge."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ffr.control.restored import restore
from freeflow.lab import routers
from lab_checks import said, wait_for
from places import FREEFLOW, Router
from podman import Podman

NETWORK = "10.88.0.0/16"  # Podman's own
PORT = "/sys/class/infiniband/ff0/ports/1"
CDI = Path("/etc/cdi")


@pytest.fixture(scope="module")
def router():
    made = Router()
    yield made
    made.remove()
    assert not list(made.paths.containers.iterdir())
    made.paths.containers.rmdir()


@pytest.fixture(scope="module")
def podman(router):
    made = Podman(f"ff-test-{os.getpid()}.dev")
    generate(made, router, NETWORK)
    yield made
    made.remove()
    for path in CDI.glob(f"{made.vendor}-*.json"):
        path.unlink()


def generate(podman, router, *networks):
    words = [word for network in networks for word in ("--network", network)]
    told = said(router.run(*FREEFLOW, "cdi", "generate", "--dir", router.directory, "--vendor", podman.vendor, *words))
    assert told.splitlines() == [f"/etc/cdi/{podman.vendor}-rdma.json", f"/etc/cdi/{podman.vendor}-tcp.json"]


def registered(router):
    return [c for c in router.call("container.list")["containers"] if c["name"] != "host"]


def test_perftest_between_two_containers(router, podman):
    with podman.start("ib_send_bw", "-n", "2000", options=["--name", "server"]) as server:
        try:
            wait_for(lambda: any(c["addresses"] and c["sessions"] for c in registered(router)), 30)
            told = said(podman.run("sh", "-c", f"sleep 1; ib_send_bw -n 2000 {podman.address('server')}"))
            output, _ = server.communicate(timeout=30)
        finally:
            podman.call("rm", "-f", "server")
    assert "65536      2000" in told and server.returncode == 0, told + output
    wait_for(lambda: not registered(router))


def test_the_program_finds_the_device_s_files_at_once(router, podman):
    told = said(podman.run("sh", "-c", f"cat {PORT}/gids/0; test -c /dev/infiniband/uverbs0 && echo node; ip -4 -o addr show eth0"))
    gid, node, address = told.splitlines()
    last = address.split()[3].partition("/")[0].split(".")[3]
    assert gid.endswith(f"0a58:{int(last):04x}") and node == "node"


def test_list_shows_engine_and_image(router, podman):
    podman.image("localhost/ff:test", "/bin/busybox")
    with podman.start("/bin/busybox", "sleep", "60", options=["--name", "shown"], of=["localhost/ff:test"]):
        wait_for(lambda: registered(router), 30)
        told = said(router.run(*FREEFLOW, "container", "list", "--dir", router.directory, env=os.environ | podman.variables
                               | {"COLUMNS": "200"}))
        labels = registered(router)[0]["labels"]
        said(podman.call("rm", "-f", "--time", "0", "shown"))
    assert "podman" in told and "localhost/ff:test" in told
    assert labels["engine"] == "podman" and len(labels["id"]) == 64
    wait_for(lambda: not registered(router))


def test_tcp_mode(router, podman):
    before = router.call("status")["tcp"]["accelerated"]
    with podman.start("iperf3", "-s", "-1", device="tcp=on", options=["--name", "server"]) as server:
        try:
            wait_for(lambda: any(c["addresses"] for c in registered(router)), 30)
            said(podman.run("sh", "-c", f"sleep 1; iperf3 -t 1 -c {podman.address('server')}", device="tcp=on"))
        finally:
            podman.call("rm", "-f", "server")
            server.communicate(timeout=30)
    assert router.call("status")["tcp"]["accelerated"] > before


def test_an_address_of_no_network_that_the_operator_named_is_ignored(router, podman):
    generate(podman, router, "10.99.0.0/16")
    try:
        with podman.start("sleep", "60", options=["--name", "elsewhere"]):
            wait_for(lambda: registered(router) and registered(router)[0]["ignored"], 30)
            assert registered(router)[0]["addresses"] == []
            said(podman.call("rm", "-f", "--time", "0", "elsewhere"))
    finally:
        generate(podman, router, NETWORK)


def test_images_without_glibc_start(podman, tmp_path):
    """musl's loader and no loader at all: the preloaded library is not for them, and does not keep them from starting."""
    source = tmp_path / "hello.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n')
    subprocess.run(["musl-gcc", "-o", tmp_path / "dynamic", source], check=True)
    assert b"ld-musl" in (tmp_path / "dynamic").read_bytes()
    mounted = ["-v", f"{tmp_path}:/programs:ro"]
    assert said(podman.run("/programs/dynamic", options=mounted)) == "hello"
    podman.image("localhost/ff:static", "/bin/busybox")
    assert said(podman.run("/bin/busybox", "echo", "hello", of=["localhost/ff:static"])) == "hello"


def test_a_container_of_the_host_s_network_is_the_host(router, podman):
    assert "ff0" in said(podman.run("sh", "-c", "ibv_devices", options=["--network", "host"]))


def test_without_a_router_the_container_starts(router, podman):
    gone = Router()
    generate(podman, gone, NETWORK)
    gone.stop()
    try:
        assert said(podman.run("echo", "started")).endswith("started")
    finally:
        gone.remove()
        generate(podman, router, NETWORK)


def test_the_specs_hold_no_field_newer_than_0_5(podman):
    for path in CDI.glob(f"{podman.vendor}-*.json"):
        spec = json.loads(path.read_text())
        assert (spec["cdiVersion"], set(spec)) == ("0.5.0", {"cdiVersion", "kind", "devices"})
        for device in spec["devices"]:
            assert set(device) == {"name", "containerEdits"}
            assert set(device["containerEdits"]) == {"env", "mounts", "hooks"}
            assert all(set(mount) == {"hostPath", "containerPath", "options"} for mount in device["containerEdits"]["mounts"])


def test_a_router_that_is_restarted_knows_its_containers(podman, router):
    own = Router()
    generate(podman, own, NETWORK)
    try:
        with podman.start("sh", "-c", "until test -e /tmp/go; do sleep 0.1; done; ibv_devices", options=["--name", "stays"]) as stays:
            wait_for(lambda: any(c["addresses"] for c in registered(own)), 30)
            before = [c["addresses"] for c in registered(own)]
            own.process.kill()
            own.process.wait()
            own.process = routers.start(own.directory, own.log, command=[*FREEFLOW, "router"])
            routers.wait_ready(own.process, own.log)
            assert [c["addresses"] for c in registered(own)] == before
            said(podman.call("exec", "stays", "touch", "/tmp/go"))
            assert "ff0" in stays.communicate(timeout=30)[0]
        wait_for(lambda: not registered(own))
        own.paths.containers.rmdir()
    finally:
        podman.call("rm", "-f", "--time", "0", "stays")
        own.remove()
        generate(podman, router, NETWORK)


def test_records_of_containers_that_are_gone_are_removed(router, tmp_path):
    """... and a folder that others may write into is not believed."""
    gone = {"pid": 1 << 30, "netns_inode": 1, "fields": {"name": "gone"}}
    (tmp_path / "gone.json").write_text(json.dumps(gone))
    (tmp_path / "broken.json").write_text("{")
    tmp_path.chmod(0o777)
    never = lambda *_, **__: pytest.fail("nothing there lives")
    restore(tmp_path, never, never)
    assert (tmp_path / "gone.json").exists()
    tmp_path.chmod(0o700)
    restore(tmp_path, never, never)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.json"]


# ---- the hook by itself: what engines say differently ----

def call_hook(router, stage, state):
    from freeflow import hook
    return subprocess.run(["/usr/bin/python3", "-I", "-S", hook.__file__, stage, "--control", str(router.paths.control_socket),
                           "--records", str(router.paths.containers), "--allow", NETWORK], input=json.dumps(state), capture_output=True, text=True, timeout=20)


def test_a_hook_never_fails_a_container(router):
    pid = os.getpid()
    for stage, state, told in [("createRuntime", {"id": "a" * 64}, "no process"), ("poststart", {"id": "a" * 64}, ""),
                               ("createRuntime", {"id": "a" * 64, "pid": 1 << 30}, "No such file"),
                               ("createRuntime", {"id": "a" * 64, "pid": pid}, ""),  # the host's own network
                               ("poststop", {"id": "a" * 64}, ""), ("poststop", {"id": "a" * 64, "pid": 0}, ""),
                               ("createRuntime", [], "'list' object"), ("prestart", {"id": "a"}, "prestart")]:
        done = call_hook(router, stage, state)
        assert done.returncode == 0 and told in done.stderr and bool(told) == bool(done.stderr), (stage, done.stderr)
    assert registered(router) == []


def test_a_hook_that_runs_twice(router):
    with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as container:
        try:
            wait_for(lambda: os.stat(f"/proc/{container.pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino)
            state = {"id": "b" * 64, "pid": container.pid, "bundle": "/run/containerd/io.containerd.runtime.v2.task/k8s.io/b",
                     "annotations": {"io.kubernetes.cri.sandbox-name": "pod", "io.kubernetes.cri.image-name": "img"}}
            for _ in range(2):
                assert call_hook(router, "createRuntime", state).stderr == ""
            found, = registered(router)
            assert (found["name"], found["addresses"]) == ("b" * 12, [])
            assert found["labels"] == {"engine": "containerd", "image": "img", "pod": "pod", "id": "b" * 64}
            for _ in range(2):
                assert call_hook(router, "poststop", {"id": "b" * 64}).stderr == ""
            assert registered(router) == []
        finally:
            container.kill()


def test_containers_of_a_pod_are_one(router):
    """They share a network namespace, and the last one to end takes the registration along."""
    with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as pod:
        try:
            wait_for(lambda: os.stat(f"/proc/{pod.pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino)
            annotations = {"io.kubernetes.cri.sandbox-id": "c" * 64, "io.kubernetes.cri.sandbox-name": "pod"}
            states = [{"id": letter * 64, "pid": pod.pid, "annotations": annotations} for letter in "de"]
            for state in states:
                assert call_hook(router, "createRuntime", state).stderr == ""
            assert [c["name"] for c in registered(router)] == ["c" * 12]
            assert call_hook(router, "poststop", states[0]).stderr == "" and len(registered(router)) == 1
            assert call_hook(router, "poststop", states[1]).stderr == "" and registered(router) == []
        finally:
            pod.kill()


def test_redis_in_tcp_mode(router, podman):
    """docs/first-hour-redis.md."""
    before = router.call("status")["tcp"]["accelerated"]
    server = ["redis-server", "--protected-mode", "no", "--save", "", "--bind", "0.0.0.0"]
    with podman.start(*server, device="tcp=on", options=["--name", "redis"]) as process:
        try:
            wait_for(lambda: any(c["addresses"] for c in registered(router)), 30)
            ask = f"sleep 1; redis-cli -h {podman.address('redis')} set k v; redis-benchmark -h {podman.address('redis')} -t get -n 2000 -q"
            told = said(podman.run("sh", "-c", ask, device="tcp=on"))
        finally:
            podman.call("rm", "-f", "--time", "0", "redis")
            process.communicate(timeout=30)
    assert told.startswith("OK") and "requests per second" in told
    assert router.call("status")["tcp"]["accelerated"] - before > 20
