"""Requests on the control socket, without the socket."""

import json
import re
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from ffr.control.operations import ControlServer, open_namespace
from ffr.errors import Refused
from ffr.control.router import Router


@pytest.fixture
def server():
    def add(name, addresses, tenant="default"):
        if name == "taken":
            raise Refused(17, "there is one already")
        if name == "bug":
            raise KeyError("oh")
        return {"added": [name, addresses, tenant]}

    return ControlServer("/nowhere", {"add": (add, {"name": str, "addresses": list, "tenant?": str}),
                                      "ping": (dict, {})})


def ask(server, **request):
    return server.answer(json.dumps(request).encode() + b"\n")


def test_an_op_gets_its_fields_and_its_answer_goes_back(server):
    assert ask(server, op="ping") == {"ok": True}
    assert ask(server, op="add", name="a", addresses=["x"]) == {"ok": True, "added": ["a", ["x"], "default"]}
    assert ask(server, op="add", name="a", addresses=[], tenant="t")["added"] == ["a", [], "t"]


@pytest.mark.parametrize("line", [
    b"", b"\n", b"hello\n", b"[1, 2]\n", b"null\n", b"3\n", b'"add"\n', b"{}\n", b'{"op": 3}\n', b'{"op": ["add"]}\n',
    b'{"op": "adds"}\n', b'{"op": "add"}\n', b'{"op": "add", "name": 3, "addresses": []}\n',
    b'{"op": "add", "name": "a", "addresses": "10.0.0.1"}\n', b'{"op": "add", "name": "a", "addresses": [1]}\n',
    b'{"op": "add", "name": "a", "addresses": [], "tenant": null}\n', b'{"op": "ping", "x": 1}\n',
    b"[" * 60000 + b"\n", b'{"op": ' * 10000 + b"\n", b"\xff\xfe\x00\n", b"9" * 60000 + b"\n", b"NaN\n",
    b'{"op": "\\ud800"}\n', b'{"op": "' + b"x" * 60000 + b'"}\n', b'{"op": "ping", "' + b"x" * 60000 + b'": 1}\n',
])
def test_anything_else_is_told_so_in_one_line(server, line):
    reply = server.answer(line)
    assert reply["ok"] is False and reply["error"] and "\n" not in reply["error"]
    assert len(json.dumps(reply)) < 1000


def test_refusals_and_bugs_are_told_too(server, caplog):
    assert ask(server, op="add", name="taken", addresses=[]) == {"ok": False, "error": "there is one already"}
    assert "KeyError" in ask(server, op="add", name="bug", addresses=[])["error"]
    assert "control request failed" in caplog.text


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/etc/passwd", "/proc/self/ns/uts", "/proc/self/ns/pid", "a\0b", "",
                                  "/", "\ud800"])
def test_a_path_that_is_no_network_namespace(path):
    with pytest.raises(Refused) as caught:
        open_namespace(path)
    assert caught.value.reason and "\n" not in caught.value.reason


def test_a_fifo_in_place_of_a_namespace_does_not_block(tmp_path):
    import os
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Refused, match="not a network namespace"):
        open_namespace(str(tmp_path / "fifo"))


def test_our_own_network_namespace_is_one():
    with open_namespace("/proc/self/ns/net") as namespace:
        assert namespace.id.inode and not namespace.is_foreign()


def test_every_op_is_documented_with_its_fields():
    ops = Router._ops(MagicMock())
    page = (Path(__file__).parents[4] / "docs/operations.md").read_text()
    rows = {row.split("`")[1]: row for row in page.splitlines() if re.match(r"\| `[a-z.]+` \|", row)}
    assert not {op: fields for op, (_, fields) in ops.items()
                if any(f"`{name.rstrip('?')}`" not in rows.get(op, "") for name in [op, *fields])}
