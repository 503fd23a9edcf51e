"""A host's router process: start it, wait until it accepts, tell it whose network namespace is whose."""

import os
import secrets
import subprocess
import sys
import time

from ffcore.nics import WIRED
from freeflow.control import Control
from freeflow.errors import FreeFlowError
from freeflow.lab.model import OVERLAY_PREFIX, ROUTER_NAME, WIRE_PREFIX

READY_WORD = "ready"
READY_WAIT_S = 20.0
MAP_WAIT_S = 20.0  # etcd starts meanwhile, on a machine that may be busy
LOG_LINES_SHOWN = 5


def start(directory, log, netns=None, name=ROUTER_NAME, command=None, variables=None, options=()):
    """Starts a router that owns `directory`, in the network namespace at `netns` (this one if None).

    log: the file that gets its output. command: argument list that stands in for `freeflow router`. variables: its
    whole environment. options: further ones of `freeflow router`. Returns a Popen, not ready yet.
    """
    command = command or [sys.executable, "-m", "freeflow.cli.main", "router"]
    command = [*command, "--dir", str(directory), "--name", name, *options]
    if netns:
        command = ["nsenter", f"--net={netns}", *command]
    with open(log, "wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                env=variables, start_new_session=True)


def options(plan):
    """Of `freeflow router`, on each host of a lab."""
    chosen = (["--nic", plan.nic] if plan.nic != "auto" else []) + (["--link", plan.link] if plan.link != "udp" else [])
    chosen += ["--policy", str(plan.policy)] if plan.policy else []
    if plan.etcd_url:
        chosen += ["--state", str(plan.directory / "state")]
        return [*chosen, "--etcd", plan.etcd_url, "--key", str(plan.key_path)]
    return [*chosen, "--hosts", str(plan.hosts_path)] if plan.nic in WIRED else chosen


def write_map(plan):
    """Of a lone host, for its router to know its address."""
    plan.hosts_path.write_text(f'[hosts]\n"{plan.hosts[0].address}" = []\n')


def write_key(path):
    """A secret that the routers share."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")


def wait_ready(process, log, timeout_s=READY_WAIT_S):
    """Until it says that it accepts. Raises FreeFlowError with what it said instead."""
    deadline = time.monotonic() + timeout_s
    while READY_WORD not in (said := log.read_text(errors="replace")).split():
        said = "; ".join(said.splitlines()[-LOG_LINES_SHOWN:]) or "nothing"
        if process.poll() is not None:
            raise FreeFlowError(f"the router ended with status {process.returncode} before it was ready; it said: {said}")
        if time.monotonic() > deadline:
            raise FreeFlowError(f"the router was not ready after {timeout_s:g} s; it said: {said}")
        time.sleep(0.003)


def introduce(host, pids):
    """Registers the host's containers with its router; pids: container name -> its PID 1. What is free of the host's
    network they may give themselves."""
    with Control(str(host.router_directory), ROUTER_NAME) as router:
        for container in host.containers:
            router.call("container.add", name=container.name, netns=f"/proc/{pids[container.name]}/ns/net",
                        addresses=[container.address], tenant=container.tenant, allow=[host.container_network],
                        pid=pids[container.name])


def await_map(plan, timeout_s=MAP_WAIT_S):
    """Until each host's router knows where all the containers of the others are."""
    deadline = time.monotonic() + timeout_s
    for host in plan.hosts:
        wanted = {other.address: len(other.containers) + 1 for other in plan.hosts if other != host}  # and its own
        with Control(str(host.router_directory), ROUTER_NAME) as router:
            while (said := router.call("status")["map"])["hosts"] != wanted:
                if time.monotonic() > deadline:
                    raise FreeFlowError(f"{host.name} did not learn where the others' containers are within {timeout_s:g} s;"
                                        f" its router says: {said}")
                time.sleep(0.005)


def prefixes():
    """What TCP mode asks of the environment: which addresses are the containers', which the hosts'."""
    return {"VNET_PREFIX": OVERLAY_PREFIX, "HOST_IP_PREFIX": WIRE_PREFIX}
