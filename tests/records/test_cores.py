import os
from pathlib import Path

from gilscope.records.cores import cgroup_quota, cores


def test_cores_are_those_of_the_affinity_mask() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() <= 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_quota_is_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    inner = tmp_path / "pod" / "container"
    inner.mkdir(parents=True)
    (tmp_path / "pod" / "cpu.max").write_text("150000 100000\n")
    (inner / "cpu.max").write_text("max 100000\n")
    own = tmp_path / "own"
    own.write_text("0::/pod/container\n")
    assert cgroup_quota(tmp_path, own) == 1.5


def test_the_quota_of_version_1_is_read_where_its_cpu_controller_is_mounted(tmp_path: Path) -> None:
    group = tmp_path / "cpu,cpuacct" / "box"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("50000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    own = tmp_path / "own"
    own.write_text("5:memory:/elsewhere\n4:cpu,cpuacct:/box\n")
    assert cgroup_quota(tmp_path, own) == 0.5


def test_no_quota_is_no_bound(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    assert cgroup_quota(tmp_path, own) == float("inf")
    assert cgroup_quota(tmp_path, tmp_path / "absent") == float("inf")
