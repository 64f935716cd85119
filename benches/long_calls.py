"""Ten kinds of C calls that hold the GIL from their begin to their end, each at a line of its own and of a wanted length.

Clock, call and clock are called from C, where no thread gives up the GIL: the times are those of the hold.
"""

from __future__ import annotations

import csv
import ctypes
import json
import operator
import pickle
import random
import re
from collections import deque
from functools import partial
from itertools import chain, islice, product, repeat
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLD = ctypes.PyDLL(None).usleep
RANDOM = random.Random(7)
NUMBERS = [RANDOM.random() for _ in range(50_000)]
TREE = {f"name {index}": [index, index / 7, None, "a text"] for index in range(200)}
TEXT = "lorem ipsum dolor sit amet " * 40_000
ROWS = [f"{index},name {index},{index / 7}" for index in range(1000)]
SECONDS_TO_CALIBRATE = 0.1

call: Callable[[Any], Any] = operator.call

Ends = tuple[Any, ...]
"""Two floats: when a call began and ended, by ``time.monotonic()``."""


def sleep(microseconds: int) -> Ends:
    return tuple(map(call, (monotonic, partial(HOLD, microseconds), monotonic)))[::2]


def search(text: str) -> Ends:
    return tuple(map(call, (monotonic, partial(re.compile("x*y").search, text), monotonic)))[::2]


def add_up(numbers: range) -> Ends:
    return tuple(map(call, (monotonic, partial(sum, numbers), monotonic)))[::2]


def sort(numbers: list[float]) -> Ends:
    return tuple(map(call, (monotonic, partial(sorted, numbers), monotonic)))[::2]


def encode(tree: list[Any]) -> Ends:
    return tuple(map(call, (monotonic, partial(json.dumps, tree), monotonic)))[::2]


def power(exponent: int) -> Ends:
    return tuple(map(call, (monotonic, partial(pow, 7, exponent), monotonic)))[::2]


def count(counts: Iterator[int]) -> Ends:
    return tuple(map(call, (monotonic, partial(deque, counts, 0), monotonic)))[::2]


def pickled(pickles: Iterator[bytes]) -> Ends:
    return tuple(map(call, (monotonic, partial(deque, pickles, 0), monotonic)))[::2]


def read_rows(rows: Iterator[list[str]]) -> Ends:
    return tuple(map(call, (monotonic, partial(deque, rows, 0), monotonic)))[::2]


def combine(combinations: Iterator[tuple[int, ...]]) -> Ends:
    return tuple(map(call, (monotonic, partial(deque, combinations, 0), monotonic)))[::2]


class Kind(NamedTuple):
    """A C call, and how its argument is made of an amount; the call takes amount ** exponent times a constant."""

    run: Callable[[Any], Ends]
    argument: Callable[[int], Any]
    start: int
    exponent: float = 1.0

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def line(self) -> int:
        """The line of the call: the first of the function's body."""
        return self.run.__code__.co_firstlineno + 1


KINDS = [
    Kind(sleep, int, 1000),
    Kind(search, partial(operator.mul, "x"), 1000, exponent=2.0),
    Kind(add_up, range, 100_000),
    Kind(sort, partial(operator.mul, NUMBERS), 1),
    Kind(encode, partial(operator.mul, [TREE]), 10),
    Kind(power, int, 10_000, exponent=1.585),
    Kind(count, lambda amount: map(TEXT.count, repeat("q", amount)), 10),
    Kind(pickled, lambda amount: map(pickle.dumps, repeat(TREE, amount)), 10),
    Kind(read_rows, lambda amount: csv.reader(chain.from_iterable(repeat(ROWS, amount))), 10),
    Kind(combine, lambda amount: islice(product(range(10), repeat=12), amount), 100_000),
]


class Calibrated(NamedTuple):
    """A kind whose call takes ``seconds`` for ``amount``."""

    kind: Kind
    amount: int
    seconds: float

    def argument(self, seconds: float) -> Any:
        """Return an argument for a call of about ``seconds``."""
        return self.kind.argument(max(1, int(self.amount * (seconds / self.seconds) ** (1 / self.kind.exponent))))


def calibrate(kind: Kind) -> Calibrated:
    """Call with larger and larger amounts until a call takes long enough to predict the duration of others."""
    amount = kind.start
    while (seconds := _seconds(kind, amount)) < SECONDS_TO_CALIBRATE:
        amount *= 2
    return Calibrated(kind, amount, min(seconds, _seconds(kind, amount), _seconds(kind, amount)))


def _seconds(kind: Kind, amount: int) -> float:
    begin, end = kind.run(kind.argument(amount))
    return float(end - begin)
