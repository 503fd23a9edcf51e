"""The OCI hook: tells the host's router of a container when the engine makes it, and when it is gone.

    python3 -I -S hook.py STAGE --control SOCKET --records FOLDER --allow NETWORK...  # the container's state is on standard input

By itself, with the standard library alone, since it stands in the way of each container's start. Whatever goes wrong, the
container starts: one line goes to the system's log, and the exit status is 0.

Addresses are not the container's to say, nor has every engine given it one yet: the networks that --allow names are the
operator's word, and the router follows what the container's interfaces have out of them.
"""

import json
import os
import socket
import sys
import syslog
import time

STATE_BYTES_MAX = 1 << 20
WAIT_S = 2.0  # for the router; the engine waits for us
LOOK_S = 0.01
NAME_CHARACTERS = 12  # of the container's id, as engines show it
PODS = ("io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID")  # whose containers share a network namespace
# What is told of where it comes from: label -> annotations of the engines'.
LABELS = {"image": ("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "io.container.image"),
          "pod": ("io.kubernetes.cri.sandbox-name", "io.kubernetes.cri-o.KubeName"),
          "namespace": ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri-o.Namespace"),
          "container": ("io.kubernetes.cri.container-name", "io.kubernetes.cri-o.ContainerName")}
ENGINES = {"/moby/": "docker", "/containerd/": "containerd", "/crio/": "cri-o"}  # by a part of the bundle's path


def main(words):
    stage, options = words[0], {"--allow": [], "--control": [], "--records": [], "--tenant": ["default"]}
    for option, value in zip(words[1::2], words[2::2]):
        options[option] = [*options[option], value] if option != "--tenant" else [value]
    state = json.loads(sys.stdin.buffer.read(STATE_BYTES_MAX))
    annotations = state.get("annotations") or {}
    name = next((annotations[key] for key in PODS if annotations.get(key)), state["id"])[:NAME_CHARACTERS]
    ask = {"createRuntime": _added, "poststart": _shown, "poststop": _gone}[stage](name, state, options)
    _record(stage, options["--records"][0], state, ask)
    if ask:
        _call(options["--control"][0], ask)
    if ask and stage == "poststart":
        _await_files(state["pid"])


def _added(name, state, options):
    """None for a container of the host's own network: its programs are the host's."""
    if not state.get("pid"):
        raise ValueError("the engine names no process")
    netns = f"/proc/{state['pid']}/ns/net"
    if os.stat(netns).st_ino == os.stat("/proc/self/ns/net").st_ino:
        return None
    return {"op": "container.add", "name": name, "netns": netns, "addresses": [], "allow": options["--allow"],
            "tenant": options["--tenant"][-1], "labels": labels(state), "member": state["id"]}


def _shown(name, state, options):
    return {"op": "container.files", "name": name, "pid": state["pid"]} if state.get("pid") else None


def _gone(name, state, options):
    return {"op": "container.remove", "name": name, "member": state["id"]}


def _record(stage, folder, state, ask):
    """For a router that is not there now, or will be another one (ffr/control/restored.py)."""
    path = f"{folder}/{state['id']}.json"
    if stage == "createRuntime" and ask:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fields = {name: value for name, value in ask.items() if name != "op"}
        record = {"pid": state["pid"], "netns_inode": os.stat(ask["netns"]).st_ino, "fields": fields}
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(record, file)
        os.rename(f"{path}.new", path)
    elif stage == "poststop":
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _await_files(pid):
    """Where the engine waits for its hooks, the program finds the device's files from its first instruction on."""
    for _ in range(int(WAIT_S / LOOK_S)):
        if os.path.isdir(f"/proc/{pid}/root/sys/class/infiniband") or not os.path.isdir(f"/proc/{pid}/root"):
            return
        time.sleep(LOOK_S)


def labels(state):
    """What a person wants to know of a container: engine, image, and in Kubernetes pod, namespace and container."""
    annotations = state.get("annotations") or {}
    found = {label: next((annotations[key] for key in keys if annotations.get(key)), None) for label, keys in LABELS.items()}
    bundle = os.path.realpath(state.get("bundle", "")) + "/"
    found["engine"] = next((engine for part, engine in ENGINES.items() if part in bundle), None)
    if annotations.get("io.container.manager") == "libpod":
        found["engine"] = "podman"
    found["id"] = state["id"]
    return {label: str(value)[:200] for label, value in found.items() if value}


def _call(path, request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as router:
        router.settimeout(WAIT_S)
        router.connect(path)
        router.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(router.makefile("rb").readline(1 << 20))
    if not reply["ok"] and not (request["op"] == "container.remove" and "no container" in reply["error"]):
        raise ValueError(f"{request['op']} {request['name']}: {reply['error']}")


def _log(text):
    syslog.openlog("freeflow-hook")
    syslog.syslog(syslog.LOG_WARNING, text)
    print(f"freeflow-hook: {text}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:  # the container starts, whatever that was
        _log(f"{' '.join(sys.argv[1:2])}: {error}")
