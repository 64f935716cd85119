"""An option of ours after which all arguments are the program's, as with ``python -m MODULE ARGS``."""

from __future__ import annotations

from typing import Any

import click


class LastOption(click.Option):
    """An option whose value ends the parsing: what follows it are arguments, whatever they look like."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        for name in self.opts:
            option = parser._short_opt.get(name) or parser._long_opt[name]  # noqa: SLF001 - click has no hook for this
            option.process = _then_stop(option.process)


def _then_stop(process: Any) -> Any:
    def process_and_stop(value: str, state: Any) -> None:
        process(value, state)
        state.rargs.insert(0, "--")  # click takes it away again, and parses no further

    return process_and_stop
