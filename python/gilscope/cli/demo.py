"""``gilscope demo``: every case of the article's experiment, measured."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gilscope.cli import INTERRUPTED, BadInput, Seconds
from gilscope.cli.output import must_be_writable, output, save
from gilscope.cli.progress import Progress
from gilscope.cli.show import show
from gilscope.demo import cases, run
from gilscope.records.machine import machine
from gilscope.records.result import Plan, Result
from gilscope.trial.runner import idle

if TYPE_CHECKING:
    from gilscope.demo.cases import Case
    from gilscope.records.result import Trial

OF_PLAN = Plan()
POSITIVE = Seconds(min=0, min_open=True)
SLACK = 60.0
"""Seconds that a case may take beyond those asked for, by default: pools start, tasks that run at the end are finished."""


@click.command(short_help="Measure an event loop beside CPU-bound work of every kind.")
@click.option(
    "--case", "globs", multiple=True, metavar="GLOB", help="Run the cases that match, as thread/*. Repeatable."
)
@click.option("--list", "listing", is_flag=True, help="List the cases and stop.")
@click.option("--seconds", type=POSITIVE, default=OF_PLAN.seconds, show_default=True, help="How long each case runs.")
@click.option(
    "--concurrency", type=click.IntRange(1, 100), default=OF_PLAN.concurrency, show_default=True, help="Tasks at once."
)
@click.option(
    "--tick", type=Seconds(min=0.001), default=OF_PLAN.tick, show_default=True, help="Seconds between two ticks."
)
@click.option(
    "--count",
    type=click.IntRange(1, 2**64 - 1),
    metavar="N",
    help="Steps a task (the article's: 50000000); otherwise a task is calibrated to last 0.2 s alone.",
)
@click.option("--timeout", type=POSITIVE, help="Seconds after which a case is ended.  [default: --seconds and 60 more]")
@click.option("--json", "file", metavar="FILE", help="Write the result as JSON; - for stdout, instead of the table.")
@output
def command(
    globs: tuple[str, ...],
    listing: bool,
    seconds: float,
    concurrency: int,
    tick: float,
    count: int | None,
    timeout: float | None,
    file: str | None,
    outputs: tuple[Path, ...],
) -> int:
    """Run a CPU-bound countdown in every way beside a ticking event loop, and show what happens to the loop.

    A case is a strategy (where the work runs) with a kernel (what the GIL sees), as thread/held. Exit status 1 when a
    case did not finish.
    """
    chosen = _chosen(globs)
    if listing:
        return _list(chosen)
    if tick >= seconds:
        raise BadInput(
            f"no tick is due in {seconds:g} s when they are {tick:g} s apart: lower --tick or raise --seconds"
        )
    if timeout is not None and timeout <= seconds:
        raise BadInput(f"a case runs for {seconds:g} s and would be ended after {timeout:g} s: raise --timeout")
    if file is not None and file != "-":
        must_be_writable(Path(file))
    plan = Plan(seconds=seconds, concurrency=concurrency, tick=tick, count=count, timeout=timeout or seconds + SLACK)
    result = _run(chosen, plan)
    show(result, file)
    save(result, outputs, file)
    if result.interrupted:
        return INTERRUPTED
    return int(any(trial.status in {"died", "timed out"} for trial in (result.idle, *result.trials)))


def _chosen(globs: tuple[str, ...]) -> list[Case]:
    try:
        chosen = cases.matching(list(globs))
    except ValueError as error:
        raise BadInput(str(error)) from None
    if all(case.unavailable for case in chosen):
        raise BadInput(f"{chosen[0].name} {chosen[0].unavailable}")
    return chosen


def _list(chosen: list[Case]) -> int:
    for case in chosen:
        note = f" (not here: {case.unavailable})" if case.unavailable else ""
        click.echo(f"{case.name:20} {case.description}{note}")
    return 0


def _run(chosen: list[Case], plan: Plan) -> Result:
    """Run ``chosen`` one after another; Ctrl-C ends that, and what is measured by then is the result."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    trials: list[Trial] = []
    interrupted = False
    with Progress(len(chosen) + 1, plan.seconds) as progress:
        try:
            alone = progress.step("calibrating", run.calibrate)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
        try:
            trials.append(progress.trial("idle", partial(idle, plan)))
            for case in chosen:
                measure = partial(run.run, case, plan, alone)
                trials.append(progress.trial(case.name, measure))
        except KeyboardInterrupt:
            interrupted = True
    if not trials:
        raise KeyboardInterrupt
    return Result(
        version=version("gilscope"),
        created=created,
        machine=machine(),
        plan=plan,
        alone=alone,
        idle=trials[0],
        trials=trials[1:],
        interrupted=interrupted,
    )
