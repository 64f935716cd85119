"""``gilscope check``: whether a statement hogs, yields or releases the GIL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from gilscope.cli import RUN, BadInput, Source, setup

if TYPE_CHECKING:
    from gilscope.records.verdict import Kind, Verdict

FOUND = {
    "hogs": "it hogs",
    "yields": "it yields",
    "releases": "it releases",
    "no GIL": "there is no GIL",
    "undecided": "the verdict is undecided",
}


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
    type=click.Choice(["releases", "yields", "hogs"]),
    help="Exit with status 1 if a verdict differs from this one.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the verdict as JSON; for several statements, print a list."
)
def command(
    statements: tuple[str, ...],
    setups: tuple[str, ...],
    time: float,
    timeout: float,
    expect: Kind | None,
    as_json: bool,
) -> int:
    """Check whether each STATEMENT hogs, yields or releases the GIL.

    Each statement runs again and again in a process of its own; SETUP and STATEMENT are those of python -m timeit. The
    verdict says what happens to another thread that asks for the GIL at a random moment: it gets the GIL at once
    (releases), it gets the GIL within the switch interval (yields), or it waits for the end of a hold of more than 1 ms
    without a break (hogs). If the evidence is not enough, the verdict is undecided, with the reason.

    Exit status: 1 if a verdict is not the expected one, 2 if a statement cannot be run.
    """
    if timeout <= time:
        raise BadInput(
            f"--timeout ({timeout:g} s) must be longer than --time ({time:g} s): a statement would be stopped too early"
        )
    setup = "\n".join(setups)
    for statement in statements:
        _must_be_python(statement, setup)
    verdicts = [_verdict(statement, setup, time, timeout) for statement in statements]
    _show(verdicts, as_json=as_json)
    return _as_expected(verdicts, expect) if expect else 0


def _must_be_python(statement: str, setup: str) -> None:
    from gilscope.checks.statement import StatementError, must_be_python

    try:
        must_be_python(statement, setup=setup)
    except StatementError as error:
        raise BadInput(str(error)) from None


def _verdict(statement: str, setup: str, time: float, timeout: float) -> Verdict:
    from gilscope.checks.statement import StatementError, check_statement

    try:
        return check_statement(statement, setup=setup, time=time, timeout=timeout, say=_to_stderr)
    except StatementError as error:
        raise BadInput(str(error)) from None


def _to_stderr(printed: str) -> None:
    sys.stderr.write(printed)
    sys.stderr.flush()


def _show(verdicts: list[Verdict], *, as_json: bool) -> None:
    if as_json and len(verdicts) > 1:
        click.echo(msgspec.json.format(msgspec.json.encode(verdicts), indent=1))
    elif as_json:
        click.echo(verdicts[0].to_json(), nl=False)
    elif len(verdicts) == 1:
        from gilscope.cli.show import say
        from gilscope.records.verdict import sentences

        say(f"{' '.join(sentences(verdicts[0], longer='--time 5'))}\n({verdicts[0].evidence})")
    else:
        from gilscope.cli.show import put
        from gilscope.reports.verdicts import VerdictTable

        put(VerdictTable(verdicts))


def _as_expected(verdicts: list[Verdict], expect: Kind) -> int:
    from gilscope.checks.assertions import meets
    from gilscope.naming import quoted

    others = [verdict for verdict in verdicts if not meets(verdict, expect)]
    for verdict in others:
        click.echo(f"expected that {quoted(verdict.name)} {expect}, but {FOUND[verdict.kind]}", err=True)
    return 1 if others else 0
