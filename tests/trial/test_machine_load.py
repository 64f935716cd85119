import pytest
from gilscope.trial import machine_load

STAT = """cpu  400 0 100 1000 100 0 0 50 0 0
cpu0 100 10 20 500 50 1 2 30 7 7
cpu1 300 0 80 500 50 0 0 20 0 0
intr 1 2 3
"""


def test_the_load_of_the_cores_is_read_as_in_the_manual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    assert machine_load.parsed(STAT, {0}) == machine_load.MachineLoad(busy=1.63, idle=5.5)
    assert machine_load.parsed(STAT, {0, 1}) == machine_load.MachineLoad(busy=5.63, idle=11.0)
    assert machine_load.parsed(STAT, {7}) is None


def test_other_programs_used_what_we_did_not() -> None:
    before, after = machine_load.MachineLoad(busy=10.0, idle=20.0), machine_load.MachineLoad(busy=13.0, idle=21.0)
    assert machine_load.shares(before, after, 1.0) == (0.5, 0.25)
    assert machine_load.shares(before, after, 3.01) == (0.0, 0.25)
    assert machine_load.shares(None, after, 1.0) == (None, None)
    assert machine_load.shares(before, before, 0.0) == (None, None)
