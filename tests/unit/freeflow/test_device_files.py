"""What the device's files say, and when `freeflow run` leaves mounts alone."""

import os
from dataclasses import replace

import pytest

from ffcore.paths import RouterPaths
from freeflow import device_files
from freeflow.device import Device, Gid
from freeflow.device_files import INVALID, Link, colons, cpu_mask, tree

PORT = {"state": 4, "phys_state": 5, "active_width": 2, "active_speed": 32, "gid_tbl_len": 4, "port_cap_flags": 0x4010000}
V4, V6 = bytes(10) + b"\xff\xff\x0a\x20\x01\x01", bytes.fromhex("fd00" + "00" * 13 + "07")
FF0 = Device("ff0", "uverbs0", "0.1.0", bytes.fromhex("02fff1000a200101"), 0x1234, 4129, 1, PORT,
             {0: Gid(V4, "RoCE v2", "eth0"), 2: Gid(V6, "RoCE v2", "")})


def port_of(device):
    below = "infiniband/ff0/ports/1/"
    return {name.removeprefix(below): said for name, said in tree(device, 2).items() if name.startswith(below)}


def test_gids_and_their_attributes():
    port = port_of(FF0)
    assert [port[f"gids/{index}"] for index in (0, 1, 2)] == [colons(V4), "0000:" * 7 + "0000", colons(V6)]
    assert [port[f"gid_attrs/types/{index}"] for index in range(4)] == ["RoCE v2", INVALID, "RoCE v2", INVALID]
    assert [port[f"gid_attrs/ndevs/{index}"] for index in range(4)] == ["eth0", INVALID, INVALID, INVALID]


def test_the_interfaces_that_have_its_addresses():
    links = {name: said for name, said in tree(FF0, 2).items() if "device/net/" in name}
    assert links == {"infiniband/ff0/device/net/eth0": Link("../../../../net/eth0")}


@pytest.mark.parametrize("width, speed, said", [(2, 32, "100 Gb/sec (4X EDR)"), (1, 1, "2.5 Gb/sec (1X SDR)"),
                                                (2, 64, "200 Gb/sec (4X HDR)")])
def test_rate(width, speed, said):
    assert port_of(replace(FF0, port=PORT | {"active_width": width, "active_speed": speed}))["rate"] == said


def test_every_file_is_text_or_a_link_below_the_classes():
    for name, said in tree(FF0, 2).items():
        assert not name.startswith("/") and isinstance(said, (str, Link))


@pytest.mark.parametrize("count, mask", [(1, "00000001"), (2, "00000003"), (32, "ffffffff"), (40, "000000ff,ffffffff")])
def test_cpu_masks(count, mask):
    assert cpu_mask(count) == mask


def test_nothing_is_mounted_a_second_time(monkeypatch):
    monkeypatch.setattr(device_files, "are_there", lambda: True)
    monkeypatch.setattr(device_files, "ask", lambda router: pytest.fail("nobody had to be asked"))
    assert device_files.provide(None) is None


def test_without_root_they_are_plain_files_and_follow_the_device(monkeypatch, tmp_path):
    router = RouterPaths(tmp_path, "router")
    tmp_path.chmod(0o700)
    monkeypatch.setattr(device_files, "are_there", lambda: False)
    monkeypatch.setattr(device_files, "_mounted", lambda found, router: False)
    monkeypatch.setattr(device_files, "ask", lambda router: FF0)
    place = device_files.provide(router)
    assert place == router.files
    gid = place / "class/infiniband/ff0/ports/1/gids/0"
    assert gid.read_text().endswith("ffff:0a20:0101\n")
    assert (place / "dev/uverbs0").is_char_device()
    assert os.readlink(gid.parents[1] / "counters").startswith(f"{router.port_counters}/")
    monkeypatch.setattr(device_files, "ask", lambda router: replace(FF0, gids={}))
    device_files.provide(router)
    assert gid.read_text().endswith(":0000\n")


def test_a_directory_that_others_may_enter_is_not_the_place(monkeypatch, tmp_path):
    """It may serve several containers, each of which sees another device."""
    tmp_path.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(device_files, "user_directory", lambda: tmp_path / "own")
    assert device_files.place_apart(RouterPaths(tmp_path, "router")).parent == tmp_path / "own"
