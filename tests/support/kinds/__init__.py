"""The ways in which one Python function calls another: 73 kinds of call, for stacks that have every kind of frame.

Each kind is a function of ``call``, which it calls, and of ``rng``, which chooses between variants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.kinds import compiled, from_c, functions, generators, objects

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Call = Callable[[], object]
    Kind = Callable[[Call, Random], object]

KINDS: tuple[Kind, ...] = tuple(
    kind
    for module in (functions, generators, objects, from_c, compiled)
    for name, kind in vars(module).items()
    if getattr(kind, "__module__", None) == module.__name__ and not name.startswith("_")
)


def chain(call: Call, rng: Random) -> Call:
    """Return a function that calls ``call`` through one to eight of the kinds."""
    for kind in rng.choices(KINDS, k=rng.randrange(1, 9)):
        call = _through(kind, call, rng)
    return call


def _through(kind: Kind, call: Call, rng: Random) -> Call:
    return lambda *_: kind(call, rng)
