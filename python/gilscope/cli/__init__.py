"""The command line: one file for each subcommand, imported when it is used."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from gilscope.durations import parse_duration, parse_threshold
from gilscope.formatting import listed
from gilscope.reports.stderr import to_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMANDS = ("demo", "check", "compare", "watch", "attach", "top", "report")
"""Each is a module of this package that defines ``command``."""

FAILED = 3
"""The exit status of an internal error, and of an output that cannot be written: 1 is for an answer that is no."""
INTERRUPTED = 130
"""The exit status after Ctrl-C that shells use: 128 + SIGINT."""


MIN_RUN_SECONDS = 0.001
"""Nothing can be measured in less."""
GREATEST_PID = 2**22
"""No Linux has a greater one: PID_MAX_LIMIT."""


@contextmanager
def reader_may_go(stream: TextIO | None) -> Iterator[None]:
    """Write to ``stream``, whose reader may have gone, as in ``gilscope check ... | head``: the exit status stays the answer."""
    try:
        yield
        if stream is not None:
            stream.flush()
    except BrokenPipeError:
        if stream is not None:
            _let_go_of(stream)


def _let_go_of(stream: TextIO) -> None:
    """Send what follows to /dev/null: the flush at exit must not fail."""
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), stream.fileno())


class BadInput(click.ClickException):
    """The request cannot be carried out, and nothing was started. Exit status 2."""

    exit_code = 2


class Duration(click.types.FloatParamType):
    """A duration such as ``50ms``, ``2s`` or ``0.05``: see :mod:`gilscope.durations`."""

    name = "duration"

    def __init__(self, parse: Callable[..., float], *, least: float = MIN_RUN_SECONDS) -> None:
        self._parse = partial(parse, least=least)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


RUN = Duration(parse_duration)
"""How long something may take."""
THRESHOLD = Duration(parse_threshold)
"""A lag or a period."""


class Pid(click.types.IntParamType):
    """The number of a process."""

    name = "pid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        with suppress(ValueError):
            if 1 <= (pid := int(value)) <= GREATEST_PID:
                return pid
        return self.fail(f"{value!r} is not a PID. gilscope attach without a PID lists the processes.", param, ctx)


class Source(click.types.StringParamType):
    """Python source. Text that no source file can contain is refused before anything starts."""

    name = "source"

    def __init__(self, *, empty: bool = False) -> None:
        self.empty = empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        source = str(value)
        if "\0" in source:
            self.fail("Python source cannot contain a NUL character.", param, ctx)
        try:
            source.encode()
        except UnicodeEncodeError as error:
            self.fail(f"not UTF-8 text: an invalid byte follows {source[: error.start]!r}.", param, ctx)
        if not self.empty and not source.strip():
            self.fail("the source is empty: there is nothing to run.", param, ctx)
        return source


setup = click.option(
    "-s",
    "--setup",
    "setups",
    multiple=True,
    type=Source(empty=True),
    metavar="SETUP",
    help="Run this code once before the statement, without measuring it. Repeat the option to add lines.",
)
"""A decorator that gives a command the option ``-s``."""


class Subcommands(click.Group):
    """The subcommands of :data:`COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"gilscope.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(_no_command(args[0]))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. If the reader of a list or a report has gone, that is no failure: click would exit with status 1."""
        with reader_may_go(sys.stdout):
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt:  # click would print an empty line, and fail if the reader has gone
                to_stderr("\n")
                raise click.Abort from None
        return 0


def _no_command(name: str) -> str:
    """Say that there is no such command, and which one was probably meant."""
    from difflib import get_close_matches

    if name.endswith(".py"):
        return f"{name!r} is not a command. To run and watch it, write gilscope watch {name}"
    close = get_close_matches(name.lower(), COMMANDS, 1)
    return f"no such command: {name!r}. " + (
        f"Did you mean gilscope {close[0]}?" if close else f"The commands are {listed(COMMANDS)}."
    )


@click.command(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gilscope", prog_name="gilscope")
def gilscope() -> None:
    """Show what CPU-bound code does to the GIL and to the asyncio event loop."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Return the exit status.

    It is 0, 1 (the answer is no), 2 (bad input), 3 (the command could not be carried out, or gilscope has a bug), or 130
    (Ctrl-C).
    """
    usual = signal.signal(signal.SIGTERM, _terminated)
    try:
        status = gilscope.main(argv, prog_name="gilscope", standalone_mode=False)
    except click.ClickException as error:
        if sys.stderr is not None:  # else click would print it on stdout
            with suppress(OSError):
                error.show()
        return FAILED if error.exit_code == click.ClickException.exit_code else error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever else it is, it is not an answer
        if not isinstance(error, OSError) or error.errno != errno.ENOSPC:
            to_stderr(traceback.format_exc())
            to_stderr("This is a bug in gilscope, not an answer about your code: please report it.\n")
            return FAILED
        _let_go_of(sys.stdout)
        to_stderr(f"Error: cannot write the output: {error.strerror}\n")
        return FAILED
    finally:
        with reader_may_go(sys.stderr):
            pass
        signal.signal(signal.SIGTERM, usual)
    if callable(status):
        # The user's own program: run it where no exception is caught and no signal is handled on its behalf.
        status()
    return status if isinstance(status, int) else 0


def _terminated(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    """Leave through every ``finally``, so that child processes are ended and temporary folders removed."""
    raise SystemExit(128 + number)
