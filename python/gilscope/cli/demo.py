"""``gilscope demo``: measure every case of the article's experiment."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gilscope.cli import FAILED, INTERRUPTED, RUN, THRESHOLD, BadInput
from gilscope.cli.output import must_be_writable, output, save
from gilscope.cli.progress import Progress
from gilscope.cli.show import show
from gilscope.demo import cases, run
from gilscope.durations import shown
from gilscope.records.machine import machine
from gilscope.records.result import Plan, Result
from gilscope.trial.runner import idle

if TYPE_CHECKING:
    from gilscope.demo.cases import Case
    from gilscope.records.result import Trial

DEFAULTS = Plan()
DEFAULT_SECONDS_BEYOND = 60.0
"""By default a case may take this much longer than ``--seconds``: to start its pool, and to finish its last tasks."""


@click.command(short_help="Measure an event loop beside CPU-bound work of every kind.")
@click.option(
    "--case",
    "globs",
    multiple=True,
    metavar="GLOB",
    help="Run only the cases that match GLOB, such as thread/*. Repeatable.",
)
@click.option("--list", "listing", is_flag=True, help="List the cases and exit.")
@click.option(
    "--seconds",
    type=RUN,
    default=shown(DEFAULTS.seconds),
    show_default=True,
    help="Run each case for this long.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 100),
    default=DEFAULTS.concurrency,
    show_default=True,
    help="Run this many tasks at once.",
)
@click.option(
    "--tick",
    type=THRESHOLD,
    default=shown(DEFAULTS.tick),
    show_default=True,
    help="Schedule a tick this often.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 2**64 - 1),
    metavar="N",
    help="Count down from N in each task (the article: 50000000). By default one task alone takes 0.2 s.",
)
@click.option("--timeout", type=RUN, help="Stop a case after this long.  [default: --seconds plus 60s]")
@click.option(
    "--json", "file", metavar="FILE", help="Write the result to FILE as JSON; - prints it instead of the table."
)
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
    """Run a CPU-bound countdown in every way beside a ticking event loop, and show how late the ticks come.

    A case is a strategy (where the work runs) and a kernel (how the work uses the GIL), such as thread/held.

    Exit status: 3 if a case did not finish.
    """
    chosen = _chosen(globs)
    if listing:
        return _list(chosen)
    if tick >= seconds:
        raise BadInput(
            f"--tick ({tick:g} s) must be shorter than --seconds ({seconds:g} s): no tick would fall into the run"
        )
    if timeout is not None and timeout <= seconds:
        raise BadInput(
            f"--timeout ({timeout:g} s) must be longer than --seconds ({seconds:g} s): a case would be stopped too early"
        )
    if file is not None and file != "-":
        must_be_writable(Path(file))
    plan = Plan(
        seconds=seconds,
        concurrency=concurrency,
        tick=tick,
        count=count,
        timeout=timeout or seconds + DEFAULT_SECONDS_BEYOND,
    )
    result = _run(chosen, plan)
    try:
        show(result, file)
    finally:  # also if the reader of stdout has gone
        save(result, outputs, file)
    if result.interrupted:
        return INTERRUPTED
    unfinished = any(trial.status in {"died", "timed out"} for trial in (result.idle, *result.trials))
    return FAILED if unfinished else 0


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
        note = f" (unavailable: {case.unavailable})" if case.unavailable else ""
        click.echo(f"{case.name:20} {case.description}{note}")
    return 0


def _run(chosen: list[Case], plan: Plan) -> Result:
    """Run the ``chosen`` cases one after another. After Ctrl-C, the result has the cases that have finished."""
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
