"""Two hosts for TCP mode's tests: Python programs in containers of a lab, and what the routers counted."""

import subprocess
import time
from contextlib import contextmanager

from places import Lab
from tcp_net import SERVER, read_until_up


@contextmanager
def two_hosts(suffix, **plan):
    """A Lab with VXLAN between its two hosts; h1c1 … h2c2."""
    lab = Lab(suffix, host_count=2, container_count=2, overlay="vxlan", **plan)
    try:
        await_links(lab)
        yield lab
    finally:
        lab.down()


def tcp_status(lab, host):
    """The router's word on TCP mode, by counter."""
    with lab.control(host) as control:
        return control.call("status")["tcp"]


def await_links(lab, linked=True, hosts=("h1", "h2"), timeout_s=10):
    """Until each router can (or cannot) ask the other one."""
    deadline = time.monotonic() + timeout_s
    while any(set(tcp_status(lab, host)["hosts"].values()) != {linked} for host in hosts):
        assert time.monotonic() < deadline, {host: tcp_status(lab, host) for host in hosts}
        time.sleep(0.05)


def start(lab, place, code, mode="tcp", **options):
    return lab.popen(place, "python3", "-c", SERVER + code, mode=mode, stderr=subprocess.STDOUT, **options)


def converse(lab, server, client, where=("h2c1", "h1c1"), modes=("tcp", "tcp"), timeout_s=60):
    """As tcp_net.converse: the outputs of server (which prints "up" when it listens) and client."""
    listening = start(lab, where[0], server, modes[0])
    try:
        before = read_until_up(listening)
        talking = start(lab, where[1], client, modes[1])
        said, _ = talking.communicate(timeout=timeout_s)
        if talking.returncode:
            listening.kill()
        heard, _ = listening.communicate(timeout=30)
    finally:
        listening.kill()
        listening.wait()
    assert talking.returncode == 0 and listening.returncode == 0, f"the client:\n{said}\nthe server:\n{heard}"
    return before + heard, said
