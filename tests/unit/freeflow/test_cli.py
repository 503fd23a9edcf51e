"""The command line as such: every command is there, and errors are one line."""

import socket
import threading

import click
import pytest
from click.testing import CliRunner

from freeflow.cli.main import COMMANDS, GROUPS, cli, main
from freeflow.control import Control
from freeflow.errors import FreeFlowError, RouterRefused, RouterUnreachable


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_exists_under_its_words_and_explains_itself(words):
    result = CliRunner().invoke(cli, [*words.split(), "--help"])
    assert result.exit_code == 0 and f"Usage: cli {words}" in result.output
    assert len(result.output.split("\n")[2].strip()) > 10  # a sentence on what it does


@pytest.mark.parametrize("words", ["", *GROUPS])
def test_what_a_list_says_of_each_command_is_a_whole_sentence(words):
    listed = CliRunner().invoke(cli, [*words.split(), "--help"]).output.partition("Commands:")[2].strip().splitlines()
    assert listed and all(line.endswith(".") and not line.endswith("...") for line in listed), listed


def test_groups_list_their_commands_and_nothing_else():
    for group in GROUPS:
        context = click.Context(cli)
        listed = cli.get_command(context, group).list_commands(context)
        assert listed and set(listed) == {words.split()[1] for words in COMMANDS if words.startswith(group + " ")}


@pytest.mark.parametrize("arguments", [["containr"], ["container", "ad"], ["polling", "warp"], ["container", "add", "x"],
                                       ["container", "add", "x", "--address", "10.0.0.1"]])
def test_wrong_usage_is_status_2(arguments):
    assert CliRunner().invoke(cli, arguments).exit_code == 2


def test_an_error_is_one_line_and_status_1(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["container", "list", "--dir", str(tmp_path)])
    said = capsys.readouterr().err
    assert caught.value.code == 1 and said.startswith("freeflow: no router at") and said.count("\n") == 1


def test_a_dead_router_is_told_from_an_absent_one(tmp_path):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "router.ctl"))
    with pytest.raises(RouterUnreachable, match="is dead"):
        Control(str(tmp_path))
    with pytest.raises(FreeFlowError, match="longer than"):
        Control("/" + "x" * 200)


@pytest.mark.parametrize("answer, error, words", [
    (b'{"ok": true, "x": 1}\n', None, None), (b'{"ok": false, "error": "no, thank you"}\n', RouterRefused, "no, thank you"),
    (b"", RouterUnreachable, "hung up"), (b'{"ok": tr', RouterUnreachable, "hung up"),
    (b"hello\n", RouterUnreachable, "not a router"), (b"[]\n", RouterUnreachable, "not a router"),
    (None, RouterUnreachable, "stopped answering")])
def test_what_a_client_makes_of_answers(tmp_path, answer, error, words):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "router.ctl"))
        listener.listen()
        client = Control(str(tmp_path), timeout_s=0.2)
        peer, _ = listener.accept()

        def serve():
            peer.recv(100)
            if answer is not None:
                with peer:
                    peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with client, peer:
            if error is None:
                assert client.call("status") == {"x": 1}
            else:
                with pytest.raises(error, match=words):
                    client.call("status")


def test_a_lab_down_that_is_interrupted_names_the_cure(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("freeflow.lab.down.down", interrupted)
    with pytest.raises(SystemExit) as caught:
        main(["lab", "down"])
    assert caught.value.code == 1 and "freeflow lab down removes the rest" in capsys.readouterr().err


def test_a_container_that_lost_its_addresses_or_its_link_is_told(tmp_path, monkeypatch):
    rows = [{"name": name, "tenant": "default", "addresses": addresses, "ignored": ignored, "port": port, "sessions": 0}
            for name, addresses, ignored, port in [("fine", ["10.32.1.1"], [], "up"), ("lost", [], ["10.32.1.9"], "up"),
                                                   ("down", ["10.32.1.2"], [], "down")]]
    monkeypatch.setattr(Control, "__init__", lambda self, *arguments: None)
    monkeypatch.setattr(Control, "__exit__", lambda self, *arguments: None)
    monkeypatch.setattr(Control, "call", lambda self, op: {"containers": rows})
    text = CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["container", "list"]).output
    fine, lost, down = text.splitlines()[1:]
    assert "its" not in fine and "its link is down" in down
    assert "none of its addresses is on its interfaces; not its addresses: 10.32.1.9" in lost
