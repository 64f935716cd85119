"""A comparison's records, as schema 1 had them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gilscope.records import codec
from gilscope.records.comparison import RoundTrip
from gilscope.records.read import read
from gilscope.records.result import Result

from tests.support.constructed import compared, verdict, way

if TYPE_CHECKING:
    from pathlib import Path

PASSAGES: list[dict[str, Any]] = [
    {
        "strategy": "process",
        "travels": True,
        "answer": "same",
        "hand_over": 0.1,
        "carried": 0.2,
        "computing": 0.3,
        "packing": 0.4,
        "unpacking": 0.5,
        "arguments": 6,
        "result": 7,
    },
    {"strategy": "interpreter", "travels": False, "reason": "needs 3.14", "unavailable": True},
    {"strategy": "mine", "travels": False, "reason": "it cannot be pickled: a lock", "unavailable": False},
]


def test_the_round_trips_of_schema_1_are_read_and_have_a_failure(tmp_path: Path) -> None:
    old: dict[str, Any] = json.loads(codec.encode(compared(verdict("yields", 0.07), way("process"))))
    comparison = old["comparison"]
    del comparison["round_trips"], comparison["in_process_reason"], comparison["verdict"]["schema"]
    old |= {"schema": 1, "comparison": comparison | {"passages": PASSAGES, "stays": "a lock"}}
    file = tmp_path / "old.json"
    file.write_text(json.dumps(old))
    result = read(file)
    assert isinstance(result, Result)
    assert result.comparison is not None
    assert result.comparison.in_process_reason == "a lock"
    assert result.comparison.round_trips == [
        RoundTrip(
            strategy="process",
            answer="same",
            empty=0.1,
            overhead=0.2,
            overhead_cpu=0.3,
            pickling=0.4,
            unpickling=0.5,
            argument_bytes=6,
            result_bytes=7,
        ),
        RoundTrip(strategy="interpreter", failure="strategy unavailable", reason="needs 3.14"),
        RoundTrip(strategy="mine", failure="unknown", reason="it cannot be pickled: a lock"),
    ]
