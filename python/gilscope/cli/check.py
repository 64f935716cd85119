"""``gilscope check``: whether a statement hogs, yields or releases the GIL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import click
import msgspec

from gilscope.cli import RUN, THRESHOLD, BadInput, Source, reader_may_go, setup
from gilscope.records.failed_check import FailedCheck
from gilscope.reports.stderr import to_stderr

if TYPE_CHECKING:
    from gilscope.records.verdict import Verdict
    from gilscope.records.verdict_parts import Kind

FOUND = {
    "hogs": "it hogs",
    "yields": "it yields",
    "releases": "it releases",
    "no GIL": "there is no GIL",
    "undecided": "the verdict is undecided",
}


DOES: dict[Kind, str] = {
    "releases": "releases",
    "yields": "yields",
    "hogs": "hogs",
    "undecided": "is undecided",
}


class Expectation(click.types.StringParamType):
    """A list of verdicts such as ``releases,undecided``."""

    name = "verdicts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        for kind in kinds_of(value):
            if kind not in DOES:
                self.fail(f"{kind!r} is not one of {', '.join(DOES)}.", param, ctx)
        return str(value)


def kinds_of(expectation: str) -> list[Kind]:
    """Return the verdicts in a list such as ``releases,undecided``."""
    return cast("list[Kind]", [kind.strip() for kind in expectation.split(",")])


@click.command(short_help="Check whether a statement hogs, yields or releases the GIL.")
@click.argument("statements", metavar="STATEMENT...", nargs=-1, required=True, type=Source())
@setup
@click.option("--time", type=RUN, default="0.5s", show_default=True, help="Run each statement for this long.")
@click.option(
    "--timeout",
    type=RUN,
    default="60s",
    show_default=True,
    help="Stop a statement after this long and judge what it did so far.",
)
@click.option(
    "--expect",
    metavar="VERDICTS",
    type=Expectation(),
    help=f"Exit with status 1 if a verdict is none of these, separated by commas: {', '.join(DOES)}.",
)
@click.option(
    "--max-hold",
    type=THRESHOLD,
    help="Exit with status 1 if an event loop would stall for longer than this: because of one hold, or of releases that are "
    "too brief.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON: a list with one item a statement.")
def command(
    statements: tuple[str, ...],
    setups: tuple[str, ...],
    time: float,
    timeout: float,
    expect: str | None,
    max_hold: float | None,
    as_json: bool,
) -> int:
    """Check whether each STATEMENT hogs, yields or releases the GIL.

    Each statement runs again and again in a process of its own; SETUP and STATEMENT are those of python -m timeit. The
    verdict says what happens to another thread that asks for the GIL at a random moment: it gets the GIL at once
    (releases), it gets the GIL within the switch interval (yields), or it waits for the end of a hold of more than 1 ms
    without a break (hogs). If the evidence is not enough, the verdict is undecided, with the reason.

    What a thread really waits is measured at the program's own switch interval. A statement that releases the GIL again and
    again, but too briefly for another thread to acquire it, hogs.

    Exit status: 1 if a verdict is not the expected one, 2 if a statement cannot be run.
    """
    if timeout <= time:
        raise BadInput(
            f"--timeout ({timeout:g} s) must be longer than --time ({time:g} s): a statement would be stopped too early"
        )
    setup = "\n".join(setups)
    for statement in statements:
        _must_be_python(statement, setup)
    checked: list[Verdict | FailedCheck] = []
    try:
        for statement in statements:
            checked.append(_checked(statement, setup, time, timeout))  # noqa: PERF401 - what is known counts if one fails
    finally:
        if checked:
            _show(checked, max_hold, alone=len(statements) == 1, as_json=as_json)
        complaints = _complaints(checked, expect, max_hold)
        to_stderr("".join(f"{said}\n" for said in complaints))
    if any(isinstance(one, FailedCheck) for one in checked):
        return BadInput.exit_code
    return 1 if complaints else 0


def _must_be_python(statement: str, setup: str) -> None:
    from gilscope.checks.statement import StatementError, must_be_python

    try:
        must_be_python(statement, setup=setup)
    except StatementError as error:
        raise BadInput(str(error)) from None


def _checked(statement: str, setup: str, time: float, timeout: float) -> Verdict | FailedCheck:
    """Return the verdict, or why there is none, which is also printed in full at once."""
    from gilscope.checks.statement import StatementError, check_statement

    try:
        return check_statement(statement, setup=setup, time=time, timeout=timeout, say=to_stderr)
    except StatementError as error:
        to_stderr(f"Error: {error}\n")
        return FailedCheck(name=statement.strip(), failure=error.failure, reason=error.reason)


def _show(checked: list[Verdict | FailedCheck], max_hold: float | None, *, alone: bool, as_json: bool) -> None:
    if as_json:
        with reader_may_go(sys.stdout):
            click.echo(msgspec.json.format(msgspec.json.encode(checked), indent=1))
    elif not alone:
        from gilscope.cli.show import put
        from gilscope.reports.verdicts import VerdictTable

        put(VerdictTable(checked))
    elif not isinstance(checked[0], FailedCheck):
        from gilscope.cli.show import say
        from gilscope.records.verdict import sentences

        said = sentences(checked[0], longer="--time 5", max_hold=max_hold)
        say(f"{' '.join(said)}\n({checked[0].evidence})")


def _complaints(checked: list[Verdict | FailedCheck], expect: str | None, max_hold: float | None) -> list[str]:
    """Return a sentence for each verdict that is not an expected one, and for each that exceeds the limit."""
    verdicts = [one for one in checked if not isinstance(one, FailedCheck)]
    return [
        *(_unexpected(verdicts, kinds_of(expect)) if expect else ()),
        *(() if max_hold is None else _too_long(verdicts, max_hold)),
    ]


def _unexpected(verdicts: list[Verdict], expect: list[Kind]) -> list[str]:
    from gilscope.checks.assertions import meets
    from gilscope.naming import quoted

    others = [verdict for verdict in verdicts if not any(meets(verdict, kind) for kind in expect)]
    wanted = " or ".join(DOES[kind] for kind in expect)
    return [f"expected that {quoted(verdict.name)} {wanted}, but {FOUND[verdict.kind]}" for verdict in others]


def _too_long(verdicts: list[Verdict], max_hold: float) -> list[str]:
    from gilscope.checks.assertions import too_long

    return [said for verdict in verdicts if (said := too_long(verdict, max_hold))]
