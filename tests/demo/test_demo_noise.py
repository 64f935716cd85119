"""benches/demo_noise.py judges its demos: each line that must hold, held and not held."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.result import Result, Trial

BENCH = Path(__file__).parents[2] / "benches" / "demo_noise.py"


@pytest.mark.parametrize(
    ("held", "released", "lost", "seconds", "holds"),
    [
        (1.0, 1.9, False, 40.0, [True] * 5),
        (1.0, 2.3, False, 40.0, [False, True, True, False, True]),  # impossible on two cores, so no finding rests on it
        (0.8, 1.9, False, 40.0, [True, False, True, True, True]),
        (1.0, 1.6, False, 40.0, [True, True, False, True, True]),
        (1.0, 1.9, True, 46.0, [True, False, True, False, False]),
    ],
)
def test_each_line_is_held_or_not(
    held: float,
    released: float,
    lost: bool,
    seconds: float,
    holds: list[bool],
    finished: Callable[..., Trial],
    run_of: Callable[..., Result],
) -> None:
    trials = [
        finished("thread/held", work=held, cpu=2.0),
        finished("thread/released", work=released, cpu=4.0),
    ]
    if lost:
        for number, trial in enumerate(trials):
            assert trial.measure is not None
            measure = msgspec.structs.replace(trial.measure, baseline_lost=True)
            trials[number] = msgspec.structs.replace(trial, measure=measure)
    judged = list(runpy.run_path(str(BENCH))["lines"]([run_of(*trials)], [seconds]))
    assert [line[0] for line in judged] == holds, judged
