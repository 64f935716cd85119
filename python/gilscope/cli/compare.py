"""``gilscope compare``: run a statement under every strategy, and recommend where it should run."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gilscope.checks.api import DEFAULT_SECONDS as CHECK_SECONDS
from gilscope.checks.statement import StatementError, check_statement, must_be_python
from gilscope.cli import FAILED, INTERRUPTED, RUN, BadInput, Duration, Source, setup
from gilscope.cli.output import must_be_writable, output, save
from gilscope.cli.progress import Progress
from gilscope.cli.show import say, show
from gilscope.comparison import statement_module
from gilscope.comparison.api import (
    DEFAULT_BUDGET_SECONDS,
    DEFAULT_SECONDS,
    DEFAULT_TIMEOUT_SECONDS,
    KNOWN_STRATEGIES,
    named_candidates,
)
from gilscope.comparison.run import ComparisonRun, Subject
from gilscope.durations import parse_threshold, shown
from gilscope.isolated.payload import Statement
from gilscope.isolated.search_path import users_first
from gilscope.records.result import Plan
from gilscope.trial.strategies import DEFAULT_STRATEGIES

if TYPE_CHECKING:
    from gilscope.comparison.run import Candidate
    from gilscope.records.verdict import Verdict


@click.command(short_help="Find out where a statement should run, and what that costs.")
@click.argument("statement", type=Source())
@setup
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME",
    help=f"Strategy to compare: {', '.join(KNOWN_STRATEGIES)}. Repeatable.  [default: all but dask]",
)
@click.option(
    "--dask",
    "address",
    default="",
    metavar="ADDRESS",
    help="Compare dask too, on the cluster whose scheduler has this address.",
)
@click.option(
    "--budget",
    type=Duration(parse_threshold, least=0.0001),
    default=shown(DEFAULT_BUDGET_SECONDS),
    show_default=True,
    help="Recommend a strategy under which the event loop waits for at most this long.",
)
@click.option(
    "--seconds",
    type=RUN,
    default=shown(DEFAULT_SECONDS),
    show_default=True,
    help="Run each trial for this long.",
)
@click.option(
    "--timeout",
    type=RUN,
    default=shown(DEFAULT_TIMEOUT_SECONDS),
    show_default=True,
    help="Stop a trial after this long.",
)
@click.option(
    "--json", "file", metavar="FILE", help="Write the result to FILE as JSON; - prints it instead of the table."
)
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
    """Run STATEMENT under every strategy beside a ticking event loop, and recommend where it should run.

    SETUP and STATEMENT are those of python -m timeit. Values that SETUP assigns to names in STATEMENT are sent to the
    workers with every call. What SETUP imports and defines is created once in each worker.

    Exit status: 3 if a trial did not finish or none could run, 2 if the statement cannot be run.
    """
    if timeout <= seconds:
        raise BadInput(
            f"--timeout ({timeout:g} s) must be longer than --seconds ({seconds:g} s): a trial would be stopped too early"
        )
    if timeout <= CHECK_SECONDS:
        raise BadInput(
            f"--timeout ({timeout:g} s) must be longer than the {CHECK_SECONDS:g} s for which the verdict is measured"
        )
    if file is not None and file != "-":
        must_be_writable(Path(file))
    names = list(dict.fromkeys([*(strategies or DEFAULT_STRATEGIES), *(["dask"] if address else [])]))
    setup = "\n".join(setups)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gilscope-"))
        module = _module(Path(folder), setup, statement)
        chosen = _chosen(stack, names, address, Path(folder, f"{module}.py"))
        verdict = _verdict(statement, setup, timeout)
        subject = Subject(
            statement.strip(),
            verdict,
            None,
            Statement(folder, module, statement_module.FUNCTION, statement_module.ARGUMENTS),
            setup=list(setups),
        )
        comparison = ComparisonRun(subject, chosen, Plan(seconds=seconds, timeout=timeout), budget=budget)
        interrupted = False if verdict.endless else _run(comparison, seconds)
    result = comparison.result(interrupted=interrupted)
    try:
        if verdict.endless:
            say(f"{verdict}\nA statement that does not end cannot be compared.", stderr=file == "-")
        if not verdict.endless or file == "-":
            show(result, file)
    finally:  # also if the reader of stdout has gone
        save(result, outputs, file)
    if interrupted:
        return INTERRUPTED
    finished = [trial.status == "finished" for trial in (result.idle, *result.trials)]
    return 0 if result.trials and all(finished) else FAILED


def _module(folder: Path, setup: str, statement: str) -> str:
    """Write the module that the workers import. Refuse a statement that cannot stand in a function."""
    try:
        must_be_python(statement, setup=setup)
        statement_module.define({}, statement)
    except StatementError as error:
        raise BadInput(str(error)) from None
    except SyntaxError as error:
        raise BadInput(f"STATEMENT: {error}") from None
    return statement_module.write(folder, setup, statement)


def _chosen(stack: ExitStack, names: list[str], address: str, module: Path) -> list[Candidate]:
    """Return the candidates of these names. What they need is started, and ended with ``stack``."""
    path = users_first(str(module.parent))
    try:
        chosen = stack.enter_context(named_candidates(names, address, upload=str(module), path=path))
    except (ValueError, RuntimeError) as error:
        raise BadInput(str(error)) from None
    for candidate in chosen:
        if candidate.unavailable and (candidate.name == "dask" or all(candidate.unavailable for candidate in chosen)):
            raise BadInput(f"{candidate.name} {candidate.unavailable}")
    return chosen


def _verdict(statement: str, setup: str, timeout: float) -> Verdict:
    try:
        return check_statement(statement, setup=setup, time=CHECK_SECONDS, timeout=timeout)
    except StatementError as error:
        raise BadInput(str(error)) from None


def _run(comparison: ComparisonRun, seconds: float) -> bool:
    """Run ``comparison``. Ctrl-C ends it, and the finished trials are the result. Return whether it was interrupted."""
    with Progress(comparison.steps, seconds) as progress:
        try:
            comparison.run(progress)
        except KeyboardInterrupt:
            if not comparison.begun:
                raise
            return True
    return False
