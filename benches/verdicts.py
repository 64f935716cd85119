"""Runs the table of callables whose truth is known many times beside CPU hogs; prints the confusion matrix.

``python benches/verdicts.py`` makes 1000 verdicts and more. Ends with status 1 if one word was wrong.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import click
from hogs import hogs

sys.path.insert(0, str(Path(__file__).parents[1]))
import gilscope
from gilscope.records.cores import cores

from tests.support.truth import TABLE

WORDS = ("releases", "yields", "hogs", "undecided")


@click.command()
@click.option("--rounds", default=18, show_default=True, help="Verdicts on each callable.")
@click.option("--beside", default=round(cores()), show_default=True, help="CPU hogs.")
@click.option("--time", "seconds", default=0.5, show_default=True, help="For each verdict.")
def main(rounds: int, beside: int, seconds: float) -> None:
    found: Counter[tuple[str, str]] = Counter()
    began = time.monotonic()
    with hogs(beside):
        for _ in range(rounds):
            for case in TABLE:
                verdict = gilscope.check(case.make(), time=seconds)
                found[case.truth, verdict.kind] += 1
                if verdict.kind != case.truth:
                    click.echo(f"{case.name}: {case.truth}, read {verdict.kind} ({verdict.evidence})", err=True)
    wrong = sum(count for (truth, kind), count in found.items() if kind not in (truth, "undecided"))
    click.echo(f"{sys.version.split()[0]}, {beside} hogs on {cores():g} cores, {time.monotonic() - began:.0f} s")
    click.echo("truth \\ read " + "".join(f"{word:>11}" for word in WORDS))
    for truth in WORDS[:3]:
        click.echo(f"{truth:12} " + "".join(f"{found[truth, word]:11}" for word in WORDS))
    click.echo(f"{wrong} wrong of {found.total()}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
