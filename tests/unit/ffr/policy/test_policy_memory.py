"""What a session may register when no policy says: the machine's memory, and the process's control groups."""

import os

import pytest

from ffr.policy.base import ROUTER_LIMITS, SESSION_LIMITS
from ffr.policy.memory import SEGMENT_MAX, SEGMENT_MIN, allowed_bytes, machine_bytes, segment_bytes
from ffr.policy.registry import Policies

GIB = 1 << 30


class Container:
    name, tenant = "web", "blue"


@pytest.fixture
def groups(tmp_path):
    """Writes a process's line and its groups' limits; returns what is allowed."""
    def look(line, limits):
        (tmp_path / "proc/7").mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc/7/cgroup").write_text(line)
        for path, limit in limits.items():
            (tmp_path / "cg" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cg" / path).write_text(f"{limit}\n")
        return allowed_bytes(7, tmp_path / "proc", tmp_path / "cg")
    return look


def test_without_limits_it_is_the_machine(groups):
    assert groups("0::/a/b\n", {"a/b/memory.max": "max"}) == machine_bytes() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert allowed_bytes(1 << 30) == machine_bytes()  # no such process


def test_the_least_of_a_group_and_those_above_it(groups):
    assert groups("0::/a/b\n", {"a/b/memory.max": 3 << 20, "a/memory.max": 5 << 20}) == 3 << 20
    assert groups("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": 5 << 20}) == 5 << 20


def test_version_1_of_control_groups(groups):
    line = "5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/\n"
    assert groups(line, {"memory/a/b/memory.limit_in_bytes": 7 << 20}) == 7 << 20
    assert groups(line, {"memory/a/b/memory.limit_in_bytes": (1 << 63) - 4096}) == machine_bytes()


def test_a_group_beyond_what_is_visible_is_no_limit(groups):
    assert groups("0::/../../elsewhere\n", {"memory.max": 1}) == machine_bytes()


def test_a_segment_has_room_for_what_may_be_registered():
    for pinned in (1 << 20, GIB, 21 * GIB, 40 * GIB, 100 * GIB, 1000 * GIB):
        size = segment_bytes(pinned)
        assert size % GIB == 0 and size >= SEGMENT_MIN and size >= pinned * 8 // 7
        assert size <= SEGMENT_MAX or pinned > SEGMENT_MAX * 3 // 4


def test_the_grant_follows_the_container_and_a_policy_goes_before_it():
    assert Policies().admit(Container, 5 << 20).limits["pinned_bytes"] == 5 << 20
    assert Policies().admit(Container).limits["pinned_bytes"] == SESSION_LIMITS["pinned_bytes"]
    most = ROUTER_LIMITS["pinned_bytes"]
    for asked in (1 << 20, most):
        limits = Policies({"quota": {"session": {"pinned_bytes": asked}}}).admit(Container, 5 << 20).limits
        assert limits["pinned_bytes"] == asked and limits["memory_bytes"] >= asked


def test_more_than_the_router_can_give_is_refused_with_a_line():
    for key, most in ROUTER_LIMITS.items():
        asked = most + (4096 if key.endswith("_bytes") else 1)
        with pytest.raises(ValueError, match=f"quota.session.{key} = {asked}: the most that this router can give .* {most}$"):
            Policies({"quota": {"session": {key: asked}}})


def test_a_tenants_part_only_lowers():
    settings = {"session": {"max_qp": 16}, "tenants": {"blue": {"sessions": 2, "max_qp": 100, "max_cq": 10}}}
    limits = Policies({"quota": settings}).admit(Container).limits
    assert limits["max_qp"] == 16 and limits["max_cq"] == 5
