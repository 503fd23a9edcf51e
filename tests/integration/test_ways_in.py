"""One smoke test of each way in, of each NIC and of each link, for `make test-quick`: something new has its line here, too.

What each of them does in full, other files test.
"""

import subprocess

import pytest
from tcp_net import ECHO_ONCE, converse

from ffcore.nics import LINKS, NICS
from freeflow.perftest import Perftest
from places import FREEFLOW, Lab
from programs import program

TRANSFER = ("rc_transfer", "send")  # a verbs program and one of its cases
BY_NIC = {  # NIC -> where the client runs, with the server in h1c1
    "local": "h1c2",
    "roce": "h2c1",
}
BY_LINK = {  # a link of roce's -> likewise
    "udp": "h2c1",
    "stream": "h2c1",
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


def check_lab(suffix, client, **options):
    made = Lab(f"-quick-{suffix}", host_count=2, container_count=2, **options)
    try:
        for words in (["ib_send_lat"], ["ib_write_bw"], ["ib_send_lat", "-c", "UD"]):
            result = Perftest(made.enter, "h1c1", client).run(*words, "-n", "200", "-F")
            assert result.row["#iterations"] == 200
    finally:
        made.down()


@pytest.mark.parametrize("nic", BY_NIC)
def test_a_lab_and_its_nic(nic):
    check_lab(nic, BY_NIC[nic], nic=nic)


@pytest.mark.parametrize("link", BY_LINK)
def test_a_lab_and_its_link(link):
    check_lab(link, BY_LINK[link], link=link)


def test_every_nic_and_link_is_tried():
    assert set(BY_NIC) == set(NICS) - {"auto"} and set(BY_LINK) == set(LINKS)
