"""The cases of the demo: each is a strategy (where the work runs) with a kernel (what it does to the GIL)."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from gilscope.trial.strategies import unavailable


@dataclass(frozen=True)
class Case:
    """A strategy with a kernel."""

    strategy: str
    kernel: str
    function: str
    """The public name in gilscope of the function that the strategy runs."""
    description: str

    @property
    def name(self) -> str:
        return f"{self.strategy}/{self.kernel}"

    @property
    def unavailable(self) -> str:
        """Why this Python cannot run the case, or an empty string."""
        return unavailable(self.strategy)


CASES = (
    Case("inline", "python", "countdown_python", "Python, called in the coroutine (the article's blocking_worker)"),
    Case("inline", "held", "countdown_held", "Rust with the GIL held, called in the coroutine"),
    Case("inline", "released", "countdown_released", "Rust with the GIL released, called in the coroutine"),
    Case("cooperative", "python", "countdown_cooperative", "Python that awaits sleep(0) every 1000 steps"),
    Case("thread", "python", "countdown_python", "Python in a thread pool (the article's async_thread_worker)"),
    Case("thread", "held", "countdown_held", "Rust with the GIL held, in a thread pool"),
    Case("thread", "released", "countdown_released", "Rust with the GIL released, in a thread pool"),
    Case("process", "python", "countdown_python", "Python in a process pool (the article's async_process_worker)"),
    Case("process", "released", "countdown_released", "Rust in a process pool"),
    Case("interpreter", "python", "countdown_python", "Python in a pool of interpreters, each with its own GIL"),
    Case("tokio", "released", "countdown_tokio", "Rust on tokio's threads, awaited"),
    Case("bridge", "released", "countdown_bridge", "Rust on threads that never attach to the interpreter, awaited"),
)

KERNELS = {"python": "countdown_python", "held": "countdown_held", "released": "countdown_released"}
"""The functions of the kernels alone, which calibrate a task and are the baseline of its work."""


def matching(globs: list[str]) -> list[Case]:
    """Return the cases whose names match one of ``globs``, in the table's order, or all cases for an empty list.

    Raise ``ValueError`` for a glob that matches no case.
    """
    for glob in globs:
        if not any(fnmatchcase(case.name, glob) for case in CASES):
            names = ", ".join(case.name for case in CASES)
            if glob == "idle":
                raise ValueError(f"idle is measured in every run; choose from the cases: {names}")
            raise ValueError(f"no case matches {glob!r}; the cases are: {names}")
    return [case for case in CASES if not globs or any(fnmatchcase(case.name, glob) for glob in globs)]
