"""``gilscope compare``: a statement of yours under every strategy, and where it should run."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gilscope.checks.statement import StatementError, check_statement
from gilscope.cli import INTERRUPTED, BadInput, Seconds, Source, setup
from gilscope.cli.output import must_be_writable, output, save
from gilscope.cli.progress import Progress
from gilscope.cli.show import show
from gilscope.comparison import statement_module
from gilscope.comparison.api import (
    DEFAULT_BUDGET_SECONDS,
    DEFAULT_SECONDS,
    DEFAULT_TIMEOUT_SECONDS,
    KNOWN_STRATEGIES,
    named_candidates,
)
from gilscope.comparison.run import ComparisonRun, Subject
from gilscope.isolated.payload import Statement, search
from gilscope.records.result import Plan
from gilscope.trial.strategies import DEFAULT_STRATEGIES

if TYPE_CHECKING:
    from gilscope.comparison.run import Candidate
    from gilscope.records.verdict import Verdict

POSITIVE = Seconds(min=0, min_open=True)
CHECK = 0.5
"""Seconds that the verdict is taken for."""


@click.command(short_help="Find out where a statement should run, and what that costs.")
@click.argument("statement", type=Source())
@setup
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME",
    help=f"Compare this one: {', '.join(KNOWN_STRATEGIES)}. Repeatable.  [default: all but dask]",
)
@click.option("--dask", "address", default="", metavar="ADDRESS", help="Use the dask scheduler that runs there.")
@click.option(
    "--budget",
    type=POSITIVE,
    default=DEFAULT_BUDGET_SECONDS,
    show_default=True,
    help="Seconds that the loop may be kept waiting.",
)
@click.option("--seconds", type=POSITIVE, default=DEFAULT_SECONDS, show_default=True, help="How long each trial runs.")
@click.option(
    "--timeout",
    type=POSITIVE,
    default=DEFAULT_TIMEOUT_SECONDS,
    show_default=True,
    help="Seconds after which a trial is ended.",
)
@click.option("--json", "file", metavar="FILE", help="Write the result as JSON; - for stdout, instead of the table.")
@output
def command(
    statement: str,
    setups: tuple[str, ...],
    strategies: tuple[str, ...],
    address: str,
    budget: float,
    seconds: float,
    timeout: float,
    file: str | None,
    outputs: tuple[Path, ...],
) -> int:
    """Run STATEMENT under every strategy beside a ticking event loop, and say where it should run.

    It takes SETUP and STATEMENT as python -m timeit does. What SETUP assigns to the names in STATEMENT is sent to the
    workers with every call; what it imports and defines comes into being once in each. --dask means --strategy dask too.

    Exit status 1 when a trial did not finish, 2 when the statement cannot be run.
    """
    if timeout <= seconds:
        raise BadInput(f"a trial runs for {seconds:g} s and would be ended after {timeout:g} s: raise --timeout")
    if timeout <= CHECK:
        raise BadInput(f"the verdict takes {CHECK:g} s of calls, and --timeout is {timeout:g} s: raise --timeout")
    if file is not None and file != "-":
        must_be_writable(Path(file))
    names = list(dict.fromkeys([*(strategies or DEFAULT_STRATEGIES), *(["dask"] if address else [])]))
    setup = "\n".join(setups)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gilscope-"))
        module = _module(Path(folder), setup, statement)
        stack.callback(sys.path.__setitem__, slice(None), list(sys.path))
        search(folder)  # a local cluster's workers import what this process can
        chosen = _chosen(stack, names, address, str(Path(folder, f"{module}.py")))
        verdict = _verdict(statement, setup, timeout)
        if verdict.endless:
            click.echo(f"{verdict}\nThere is nothing to compare in what does not end.")
            return 1
        subject = Subject(
            statement.strip(),
            verdict,
            None,
            Statement(folder, module, statement_module.FUNCTION, statement_module.ARGUMENTS),
            setup=list(setups),
        )
        comparison = ComparisonRun(subject, chosen, Plan(seconds=seconds, timeout=timeout), budget=budget)
        interrupted = _run(comparison, seconds)
    result = comparison.result(interrupted=interrupted)
    show(result, file)
    save(result, outputs, file)
    if interrupted:
        return INTERRUPTED
    return int(any(trial.status in {"died", "timed out"} for trial in (result.idle, *result.trials)))


def _module(folder: Path, setup: str, statement: str) -> str:
    """Write what the workers import. A statement that no function can have in it is found here."""
    try:
        statement_module.define({}, statement)
    except SyntaxError as error:
        raise BadInput(f"STATEMENT: {error}") from None
    return statement_module.write(folder, setup, statement)


def _chosen(stack: ExitStack, names: list[str], address: str, upload: str) -> list[Candidate]:
    """Return the strategies of those names; what they need for as long as ``stack`` lasts is started."""
    try:
        chosen = stack.enter_context(named_candidates(names, address, upload=upload))
    except (ValueError, RuntimeError) as error:
        raise BadInput(str(error)) from None
    for candidate in chosen:
        if candidate.unavailable and (candidate.name == "dask" or all(candidate.unavailable for candidate in chosen)):
            raise BadInput(f"{candidate.name} {candidate.unavailable}")
    return chosen


def _verdict(statement: str, setup: str, timeout: float) -> Verdict:
    try:
        return check_statement(statement, setup=setup, time=CHECK, timeout=timeout)
    except StatementError as error:
        raise BadInput(str(error)) from None


def _run(comparison: ComparisonRun, seconds: float) -> bool:
    """Run it; Ctrl-C ends that, and what is measured by then is the result. Return whether it was interrupted."""
    with Progress(comparison.steps, seconds) as progress:
        try:
            comparison.run(progress)
        except KeyboardInterrupt:
            if not comparison.begun:
                raise
            return True
    return False
