from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from gilscope import results
from gilscope.results import Result, UnreadableError


def test_a_result_comes_back_from_its_json_as_it_was(
    run_of: Callable[..., Result], finished: Callable[..., results.Trial], tmp_path: Path
) -> None:
    died = results.Trial(case="thread/python", count=1, status="died", reason="killed by SIGKILL")
    result = run_of(finished("thread/held"), died, interrupted=True)
    results.write(result, tmp_path / "r.json")
    assert results.read(tmp_path / "r.json") == result


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "is not a gilscope result, or was cut short"),
        (b"not json", "is not a gilscope result, or was cut short"),
        (b"\xff\xfe\x00", "is not a gilscope result, or was cut short"),
        (b"[1, 2]", "is JSON, but not a gilscope result"),
        (b'{"tool": "pytest"}', "is JSON, but not a gilscope result"),
        (b'{"format": "memray", "schema": 1}', "its format is 'memray'"),
        (b'{"format": "gilscope", "schema": 999, "new": 1}', "has schema 999, and this gilscope reads up to 1"),
        (b'{"format": "gilscope", "schema": 1}', "a gilscope result with a fault in it"),
    ],
)
def test_a_file_that_is_no_result_of_ours_is_told_apart(tmp_path: Path, text: bytes, complaint: str) -> None:
    file = tmp_path / "r.json"
    file.write_bytes(text)
    with pytest.raises(UnreadableError, match=complaint) as error:
        results.read(file)
    assert str(file) in str(error.value)


def test_a_result_cut_short_anywhere_is_told(run_of: Callable[..., Result], tmp_path: Path) -> None:
    whole = results.encode(run_of()).rstrip()
    for length in range(0, len(whole) - 1, 97):
        (tmp_path / "r.json").write_bytes(whole[:length])
        with pytest.raises(UnreadableError, match="cut short"):
            results.read(tmp_path / "r.json")


def test_a_result_with_a_field_of_the_wrong_type_is_refused_with_its_place(
    run_of: Callable[..., Result], tmp_path: Path
) -> None:
    raw = msgspec.json.decode(results.encode(run_of()))
    raw["plan"]["seconds"] = "two"
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(raw))
    with pytest.raises(UnreadableError, match=r"plan\.seconds"):
        results.read(tmp_path / "r.json")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="No such file"):
        results.read(tmp_path / "r.json")


def test_records_cannot_be_changed(run_of: Callable[..., Result]) -> None:
    with pytest.raises(AttributeError):
        run_of().interrupted = True  # type: ignore[misc]


def test_the_machine_is_this_one() -> None:
    machine = results.machine()
    assert machine.implementation == "CPython"
    assert machine.cores > 0
    assert machine.processor
