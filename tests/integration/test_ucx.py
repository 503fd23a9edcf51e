"""UCX and libfabric, as Debian has them: they find the device, and UCX's own benchmark runs over it."""

import re

import pytest

from freeflow.pair import run_pair
from lab_checks import said

PORT = 13337  # ucx_perftest's own
FINAL = re.compile(r"^Final:\s+(\d+)\s+(.*)$", re.MULTILINE)
# UCX's names for rc_verbs, with ud_verbs to set connections up (alone it has no way to), and for ud_verbs.
TRANSPORTS = ["rc_v", "ud_v"]
TESTS = [("tag_lat", 8), ("tag_lat", 1 << 20), ("tag_bw", 64), ("tag_bw", 65536), ("ucp_am_lat", 64), ("stream_bw", 4096)]


def run_both(lab, words):
    """A server without and a client with its name; the client's last line has to hold figures."""
    server, client = run_pair(lab.words("h1c1", *words), lab.words("h1c2", *words, "h1c1"), PORT)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"
    final = FINAL.search(client.stdout)
    assert final and all(float(figure) > 0 for figure in final[2].split()), client.stdout


def test_ucx_lists_the_device(lab):
    told = said(lab.exec("h1c1", "ucx_info", "-d"))
    for transport in ("rc_verbs", "ud_verbs"):
        found = re.search(rf"Transport: {transport}\n#\s+Device: ff0:1\n", told)
        assert found, told
        assert "failed to open interface" not in told[found.end():].split("Transport:")[0]


@pytest.mark.parametrize("test, size", TESTS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_ucx_perftest(lab, transport, test, size):
    variables = ["env", f"UCX_TLS={transport},self", "UCX_NET_DEVICES=ff0:1"]
    options = ["-t", test, "-s", str(size), "-n", "200" if size > 65536 else "2000", "-w", "100"]
    run_both(lab, [*variables, "ucx_perftest", "-p", str(PORT), *options])


@pytest.mark.parametrize("test", ["tag_lat", "tag_bw", "ucp_put_bw", "ucp_get", "ucp_fadd"])
def test_ucx_with_its_default_settings(lab, test):
    """Its buffers are SysV's and POSIX's shared memory then."""
    run_both(lab, ["ucx_perftest", "-p", str(PORT), "-t", test, "-s", "8" if test == "ucp_fadd" else "65536", "-n", "500", "-w", "10"])


@pytest.mark.parametrize("test", ["am_lat", "am_bw", "put_lat", "put_bw", "add_mr", "fadd", "cswap"])
def test_rc_verbs_without_what_stands_above_it(lab, test):
    """UCX's lower half, which connects by itself: what RC has, WRITE and atomics among it."""
    words = ["ucx_perftest", "-p", str(PORT), "-d", "ff0:1", "-x", "rc_verbs", "-t", test, "-n", "1000", "-w", "10"]
    run_both(lab, words)


def test_libfabric_lists_the_device(lab):
    told = said(lab.exec("h1c1", "fi_info", "-p", "verbs"))
    assert re.search(r"provider: verbs\n\s+fabric: .*\n\s+domain: ff0", told), told
