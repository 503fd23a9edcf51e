"""One smoke test of each way in and of each NIC, for `make test-quick`: something new has its line here, too.

What each of them does in full, other files test.
"""

import subprocess

import pytest
from tcp_net import ECHO_ONCE, converse

from freeflow.cli import router_run
from freeflow.perftest import Perftest
from places import FREEFLOW, Lab
from programs import program

TRANSFER = ("rc_transfer", "send")  # a verbs program and one of its cases
BY_NIC = {  # NIC -> where the client runs, with the server in h1c1
    "local": "h1c2",
    "roce": "h2c1",
}

pytestmark = pytest.mark.quick


def transfer(router, environment, before=()):
    done = router.run(*before, program(TRANSFER[0]), TRANSFER[1], env=environment)
    assert (done.stdout, done.stderr) == (f"ok {TRANSFER[1]}\n", "")


@pytest.mark.parametrize("variable", ["LD_PRELOAD", "LD_LIBRARY_PATH"])
def test_a_verbs_program(shared_router, variable):
    """Either is enough."""
    other = {"LD_PRELOAD", "LD_LIBRARY_PATH"} - {variable}
    transfer(shared_router, {name: value for name, value in shared_router.environment().items() if name not in other})


def test_freeflow_run(shared_router, monkeypatch):
    for name in ("LD_PRELOAD", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    transfer(shared_router, None, [*FREEFLOW, "run", "--dir", str(shared_router.directory), "--"])


def test_tcp_mode(net, accelerated):
    client = "sock = socket.create_connection(('10.32.1.2', 5000)); sock.sendall(b'hello'); print(sock.recv(5), kind(sock))"
    assert converse(net, ECHO_ONCE, client)[1] == "b'hello' fast\n"
    assert accelerated() == 1


@pytest.mark.parametrize("nic", BY_NIC)
def test_a_lab_and_its_nic(nic):
    made = Lab(f"-quick-{nic}", host_count=2, container_count=2, nic=nic)
    try:
        for words in (["ib_send_lat"], ["ib_write_bw"], ["ib_send_lat", "-c", "UD"]):
            result = Perftest(made.enter, "h1c1", BY_NIC[nic]).run(*words, "-n", "200", "-F")
            assert result.row["#iterations"] == 200
    finally:
        made.down()


def test_every_nic_is_tried():
    choices = next(option.type.choices for option in router_run.command.params if option.name == "nic")
    assert set(BY_NIC) == set(choices) - {"auto"}
