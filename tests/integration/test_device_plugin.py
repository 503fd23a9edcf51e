"""The device plugin beside a kubelet that is a stand-in: it serves Registration, calls the plugin back at once, and restarts as
kubelets do, by deleting every socket in the directory. No kubelet runs here."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from freeflow.kubelet import API, AUTHORITY, VERSION, Plugin
from lab_checks import wait_for
from places import FREEFLOW

RESOURCE, DEVICE = "freeflow.dev/rdma", "freeflow.dev/rdma=ff0"


class Kubelet:
    """registered: the requests, in their order; options: what the plugin answered while it registered."""

    def __init__(self, directory):
        self.directory, self.registered, self.options = directory, [], []
        for socket in directory.glob("*.sock"):
            socket.unlink()
        self.server = grpc.server(ThreadPoolExecutor(2), handlers=[grpc.method_handlers_generic_handler(
            f"{VERSION}.Registration", {"Register": grpc.unary_unary_rpc_method_handler(
                self.register, API["RegisterRequest"].FromString, API["Empty"].SerializeToString)})])
        self.server.add_insecure_port(f"unix:{directory}/kubelet.sock")
        self.server.start()

    def register(self, request, context):
        """As a kubelet: it asks the plugin before it answers, so that must serve already."""
        self.options.append(self.call(request.endpoint, "GetDevicePluginOptions", API["Empty"](), API["DevicePluginOptions"]))
        self.registered.append(request)
        return API["Empty"]()

    def call(self, endpoint, method, request, answer):
        with grpc.insecure_channel(f"unix:{self.directory}/{endpoint}", AUTHORITY) as channel:
            ask = channel.unary_unary(f"/{VERSION}.DevicePlugin/{method}", lambda m: m.SerializeToString(), answer.FromString)
            return ask(request, timeout=10)

    def watch(self, endpoint):
        """A list that grows by (how many, their health) with each answer of ListAndWatch."""
        heard = []

        def listen():
            try:
                with grpc.insecure_channel(f"unix:{self.directory}/{endpoint}", AUTHORITY) as channel:
                    ask = channel.unary_stream(f"/{VERSION}.DevicePlugin/ListAndWatch", lambda m: m.SerializeToString(),
                                               API["ListAndWatchResponse"].FromString)
                    for answer in ask(API["Empty"]()):
                        heard.append((len({device.ID for device in answer.devices}), {device.health for device in answer.devices}))
            except grpc.RpcError:
                heard.append("ended")

        threading.Thread(target=listen, daemon=True).start()
        return heard

    def stop(self):
        self.server.stop(0).wait()


@pytest.fixture
def plugin(tmp_path, router):
    """Running, in a directory without a kubelet."""
    made = Plugin(tmp_path, RESOURCE, DEVICE, 100, router.paths)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join(10)
    assert not thread.is_alive() and not made.socket.exists()


def kubelet_of(plugin):
    kubelet = Kubelet(plugin.directory)
    wait_for(lambda: kubelet.registered and plugin.registered)
    return kubelet


def test_it_serves_and_then_registers(plugin):
    kubelet = kubelet_of(plugin)
    request, = kubelet.registered
    assert (request.version, request.resource_name) == (VERSION, RESOURCE)
    assert request.endpoint == plugin.socket.name and "/" not in request.endpoint
    assert not kubelet.options[0].pre_start_required
    kubelet.stop()


def test_health_follows_the_router(plugin, router):
    kubelet = kubelet_of(plugin)
    heard = kubelet.watch(plugin.socket.name)
    wait_for(lambda: heard == [(100, {"Healthy"})])
    router.stop()
    wait_for(lambda: heard[1:] == [(100, {"Unhealthy"})])
    kubelet.stop()


def test_allocate_names_the_cdi_device_for_each_container(plugin):
    kubelet = kubelet_of(plugin)
    asked = API["AllocateRequest"](container_requests=[API["ContainerAllocateRequest"](devicesIDs=[str(n)]) for n in (7, 8)])
    answer = kubelet.call(plugin.socket.name, "Allocate", asked, API["AllocateResponse"])
    assert [[device.name for device in c.cdi_devices] for c in answer.container_responses] == [[DEVICE], [DEVICE]]
    kubelet.stop()


def test_a_kubelet_that_restarts_finds_it_again(plugin):
    for _ in range(3):
        kubelet = kubelet_of(plugin)  # deletes the plugin's socket, too
        heard = kubelet.watch(kubelet.registered[-1].endpoint)
        wait_for(lambda: heard and heard[-1] == (100, {"Healthy"}))
        kubelet.stop()


def test_a_kubelet_that_only_comes_back(plugin):
    """Its socket is another one, the plugin's was left."""
    kubelet = kubelet_of(plugin)
    kubelet.stop()
    wait_for(lambda: not plugin.registered)
    kubelet_of(plugin).stop()


def test_two_resources_side_by_side(plugin, router):
    other = Plugin(plugin.directory, "freeflow.dev/tcp", "freeflow.dev/tcp=on", 5, router.paths)
    thread = threading.Thread(target=other.run)
    thread.start()
    try:
        kubelet = Kubelet(plugin.directory)
        wait_for(lambda: {r.resource_name for r in kubelet.registered} == {RESOURCE, "freeflow.dev/tcp"})
        kubelet.stop()
    finally:
        other.stop()
        thread.join(10)


def test_the_command_ends_on_a_signal_in_the_middle_of_a_stream(router, tmp_path):
    with subprocess.Popen([*FREEFLOW, "device-plugin", "--dir", router.directory, "--kubelet-dir", tmp_path, "--shares", "3"],
                          stdout=subprocess.PIPE, text=True) as process:
        assert RESOURCE in process.stdout.readline()
        kubelet = Kubelet(tmp_path)
        wait_for(lambda: kubelet.registered)
        heard = kubelet.watch(kubelet.registered[-1].endpoint)
        wait_for(lambda: heard)
        process.terminate()
        assert process.wait(10) == 0
        kubelet.stop()
    assert not list(tmp_path.glob("freeflow*"))


@pytest.mark.parametrize("name", ["rdma", "freeflow.dev/", "UPPER.dev/rdma", "a/" + "b" * 64])
def test_names_that_kubernetes_has_not(name):
    done = subprocess.run([*FREEFLOW, "device-plugin", "--resource", name], capture_output=True, text=True)
    assert done.returncode == 2 and "--resource" in done.stderr
