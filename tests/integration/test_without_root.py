"""From nothing to RDMA: a wheel, a user without any privilege, an empty home; no router, until `freeflow run` starts one."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from ffcore.handshake import WELCOME_SIZE, pack_hello, parse_welcome
from freeflow.pair import listens
from installed import SOMEBODY_ELSE, User
from lab_checks import said, wait_for
from programs import SOURCES

pytestmark = pytest.mark.timeout(300)  # the first one builds the wheel
ROOT_USER = 0


@pytest.fixture(params=["nobody", "root without capabilities"])
def user(installed, request):
    made = User(installed, *([ROOT_USER] if "root" in request.param else []))
    yield made
    wait_for(lambda: not made.traces())
    made.remove()


@pytest.fixture
def nobody(installed):
    made = User(installed)
    yield made
    wait_for(lambda: not made.traces())
    made.remove()


def pair(user, words, client_words, port):
    """A server and a client, each with a `freeflow run` of its own, as in two terminals. Returns what the client said."""
    with open(user.home / "server", "w+") as output:
        server = user.start("freeflow", "run", "--", *words, stdout=output)
        try:
            wait_for(lambda: listens(server.pid, port) or server.poll() is not None, 30)
            told = said(user.run("freeflow", "run", "--", *client_words))
            assert server.wait(30) == 0, output.read()
        finally:
            server.kill()
            server.wait()
    return told


def test_perftest_in_two_terminals(user):
    port = free_port()
    words = ["ib_send_bw", "-n", "2000", "-p", str(port)]
    assert "65536      2000" in pair(user, words, [*words, "127.0.0.1"], port)


def test_pingpong(user):
    port = free_port()
    words = ["ibv_rc_pingpong", "-g", "0", "-p", str(port)]
    assert "1000 iters" in pair(user, words, [*words, "127.0.0.1"], port)


@pytest.mark.parametrize("transport", ["rc_v", "ud_v"])
def test_ucx(user, transport):
    port = free_port()
    # Root's UCX would take huge pages first, which are shared memory, where the machine has some set aside.
    variables = [f"UCX_TLS={transport},self", "UCX_NET_DEVICES=ff0:1", "UCX_ALLOC_PRIO=thp,mmap,heap"]
    words = ["env", *variables, "ucx_perftest", "-p", str(port)]
    assert "Final:" in pair(user, words, [*words, "127.0.0.1", "-t", "tag_lat", "-n", "1000"], port)


def test_open_mpi(user):
    program = "from mpi4py import MPI; c = MPI.COMM_WORLD; print('sum', c.allreduce(c.rank))"
    told = said(user.run("freeflow", "run", "--", "mpirun", "-np", "4", "--oversubscribe", "--allow-run-as-root", "--mca", "pml",
                         "ucx", "--mca", "btl", "^openib", "/usr/bin/python3", "-c", program,
                         UCX_TLS="rc_v,self", UCX_NET_DEVICES="ff0:1", UCX_ALLOC_PRIO="thp,mmap,heap"))
    assert told.count("sum 6") == 4


def test_pyverbs(nobody):
    program = nobody.home / "pyverbs_rc.py"
    program.write_bytes((SOURCES / "pyverbs_rc.py").read_bytes())
    pair(nobody, ["/usr/bin/python3", program, "server"], ["/usr/bin/python3", program, "client", "127.0.0.1"], 18516)


def test_the_device_s_files(user):
    """As programs look: by opendir, stat, open, readlink, realpath; and hwloc relative to a descriptor of /."""
    listed = said(user.run("freeflow", "run", "--", "ls", "-l", "/sys/class/infiniband/"))
    assert "ff0" in listed.splitlines()[-1]
    looked = said(user.run("freeflow", "run", "--", "sh", "-c",
                           "cat /sys/class/infiniband/ff0/ports/1/gid_attrs/types/0 && test -c /dev/infiniband/uverbs0"
                           " && test -w /dev/infiniband/uverbs0 && find /sys/class/infiniband -name link_layer"
                           " && grep -rl 'RoCE v2' /sys/class/infiniband/ && readlink /sys/class/infiniband_verbs/uverbs0/device"))
    assert looked.splitlines()[:2] == ["RoCE v2", "/sys/class/infiniband/ff0/ports/1/link_layer"]
    assert looked.splitlines()[-1] == "../../infiniband/ff0/device"
    hwloc = "import os; r = os.open('/', os.O_RDONLY); print(os.stat('sys/class/infiniband/ff0', dir_fd=r).st_mode)"
    said(user.run("freeflow", "run", "--", "/usr/bin/python3", "-c", hwloc))


@pytest.mark.parametrize("words, status", [(["sh", "-c", "exit 7"], 7), (["/nonexistent"], 127), (["/etc/passwd"], 126)])
def test_the_exit_status_is_the_program_s(nobody, words, status):
    assert nobody.run("freeflow", "run", "--", *words).returncode == status


def test_it_has_no_children_that_it_does_not_know(nobody):
    told = said(nobody.run("freeflow", "run", "--", "sh", "-c", 'read line < /proc/$$/task/$$/children; echo "[$line]"'))
    assert told == "[]"


def test_ctrl_c_ends_the_program_and_then_the_router(nobody):
    with nobody.start("freeflow", "run", "--", "ib_send_bw", "-p", str(free_port())) as server:
        wait_for(lambda: len(nobody.routers()) == 2)
        wait_for(lambda: Path(f"/proc/{server.pid}/comm").read_text() == "ib_send_bw\n")
        os.killpg(server.pid, signal.SIGINT)
        server.communicate(timeout=20)
    assert server.returncode == -signal.SIGINT
    wait_for(lambda: not nobody.traces())


@pytest.mark.parametrize("part", ["program", "router", "keeper"])
def test_a_part_is_killed_and_nothing_is_left(nobody, part):
    with nobody.start("freeflow", "run", "--", "sh", "-c", "read line; ibv_devices", stdin=-1) as program:
        wait_for(lambda: len(nobody.routers()) == 2)
        wait_for(lambda: nobody.directory.joinpath(f"run-{os.stat('/proc/self/ns/net').st_ino}.sock").is_socket())
        wait_for(lambda: Path(f"/proc/{program.pid}/comm").read_text() == "sh\n")
        routers = nobody.routers()
        router = next(pid for pid, parent in routers.items() if parent in routers)
        victim = {"program": program.pid, "router": router, "keeper": routers[router]}[part]
        os.kill(victim, signal.SIGKILL)
        if part == "router":
            wait_for(lambda: not nobody.traces())
        told, _ = program.communicate(input="go\n" if part != "program" else None, timeout=20)
        assert ("ff0" in told) == (part == "keeper"), told
    wait_for(lambda: not nobody.traces())


def test_a_router_that_dies_is_followed_by_another(nobody):
    with nobody.start("freeflow", "run", "--", "sleep", "60") as program:
        wait_for(lambda: len(nobody.routers()) == 2)
        for pid in nobody.routers():
            os.kill(pid, signal.SIGKILL)  # both: nobody tidies up
        assert "ff0" in said(nobody.run("freeflow", "run", "--", "ibv_devices"))
        program.kill()


HELLO = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
try:
    s.send(bytes.fromhex(sys.argv[2]))
except BrokenPipeError:  # refused at once; the reason is waiting
    pass
print(s.recv(4096).hex())
"""


def hello(user, path, within=()):
    """What a router says to a program of that user's."""
    told = said(user.run("/usr/bin/python3", "-I", "-c", HELLO, path, pack_hello().hex(), within=within))
    return parse_welcome(bytes.fromhex(told)[:WELCOME_SIZE])


def test_a_router_of_the_user_s_own(installed, nobody):
    """`freeflow router`: this user's programs in its own network namespace are served, and nobody else."""
    other, root = User(installed, SOMEBODY_ELSE), User(installed, ROOT_USER)
    with nobody.start("freeflow", "router") as router:
        path = nobody.directory / "router.sock"
        wait_for(lambda: path.is_socket() or router.poll() is not None)
        assert router.poll() is None, router.communicate()
        assert "ff0" in said(nobody.run("freeflow", "run", "--", "ibv_devices"))
        assert list(nobody.routers()) == [router.pid]
        assert "state" in said(nobody.run("freeflow", "run", "--", "ibv_devinfo"))
        for place in (nobody.home, nobody.directory):  # others do not come as far as asking
            place.chmod(0o755)
        path.chmod(0o666)
        assert hello(nobody, path)["status"] == 0
        for user in (other, root):
            assert "nobody else" in hello(user, path)["reason"]
        assert "another one" in hello(nobody, path, within=["unshare", "--net"])["reason"]
        nobody.directory.chmod(0o700)
        assert nobody.run("freeflow", "router").returncode == 1  # a second one of the name
        router.terminate()
        assert router.wait(10) == 0
    for user in (other, root):
        user.remove()


def test_another_user_s_directory_is_not_used(nobody):
    nobody.directory.mkdir()
    os.chown(nobody.directory, SOMEBODY_ELSE, SOMEBODY_ELSE)
    told = nobody.run("freeflow", "run", "--", "true")
    assert told.returncode == 125 and "XDG_RUNTIME_DIR" in told.stderr
    nobody.directory.rmdir()


def test_the_runtime_directory_is_where_it_is(nobody):
    runtime = nobody.home / "run"
    runtime.mkdir(mode=0o700)
    os.chown(runtime, nobody.uid, nobody.uid)
    told = said(nobody.run("freeflow", "run", "--", "sh", "-c", "echo $FREEFLOW_DIR", XDG_RUNTIME_DIR=str(runtime)))
    assert told == f"{runtime}/freeflow"
    wait_for(lambda: not list(runtime.iterdir()))


def test_doctor_says_how_the_files_are_seen(user):
    told = user.run("freeflow", "run", "--", "freeflow", "doctor").stdout
    assert "through a library that is preloaded" in told and not re.search(r"^fail", told, re.MULTILINE), told


def test_from_nothing_to_the_first_message(nobody):
    began = time.monotonic()
    assert "1000 iters" in pair(nobody, ["ibv_rc_pingpong", "-g", "0"], ["ibv_rc_pingpong", "-g", "0", "127.0.0.1"], 18515)
    print(f"from `freeflow run` to the last message: {time.monotonic() - began:.1f} s")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
