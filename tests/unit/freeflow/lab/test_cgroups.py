"""Which cgroup hierarchies a machine offers, from its mounts."""

from freeflow.lab import cgroups


def version2(root, controllers, enabled=""):
    (root / "cgroup.controllers").write_text(controllers)
    (root / "cgroup.subtree_control").write_text(enabled)
    return f"cgroup2 {root} cgroup2 rw 0 0\n"


def test_version_1_has_a_root_for_each(tmp_path):
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
    found = cgroups.find(f"cgroup {tmp_path}/cpu cgroup rw,cpu,cpuacct 0 0\n"
                         f"cgroup {tmp_path}/memory cgroup rw,relatime,memory 0 0\n")
    assert found.groups("box") == [tmp_path / "cpu" / "box", tmp_path / "memory" / "box"]
    assert found.missing == ()


def test_version_2_has_one_for_both(tmp_path):
    found = cgroups.find(version2(tmp_path, "cpuset cpu io memory", enabled="cpu memory"))
    assert found.groups("box") == [tmp_path / "box"]
    assert found.missing == ()


def test_a_hybrid_takes_each_from_where_it_is(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "unified").mkdir()
    found = cgroups.find(f"cgroup {tmp_path}/cpu cgroup rw,cpu 0 0\n"
                         + version2(tmp_path / "unified", "memory hugetlb", enabled="memory"))
    assert found.groups("box") == [tmp_path / "cpu" / "box", tmp_path / "unified" / "box"]
    assert found.missing == ()


def test_what_is_not_there_is_named(tmp_path):
    assert cgroups.find("").missing == ("cpu", "memory")
    found = cgroups.find(version2(tmp_path, "cpu", enabled="cpu"))
    assert (found.roots, found.missing) == ((tmp_path,), ("memory",))


def test_a_controller_that_cannot_be_switched_on_counts_as_missing(tmp_path):
    version2(tmp_path, "cpu memory")
    (tmp_path / "cgroup.subtree_control").unlink()
    (tmp_path / "cgroup.subtree_control").mkdir()  # a write fails whoever tries, as in a root that holds processes
    found = cgroups.find(f"cgroup2 {tmp_path} cgroup2 rw 0 0\n")
    assert (found.roots, found.missing) == ((), ("cpu", "memory"))
