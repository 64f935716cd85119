"""Check the callables whose verdict is known many times while other programs use the CPUs; print the confusion matrix.

``python benches/verdicts.py`` makes 1000 verdicts and more. Exit status 1 if a verdict was wrong.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import click
from busy_processes import busy_processes

sys.path.insert(0, str(Path(__file__).parents[1]))
import gilscope
from gilscope.records.cores import cores

from tests.support.truth import TABLE

KINDS = ("releases", "yields", "hogs", "undecided")


@click.command()
@click.option("--rounds", default=18, show_default=True, help="Check each callable this many times.")
@click.option("--beside", default=round(cores()), show_default=True, help="Run this many CPU hogs meanwhile.")
@click.option("--time", "seconds", default=0.5, show_default=True, help="Check for this many seconds each time.")
def main(rounds: int, beside: int, seconds: float) -> None:
    found: Counter[tuple[str, str]] = Counter()
    began = time.monotonic()
    with busy_processes(beside):
        for _ in range(rounds):
            for case in TABLE:
                verdict = gilscope.check(case.make(), time=seconds)
                found[case.truth, verdict.kind] += 1
                if verdict.kind != case.truth:
                    click.echo(
                        f"{case.name}: expected {case.truth}, found {verdict.kind} ({verdict.evidence})", err=True
                    )
    wrong = sum(count for (truth, kind), count in found.items() if kind not in (truth, "undecided"))
    click.echo(f"{sys.version.split()[0]}, {beside} hogs on {cores():g} cores, {time.monotonic() - began:.0f} s")
    click.echo("truth \\ found " + "".join(f"{kind:>11}" for kind in KINDS))
    for truth in KINDS[:3]:
        click.echo(f"{truth:13} " + "".join(f"{found[truth, kind]:11}" for kind in KINDS))
    click.echo(f"{wrong} wrong of {found.total()}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
