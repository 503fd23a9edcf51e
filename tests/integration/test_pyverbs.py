"""Debian's pyverbs, unmodified, between two containers."""

import pytest

from freeflow.pair import run_pair
from programs import SOURCES

PORT = 18516  # pyverbs_rc.py's


@pytest.mark.quick
def test_ping_pong_write_and_read_on_numpy_buffers(lab):
    words = {name: ["/usr/bin/python3", lab.put(name, SOURCES / "pyverbs_rc.py")] for name in ("h1c1", "h1c2")}
    server, client = run_pair(lab.words("h1c1", *words["h1c1"], "server"),
                              lab.words("h1c2", *words["h1c2"], "client", "h1c1"), PORT)
    assert (server.status, client.status) == (0, 0), f"{server}\n{client}"
    assert (server.stdout, client.stdout) == ("ok\n", "ok\n")
