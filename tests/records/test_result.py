from collections.abc import Callable
from pathlib import Path

import pytest
from gilscope.records import codec
from gilscope.records import read as reading
from gilscope.records import result as results
from gilscope.records.machine import machine
from gilscope.records.result import Bins, Result


def test_a_result_is_equal_after_a_round_trip_through_json(
    run_of: Callable[..., Result], finished: Callable[..., results.Trial], tmp_path: Path
) -> None:
    died = results.Trial(case="thread/python", count=1, status="died", reason="killed by SIGKILL")
    result = run_of(finished("thread/held"), died, interrupted=True)
    codec.write(result, tmp_path / "r.json")
    assert reading.read(tmp_path / "r.json") == result


def test_records_cannot_be_changed(run_of: Callable[..., Result]) -> None:
    with pytest.raises(AttributeError):
        run_of().interrupted = True  # type: ignore[misc]


def test_lists_that_belong_together_are_of_equal_length() -> None:
    with pytest.raises(ValueError, match=r"have: `due` 2, `came` 1, `worst` 2$"):
        Bins(width=0.01, due=[1, 1], came=[1], worst=[0.0, 0.0])


def test_the_machine_is_this_one() -> None:
    ours = machine()
    assert ours.implementation == "CPython"
    assert ours.cores > 0
    assert ours.processor
