"""What the router says to whoever starts it wrongly: in words of `freeflow router`, and which file."""

import pytest

from ffr.control import daemon


@pytest.mark.parametrize("arguments, words", [
    (["--hosts", "/nonexistent"], "the map of hosts /nonexistent: No such file"),
    (["--key", "/nonexistent"], "/nonexistent: No such file"),
])
def test_a_file_that_is_not_there_is_named_once(tmp_path, arguments, words):
    with pytest.raises(SystemExit) as ended:
        daemon.main(["--dir", str(tmp_path), *arguments])
    assert words in ended.value.code and "Errno" not in ended.value.code
    assert ended.value.code.count("/nonexistent") == 1


@pytest.mark.parametrize("user, cured", [(0, False), (1000, True)])
def test_who_may_not_is_told_who_may(tmp_path, monkeypatch, user, cured):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", "/freeflow")

    monkeypatch.setattr(daemon.RouterPaths, "to_run", refuse)
    monkeypatch.setattr(daemon.os, "geteuid", lambda: user)
    with pytest.raises(SystemExit) as ended:
        daemon.main([])
    assert ended.value.code.startswith("freeflow router: /freeflow: Permission denied")
    assert ("--dir" in ended.value.code) is cured


@pytest.mark.parametrize("mask, told", [("0000000000001000", True), ("000001ffffffffff", True),
                                        ("0000000000000000", False), ("0000000000000fff", False)])
def test_a_router_knows_whether_it_can_admit_anybody(tmp_path, mask, told):
    status = tmp_path / "status"
    status.write_text(f"CapPrm:\t000001ffffffffff\nCapEff:\t{mask}\n")
    assert daemon.has_net_admin(status) is told


def test_a_wrong_option_is_told_of_the_command_that_was_typed(capsys):
    with pytest.raises(SystemExit):
        daemon.main(["--address", "10.31.0.1"])
    said = capsys.readouterr().err
    assert "freeflow router: error: --address goes with --etcd" in said and "daemon" not in said
