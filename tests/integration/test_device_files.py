"""The device as files: what /sys/class/infiniband and /dev/infiniband say, where they are seen, and where they are not."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from freeflow.device_show import _refuse_shared, peer_groups
from freeflow.errors import FreeFlowError
from freeflow.perftest import Perftest
from lab_checks import said, wait_for
from places import FREEFLOW
from router_process import EmptyNamespace

PORT = "/sys/class/infiniband/ff0/ports/1"


@pytest.fixture(scope="module")
def files(lab):
    """{path: text} of all files of the device, in h1c1; links are not followed."""
    listed = said(lab.exec("h1c1", "grep", "-r", "", "/sys/class/infiniband", "/sys/class/infiniband_verbs"))
    return dict(line.split(":", 1) for line in listed.splitlines())


def test_a_port_as_the_kernel_writes_it(files):
    wanted = {"state": "4: ACTIVE", "phys_state": "5: LinkUp", "link_layer": "Ethernet", "pkeys/0": "0xffff",
              "rate": "100 Gb/sec (4X EDR)", "lid": "0x0", "gid_attrs/types/0": "RoCE v2", "gid_attrs/ndevs/0": "eth0",
              "gids/0": "0000:0000:0000:0000:0000:ffff:0a20:0101", "gids/15": "0000:" * 7 + "0000"}
    assert {name: files[f"{PORT}/{name}"] for name in wanted} == wanted
    assert files["/sys/class/infiniband_verbs/uverbs0/ibdev"] == "ff0"
    assert files["/sys/class/infiniband_verbs/abi_version"] == "6"


def test_files_and_verbs_say_the_same(lab, files):
    told = said(lab.exec("h1c1", "ibv_devinfo", "-v"))
    words = dict(re.findall(r"^\s*([\w.]+):\s+(.*?)\s*$", told, re.MULTILINE))
    assert words["node_guid"] == files["/sys/class/infiniband/ff0/node_guid"]
    assert words["sys_image_guid"] == files["/sys/class/infiniband/ff0/sys_image_guid"]
    assert words["fw_ver"] == files["/sys/class/infiniband/ff0/fw_ver"]
    assert int(words["vendor_id"], 0) == int(files["/sys/class/infiniband/ff0/device/vendor"], 0)
    assert re.search(r"GID\[\s*0\]:\s+::ffff:10\.32\.1\.1, RoCE v2", told)


@pytest.mark.parametrize("what", ["types", "ndevs"])
def test_an_unused_entry_of_the_gid_table_is_there_and_cannot_be_read(lab, what):
    """As in the kernel's: UCX, NCCL and perftest walk the whole table."""
    for index in (1, 15):
        read = lab.exec("h1c1", "cat", f"{PORT}/gid_attrs/{what}/{index}")
        assert read.returncode == 1 and "Invalid argument" in read.stderr


def test_the_interface_that_has_its_address(lab):
    assert said(lab.exec("h1c1", "cat", "/sys/class/infiniband/ff0/device/net/eth0/address")).count(":") == 5


# ---- counters ----

def counter(lab, place, name):
    return int(said(lab.exec(place, "cat", f"{PORT}/{name}")))


def test_counters_follow_what_programs_do_and_stay_when_they_end(lab):
    sent, received = (("h1c2", "counters/port_xmit_packets"), ("h1c1", "counters/port_rcv_packets"))
    before = [counter(lab, *which) for which in (sent, received)]
    words = counter(lab, "h1c2", "counters/port_xmit_data")
    done = Perftest(lab.enter, "h1c1", "h1c2", timeout_s=30).run("ib_write_bw", "-n", "1000", "-s", "4096", "-F")
    assert done.row["#iterations"] == 1000

    def moved():
        return [counter(lab, *which) - n for which, n in zip((sent, received), before)]
    wait_for(lambda: moved() in ([1000 * tries] * 2 for tries in (1, 2, 3)))  # perftest runs again when its clocks disagree
    assert counter(lab, "h1c2", "counters/port_xmit_data") - words == moved()[0] * 4096 // 4


def test_counters_are_nobody_s_to_write(lab):
    for name in ("counters/port_xmit_data", "counters/another"):
        assert lab.exec("h1c1", "sh", "-c", f"echo 1 > {PORT}/{name}").returncode != 0


def test_perftest_reports_them(lab):
    words = "counters/port_xmit_data,hw_counters/req_cqe_error"
    told = Perftest(lab.enter, "h1c1", "h1c2", timeout_s=30).run("ib_write_bw", "-D", "2", "-F", "-W", words).client.stdout
    assert re.search(r"hw_counters/req_cqe_error=0$", told, re.MULTILINE)
    assert int(re.search(r"counters/port_xmit_data=(\d+)$", told, re.MULTILINE)[1]) > 1000


# ---- who reads them ----

def test_ibstat(lab):
    told = said(lab.exec("h1c1", "ibstat", mode="plain"))
    assert all(line in told for line in ("CA 'ff0'", "State: Active", "Physical state: LinkUp", "Rate: 100", "Link layer: Ethernet",
                                         "Node GUID: 0x02fff1000a200101"))


def test_ibstatus(lab):
    told = said(lab.exec("h1c1", "ibstatus", mode="plain"))
    assert "0000:0000:0000:0000:0000:ffff:0a20:0101" in told and "100 Gb/sec (4X EDR)" in told


def test_node_exporter(lab):
    """Prometheus' own: it reads every counter, and one that it cannot read is an error of the whole collector."""
    script = ("prometheus-node-exporter --collector.disable-defaults --collector.infiniband --web.listen-address=127.0.0.1:9199 &\n"
              "for i in $(seq 100); do curl -sf --noproxy '*' http://127.0.0.1:9199/metrics && break; sleep 0.1; done; kill $!\n")
    told = lab.exec("h1c1", "bash", "-c", script, mode="plain").stdout
    assert 'node_scrape_collector_success{collector="infiniband"} 1' in told
    assert re.search(r'^node_infiniband_port_data_transmitted_bytes_total{device="ff0",port="1"} \d', told, re.MULTILINE)


def test_each_container_has_its_own(lab):
    assert said(lab.exec("h1c2", "cat", f"{PORT}/gids/0")).endswith("0a20:0102")


def test_a_character_device_that_anybody_may_open(lab):
    assert said(lab.exec("h1c1", "stat", "-c", "%F %a", "/dev/infiniband/uverbs0")) == "character special file 666"
    assert lab.exec("h1c1", "sh", "-c", ": <> /dev/infiniband/uverbs0").returncode == 0
    assert lab.exec("h1c1", "sh", "-c", f"echo x > {PORT}/state").returncode != 0


def test_the_rest_of_sys_class_is_as_it_was(lab):
    assert said(lab.exec("h1c1", "cat", "/sys/class/net/eth0/address")).count(":") == 5
    inside = set(said(lab.exec("h1c1", "ls", "/sys/class")).split())
    ours = {"infiniband", "infiniband_mad", "infiniband_verbs"}
    assert inside - ours == set(os.listdir("/sys/class")) - ours
    assert said(lab.exec("h1c1", "ls", "/sys/class/tty/")).split() == sorted(os.listdir("/sys/class/tty"))


def test_a_container_s_own_dev(lab):
    """What container runtimes give, and nothing of the machine's disks."""
    inside = set(said(lab.exec("h1c1", "ls", "/dev")).split())
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin"} <= inside
    assert not any(stat.S_ISBLK(os.stat(f"/dev/{name}").st_mode) for name in inside if os.path.exists(f"/dev/{name}"))
    assert said(lab.exec("h1c1", "sh", "-c", "echo lost > /dev/null; head -c 3 /dev/zero | wc -c")) == "3"


def run_by_root(router, *command):
    return subprocess.run([*FREEFLOW, "run", "--dir", str(router.directory), "--", *command], capture_output=True,
                          text=True, timeout=30)


def test_freeflow_run_mounts_them_for_its_program_alone(shared_router):
    looked = run_by_root(shared_router, "sh", "-c", f"cat {PORT}/gid_attrs/types/0; test -c /dev/infiniband/uverbs0 && echo node")
    assert said(looked).splitlines() == ["RoCE v2", "node"]
    assert not Path("/sys/class/infiniband/ff0").exists() and not Path("/dev/infiniband/uverbs0").exists()



# ---- containers that somebody else made ----

class Foreign(EmptyNamespace):
    """A container as a runtime would make one, with 10.99.0.1."""

    def __init__(self, *unshare):
        super().__init__(("unshare", *unshare))
        self.pid = self.process.pid
        self.inside("ip", "addr", "add", "10.99.0.1/32", "dev", "lo")
        self.inside("ip", "link", "set", "lo", "up")

    def inside(self, *command):
        return said(subprocess.run(["nsenter", f"--target={self.pid}", "--net", "--mount", *command], capture_output=True,
                                   text=True))

    def register(self, router, *options):
        return router.run(*FREEFLOW, "container", "add", "web", "--pid", str(self.pid), "--address", "10.99.0.1", *options)


def planted():
    return Path("/sys/class/infiniband/ff0").exists()


def test_container_add_shows_the_device_and_its_files_follow(router):
    with Foreign("--net", "--mount") as container:
        added = container.register(router, "--allow", "10.99.0.0/24")
        assert (added.returncode, added.stderr) == (0, "")
        assert container.inside("cat", f"{PORT}/gids/0").endswith("0a63:0001") and not planted()
        container.inside("ip", "addr", "add", "10.99.0.7/32", "dev", "lo")
        wait_for(lambda: container.inside("cat", f"{PORT}/gids/1").endswith("0a63:0007"))
        container.inside("ip", "link", "set", "lo", "down")
        wait_for(lambda: container.inside("cat", f"{PORT}/state") == "1: DOWN")
        said(router.run(*FREEFLOW, "container", "remove", "web"))


@pytest.mark.parametrize("unshare, why", [
    (("--net",), "this machine's own"), (("--net", "--mount", "--propagation", "unchanged"), "on this machine too")])
def test_nothing_is_mounted_where_the_machine_would_see_it(router, unshare, why):
    """Without a mount namespace of its own, and in one whose mounts pass on. The container is registered all the same."""
    mounts = subprocess.run(["findmnt", "-no", "PROPAGATION", "/"], capture_output=True, text=True).stdout
    if "unchanged" in unshare and "shared" not in mounts:
        unshare, why = ("--net", "--mount"), None  # nothing of this machine's is shared
    with Foreign(*unshare) as container:
        added = container.register(router)
        assert added.returncode == 0 and ((why in added.stderr) if why else not added.stderr)
        assert not planted()
        assert [c["name"] for c in router.call("container.list")["containers"]] == ["host", "web"]
        router.call("container.remove", name="web")


def test_without_files_nothing_is_mounted(router):
    with Foreign("--net", "--mount") as container:
        said(container.register(router, "--no-files"))
        with pytest.raises(AssertionError):
            container.inside("cat", f"{PORT}/state")
        router.call("container.remove", name="web")


def test_peer_groups_are_read():
    lines = ("22 1 8:1 / / rw shared:1 - ext4 x rw\n30 22 0:5 / /sys rw,nosuid shared:7 master:3 - sysfs sysfs rw\n"
             "31 30 0:6 / /a\\040b rw - tmpfs t rw\n")
    assert peer_groups(lines) == [(Path("/"), {"shared:1"}), (Path("/sys"), {"shared:7"}), (Path("/a b"), set())]


def test_mounts_that_pass_on_are_seen():
    ours = "22 1 8:1 / / rw shared:1 - ext4 x rw\n30 22 0:5 / /sys rw shared:7 - sysfs sysfs rw\n"
    _refuse_shared(ours.replace("shared:", "master:"), ours)
    _refuse_shared(ours.replace("shared:", "shared:99"), ours)
    for passing in (ours, ours.replace("shared:7", "master:7"), ours.replace("shared:1", "master:1")):
        with pytest.raises(FreeFlowError, match="on this machine too"):
            _refuse_shared(passing, ours)


def test_a_program_that_is_refused_says_so_once(router):
    with EmptyNamespace() as stranger:
        told = subprocess.run([*stranger.within, *FREEFLOW, "run", "--dir", str(router.directory), "--", "ibv_devices"],
                              capture_output=True, text=True, timeout=30)
        assert told.stderr.count("is not registered") == 1, told.stderr
