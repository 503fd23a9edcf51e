"""CDI specs (Container Device Interface): what Podman, Docker, containerd and CRI-O add to a container that asks for a device
of FreeFlow's. One file for each kind: VENDOR/rdma, whose device is ff0, and VENDOR/tcp, whose device is `on`.

Version 0.5.0 and no newer field: Debian 12's Podman knows that.
"""

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

from freeflow import hook
from freeflow.errors import FreeFlowError
from freeflow.launch import SOCKET_LIBRARY, VERBS_LIBRARY

VERSION = "0.5.0"
VENDOR = "freeflow.dev"
STATIC, CLEARED_AT_BOOT = "/etc/cdi", "/var/run/cdi"
INSIDE = "/freeflow"
HOOK_TIMEOUT_S = 5
ENGINE_WAIT_S = 20
STAGES = ("createRuntime", "poststart", "poststop")


def specs(router, networks, vendor=VENDOR, tenant="default"):
    """{file name: spec}. router: RouterPaths on the host. networks: texts of those out of which containers have their
    addresses. The loader puts its own word for $LIB into LD_PRELOAD; musl's knows none and leaves it at that, where a library
    that it cannot load would keep the container from starting."""
    shared = {"mounts": [{"hostPath": str(router.directory), "containerPath": INSIDE,
                          "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]}],
              "hooks": [_hook(stage, router, networks, tenant) for stage in STAGES]}
    made = {}
    for kind, device, libraries in (("rdma", "ff0", [VERBS_LIBRARY]), ("tcp", "on", [SOCKET_LIBRARY, VERBS_LIBRARY])):
        preload = ":".join(f"{INSIDE}/$LIB/{name}" for name in libraries)
        env = [f"FREEFLOW_DIR={INSIDE}", f"FFR_NAME={router.name}", f"LD_PRELOAD={preload}"]
        made[f"{vendor}-{kind}.json"] = {"cdiVersion": VERSION, "kind": f"{vendor}/{kind}", "devices": [
            {"name": device, "containerEdits": {"env": env, **shared}}]}
    return made


def _hook(stage, router, networks, tenant):
    words = [sys.executable, "-I", "-S", hook.__file__, stage, "--control", str(router.control_socket), "--records",
             str(router.containers), "--tenant", tenant]
    for network in networks:
        words += ["--allow", network]
    return {"hookName": stage, "path": os.path.realpath(sys.executable), "args": words, "timeout": HOOK_TIMEOUT_S}


def write(made, directory):
    """Each as a whole, so that no engine reads half of one. Returns their paths. Raises FreeFlowError."""
    paths = []
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        for name, spec in made.items():
            path, fresh = Path(directory, name), Path(directory, f".{name}.{os.getpid()}")
            try:
                fresh.write_text(json.dumps(spec, indent=1) + "\n")
                fresh.rename(path)
            finally:
                fresh.unlink(missing_ok=True)
            paths.append(path)
    except OSError as error:
        raise FreeFlowError(f"{error.filename or directory}: {error.strerror}") from None
    return paths


def checked(networks):
    """Networks as the router takes them. Raises FreeFlowError."""
    try:
        return [str(ipaddress.ip_network(network)) for network in networks]
    except ValueError as error:
        raise FreeFlowError(f"--network: {error}") from None


def engines_networks():
    """The subnets that Podman and Docker give addresses out of, as they say themselves: the operator's word, given to them."""
    found = asked("podman", "network", "ls", "-q"), asked("docker", "network", "ls", "-q")
    subnets = []
    for engine, names in zip(("podman", "docker"), found):
        if names:
            for network in json.loads(asked(engine, "network", "inspect", *names.split()) or "[]"):
                ranges = network.get("subnets") or (network.get("IPAM") or {}).get("Config") or []
                subnets += [text for each in ranges if (text := each.get("subnet") or each.get("Subnet"))]
    return list(dict.fromkeys(subnets))


def asked(*words):
    """What a command prints; "" when there is none or it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=ENGINE_WAIT_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
