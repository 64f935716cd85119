from collections.abc import Callable
from pathlib import Path

import pytest
from gilscope.records import codec
from gilscope.records import read as reading
from gilscope.records import result as results
from gilscope.records.machine import machine
from gilscope.records.result import Bins, Result

from tests.support import child
from tests.support.constructed import compared, verdict, way


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


def test_a_process_that_only_reads_a_result_can_print_it_and_ask_for_its_recommendation(tmp_path: Path) -> None:
    codec.write(compared(verdict("hogs", 0.07), way("process")), tmp_path / "r.json")
    script = """
        import pickle, sys
        from pathlib import Path
        from gilscope.records.read import read
        result = read(Path(sys.argv[1]))
        print(*(name for name in sys.modules if name.startswith(("gilscope.reports", "gilscope.comparison"))))
        print(result.recommendation.where)
        print(pickle.loads(pickle.dumps(result)))
    """
    loaded, where, title, *_ = child.output(script, str(tmp_path / "r.json"))
    assert (loaded, where) == ("", "process")
    assert title.startswith("gilscope compare: ")


def test_a_demo_has_no_recommendation(run_of: Callable[..., Result]) -> None:
    with pytest.raises(ValueError, match="a result of the kind demo compares no strategies"):
        _ = run_of().recommendation
