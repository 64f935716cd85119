"""Samples of a callable's time, constructed."""

from gilscope.checks.knocks import SampledTime, Wait


def wait(
    *,
    held: bool = True,
    least: float = 0.0,
    most: float | None = None,
    before: float = 0.0,
    slept: int | None = None,
    of_other_thread: bool = False,
) -> Wait:
    most = least if most is None else most
    return Wait(
        0.0, most, 1.0, held, least, most, likely=least, before=before, slept=slept, of_other_thread=of_other_thread
    )


def sampled(*waits: Wait, between: float = 1.0) -> SampledTime:
    return SampledTime(waits=list(waits), between=between)
