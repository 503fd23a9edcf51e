"""The policy that hosts have from etcd: in force, kept, and a wrong one beside a good one."""

from types import SimpleNamespace

from ffr.control.policy_shared import SharedPolicy, kept

LOW, HIGH = b"[quota.session]\nmax_qp = 8\n", b"[quota.session]\nmax_qp = 16\n"
WEB = SimpleNamespace(name="web", tenant="blue")


def shared(tmp_path):
    used = []
    return SharedPolicy("/freeflow/policy", tmp_path / "state" / "router.toml", used.append), used


def test_what_etcd_has_is_in_force_and_outlives_the_router(tmp_path):
    policy, used = shared(tmp_path)
    policy.take(LOW)
    policy.take(LOW)
    assert used == [{"quota": {"session": {"max_qp": 8}}}] and policy.path == "etcd: /freeflow/policy"
    copy = tmp_path / "state" / "router.toml"
    assert kept(copy).admit(WEB).limits["max_qp"] == 8 and copy.stat().st_mode & 0o777 == 0o600
    again, used = shared(tmp_path)  # the next router has begun with that
    again.take(LOW)
    assert used == []
    again.take(HIGH)
    assert used[0]["quota"]["session"]["max_qp"] == 16
    again.take(None)
    assert used[1] == {} and not copy.exists() and kept(copy).admit(WEB).limits["max_qp"] == 1024


def test_a_wrong_one_changes_nothing_and_is_told_until_it_is_right(tmp_path):
    policy, used = shared(tmp_path)
    policy.take(LOW)
    for wrong in (b"[quota", b"\xff", b"[quota.session]\nmax_qp = -1\n", b"x" * (1 << 21)):
        policy.take(wrong)
        assert policy.error.startswith("etcd: /freeflow/policy: ") and len(used) == 1
    policy.take(LOW)
    assert policy.error is None and kept(tmp_path / "state" / "router.toml").admit(WEB).limits["max_qp"] == 8


def test_what_was_kept_and_is_no_policy_any_more_is_as_nothing(tmp_path):
    copy = tmp_path / "state" / "router.toml"
    copy.parent.mkdir()
    copy.write_text("[rates_of_another_version]\n")
    assert kept(copy).admit(WEB).limits["max_qp"] == 1024
    policy, used = shared(tmp_path)
    policy.take(copy.read_bytes())
    assert policy.error and used == []


def test_no_room_for_the_copy_is_no_reason_not_to_follow(tmp_path):
    (tmp_path / "state").write_text("a file where a directory should be")
    policy, used = shared(tmp_path)
    policy.take(LOW)
    assert len(used) == 1 and policy.error is None
