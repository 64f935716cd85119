"""The time of busy loops for https://www.speedscope.app, one profile for each loop.

The format: https://www.speedscope.app/file-format-schema.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gilscope._core import VERSION
from gilscope.reports.time_tree import named, profiles
from gilscope.reports.watch_figures import heading

if TYPE_CHECKING:
    from gilscope.records.watch_report import WatchReport
    from gilscope.reports.time_tree import Stack, Step

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope(report: WatchReport) -> bytes:
    """Return the profiles."""
    frames: dict[Step, int] = {}
    found = [_profile(named(use), stacks, frames) for use, stacks in profiles(report)]
    return msgspec.json.encode(
        {
            "$schema": SCHEMA,
            "name": heading(report),
            "exporter": f"gilscope {VERSION}",
            "activeProfileIndex": 0,
            "shared": {"frames": [_frame(step) for step in frames]},
            "profiles": found or [_profile("no event loop was watched", [], frames)],
        }
    )


def _profile(name: str, stacks: list[Stack], frames: dict[Step, int]) -> dict[str, Any]:
    return {
        "type": "sampled",
        "name": name,
        "unit": "seconds",
        "startValue": 0,
        "endValue": sum(stack.seconds for stack in stacks),
        "samples": [[frames.setdefault(step, len(frames)) for step in stack.steps] for stack in stacks],
        "weights": [stack.seconds for stack in stacks],
    }


def _frame(step: Step) -> dict[str, Any]:
    if step.frame is None or not step.frame.file:
        return {"name": step.text}
    return {"name": step.frame.function, "file": step.frame.file, "line": step.frame.line}
