"""What was measured: frozen records, in JSON and out of it.

Durations are float seconds, shares are 0 to 1. A reader takes every schema up to its own and refuses newer ones.
"""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Literal

import msgspec

from gilscope.cores import cores

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1


class UnreadableError(ValueError):
    """A file is not a result that this gilscope can read; the text says which and why."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record whose JSON must have the fields that it names, and no others."""


class Machine(Record, frozen=True, kw_only=True):
    """What it ran on."""

    python: str
    implementation: str
    gil: bool
    """Whether this Python has a GIL and it is on."""
    system: str
    processor: str
    cores: float
    """Processors that the process could use: its affinity mask, within its cgroup's quota."""


class Plan(Record, frozen=True, kw_only=True):
    """What was asked for."""

    seconds: float = 2.0
    """How long each case starts new tasks."""
    concurrency: int = 2
    """Tasks at once."""
    tick: float = 0.01
    """The ticker's period."""
    duration: float = 0.2
    """What one task alone is calibrated to take; without meaning where ``count`` is given."""
    count: int | None = None
    """Steps a task, instead of a calibrated number."""
    timeout: float = 62.0
    """Seconds after which a case is ended from outside."""


class Lag(Record, frozen=True, kw_only=True):
    """How late the loop was.

    ``due`` ticks were due, ``came`` of them came. The quantiles are over all that were due: one that did not come counts
    with the lateness that it had when the loop was next served. All are ``None`` where no tick was due.
    """

    due: int
    came: int
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


class Bins(Record, frozen=True, kw_only=True):
    """The ticks in time: bin ``i`` has those due from ``i * width`` to ``(i + 1) * width`` after the start."""

    width: float
    due: list[int]
    came: list[int]
    worst: list[float]
    """The worst lag in each bin."""


class Lane(Record, frozen=True, kw_only=True):
    """The tasks that one thread ran: span ``i`` is from ``begin[i]`` to ``end[i]`` after the start.

    A span is one task, or some that followed each other where there were too many to keep each.
    """

    process: int
    thread: int | None
    """The system's number; ``None`` where only the loop saw the task: from asking for it to hearing that it is done."""
    loop: bool
    """Whether it is the loop's own thread."""
    begin: list[float]
    end: list[float]
    tasks: list[int]
    """Tasks in each span."""
    busy: list[float]
    """How long they ran, together."""


class Measure(Record, frozen=True, kw_only=True):
    """What one trial measured."""

    start_up: float
    """How long the workers took to start and warm up, before the clock started."""
    elapsed: float
    tasks: int
    """Tasks done."""
    rate: float
    """Steps a second, all workers together."""
    cpu: float | None
    """Processor time of the trial's processes in ``elapsed``; ``None`` where the system does not tell it."""
    lag: Lag
    ticks: Bins
    lanes: list[Lane] = []
    """Where and when the tasks ran."""
    others: float | None = None
    """Share of the processors' time that other programs took in ``elapsed``; ``None`` where the system does not tell."""
    spare: float | None = None
    """Share of it that nobody took."""


class Trial(Record, frozen=True, kw_only=True):
    """One case, run once in a process of its own."""

    case: str
    count: int
    """Steps of each task."""
    status: Literal["finished", "timed out", "died", "unavailable"]
    reason: str = ""
    """Why it did not finish, or why this Python cannot run it."""
    measure: Measure | None = None


class Result(Record, frozen=True, kw_only=True):
    """A run: its idle loop first, as the floor, then its cases in the order in which they ran."""

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    kind: Literal["demo"] = "demo"
    version: str
    created: str
    """When it started: ISO 8601, UTC."""
    machine: Machine
    plan: Plan
    alone: dict[str, float]
    """Steps a second of each kernel, one task alone in an idle process: what ``rate`` is compared with."""
    idle: Trial
    trials: list[Trial]
    interrupted: bool = False


class Header(msgspec.Struct):
    """As much of a file as tells whose it is; other fields are passed over."""

    format: str
    schema: int


def machine() -> Machine:
    """Describe this Python and this machine."""
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return Machine(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        gil=has_gil,
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=cores(),
    )


def write(result: Result, file: Path) -> None:
    """Write ``result`` to ``file`` as JSON."""
    file.write_bytes(encode(result))


def encode(result: Result) -> bytes:
    """Return ``result`` as indented JSON, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"


def read(file: Path) -> Result:
    """Read a result. Raises :class:`UnreadableError` for what is none, is truncated, or has a newer schema."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot read {file}: {error.strerror}") from error
    try:
        header = msgspec.json.decode(data, type=Header)
    except msgspec.ValidationError:
        raise UnreadableError(
            f"{file} is JSON, but not a gilscope result: it has no format and schema of ours"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{file} is not a gilscope result, or was cut short: {error}") from None
    if header.format != "gilscope":
        raise UnreadableError(f"{file} is not a gilscope result: its format is {header.format!r}")
    if header.schema > SCHEMA:
        raise UnreadableError(
            f"{file} has schema {header.schema}, and this gilscope reads up to {SCHEMA}: it was written by a newer one; "
            "upgrade gilscope to read it"
        )
    try:
        return msgspec.json.decode(data, type=Result)
    except msgspec.ValidationError as error:
        raise UnreadableError(f"{file} is a gilscope result with a fault in it: {error}") from None


def _processor() -> str:
    """Return the processor's name: Linux keeps it where ``platform.processor`` does not look."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - a stream of lines
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
