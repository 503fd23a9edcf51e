"""Making a lab."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ffcore.nics import WIRED
from ffcore.paths import RouterPaths
from freeflow import device_show
from freeflow.errors import FreeFlowError
from freeflow.furnish import furnish
from freeflow.lab import cgroups, etcd, network, routers, state
from freeflow.lab.down import take_down
from freeflow.lab.model import ETCD, HOME_INSIDE, ROUTER_INSIDE, ROUTER_NAME
from freeflow.lab.processes import Process

SOURCES = Path(__file__).resolve().parents[2]


def up(plan, say=print, router_command=None):
    """Makes the lab of `plan` (model.Plan), after cleaning up what a broken one of that name left. Returns its Record.

    Raises FreeFlowError when it is up already, or when something of it cannot be made; then nothing of it is left.
    router_command: see routers.start.
    """
    check_machine()
    with state.locked(plan.name):
        old = state.load(plan.name)
        if old and old.running:
            raise FreeFlowError(f"lab {plan.name} is up already: take it down first (freeflow lab down)")
        if old:
            say(f"cleaning up a lab {plan.name} that broke off")
            take_down(old)
        hierarchies = cgroups.find()
        record = state.Record(plan, cgroups=[group for container in plan.containers
                                             for group in hierarchies.groups(container.cgroup)])
        refuse_strangers(record)
        making = Making(record, say, router_command)
        try:
            return making.run()
        except BaseException:
            making.abandon()
            take_down(record)
            raise


def check_machine():
    """What can be said before anything is made."""
    if os.geteuid() != 0:
        raise FreeFlowError("a lab is made of namespaces, and those need root")
    if not Path("/etc/hosts").exists():  # each container's own is mounted over it
        raise FreeFlowError("this machine has no /etc/hosts, and containers would not know each other's names: "
                            "echo 127.0.0.1 localhost > /etc/hosts")


def refuse_strangers(record):
    """What has one of our names and no record is not ours: better to stop than to take it over."""
    for name in record.plan.netns_names:
        if Path("/run/netns", name).exists():
            raise FreeFlowError(f"network namespace {name} exists, and no lab recorded it: ip netns delete {name}")
    for group in record.cgroups:
        if group.exists():
            raise FreeFlowError(f"cgroup {group} exists, and no lab recorded it: rmdir {group}")


class Making:
    """One `lab up` under way. Whatever is about to exist is recorded first."""

    def __init__(self, record, say, router_command):
        self.record, self.plan, self.say, self.router_command = record, record.plan, say, router_command
        self.inits = {}  # container name -> Popen of its maker's half, whose pipes hold the container
        self.routers = {}  # host name -> Popen

    def run(self):
        self.record.save()
        self.make_cgroups()
        for host in self.plan.hosts:
            furnish(host.router_directory)
        for container in self.plan.containers:
            self.start_container(container)
        network.namespaces("add", self.plan.netns_names)
        network.apply(network.wire(self.plan))
        for host in self.plan.hosts:
            network.apply(network.host(self.plan, host, network.usual_congestion_control()))
        if self.plan.etcd_url:
            self.start_etcd()
            routers.write_key(self.plan.key_path)
        elif self.plan.nic in WIRED:
            routers.write_map(self.plan)
        for host in self.plan.hosts:
            self.start_router(host)
        self.join_network(self.await_containers())
        for host in self.plan.hosts:
            routers.wait_ready(self.routers[host.name], host.directory / "router.log")
            routers.introduce(host, {name: process.pid for name, process in self.record.processes.items()})
        if not self.router_command:  # a stand-in knows no map and has no device
            routers.await_map(self.plan)
            self.show_devices()
        self.let_go()
        return self.record

    def make_cgroups(self):
        why = cgroups.create(self.record.cgroups)
        if why:
            cgroups.remove(self.record.cgroups)
            self.record.cgroups = []
            self.say(f"no cgroups, so containers do not share the cores by weight: {why}")
        elif missing := cgroups.find().missing:
            self.say(f"no cgroup controller for: {', '.join(missing)}")

    def start_container(self, container):
        spec = container_spec(self.plan, container)
        spec["cgroups"] = [str(group) for group in self.record.cgroups_of(container)]
        code = f"import sys; sys.path.append({str(SOURCES)!r}); from freeflow.lab import init; init.main()"
        with open(container.directory / "init.log", "wb") as log:
            init = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        self.inits[container.name] = init
        init.stdin.write(json.dumps(spec).encode() + b"\n")
        init.stdin.flush()

    def await_containers(self):
        """Until each has its namespaces and mounts. Returns container name -> pid of its PID 1."""
        for container in self.plan.containers:
            pipe = self.inits[container.name].stdout
            pid, ready = pipe.readline(), pipe.readline()
            if ready != b"ready\n":
                said = (container.directory / "init.log").read_text(errors="replace").strip().splitlines()[-1:]
                raise FreeFlowError(f"container {container.name} did not start: {' '.join(said) or 'no word from it'}")
            self.record.processes[container.name] = Process.of(int(pid))
        self.record.save()
        return {container.name: self.record.processes[container.name].pid for container in self.plan.containers}

    def start_etcd(self):
        start_etcd(self.record)

    def start_router(self, host):
        router = routers.start(host.router_directory, host.directory / "router.log", host.netns_path,
                               command=self.router_command, variables={**os.environ, **routers.prefixes()},
                               options=routers.options(self.plan))
        self.routers[host.name] = router
        self.record.processes[host.name] = Process.of(router.pid)
        self.record.save()

    def join_network(self, pids):
        congestion_control = network.usual_congestion_control()
        for host in self.plan.hosts:
            network.apply(network.ports(self.plan, host, pids))
            for container in host.containers:
                network.apply(network.inside(container, pids[container.name], congestion_control))

    def show_devices(self):
        for host in self.plan.hosts:
            router = RouterPaths(host.router_directory, ROUTER_NAME)
            for container in host.containers:
                if why := device_show.show(self.record.processes[container.name].pid, router):
                    self.say(f"{container.name} has no /sys/class/infiniband: {why}")

    def abandon(self):
        """Containers that were not let go yet end when their pipe does."""
        for init in self.inits.values():
            for pipe in (init.stdin, init.stdout):
                pipe.close()
            init.wait()

    def let_go(self):
        """From here on the lab outlives its maker. The record says so before the first container hears it."""
        self.record.complete = True
        self.record.save()
        for init in self.inits.values():
            init.stdin.write(b"live\n")
            init.stdin.close()
            init.stdout.close()
            init.wait()


def start_etcd(record):
    """On the first host; routers find it when it is there. Returns its Process."""
    plan, first = record.plan, record.plan.hosts[0]
    started = etcd.start(plan.etcd_directory, plan.directory / f"{ETCD}.log", first.address, first.netns_path)
    record.processes[ETCD] = Process.of(started.pid)
    record.save()
    return record.processes[ETCD]


def restart_etcd(record):
    """Its Process, started again if it is dead. Raises FreeFlowError."""
    if ETCD not in record.processes:
        raise FreeFlowError(f"lab {record.plan.name} has one host and no etcd: freeflow lab up --hosts 2")
    with state.locked(record.plan.name):
        if record.processes[ETCD].alive():
            return record.processes[ETCD]
        return start_etcd(record)


def container_spec(plan, container):
    """What init needs to know; makes the container's directory with what is mounted from it."""
    directory, uid = container.directory, container.uid
    for name in ("home", "tmp", "run"):
        (directory / name).mkdir(parents=True)
    for name in ("home", "tmp"):
        os.chown(directory / name, uid, uid)
    user = f"{container.name}:x:{uid}:{uid}:FreeFlow lab:{HOME_INSIDE}:/bin/bash\n"
    files = {"hosts": plan.hosts_file(), "hostname": f"{container.name}\n",
             "passwd": Path("/etc/passwd").read_text() + user,
             "group": Path("/etc/group").read_text() + f"{container.name}:x:{uid}:\n"}
    for name, text in files.items():
        (directory / name).write_text(text)
    mounted = {str(directory / name): f"/etc/{name}" for name in files if Path("/etc", name).exists()}
    return {"name": container.name, "uid": uid, "files": mounted | {str(directory / "tmp"): "/tmp"},
            "run": str(directory / "run"),
            "run_binds": {ROUTER_INSIDE.name: str(plan.host_of(container).router_directory),
                          HOME_INSIDE.name: str(container.home)}}
