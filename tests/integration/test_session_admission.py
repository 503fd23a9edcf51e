"""Who gets a session, asked of a real router by real processes in real namespaces. Needs root."""

import array
import contextlib
import errno
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from router_process import EmptyNamespace, Peer, RouterProcess, eventually

from ffcore.handshake import HELLO_SIZE, LAYOUT_VERSION, WELCOME_SIZE, pack_hello, parse_welcome
from ffcore.stats import MAX_SESSIONS
from ffr.control.admission import ADMISSIONS_PER_S, HELLO_TIMEOUT_S, PENDING_PER_CONTAINER
from ffr.network.interfaces import Watch
from freeflow.errors import FreeFlowError, RouterRefused

SESSIONS_OF_ONE = MAX_SESSIONS // 2  # as many as are left for the others
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture(scope="module")
def shared():
    with RouterProcess() as router:
        router.idle_descriptors = router.descriptors()
        yield router


@pytest.fixture
def router(shared):
    """The module's router, which every test has to leave as it found it."""
    yield shared
    assert shared.process.poll() is None, shared.log.read_text()
    for container in shared.ask("container.list")["containers"]:
        if container["name"] != "host":
            shared.ask("container.remove", name=container["name"])
    assert eventually(lambda: shared.sessions() == 0)
    assert "Traceback" not in shared.log.read_text()


@pytest.fixture
def namespace():
    with EmptyNamespace() as namespace:
        yield namespace


def connect(router):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(router.paths.session_socket))  # blocking: one with a timeout gets EAGAIN while the backlog is full
    sock.settimeout(10)
    return sock


def welcome_of(sock):
    return parse_welcome(sock.recv(WELCOME_SIZE + 1))


# ---- who is who ----


def test_a_program_of_the_hosts_own_namespace_is_admitted_and_leaves_nothing(router):
    with Peer(router) as peer:
        assert peer.welcome["status"] == 0 and peer.descriptors == 4 and peer.welcome["userfaultfd"]
        assert router.sessions() == 1
    assert eventually(lambda: router.sessions() == 0 and router.descriptors() <= router.idle_descriptors)


def test_the_operator_may_keep_the_userfaultfd():
    with RouterProcess("--userfaultfd", "off") as router, Peer(router) as peer:
        assert peer.welcome["status"] == 0 and peer.descriptors == 3 and not peer.welcome["userfaultfd"]
        assert peer.welcome["reason"] == "the router was started with --userfaultfd off"
        assert router.ask("status")["userfaultfd"] == {"handed_out": False, "why_not": peer.welcome["reason"]}


def test_any_uid_is_admitted(router):
    assert Peer(router, NOBODY, stay=False).welcome["status"] == 0


def test_a_namespace_that_nobody_registered_is_refused(router, namespace):
    welcome = Peer(router, namespace.within).welcome
    assert welcome["status"] == errno.EACCES and "not registered" in welcome["reason"]


def test_a_registered_one_is_admitted_and_its_sessions_end_with_its_registration(router, namespace):
    router.ask("container.add", name="web", netns=namespace.path, addresses=["10.32.1.1", "fd00::1"])
    with Peer(router, namespace.within) as peer:
        assert peer.welcome["status"] == 0 and router.sessions("web") == 1
        router.ask("container.remove", name="web")
        assert eventually(lambda: router.ask("status")["sessions"] == 0)
    assert Peer(router, namespace.within).welcome["status"] == errno.EACCES


def test_an_unprivileged_users_own_namespace_is_refused_and_cannot_be_registered(router):
    """As nobody, anyone makes a network namespace and puts any address into it."""
    lie = [*NOBODY, "unshare", "--user", "--map-root-user", "--net"]
    welcome = Peer(router, lie).welcome
    assert welcome["status"] == errno.EPERM and "user namespace" in welcome["reason"]
    with EmptyNamespace(lie) as namespace:
        with pytest.raises(RouterRefused, match="user namespace"):
            router.ask("container.add", name="liar", netns=namespace.path, addresses=["10.32.1.9"])
    assert len(router.ask("container.list")["containers"]) == 1


def test_a_taken_address_is_refused_and_the_programs_are_told_why(router, namespace):
    router.ask("container.add", name="web", netns=namespace.path, addresses=["10.32.1.1"])
    with EmptyNamespace() as other:
        with pytest.raises(RouterRefused, match="10.32.1.1 is taken, by 'web'"):
            router.ask("container.add", name="db", netns=other.path, addresses=["10.32.1.2", "10.32.1.1"])
        welcome = Peer(router, other.within).welcome
        assert welcome["status"] == errno.EACCES and "10.32.1.1 is taken" in welcome["reason"]
        router.ask("container.add", name="db", netns=other.path, addresses=["10.32.1.2"])
        assert Peer(router, other.within, stay=False).welcome["status"] == 0


def test_the_hosts_own_addresses_are_taken(router, namespace):
    host, = router.ask("container.list")["containers"]
    if host["addresses"] != ["127.0.0.1"]:
        with pytest.raises(RouterRefused, match="is taken, by 'host'"):
            router.ask("container.add", name="web", netns=namespace.path, addresses=host["addresses"][:1])


def test_a_socket_is_its_makers_whoever_uses_it(router, namespace):
    """setns() after socket() changes nothing: the namespace is the socket's."""
    router.ask("container.add", name="web", netns=namespace.path, addresses=["10.32.1.1"])
    script = ("import ctypes, socket, sys\n"
              "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
              "libc = ctypes.CDLL(None, use_errno=True)\n"
              "namespace = open(sys.argv[1])\n"
              "assert libc.setns(namespace.fileno(), 0x40000000) == 0\n"
              "s.connect(sys.argv[2]); s.send(bytes.fromhex(sys.argv[3])); print(s.recv(4096)[8:12].hex())\n")
    status = subprocess.run(["unshare", "--net", "/usr/bin/python3", "-I", "-c", script, namespace.path,
                             str(router.paths.session_socket), pack_hello().hex()], capture_output=True, text=True)
    assert int.from_bytes(bytes.fromhex(status.stdout), "little") == errno.EACCES, status.stderr


def test_a_dead_containers_namespace_is_not_mistaken_for_another(router):
    """Its registration holds it open, so no new namespace can have its inode number."""
    with EmptyNamespace() as dead:
        router.ask("container.add", name="web", netns=dead.path, addresses=["10.32.1.1"])
    for _ in range(20):
        with EmptyNamespace() as other:
            assert Peer(router, other.within).welcome["status"] == errno.EACCES


def test_a_host_without_addresses_has_the_loopbacks_until_it_gets_one():
    with EmptyNamespace() as bare, RouterProcess(within=bare.within) as router:
        assert router.ask("container.list")["containers"][0]["addresses"] == ["127.0.0.1"]
        for words in ("link add d0 type veth peer name d1", "addr add 192.0.2.77/24 dev d0", "addr add fd00::77/64 dev d0 nodad",
                      "link set d0 up"):
            subprocess.run([*bare.within, "ip", *words.split()], check=True)
        time.sleep(2 * Watch.GAP_S)
        with Peer(router, bare.within) as peer:
            assert peer.welcome["status"] == 0
            assert router.ask("container.list")["containers"][0]["addresses"] == ["192.0.2.77", "fd00::77"]
        assert Peer(router).welcome["status"] == errno.EACCES  # from elsewhere, for this router


# ---- what is shared ----


def test_the_segments_are_sealed_and_sparse(router):
    with connect(router) as sock:
        sock.send(pack_hello())
        message, fds, _, _ = socket.recv_fds(sock, WELCOME_SIZE, 8)
        welcome = parse_welcome(message)
        assert [os.fstat(fd).st_size for fd in fds[:2]] == [welcome["control_size"], welcome["memory_size"]]
        assert os.fstat(fds[1]).st_blocks == 0
        for fd in fds[:2]:
            for size in (0, 4096, 1 << 50):
                with pytest.raises(PermissionError):
                    os.ftruncate(fd, size)
        for fd in fds:
            os.close(fd)


# ---- hellos that are none ----


@pytest.mark.parametrize("hello, error", [
    (pack_hello(LAYOUT_VERSION + 1), errno.EPROTONOSUPPORT), (pack_hello(magic=0), errno.EPROTO), (b"x", errno.EPROTO),
    (b"x" * 5000, errno.EPROTO)])
def test_a_wrong_hello_is_refused_with_its_reason(router, hello, error):
    welcome = Peer(router, hello=hello).welcome
    assert welcome["status"] == error and welcome["reason"]


def test_garbage_hellos(router, rng):
    for _ in range(300):
        hello = bytearray(rng.choice([rng.randbytes(rng.randrange(1, 64)), pack_hello()]))
        if len(hello) == HELLO_SIZE:
            hello[rng.randrange(8)] ^= 1 << rng.randrange(8)  # magic and version
        with connect(router) as sock:
            sock.send(hello)
            assert welcome_of(sock)["status"] in (errno.EPROTO, errno.EPROTONOSUPPORT)
    assert eventually(lambda: router.descriptors() <= router.idle_descriptors)


def test_descriptors_are_not_taken(router):
    with connect(router) as sock, open("/dev/null") as null:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()] * 10))]
        try:
            sock.sendmsg([pack_hello()], rights)
        except PermissionError:
            return  # the kernel says so (6.16)
        assert welcome_of(sock)["status"] == errno.EPROTO
    assert eventually(lambda: router.descriptors() <= router.idle_descriptors)


def test_who_says_nothing_is_dropped_after_its_second_and_is_in_nobodys_way(router):
    started = time.monotonic()
    with connect(router) as silent:
        assert Peer(router, stay=False).welcome["status"] == 0
        assert welcome_of(silent)["status"] == errno.ETIMEDOUT
        assert silent.recv(1) == b"" and HELLO_TIMEOUT_S * 0.9 < time.monotonic() - started < HELLO_TIMEOUT_S + 2


def test_who_goes_away_before_during_and_after_its_hello(router, rng):
    for _ in range(200):
        with contextlib.suppress(OSError), connect(router) as sock:
            if rng.random() < 0.7:
                sock.send(rng.choice([pack_hello(), b"", b"x"]))
            if rng.random() < 0.3:
                sock.shutdown(socket.SHUT_WR)
            time.sleep(rng.choice([0, 0.001]))
    assert eventually(lambda: router.descriptors() <= router.idle_descriptors and router.sessions() == 0)


# ---- too many ----


@pytest.mark.parametrize("speaks", [False, True], ids=["silent", "greeting"])
def test_ten_thousand_connections_are_their_own_problem(router, namespace, speaks):
    router.ask("container.add", name="web", netns=namespace.path, addresses=["10.32.1.1"])
    kib, most, waits = router.anonymous_kib(), 0, []
    resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
    with contextlib.ExitStack() as open_ones:
        for number in range(10_000):
            sock = open_ones.enter_context(connect(router))
            if speaks:
                with contextlib.suppress(OSError):  # refused at once
                    sock.send(pack_hello())
            if number % 1000 == 500:
                started = time.monotonic()
                with Peer(router, namespace.within) as other:
                    assert other.welcome["status"] == 0
                waits.append(time.monotonic() - started)
                most = max(most, router.descriptors())
        assert router.sessions() <= SESSIONS_OF_ONE
    # Five descriptors a session (its socket, segments, eventfd and process), one a handshake, and those of the other container.
    assert most <= router.idle_descriptors + 5 * SESSIONS_OF_ONE + PENDING_PER_CONTAINER + 16
    assert router.anonymous_kib() < kib + 16 * 1024
    assert sorted(waits)[len(waits) // 2] < 0.5, waits  # starting the other's Python included
    router.ask("container.remove", name="web")
    assert eventually(lambda: router.descriptors() <= router.idle_descriptors and router.sessions() == 0)


def test_a_container_has_so_many_sessions_and_the_next_is_told(router):
    time.sleep(1)  # earlier tests used up what may be admitted at once
    with contextlib.ExitStack() as open_ones:
        statuses = []
        for _ in range(SESSIONS_OF_ONE + 1):
            sock = open_ones.enter_context(connect(router))
            sock.send(pack_hello())
            message, fds, _, _ = socket.recv_fds(sock, WELCOME_SIZE, 4)
            for fd in fds:
                os.close(fd)
            statuses.append(parse_welcome(message)["status"])
            time.sleep(1.1 / ADMISSIONS_PER_S)
        assert statuses == [0] * SESSIONS_OF_ONE + [errno.ENOSPC]


def test_a_router_without_descriptors_refuses_waits_and_recovers():
    with RouterProcess(within=["prlimit", "--nofile=64:64"]) as router, contextlib.ExitStack() as open_ones:
        for _ in range(100):
            sock = open_ones.enter_context(connect(router))
            with contextlib.suppress(OSError):  # refused at once
                sock.send(pack_hello())
        time.sleep(HELLO_TIMEOUT_S + 0.5)
        used = router.cpu_s()
        time.sleep(0.5)
        assert router.cpu_s() - used < 0.25  # it does not spin on what it cannot accept
        open_ones.close()
        assert eventually(lambda: Peer(router, stay=False).welcome["status"] == 0)
        assert "Traceback" not in router.log.read_text(), router.log.read_text()


def test_a_killed_program_leaves_nothing(router):
    peers = [Peer(router) for _ in range(5)]
    for peer in peers:
        peer.process.kill()
    assert eventually(lambda: router.descriptors() <= router.idle_descriptors and router.sessions() == 0)
    for peer in peers:
        peer.leave()


# ---- the control socket ----


def test_only_its_owner_may_control_it(router):
    assert router.paths.control_socket.stat().st_mode & 0o777 == 0o600
    assert router.paths.session_socket.stat().st_mode & 0o777 == 0o666
    client = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
              "s.sendall(b'{\"op\": \"status\"}\\n')\nprint(s.recv(4096).decode())")
    command = ["/usr/bin/python3", "-I", "-c", client, str(router.paths.control_socket)]
    assert "PermissionError" in subprocess.run([*NOBODY, *command], capture_output=True, text=True).stderr
    assert '"ok": true' in subprocess.run(command, capture_output=True, text=True).stdout
    # A container's root is uid 0 too.
    inside = subprocess.run(["unshare", "--pid", "--fork", *command], capture_output=True, text=True).stdout
    assert "containers may not control the router" in inside


def test_garbage_on_the_control_socket(router, rng):
    for _ in range(50):
        garbage = rng.randbytes(rng.randrange(1, 3000)).replace(b"\n", b"") + b"\n"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(router.paths.control_socket))
            sock.sendall(garbage)
            assert b'"ok": false' in sock.recv(4096)
            sock.sendall(b'{"op": "status"}\n')  # the connection survives
            assert b'"ok": true' in sock.recv(4096)


def test_a_line_without_an_end_is_cut_off(router):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(router.paths.control_socket))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                sock.sendall(b"x" * 65536)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(4096):
                pass
    assert router.ask("status")["pid"] == router.process.pid


def test_control_connections_are_bounded_and_one_that_does_not_read_stalls_nobody(router):
    with contextlib.ExitStack() as open_ones:
        for _ in range(80):
            sock = open_ones.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            sock.connect(str(router.paths.control_socket))
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                for _ in range(200):
                    sock.send(b'{"op": "status"}\n')
        with connect(router) as honest:
            honest.send(pack_hello())
            assert welcome_of(honest)["status"] == 0
    assert eventually(lambda: _answers(router))


def _answers(router):
    try:
        return router.ask("status")["pid"] == router.process.pid
    except FreeFlowError:
        return False


def test_polling_is_changed_while_it_runs(router):
    for mode in ("lowcpu", "fastpath", "adaptive"):
        router.ask("polling", mode=mode)
        assert router.ask("status")["polling"] == mode
    with pytest.raises(RouterRefused, match="known are"):
        router.ask("polling", mode="warp")


# ---- from start to end ----


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "stop"])
def test_an_end_that_leaves_nothing(how):
    with RouterProcess() as router, Peer(router):
        stats = Path("/dev/shm" + router.ask("status")["stats"])
        assert stats.exists()
        if how == "stop":
            router.ask("stop")
            assert router.process.wait(10) == 0
        else:
            assert router.stop(how) == 0
        assert not stats.exists() and os.listdir(router.directory) == ["log"]
        assert "Traceback" not in router.log.read_text()


def test_killed_and_started_again(namespace):
    with RouterProcess() as router:
        stats = Path("/dev/shm" + router.ask("status")["stats"])
        with connect(router) as sock:
            sock.send(pack_hello())
            assert welcome_of(sock)["status"] == 0
            router.crash()
            assert sock.recv(1) == b""  # an end that a program sees at once
        assert router.paths.session_socket.exists() and stats.exists()
        with RouterProcess(directory=router.directory) as again:
            assert not stats.exists()
            assert Peer(again, stay=False).welcome["status"] == 0


def test_a_second_router_in_the_same_place_is_refused(router):
    second = RouterProcess(directory=router.directory)
    assert second.process.wait(10) == 1
    assert f"a router (pid {router.process.pid}) runs at" in router.log.read_text()
    assert router.ask("status")["pid"] == router.process.pid


def test_a_policy_file_narrows_what_sessions_get(tmp_path, namespace):
    policy = tmp_path / "policy.toml"
    policy.write_text("[quota.session]\ncontrol_bytes = 2097152\n[quota.tenants.blue]\nsessions = 1\n")
    with RouterProcess("--policy", str(policy)) as router:
        router.ask("container.add", name="web", netns=namespace.path, addresses=["10.32.1.1"], tenant="blue")
        with Peer(router, namespace.within) as first:
            assert first.welcome["control_size"] == 2 << 20
            second = Peer(router, namespace.within).welcome
            assert second["status"] == errno.ENOMEM and "'blue'" in second["reason"]
        assert eventually(lambda: router.sessions("web") == 0)
        assert Peer(router, namespace.within, stay=False).welcome["status"] == 0


def test_a_wrong_policy_file_is_told_in_one_line(tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text("[quota.session]\nmax_qps = 3\n")
    with RouterProcess("--policy", str(policy)) as router:
        assert router.process.wait(10) == 1
        assert router.log.read_text().startswith("freeflow router: ") and "max_qps" in router.log.read_text()
        assert os.listdir(router.directory) == ["log"]
