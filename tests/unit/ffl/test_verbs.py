"""FFL's half of the contract, through client.c (an ordinary verbs program) and a fake router."""

import errno
import os
import struct
import subprocess
import time
from pathlib import Path

import pytest

from .fake_router import COMMAND_BELL, FLAGS, MEMORY_SIZE, FakeRouter
from .test_exports import VERBS

HERE = Path(__file__).parent
QP_FATAL = 1
OVERSUBSCRIBED, SLOW_YIELD = 1, 2


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    program = tmp_path_factory.mktemp("client") / "client"
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", program, HERE / "client.c", VERBS, "-lpthread"], check=True)
    return program


class Case:
    """client CASE against a fake router (or none) in folder."""

    def __init__(self, client, folder, router=True, **answers):
        self.folder, self.client = folder, client
        self.router = FakeRouter(folder, **answers) if router else None

    def start(self, name):
        env = dict(os.environ, FREEFLOW_DIR=str(self.folder), FFR_NAME="router", LD_LIBRARY_PATH=str(VERBS.parent))
        return subprocess.Popen([self.client, name], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def run(self, name):
        self.process = self.start(name)
        return self.finish()

    def finish(self):
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, out + err
        assert out.endswith("done\n")
        return out, err


@pytest.fixture
def case(client, tmp_path):
    made = []

    def make(**answers):
        made.append(Case(client, tmp_path, **answers))
        return made[-1]
    yield make
    for each in made:
        if each.router:
            each.router.die()


def test_query(case):
    run = case()
    out, err = run.run("query")
    assert err == ""
    assert run.router.session.commands[0][0] == "query_device"
    assert run.router.session.commands[-1][0] == "close_context"


def test_send_and_receive(case):
    run = case()
    run.run("ping")
    session = run.router.session
    assert session.control.word(COMMAND_BELL) == 1
    sent, = session.wqes
    assert (sent["opcode"], sent["flags"], sent["imm"]) == (2, 1 | 2, 0x01020304)  # imm untouched
    assert [length for _, length, _ in sent["sges"]] == [10, 20]


def test_registration_names_whole_pages(case):
    run = case()
    run.run("ping")
    name, request = next(c for c in run.router.session.commands if c[0] == "reg_mr")
    pd, access, addr, length, iova, extents = struct.unpack_from("<IIQQQI", request)
    assert (access, length, iova) == (1, 5000, addr) and extents >= 1
    total = 0
    for i in range(extents):
        offset, size = run.router.session.control.get("QQ", 4096 + 16 * i)
        assert offset % 4096 == size % 4096 == 0 and offset + size <= MEMORY_SIZE
        total += size
    assert total == 8192  # the two pages that 5000 bytes at 100 touch


def test_every_opcode_is_laid_out(case):
    run = case()
    run.run("wqes")
    wqes = run.router.session.wqes
    assert [w["opcode"] for w in wqes] == [1, 4, 5, 6, 7, 8]
    assert wqes[0]["flags"] == 1 | 4 | 8
    assert wqes[0]["inline"] == b"123456789\0abcdefghijklmnopqrs\0"
    assert [(w["remote"], w["rkey"]) for w in wqes[1:]] == [(0x2000, 78)] * 3 + [(0x1000, 77)] * 2
    assert [(w["compare"], w["swap"]) for w in wqes[4:]] == [(5, 6), (5, 6)]
    assert wqes[2]["sges"] == []


def test_full_queues_flush_and_reset(case):
    run = case()
    run.run("full")
    assert len(run.router.session.wqes) == 8 + 2 + 100


def test_events_are_acknowledged_before_destruction(case):
    run = case()
    run.process = run.start("events")
    assert run.process.stdout.readline() == "async\n"
    session = run.router.session
    qp = next(o["handle"] for o in session.objects.values() if o["kind"] == "qp")
    session.async_event(QP_FATAL, 9999)
    session.async_event(QP_FATAL, qp)
    run.finish()


@pytest.mark.parametrize("flags", [0, OVERSUBSCRIBED, SLOW_YIELD])
def test_router_that_dies_is_an_error(case, flags):
    run = case()
    run.process = run.start("death")
    assert run.process.stdout.readline() == "die\n"
    run.router.session.control.set_word(FLAGS, flags)
    run.router.die()
    run.process.stdin.write("\n")
    run.process.stdin.flush()
    out, err = run.finish()
    assert err.splitlines()[0].startswith("freeflow: the router is gone")


def test_fork_leaves_the_session_to_the_parent(case):
    run = case()
    run.run("forked")
    assert len(run.router.sessions) == 2  # the child's own


def test_access_rules(case):
    run = case()
    run.run("access")
    _, request = next(c for c in run.router.session.commands if c[0] == "reg_mr")
    assert struct.unpack_from("<IIQQQ", request)[1] == 4 and struct.unpack_from("<IIQQQ", request)[4] == 0x7000


# ---- no device ----

def refused(run, code, *words):
    out, err = run.run("refused")
    assert out.splitlines()[0] == f"errno {code}"
    line, = err.splitlines()  # one, however often a program asks
    for word in ("freeflow: no RDMA device", "freeflow doctor", *words):
        assert word in line


def test_no_router(case, tmp_path):
    refused(case(router=False), errno.ENOSYS, str(tmp_path / "router.sock"), "no router is running there")


def test_router_that_left_its_socket(case):
    run = case()
    run.router.stop_listening()
    refused(run, errno.ENOSYS, "no router is running there")


def test_refused_with_a_reason(case):
    why = "nobody registered this container"
    refused(case(status=errno.EPERM, reason=why), errno.EPERM, why)


def test_quota(case):
    refused(case(status=errno.ENOMEM, reason="64 sessions are open"), errno.ENOMEM, "64 sessions are open")


def test_other_version(case):
    refused(case(version=99), errno.ENOSYS, "layout")


def test_router_that_does_not_answer(case):
    run = case(silent=True)
    started = time.monotonic()
    refused(run, errno.ENOSYS, "does not answer")  # asked several times, it asks the router once
    assert time.monotonic() - started < 2


def test_turns_are_waited_for(case):
    """EAGAIN is "not yet"."""
    run = case(status=errno.EAGAIN, reason="many programs start at once", welcomes=3)
    out, err = run.run("query")
    assert err == "" and len(run.router.sessions) == 4


def test_verb_passes_the_errno_on(case):
    run = case(refuse={"open_context": errno.EMFILE})
    process = run.start("query")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1 and f"(errno {errno.EMFILE})" in out


def test_limit_is_explained(case):
    run = case(refuse={"alloc_pd": errno.ENOMEM})
    process = run.start("access")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1 and f"(errno {errno.ENOMEM})" in out
    assert err.startswith("freeflow: ibv_alloc_pd: a limit of this container is reached")
