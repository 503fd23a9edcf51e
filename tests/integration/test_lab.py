"""What the lab's containers are, and how programs run in them.

Its routers are stand-ins that answer only the control socket; what a real one does in a lab, other tests show.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time

import pytest

from freeflow.control import Control
from lab_checks import STAND_IN, said, wait_for
from places import FREEFLOW, Lab

EXEC_CPU_MS_MAX = 150


@pytest.fixture(scope="module")
def small():
    """Two containers of one host."""
    made = Lab("-small", router_command=STAND_IN)
    yield made
    made.down()


# What a container is.

def test_each_has_its_name_address_and_user(small):
    assert said(small.exec("h1c2", "hostname")) == "h1c2"
    assert said(small.exec("h1c2", "id", "-un")) == "h1c2"
    assert said(small.exec("h1c2", "id", "-u")) == str(small.plan.find("h1c2").uid)
    assert "10.32.1.2/16" in said(small.exec("h1c2", "ip", "-4", "addr", "show", "eth0"))


def test_names_resolve_and_packets_arrive(small):
    assert said(small.exec("h1c1", "getent", "hosts", "h1c2")).split() == ["10.32.1.2", "h1c2"]
    assert "1 received" in said(small.exec("h1c1", "ping", "-c1", "-W5", "h1c2"))


def test_processes_are_its_own_and_pid_1_reaps(small):
    orphan = "(sleep 0.1 &) ; sleep 0.3; ps -e -o stat= | grep -c ^Z || true"
    assert said(small.exec("h1c1", "sh", "-c", orphan)) == "0"
    seen = [line.split() for line in said(small.exec("h1c1", "ps", "-e", "-o", "pid=,comm=")).splitlines()]
    assert seen[0] == ["1", "container-init"] and len(seen) == 2


def test_ipc_shared_memory_and_temporary_files_are_its_own(small):
    said(small.exec("h1c1", "sh", "-c", "echo mine > /dev/shm/ff-mine && echo mine > /tmp/ff-mine && ipcmk -Q"))
    look = "ls /dev/shm /tmp; ipcs -q | grep -c 0x || true"
    own, other = (said(small.exec(name, "sh", "-c", look)) for name in ("h1c1", "h1c2"))
    assert own.count("ff-mine") == 2 and own.endswith("1")
    assert "ff-mine" not in other and other.endswith("0")
    assert not os.path.exists("/dev/shm/ff-mine") and not os.path.exists("/tmp/ff-mine")


def test_home_and_temporary_directory_are_writable(small):
    assert said(small.exec("h1c1", "sh", "-c", 'echo a > "$HOME/file" && mktemp -u')).startswith("/tmp/")
    assert (small.plan.find("h1c1").home / "file").read_text() == "a\n"


def test_no_way_back_to_root(small):
    status = said(small.exec("h1c1", "cat", "/proc/self/status"))
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1" and int(fields["CapPrm"], 16) == 0
    assert small.exec("h1c1", "cat", "/etc/shadow").returncode == 1


def test_only_its_own_host_s_router_can_be_seen(small):
    seen = said(small.exec("h1c1", "sh", "-c", "echo $FREEFLOW_DIR; ls /run/freeflow; ls $FREEFLOW_DIR")).split()
    assert seen[:3] == ["/run/freeflow/router", "home", "router"]
    assert {"libibverbs.so.1", "router.ctl"} <= set(seen[3:])


def test_the_library_is_readable_where_the_checkout_may_not_be(small):
    size = said(small.exec("h1c1", "sh", "-c", 'wc -c < "$LD_PRELOAD"'))
    assert int(size) == (small.plan.hosts[0].router_directory / "libibverbs.so.1").stat().st_size


def test_each_has_cgroups_of_its_own(small):
    for name in ("h1c1", "h1c2"):
        assert small.plan.find(name).cgroup in said(small.exec(name, "cat", "/proc/self/cgroup"))


def test_tcp_is_cubic_whatever_the_machine_prefers(small):
    assert "congctl cubic" in said(small.exec("h1c1", "ip", "route", "show", "dev", "eth0"))


def test_limits_are_the_caller_s(small):
    assert said(small.exec("h1c1", "sh", "-c", "ulimit -l; ulimit -n")) == said(
        subprocess.run(["sh", "-c", "ulimit -l; ulimit -n"], capture_output=True, text=True))


def test_the_router_hears_of_every_container(small):
    host = small.status()["hosts"][0]
    with Control(host["router"]["dir"], host["router"]["name"]) as router:
        added = [call for call in router.call("what")["asked"] if call["op"] == "container.add"]
    assert [(call["name"], call["addresses"]) for call in added] == [("h1c1", ["10.32.1.1"]), ("h1c2", ["10.32.1.2"])]
    assert [call["netns"] for call in added] == [f"/proc/{init['pid']}/ns/net" for init in host["containers"]]


# How programs run in it.

def test_status_and_streams_are_the_program_s(small):
    done = small.exec("h1c1", "sh", "-c", "cat; echo err >&2; exit 7", input="in")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in", "err\n")


def test_a_program_that_dies_of_a_signal(small):
    assert small.exec("h1c1", "sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL
    assert small.exec("h1c1", "sh", "-c", "kill -USR1 $$").returncode == -signal.SIGUSR1


def test_a_program_that_cannot_be_started(small):
    assert small.exec("h1c1", "no-such-program").returncode == 127
    assert small.exec("h1c1", "/etc/passwd").returncode == 126
    done = small.exec("h1c9", "true")
    assert done.returncode == 125 and "no h1c9: it has h1c1, h1c2, h1" in done.stderr


def test_plain_has_nothing_of_freeflow(small):
    names = [line.split("=")[0] for line in said(small.exec("h1c1", "env", mode="plain")).splitlines()]
    assert not {"LD_PRELOAD", "LD_LIBRARY_PATH", "FREEFLOW_DIR", "FFR_NAME", "VNET_PREFIX"} & set(names)


def test_tcp_mode_is_asked_for(small):
    verbs = said(small.exec("h1c1", "sh", "-c", "echo $LD_PRELOAD"))
    tcp = said(small.exec("h1c1", "sh", "-c", "echo $LD_PRELOAD $VNET_PREFIX", mode="tcp"))
    assert verbs == "/run/freeflow/router/libibverbs.so.1"
    assert tcp == f"/run/freeflow/router/libfsocket.so.1:{verbs} 10.32.0.0/16"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_stand_in_reaches_the_program(small, number):
    trap = f"trap 'echo got; exit 3' {number.name[3:]}; echo ready; while :; do sleep 0.01; done"
    running = small.popen("h1c1", "sh", "-c", trap)
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    assert running.communicate(timeout=10)[0] == "got\n"
    assert running.returncode == 3


def test_a_killed_stand_in_takes_the_program_along(small):
    def there():
        return "sleep 1234" in said(small.exec("h1c1", "ps", "-e", "-o", "args="))

    running = small.popen("h1c1", "sleep", "1234")
    wait_for(there)
    running.kill()
    running.communicate()
    wait_for(lambda: not there())


def test_a_caller_that_is_nowhere_and_ignores_its_children(small, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    odd = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.rmdir(os.getcwd()); " \
          "os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", odd, *small.words("h1c1", "sh", "-c", "pwd; exit 4")], cwd=gone,
                          env=small.variables(), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (4, "/\n")


class Terminal:
    """A program of a container on a terminal of its own."""

    def __init__(self, lab, *command):
        self.pid, self.descriptor = os.forkpty()
        if not self.pid:
            os.environ["FREEFLOW_LAB"] = lab.name
            os.execv(sys.executable, lab.words("h1c1", *command))

    def until(self, wanted):
        """What it prints, up to and with `wanted`."""
        text = ""
        while wanted not in text:
            text += os.read(self.descriptor, 4096).decode(errors="replace")
        return text

    def type(self, typed):
        os.write(self.descriptor, typed)

    def ended(self):
        """Its exit status."""
        try:
            while os.read(self.descriptor, 4096):
                pass
        except OSError:  # EIO: nobody has the other end open any more
            os.close(self.descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_terminal_with_job_control(small):
    shell = Terminal(small, "bash", "--norc", "-i")
    shell.type(b"tty; echo on-$((1+1))\n")
    started = shell.until("on-2")
    assert "/dev/pts" in started and "no job control" not in started
    for key, answer in [(b"\x03", "status-130"), (b"\x1a", "Stopped")]:
        shell.type(b"echo go-$((1+1)); sleep 1000\n")
        shell.until("go-2")
        time.sleep(0.3)
        shell.type(key)
        time.sleep(0.3)
        shell.type(b"echo status-$?\n")
        shell.until(answer)
    shell.type(b"kill %1; sleep 0.3; exit 5\n")
    assert shell.ended() == 5


def test_ctrl_c_on_a_terminal_arrives_once(small):
    """The terminal sends it to both, stand-in and program; the stand-in must not add another."""
    script = "import signal, time; n = []; signal.signal(signal.SIGINT, lambda *a: n.append(1)); print('ready'); " \
             "[time.sleep(0.1) for _ in range(8)]; print('count', len(n), 'in all')"
    program = Terminal(small, "/usr/bin/python3", "-u", "-c", script)
    program.until("ready")
    program.type(b"\x03")
    assert "count 1 in all" in program.until("in all")
    assert program.ended() == 0


def test_starting_a_program_costs_little(small):
    """In CPU time of all processes involved, so that a busy machine does not matter."""
    costs = []
    for _ in range(9):
        before = os.times()
        said(small.exec("h1c1", "true"))
        after = os.times()
        costs.append(1000 * (after.children_user + after.children_system
                             - before.children_user - before.children_system))
    assert statistics.median(costs) < EXEC_CPU_MS_MAX, costs


def test_a_host_can_be_entered_too(small):
    assert "10.31.0.1/24" in said(small.exec("h1", "ip", "-4", "addr", "show", "overlay"))
    assert said(small.exec("h1", "sh", "-c", "echo $FREEFLOW_DIR")) == str(small.plan.hosts[0].router_directory)


def test_status_for_programs_and_for_people(small):
    def status(*options):
        return said(subprocess.run([*FREEFLOW, "lab", "status", *options], capture_output=True, text=True, timeout=30,
                                   env=small.variables()))

    host = json.loads(status("--json"))["hosts"][0]
    assert host["router"]["pid"] == small.status()["hosts"][0]["router"]["pid"]
    assert [(c["name"], c["ip"]) for c in host["containers"]] == [("h1c1", "10.32.1.1"), ("h1c2", "10.32.1.2")]
    assert "h1c2" in status() and "10.32.1.2" in status()
