"""Open MPI, as Debian has it: two ranks in two containers, launched over ssh, talking through UCX over the device."""

import subprocess

import pytest

from freeflow.lab.model import HOME_INSIDE
from freeflow.pair import Side
from lab_checks import said
from programs import SOURCES

SSH_PORT = 2222
SSHD = f"""\
Port {SSH_PORT}
HostKey {HOME_INSIDE}/host
AuthorizedKeysFile {HOME_INSIDE}/user.pub
StrictModes no
UsePAM no
PidFile none
"""
OURS = ("LD_PRELOAD", "LD_LIBRARY_PATH", "FREEFLOW_DIR", "FFR_NAME")
TRANSPORTS = ["rc_v", "ud_v"]  # of UCX (test_ucx.py)


@pytest.fixture(scope="module")
def ssh(lab, tmp_path_factory):
    """A server in h1c2, and the words with which h1c1 reaches it."""
    made = tmp_path_factory.mktemp("ssh")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made / key], check=True)
    (made / "config").write_text(SSHD)
    for place, names in {"h1c2": ("host", "user.pub", "config"), "h1c1": ("user",)}.items():
        for name in names:
            lab.put(place, made / name)
            (lab.plan.find(place).home / name).chmod(0o600)
    server = Side(lab.words("h1c2", "/usr/sbin/sshd", "-D", "-e", "-f", f"{HOME_INSIDE}/config"))
    server.wait_listening(SSH_PORT, 20)
    yield (f"ssh -q -i {HOME_INSIDE}/user -p {SSH_PORT} -l h1c2 -o StrictHostKeyChecking=no"
           " -o UserKnownHostsFile=/dev/null")
    server.stop()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_two_ranks(lab, ssh, transport):
    program = [lab.put(place, SOURCES / "mpi_exchange.py") for place in ("h1c1", "h1c2")][0]
    components = {"plm_rsh_agent": ssh, "oob_tcp_if_include": "eth0", "pml": "ucx", "btl": "^openib",
                  "hwloc_base_binding_policy": "none", "mpi_yield_when_idle": "1"}
    variables = {"UCX_TLS": f"{transport},self", "UCX_NET_DEVICES": "ff0:1"}
    words = ["mpirun", "--host", "h1c1,h1c2", "-np", "2"]
    for name, value in components.items():
        words += ["--mca", name, value]
    for name in (*OURS, *(f"{name}={value}" for name, value in variables.items())):
        words += ["-x", name]
    before = received(lab)
    told = said(lab.exec("h1c1", "sh", "-c", f'cd {HOME_INSIDE}; exec "$@"', "sh", *words, "/usr/bin/python3", program))
    assert told.startswith("ok "), told
    assert received(lab) - before > 2 * 2000, "the messages did not go through the router"


def received(lab):
    """Messages that the lab's router has moved, of sessions that ended as well."""
    return lab.status()["hosts"][0]["counters"]["wqes"]
